# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook checkpoint, and what both playbooks tell and do about checkpoints that failed."""

from __future__ import annotations

import json
import socket
import typing as t

import pytest
from support import NODES, Cluster, Controller, configure_kubelet, node_run, wait_until

ONE_OF_EACH = [next(node for node in NODES if node.startswith(kind)) for kind in ("crio", "ctd")]


@pytest.fixture(scope="module")
def troubled(cluster: Cluster) -> t.Iterator[Cluster]:
    """On each node a pod that can be checkpointed, one with a connection, and one with a stopped process."""
    images = {"counter": "counter", "chatty": "chatty", "stopped": "ledger"}
    pods = [cluster.pod(f"{name}-{node}", node, image) for name, image in images.items() for node in ONE_OF_EACH]
    cluster.apply(*pods)
    for pod in pods:
        cluster.says(pod["metadata"]["name"])
    for node in ONE_OF_EACH:
        identifier = cluster.get(f"stopped-{node}")["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        find = f"find /sys/fs/cgroup -path '*{identifier}*' -name cgroup.procs | head -n 1"
        leaf = max(int(pid) for pid in node_run(node, f"cat $({find})").split())
        node_run(node, f"kill -STOP {leaf}")
        configure_kubelet(node, runtimeRequestTimeout="10s")
    yield cluster
    for node in ONE_OF_EACH:
        configure_kubelet(node)


def serves(cluster: Cluster, pod: str) -> None:
    def number() -> int:
        with socket.create_connection((cluster.get(pod)["status"]["podIP"], 8081), timeout=3) as connection:
            return int(connection.recv(100))

    before = number()
    wait_until(f"{pod} to go on", lambda: number() > before, 20)


def test_what_goes_well_is_listed(troubled: Cluster, controller: Controller) -> None:
    done = controller.playbook("checkpoint", namespace=troubled.namespace, label_selectors=["app=counter"])
    assert done.returncode == 0, controller.output
    assert "2 of 2 containers were checkpointed" in controller.output
    for node in ONE_OF_EACH:
        assert f"{troubled.namespace}/counter-{node}/app on {node}  /var/lib/kubelet/checkpoints/" in controller.output


def test_check_mode_takes_nothing(troubled: Cluster, controller: Controller) -> None:
    def archives() -> list[str]:
        own = f"ls /var/lib/kubelet/checkpoints | grep _{troubled.namespace}- || true"
        return [node_run(node, own) for node in ONE_OF_EACH]

    before = archives()
    done = controller.playbook("checkpoint", "--check", namespace=troubled.namespace)
    assert done.returncode == 0, controller.output
    assert "6 of 6 containers would be checkpointed" in controller.output
    assert archives() == before


def test_causes_are_told_and_what_was_left_frozen_runs(troubled: Cluster, controller: Controller) -> None:
    done = controller.playbook("checkpoint", namespace=troubled.namespace, checkpoint_timeout="5s")
    assert done.returncode == 2, controller.output
    assert "2 of 6 containers were checkpointed" in controller.output
    for node in ONE_OF_EACH:
        assert f"FAILED {troubled.namespace}/chatty-{node}/app on {node}: criu_failed:" in controller.output
        assert f"FAILED {troubled.namespace}/stopped-{node}/app on {node}: deadline_exceeded:" in controller.output
        serves(troubled, f"stopped-{node}")
    assert controller.output.count("The container has an established TCP connection. Put tcp-established into") == 2
    assert controller.output.count("the container had been left frozen and runs again") == 2


def test_the_manifest_of_an_incident_tells_them_too(troubled: Cluster, controller: Controller) -> None:
    destination = controller.directory / "evidence"
    wanted = {"namespace": troubled.namespace, "destination": str(destination), "checkpoint_timeout": "5s"}
    done = controller.playbook("collect_forensics", incident="case", **wanted)
    assert done.returncode == 2, controller.output
    manifest = json.loads((destination / "case" / "manifest.json").read_text())
    assert [archive["pod"] for archive in manifest["archives"]] == [f"counter-{node}" for node in ONE_OF_EACH]
    failures = {failure["pod"]: failure for failure in manifest["runs"][-1]["failures"]}
    assert len(failures) == 4
    for node in ONE_OF_EACH:
        chatty, stopped = failures[f"chatty-{node}"], failures[f"stopped-{node}"]
        assert (chatty["workload"], chatty["cause"]["code"]) == ("runs", "criu_tcp_established")
        assert "established TCP connection" in chatty["reason"] and chatty["reason"] in controller.output
        assert stopped["workload"] == "thawed"
        # containerd removes CRIU's log when the kubelet's time is over, which may be before anybody has looked at it.
        without_log = {"deadline_exceeded", "runtime_failed"} if node.startswith("ctd") else set()
        assert stopped["cause"]["code"] in {"criu_unfinished", *without_log}
        assert "runs again" in stopped["reason"] and stopped["reason"] in controller.output
        serves(troubled, f"stopped-{node}")
