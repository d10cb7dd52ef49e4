# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file of a move: what a run that was killed leaves to the next one."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import lock, state
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.state import Debt, State
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    APPS,
    SHOP,
    Api,
    owner,
    pod,
)

NUMBER = "000000000042"
MARKED = {"metadata": {"name": "made", "uid": "uid-made", "labels": {"checkpoint-restore.io/move": NUMBER}}}
PLACE = f"{SHOP}/things/made"
LESS = [{"op": "test", "path": "/spec/replicas", "value": 4}, {"op": "replace", "path": "/spec/replicas", "value": 3}]


@pytest.fixture
def begun(tmp_path: pathlib.Path) -> t.Iterator[State]:
    with State.begin(str(tmp_path / "moves"), NUMBER, {"pod": "web-0"}) as made:
        yield made


def refused(call: t.Callable[[], t.Any]) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        call()
    return caught.value


def test_is_roots_alone_and_whole_after_each_step(begun: State) -> None:
    begun.step("frozen", seconds=0.2)
    content = json.loads(pathlib.Path(begun.path).read_text())
    assert [step["name"] for step in content["steps"]] == ["planned", "frozen"]
    assert content["steps"][1]["seconds"] == 0.2
    assert stat.S_IMODE(os.stat(begun.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(begun.path)).st_mode) == 0o700


def test_a_killed_run_leaves_its_debts_and_no_lock(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path / "moves")
    program = (
        "import os, signal\n"
        "from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.state import Debt, State\n"
        f"made = State.begin({folder!r}, {NUMBER!r}, {{'pod': 'web-0'}})\n"
        f"made.owe(Debt('policy', 'delete', {PLACE!r}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    assert state.unfinished(folder) == [NUMBER]
    with State.load(folder, NUMBER) as found:
        assert found.facts == {"pod": "web-0"}
        assert found.owed == [Debt("policy", "delete", PLACE)]
        assert found.reached("planned") and not found.reached("frozen")
        found.end("undone")
        assert found.facts == {} and found.outcome == "undone"
    assert state.unfinished(folder) == []


def test_what_ended_long_ago_goes_and_nothing_else(begun: State, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.path.dirname(begun.path)
    numbers = {name: f"00000000010{place}" for place, name in enumerate(("old", "held", "new", "begun", "lost"))}
    now = state.time.time()
    monkeypatch.setattr(state.time, "time", lambda: now - 2 * state.KEPT_SECONDS)
    held = State.begin(folder, numbers["held"], {})
    held.end("undone")
    for name in ("old", "begun", "new"):
        monkeypatch.setattr(state.time, "time", lambda name=name: now - (name != "new") * state.KEPT_SECONDS - 60)
        with State.begin(folder, numbers[name], {}) as made:
            if name != "begun":
                made.end("moved")
    monkeypatch.undo()
    lost = pathlib.Path(folder) / f"{numbers['lost']}.lock"
    lost.touch()
    os.utime(lost, (0, 0))
    (pathlib.Path(folder) / "notes.txt").touch()
    with held:
        assert state.unfinished(folder) == [numbers["begun"], NUMBER]
    kept = {
        f"{number}.{kind}"
        for number in (numbers["held"], numbers["new"], numbers["begun"], NUMBER)
        for kind in ("json", "lock")
    }
    assert set(os.listdir(folder)) == kept | {"notes.txt"}
    assert state.unfinished(folder) == [numbers["begun"], NUMBER]
    assert f"{numbers['held']}.json" not in os.listdir(folder), "nobody holds it any more"


def test_two_processes_do_not_have_one_move_in_hand(begun: State) -> None:
    error = refused(lambda: State.load(os.path.dirname(begun.path), NUMBER))
    assert error.code == "state_in_use" and NUMBER in error.reason


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "steps": 3}'])
def test_a_damaged_file_is_told_in_plain_words(begun: State, text: str) -> None:
    begun.close()
    folder = os.path.dirname(begun.path)
    pathlib.Path(begun.path).write_text(text)
    error = refused(lambda: State.load(folder, NUMBER))
    assert error.code == "state_unusable" and begun.path in error.reason
    # The lock is let go.
    assert refused(lambda: State.load(folder, NUMBER)).code == "state_unusable"
    begun._lock = os.open(os.devnull, os.O_RDONLY)


def test_without_room_nothing_is_begun(tmp_path: pathlib.Path) -> None:
    (tmp_path / "moves").write_text("a file")
    assert refused(lambda: State.begin(str(tmp_path / "moves"), NUMBER, {})).code == "state_unusable"


def test_debts_are_paid_backwards_and_once(begun: State) -> None:
    api = Api(pod())
    api.objects[PLACE] = MARKED
    scale = f"{APPS}/deployments/web/scale"
    api.objects[scale] = {"metadata": {"name": "web"}, "spec": {"replicas": 4}}
    with serving(api) as there:
        session = ApiSession(Server(url=there.url))
        begun.owe(Debt("policy", "delete", PLACE))
        begun.owe(Debt("cost", "patch", f"{SHOP}/pods/web-0", {"metadata": {"annotations": {"a": "b"}}}, always=False))
        begun.owe(Debt("scale", "patch", scale, LESS))
        begun.owe(Debt("set", "create", f"{APPS}/statefulsets", owner("StatefulSet")))
        # Owed again, it stays where it was.
        begun.owe(Debt("policy", "delete", PLACE))
        begun.settle(session, undo=True)
        assert api.done == [
            f"create {APPS}/statefulsets/web",
            f"patch {scale}",
            f"patch {SHOP}/pods/web-0",
            f"delete {PLACE}",
        ]
        assert begun.owed == []
        begun.settle(session, undo=True)
        assert len(api.done) == 4


def test_what_only_an_undone_move_owes_is_struck_out_by_one_that_came_off(begun: State) -> None:
    api = Api(pod())
    with serving(api) as there:
        session = ApiSession(Server(url=there.url))
        begun.owe(Debt("cost", "patch", f"{SHOP}/pods/web-0", {"metadata": {}}, always=False))
        begun.settle(session, undo=False)
    assert api.done == [] and begun.owed == []


def test_nothing_of_others_is_deleted(begun: State) -> None:
    api = Api()
    api.objects[PLACE] = {"metadata": {**MARKED["metadata"], "labels": {"checkpoint-restore.io/move": "another"}}}
    with serving(api) as there:
        begun.owe(Debt("policy", "delete", PLACE))
        begun.settle(ApiSession(Server(url=there.url)), undo=True)
    assert api.done == [] and begun.owed == []


def test_a_change_that_no_longer_fits_is_left(begun: State) -> None:
    api = Api(pod())
    scale = f"{APPS}/deployments/web/scale"
    api.objects[scale] = {"metadata": {"name": "web"}, "spec": {"replicas": 7}}
    with serving(api) as there:
        begun.owe(Debt("scale", "patch", scale, LESS))
        begun.owe(Debt("cost", "patch", f"{SHOP}/pods/web-0", {"metadata": {"uid": "another"}}))
        begun.owe(Debt("gone", "patch", f"{SHOP}/pods/web-9", {"metadata": {}}))
        begun.settle(ApiSession(Server(url=there.url)), undo=True)
    assert api.done == [] and begun.owed == []


def test_what_cannot_be_put_back_stays_owed_and_the_rest_is_done(begun: State) -> None:
    api = Api()
    api.objects[PLACE] = MARKED
    api.refusals[("POST", f"{APPS}/statefulsets")] = status_object(403, "not you")
    with serving(api) as there:
        session = ApiSession(Server(url=there.url))
        begun.owe(Debt("policy", "delete", PLACE))
        begun.owe(Debt("set", "create", f"{APPS}/statefulsets", owner("StatefulSet")))
        error = refused(lambda: begun.settle(session, undo=True))
        assert (error.code, error.message) == ("cleanup_incomplete", "not you")
        assert error.details["left"] == [f"{APPS}/statefulsets"]
        assert api.done == [f"delete {PLACE}"]
        api.refusals.clear()
        begun.settle(session, undo=True)
    assert api.done[1:] == [f"create {APPS}/statefulsets/web"]


def test_a_set_is_made_again_once_the_deleted_one_is_gone(begun: State, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(owner("StatefulSet"))
    going = f"{APPS}/statefulsets/web"
    api.objects[going]["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        api.objects.pop(going, None)

    with serving(api) as there:
        begun.owe(Debt("set", "create", f"{APPS}/statefulsets", owner("StatefulSet")))
        monkeypatch.setattr(state.time, "sleep", pause)
        begun.settle(ApiSession(Server(url=there.url)), undo=False)
    assert pauses and api.done == [f"create {going}"]


def test_one_move_per_owner(begun: State, tmp_path: pathlib.Path) -> None:
    api = Api()
    with serving(api) as there, State.begin(str(tmp_path / "other"), "000000000043", {}) as other:
        session = ApiSession(Server(url=there.url))
        lock.acquire(session, begun, "shop", "uid-web", "Deployment web")
        lock.acquire(session, begun, "shop", "uid-web", "Deployment web")
        error = refused(lambda: lock.acquire(session, other, "shop", "uid-web", "Deployment web"))
        assert error.code == "move_under_way" and NUMBER in error.reason and other.owed == []
        other.settle(session, undo=True)
        assert [path for path in api.objects if "leases" in path]
        begun.settle(session, undo=False)
        assert not [path for path in api.objects if "leases" in path]
        lock.acquire(session, other, "shop", "uid-web", "Deployment web")
