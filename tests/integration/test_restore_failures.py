# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container runtime, a kubelet and a node die in the middle of a restore: what comes up again, and what is left.

That the restore runtime itself is killed is in test_restore_runtime.py.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import pathlib
import subprocess
import typing as t

import pytest
from restore_support import CRIO, CTD, STORE, Archives, leftovers, ticket, to_be_restored
from support import LAB, Cluster, Controller, kubelet_answers, lab, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

ON_NODE = pathlib.Path(__file__).with_name("interrupt_on_node.py")
UNITS = {CRIO: "crio", CTD: "containerd"}
MIB = 200
COLD = f"ready {MIB}"
PATIENCE = 150
SETTLING = 40
# A restored container that waits for its start is given a minute.
SWEEPING = 120
REMAINS = ("restores", "frozen", "half", "criu", "processes")


class Hog(t.NamedTuple):
    """A pod that was checkpointed, and its archive on both nodes: large, so that unpacking it takes a while."""

    pod: dict[str, t.Any]
    archive: str
    sha256: str


@pytest.fixture(scope="module")
def hog(cluster: Cluster) -> t.Iterator[Hog]:
    archives = Archives(cluster)
    for node in (CRIO, CTD):
        # Of a run that was broken off.
        node_run(node, f"rm -f {STORE}/tickets/{cluster.namespace}_*")
    cluster.hog("hog", CRIO, MIB)
    archive = archives.take("hog", CRIO, CTD)
    archives.carry(CTD, archive, CRIO, pathlib.PurePath(archive).name)
    cluster.delete("hog")
    settings = [{"name": "MIB", "value": str(MIB)}, {"name": "MODE", "value": "random"}]
    pod = cluster.pod("hog", CRIO, "hog", env=settings)
    yield Hog(pod, archive, node_run(CTD, f"sha256sum {archive}").split()[0])
    archives.remove()


def on_node(node: str, *words: str) -> list[str]:
    return ["exec", node, "python3", "-c", ON_NODE.read_text(), *words]


def left(node: str, uid: str) -> dict[str, t.Any]:
    return dict(json.loads(lab(*on_node(node, "left", uid)).stdout))


def boot(node: str) -> str:
    return node_run(node, "cat /proc/sys/kernel/random/boot_id", check=False)


def strike(cluster: Cluster, hog: Hog, node: str, name: str, stage: str, victim: str, stopped: str = "") -> None:
    """Create a pod with a ticket, and kill the victim when its restore is at the stage; a unit that is stopped is
    killed with it, and stays down. Such a ticket serves once, others until a restore succeeds."""
    identity = {"namespace": cluster.namespace, "pod": name, "container": "app"}
    given = {**identity, "archive": hog.archive, "sha256": hog.sha256, "on_failure": "cold" if stopped else "keep"}
    words = [str(LAB / "lab"), *on_node(node, "strike", stage, victim, json.dumps(given), stopped)]
    before = boot(node)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as striking:
        assert striking.stdout and striking.stderr
        assert striking.stdout.readline() == "ready\n", striking.stderr.read()
        cluster.apply(to_be_restored(hog.pod, name, node), ready=stage == "running")
        pid, error = striking.communicate("go\n", timeout=PATIENCE)
    if victim == "node":
        # With freezers of the first version, what is frozen outlives the first process of its pid namespace, and the
        # node would never be off. A machine without power has no such processes.
        lab("stop", node)
        lab("start", node)
        wait_until(f"{node} to boot", lambda: boot(node) not in ("", before), PATIENCE)
    else:
        assert striking.returncode == 0, error
        wait_until(f"{victim} to run again", lambda: main_pid(node, victim) not in ("", pid), PATIENCE)
    if not stopped:
        kubelet_answers(node)


def main_pid(node: str, unit: str) -> str:
    """The unit's main process, empty while it is not active."""
    show = "systemctl show --property=MainPID --value"
    return node_run(node, f"systemctl --quiet is-active {unit} && {show} {unit}", check=False)


def runs(cluster: Cluster, node: str, name: str) -> bool:
    """Whether the container that the API has as ready is one that the node runs."""
    found = cluster.get(name)["status"].get("containerStatuses") or [{}]
    if not (found[0].get("ready") and "running" in found[0]["state"]):
        return False
    container = found[0]["containerID"].rpartition("/")[2]
    return container in node_run(node, "crictl ps --quiet", check=False)


def interrupted(cluster: Cluster, hog: Hog, node: str, stage: str, victim: str) -> dict[str, t.Any]:
    """What is left of a restore that was struck: when the pod runs again, and when the pod is gone."""
    name = f"{victim}-{stage}-{node}"
    strike(cluster, hog, node, name, stage, UNITS[node] if victim == "runtime" else victim)
    wait_until(f"{name} to run", lambda: runs(cluster, node, name), PATIENCE)
    found = cluster.get(name)
    uid = found["metadata"]["uid"]
    restored = COLD not in cluster.logs(name)
    running = settled(node, uid, REMAINS)
    cluster.delete(name)
    gone = settled(node, uid, (*REMAINS, "of the pod"))
    restarts = found["status"]["containerStatuses"][0]["restartCount"]
    return {"restored": restored, "restarts": restarts, "running": running, "gone": gone}


def settled(node: str, uid: str, kinds: t.Sequence[str], seconds: float = SETTLING) -> dict[str, t.Any]:
    """What is left of these kinds, after it had time to go."""
    found: dict[str, t.Any] = {}

    def nothing() -> bool:
        found.clear()
        found.update({kind: what for kind, what in left(node, uid).items() if kind in kinds and what})
        return not found

    with contextlib.suppress(AssertionError):
        wait_until("nothing to be left", nothing, seconds, 1)
    return found


def abandoned(cluster: Cluster, hog: Hog, node: str, stage: str) -> dict[str, t.Any]:
    """What is left of a restore whose container runtime was killed, while there is no kubelet that asks for another
    container; and what was there at first."""
    name = f"abandoned-{stage}-{node}"
    try:
        strike(cluster, hog, node, name, stage, UNITS[node], "kubelet")
        uid = cluster.get(name)["metadata"]["uid"]
        at_first = left(node, uid)
        later = settled(node, uid, REMAINS, SWEEPING)
    finally:
        node_run(node, "systemctl start kubelet")
    kubelet_answers(node)
    wait_until(f"{name} to run", lambda: runs(cluster, node, name), PATIENCE)
    cluster.delete(name)
    return {"at first": at_first, "later": later, "gone": settled(node, uid, (*REMAINS, "of the pod"))}


@pytest.mark.parametrize("stage", ["unpacking", "criu", "waiting", "starting", "started", "running"])
@pytest.mark.parametrize("victim", ["runtime", "kubelet", "node"])
def test_the_pod_runs_and_nothing_is_left(cluster: Cluster, hog: Hog, victim: str, stage: str) -> None:
    nodes = (CRIO, CTD)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = dict(zip(nodes, pool.map(lambda node: interrupted(cluster, hog, node, stage, victim), nodes)))
    print(json.dumps(results, indent=1))
    assert [(result["running"], result["gone"]) for result in results.values()] == [({}, {}), ({}, {})], results
    if stage == "running" and victim != "node":
        assert [(result["restored"], result["restarts"]) for result in results.values()] == [(True, 0), (True, 0)]


@pytest.mark.parametrize("stage", ["unpacking", "criu", "waiting"])
def test_nothing_is_left_though_no_container_is_created_any_more(cluster: Cluster, hog: Hog, stage: str) -> None:
    nodes = (CRIO, CTD)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = dict(zip(nodes, pool.map(lambda node: abandoned(cluster, hog, node, stage), nodes)))
    print(json.dumps(results, indent=1))
    assert [(result["later"], result["gone"]) for result in results.values()] == [({}, {}), ({}, {})], results
    # CRI-O does not know of a container that was being made when it was killed: nobody but the sweep could end it.
    assert stage != "waiting" or results[CRIO]["at first"]["frozen"]


@pytest.mark.parametrize("node", [CRIO, CTD])
def test_a_later_ticket_serves_another_pod(cluster: Cluster, controller: Controller, hog: Hog, node: str) -> None:
    name = f"later-{node}"
    ticket(controller, cluster, node, name, hog.archive)
    cluster.apply(to_be_restored(hog.pod, name, node))
    assert cluster.logs(name) == ""
    cluster.delete(name)
    assert leftovers(node) == ""
