# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A move whose controller was killed, or that failed when only forward was left to go, in the hands of a second run.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import Thing
from . import anew, ways
from . import plan as plans
from .moving import INTERVAL, LONG, PENDING_SECONDS, SHORT, Item, Move


class TakenUp(Move):
    """A move that was begun and has not ended, with agents that know nothing of it."""

    def again(self) -> Item:
        """Go on with it, or undo it; ``outcome`` in the result says which. Raises CheckpointError as run()."""
        plan = self._plan
        with contextlib.suppress(CheckpointError):
            # A node that is gone is asked for nothing more, once it has said what matters.
            self._source.ask("name", SHORT, namespace=plan.namespace, pod=plan.pod, containers=plan.names)
        left = self._name_target()
        unused = len(left) == len(plan.names) and not self._state.reached("replaced")
        ending = self._is_told_to_end()
        if self._state.reached("resumed") or (not ending and (unused or not self._is_replaced())):
            problems = self._undo(put_back=not ending)
            if problems:
                raise problems[0]
            return {"outcome": "undone", "move": plan.number, "warnings": []}
        if self._state.reached("running"):
            # All that was left is to clean up, or to have it answer. It may have been started anew to that end.
            if anew.replacement(self._session, plan) is None:
                return self._leave_it()
            return self._finish(self._replacement.wait(Deadline(self._wishes.wait), self._stop), None, {})
        with self._telling(), self._clock.step("replace", "Source told to end"):
            made = self._as_it_is()
        return self._forward(None, made)

    def _leave_it(self) -> Item:
        """Clean up behind a replacement that ran, and that somebody has deleted since: its images are of before."""
        self._replacement.clean()
        self._target.ask("discard", SHORT)
        self._state.end("moved")
        return {"outcome": "gone", "move": self._plan.number, "warnings": []}

    def _as_it_is(self) -> Thing | None:
        """See what there is of the replacement, and have it made, or made anew if it failed; it, if it runs."""
        plan, deadline = self._plan, Deadline(self._wishes.wait)
        while True:
            pod = anew.replacement(self._session, plan)
            if pod is None:
                return self._replacement.replace()
            left = self._name_target()
            if anew.runs(pod, plan.names) and not left:
                return pod if self._replacement.source_ends_with == "replace" else None
            if not anew.failed(self._session, pod, plan.names):
                return None
            if len(left) == len(plan.names):
                break
            # One of them is in use: sooner or later it runs, or the ticket is there again.
            if deadline.expired or self._stop.is_set():
                return None
            self._stop.wait(INTERVAL)
        # From here on the failed one cannot use them, nor start from its image.
        if len(self._target.ask("renew", SHORT, seconds=0, **self._rights)["tickets"]) < len(plan.names):
            return None
        self._replacement = ways.redirect(self._session, plan, self._state, plan.target)
        self._plan = plan = plans.from_facts(self._state.facts)
        self._name_target()
        self._replacement.prepare()
        self._replacement.prove(Deadline(LONG), self._stop)
        self._target.ask("pend", SHORT, seconds=PENDING_SECONDS)
        self._replacement.replace()
        self._uid = self._uid_of_new(pod["metadata"]["uid"])
        return None

    def _uid_of_new(self, failed: str) -> str:
        deadline = Deadline(PENDING_SECONDS / 2)
        while True:
            pod = anew.replacement(self._session, self._plan)
            if pod is not None and pod["metadata"]["uid"] != failed:
                return str(pod["metadata"]["uid"])
            if deadline.expired or self._stop.is_set():
                raise CheckpointError(
                    "replacement_missing",
                    f"The replacement {self._plan.namespace}/{self._plan.replacement} is not made anew",
                    hint="See the events of the namespace",
                )
            self._stop.wait(INTERVAL)

    def _is_replaced(self) -> bool:
        """Whether the replacement is there beside the source, where that ends later."""
        if self._replacement.source_ends_with == "replace" or not self._state.reached("given_up"):
            return False
        pod = self._session.pod(self._plan.namespace, self._plan.replacement)
        return pod is not None and pod["metadata"]["uid"] != self._plan.uid
