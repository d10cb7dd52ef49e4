# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_migrate where nodes cannot be logged in to: by the kubelet's checkpoint and an image.

Both nodes of such a move have the same container runtime: TEST_SECOND_NODES=crio-e,ctd-e names those beside TEST_NODES.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading
import typing as t

import pytest
from fault_support import CRIU, HOOK, kill
from migrate_support import HOSTNAME, LABEL, failed
from support import LAB, REGISTRY, SOME_NODES, Cluster, Controller, kubectl, node_run, wait_until

Thing = dict[str, t.Any]
Undo = t.Callable[[t.Callable[[], t.Any]], None]

SECOND = tuple(os.environ.get("TEST_SECOND_NODES", "crio-a,ctd-a").split(","))
PAIRS = list(zip(SOME_NODES, SECOND))
CHECKPOINTS = "/var/lib/kubelet/checkpoints"
PERIOD = 0.2
COUNTING = {"args": ["8080", "200"]}


class Line(t.NamedTuple):
    """A number that a counter printed, and when, by the clock of its node. All nodes here have the same clock."""

    number: int
    at: datetime.datetime


def lines(text: str) -> list[Line]:
    found = re.findall(r"^(\S+)\.(\d{6})\d*Z count (\d+)$", text, re.MULTILINE)
    return [
        Line(int(number), datetime.datetime.strptime(f"{at}.{part}Z", "%Y-%m-%dT%H:%M:%S.%f%z"))
        for at, part, number in found
    ]


class Log:
    """What a container prints while this is open, to its end: nothing of a pod's log is left once it is gone."""

    def __init__(self, cluster: Cluster, pod: str, container: str = "app") -> None:
        options = ["--namespace", cluster.namespace, "--container", container, "--timestamps", "--follow"]
        command = [str(LAB / "lab"), "kubectl", "logs", pod, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._text: list[str] = []
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        self._text += t.cast("t.IO[str]", self._process.stdout)

    def __enter__(self) -> Log:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        # It ends with its container.
        self._process.terminate()
        self._process.wait()
        self._thread.join()

    @property
    def lines(self) -> list[Line]:
        return lines("".join(self._text))


def printed(cluster: Cluster, pod: str, container: str = "app") -> list[Line]:
    options = ["--namespace", cluster.namespace, "--container", container, "--timestamps"]
    return lines(kubectl("logs", pod, *options))


def went_back(before: list[Line], after: list[Line], lost: float) -> None:
    """The replacement went on behind a number that its source printed, when its source had ended.

    What the source counted after that is what was lost, and took no longer than ``lost`` seconds.
    """
    last = before[-1]
    # The runtimes put the log of before in front of it.
    mine = [line for line in after if line.at > last.at]
    first = mine[0].number
    assert [line.number for line in mine] == list(range(first, first + len(mine)))
    gone = [line for line in before if line.number >= first]
    assert gone and before[0].number < first
    assert 0 < (gone[-1].at - gone[0].at).total_seconds() <= lost + PERIOD


@pytest.fixture
def inventory(tmp_path: pathlib.Path) -> str:
    """One without any node."""
    path = tmp_path / "inventory.ini"
    path.write_text("localhost ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'\n")
    return str(path)


@pytest.fixture
def registry(facts: dict[str, t.Any], cluster: Cluster) -> Thing:
    """The option ``fallback``, with the name under which this machine and the nodes reach the registry."""
    return {
        "image": f"{facts['registry_address']}:{REGISTRY.rpartition(':')[2]}/{cluster.namespace}",
        "ca_cert": facts["ca"],
    }


class Mover(t.NamedTuple):
    """Moves pods of a namespace with an inventory that lacks their nodes."""

    cluster: Cluster
    controller: Controller
    inventory: str
    registry: Thing

    def move(
        self, pod: str, to: str, *, check: bool = False, env: t.Optional[dict[str, str]] = None, **options: t.Any
    ) -> Thing:
        given = {"namespace": self.cluster.namespace, "pod": pod, "node": to, "fallback": self.registry, **options}
        given = {name: value for name, value in given.items() if value is not None}
        return self.controller.task("checkpoint_migrate", check=check, env=env, inventory=self.inventory, **given)

    def left(self, *nodes: str) -> list[str]:
        """What a move may leave: in the cluster, at the controller, and on nodes."""
        own = self.cluster.namespace
        found = [
            kubectl("get", "leases", "--namespace", own, f"--selector={LABEL}", "--output=name"),
            kubectl("get", "pods", "--namespace", own, "--output=name", "--selector=!name"),
            *(node_run(node, f"find {CHECKPOINTS} -name '*_{own}-*' 2>/dev/null; true") for node in nodes),
        ]
        kinds = "mutatingadmissionpolicies,mutatingadmissionpolicybindings"
        things = json.loads(kubectl("get", kinds, f"--selector={LABEL}", "--output=json"))["items"]
        found += [each["metadata"]["name"] for each in things if f"'{own}'" in str(each)]
        carriers = json.loads(kubectl("get", "pods", "--namespace", "kube-system", "--output=json"))["items"]
        for each in carriers:
            if each["metadata"]["name"].startswith("checkpoint-carrier-") and each["spec"]["nodeName"] in nodes:
                found.append(each["metadata"]["name"])
        moves = self.controller.directory / "state" / "checkpoint_restore.kubernetes" / "moves"
        for path in moves.glob("*"):
            if path.suffix == ".archives" or (path.suffix == ".json" and not json.loads(path.read_text())["outcome"]):
                found.append(str(path))
        return [line for text in found for line in text.splitlines() if line]

    def nothing_left(self, *nodes: str) -> None:
        with contextlib.suppress(AssertionError):
            wait_until("all of the move to be gone", lambda: self.left(*nodes) == [], 20)
        assert self.left(*nodes) == []


@pytest.fixture
def mover(cluster: Cluster, controller: Controller, inventory: str, registry: Thing) -> Mover:
    return Mover(cluster, controller, inventory, registry)


def is_untouched(cluster: Cluster, name: str, before: Thing) -> None:
    """It is the same pod, its containers were never restarted, and it counts on."""
    now = cluster.get(name)
    assert now["metadata"]["uid"] == before["metadata"]["uid"] and "deletionTimestamp" not in now["metadata"]
    there = now["status"]["containerStatuses"]
    assert [each["containerID"] for each in there] == [
        each["containerID"] for each in before["status"]["containerStatuses"]
    ]
    seen = cluster.ask(name)["count"]
    wait_until("the next number", lambda: cluster.ask(name)["count"] > seen)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_pod_of_nobody(mover: Mover, source: str, target: str) -> None:
    cluster, name = mover.cluster, f"bare-{source}"
    cluster.apply(cluster.pod(name, source, **COUNTING))
    cluster.says(name, "count 10")
    since = cluster.ask(name)["since"]
    with Log(cluster, name) as log:
        result = mover.move(name, target)
    assert result.get("outcome") == "moved" and result["by_image"], (result, mover.controller.output)
    assert result["table"][1].split("  ")[-1] == f"{result['lost_seconds']:g} s" and "by image" in result["table"][1]
    assert any("restarted" in each for each in result["warnings"])
    made = cluster.get(name)
    assert made["spec"]["nodeName"] == target and cluster.ask(name)["since"] == since
    assert made["spec"]["containers"][0]["image"] == result["images"]["app"]
    wait_until(
        "it to count on", lambda: len([each for each in printed(cluster, name) if each.at > log.lines[-1].at]) > 2
    )
    went_back(log.lines, printed(cluster, name), result["lost_seconds"])
    mover.nothing_left(source, target)
    # The processes run in the image that they always ran in, and the container is of another one.
    normal = mover.controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=name, node=source)
    assert failed(normal) == ["image"]
    again = mover.move(name, source)
    assert again.get("outcome") == "moved" and again["source"] == target, (again, mover.controller.output)
    assert cluster.get(name)["spec"]["nodeName"] == source and cluster.ask(name)["since"] == since
    cluster.delete(name)


def controller_of_pods(cluster: Cluster, kind: str, name: str, *nodes: str) -> Thing:
    """One pod of two counters, on either of the nodes."""
    labels = {"name": name}
    there = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": list(nodes)}]}
    image = f"{REGISTRY}/counter:1"
    spec = {
        "terminationGracePeriodSeconds": 1,
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [there]}}
        },
        "containers": [
            {"name": "app", "image": image, **COUNTING},
            {"name": "side", "image": image, "args": ["8081", "200"]},
        ],
        **({"restartPolicy": "Never"} if kind == "Job" else {}),
    }
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            **({} if kind == "Job" else {"selector": {"matchLabels": labels}}),
            **({"serviceName": name} if kind == "StatefulSet" else {}),
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def pods(cluster: Cluster, name: str) -> list[Thing]:
    told = kubectl("get", "pods", "--namespace", cluster.namespace, f"--selector=name={name}", "--output=json")
    return list(json.loads(told)["items"])


@pytest.mark.parametrize(
    ("kind", "pair"), [("Deployment", 0), ("StatefulSet", 1), ("Job", 0)], ids=["deployment", "stateful-set", "job"]
)
def test_a_pod_of_a_controller(mover: Mover, undo: Undo, kind: str, pair: int) -> None:
    cluster, name = mover.cluster, f"of-{kind.lower()}"
    undo(lambda: kubectl("delete", kind, name, "--namespace", cluster.namespace, "--cascade=foreground"))
    cluster.apply(controller_of_pods(cluster, kind, name, *PAIRS[pair]))
    wait_until("its pod", lambda: [each["status"]["phase"] for each in pods(cluster, name)] == ["Running"], 120)
    (before,) = pods(cluster, name)
    own = before["metadata"]["name"]
    wait_until("both to count", lambda: all(len(printed(cluster, own, each)) > 5 for each in ("app", "side")))
    source = before["spec"]["nodeName"]
    target = next(node for node in PAIRS[pair] if node != source)
    with Log(cluster, own) as app, Log(cluster, own, "side") as side:
        result = mover.move(own, target)
    assert result.get("outcome") == "moved" and result["way"] == "policy", (result, mover.controller.output)
    (now,) = (each for each in pods(cluster, name) if not each["metadata"].get("deletionTimestamp"))
    assert now["metadata"]["name"] == result["pod"] and now["spec"]["nodeName"] == target
    assert (result["pod"] == own) == (kind == "StatefulSet") and now["metadata"]["uid"] != before["metadata"]["uid"]
    assert {each["name"]: each["image"] for each in now["spec"]["containers"]} == result["images"]
    for container, log in (("app", app), ("side", side)):
        last = log.lines[-1].at

        def counts_on(container: str = container, last: datetime.datetime = last) -> bool:
            return len([each for each in printed(cluster, result["pod"], container) if each.at > last]) > 2

        wait_until(f"{container} to count on", counts_on)
        went_back(log.lines, printed(cluster, result["pod"], container), result["lost_seconds"])
    if kind == "Job":
        document = json.loads(kubectl("get", "job", name, "--namespace", cluster.namespace, "--output=json"))
        assert not document["status"].get("failed") and document["status"]["active"] == 1
    mover.nothing_left(source, target)


def test_a_login_that_fails(mover: Mover, inventory: str) -> None:
    (source, target), cluster = PAIRS[0], mover.cluster
    # Nothing listens there: it is in the inventory, and yet cannot be logged in to.
    nowhere = "".join(f"{node} ansible_host=127.0.0.1 ansible_port=1\n" for node in (source, target))
    pathlib.Path(inventory).write_text(pathlib.Path(inventory).read_text() + nowhere)
    cluster.apply(cluster.pod("no-login", source, **COUNTING))
    planned = mover.move("no-login", target, check=True)
    assert planned["by_image"] and planned["changed"], planned
    refused = mover.move("no-login", target, fallback=None)
    assert refused["code"] == "agent_not_started" and "fallback" in refused["hint"], refused
    result = mover.move("no-login", target)
    assert result.get("outcome") == "moved" and result["by_image"], (result, mover.controller.output)
    cluster.delete("no-login")


def test_what_is_refused(mover: Mover) -> None:
    cluster, (source, target) = mover.cluster, PAIRS[0]
    pod = cluster.pod("refused", source, **COUNTING)
    pod["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    cluster.apply(pod)
    before = cluster.get("refused")
    plain = mover.move("refused", target, fallback=None)
    assert plain["code"] == "host_unknown" and "or give fallback" in plain["hint"], plain
    assert failed(mover.move("refused", target)) == ["empty_dir"]
    assert failed(mover.move("refused", PAIRS[1][0])) == ["empty_dir", "engine"]
    is_untouched(cluster, "refused", before)
    mover.nothing_left(source, target)
    cluster.delete("refused")


class Reader(http.server.BaseHTTPRequestHandler):
    """A registry from which everybody may read, and to which nobody may write."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.send_error(403)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def read_only() -> t.Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Reader) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("row", ["nobody-listens", "wrong-password", "read-only"])
def test_a_registry_that_does_not_take_the_image(
    mover: Mover, facts: dict[str, t.Any], read_only: str, row: str
) -> None:
    cluster, (source, target) = mover.cluster, PAIRS[0]
    address = facts["registry_address"]
    private = f"{address}:{facts['private_registry']['name'].rpartition(':')[2]}/{cluster.namespace}"
    fallback, code = {
        "nobody-listens": ({"image": f"{address}:9/{cluster.namespace}"}, "registry_unreachable"),
        "wrong-password": (
            {"image": private, "ca_cert": facts["ca"], "username": "lab", "password": "mistyped"},
            "unauthorized",
        ),
        # The only one that is met when the checkpoint is there.
        "read-only": ({"image": f"{read_only}/{cluster.namespace}", "plain_http": True}, "denied"),
    }[row]
    cluster.apply(cluster.pod(row, source, **COUNTING))
    before = cluster.get(row)
    result = mover.move(row, target, fallback=fallback)
    assert result["code"] == code and result["undone"] is True, result
    assert "mistyped" not in json.dumps(result) + mover.controller.output
    is_untouched(cluster, row, before)
    mover.nothing_left(source, target)
    cluster.delete(row)


@pytest.mark.parametrize("step", ["checkpointing", "replacing", "replaced", "running"])
def test_the_controller_is_killed(mover: Mover, undo: Undo, step: str) -> None:
    (source, target), cluster, name = PAIRS[1], mover.cluster, f"killed-{step}"
    undo(lambda: kubectl("delete", "deployment", name, "--namespace", cluster.namespace, "--cascade=foreground"))
    cluster.apply(controller_of_pods(cluster, "Deployment", name, source, target))
    wait_until("its pod", lambda: [each["status"]["phase"] for each in pods(cluster, name)] == ["Running"], 120)
    (before,) = pods(cluster, name)
    own, since = before["metadata"]["name"], cluster.ask(before["metadata"]["name"])["since"]
    source = before["spec"]["nodeName"]
    target = next(node for node in PAIRS[1] if node != source)
    folder = mover.controller.directory / "callback_plugins"
    folder.mkdir()
    (folder / "stopper.py").write_text(HOOK)
    stopped = mover.controller.directory / "stopped"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        env = {"TEST_STOP_AT": step, "TEST_STOPPED": str(stopped)}
        running = pool.submit(mover.move, own, target, env=env)
        wait_until("the controller to come to the step", lambda: stopped.exists() or running.done(), interval=0.01)
        assert not running.done(), (running.result(), mover.controller.output)
        kill(int(stopped.read_text()))
        # It has not come to write its result.
        assert isinstance(running.exception(), AssertionError)
    result = mover.move(own, target)
    assert result.get("outcome") == "moved", (result, mover.controller.output)
    assert (result["lost_seconds"] is None) == (step not in ("checkpointing", "replacing"))
    (now,) = (each for each in pods(cluster, name) if not each["metadata"].get("deletionTimestamp"))
    assert now["spec"]["nodeName"] == target and cluster.ask(now["metadata"]["name"])["since"] == since
    mover.nothing_left(source, target)


def test_a_restore_that_fails_is_gone_on_with_from_the_same_images(mover: Mover, undo: Undo) -> None:
    cluster, (target, source) = mover.cluster, PAIRS[0]
    cluster.apply(cluster.pod("mended", source, **COUNTING))
    since = cluster.ask("mended")["since"]
    node_run(target, CRIU.make)
    broken = [CRIU.unmake]
    undo(lambda: [node_run(target, broken.pop()) for _each in list(broken)])
    first = mover.move("mended", target, timeout="20s")
    assert first["code"] == "restore_failed" and first["undone"] is False and first["changed"], first
    assert f"{mover.registry['image']}@sha256:" in first["hint"]
    node_run(target, broken.pop())
    result = mover.move("mended", target)
    assert result.get("outcome") == "moved" and result["lost_seconds"] is None, (result, mover.controller.output)
    assert cluster.get("mended")["spec"]["nodeName"] == target and cluster.ask("mended")["since"] == since
    mover.nothing_left(source, target)
    cluster.delete("mended")
