# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes of failed checkpoints, out of the logs that real ones left."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_diagnose
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented
from support import SOME_NODES, Cluster, Controller

Undo = t.Callable[[t.Callable[[], t.Any]], None]
CONFIGURATION = "/etc/criu/runc.conf"


def diagnose(controller: Controller, node: str, **options: t.Any) -> dict[str, t.Any]:
    result = controller.task("checkpoint_diagnose", on=node, keywords={"become": True}, **options)
    assert undocumented(result, checkpoint_diagnose.RETURN) == []
    return result


@pytest.mark.parametrize("node", SOME_NODES)
def test_an_established_connection(cluster: Cluster, controller: Controller, undo: Undo, node: str) -> None:
    """Told with the option that allows it, which the role then sets, and it does."""
    pod = f"chatty-{node}"
    cluster.apply(cluster.pod(pod, node, "chatty"))
    undo(lambda: cluster.delete(pod))
    cluster.says(pod)
    selection = {"namespace": [cluster.namespace], "pod": [pod]}
    assert diagnose(controller, node, **selection)["diagnoses"] == []
    refused = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[pod])
    assert [failure["code"] for failure in refused["failures"]] == ["criu_failed"], refused
    (found,) = diagnose(controller, node, **selection)["diagnoses"]
    assert found["code"] == "criu_tcp_established" and found["operation"] == "checkpoint"
    assert "established TCP connection" in found["reason"]
    assert "tcp-established" in found["hint"] and CONFIGURATION in found["hint"]
    assert found["container_id"] == refused["failures"][0]["container_id"]
    assert found["criu_version"].startswith("4.") and not any("RLIMIT" in line for line in found["errors"])
    (by_name,) = diagnose(controller, node, log=found["log"])["diagnoses"]
    assert (by_name["code"], by_name["errors"]) == (found["code"], found["errors"])
    prepare = {"nodes": node, "probe": False}
    undo(lambda: controller.playbook("prepare_nodes", **prepare))
    done = controller.playbook("prepare_nodes", criu_tcp_established=True, **prepare)
    assert done.returncode == 0, controller.output
    allowed = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[pod])
    assert not allowed["failed"], allowed


def test_a_log_that_is_not_there(controller: Controller) -> None:
    result = controller.task("checkpoint_diagnose", on=SOME_NODES[0], log="/nowhere/dump.log")
    assert result["failed"] and result["code"] == "log_unreadable" and "/nowhere/dump.log" in result["reason"]
