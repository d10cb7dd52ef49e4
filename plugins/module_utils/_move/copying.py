# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod runs on, and a copy of it, with its processes as they were at one moment, runs on another node.

    prepared    as for a move
    resumed     all containers were dumped and sent, and run again: the pod feels nothing more
    made        the copy's pod is there, and may use its tickets
    running     the copy's containers are those that were dumped, and nothing but its pod is left

Until it has come to its end, all of it can be undone: the copy is nobody's but the one's who wanted it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.access_objects import MANAGER, MANAGER_LABEL
from .._kube.api import Thing, pod_path
from .._kube.restore_removal import delete
from . import anew
from .by_hand import NAME_SECONDS, Bare
from .objects import COPY
from .passage import SHORT, Item, Passage, Tries
from .state import Debt
from .template import bound, named, rebuilt

GONE_SECONDS = 30.0
"""For the kubelet to end a copy that is undone. After that its pod is deleted without it."""


class Beside(Bare):
    """A pod like the one that runs on, found by no Service, controller, budget or policy that selects that one.

    As a pod of :mod:`.._kube.sandbox` it has none of its labels; of its owners none, whoever they are.
    """

    def replace(self) -> None:
        place = pod_path(self._plan.namespace, self._plan.replacement)
        self._state.owe(Debt("copy", "delete", place, {"gracePeriodSeconds": 0}, always=False))
        self._create(self._pod(), Deadline(NAME_SECONDS))

    def undo(self) -> None:
        """Take the copy away. Whether the pod is still there does not matter."""
        made = anew.replacement(self._session, self._plan)
        if made is not None:
            # Its kubelet says when it makes no container of it any more: one made later would start from its image.
            with _whatever_lasts():
                delete(self._session, made, Deadline(GONE_SECONDS), threading.Event(), grace=1)
        self._state.settle(self._session, undo=True)

    def _pod(self) -> Thing:
        plan = self._plan
        made = named(rebuilt(plan.source), plan.replacement)
        made["metadata"]["labels"] = {MANAGER_LABEL: MANAGER, COPY: "true"}
        made["metadata"].pop("ownerReferences", None)
        # A StatefulSet's pod is known to the others by these two.
        if made["spec"].get("hostname") == plan.pod:
            del made["spec"]["hostname"]
        made["spec"].pop("subdomain", None)
        return bound(made, plan.number, plan.hostname, plan.runtime_class)


@contextlib.contextmanager
def _whatever_lasts() -> t.Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        if error.code != "removal_timeout":
            raise


class Copy(Passage):
    """One copy that is made, or undone by a second run."""

    def run(self, identity: str) -> Item:
        """All of it; what it took. Raises CheckpointError, with ``undone`` in its details: whether all is as before."""
        begun = time.monotonic()
        try:
            self._dump_and_resume(self._prepare(identity))
            result = self._finish(self._make())
        except BaseException as error:
            self._roll_back(error)
            raise
        result["seconds"]["total"] = round(time.monotonic() - begun, 3)
        return result

    def again(self) -> Item:
        """Undo one that was begun and has not ended: what it copied is old by now. Raises CheckpointError."""
        plan = self._plan
        with contextlib.suppress(CheckpointError):
            self._source.ask("name", SHORT, namespace=plan.namespace, pod=plan.pod, containers=plan.names)
        self._name_target()
        problems = self._undo()
        if problems:
            raise problems[0]
        return {"outcome": "undone", "move": plan.number, "warnings": []}

    def _dump_and_resume(self, receiving: int) -> None:
        self._state.step("freezing")
        with self._clock.step("dump", "Frozen, dumped and sent"):
            self._dump()
        with self._clock.step("resume", "Runs on"):
            self._source.ask("resume", SHORT)
            self._state.step("resumed")
        self._land(receiving)
        self._go_on()

    def _make(self) -> Thing:
        """The copy, once its containers run and it is Ready."""
        with self._clock.step("ticket", "Tickets left"):
            self._target.ask("leave", SHORT, seconds=self._wishes.wait, **self._rights)
            # Without them, a pod that is there by the time the controller dies would start from its image.
            self._target.ask("hold", SHORT)
        with self._clock.step("start", "Copy running"):
            self._replacement.replace()
            self._state.step("made")
            return self._replacement.wait(Deadline(self._wishes.wait), self._stop)

    def _finish(self, made: Thing) -> Item:
        with self._clock.step("verify", "Verified"):
            receipts = self._prove(made)
            self._state.step("running")
        verified = self._verify(made)
        with self._clock.step("clean", "Cleaned up"):
            self._replacement.clean()
        with self._clock.step("discard", "Images removed"):
            self._target.ask("discard", SHORT)
            self._state.end("copied")
        return self._result("copied", None, receipts, verified)

    def _undo(self) -> list[CheckpointError]:
        trying = Tries()
        if not self._state.reached("resumed"):
            trying(self._let_run_on)
        trying(self._take_away)
        if not trying.problems:
            self._state.end("undone")
        return trying.problems

    def _take_away(self) -> None:
        self._replacement.undo()
        # Without its tickets, one that is still there would start from its image.
        self._target.ask("take_back", SHORT)
        self._target.ask("discard", SHORT)

    def _let_run_on(self) -> None:
        try:
            self._source.ask("resume", SHORT)
        except CheckpointError:
            # There is nothing to run on any more.
            if not anew.node_is_out(self._session, self._plan.node):
                raise
