# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What checkpoints leave on a node, made on purpose: found, left alone while it is in use, and put right on request."""

from __future__ import annotations

import concurrent.futures
import shlex
import socket
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_guard
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented
from support import SOME_NODES, Cluster, Controller, configure_kubelet, node_run, wait_until

Undo = t.Callable[[t.Callable[[], t.Any]], None]
CRIO, CTD = SOME_NODES
BOTH = pytest.mark.parametrize("node", [CRIO, CTD])
CHECKPOINTS = "/var/lib/kubelet/checkpoints"


def guard(controller: Controller, node: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    result = controller.task("checkpoint_guard", on=node, check=check, keywords={"become": True}, **options)
    assert undocumented(result, checkpoint_guard.RETURN) == []
    return result


def container_id(cluster: Cluster, pod: str) -> str:
    return str(cluster.get(pod)["status"]["containerStatuses"][0]["containerID"]).rpartition("/")[2]


def in_cgroup(cluster: Cluster, node: str, pod: str, file: str) -> str:
    """A file of the container's cgroup."""
    path = f"*{container_id(cluster, pod)}*"
    return node_run(node, f"cat $(find /sys/fs/cgroup -path '{path}' -name {file} | head -n 1)").strip()


def frozen(cluster: Cluster, node: str, pod: str) -> bool:
    return in_cgroup(cluster, node, pod, "freezer.state") == "FROZEN"


def number(cluster: Cluster, pod: str) -> int:
    """What the ledger answers: a number that grows as long as it runs. Raises OSError if it does not answer."""
    with socket.create_connection((cluster.get(pod)["status"]["podIP"], 8081), timeout=3) as connection:
        return int(connection.recv(100))


def serves(cluster: Cluster, node: str, pod: str) -> None:
    """It answers, its number grows, and the runtime lets somebody in again: the program it lacks is looked for."""
    before = number(cluster, pod)
    wait_until(f"{pod} to go on", lambda: number(cluster, pod) > before, 20)
    said = node_run(node, f"crictl exec {container_id(cluster, pod)} /nothing 2>&1", check=False)
    assert "no such file" in said, said


def criu(node: str) -> list[str]:
    return node_run(node, "pgrep -x criu || true").split()


@pytest.fixture
def left_frozen(cluster: Cluster, controller: Controller, undo: Undo, node: str) -> str:
    """A pod with a stopped process, left frozen by a checkpoint that took too long."""
    pod = f"stopped-{node}"
    cluster.apply(cluster.pod(pod, node, "ledger"))
    undo(lambda: cluster.delete(pod))
    cluster.says(pod)
    # The youngest process of the container is the leaf of its tree.
    leaf = max(int(pid) for pid in in_cgroup(cluster, node, pod, "cgroup.procs").split())
    node_run(node, f"kill -STOP {leaf}")
    undo(lambda: configure_kubelet(node))
    configure_kubelet(node, runtimeRequestTimeout="5s")
    result = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[pod], timeout=1)
    assert [failure["code"] for failure in result["failures"]] == ["deadline_exceeded"], result
    assert frozen(cluster, node, pod)
    return pod


@BOTH
def test_what_a_timeout_left_frozen_runs_again(
    cluster: Cluster, controller: Controller, left_frozen: str, node: str
) -> None:
    selection = {"namespace": [cluster.namespace], "pod": [left_frozen]}
    hanging = criu(node)
    for options in ({}, {"thaw": True, "min_age": "1s", "check": True}):
        result = guard(controller, node, **selection, **options)
        (entry,) = result["containers"]
        assert entry["container_id"] == container_id(cluster, left_frozen) and entry["state"] == "frozen"
        assert result["changed"] == entry["thawed"] == bool(options)
        assert frozen(cluster, node, left_frozen) and criu(node) == hanging
    assert entry["verdict"] == "stuck" and str(hanging[0]) in {str(one["pid"]) for one in entry["processes"]}
    result = guard(controller, node, thaw=True, min_age="1s", **selection)
    (entry,) = result["containers"]
    assert result["changed"] and entry["thawed"] and not entry["message"]
    assert not frozen(cluster, node, left_frozen) and not criu(node)
    serves(cluster, node, left_frozen)
    again = guard(controller, node, thaw=True, min_age="1s", **selection)
    assert not again["changed"] and again["containers"] == []


@pytest.mark.parametrize("node", [CTD])
def test_a_pause_that_only_containerd_remembers_is_ended(cluster: Cluster, controller: Controller, node: str) -> None:
    """As after somebody thawed the cgroup by hand."""
    pod = f"paused-{node}"
    cluster.apply(cluster.pod(pod, node, "ledger"))
    cluster.says(pod)
    identifier = container_id(cluster, pod)
    thaw = f"echo THAWED > $(find /sys/fs/cgroup -path '*{identifier}*' -name freezer.state)"
    node_run(node, f"ctr -n k8s.io tasks pause {identifier} && {thaw}")
    assert "paused" in node_run(node, f"crictl exec {identifier} /nothing 2>&1", check=False)
    selection = {"namespace": [cluster.namespace], "pod": [pod]}
    (entry,) = guard(controller, node, **selection)["containers"]
    assert (entry["state"], entry["verdict"]) == ("paused", "abandoned")
    assert guard(controller, node, thaw=True, **selection)["containers"][0]["thawed"]
    serves(cluster, node, pod)
    assert not guard(controller, node, thaw=True, **selection)["changed"]
    cluster.delete(pod)


# CRIU works for moments only until the first file is there, and then stands still until the second is.
SLOW = """
until pid=$(pgrep -f '[c]riu: dump' | head -n 1) && [ -n "$pid" ]; do sleep 0.01; done
until [ -e /run/stand-still ]; do kill -STOP $pid; sleep 1.5; kill -CONT $pid; sleep 0.005; done
kill -STOP $pid
touch /run/stands-still
until [ -e /run/go-on ]; do sleep 0.1; done
kill -CONT $pid
"""


@BOTH
def test_a_checkpoint_under_way_is_left_alone(
    cluster: Cluster, controller: Controller, undo: Undo, tmp_path_factory: pytest.TempPathFactory, node: str
) -> None:
    """First one that gets on, slowed down, then one that stands still, but not for long."""
    pod = f"hog-{node}"
    cluster.hog(pod, node, 1024)
    undo(lambda: cluster.delete(pod))
    undo(lambda: node_run(node, "rm -f /run/stand-still /run/stands-still /run/go-on"))
    selection = {"namespace": [cluster.namespace], "pod": [pod]}
    beside = Controller(tmp_path_factory.mktemp("beside"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(node_run, node, SLOW)
        try:
            run = pool.submit(beside.task, "kubelet_checkpoint", namespace=cluster.namespace, pod=[pod])
            wait_until("CRIU", lambda: bool(criu(node)), 60)
            (going,) = guard(controller, node, thaw=True, min_age="1s", **selection)["containers"]
            node_run(node, "touch /run/stand-still; until [ -e /run/stands-still ]; do sleep 0.1; done")
            (standing,) = guard(controller, node, thaw=True, min_age="10m", **selection)["containers"]
        finally:
            node_run(node, "touch /run/stand-still /run/go-on")
            slow.result()
        taken = run.result()
    assert not taken["failed"], taken
    node_run(node, f"rm {shlex.quote(taken['checkpoints'][0]['path'])}")
    for entry in (going, standing):
        assert entry["verdict"] == "under_way" and not entry["thawed"], entry
        assert [one["ended"] for one in entry["processes"]] == [False] * len(entry["processes"])
    assert any(one["busy"] for one in going["processes"])
    assert not any(one["busy"] for one in standing["processes"])
    assert not frozen(cluster, node, pod)


@BOTH
def test_a_half_written_archive_is_removed_on_request_only(
    cluster: Cluster, controller: Controller, undo: Undo, node: str
) -> None:
    pod = f"full-{node}"
    cluster.hog(pod, node, 64)
    undo(lambda: cluster.delete(pod))
    undo(lambda: node_run(node, f"umount {CHECKPOINTS}"))
    node_run(node, f"mount -t tmpfs -o size=8m tmpfs {CHECKPOINTS}")
    result = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[pod])
    assert [failure["code"] for failure in result["failures"]] == ["disk_full"], result
    for options in ({}, {"remove": ["archives", "leftovers"], "check": True}):
        found = guard(controller, node, **options)
        (archive,) = found["archives"]
        assert archive["path"].startswith(f"{CHECKPOINTS}/checkpoint-{pod}_") and archive["size"] == 8 << 20
        assert found["changed"] == archive["removed"] == bool(options)
        node_run(node, f"test -f {shlex.quote(archive['path'])}")
    own = [item for item in found["leftovers"] if item["pod"] == pod]
    # CRI-O leaves the images as well: the whole memory.
    assert any(item["kind"] == "directory" and item["size"] > 64 << 20 for item in own) == (node == CRIO), own
    removed = guard(controller, node, remove=["archives"])
    assert removed["changed"] and removed["archives"][0]["removed"]
    assert not node_run(node, f"ls {CHECKPOINTS}").strip()
    for item in own:
        node_run(node, f"test -e {shlex.quote(item['path'])}")
    cleaned = guard(controller, node, namespace=[cluster.namespace], pod=[pod], remove=["leftovers"])
    assert [item["path"] for item in cleaned["leftovers"]] == [item["path"] for item in own]
    again = guard(controller, node, namespace=[cluster.namespace], pod=[pod], remove=["archives", "leftovers"])
    assert not again["changed"] and not again["archives"] + again["leftovers"]
    assert cluster.get(pod)["status"]["containerStatuses"][0]["restartCount"] == 0
