# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a move, and what is undone when something in it fails: against scripts of the API server and of agents.

What agents do is not here: that is run on the laboratory.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import threading
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import (
    elsewhere,
    moving,
    objects,
    passage,
    state,
    taking_up,
    verify,
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
    APPS,
    CLASS,
    SHOP,
    Api,
    owner,
    pod,
    shop,
)

Thing = dict[str, t.Any]

POD = f"{SHOP}/pods/web-0"
ANSWERS: dict[str, Thing] = {
    "name": {"images": [], "tickets": []},
    "renew": {"tickets": ["app"]},
    "open": {"addresses": ["192.0.2.1"], "port": 4711},
    "prepare": {"engines": ["cri-o"]},
    "dump": {"bytes": 7, "files": 1, "freeze_seconds": 0.01},
    "receive": {"bytes": 7, "files": 1},
    "send": {"bytes": 7, "files": 1},
    "look": {"checks": []},
    "hold": {"left": 20.0},
    "take_back": {"taken": ["app"], "claimed": []},
    "prove": {"receipts": {"app": {"outcome": "restored"}}},
}


class Cluster(Api):
    """Pods that are made run at once."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(pod())
        self.log = log

    def __call__(self, asked: Asked) -> Say:
        before = len(self.done)
        said = super().__call__(asked)
        if asked.path == f"{SHOP}/pods" and POD in self.objects and not asked.query.get("dryRun"):
            self.objects[POD]["status"] = pod()["status"]
        self.log += [f"api {done.partition(' ')[0]} {done.rpartition('/')[2]}" for done in self.done[before:]]
        return said


class Deployed(Cluster):
    """The same of a Deployment of one, with what its controllers would do."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(log)
        deployment, replicas = owner("Deployment", "web"), owner("ReplicaSet", "web-5d9f")
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-Deployment"}
        replicas["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
        self.objects = shop(deployment, replicas, pod(owner=replicas))
        self.objects[f"{APPS}/deployments/web/scale"] = {"metadata": {"name": "web"}, "spec": {"replicas": 1}}
        self.plan: plans.Plan
        self.replicas = replicas

    def __call__(self, asked: Asked) -> Say:
        said = super().__call__(asked)
        if asked.method == "PATCH" and asked.path.endswith("/scale"):
            name = self.plan.replacement
            if asked.body[1]["value"] == 2:
                made = pod(name, "n2", self.replicas)
                made["metadata"]["annotations"] = {objects.MOVE: self.plan.number}
                made["status"] = {"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}
                self.objects[f"{SHOP}/pods/{name}"] = made
            else:
                going = [each for each in (POD, f"{SHOP}/pods/{name}") if objects.notes(self.objects[each])]
                cheap = [each for each in going if objects.DELETION_COST in objects.notes(self.objects[each])]
                del self.objects[cheap[0]]
        return said

    def run(self) -> None:
        """The containers of the replacement run."""
        self.objects[f"{SHOP}/pods/{self.plan.replacement}"]["status"] = pod()["status"]


class Script:
    """An agent that writes down what it is told. ``fails``: codes by words."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.fails: dict[str, str] = {}
        self.answers = dict(ANSWERS)
        self.said: dict[int, str] = {}
        self.told: dict[str, Thing] = {}

    def say(self, do: str, /, **arguments: t.Any) -> int:
        self.log.append(f"{self.name} {do}")
        self.told[do] = arguments
        self.said[len(self.said)] = do
        return len(self.said) - 1

    def wait(self, number: int, _seconds: float) -> Thing:
        do = self.said[number]
        if do in self.fails:
            raise CheckpointError(self.fails[do], f"It failed to {do}")
        return self.answers.get(do, {})

    def ask(self, do: str, seconds: float, /, **arguments: t.Any) -> Thing:
        return self.wait(self.say(do, **arguments), seconds)


class Play:
    """One move with everything around it."""

    def __init__(self, url: str, api: Cluster, log: list[str], folder: str, **options: t.Any) -> None:
        self.api = api
        self.log = log
        self.session = ApiSession(Server(url=url))
        self.plan = plans.make(self.session, "shop", "web-0", "n2", runtime_class=CLASS, **options)
        self.folder = folder
        self.source, self.target = Script("source", log), Script("target", log)
        self.others: dict[str, Script] = {}
        self.unreached: list[str] = []
        self.stop = threading.Event()
        self.wishes = passage.Wishes(dump={"tcp_close": True}, frozen=20.0, wait=5.0)
        self.state: state.State
        self.move = self._made(ways.begin(self.session, self.plan, folder))
        log.clear()

    def _made(self, begun: tuple[t.Any, state.State], kind: t.Callable[..., moving.Move] = moving.Move) -> t.Any:
        self.state = begun[1]
        both = t.cast("t.Any", (self.source, self.target))
        return kind(self.session, self.plan, begun, both, self.wishes, self.stop, lambda _text: None)

    def again(self, to: str = "n2") -> Thing:
        """As another process takes it up, with agents that know nothing. ``to``: the node that it is told."""
        self.state.close()
        self.source, self.target = Script("source", self.log), Script("target", self.log)
        self.log.clear()
        begun = ways.resume(self.session, self.plan.number, self.folder)
        self.plan = plans.from_facts(begun[1].facts)
        reach = elsewhere.Reach(to, self._log_in, lambda: "another certificate")
        made = self._made(begun, functools.partial(taking_up.TakenUp, reach=reach))
        self.move = made
        return dict(made.again())

    def _log_in(self, node: str) -> t.Any:
        """A third agent."""
        if node in self.unreached:
            raise CheckpointError("agent_not_started", f"Nobody can log in to {node}")
        return self.others.setdefault(node, Script(node, self.log))

    def fail(self) -> CheckpointError:
        with pytest.raises(CheckpointError) as failed:
            self.move.run("certificate")
        return failed.value


@pytest.fixture
def play(tmp_path: pathlib.Path) -> t.Iterator[Play]:
    log: list[str] = []
    api = Cluster(log)
    with serving(api) as running:
        made = Play(running.url, api, log, str(tmp_path / "moves"))
        yield made
        made.state.close()


def test_the_order_of_a_move(play: Play) -> None:
    result = play.move.run("certificate")
    assert play.log == [
        "api create checkpoint-restore-move-uid-web-0",
        "target name",
        "source prepare",
        "target open",
        "target receive",
        "source connect",
        "source dump",
        "source hold",
        "target leave",
        "target pend",
        "target hold",
        "source give",
        "api evict web-0",
        "api create web-0",
        "source give",
        "target renew",
        "source end",
        "target prove",
        "api delete checkpoint-restore-move-uid-web-0",
        "target discard",
    ]
    assert result["outcome"] == "moved" and play.state.outcome == "moved" and result["warnings"] == []
    assert result.keys() <= yaml.safe_load(checkpoint_migrate.RETURN).keys()
    assert play.target.told["leave"]["seconds"] < 20.0, "a ticket ends before the source runs on"
    assert play.source.told["prepare"]["volumes"] == play.target.told["leave"]["volumes"] == {}
    assert play.target.told["renew"]["volumes"] == {}
    assert play.target.told["prove"]["containers"] == {"app": "cri-o://id-app"}
    assert play.source.told["prepare"]["containers"] == {"app": "id-app"}
    assert set(result["seconds"]) >= {"prepare", "dump", "ticket", "replace", "start", "verify", "clean", "total"}


BACK = [
    "source hang_up",
    "target take_back",
    "source resume",
    "api delete checkpoint-restore-move-uid-web-0",
    "target discard",
]


@pytest.mark.parametrize(
    ("who", "word"),
    [
        ("target", "name"),
        ("target", "open"),
        ("source", "connect"),
        ("source", "prepare"),
        ("source", "dump"),
        ("target", "receive"),
        ("source", "hold"),
        ("target", "leave"),
        ("target", "pend"),
        ("target", "hold"),
    ],
)
def test_what_fails_before_the_source_is_told_to_end_is_undone(play: Play, who: str, word: str) -> None:
    agent = play.source if who == "source" else play.target
    agent.fails[word] = "some_code"
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("some_code", True)
    assert play.log[-5:] == BACK and play.state.outcome == "undone"
    assert play.api.objects[POD]["metadata"]["uid"] == "uid-web-0" and play.state.owed == []


def test_a_budget_of_the_last_moment_is_obeyed(play: Play) -> None:
    said = "Cannot evict pod as it would violate the pod's disruption budget."
    play.api.refusals["POST", f"{POD}/eviction"] = status_object(429, said)
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("budget_refuses", True)
    assert play.log[-5:] == BACK and play.state.outcome == "undone"


def test_an_api_server_that_fails_at_the_last_moment(play: Play) -> None:
    """Whether the source's pod is gone, is asked before anything is undone."""
    play.api.refusals["POST", f"{POD}/eviction"] = status_object(500, "etcdserver: request timed out")
    assert play.fail().details["undone"] is True and play.log[-5:] == BACK


def test_a_target_that_is_lost_with_its_tickets_can_have_them_used_by_nobody(play: Play) -> None:
    said = "Cannot evict pod as it would violate the pod's disruption budget."
    play.api.refusals["POST", f"{POD}/eviction"] = status_object(429, said)
    play.target.fails["take_back"] = "agent_lost"
    error = play.fail()
    assert error.details["undone"] is False and play.state.outcome is None
    assert "source resume" in play.log
    # It ran on: what was dumped then is old, even if somebody deletes the pod meanwhile.
    del play.api.objects[POD]
    assert play.again() == {"outcome": "undone", "move": play.plan.number, "warnings": []}
    assert play.state.outcome == "undone" and play.state.owed == [] and "api create web-0" not in play.log


def test_a_ticket_that_was_claimed_lets_nobody_go_back(play: Play) -> None:
    said = "Cannot evict pod as it would violate the pod's disruption budget."
    play.api.refusals["POST", f"{POD}/eviction"] = status_object(429, said)
    play.target.answers["take_back"] = {"taken": [], "claimed": ["app"]}
    error = play.fail()
    assert error.details["undone"] is False and "source resume" not in play.log and play.state.outcome is None


def test_who_is_stopped_while_it_is_dumped_goes_back(play: Play) -> None:
    dumped = play.source.say

    def say(do: str, /, **arguments: t.Any) -> int:
        if do == "dump":
            play.stop.set()
        return dumped(do, **arguments)

    play.source.say = say  # type: ignore[method-assign]
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("interrupted", True)
    assert play.log[-5:] == BACK and "api evict web-0" not in play.log


def test_that_nobody_saw_the_source_end_is_told(play: Play) -> None:
    play.source.fails["end"] = "some_code"
    result = play.move.run("certificate")
    assert len(result["warnings"]) == 1 and "It failed to end" in result["warnings"][0]
    assert play.state.outcome == "moved"


def second_give_fails(play: Play, code: str) -> None:
    said = play.source.say

    def say(do: str, /, **arguments: t.Any) -> int:
        if do == "give" and "seconds" not in arguments:
            play.source.fails["give"] = code
        return said(do, **arguments)

    play.source.say = say  # type: ignore[method-assign]


@pytest.mark.parametrize("word", ["give", "renew"])
def test_without_the_sources_word_nobody_uses_the_images(play: Play, word: str) -> None:
    if word == "give":
        second_give_fails(play, "agent_lost")
    else:
        play.target.fails["renew"] = "agent_lost"
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("agent_lost", False) and play.state.outcome is None
    assert ("target renew" in play.log) == (word == "renew") and "source resume" not in play.log
    assert play.again()["outcome"] == "moved"
    assert ("source give" in play.log) == (word == "give") and "target renew" in play.log


def test_a_source_that_cannot_answer_any_more_is_not_told_to_end(play: Play) -> None:
    play.source.fails["give"] = "agent_silent"
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("agent_silent", True)
    assert play.log[-5:] == BACK and "api evict web-0" not in play.log


def test_a_source_that_has_come_to_run_on_keeps_the_images_unused(play: Play) -> None:
    second_give_fails(play, "not_frozen")
    play.source.fails["end"] = "not_frozen"
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("not_frozen", False) and "target renew" not in play.log
    # Gone altogether, it needs no word.
    assert play.again()["outcome"] == "moved"


def test_a_replacement_that_is_not_what_was_dumped_is_no_success_and_taken_up_again(play: Play) -> None:
    play.target.fails["prove"] = "restore_failed"
    error = play.fail()
    assert (error.code, error.details["undone"]) == ("restore_failed", False)
    assert error.details["state_file"] == play.state.path and "images are on n2" in error.hint
    assert "target discard" not in play.log and "source resume" not in play.log
    assert play.again()["outcome"] == "moved"
    assert play.log[:2] == ["source name", "target name"]
    assert [line for line in play.log if line.startswith(("source", "target"))][2:] == [
        "target name",
        "target renew",
        "source end",
        "target prove",
        "target discard",
    ]


@pytest.mark.parametrize("step", ["planned", "prepared", "freezing", "given_up"])
def test_who_was_killed_before_the_source_was_told_to_end_is_undone_by_the_next(play: Play, step: str) -> None:
    steps = ["prepared", "freezing", "given_up"]
    for name in steps[: steps.index(step) + 1 if step in steps else 0]:
        play.state.step(name)
    assert play.again()["outcome"] == "undone"
    assert [line for line in play.log if not line.startswith("api")][2:] == [
        "source hang_up",
        "target take_back",
        "source resume",
        "target discard",
    ]


def test_who_was_killed_right_after_the_source_was_told_to_end_is_finished_by_the_next(play: Play) -> None:
    for name in ("prepared", "freezing", "given_up"):
        play.state.step(name)
    del play.api.objects[POD]
    result = play.again()
    assert result["outcome"] == "moved" and result["down_seconds"] is None
    assert "api create web-0" in play.log and "source resume" not in play.log and "target take_back" not in play.log


@pytest.fixture
def first(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Play]:
    """A pod of a Deployment whose replacement comes first."""
    log: list[str] = []
    api = Deployed(log)
    # Nobody here puts into a dry run what an admission policy would.
    monkeypatch.setattr(ways.WAYS["replacement_first"], "prove", lambda *_arguments: None)
    with serving(api) as running:
        made = Play(running.url, api, log, str(tmp_path / "moves"), order="replacement_first")
        api.plan = made.plan
        yield made
        made.state.close()


def words(play: Play) -> list[str]:
    return [line for line in play.log if line.startswith(("source", "target")) or "scale" in line]


def test_the_order_with_the_replacement_first(first: Play) -> None:
    said = first.target.say

    def say(do: str, /, **arguments: t.Any) -> int:
        if do == "renew":
            t.cast("Deployed", first.api).run()
        return said(do, **arguments)

    first.target.say = say  # type: ignore[method-assign]
    result = first.move.run("certificate")
    assert words(first) == [
        "target name",
        "target pend",
        "target hold",
        "api patch scale",
        "source prepare",
        "target open",
        "target receive",
        "source connect",
        "source dump",
        "source hold",
        "target hold",
        "source give",
        "source give",
        "target renew",
        "source end",
        "api patch scale",
        "target prove",
        "target discard",
    ]
    assert result["outcome"] == "moved" and result["pod"] == first.plan.replacement
    assert POD not in first.api.objects


@pytest.mark.parametrize(("who", "word"), [("source", "prepare"), ("source", "dump"), ("source", "give")])
def test_a_replacement_that_waits_goes_before_its_pending_tickets(first: Play, who: str, word: str) -> None:
    agent = first.source if who == "source" else first.target
    agent.fails[word] = "some_code"
    error = first.fail()
    assert (error.code, error.details["undone"]) == ("some_code", True), error.details
    assert words(first)[-5:] == [
        "source hang_up",
        "api patch scale",
        "target take_back",
        "source resume",
        "target discard",
    ]
    assert POD in first.api.objects and f"{SHOP}/pods/{first.plan.replacement}" not in first.api.objects


def test_one_that_was_killed_when_the_source_was_given_is_finished_by_the_next(first: Play) -> None:
    first.move._make_replacement_wait()
    for name in ("prepared", "freezing", "given_up"):
        first.state.step(name)
    t.cast("Deployed", first.api).run()
    assert first.again()["outcome"] == "moved"
    assert "target renew" in first.log and "source resume" not in first.log and POD not in first.api.objects


@pytest.mark.parametrize("then", ["moved", "gone"])
def test_a_replacement_that_does_not_answer_keeps_its_images_until_somebody_takes_it_as_it_is(
    play: Play, then: str
) -> None:
    play.move._wishes = dataclasses.replace(play.wishes, verify=verify.Request(8080, "/", 0.1))
    error = play.fail()
    assert (error.code, error.details["undone"], error.details["verified"]) == ("verify_failed", False, False)
    assert play.log[-2:] == ["target prove", "api delete checkpoint-restore-move-uid-web-0"]
    assert play.state.outcome is None and play.state.steps[-1]["name"] == "verify_failed" and play.state.owed == []
    if then == "gone":
        del play.api.objects[POD]
    result = play.again()
    assert result["outcome"] == then and play.state.outcome == "moved"
    assert play.log == ["source name", "target name", "target discard"] and result.get("verified") is None


def replaced(play: Play, **status: t.Any) -> Thing:
    """Its controller was killed after the replacement was made."""
    for name in ("prepared", "freezing", "given_up", "replaced"):
        play.state.step(name)
    made = pod("web-0", "n2")
    made["metadata"].update(uid="uid-made", annotations={objects.MOVE: play.plan.number})
    made["status"].update(status)
    play.api.objects[POD] = made
    return made


def test_a_replacement_that_failed_is_made_anew_by_the_next(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"name": "app", "restartCount": 0, "state": {"waiting": {"reason": "CreateContainerError"}}}
    replaced(play, containerStatuses=[failed])
    monkeypatch.setitem(ANSWERS, "name", {"images": ["app"], "tickets": ["app"]})
    assert play.again()["outcome"] == "moved"
    log = [line for line in play.log if line != "target name"]
    # In this order: it cannot use the tickets, it is gone, and only the new one can.
    wanted = ["target renew", "target pend", "api delete web-0", "api create web-0", "target renew", "target prove"]
    assert [line for line in log if line in wanted] == wanted
    assert play.target.told["renew"]["uid"] == play.api.objects[POD]["metadata"]["uid"] != "uid-made"
    assert "source give" not in play.log and "source resume" not in play.log


def test_a_replacement_whose_ticket_is_in_use_is_left_alone(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(play)
    monkeypatch.setattr(taking_up.anew, "failed", lambda *_arguments: True)
    monkeypatch.setattr(taking_up.anew, "runs", lambda *_arguments: False)
    monkeypatch.setitem(ANSWERS, "name", {"images": ["app"], "tickets": ["app"]})
    monkeypatch.setitem(ANSWERS, "renew", {"tickets": []})
    assert play.again()["outcome"] == "moved"
    assert play.api.objects[POD]["metadata"]["uid"] == "uid-made"


def test_one_that_runs_at_last_is_not_asked_how_often_it_was_tried(play: Play) -> None:
    made = replaced(play)
    made["status"]["containerStatuses"][0]["restartCount"] = 3
    assert play.again()["outcome"] == "moved" and "target prove" in play.log


def test_a_source_whose_node_is_off_for_good_is_not_needed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    second_give_fails(play, "agent_lost")
    assert play.fail().details["undone"] is False
    play.api.objects["/api/v1/nodes/n1"]["spec"] = {"taints": [{"key": taking_up.anew.OUT_OF_SERVICE}]}
    lost = dict.fromkeys(("name", "give", "end"), "agent_not_started")

    def without(self: Script, name: str, log: list[str]) -> None:
        made(self, name, log)
        self.fails = lost if name == "source" else {}

    made = Script.__init__
    monkeypatch.setattr(Script, "__init__", without)
    result = play.again()
    assert result["outcome"] == "moved" and len(result["warnings"]) == 2


HOME = [
    "n1 look",
    "source end",
    "target name",
    "target renew",
    "n1 name",
    "n1 discard",
    "n1 open",
    "n1 receive",
    "target connect",
    "target send",
    "target hang_up",
    "n1 hold",
]
ANEW = ["n1 name", "n1 pend", "api delete web-0", "api create web-0", "n1 renew", "n1 prove"]
FORMER = ["n2 name", "n2 take_back", "n2 name", "n2 discard"]


@pytest.fixture
def stuck(play: Play, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Its replacement cannot be restored at the target."""
    failed = {"name": "app", "restartCount": 0, "state": {"waiting": {"reason": "CreateContainerError"}}}
    replaced(play, containerStatuses=[failed])
    monkeypatch.setitem(ANSWERS, "name", {"images": ["app"], "tickets": ["app"]})
    return play


def test_a_second_run_with_the_sources_node_has_it_back_there(stuck: Play) -> None:
    result = stuck.again("n1")
    assert result["outcome"] == "moved" and stuck.move.target == "n1" and stuck.state.outcome == "moved"
    log = [line for line in stuck.log if "checkpoint-restore-move" not in line][2:]
    assert log[: len(HOME)] == HOME, "nobody can use them any more before they are sent"
    assert log[len(HOME) :] == [*ANEW, "n1 discard", *FORMER], log
    made = stuck.api.objects[POD]
    assert stuck.others["n1"].told["renew"]["uid"] == made["metadata"]["uid"] != "uid-made"
    assert made["spec"]["nodeSelector"]["kubernetes.io/hostname"] == "n1.example.com"
    images = {step["name"]: step["images"] for step in stuck.state.steps if "images" in step}
    assert images == {"bringing": ["n2"], "redirected": ["n1", "n2"]}


def test_what_is_in_use_at_the_target_goes_on_there(stuck: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "renew", {"tickets": []})
    monkeypatch.setattr(taking_up.anew, "failed", lambda *_arguments: False)
    stuck.api.objects[POD]["status"] = pod()["status"]
    result = stuck.again("n1")
    assert result["outcome"] == "moved" and stuck.move.target == "n2" and "n1 open" not in stuck.log
    assert "goes on at n2" in result["warnings"][0] and stuck.api.objects[POD]["metadata"]["uid"] == "uid-made"


@pytest.mark.parametrize("what", ["login", "look"])
def test_a_node_that_cannot_have_it_changes_nothing(stuck: Play, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    verdict = {"name": "restore_runtime", "result": "warning", "reason": "It is old", "hint": ""}
    monkeypatch.setitem(ANSWERS, "look", {"checks": [verdict]})
    stuck.unreached = ["n1"] if what == "login" else []
    with pytest.raises(CheckpointError) as failed:
        stuck.again("n1")
    assert failed.value.code == ("agent_not_started" if what == "login" else "preflight_failed")
    assert "with n1 as its node" in failed.value.hint and failed.value.details["undone"] is False
    assert "target renew" not in stuck.log and stuck.state.steps[-1]["name"] == "replaced"


def test_images_that_did_not_all_arrive_are_not_used(stuck: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "receive", {"bytes": 6, "files": 1})
    with pytest.raises(CheckpointError) as failed:
        stuck.again("n1")
    assert failed.value.code == "stream_wrong" and "api delete web-0" not in stuck.log
    assert "n1 hold" not in stuck.log and plans.from_facts(stuck.state.facts).target == "n2"
    assert stuck.again("n2")["outcome"] == "moved"
    # What has come there is not needed any more.
    assert stuck.log[-2:] == ["n1 name", "n1 discard"]


def test_why_the_line_was_ended_is_told(stuck: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    new = stuck._log_in("n1")
    new.fails["receive"] = "no_space"

    def failing(self: Script, do: str, seconds: float, /, **arguments: t.Any) -> Thing:
        if do == "send":
            raise CheckpointError("connection_lost", "It is gone")
        return self.wait(self.say(do, **arguments), seconds)

    monkeypatch.setattr(Script, "ask", failing)
    with pytest.raises(CheckpointError) as failed:
        stuck.again("n1")
    assert failed.value.code == "no_space" and "n1 hold" not in stuck.log


def test_who_was_killed_when_the_images_had_arrived_is_gone_on_with_there(stuck: Play) -> None:
    before = stuck.plan
    redirected = {"source": "n2", "pod": "web-0", "images": ["n1", "n2"]}
    ways.redirect(stuck.session, before, stuck.state, "n1", **redirected)
    stuck.log.clear()
    assert stuck.again("n1")["outcome"] == "moved"
    log = [line for line in stuck.log if "checkpoint-restore-move" not in line]
    # The agent of its target is at n1 now.
    wanted = [line.replace("n1", "target") for line in ANEW]
    assert log == ["source name", "target name", *wanted, "target discard", *FORMER]


def test_who_was_killed_then_may_turn_to_another_node(stuck: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that failed is still at the first node, and has nothing to do with the tickets of the second."""
    ways.redirect(stuck.session, stuck.plan, stuck.state, "n1", source="n2", pod="web-0", images=["n1", "n2"])
    monkeypatch.setitem(ANSWERS, "name", {"images": ["app"], "tickets": []})
    assert stuck.again("n2")["outcome"] == "moved" and stuck.move.target == "n2"
    log = [line for line in stuck.log if "checkpoint-restore-move" not in line]
    sent, deleted = log.index("target send"), log.index("api delete web-0")
    assert sent < log.index("n2 hold") < log.index("n2 pend") < deleted < log.index("n2 renew")
    assert log[-4:] == [line.replace("n2", "n1") for line in FORMER]


def test_a_node_that_is_not_ready_keeps_its_tickets(stuck: Play) -> None:
    """Its kubelet may still try to make the one that failed."""
    ways.redirect(stuck.session, stuck.plan, stuck.state, "n1", source="n2", pod="web-0", images=["n1", "n2"])
    ready = stuck.api.objects["/api/v1/nodes/n2"]["status"]["conditions"][0]
    ready["status"] = "Unknown"
    with pytest.raises(CheckpointError) as failed:
        stuck.again("n1")
    assert failed.value.code == "cleanup_incomplete" and "n2 take_back" not in stuck.log
    assert stuck.state.outcome is None and stuck.state.reached("running")
    ready["status"] = "True"
    assert stuck.again("n1")["outcome"] == "moved" and "n2 take_back" in stuck.log


@pytest.mark.parametrize("out", [True, False])
def test_images_at_a_node_that_is_gone(stuck: Play, out: bool) -> None:
    ways.redirect(stuck.session, stuck.plan, stuck.state, "n1", source="n2", pod="web-0", images=["n1", "n2"])
    stuck.unreached = ["n2"]
    if out:
        stuck.api.objects["/api/v1/nodes/n2"]["spec"] = {"taints": [{"key": taking_up.anew.OUT_OF_SERVICE}]}
        result = stuck.again("n1")
        assert result["outcome"] == "moved" and f"moves/{stuck.plan.number}" in result["warnings"][0]
        return
    with pytest.raises(CheckpointError) as failed:
        stuck.again("n1")
    assert failed.value.code == "agent_not_started" and taking_up.anew.OUT_OF_SERVICE in failed.value.hint
    assert stuck.state.outcome is None and stuck.state.reached("running")
    stuck.unreached = []
    assert stuck.again("n1")["outcome"] == "moved"
    assert [line for line in stuck.log if line.startswith("n2")] == FORMER
