# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_migrate: a pod goes on, on another node, and has lost nothing."""

from __future__ import annotations

import typing as t

import pytest
from migrate_support import ask, failed, migrate, nothing_left
from restore_support import CLASS, CRIO, CTD
from support import REGISTRY, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

PORTS = {"app": 8080, "beside": 8081}
MOUNTS = {"app": ("own", "shared"), "beside": ("shared",)}


def volume(cluster: Cluster, pod: str, name: str) -> str:
    """Where the node has an emptyDir volume of the pod."""
    uid = cluster.get(pod)["metadata"]["uid"]
    return f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/{name}"


def printed(cluster: Cluster, pod: str, container: str) -> list[int]:
    """The numbers that a counter printed since its container is there."""
    lines = kubectl("logs", "--namespace", cluster.namespace, pod, "--container", container).splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("count ")]


def test_a_pod_of_two_containers_goes_there_and_back_with_its_volumes(cluster: Cluster, controller: Controller) -> None:
    document = cluster.pod("both", CRIO)
    document["spec"]["containers"] = [
        {
            "name": name,
            "image": f"{REGISTRY}/counter:1",
            "args": [str(port), "200"],
            "volumeMounts": [{"name": each, "mountPath": f"/{each}"} for each in MOUNTS[name]],
        }
        for name, port in PORTS.items()
    ]
    document["spec"]["volumes"] = [{"name": name, "emptyDir": {}} for name in ("own", "shared")]
    cluster.apply(document)
    node_run(
        CRIO, f"cd {volume(cluster, 'both', 'shared')} && mkdir kept && echo text > kept/file && ln -s file kept/link"
    )
    node_run(CRIO, f"cd {volume(cluster, 'both', 'own')} && truncate -s 1M zeros && chmod 604 zeros && chown 7:8 zeros")
    before = {name: ask(cluster, "both", port) for name, port in PORTS.items()}
    for target in (CTD, CRIO):
        seen = {name: ask(cluster, "both", port)["count"] for name, port in PORTS.items()}
        result = migrate(controller, cluster, "both", target)
        print(target, result["seconds"], result["down_seconds"], result["dump_seconds"])
        assert cluster.get("both")["spec"]["nodeName"] == target and set(result["receipts"]) == set(PORTS)
        for name, port in PORTS.items():
            wait_until("the next numbers", lambda name=name: len(printed(cluster, "both", name)) > 1)
            numbers = printed(cluster, "both", name)
            assert numbers[0] > seen[name] and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert {key: ask(cluster, "both", port)[key] for key in ("since", "pid")} == {
                key: before[name][key] for key in ("since", "pid")
            }
        told = node_run(target, f"cd {volume(cluster, 'both', 'shared')} && cat kept/file && readlink kept/link")
        assert told.split() == ["text", "file"]
        told = node_run(target, f"stat --format='%a %u %g %s' {volume(cluster, 'both', 'own')}/zeros")
        assert told.split() == ["604", "7", "8", str(1 << 20)]
        nothing_left(cluster)
    cluster.delete("both")


def test_what_cannot_be_is_refused_or_undone_and_the_pod_counts_on(cluster: Cluster, controller: Controller) -> None:
    cluster.apply(cluster.pod("stays", CRIO))
    uid = cluster.get("stays")["metadata"]["uid"]
    arguments: dict[str, t.Any] = {"namespace": cluster.namespace, "pod": "stays", "node": CTD}
    result = controller.task("checkpoint_migrate", **arguments, runtime_class="no-such")
    assert failed(result) == ["runtime_class"]
    result = controller.task("checkpoint_migrate", **arguments, runtime_class=CLASS, transfer_address="192.0.2.1")
    assert (result["code"], result["undone"]) == ("listen_failed", True)
    assert controller.task("checkpoint_migrate", **{**arguments, "node": CRIO})["changed"] is False
    before = ask(cluster, "stays")["count"]
    wait_until("the next number", lambda: ask(cluster, "stays")["count"] > before)
    assert cluster.get("stays")["metadata"]["uid"] == uid
    nothing_left(cluster)
    cluster.delete("stays")
