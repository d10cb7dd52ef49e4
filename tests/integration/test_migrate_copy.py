# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_migrate with strategy copy: the pod feels nothing but a moment, and its copy is nobody's."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_migrate
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented
from fault_support import CRIU, DISK, KUBELET, Fault, Scene, agent, kill, scenes
from labkit import images
from migrate_support import ask, counts_on, failed, nothing_left, term, workload
from restore_support import CRIO, CTD
from support import REGISTRY, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

TALKER = pathlib.Path(__file__).with_name("talker.c")
COPIES = "--selector=checkpoint-restore.io/copy=true"
Thing = dict[str, t.Any]
Undo = t.Callable[[t.Callable[[], t.Any]], None]


@pytest.fixture(scope="module")
def talker(facts: Thing, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of talker.c."""
    program = tmp_path_factory.mktemp("talker") / "talker"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-s", "-o", program, TALKER], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    # Nodes keep an image by its tag.
    tag = hashlib.sha256(program.read_bytes()).hexdigest()[:12]
    images.push(facts["registry"], "it-talker", tag, {"/bin/talker": program}, entrypoint=["/bin/talker"], **where)
    return f"{REGISTRY}/it-talker:{tag}"


def copy(
    controller: Controller, cluster: Cluster, pod: str, to: str, *, check: bool = False, **options: t.Any
) -> Thing:
    arguments = {"namespace": cluster.namespace, "pod": pod, "node": to, "strategy": "copy", **options}
    result = controller.task("checkpoint_migrate", check=check, **arguments)
    # Ansible's own for what failed: where in Ansible that was.
    result.pop("exception", None)
    assert undocumented(result, checkpoint_migrate.RETURN) == []
    return result


def copies(cluster: Cluster) -> list[Thing]:
    found = kubectl("get", "pods", "--namespace", cluster.namespace, COPIES, "--output=json")
    return list(json.loads(found)["items"])


def delete_copies(cluster: Cluster) -> None:
    kubectl("delete", "pods", "--namespace", cluster.namespace, COPIES, "--wait", "--now")


class Talk:
    """One connection to a talker, over which a client says something as long as it is open."""

    def __init__(self, address: str) -> None:
        self._connection = socket.create_connection((address, 7070), timeout=30)
        self._answers = self._connection.makefile()
        self._over = threading.Event()
        self.heard: list[int] = []
        self._thread = threading.Thread(target=self._run)

    def say(self) -> int:
        self._connection.sendall(b"+")
        return int(self._answers.readline())

    def _run(self) -> None:
        # An answer that does not come ends it.
        with contextlib.suppress(OSError, ValueError):
            while not self._over.wait(0.01):
                self.heard.append(self.say())

    def goes_on(self) -> None:
        before = len(self.heard)
        wait_until("the next answer", lambda: len(self.heard) > before + 2)

    def __enter__(self) -> Talk:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()
        self._answers.close()
        self._connection.close()


def printed(cluster: Cluster, pod: str) -> list[int]:
    """The numbers that the container ``app`` printed since it is there."""
    lines = kubectl("logs", "--namespace", cluster.namespace, pod, "--container=app").splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("count ")]


def data(pod: Thing) -> str:
    """Where its node has the pod's emptyDir volume."""
    return f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~empty-dir/data"


@pytest.mark.parametrize(("source", "target"), [(CRIO, CTD), (CTD, CRIO)])
def test_the_pod_and_its_clients_go_on_and_the_copy_begins_where_it_was(
    cluster: Cluster, controller: Controller, talker: str, source: str, target: str
) -> None:
    document = cluster.pod("both", source, args=["8080", "50"], volumeMounts=[{"name": "data", "mountPath": "/data"}])
    document["spec"]["containers"].append({"name": "talks", "image": talker})
    document["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    cluster.apply(document)
    was = cluster.get("both")
    node_run(source, f"echo text > {data(was)}/kept")
    since = ask(cluster, "both")["since"]

    checked = copy(controller, cluster, "both", target, check=True)
    assert (checked["changed"], checked["outcome"], checked["way"]) == (True, None, "copy"), checked
    assert checked["table"][1].endswith("would be copied: copy") and copies(cluster) == []

    with Talk(was["status"]["podIP"]) as talk:
        talk.goes_on()
        before, said = ask(cluster, "both")["count"], talk.heard[-1]
        result = copy(controller, cluster, "both", target)
        assert (result["outcome"], result["changed"], result["way"]) == ("copied", True, "copy"), controller.output
        after, heard = ask(cluster, "both")["count"], talk.heard[-1]
        talk.goes_on()
    assert talk.heard == list(range(1, len(talk.heard) + 1)), "each answer over the one connection"
    (entry,) = result["moves"]
    name = result["pod"]
    assert name.startswith("both-copy-") and entry["replacement"] == name and not result.get("warnings")
    assert set(result["receipts"]) == {"app", "talks"} and 0 < result["frozen_seconds"] < result["seconds"]["total"]
    assert (result["down_seconds"], result["lost_seconds"]) == (None, 0)
    (check,) = (each for each in result["checks"] if each["name"] == "connections")
    assert "which the copy will see closed" in check["reason"]

    now, made = cluster.get("both"), cluster.get(name)
    assert now["metadata"]["uid"] == was["metadata"]["uid"] and now["spec"]["nodeName"] == source
    assert [each["restartCount"] for each in now["status"]["containerStatuses"]] == [0, 0]
    numbers = printed(cluster, "both")
    assert numbers == list(range(1, len(numbers) + 1)), "without a hole"
    assert made["spec"]["nodeName"] == target and made["metadata"].get("ownerReferences") is None
    assert ask(cluster, name)["since"] == since
    numbers = printed(cluster, name)
    assert before < numbers[0] <= after + 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    talks = Talk(made["status"]["podIP"])
    assert said < talks.say() <= heard + 1
    with talks:
        talks.goes_on()
    assert node_run(target, f"cat {data(made)}/kept") == "text\n"
    nothing_left(cluster)
    delete_copies(cluster)
    cluster.delete("both")


EITHER = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term(CRIO, CTD)]}}


def uid(pod: Thing) -> str:
    return str(pod["metadata"]["uid"])


def those_of(cluster: Cluster, name: str) -> dict[str, Thing]:
    """The pods with a workload's label, by their names."""
    found = kubectl("get", "pods", "--namespace", cluster.namespace, f"--selector=name={name}", "--output=json")
    return {each["metadata"]["name"]: each for each in json.loads(found)["items"]}


def test_nobody_takes_the_copy_of_a_deployments_pod_for_one_of_its_pods(
    cluster: Cluster, controller: Controller, undo: Undo
) -> None:
    labels = {"name": "web"}
    service = {"selector": labels, "ports": [{"port": 8080}]}
    budget = {"selector": {"matchLabels": labels}, "minAvailable": 2}
    metadata = {"name": "web", "namespace": cluster.namespace}
    undo(lambda: kubectl("delete", "deployment,service,pdb", "web", "--namespace", cluster.namespace, "--wait"))
    cluster.apply(
        workload(cluster, "Deployment", "web", EITHER, replicas=2),
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget},
    )
    kubectl("rollout", "status", "--namespace", cluster.namespace, "--timeout=60s", "deployment/web")
    before = those_of(cluster, "web")
    name = min(before)
    target = CTD if cluster.get(name)["spec"]["nodeName"] == CRIO else CRIO
    move = {"namespace": cluster.namespace, "pod": name, "node": target}
    assert failed(controller.task("checkpoint_migrate", **move)) == ["budget"]

    def told(what: str, path: str) -> str:
        return kubectl("get", what, "web", "--namespace", cluster.namespace, f"--output=jsonpath={{{path}}}")

    made: list[str] = []
    for which in ({"pod": name}, {"label_selectors": ["name=web"]}):
        result = controller.task("checkpoint_migrate", **{**move, "strategy": "copy", "pod": None, **which})
        assert not result.get("failed"), (result, controller.output)
        for entry in result["moves"]:
            on_target = before[entry["pod"]]["spec"]["nodeName"] == target
            assert entry["outcome"] == ("there" if on_target else "copied")
            if not on_target:
                made.append(entry["replacement"])
                assert ask(cluster, entry["replacement"])["since"] == ask(cluster, entry["pod"])["since"]
                counts_on(cluster, entry["replacement"], 0)
    assert sorted(each["metadata"]["name"] for each in copies(cluster)) == sorted(made) and len(made) >= 2
    after = those_of(cluster, "web")
    assert {uid(each) for each in after.values()} == {uid(each) for each in before.values()}
    assert not any(each["metadata"].get("deletionTimestamp") for each in after.values())
    assert told("deployment", ".status.replicas") == "2" == told("pdb", ".status.currentHealthy")
    slices = kubectl(
        "get",
        "endpointslices",
        "--namespace",
        cluster.namespace,
        "--selector=kubernetes.io/service-name=web",
        "--output=jsonpath={.items[*].endpoints[*].addresses[*]}",
    )
    assert sorted(slices.split()) == sorted(each["status"]["podIP"] for each in before.values())
    nothing_left(cluster)
    delete_copies(cluster)


def test_one_with_a_volume_that_both_would_write_to_is_not_copied(
    cluster: Cluster, controller: Controller, undo: Undo
) -> None:
    """Both nodes reach it, so that the pod could be moved."""
    folder, volume = f"/mnt/{cluster.namespace}", f"{cluster.namespace}-shared"
    resources = {"requests": {"storage": "1Mi"}}
    claim = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": resources}
    templates = [{"metadata": {"name": "data"}, "spec": claim}]
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    stateful = workload(
        cluster, "StatefulSet", "keeps", EITHER, serviceName="keeps", volumeClaimTemplates=templates, container=mounts
    )
    spec = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteMany"],
        "claimRef": {"namespace": cluster.namespace, "name": "data-keeps-0"},
        "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
    }
    for node in (CRIO, CTD):
        undo(lambda node=node: node_run(node, f"rm -rf {folder}"))
    undo(lambda: kubectl("delete", "persistentvolume", volume))
    undo(lambda: kubectl("delete", "persistentvolumeclaim", "data-keeps-0", "--namespace", cluster.namespace))
    undo(lambda: kubectl("delete", "statefulset", "keeps", "--namespace", cluster.namespace, "--cascade=foreground"))
    cluster.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec}, stateful
    )
    wait_until("the pod", lambda: len(those_of(cluster, "keeps")) == 1)
    cluster.says("keeps-0", "count 2")
    source = cluster.get("keeps-0")["spec"]["nodeName"]
    target = CTD if source == CRIO else CRIO
    result = copy(controller, cluster, "keeps-0", target)
    assert failed(result) == ["shared_volume"] and "data" in result["reason"] and not result["changed"], result
    assert copies(cluster) == []
    result = copy(controller, cluster, "keeps-0", target, order="replacement_first")
    assert (result["code"], result["changed"]) == ("invalid_option", False)
    result = copy(controller, cluster, "keeps-0", source)
    assert (result["outcome"], result["changed"]) == ("there", False)
    nothing_left(cluster)


@pytest.fixture
def scene(cluster: Cluster, controller: Controller) -> t.Iterator[t.Callable[..., Scene]]:
    with scenes(cluster, controller) as made:
        yield made
        delete_copies(cluster)


def one_copy(made: Scene, result: Thing) -> None:
    """There is this one and no other, and the pod has felt nothing that its client could tell."""
    assert result.get("outcome") == "copied", (result, made.controller.output)
    assert [each["metadata"]["name"] for each in copies(made.cluster)] == [result["pod"]]
    assert ask(made.cluster, result["pod"])["since"] == made.client.answers[0][2]
    unharmed(made)


def unharmed(made: Scene) -> None:
    made.goes_on_where_it_was()
    wait_until("nothing to be left", lambda: made.left() == "", interval=1)
    made.client.saw_one()
    (status,) = made.cluster.get(made.name)["status"]["containerStatuses"]
    assert status["restartCount"] == 0


STEPS = ("planned", "prepared", "freezing", "resumed", "made", "running")


@pytest.mark.parametrize("step", STEPS)
def test_the_controller_is_killed(scene: t.Callable[..., Scene], step: str) -> None:
    """What it had begun is undone by the next run, which makes a copy of its own."""
    source, target = (CRIO, CTD) if STEPS.index(step) % 2 else (CTD, CRIO)
    made = scene(f"killed-{step}", source, target)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(made.migrate, step, strategy="copy")
        kill(made.stopped(running))
        assert running.result() == {}
    made.goes_on_where_it_was()
    former = [each["metadata"]["name"] for each in copies(made.cluster)]
    assert len(former) == (step in ("made", "running"))
    result = made.migrate(strategy="copy")
    assert result["pod"] not in former
    one_copy(made, result)


class Row(t.NamedTuple):
    """``undone``: whether nothing is left after the first run. Otherwise the second run sees to it."""

    step: str
    where: str
    fault: Fault
    undone: bool


ROWS = {
    "source-agent": Row("freezing", "source", agent("source"), undone=False),
    "target-agent": Row("resumed", "target", agent("target"), undone=False),
    "target-disk": Row("prepared", "target", DISK, undone=True),
    "target-criu": Row("resumed", "target", CRIU, undone=True),
    "target-kubelet": Row("resumed", "target", KUBELET, undone=True),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_fault(scene: t.Callable[..., Scene], name: str) -> None:
    row = ROWS[name]
    source, target = (CRIO, CTD) if list(ROWS).index(name) % 2 else (CTD, CRIO)
    made = scene(name, source, target)
    shell = made.on(row.where)
    with contextlib.ExitStack() as stack:
        shell.run(row.fault.before)
        stack.callback(shell.run, row.fault.unmake)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(made.migrate, row.step, strategy="copy", timeout="15s")
            pid = made.stopped(running)
            shell.run(row.fault.make)
            os.kill(pid, signal.SIGCONT)
            result = running.result()
        told = {key: result.get(key) for key in ("outcome", "code", "undone", "problems", "msg")}
        print(f"{name}: after {time.monotonic() - begun:.1f} s {json.dumps(told, indent=1)}")
        assert result["failed"] and result["undone"] is row.undone, result
        made.goes_on_where_it_was()
        assert copies(made.cluster) == []
    if row.undone:
        unharmed(made)
    one_copy(made, made.migrate(strategy="copy"))


def test_a_copy_that_does_not_answer_as_it_shall_does_not_stay(scene: t.Callable[..., Scene]) -> None:
    made = scene("mute")
    result = made.migrate(strategy="copy", verify={"port": 8081, "timeout": "1s"})
    assert (result["code"], result["verified"], result["undone"]) == ("verify_failed", False, True), result
    assert copies(made.cluster) == []
    unharmed(made)
    result = made.migrate(strategy="copy", verify={"port": 8080})
    assert result["verified"] is True
    one_copy(made, result)
