# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore runtime as the default handler of both container runtimes, and back."""

from __future__ import annotations

import re
import subprocess
import typing as t

import pytest
from restore_support import CRIO, CTD, Archives, leftovers, ticket
from support import Cluster, Controller, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

# A class of its own: with the usual one it could not be removed while other nodes have pods of it.
NAME = "it-default-handler"
NODES = (CRIO, CTD)


@pytest.fixture
def role(
    controller: Controller, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> t.Callable[..., subprocess.CompletedProcess[str]]:
    """The role on both nodes; afterwards they are as they were."""

    def play(**variables: t.Any) -> subprocess.CompletedProcess[str]:
        return controller.role("restore_runtime", *NODES, **variables)

    def put_back() -> None:
        done = play(restore_runtime_class=NAME, restore_runtime_state="absent")
        assert done.returncode == 0, done.stdout
        done = play()
        assert done.returncode == 0, done.stdout

    undo(put_back)
    return lambda **variables: play(restore_runtime_class=NAME, **variables)


def default_handlers(controller: Controller) -> list[str]:
    """What the nodes start containers with whose pods name no RuntimeClass."""
    found = [controller.task("checkpoint_node_info", on=node)["runtime"]["handlers"] for node in NODES]
    return [entry["name"] for handlers in found for entry in handlers if entry["default"]]


def containers(cluster: Cluster, *words: str) -> dict[str, tuple[str, int]]:
    """ID and restarts of the container of each of the pods, which have to run."""
    found = {}
    for word in words:
        for node in NODES:
            status = cluster.get(f"{word}-{node}")["status"]["containerStatuses"][0]
            assert "running" in status["state"], status
            found[f"{word}-{node}"] = (status["containerID"].rpartition("/")[2], status["restartCount"])
    return found


def restart(cluster: Cluster, word: str) -> None:
    """Stop the container of each of the pods, and wait for the one that the kubelet makes in its place."""
    for node in NODES:
        name = f"{word}-{node}"
        before = cluster.get(name)["status"]["containerStatuses"][0]["containerID"]
        node_run(node, f"crictl stop --timeout 0 {before.rpartition('/')[2]}")

        def anew(name: str = name, before: str = before) -> bool:
            status = cluster.get(name)["status"]["containerStatuses"][0]
            return status["containerID"] != before and "running" in status["state"]

        wait_until(f"{name} to run again", anew)


def test_pods_without_a_runtime_class(
    cluster: Cluster,
    controller: Controller,
    archives: Archives,
    role: t.Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    def pods(word: str) -> list[dict[str, t.Any]]:
        return [cluster.pod(f"{word}-{node}", node) for node in NODES]

    cluster.apply(*pods("before"))
    taken = {}
    for node in NODES:
        cluster.says(f"before-{node}", "count 2")
        taken[node] = archives.take(f"before-{node}", node, node)
    running = containers(cluster, "before")

    done = role(restore_runtime_default=True)
    assert done.returncode == 0, done.stdout
    assert default_handlers(controller) == [NAME, NAME]
    assert containers(cluster, "before") == running
    again = role(restore_runtime_default=True)
    assert re.findall(r"changed=(\d+)", again.stdout) == ["0", "0"], again.stdout

    for node in NODES:
        ticket(controller, cluster, node, f"restored-{node}", taken[node])
    cluster.apply(*pods("restored"), *pods("plain"))
    for node in NODES:
        cluster.says(f"plain-{node}", "listening")
        cluster.says(f"restored-{node}", "count")
        log = cluster.logs(f"restored-{node}")
        assert "listening" not in log and int(re.findall(r"count (\d+)", log)[0]) > 2, log
        assert leftovers(node) == ""
    # In a pod that is older than the handler.
    restart(cluster, "before")

    running = containers(cluster, "before", "restored", "plain")
    done = role(restore_runtime_default=False)
    assert done.returncode == 0, done.stdout
    assert default_handlers(controller) == ["runc", "runc"]
    assert containers(cluster, "before", "restored", "plain") == running
    for node in NODES:
        ticket(controller, cluster, node, f"cold-{node}", taken[node])
    cluster.apply(*pods("cold"))
    for node in NODES:
        cluster.says(f"cold-{node}", "listening")
    # In a pod that the handler has made.
    restart(cluster, "plain")

    refused = role(restore_runtime_state="absent")
    assert refused.returncode != 0
    assert "another runtime could not stop them" in refused.stdout
    assert "running" in cluster.get(f"plain-{CTD}")["status"]["containerStatuses"][0]["state"]
    cluster.delete(*(f"{word}-{node}" for word in ("before", "restored", "plain", "cold") for node in NODES))
    done = role(restore_runtime_state="absent")
    assert done.returncode == 0, done.stdout
    assert default_handlers(controller) == ["runc", "runc"]
    for node in NODES:
        assert node_run(node, "ls -d /opt/checkpoint-restore /etc/c*/*/91-checkpoint-restore*", check=False) == ""
        assert "restore runtime" not in node_run(node, "cat /etc/containerd/config.toml", check=False)
    cluster.apply(*pods("after"))
    for node in NODES:
        cluster.says(f"after-{node}", "listening")
