# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A move whose controller was killed, or that failed when only forward was left to go, in the hands of a second run.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import Thing
from .._kube.nodes import is_ready
from . import anew, elsewhere, ways
from . import plan as plans
from .agents import Agent
from .beforehand import UNREACHED
from .moving import ENDING_SECONDS, INTERVAL, PENDING_SECONDS, Move
from .passage import LONG, SHORT, Item


class TakenUp(Move):
    """A move that was begun and has not ended, with agents that know nothing of it."""

    def __init__(self, *begun: t.Any, reach: elsewhere.Reach) -> None:
        super().__init__(*begun)
        self._reach = reach

    @property
    def target(self) -> str:
        """The node where its images are, and its replacement."""
        return self._plan.target

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
            return self._undone(put_back=not ending)
        if self._state.reached("running"):
            # All that was left is to clean up, or to have it answer. It may have been started anew to that end.
            if anew.replacement(self._session, plan) is None:
                return self._leave_it()
            return self._finish(self._replacement.wait(Deadline(self._wishes.wait), self._stop), None, {})
        if not ending and self._reach.node == plan.node and self._is_free():
            # There it still is, frozen, with the same state.
            return self._undone(put_back=True)
        with self._telling():
            made = self._as_it_is() if self._reach.node == plan.target else self._elsewhere(self._reach.node)
        return self._forward(None, made)

    def _undone(self, *, put_back: bool) -> Item:
        problems = self._undo(put_back=put_back)
        if problems:
            raise problems[0]
        return {"outcome": "undone", "move": self._plan.number, "warnings": []}

    def _leave_it(self) -> Item:
        """Clean up behind a replacement that ran, and that somebody has deleted since: its images are of before."""
        self._replacement.clean()
        self._discard()
        self._state.end("moved")
        return {"outcome": "gone", "move": self._plan.number, "warnings": []}

    def _as_it_is(self) -> Thing | None:
        """See what there is of the replacement, and have it made, or made anew if it failed; it, if it runs."""
        plan, deadline = self._plan, Deadline(self._wishes.wait)
        while True:
            pod = anew.replacement(self._session, plan)
            if self._is_unmade(pod):
                self._make_anew()
                return None
            if pod is None:
                with self._clock.step("replace", "Source told to end"):
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
        if not self._is_closed():
            return None
        self._redirect(plan.target)
        self._make_anew()
        return None

    def _is_unmade(self, pod: Thing | None) -> bool:
        """Whether a run was killed before it had the replacement made anew, ``pod`` being the one that is there."""
        return self._state.steps[-1]["name"] == elsewhere.REDIRECTED and not self._is_new(pod)

    def _is_new(self, pod: Thing | None) -> bool:
        failed = self._plan.failed
        return pod is not None and (failed is None or pod["metadata"]["uid"] != failed["metadata"]["uid"])

    def _is_closed(self) -> bool:
        """Have nobody use the tickets any more, nor start from an image; false where one is in use."""
        return len(self._target.ask("renew", SHORT, seconds=0, **self._rights)["tickets"]) == len(self._plan.names)

    def _is_free(self) -> bool:
        """Whether nobody uses the images, nor will. What is in use comes to run, or not, for which to wait."""
        plan, deadline = self._plan, Deadline(self._wishes.wait)
        if self._is_unmade(anew.replacement(self._session, plan)):
            # The tickets at this node are for nobody yet.
            return True
        while len(self._name_target()) < len(plan.names):
            pod = anew.replacement(self._session, plan)
            if pod is None or anew.runs(pod, plan.names) or deadline.expired or self._stop.is_set():
                return False
            self._stop.wait(INTERVAL)
        return self._is_closed()

    def _redirect(self, node: str, **details: t.Any) -> None:
        before = self._plan
        details = {"source": before.target, "pod": before.replacement, **details}
        self._replacement = ways.redirect(self._session, before, self._state, node, **details)
        self._plan = plans.from_facts(self._state.facts)

    def _make_anew(self) -> None:
        """Have the replacement made where the images are now, for its tickets to wait for."""
        with self._clock.step("replace", "Replacement made anew"):
            self._name_target()
            self._replacement.prepare()
            self._replacement.prove(Deadline(LONG), self._stop)
            self._target.ask("pend", SHORT, seconds=PENDING_SECONDS)
            self._replacement.replace()
            self._uid = self._uid_of_new()

    def _uid_of_new(self) -> str:
        deadline = Deadline(PENDING_SECONDS / 2)
        while True:
            pod = anew.replacement(self._session, self._plan)
            if pod is not None and self._is_new(pod):
                return str(pod["metadata"]["uid"])
            if deadline.expired or self._stop.is_set():
                raise CheckpointError(
                    "replacement_missing",
                    f"The replacement {self._plan.namespace}/{self._plan.replacement} is not made anew",
                    hint="See the events of the namespace",
                )
            self._stop.wait(INTERVAL)

    def _elsewhere(self, node: str) -> Thing | None:
        """Have it go on at another node than the one where it failed, or at home, unless it runs there already."""
        old, plan = self._target, self._plan
        new = self._reach.log_in(node)
        with self._clock.step("look", f"{node} looked at"):
            elsewhere.look(self._session, plan, node, new)
        if node == plan.node:
            self._see_source_ended()
        if not self._is_free():
            self._warnings.append(f"It goes on at {plan.target}, where it was restored meanwhile, and not at {node}")
            return self._as_it_is()
        about = {"source": plan.target, "target": node, "pod": plan.replacement, "images": [plan.target]}
        self._state.step(elsewhere.BRINGING, **about)
        with self._clock.step("bring", f"Images brought to {node}"):
            elsewhere.bring(plan, self._wishes, old, new, self._reach.identity())
        self._go_on()
        self._target = new
        self._redirect(node, images=[node, plan.target])
        self._make_anew()
        return None

    def _see_source_ended(self) -> None:
        """Two of one name at one node: the first is gone for sure before the second comes."""
        self._source.ask("end", ENDING_SECONDS + SHORT, seconds=ENDING_SECONDS)
        if not self._state.reached("replaced"):
            self._state.step("replaced")

    def _ending(self) -> int | None:
        # At home it has been seen already, and what has the name now is the replacement.
        return None if self._plan.target == self._plan.node else super()._ending()

    def _discard(self) -> None:
        """Remove images and tickets wherever the move has been, the images of the last node first."""
        found = elsewhere.places(self._plan, self._state.steps)
        self._remove(self._target, found.pop(self.target))
        for node, names in found.items():
            self._remove_former(node, names)

    def _remove_former(self, node: str, names: set[str]) -> None:
        try:
            self._require_told(node)
            self._remove(self._reach.log_in(node), names)
        except CheckpointError as error:
            told = f"Images of the move are left at {node}, in /var/lib/checkpoint-restore/moves/{self._plan.number}"
            if error.code not in (*UNREACHED, "cleanup_incomplete"):
                raise
            if not anew.node_is_out(self._session, node):
                error.hint += f". {told}. Run it again when it can be reached, or set the taint {anew.OUT_OF_SERVICE}"
                raise
            self._warnings.append(told)

    def _require_told(self, node: str) -> None:
        """Without its ticket, a pod would start from its image where the kubelet has not heard of its deletion."""
        there = self._session.node(node)
        if there is not None and not is_ready(there):
            raise CheckpointError(
                "cleanup_incomplete",
                f"The pod runs at {self.target}, and {node}, where it failed before, is not Ready",
                hint="Mend that node",
            )

    def _remove(self, agent: Agent, names: set[str]) -> None:
        """``names``: of replacements that failed there. Until they were gone, their tickets kept them from starting."""
        for name in sorted(names):
            self._name(agent, name)
            agent.ask("take_back", SHORT)
        if names or agent is not self._target:
            self._name(agent, self._plan.replacement)
        agent.ask("discard", SHORT)

    def _name(self, agent: Agent, pod: str) -> None:
        plan = self._plan
        agent.ask("name", SHORT, number=plan.number, namespace=plan.namespace, pod=pod, containers=plan.names)

    def _is_replaced(self) -> bool:
        """Whether the replacement is there beside the source, where that ends later."""
        if self._replacement.source_ends_with == "replace" or not self._state.reached("given_up"):
            return False
        pod = self._session.pod(self._plan.namespace, self._plan.replacement)
        return pod is not None and pod["metadata"]["uid"] != self._plan.uid
