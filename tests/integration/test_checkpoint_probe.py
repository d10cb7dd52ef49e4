# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_probe against nodes that are in order, and against nodes that are not."""

from __future__ import annotations

import typing as t

import pytest
from support import REGISTRY, Cluster, Controller, configure_kubelet, kubectl, kubelet_answers, node_run

Undo = t.Callable[[t.Callable[[], t.Any]], None]
IMAGE = f"{REGISTRY}/pause:1"


def pods(cluster: Cluster) -> str:
    return kubectl("get", "pods", "--namespace", cluster.namespace, "--output=name")


@pytest.mark.parametrize("node", ["crio-a", "ctd-a"])
def test_a_node_proves_that_it_can_checkpoint(controller: Controller, cluster: Cluster, node: str, undo: Undo) -> None:
    result = controller.task(
        "checkpoint_probe", node=node, checkpoint=True, image=IMAGE, namespace=cluster.namespace, wait="2m"
    )

    assert result["changed"] and result["ready"] and result["gate"] == "on", result
    assert result["checkpoint"]["pod"].startswith("checkpoint-probe-")
    undo(lambda: node_run(node, f"rm -f '{result['checkpoint']['path']}'"))
    assert node_run(node, f"stat --format=%a '{result['checkpoint']['path']}'").strip() == "600"
    assert not pods(cluster)


def test_check_mode_makes_no_pod(controller: Controller, cluster: Cluster) -> None:
    result = controller.task(
        "checkpoint_probe", check=True, node="crio-a", checkpoint=True, image=IMAGE, namespace=cluster.namespace
    )

    assert not result["changed"] and result["gate"] == "on" and result["checkpoint"] is None
    assert not pods(cluster)


def test_an_image_that_is_not_there_leaves_no_pod(controller: Controller, cluster: Cluster) -> None:
    image = f"{REGISTRY}/nowhere:1"
    result = controller.task(
        "checkpoint_probe", node="ctd-a", checkpoint=True, image=image, namespace=cluster.namespace, wait="5s"
    )

    assert result["code"] == "probe_pod_not_running" and "nowhere" in result["message"], result
    assert not pods(cluster)


def test_an_unknown_node_is_named(controller: Controller) -> None:
    result = controller.task("checkpoint_probe", node="crio-z")

    assert result["code"] == "node_not_found" and "crio-z" in result["msg"]


def test_a_gate_that_is_off_is_seen(controller: Controller, cluster: Cluster, undo: Undo) -> None:
    undo(lambda: configure_kubelet("ctd-b"))
    configure_kubelet("ctd-b", featureGates={"ContainerCheckpoint": False})

    looked = controller.task("checkpoint_probe", node="ctd-b")
    assert not looked["changed"] and looked["gate"] == "off"
    tried = controller.task("checkpoint_probe", node="ctd-b", checkpoint=True, image=IMAGE, namespace=cluster.namespace)
    assert tried["code"] == "feature_gate_off" and not pods(cluster)


def test_a_kubelet_that_comes_back_is_waited_for(controller: Controller, undo: Undo) -> None:
    def back() -> None:
        node_run("crio-b", "systemctl start kubelet")
        kubelet_answers("crio-b")

    undo(back)
    node_run("crio-b", "systemctl stop kubelet")
    refused = controller.task("checkpoint_probe", node="crio-b", wait="2s")
    assert refused["code"] in ("kubelet_unreachable", "node_not_ready"), refused
    node_run("crio-b", "systemd-run --on-active=4 systemctl start kubelet")
    assert controller.task("checkpoint_probe", node="crio-b", wait="1m")["ready"]
