# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_migrate with pods of each kind of controller: who makes the replacement, and that it is no cold copy."""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import subprocess
import threading
import typing as t
import urllib.request

import pytest
from migrate_support import HOSTNAME, Watch, ask, counts_on, failed, migrate, nothing_left
from restore_support import CRIO, CTD
from support import LAB, REGISTRY, Cluster, Controller, configure_kubelet, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

Thing = dict[str, t.Any]
Undo = t.Callable[[t.Callable[[], t.Any]], None]

KINDS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}
SHARED = "/mnt/it-migrate"
OPEN_TREE, MOVE_MOUNT = 428, 429
CLONE, FROM_DESCRIPTOR = 1, 4


def other(node: str) -> str:
    return CTD if node == CRIO else CRIO


def term(*nodes: str) -> Thing:
    return {"nodeSelectorTerms": [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": list(nodes)}]}]}


def controller_of_pods(cluster: Cluster, kind: str, name: str, **spec: t.Any) -> Thing:
    """One of counter, on either of the two nodes. ``container`` in ``spec``: more of that."""
    container = {"name": "app", "image": f"{REGISTRY}/counter:1", "args": ["8080", "200"], **spec.pop("container", {})}
    pod = {
        "terminationGracePeriodSeconds": 1,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term(CRIO, CTD)}},
        "containers": [container],
        **({"restartPolicy": "Never"} if kind == "Job" else {}),
    }
    labels = {"name": name}
    return {
        "apiVersion": KINDS[kind],
        "kind": kind,
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            **({} if kind == "Job" else {"selector": {"matchLabels": labels}}),
            **({"serviceName": name} if kind == "StatefulSet" else {}),
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


def pods(cluster: Cluster, name: str) -> list[Thing]:
    """Those of a controller that are not being deleted."""
    told = kubectl("get", "pods", "--namespace", cluster.namespace, f"--selector=name={name}", "--output=json")
    return [each for each in json.loads(told)["items"] if not each["metadata"].get("deletionTimestamp")]


def is_ready(pod: Thing) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@pytest.fixture
def run(cluster: Cluster, undo: Undo) -> t.Callable[..., list[str]]:
    """Applies a controller of pods, and gives the names of so many of them once they count."""

    def applied(document: Thing, count: int = 1) -> list[str]:
        kind, name = document["kind"], document["metadata"]["name"]
        undo(lambda: kubectl("delete", kind, name, "--namespace", cluster.namespace, "--cascade=foreground"))
        cluster.apply(document)
        wait_until(
            f"{count} of {name}", lambda: len(pods(cluster, name)) == count and ready(cluster, name) == count, 120
        )
        names = sorted(each["metadata"]["name"] for each in pods(cluster, name))
        for each in names:
            cluster.says(each, "count")
        return names

    return applied


def ready(cluster: Cluster, name: str) -> int:
    return len([each for each in pods(cluster, name) if is_ready(each)])


def add(cluster: Cluster, name: str, times: int) -> None:
    """Make a counter one that can be told from its like."""
    address = cluster.get(name)["status"]["podIP"]
    for _each in range(times):
        with urllib.request.urlopen(f"http://{address}:8080/add", data=b"", timeout=10) as answer:
            answer.read()


class Pods:
    """All pods of a controller that there are while it is open, and how many of them are Ready at each moment."""

    TEMPLATE = (
        "{{.type}} {{.object.metadata.name}} {{.object.metadata.uid}} "
        "{{if .object.metadata.deletionTimestamp}}ends{{else}}"
        '{{range .object.status.conditions}}{{if eq .type "Ready"}}{{.status}}{{end}}{{end}}{{end}}'
    )

    def __init__(self, cluster: Cluster, name: str, wanted: int) -> None:
        self.names: dict[str, str] = {}
        self.least = wanted
        self._wanted = wanted
        self._ready: set[str] = set()
        self._complete = threading.Event()
        self._watch = Watch(cluster, "pods", f"name={name}", self.TEMPLATE, self._see)

    def _see(self, line: str) -> None:
        kind, name, uid, *state = line.split()
        self.names[uid] = name
        if kind != "DELETED" and state == ["True"]:
            self._ready.add(uid)
        else:
            self._ready.discard(uid)
        # Those that were there before come one by one.
        if len(self._ready) >= self._wanted:
            self._complete.set()
        if self._complete.is_set():
            self.least = min(self.least, len(self._ready))

    def __enter__(self) -> Pods:
        self._watch.__enter__()
        assert self._complete.wait(30)
        return self

    def __exit__(self, *exception: object) -> None:
        self._watch.__exit__(*exception)


@pytest.mark.parametrize(("order", "available"), [("source_first", 2), ("replacement_first", 3)])
def test_one_of_three_replicas_with_a_budget(
    cluster: Cluster, controller: Controller, run: t.Callable[..., list[str]], undo: Undo, order: str, available: int
) -> None:
    name = order.replace("_", "-")
    names = run(controller_of_pods(cluster, "Deployment", name, replicas=3), 3)
    undo(lambda: kubectl("delete", "poddisruptionbudget", name, "--namespace", cluster.namespace))
    budget = {"minAvailable": available, "selector": {"matchLabels": {"name": name}}}
    metadata = {"name": name, "namespace": cluster.namespace}
    cluster.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget})
    place = (
        "get",
        "poddisruptionbudget",
        name,
        "--namespace",
        cluster.namespace,
        "--output=jsonpath={.status.currentHealthy}",
    )
    wait_until("the budget to count", lambda: kubectl(*place) == "3")
    add(cluster, names[1], 500)
    since = {each: ask(cluster, each)["since"] for each in names}
    before = ask(cluster, names[1])["count"]
    source = cluster.get(names[1])["spec"]["nodeName"]
    with Pods(cluster, name, 3) as seen:
        result = migrate(controller, cluster, names[1], other(source), order=order)
        wait_until("the three to be left", lambda: len(pods(cluster, name)) == ready(cluster, name) == 3)
    print(order, result["way"], result["seconds"], result["down_seconds"])
    moved = result["pod"]
    # Whoever was there meanwhile is one of the three, or the one that goes on; and that is the old process.
    assert sorted(seen.names.values()) == sorted([*names, moved])
    assert sorted(each["metadata"]["name"] for each in pods(cluster, name)) == sorted({*names, moved} - {names[1]})
    assert seen.least >= available
    assert {each: ask(cluster, each)["since"] for each in names if each != names[1]} == {
        each: since[each] for each in names if each != names[1]
    }
    now = ask(cluster, moved)
    assert now["since"] == since[names[1]] and now["count"] > before
    restarts = [
        status["restartCount"] for each in pods(cluster, name) for status in each["status"]["containerStatuses"]
    ]
    assert restarts == [0, 0, 0]
    counts_on(cluster, moved, before)
    nothing_left(cluster)


def test_a_job_does_not_count_the_move_as_a_failure(
    cluster: Cluster, controller: Controller, run: t.Callable[..., list[str]]
) -> None:
    (name,) = run(controller_of_pods(cluster, "Job", "job", backoffLimit=0))
    before = ask(cluster, name)
    result = migrate(controller, cluster, name, other(cluster.get(name)["spec"]["nodeName"]))
    print(result["way"], result["seconds"], result["down_seconds"])
    assert ask(cluster, result["pod"])["since"] == before["since"]
    counts_on(cluster, result["pod"], before["count"])
    status = json.loads(kubectl("get", "job", "job", "--namespace", cluster.namespace, "--output=json"))["status"]
    assert (status["active"], status.get("failed", 0), status.get("succeeded", 0)) == (1, 0, 0)
    assert [each["metadata"]["name"] for each in pods(cluster, "job")] == [result["pod"]]
    nothing_left(cluster)


@pytest.fixture
def shared_folder(tmp_path: pathlib.Path, undo: Undo) -> str:
    """A folder of this machine at the same path of both nodes, as a file system in the network would be."""
    folder = tmp_path / "shared"
    folder.mkdir()
    library = ctypes.CDLL(None, use_errno=True)
    for node in (CRIO, CTD):
        descriptor = library.syscall(OPEN_TREE, -100, os.fsencode(folder), CLONE)
        assert descriptor >= 0, os.strerror(ctypes.get_errno())
        code = f"syscall({MOVE_MOUNT}, {descriptor}, b'', -100, b'{SHARED}', {FROM_DESCRIPTOR})"
        node_run(node, f"mkdir -p {SHARED}")
        undo(lambda node=node: node_run(node, f"umount {SHARED}; rmdir {SHARED}"))
        command = [
            str(LAB / "lab"),
            "exec",
            node,
            "python3",
            "-c",
            f"import ctypes; exit(ctypes.CDLL(None).{code} and 1)",
        ]
        subprocess.run(command, check=True, pass_fds=[descriptor])
        os.close(descriptor)
    return str(folder)


def volume(cluster: Cluster, name: str, path: str, nodes: tuple[str, ...], mode: str) -> Thing:
    """A PersistentVolume of nodes, for the claim ``data`` of the StatefulSet's pod."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": cluster.namespace,
        "name": f"data-{name}-0",
    }
    spec = {
        "capacity": {"storage": "1Mi"},
        "accessModes": [mode],
        "storageClassName": "",
        "persistentVolumeReclaimPolicy": "Retain",
        "local": {"path": path},
        "nodeAffinity": {"required": term(*nodes)},
        "claimRef": claim,
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{cluster.namespace}-{name}"},
        "spec": spec,
    }


def with_volume(cluster: Cluster, name: str, mode: str) -> Thing:
    resources = {"requests": {"storage": "1Mi"}}
    claim = {"accessModes": [mode], "storageClassName": "", "resources": resources}
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    templates = [{"metadata": {"name": "data"}, "spec": claim}]
    return controller_of_pods(cluster, "StatefulSet", name, container=mounts, volumeClaimTemplates=templates)


def test_a_stateful_set_with_a_volume_that_both_nodes_reach(
    cluster: Cluster, controller: Controller, run: t.Callable[..., list[str]], undo: Undo, shared_folder: str
) -> None:
    undo(lambda: kubectl("delete", "persistentvolume", f"{cluster.namespace}-shared"))
    cluster.apply(volume(cluster, "shared", SHARED, (CRIO, CTD), "ReadWriteMany"))
    undo(lambda: kubectl("delete", "persistentvolumeclaim", "data-shared-0", "--namespace", cluster.namespace))
    (name,) = run(with_volume(cluster, "shared", "ReadWriteMany"))
    uid = cluster.get(name)["metadata"]["uid"]
    pathlib.Path(shared_folder, "kept").write_text("text")
    since = ask(cluster, name)["since"]
    for _way in range(2):
        before = ask(cluster, name)["count"]
        source = cluster.get(name)["spec"]["nodeName"]
        result = migrate(controller, cluster, name, other(source))
        print(source, result["way"], result["seconds"], result["down_seconds"])
        assert (result["pod"], ask(cluster, name)["since"]) == (name, since)
        counts_on(cluster, name, before)
        pod = cluster.get(name)
        assert pod["spec"]["nodeName"] == other(source) and pod["metadata"]["uid"] != uid
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
        mounted = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~local-volume/*/kept"
        assert node_run(other(source), f"cat {mounted}") == "text"
        nothing_left(cluster)


@pytest.mark.parametrize(("mode", "why"), [("ReadWriteMany", CTD), ("ReadWriteOnce", "ReadWriteOnce")])
def test_a_stateful_set_with_a_volume_of_its_node_is_refused(
    cluster: Cluster, controller: Controller, run: t.Callable[..., list[str]], undo: Undo, mode: str, why: str
) -> None:
    kind = f"local-{mode.lower()}"
    undo(lambda: kubectl("delete", "persistentvolume", f"{cluster.namespace}-{kind}"))
    undo(lambda: node_run(CRIO, f"rm -rf {SHARED}-local"))
    node_run(CRIO, f"mkdir -p {SHARED}-local")
    cluster.apply(volume(cluster, kind, f"{SHARED}-local", (CRIO,), mode))
    undo(lambda: kubectl("delete", "persistentvolumeclaim", f"data-{kind}-0", "--namespace", cluster.namespace))
    (name,) = run(with_volume(cluster, kind, mode))
    before, uid = ask(cluster, name), cluster.get(name)["metadata"]["uid"]
    result = controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=name, node=CTD)
    assert failed(result) == ["claim"]
    assert f"data-{kind}-0" in result["reason"] and why in result["reason"], result["reason"]
    wait_until("the next number", lambda: ask(cluster, name)["count"] > before["count"])
    assert (ask(cluster, name)["since"], cluster.get(name)["metadata"]["uid"]) == (before["since"], uid)
    nothing_left(cluster)


def test_daemon_sets_and_static_pods_stay(
    cluster: Cluster, controller: Controller, run: t.Callable[..., list[str]], undo: Undo
) -> None:
    names = run(controller_of_pods(cluster, "DaemonSet", "daemon"), 2)
    to = other(cluster.get(names[0])["spec"]["nodeName"])
    result = controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=names[0], node=to)
    assert result["code"] == "owner_unsupported" and "DaemonSet daemon" in result["reason"]
    folder = "/etc/kubernetes/it-migrate"
    document = cluster.pod("static", CRIO)
    undo(lambda: wait_until("the static pod to be gone", lambda: pods(cluster, "static") == []))
    undo(lambda: configure_kubelet(CRIO))
    undo(lambda: node_run(CRIO, f"rm -rf {folder}"))
    node_run(CRIO, f"mkdir {folder} && echo '{json.dumps(document)}' > {folder}/static.json")
    configure_kubelet(CRIO, staticPodPath=folder)
    wait_until("the static pod", lambda: ready(cluster, "static") == 1)
    result = controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=f"static-{CRIO}", node=CTD)
    assert result["code"] == "pod_static"
