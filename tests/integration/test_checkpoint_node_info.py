# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_node_info against what the laboratory and the cluster say about the same nodes."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_node_info
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented
from labkit import topology
from support import LAB, NODES, Cluster, Controller, kubectl, lab, node_run, wait_until

Undo = t.Callable[[t.Callable[[], t.Any]], None]
SPARES = {"crio": "crio-c", "containerd": "ctd-c"}


def cluster_says(node: str) -> dict[str, str]:
    return dict(json.loads(kubectl("get", "node", node, "--output=json"))["status"]["nodeInfo"])


def bytes_of(node: str, path: str) -> int:
    return int(node_run(node, f"df --block-size=1 --output=size {path}").split()[1])


@pytest.mark.every_core
@pytest.mark.parametrize("node", NODES)
def test_facts_are_those_of_the_cluster(controller: Controller, facts: dict[str, t.Any], node: str) -> None:
    found = controller.task("checkpoint_node_info", on=node)
    known, told = facts["versions"], cluster_says(node)
    crio = topology.named(node).runtime == "crio"

    assert not found["changed"]
    machine, kubelet, runtime, criu = (found[name] for name in ("machine", "kubelet", "runtime", "criu"))
    assert machine["kernel"] == told["kernelVersion"] and machine["os"]["name"] == told["osImage"]
    assert machine["cgroup"] in {"v1": ("v1", "hybrid")}.get(facts["cgroup"], (facts["cgroup"],))
    assert machine["kernel_options"]["CONFIG_CHECKPOINT_RESTORE"] == "y"
    assert kubelet["version"] == told["kubeletVersion"] == f"v{known['kubernetes']}"
    assert kubelet["running"] and kubelet["gate"] == {"by_version": "on", "configured": None}
    assert kubelet["runtime_endpoint"] == f"unix://{topology.named(node).socket}" and kubelet["read_only_port"] == 0
    assert f"{runtime['name']}://{runtime['version']}" == told["containerRuntimeVersion"].replace("://v", "://")
    assert runtime["version"] == known["crio" if crio else "containerd"] and runtime["running"]
    assert runtime["socket"] == topology.named(node).socket
    assert runtime["configuration"][0] == ("/etc/crio/crio.conf" if crio else "/etc/containerd/config.toml")
    assert {entry["kind"]: entry["version"].split("-")[0] for entry in runtime["handlers"]} == {
        kind: known[kind].split("-")[0] for kind in (("runc", "crun") if crio else ("runc",))
    }
    assert [entry["name"] for entry in runtime["handlers"] if entry["default"]] == ["runc"]
    assert criu["version"] == known["criu"] and criu["check"] == {"ok": True, "message": ""}
    assert found["disks"]["checkpoints"]["total"] == bytes_of(node, "/var/lib/kubelet")
    assert found["disks"]["storage"]["total"] == bytes_of(node, found["disks"]["storage"]["path"])
    if crio:
        assert found["disks"]["temporary"] is None
    else:
        kind = node_run(node, "stat --file-system --format=%T /tmp").strip()
        temporary = found["disks"]["temporary"]
        assert temporary["path"] == "/tmp" and temporary["filesystem"] == kind and temporary["memory"] is True
    assert found["capabilities"]["checkpoint"]["able"] is True, found["capabilities"]


@pytest.mark.parametrize("node", ["crio-a", "ctd-a"])
def test_what_comes_back_is_what_is_documented(controller: Controller, node: str) -> None:
    found = controller.task("checkpoint_node_info", on=node)

    assert (
        undocumented({key: value for key, value in found.items() if key != "failed"}, checkpoint_node_info.RETURN) == []
    )


def test_check_mode_finds_the_same(controller: Controller) -> None:
    really = controller.task("checkpoint_node_info", on="ctd-a")
    checked = controller.task("checkpoint_node_info", on="ctd-a", check=True)

    for found in (really, checked):
        for disk in found["disks"].values():
            disk.pop("free")
    assert checked == really


def test_without_root_what_is_not_readable_is_not_guessed(controller: Controller) -> None:
    found = controller.task("checkpoint_node_info", on="ctd-a", keywords={"vars": {"ansible_user": "ops"}})

    assert not found["failed"], found
    assert found["capabilities"]["checkpoint"]["able"] is not True


def spare(runtime: str) -> str:
    """A node that may be disturbed, with CRIU."""
    name = SPARES[runtime]
    if not any(line.startswith(f"{name} ") and " on (" in line for line in lab("status").stdout.splitlines()):
        lab("up", "--nodes", name, timeout=600)
    lab("run", "ansible-playbook", "--limit", name, str(LAB / "prepare.yml"))
    return name


def hide_criu(node: str, undo: Undo) -> None:
    undo(lambda: node_run(node, "[ ! -e /usr/sbin/criu.hidden ] || mv /usr/sbin/criu.hidden /usr/sbin/criu"))
    node_run(node, "mv /usr/sbin/criu /usr/sbin/criu.hidden")


def show_criu(node: str) -> None:
    node_run(node, "mv /usr/sbin/criu.hidden /usr/sbin/criu")


def restart_crio(node: str) -> None:
    node_run(node, "systemctl restart crio")
    wait_until("CRI-O to answer", lambda: "RuntimeName" in node_run(node, "crictl version", check=False), 60)


def checkpoints(controller: Controller, cluster: Cluster, node: str) -> bool:
    """Whether a checkpoint really works there."""
    name = f"trial-{node}"
    cluster.apply(cluster.pod(name, node))
    try:
        taken = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[name], progress=False)
        for entry in taken["checkpoints"]:
            if entry.get("path"):
                node_run(node, f"rm -f '{entry['path']}'")
        return not taken["failed"]
    finally:
        cluster.delete(name)


@pytest.mark.parametrize("runtime", ["crio", "containerd"])
def test_without_criu_a_node_cannot(controller: Controller, cluster: Cluster, undo: Undo, runtime: str) -> None:
    node = spare(runtime)
    hide_criu(node, undo)
    found = controller.task("checkpoint_node_info", on=node)

    assert found["criu"]["path"] is None and found["criu"]["version"] is None and found["criu"]["check"] is None
    for capability in found["capabilities"].values():
        assert capability["able"] is False and "CRIU is not installed" in capability["reasons"], found["capabilities"]
    assert "Install CRIU 4.2 or later" in found["capabilities"]["checkpoint"]["hints"]
    assert not checkpoints(controller, cluster, node)


def test_crio_that_was_started_without_criu_has_to_be_restarted(
    controller: Controller, cluster: Cluster, undo: Undo
) -> None:
    node = spare("crio")
    undo(lambda: restart_crio(node))
    hide_criu(node, undo)
    restart_crio(node)
    show_criu(node)

    found = controller.task("checkpoint_node_info", on=node)
    assert found["runtime"]["restart_needed"] is True and found["runtime"]["checkpoint"]["on"] is False
    assert found["capabilities"]["checkpoint"]["able"] is False
    assert "Restart crio" in found["capabilities"]["checkpoint"]["hints"]
    assert not checkpoints(controller, cluster, node)

    restart_crio(node)
    found = controller.task("checkpoint_node_info", on=node)
    assert found["runtime"]["restart_needed"] is False and found["capabilities"]["checkpoint"]["able"] is True
    assert checkpoints(controller, cluster, node)


def test_a_configuration_that_is_not_in_force_yet_is_told(controller: Controller, undo: Undo) -> None:
    node = spare("containerd")
    undo(lambda: node_run(node, "systemctl restart containerd"))
    node_run(node, "touch /etc/containerd/config.toml")
    found = controller.task("checkpoint_node_info", on=node)

    assert found["runtime"]["restart_needed"] is True
    assert "/etc/containerd/config.toml" in "".join(found["runtime"]["notes"])
    # This version has no switch that could have changed.
    assert found["capabilities"]["checkpoint"]["able"] is True


def test_a_gate_that_is_switched_off_is_seen(controller: Controller, undo: Undo) -> None:
    node = spare("containerd")
    path = "/etc/kubernetes/kubelet.conf.d/90-test.conf"
    undo(lambda: node_run(node, f"rm -f {path}"))
    node_run(node, f"printf 'featureGates:\\n  ContainerCheckpoint: false\\nreadOnlyPort: 10255\\n' > {path}")
    found = controller.task("checkpoint_node_info", on=node)

    assert path in found["kubelet"]["configuration"] and found["kubelet"]["read_only_port"] == 10255
    assert found["kubelet"]["gate"]["configured"] is False and path in "".join(found["kubelet"]["notes"])
    assert found["capabilities"]["checkpoint"]["able"] is False
