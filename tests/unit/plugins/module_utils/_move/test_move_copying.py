# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy: its plan, its pod, the order in which it is made, and that whatever fails is undone."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import (
    arguments,
    copying,
    objects,
    passage,
    report,
    state,
    ways,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_migrate
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    CLASS,
    SHOP,
    Api,
    owner,
    pod,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.test_move_order import (
    Cluster,
    Play,
    Script,
)

Thing = dict[str, t.Any]

LEASE = "checkpoint-restore-move-uid-web-0"


class Beside(Cluster):
    """Pods that are made run at once, also those of other names."""

    def __call__(self, asked: Asked) -> Say:
        said = super().__call__(asked)
        for path, thing in self.objects.items():
            if path.startswith(f"{SHOP}/pods/"):
                thing.setdefault("status", pod()["status"])
        return said


class Making(Play):
    """One copy with everything around it."""

    def _made(self, begun: tuple[t.Any, state.State], kind: t.Any = copying.Copy) -> t.Any:
        return super()._made(begun, kind)

    def undone(self) -> Thing:
        """By another process, with agents that know nothing."""
        self.state.close()
        self.source, self.target = Script("source", self.log), Script("target", self.log)
        self.log.clear()
        return dict(self._made(ways.resume(self.session, self.plan.number, self.folder)).again())

    @property
    def copy(self) -> str:
        return f"{SHOP}/pods/{self.plan.replacement}"


@pytest.fixture
def play(tmp_path: pathlib.Path) -> t.Iterator[Making]:
    log: list[str] = []
    api = Beside(log)
    with serving(api) as running:
        made = Making(running.url, api, log, str(tmp_path / "moves"), strategy="copy")
        yield made
        made.state.close()


def test_the_order_of_a_copy(play: Making) -> None:
    result = play.move.run("certificate")
    assert play.log == [
        f"api create {LEASE}",
        "target name",
        "source prepare",
        "target open",
        "target receive",
        "source connect",
        "source dump",
        "source resume",
        "target leave",
        "target hold",
        f"api create {play.plan.replacement}",
        "target prove",
        f"api delete {LEASE}",
        "target discard",
    ]
    assert [step["name"] for step in play.state.steps] == [
        "planned",
        "prepared",
        "freezing",
        "resumed",
        "made",
        "running",
        "copied",
    ]
    assert (result["outcome"], result["way"], result["pod"]) == ("copied", "copy", play.plan.replacement)
    assert result["down_seconds"] is None and result.keys() <= yaml.safe_load(checkpoint_migrate.RETURN).keys()
    assert play.state.outcome == "copied" and play.state.owed == []
    assert play.target.told["name"]["pod"] == play.plan.replacement != "web-0", "tickets are for the copy alone"
    assert play.target.told["leave"]["seconds"] == play.wishes.wait
    one = report.One(pod(), play.plan, outcome="copied", told=report.told(play.plan, play.wishes), result=result)
    told = report.result([one], single=True, check=False)
    assert told["changed"] and told["frozen_seconds"] == round(
        result["seconds"]["dump"] + result["seconds"]["resume"], 3
    )
    assert told["table"][1].split()[3:8] == ["copy", f"{told['frozen_seconds']:.2f}", "s", "-", "7"]


def undone(play: Making, *, resumed: bool, made: bool) -> list[str]:
    """What is told and done to that end."""
    return [
        *([] if resumed else ["source resume"]),
        *([f"api delete {play.plan.replacement}"] if made else []),
        f"api delete {LEASE}",
        "target take_back",
        "target discard",
    ]


@pytest.mark.parametrize(
    ("who", "word", "resumed", "made"),
    [
        ("target", "name", False, False),
        ("source", "prepare", False, False),
        ("target", "open", False, False),
        ("source", "connect", False, False),
        ("source", "dump", False, False),
        ("target", "receive", True, False),
        ("target", "leave", True, False),
        ("target", "hold", True, False),
        ("target", "prove", True, True),
    ],
)
def test_whatever_fails_is_undone(play: Making, who: str, word: str, resumed: bool, made: bool) -> None:
    agent = play.source if who == "source" else play.target
    agent.fails[word] = "some_code"
    error = play.fail()
    assert (error.code, error.details["undone"], error.details["problems"]) == ("some_code", True, [])
    wanted = undone(play, resumed=resumed, made=made)
    assert play.log[-len(wanted) :] == wanted and play.state.outcome == "undone" and play.state.owed == []
    assert play.copy not in play.api.objects and f"{SHOP}/pods/web-0" in play.api.objects


def test_a_pod_that_may_not_be_made(play: Making) -> None:
    play.api.refusals["POST", f"{SHOP}/pods"] = status_object(403, "no such pods here")
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("replacement_refused", True)
    assert not any(line.startswith("source") for line in play.log[:-4]), "nothing was frozen"


def test_a_copy_that_does_not_answer_is_undone(play: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers_not(*_arguments: t.Any) -> None:
        raise CheckpointError("verify_failed", "It says nothing")

    monkeypatch.setattr(passage, "verify", answers_not)
    object.__setattr__(play.wishes, "verify", object())
    error = play.fail()
    assert (error.code, error.details["verified"], error.details["undone"]) == ("verify_failed", False, True)
    assert play.copy not in play.api.objects and play.state.outcome == "undone"


def test_what_could_not_be_undone_is_undone_by_the_next_run(play: Making) -> None:
    play.target.fails.update(prove="restore_failed", take_back="agent_lost")
    error = play.fail()
    assert error.details["undone"] is False and len(error.details["problems"]) == 1 and "run it again" in error.hint
    assert play.state.outcome is None and play.copy not in play.api.objects
    assert play.undone()["outcome"] == "undone" and play.state.outcome == "undone"
    assert "source resume" not in play.log, "it has run on for long"


@pytest.mark.parametrize("step", ["planned", "prepared", "freezing", "resumed", "made", "running"])
def test_who_was_killed_is_undone_by_the_next(play: Making, step: str) -> None:
    steps = ["planned", "prepared", "freezing", "resumed", "made", "running"]
    reached = steps.index(step)
    for name in steps[1 : reached + 1]:
        play.state.step(name)
    if reached >= steps.index("made"):
        thing = pod(play.plan.replacement, "n2")
        thing["metadata"]["annotations"] = {objects.MOVE: play.plan.number}
        play.api.objects[play.copy] = thing
    assert play.undone()["outcome"] == "undone" and play.copy not in play.api.objects
    assert ("source resume" in play.log) == (reached < steps.index("resumed")) and play.state.outcome == "undone"


def test_a_copy_that_is_still_there_keeps_its_tickets(play: Making) -> None:
    """Without them it would start from its image. They end by themselves."""
    play.target.fails["prove"] = "restore_failed"
    play.api.refusals["DELETE", play.copy] = status_object(500, "etcdserver: request timed out")
    error = play.fail()
    assert error.details["undone"] is False and play.state.outcome is None
    assert "target take_back" not in play.log and "target discard" not in play.log
    del play.api.refusals["DELETE", play.copy]
    assert play.undone()["outcome"] == "undone" and play.copy not in play.api.objects
    assert play.log[-2:] == ["target take_back", "target discard"]


def test_a_pod_of_its_name_that_is_not_the_copy_stays(play: Making) -> None:
    for name in ("prepared", "freezing", "resumed"):
        play.state.step(name)
    play.api.objects[play.copy] = pod(play.plan.replacement, "n2")
    assert play.undone()["outcome"] == "undone" and play.copy in play.api.objects


def planned(source: Thing, *things: Thing, **options: t.Any) -> plans.Plan:
    with serving(Api(source, *things)) as there:
        session = ApiSession(Server(url=there.url))
        name = source["metadata"]["name"]
        return plans.make(session, "shop", name, "n2", runtime_class=CLASS, strategy="copy", **options)


def test_nobody_takes_the_copy_for_the_pod(play: Making) -> None:
    stateful = owner("StatefulSet")
    source = pod(owner=stateful, hostname="web-0", subdomain="web", tolerations=[{"operator": "Exists"}])
    source["metadata"]["labels"].update({"statefulset.kubernetes.io/pod-name": "web-0", "tier": "front"})
    source["metadata"]["ownerReferences"].append({"kind": "Thing", "name": "other", "uid": "other"})
    play.plan = plan = planned(source, stateful)
    assert plan.owner is None and plan.way == "copy" and plans.from_facts(plan.as_facts()) == plan
    made = copying.Beside(play.session, plan, play.state)._pod()
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "checkpoint_restore.kubernetes",
        "checkpoint-restore.io/copy": "true",
    }
    assert "ownerReferences" not in made["metadata"] and not {"hostname", "subdomain", "nodeName"} & set(made["spec"])
    assert made["spec"]["tolerations"] and made["metadata"]["annotations"][objects.MOVE] == plan.number
    assert made["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "n2.example.com"}


@pytest.mark.parametrize("name", ["web-0", "a" * 250, f"{'b' * 51}.{'c' * 20}"])
def test_the_name_of_a_copy(name: str) -> None:
    found = planned(pod(name)).replacement
    assert (
        len(found) <= 63
        and found[:-5].endswith("-copy-")
        and ".-" not in found
        and found[:50].rstrip("-")
        in (
            name[:50],
            f"{name}-copy-{found[-5:]}",
        )
    )


def refusals(source: Thing, **options: t.Any) -> list[str]:
    with pytest.raises(CheckpointError) as caught:
        planned(source, **options)
    return [check["name"] for check in caught.value.details["checks"] if check["result"] == "failed"]


def mounting(volume: Thing, **mount: t.Any) -> Thing:
    mounts = [{"name": "data", "mountPath": "/data", **mount}]
    return pod(
        volumes=[{"name": "data", **volume}],
        containers=[{"name": "app", "image": "registry.example.com/web:1", "volumeMounts": mounts}],
    )


NFS = {"nfs": {"server": "192.0.2.1", "path": "/"}}
CLAIM = {"persistentVolumeClaim": {"claimName": "data"}}


@pytest.mark.parametrize(
    ("volume", "mount", "names"),
    [
        (NFS, {}, ["shared_volume"]),
        (NFS, {"readOnly": True}, []),
        ({"nfs": {**NFS["nfs"], "readOnly": True}}, {}, []),
        (CLAIM, {}, ["claim", "shared_volume"]),
        (CLAIM, {"readOnly": True}, ["claim"]),
        ({"hostPath": {"path": "/data"}}, {}, ["host_path"]),
        ({"hostPath": {"path": "/data"}}, {"readOnly": True}, []),
        ({"emptyDir": {}}, {}, []),
        ({"ephemeral": {}}, {}, ["ephemeral_volume"]),
    ],
)
def test_what_both_would_write_to(volume: Thing, mount: Thing, names: list[str]) -> None:
    source = mounting(volume, **mount)
    if names:
        assert refusals(source) == names
    else:
        assert planned(source).way == "copy"


def test_what_matters_only_where_a_pod_ends_does_not_matter() -> None:
    source = pod()
    source["metadata"]["finalizers"] = ["example.com/kept"]
    source["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 1}}}
    found = [check.name for check in planned(source).checks]
    assert not {"finalizers", "pre_stop", "budget"} & set(found) and "topology" in found


def test_labels_of_the_pod_do_not_keep_its_copy_away() -> None:
    """Its like may not be beside it on the target, but nobody knows the copy for its like."""
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    other = pod("web-1", "n2", affinity=affinity)
    assert planned(pod(), other).way == "copy"


def test_pods_of_daemon_sets_can_be_copied_and_static_ones_cannot() -> None:
    daemon = owner("DaemonSet")
    assert planned(pod(owner=daemon)).way == "copy"
    static = pod()
    static["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "1"}
    with pytest.raises(CheckpointError) as caught:
        planned(static)
    assert caught.value.code == "pod_static"


def test_it_cannot_come_before_anything() -> None:
    given = {"strategy": "copy", "order": "replacement_first", "pod": "web-0", "namespace": "shop"}
    with pytest.raises(CheckpointError) as caught:
        arguments.selection({"label_selectors": None, "source_node": None, **given})
    assert caught.value.code == "invalid_option"
