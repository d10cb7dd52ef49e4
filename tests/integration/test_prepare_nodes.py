# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prepare_nodes: foretells what it does, does it, and leaves nodes that it cannot prepare as they were."""

from __future__ import annotations

import json
import typing as t

import pytest
from support import NODES, REGISTRY, Cluster, Controller, kubectl, node_run

IMAGE = f"{REGISTRY}/pause:1"
FOOTPRINTS = (
    "find /etc -name '*checkpoint-restore*'; find /var/lib/checkpoint-restore -type f 2>/dev/null; "
    "command -v criu; ls /etc/criu 2>/dev/null; ls -d /opt/checkpoint-restore 2>/dev/null; true"
)
# With a name of its own: the tests of the restore runtime have theirs on other nodes.
RESTORE_RUNTIME = {"restore_runtime": True, "restore_runtime_class": "it-prepared"}


class Prepare:
    """The playbook, and what it says for machines."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __call__(self, *options: str, ok: bool = True, **variables: t.Any) -> dict[str, t.Any]:
        given = {"nodes": ",".join(NODES), "batch": len(NODES), "probe_image": IMAGE, **variables}
        done = self.controller.playbook("prepare_nodes", *options, env={"ANSIBLE_SHOW_CUSTOM_STATS": "1"}, **given)
        assert (done.returncode == 0) is ok, self.controller.output
        text = done.stdout.partition("CUSTOM STATS: ")[2].partition("RUN: ")[2]
        return dict(json.loads(text)["prepare_nodes"]) if text else {}


@pytest.fixture
def prepare(controller: Controller) -> Prepare:
    return Prepare(controller)


def changes(planned: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    return [change for plan in planned for change in plan["changes"]]


def order(found: t.Iterable[dict[str, t.Any]]) -> list[str]:
    return sorted(json.dumps(change, sort_keys=True) for change in found)


def running(namespace: str) -> dict[str, tuple[str, str, int]]:
    """Container ID, start and restarts of each pod."""
    pods = json.loads(kubectl("get", "pods", "--namespace", namespace, "--output=json"))["items"]
    found = {}
    for pod in pods:
        status = pod["status"]["containerStatuses"][0]
        started = status["state"]["running"]["startedAt"]
        found[pod["metadata"]["name"]] = (status["containerID"], started, status["restartCount"])
    return found


def test_the_restore_runtime_comes_on_request(prepare: Prepare, cluster: Cluster) -> None:
    cluster.apply(*(cluster.pod(f"before-{node}", node) for node in NODES))
    before = running(cluster.namespace)

    foretold = prepare("--check", **RESTORE_RUNTIME)
    assert "restore_runtime: create /opt/checkpoint-restore/" in prepare.controller.output
    assert "it-prepared" not in kubectl("get", "runtimeclasses")
    done = prepare(probe=False, **RESTORE_RUNTIME)
    assert order(done["changed"]) == order(changes(foretold["planned"]))
    assert {change["component"] for change in done["changed"]} == {"restore_runtime", "crio", "containerd"}
    pods = [cluster.pod(f"with-{node}", node) for node in NODES]
    for pod in pods:
        pod["spec"]["runtimeClassName"] = "it-prepared"
    cluster.apply(*pods)
    cluster.delete(*(pod["metadata"]["name"] for pod in pods))
    assert running(cluster.namespace) == before and len(before) == len(NODES)
    assert not changes(prepare("--check", **RESTORE_RUNTIME)["planned"])
    cluster.delete(*before)


def test_what_was_set_is_taken_back(prepare: Prepare) -> None:
    prepare(state="absent", **RESTORE_RUNTIME)

    assert "it-prepared" not in kubectl("get", "runtimeclasses")
    assert {node: node_run(node, FOOTPRINTS).strip() for node in NODES} == dict.fromkeys(NODES, "")
    assert not changes(prepare(state="absent")["planned"])


def test_the_plan_is_what_is_done_and_no_container_is_harmed(prepare: Prepare, cluster: Cluster) -> None:
    cluster.apply(*(cluster.pod(f"counter-{node}", node) for node in NODES))
    before = running(cluster.namespace)

    foretold = prepare("--check")
    assert "cannot checkpoint now: " in prepare.controller.output
    assert not foretold["changed"] and not foretold["proved"]
    assert {node: node_run(node, FOOTPRINTS).strip() for node in NODES} == dict.fromkeys(NODES, "")

    done = prepare()
    assert order(done["changed"]) == order(changes(foretold["planned"]))
    assert {change["component"] for change in done["changed"]} >= {"criu"}
    assert done["proved"] == sorted(NODES)
    assert running(cluster.namespace) == before and len(before) == len(NODES)
    assert not any(node_run(node, "find /var/lib/kubelet/checkpoints -name '*checkpoint-probe*'") for node in NODES)


def test_a_second_run_changes_nothing(prepare: Prepare) -> None:
    done = prepare()

    assert not changes(done["planned"]) and not done["changed"] and done["proved"] == sorted(NODES)
    recap = prepare.controller.output.partition("PLAY RECAP")[2]
    assert recap.count("changed=0") == len(NODES) + 1, recap


def test_a_node_that_does_not_come_back_is_put_back_and_the_next_is_not_touched(
    prepare: Prepare, controller: Controller
) -> None:
    before = {node: node_run(node, "grep -r '' /etc/kubernetes/kubelet.conf.d | sort") for node in ("ctd-a", "ctd-b")}
    # What only shows when the kubelet runs: it reads the file after it has accepted its configuration.
    broken = {"tlsCertFile": "/nowhere.crt", "tlsPrivateKeyFile": "/nowhere.key"}
    prepare(ok=False, nodes="ctd-a,ctd-b", batch=1, kubelet_extra=broken)

    assert "kubelet does not come up with its new configuration; it has its old one back" in controller.output
    assert before == {node: node_run(node, "grep -r '' /etc/kubernetes/kubelet.conf.d | sort") for node in before}
    assert controller.task("checkpoint_probe", node="ctd-a", wait="1m")["ready"]


def test_a_wrong_variable_is_a_sentence(prepare: Prepare, controller: Controller) -> None:
    prepare(ok=False, state="gone")

    assert "value of state must be one of: present, absent" in controller.output
