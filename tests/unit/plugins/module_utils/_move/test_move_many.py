# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods are planned, what is said of each, and what a replacement has to answer; the laboratory has the moves."""

from __future__ import annotations

import contextlib
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.exec import Ended
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import (
    arguments,
    many,
    report,
    state,
    verify,
    ways,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_migrate
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    serving,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    CLASS,
    Api,
    Thing,
    owner,
    pod,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented

WHICH: Thing = {"namespace": "shop", "pod": None, "label_selectors": None, "source_node": None}


def options(**given: t.Any) -> Thing:
    """The options of the module with their defaults."""
    defaults = {name: option.get("default") for name, option in arguments.SPEC.items()}
    return {**defaults, **WHICH, "node": "n2", **given}


@pytest.fixture
def api() -> Api:
    mirror = pod("mirror")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "hash"}
    ended = pod("ended")
    ended["status"] = {"phase": "Succeeded"}
    going = pod("going")
    going["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
    made = Api(mirror, ended, going, pod("web-0"), pod("web-1"), pod("there", "n2"))
    rooted = pod("rooted", owner={**owner("ReplicaSet"), "kind": "DaemonSet"})
    made.objects["/api/v1/namespaces/shop/pods/rooted"] = rooted
    return made


class Controller:
    """Runs moves with what nobody can log in to; ``warned``: what people are told."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.stop = threading.Event()
        self.warned: list[str] = []
        self.asked: list[str] = []
        self.shown: list[str] = []

    def run(self, *, check: bool = True, **given: t.Any) -> Thing:
        with serving(self.api) as running:
            session = ApiSession(Server(url=running.url))
            result = many.Moves(session, options(**given), self.site).run(check=check)
        assert undocumented(result, checkpoint_migrate.RETURN) == []
        return result

    @property
    def site(self) -> many.Site:
        return many.Site(
            log_in=self._log_in,
            reachable=self.asked.append,
            identity=str,
            show=lambda name, text: self.shown.append(f"{name}: {text}"),
            warn=self.warned.append,
            stop=self.stop,
        )

    def _log_in(self, node: str, role: str) -> t.Any:
        raise CheckpointError("agent_not_started", f"No {role} on {node}")


@pytest.fixture
def controller(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Controller:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Controller(api)


def outcomes(result: Thing) -> dict[str, tuple[t.Optional[str], str]]:
    return {entry["pod"]: (entry["outcome"], entry["code"]) for entry in result["moves"]}


@pytest.mark.parametrize("namespace", ["shop", None])
def test_all_of_a_node(controller: Controller, namespace: t.Optional[str]) -> None:
    result = controller.run(source_node="n1", namespace=namespace)
    assert result["changed"] and "failed" not in result and "outcome" not in result
    assert outcomes(result) == {
        "ended": ("skipped", "pod_not_running"),
        "going": ("skipped", "pod_deleted"),
        "mirror": ("skipped", "pod_static"),
        "rooted": ("skipped", "owner_unsupported"),
        "web-0": (None, ""),
        "web-1": (None, ""),
    }
    assert set(controller.asked) == {"n1", "n2"}
    assert "shop/web-1   n1    n2  would be moved: bare" in result["table"], result["table"]
    assert any(text.startswith("shop/web-0: The nodes were not looked at") for text in controller.warned)


def test_another_namespace_of_the_node(controller: Controller) -> None:
    result = controller.run(source_node="n1", namespace="other")
    assert (result["changed"], result["moves"]) == (False, [])


@pytest.mark.parametrize(
    ("name", "code"), [("mirror", "pod_static"), ("rooted", "owner_unsupported"), ("ended", "pod_not_running")]
)
def test_what_is_skipped_otherwise_is_refused_by_its_name(controller: Controller, name: str, code: str) -> None:
    result = controller.run(pod=name)
    assert (result["failed"], result["code"], result["changed"]) == (True, code, False)
    assert outcomes(result) == {name: ("failed", code)}


def test_nothing_is_moved_once_one_cannot_be_planned(controller: Controller) -> None:
    controller.api.objects["/api/v1/namespaces/shop/pods/bound"] = pod("bound", hostNetwork=True)
    result = controller.run(source_node="n1", check=False)
    assert (result["failed"], result["code"], result["changed"]) == (True, "preflight_failed", False)
    told = outcomes(result)
    assert told["bound"] == ("failed", "preflight_failed") and told["web-0"] == told["web-1"] == (None, "")
    assert "0 of 3 pods were moved" in result["msg"] and "shop/bound" in result["msg"]


@pytest.mark.parametrize("on_failure", ["stop", "continue"])
def test_a_node_that_cannot_be_logged_in_to(controller: Controller, on_failure: str) -> None:
    result = controller.run(source_node="n1", check=False, on_failure=on_failure)
    assert (result["failed"], result["code"], result["changed"]) == (True, "agent_not_started", False)
    assert outcomes(result)["web-0"] == ("failed", "agent_not_started")


def test_an_interruption_ends_it(controller: Controller) -> None:
    controller.stop.set()
    result = controller.run(source_node="n1", check=False, on_failure="continue")
    assert outcomes(result)["web-0"] == ("failed", "interrupted") and outcomes(result)["web-1"] == (None, "")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"pod": "web-0"}, True),
        ({"source_node": "n1", "namespace": None}, True),
        ({"label_selectors": ["app=web"]}, True),
        ({"pod": "web-1"}, False),
        ({"source_node": "n2"}, False),
        ({"label_selectors": ["app=web"], "namespace": "other"}, False),
    ],
)
def test_a_move_that_was_begun_is_gone_on_with_before_others(controller: Controller, given: Thing, meant: bool) -> None:
    with serving(controller.api) as running:
        session = ApiSession(Server(url=running.url))
        plan = plans.make(session, "shop", "web-0", "n2", runtime_class=CLASS)
        ways.begin(session, plan, state.directory())[1].close()
    result = controller.run(check=False, **given)
    assert any("shop/web-0: Takes up the move" in text for text in controller.shown) is meant
    if meant:
        # Nothing else is begun while that could not be brought to its end.
        assert outcomes(result) == {"web-0": ("failed", "agent_not_started")}
    assert state.unfinished(state.directory()) == [plan.number]


@pytest.mark.parametrize(
    ("given", "node"),
    [({"pod": "web-0"}, "n3"), ({"source_node": "n1"}, "n2"), ({"label_selectors": ["app=web"]}, "n2")],
)
def test_only_who_names_the_pod_can_have_it_go_on_elsewhere(controller: Controller, given: Thing, node: str) -> None:
    with serving(controller.api) as running:
        session = ApiSession(Server(url=running.url))
        plan = plans.make(session, "shop", "web-0", "n2", runtime_class=CLASS)
        moves = many.Moves(session, options(node="n3", **given), controller.site)
        with contextlib.ExitStack() as stack:
            assert moves._reach(plan, stack).node == node


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pod": "web-0", "source_node": "n1"},
        {"pod": "web-0", "label_selectors": ["app=web"]},
        {"label_selectors": []},
        {"label_selectors": ["app=web"], "namespace": None},
        {"pod": "web-0", "namespace": ""},
    ],
)
def test_which_pods_has_to_be_said_in_one_way(given: Thing) -> None:
    with pytest.raises(CheckpointError) as refused:
        arguments.selection(options(**given))
    assert refused.value.code == "invalid_option"


def test_a_node_that_is_not_there(controller: Controller) -> None:
    with pytest.raises(CheckpointError) as refused:
        controller.run(source_node="n3")
    assert refused.value.code == "node_not_found"


def test_the_columns_are_as_wide_as_what_is_in_them() -> None:
    seconds = {"dump": 0.25, "ticket": 0.02, "replace": 0.03, "total": 2.0}
    done: Thing = {"pod": "web-0", "way": "policy", "seconds": seconds, "down_seconds": 1.084, "bytes": 17301504}
    where = {"source": "worker-1", "node": "n2", "way": "policy"}
    ones = [
        report.One(pod("web-0"), outcome="moved", told=where, result=done),
        report.One(pod("a"), outcome="moved", told=where, result={**done, "seconds": {}, "down_seconds": None}),
        report.One(pod("rooted"), outcome="skipped", error=CheckpointError("owner_unsupported", "It stays")),
    ]
    assert report.table(ones) == [
        "POD          FROM      TO  WAY     FROZEN  READY AFTER  MOVED     LOST",
        "shop/web-0   worker-1  n2  policy  0.30 s  1.08 s       16.5 MiB  0 s",
        "shop/a       worker-1  n2  policy  ?       ?            16.5 MiB  0 s",
        "shop/rooted  -         -   skipped: It stays",
    ]


def test_a_replacement_answers_after_a_while() -> None:
    asked: list[str] = []

    def answer(request: Asked) -> Say:
        asked.append(request.path)
        return Say(200, {}) if len(asked) > 2 else Say(503, {"kind": "Status", "message": "no endpoints"})

    with serving(answer) as running:
        session, request = ApiSession(Server(url=running.url)), verify.Request(8080, "ready/now", 30.0)
        verify.verify(session, pod(), request, threading.Event())
    assert asked == ["/api/v1/namespaces/shop/pods/web-0%3A8080/proxy/ready/now"] * 3


def test_a_replacement_that_answers_something_else() -> None:
    with serving(lambda _request: Say(404, {"kind": "Status", "message": "no such thing"})) as running:
        session, request = ApiSession(Server(url=running.url)), verify.Request(8080, "/", 0.3)
        with pytest.raises(CheckpointError) as refused:
            verify.verify(session, pod(), request, threading.Event())
    assert refused.value.code == "verify_failed" and refused.value.message == "HTTP 404: no such thing"


def test_a_command_is_run_until_it_ends_well_and_of_its_output_little_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[t.Any, ...]] = []
    ends: list[Ended | CheckpointError] = [
        Ended(1, "", "not yet"),
        CheckpointError("exec_lost", "It broke"),
        Ended(0, "", ""),
    ]

    def run(_session: t.Any, *place: t.Any, output: t.Callable[[bytes], object], **_limits: t.Any) -> Ended:
        ran.append(place)
        output(b"secret")
        end = ends[min(len(ran), len(ends)) - 1]
        if isinstance(end, CheckpointError):
            raise end
        return end

    monkeypatch.setattr(verify.execution, "run", run)
    session, stop = t.cast("ApiSession", None), threading.Event()
    verify.verify(session, pod(), verify.Command(("/check", "it"), "", 30.0), stop)
    first = pod()["spec"]["containers"][0]["name"]
    assert ran == [("shop", "web-0", first, ("/check", "it"))] * 3

    # The run that the time cuts off tells less than the one before.
    ends[:] = [Ended(3, "", "x" * 600 + "the end"), CheckpointError("exec_timeout", "It did not end")]
    ran.clear()
    with pytest.raises(CheckpointError) as refused:
        verify.verify(session, pod(), verify.Command(("/check", "secret"), "side", 0.3), stop)
    assert refused.value.code == "verify_failed" and ran[0][2] == "side"
    assert refused.value.message == f"exit status 3: {'x' * (verify.SHOWN - 7)}the end"
    assert "secret" not in str(refused.value)
