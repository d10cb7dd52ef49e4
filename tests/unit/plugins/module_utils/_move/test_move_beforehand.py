# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes before a move: both nodes are asked, images are pulled. Against scripts of agents and the API server."""

from __future__ import annotations

import copy
import dataclasses
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import beforehand
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.passage import Wishes
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    CLASS,
    OFFERED,
    SHOP,
    TOLD,
    Api,
    pod,
)

Thing = dict[str, t.Any]
DUMP = {"tcp_close": True, "tcp_keep": False, "checkpoint_directory": "/checkpoints"}
WISHES = Wishes(dump=DUMP, frozen=20.0, wait=0.0)
PULLER = "checkpoint-base-image-x"


class Cluster(Api):
    """The pod that pulls gets as far as its command at once, unless ``status`` says otherwise."""

    def __init__(self, source: Thing) -> None:
        super().__init__(source)
        self.made: list[Thing] = []
        self.status: Thing = {"containerStatuses": [{"name": "app", "state": {"terminated": {"reason": "StartError"}}}]}

    def __call__(self, asked: Asked) -> Say:
        if asked.method == "POST" and asked.path == f"{SHOP}/pods" and not asked.query.get("dryRun"):
            self.made.append(copy.deepcopy(asked.body))
            asked.body["metadata"]["name"] = PULLER
            asked.body["status"] = self.status
        return super().__call__(asked)


class Node:
    """An agent. ``told``: what it is asked; ``images``: what the target has when it is asked again."""

    def __init__(self, looks: Thing, images: Thing | None = None) -> None:
        self.looks = copy.deepcopy(looks)
        self.images = images
        self.told: list[tuple[str, Thing]] = []

    def say(self, do: str, /, **arguments: t.Any) -> int:
        self.told.append((do, arguments))
        return len(self.told)

    def wait(self, number: int, _seconds: float) -> Thing:
        return self.looks if self.told[number - 1][0] == "look" else {"images": self.images}

    def ask(self, do: str, seconds: float, /, **arguments: t.Any) -> Thing:
        return self.wait(self.say(do, **arguments), seconds)


class Scene:
    """A pod to be moved from n1 to n2."""

    def __init__(self, url: str, cluster: Cluster) -> None:
        self.cluster = cluster
        self.session = ApiSession(Server(url=url))
        self.plan = plans.make(self.session, "shop", "web-0", "n2", runtime_class=CLASS)
        self.source, self.target = Node(TOLD), Node(OFFERED, {"app": "a" * 64})
        self.shown: list[str] = []

    @property
    def both(self) -> beforehand.Both:
        return t.cast("beforehand.Both", (self.source, self.target))

    def prepare(self) -> tuple[dict[str, str], dict[str, float]]:
        """The results by check, and the seconds."""
        stop = threading.Event()
        plan, seconds = beforehand.prepare(self.session, self.plan, WISHES, self.both, stop, self.shown.append)
        return {check.name: check.result for check in plan.checks}, seconds

    def lacks(self, **container: t.Any) -> None:
        """The target does not have the image."""
        self.target.looks["images"] = {"app": None}
        self.plan.source["spec"]["containers"][0].update(container)


@pytest.fixture
def scene() -> t.Iterator[Scene]:
    source = pod(imagePullSecrets=[{"name": "registry"}], volumes=[{"name": "data", "emptyDir": {}}])
    source["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    cluster = Cluster(source)
    with serving(cluster) as running:
        yield Scene(running.url, cluster)


def test_both_are_asked_what_concerns_them(scene: Scene) -> None:
    checks, seconds = scene.prepare()
    assert scene.source.told == [
        (
            "look",
            {
                "namespace": "shop",
                "pod": "web-0",
                "containers": {"app": "id-app"},
                "volumes": {"app": ["/data"]},
                "images": {"app": "registry.example.com/web@sha256:1"},
                "checkpoint_directory": "/checkpoints",
            },
        )
    ]
    definition = {"spec": {"volumes": [{"name": "data", "emptyDir": {}}]}}
    images = {"app": "registry.example.com/web:1"}
    assert scene.target.told == [("look", {"handler": CLASS, "definition": definition, "images": images})]
    assert checks["image"] == checks["room"] == checks["disk"] == checks["frozen_time"] == "passed"
    assert seconds.keys() == {"look", "stage"} and scene.cluster.made == []
    assert any("may be frozen for 20 s (frozen_limit)" in line for line in scene.shown)


def test_a_failed_check_comes_with_all_others(scene: Scene) -> None:
    scene.target.looks["rooms"]["images"]["free"] = 0
    with pytest.raises(CheckpointError) as caught:
        scene.prepare()
    checks = {check["name"]: check["result"] for check in caught.value.details["checks"]}
    assert caught.value.code == "preflight_failed" and checks["disk"] == "failed" and checks["room"] == "passed"


def test_an_image_that_is_not_there_is_pulled_for_the_pod(scene: Scene) -> None:
    scene.lacks(imagePullPolicy="IfNotPresent")
    checks, _seconds = scene.prepare()
    spec = scene.cluster.made[0]["spec"]
    assert [each["image"] for each in spec["containers"]] == ["registry.example.com/web:1"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "n2.example.com"}
    assert checks["image"] == "passed" and f"{SHOP}/pods/{PULLER}" not in scene.cluster.objects
    assert scene.target.told[-1] == (
        "images",
        {"images": {"app": "registry.example.com/web:1"}, "socket": "/run/containerd/containerd.sock"},
    )


def test_one_that_is_there_is_pulled_where_the_pod_says_always(scene: Scene) -> None:
    scene.plan.source["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    scene.target.images = {"app": "b" * 64}
    with pytest.raises(CheckpointError) as caught:
        scene.prepare()
    assert scene.cluster.made[0]["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert caught.value.code == "preflight_failed" and "not the same" in caught.value.reason


def test_one_that_may_not_be_pulled(scene: Scene) -> None:
    scene.lacks(imagePullPolicy="Never")
    with pytest.raises(CheckpointError) as caught:
        scene.prepare()
    assert caught.value.code == "preflight_failed" and "Never" in caught.value.reason and scene.cluster.made == []


def test_one_that_cannot_be_pulled(scene: Scene) -> None:
    scene.lacks()
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "401 Unauthorized"}}
    scene.cluster.status = {"containerStatuses": [{"name": "app", "state": waiting}]}
    with pytest.raises(CheckpointError) as caught:
        scene.prepare()
    assert caught.value.code == "image_pull_failed" and f"{SHOP}/pods/{PULLER}" not in scene.cluster.objects


def test_an_account_that_may_not_make_pods_is_warned(scene: Scene) -> None:
    scene.lacks()
    text = 'pods is forbidden: User "ci" cannot create resource "pods"'
    scene.cluster.refusals["POST", f"{SHOP}/pods"] = status_object(403, text)
    checks, _seconds = scene.prepare()
    assert checks["image"] == "warning"


def test_only_to_look_changes_nothing(scene: Scene) -> None:
    scene.lacks()
    before = copy.deepcopy(scene.cluster.objects)
    plan = beforehand.look_only(scene.session, scene.plan, WISHES, lambda: scene.both)
    said = next(check for check in plan.checks if check.name == "image")
    assert said.result == "passed" and "pulled first: registry.example.com/web:1" in said.reason
    assert scene.cluster.objects == before and [do for do, _with in scene.target.told] == ["look"]


@pytest.mark.parametrize("code", ["agent_not_started", "container_changed"])
def test_only_to_look_where_nobody_answers(scene: Scene, code: str) -> None:
    def agents() -> beforehand.Both:
        raise CheckpointError(code, "It did not come", hint="Call it")

    if code == "container_changed":
        with pytest.raises(CheckpointError):
            beforehand.look_only(scene.session, scene.plan, WISHES, agents)
        return
    plan = beforehand.look_only(scene.session, scene.plan, WISHES, agents)
    said = next(check for check in plan.checks if check.name == "nodes")
    assert (said.result, said.hint) == ("warning", "Call it") and "It did not come" in said.reason


def test_what_limits_the_time_is_told(scene: Scene) -> None:
    patience = plans.probes.Patience(21.0, "app", "livenessProbe")
    scene.plan = dataclasses.replace(scene.plan, patience=patience)
    scene.prepare()
    assert any("its probes allow 21 s, by the livenessProbe of the container app" in line for line in scene.shown)


def test_seconds_come_first_and_count() -> None:
    result = {"outcome": "moved", "seconds": {"dump": 1.0, "total": 2.0}}
    made = beforehand.with_seconds({"look": 0.5, "stage": 0.25}, result)
    assert made == {"outcome": "moved", "seconds": {"look": 0.5, "stage": 0.25, "dump": 1.0, "total": 2.75}}
