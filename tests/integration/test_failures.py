# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each failure code that the laboratory can produce, produced."""

from __future__ import annotations

import concurrent.futures
import json
import time
import typing as t

import pytest
from support import NODES, Cluster, Controller, configure_kubelet, kubectl, kubelet_answers, lab, node_run, wait_until

Undo = t.Callable[[t.Callable[[], t.Any]], None]


@pytest.fixture(scope="module")
def counters(cluster: Cluster) -> Cluster:
    cluster.apply(*(cluster.pod(f"counter-{node}", node) for node in NODES))
    return cluster


def the_failure(result: dict[str, t.Any], code: str) -> dict[str, t.Any]:
    """The only failure, with the expected code and something to read."""
    assert result["failed"], result
    assert [item["code"] for item in result["failures"]] == [code], result
    failure: dict[str, t.Any] = result["failures"][0]
    assert failure["reason"] and failure["hint"] and failure["phase"]
    assert failure["hint"] in result["msg"] or failure["reason"] in result["msg"]
    return failure


def goes_on(counters: Cluster, pod: str) -> None:
    """A refused or broken checkpoint left the workload running."""
    before = len(counters.logs(pod).splitlines())
    wait_until(f"{pod} to go on", lambda: len(counters.logs(pod).splitlines()) > before, 20)


def test_kubelet_stopped(counters: Cluster, controller: Controller, undo: Undo) -> None:
    undo(lambda: kubelet_answers("crio-a"))
    undo(lambda: node_run("crio-a", "systemctl start kubelet"))
    node_run("crio-a", "systemctl stop kubelet")
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=["counter-crio-a"])
    failure = the_failure(result, "kubelet_unreachable")
    assert failure["retryable"] and failure["attempts"] > 1


def test_wrong_token(counters: Cluster, controller: Controller) -> None:
    selection = {"namespace": counters.namespace, "pod": ["counter-crio-a"]}
    failure = the_failure(controller.task("kubelet_checkpoint", kubelet_api_key="wrong", **selection), "unauthorized")
    assert failure["http_status"] == 401 and not failure["retryable"]


def test_wrong_ca(counters: Cluster, controller: Controller, facts: dict[str, t.Any]) -> None:
    wrong = {"namespace": counters.namespace, "pod": ["counter-ctd-a"], "kubelet_ca_cert": facts["other_ca"]}
    failure = the_failure(controller.task("kubelet_checkpoint", **wrong), "certificate_untrusted")
    for way_out in ("kubelet_ca_cert", "via: apiserver", "kubelet_validate_certs"):
        assert way_out in failure["hint"]
    unchecked = controller.task("kubelet_checkpoint", kubelet_validate_certs=False, **wrong)
    assert not unchecked["failed"], unchecked


@pytest.mark.parametrize(
    ("pod", "container", "code"),
    [("nobody", "app", "pod_not_found"), ("counter-crio-a", "nobody", "container_not_found")],
)
def test_no_such_pod_or_container(
    counters: Cluster, controller: Controller, pod: str, container: str, code: str
) -> None:
    selected = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=[pod], container=[container])
    assert selected["failed"] and code in json.dumps(selected), selected
    # The kubelet's own words, where the API server was not asked for the pod.
    target = {"node": "crio-a", "namespace": counters.namespace, "pod": pod, "container": container}
    asked = controller.task("kubelet_checkpoint", via="apiserver", targets=[target])
    assert the_failure(asked, code)["http_status"] == 404


def test_finished_container(counters: Cluster, controller: Controller) -> None:
    pod = counters.pod("finished", "ctd-a", args=["not-a-port"])
    pod["spec"]["restartPolicy"] = "Never"
    counters.apply(pod, ready=False)
    wait_until("it to end", lambda: counters.get("finished")["status"]["phase"] in ("Failed", "Succeeded"))
    selection = {"namespace": counters.namespace, "pod": ["finished"], "container": ["app"]}
    the_failure(controller.task("kubelet_checkpoint", **selection), "container_not_running")
    target = {"node": "ctd-a", "namespace": counters.namespace, "pod": "finished", "container": "app"}
    asked = controller.task("kubelet_checkpoint", via="apiserver", targets=[target])
    assert the_failure(asked, "container_not_running")["http_status"] == 500


@pytest.mark.parametrize(("node", "unit"), [("crio-b", "crio"), ("ctd-b", "containerd")])
def test_criu_absent(counters: Cluster, controller: Controller, undo: Undo, node: str, unit: str) -> None:
    undo(lambda: node_run(node, f"mv /root/criu.away /usr/sbin/criu; systemctl restart {unit}"))
    node_run(node, f"mv /usr/sbin/criu /root/criu.away; systemctl restart {unit}")
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=[f"counter-{node}"])
    failure = the_failure(result, "criu_missing")
    assert failure["http_status"] == 500 and failure["message"]
    goes_on(counters, f"counter-{node}")


@pytest.mark.parametrize("node", ["crio-a", "ctd-a"])
def test_established_connection(counters: Cluster, controller: Controller, node: str) -> None:
    name = f"chatty-{node}"
    counters.apply(counters.pod(name, node, "chatty"))
    counters.says(name)
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=[name])
    failure = the_failure(result, "criu_failed")
    assert "dump.log" in failure["hint"]
    goes_on(counters, name)
    counters.delete(name)


@pytest.mark.parametrize("node", ["crio-a", "ctd-a"])
def test_disk_full(counters: Cluster, controller: Controller, undo: Undo, node: str) -> None:
    counters.hog(f"hog-{node}", node, 64)
    directory = "/var/lib/kubelet/checkpoints"
    undo(lambda: node_run(node, f"umount {directory}"))
    node_run(node, f"mount -t tmpfs -o size=8m tmpfs {directory}")
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=[f"hog-{node}"])
    the_failure(result, "disk_full")
    counters.delete(f"hog-{node}")


def test_deadline(counters: Cluster, controller: Controller, undo: Undo) -> None:
    """The kubelet gives up in the middle of a large dump. Its limit is two minutes at least unless configured."""
    counters.hog("slow", "ctd-b", 3072)
    undo(lambda: configure_kubelet("ctd-b"))
    configure_kubelet("ctd-b", runtimeRequestTimeout="2s")
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=["slow"], timeout=1)
    failure = the_failure(result, "deadline_exceeded")
    assert "frozen" in failure["reason"] and "thaw" in failure["hint"]
    node_run(
        "ctd-b", "for f in $(find /sys/fs/cgroup -path '*kubepods*' -name freezer.state); do echo THAWED >$f; done"
    )
    counters.delete("slow")


def test_node_cut_off_in_the_middle(counters: Cluster, controller: Controller, undo: Undo) -> None:
    counters.hog("large", "ctd-a", 2048)
    undo(lambda: kubectl("wait", "node/ctd-a", "--for=condition=Ready", "--timeout=90s"))
    undo(lambda: lab("heal", "ctd-a"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(controller.task, "kubelet_checkpoint", namespace=counters.namespace, pod=["large"])
        dumping = "pgrep -x criu || true"
        wait_until("the dump", lambda: bool(node_run("ctd-a", dumping).strip()), 60, 0.05)
        lab("cut", "ctd-a")
        began = time.monotonic()
        failure = the_failure(run.result(), "connection_lost")
    assert time.monotonic() - began < 120
    assert not failure["retryable"] and failure["attempts"] == 1
    lab("heal", "ctd-a")
    counters.delete("large")


def test_partial_failure_attempts_all(counters: Cluster, controller: Controller, undo: Undo) -> None:
    undo(lambda: kubelet_answers("crio-b"))
    undo(lambda: node_run("crio-b", "systemctl start kubelet"))
    node_run("crio-b", "systemctl stop kubelet")
    selection = {
        "namespace": counters.namespace,
        "label_selectors": ["app=counter"],
        "pod": [f"counter-{n}" for n in NODES],
    }
    result = controller.task("kubelet_checkpoint", **selection)
    the_failure(result, "kubelet_unreachable")
    assert [item["node"] for item in result["checkpoints"]] == ["crio-a", "ctd-a", "ctd-b"]
    green = controller.task("kubelet_checkpoint", ignore_failures=True, **selection)
    assert not green["failed"] and len(green["failures"]) == 1 and len(green["checkpoints"]) == 3
