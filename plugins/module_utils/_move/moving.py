# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One move from its plan to its end: what is done in which order, and what is undone when something fails.

    prepared    the API's half is there and proved, the line between the nodes is made
    frozen      from here on clients wait. All containers are dumped, and their images on the target
    given_up    the tickets are left, and the source stays frozen even without the controller
                its pod is told to end. Before this, whatever fails, it runs on as if nothing had been
    replaced    its node has answered that it never runs on, so that the tickets may be used
    running     the replacement's containers are those that were dumped

The tickets are pending until then: whoever creates the replacement's containers waits. So whoever is killed at whatever
moment, or cut off, never both of them go on.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import Thing
from . import anew
from .passage import LEAST, MARGIN, SHORT, Item, Passage, Tries

GIVEN_SECONDS = 24 * 3600.0
YIELD_SECONDS = 60.0
"""For how long it stays frozen while its pod is told to end, should its node be cut off at that very moment."""

ENDING_SECONDS = 20.0
"""For how long to see the kubelet stop the source. Its node ends it later as well, when the kubelet does."""

PENDING_SECONDS = 100.0
"""For how long a replacement may wait for its tickets: a kubelet gives up after two minutes (runtimeRequestTimeout)."""

INTERVAL = 0.1
NOT_SEEN = "The source's processes were not seen to end"


class Move(Passage):
    """One move that is under way."""

    _uid = ""

    def run(self, identity: str) -> Item:
        """All of it; what it took. Raises CheckpointError, with ``undone`` in its details: whether all is as before."""
        begun = time.monotonic()
        try:
            frozen = self._freeze(self._prepare(identity))
        except BaseException as error:
            self._roll_back(error)
            raise
        result = self._forward(frozen)
        result["seconds"]["total"] = round(time.monotonic() - begun, 3)
        return result

    def _connect(self, identity: str) -> int:
        if self._replacement.before_freeze:
            self._make_replacement_wait()
        return super()._connect(identity)

    def _freeze(self, receiving: int) -> float:
        """From the freeze until the source's pod is told to end; when it began. What fails here can be undone."""
        self._state.step("freezing")
        begun = time.monotonic()
        with self._clock.step("dump", "Frozen, dumped and sent"):
            self._dump()
            self._land(receiving)
        with self._clock.step("ticket", "Tickets left"):
            left = float(self._source.ask("hold", SHORT, least=LEAST)["left"])
            if not self._replacement.before_freeze:
                # It says what is wrong with them, as long as that can be mended.
                self._target.ask("leave", SHORT, seconds=left - MARGIN, **self._rights)
                self._target.ask("pend", SHORT, seconds=PENDING_SECONDS)
            self._target.ask("hold", SHORT)
            # Its pod is told to end only after it has yielded, and so no earlier does it run on.
            self._state.step("given_up", until=time.time() + YIELD_SECONDS, images=[self._plan.target])
        self._go_on()
        with self._clock.step("replace", "Source told to end"):
            # Whoever cannot answer any more is not told to end.
            self._source.ask("give", SHORT, seconds=YIELD_SECONDS)
            if not self._replacement.before_freeze:
                self._replacement.replace()
        return begun

    def _make_replacement_wait(self) -> None:
        """Have the replacement be made, up to where its containers wait for their tickets, while the source runs on."""
        plan, deadline = self._plan, Deadline(PENDING_SECONDS / 2)
        self._target.ask("pend", SHORT, seconds=PENDING_SECONDS)
        # A controller that dies leaves the replacement there: without its tickets it would start from its image.
        self._target.ask("hold", SHORT)
        self._replacement.replace()
        while not self._is_sandboxed():
            if deadline.expired or self._stop.is_set():
                raise CheckpointError(
                    "replacement_missing",
                    f"The replacement {plan.namespace}/{plan.replacement} does not get as far as its containers",
                    hint="See the events of the namespace: its image or its volumes may be missing on the node",
                )
            self._stop.wait(INTERVAL)

    def _is_sandboxed(self) -> bool:
        """Whether the replacement's sandbox is there: kubernetes 1.29, PodReadyToStartContainers, beta and on."""
        pod = self._session.pod(self._plan.namespace, self._plan.replacement) or {}
        found = {each["type"]: each["status"] for each in (pod.get("status") or {}).get("conditions") or []}
        return found.get("PodReadyToStartContainers") == "True"

    @contextlib.contextmanager
    def _telling(self) -> t.Iterator[None]:
        """Have an error say that only forward is left to go."""
        try:
            yield
        except CheckpointError as error:
            error.details.update(undone=False, move=self._plan.number, state_file=self._state.path)
            plan = self._plan
            told = f"Nothing is lost: the images are on {plan.target}; run it again to go on"
            if plan.target != plan.node:
                told += f", or with {plan.node} as its node to have it back"
            error.hint = f"{error.hint}. {told}".strip(". ")
            raise

    def _give(self) -> None:
        """Have the source never run on. Raises CheckpointError where that is not known."""
        if self._state.reached("replaced"):
            return
        try:
            self._source.ask("give", SHORT)
        except CheckpointError as error:
            if anew.node_is_out(self._session, self._plan.node):
                self._warnings.append(f"{NOT_SEEN}: {error}")
                return
            if error.code != "not_frozen":
                error.hint += f". If {self._plan.node} is off for good, say so by the taint {anew.OUT_OF_SERVICE}"
                raise
            # That nothing of it is left is as good; what has come to run on is not.
            self._source.ask("end", ENDING_SECONDS + SHORT, seconds=ENDING_SECONDS)
            until = max((step.get("until", 0.0) for step in self._state.steps), default=0.0)
            if time.time() >= until:
                self._warnings.append("The source may have run on before it ended: what it did then is lost")

    def _forward(self, frozen: float | None, made: Thing | None = None) -> Item:
        """From here on only forward: the images on the target are the state. ``frozen``: when that began, if known."""
        with self._telling():
            with self._clock.step("give", "Source given away"):
                self._give()
                renewing = self._target.say("renew", seconds=GIVEN_SECONDS, uid=self._uid, **self._rights)
                self._state.step("replaced")
                self._target.wait(renewing, SHORT)
            ending = self._ending()
            with self._clock.step("start", "Replacement running"):
                made = made or self._replacement.wait(Deadline(self._wishes.wait), self._stop)
            down = None if frozen is None else round(time.monotonic() - frozen, 3)
            with self._clock.step("verify", "Verified"):
                receipts = self._prove(made)
            self._state.step("running")
        self._see_ended(ending)
        return self._finish(made, down, receipts)

    def _ending(self) -> int | None:
        try:
            return self._source.say("end", seconds=ENDING_SECONDS)
        except CheckpointError as error:
            self._warnings.append(f"{NOT_SEEN}: {error}")
            return None

    def _see_ended(self, number: int | None) -> None:
        """It does not change anything any more: where it failed, people are told."""
        try:
            if number is not None:
                self._source.wait(number, ENDING_SECONDS + MARGIN)
        except CheckpointError as error:
            self._warnings.append(f"{NOT_SEEN}: {error}")

    def _finish(self, made: Thing, down: float | None, receipts: Item) -> Item:
        """The last part, once the replacement's containers are the dumped ones: of the API's half nothing stays."""
        with self._clock.step("clean", "Cleaned up"):
            self._replacement.clean()
        verified = self._verify(made)
        with self._clock.step("discard", "Images removed"):
            self._discard()
            self._state.end("moved")
        return self._result("moved", down, receipts, verified)

    def _discard(self) -> None:
        self._target.ask("discard", SHORT)

    def _verify(self, made: Thing) -> bool | None:
        plan = self._plan
        try:
            return super()._verify(made)
        except CheckpointError as error:
            self._state.step(error.code, reason=error.reason, message=error.message, images=[plan.target])
            error.details.update(undone=False, move=plan.number, state_file=self._state.path)
            error.hint += f". It cannot go back; its images stay on {plan.target}. Mend it and run this again, or "
            error.hint += "without verify to have it as it is: that removes them"
            raise

    def _roll_back(self, error: BaseException) -> None:
        """Undo it if nobody can have begun to use the images."""
        if not self._is_told_to_end():
            super()._roll_back(error)
        elif isinstance(error, CheckpointError):
            error.details.update(undone=False, move=self._plan.number, state_file=self._state.path)

    def _undo(self, *, put_back: bool = True) -> list[CheckpointError]:
        """Everything as it was before; what stood in the way. ``put_back``: whether the source's pod is there."""
        trying = Tries()
        trying(lambda: self._source.ask("hang_up", SHORT))
        # Without its ticket, a replacement that is there would start from its image when the kubelet tries again.
        stays = self._replacement.source_ends_with == "wait" and not trying.comes_off(self._replacement.undo)
        # The tickets first: nobody may use them once the source runs on.
        back = None if stays else trying(lambda: self._target.ask("take_back", SHORT))
        if back is not None and back["claimed"]:
            trying.problems.append(
                CheckpointError(
                    "ticket_claimed",
                    f"The replacement on {self._plan.target} has begun to use the images",
                    hint="Run it again to go on",
                )
            )
            return trying.problems
        # Where nobody could be asked, the tickets are pending, and stay so: nobody makes them good any more.
        if self._state.reached("given_up"):
            trying(lambda: self._state.step("resumed"))
        trying(lambda: self._source.ask("resume", SHORT))
        trying(self._replacement.undo if put_back else self._replacement.clean)
        trying(self._discard)
        if not trying.problems:
            self._state.end("undone")
        return trying.problems

    def _is_told_to_end(self) -> bool:
        """Whether the source's pod is gone, or going; also where nobody can say so."""
        if not self._state.reached("given_up"):
            return False
        try:
            pod = self._session.pod(self._plan.namespace, self._plan.pod)
        except CheckpointError:
            return True
        there = pod is not None and pod["metadata"]["uid"] == self._plan.uid
        return not there or bool((pod or {})["metadata"].get("deletionTimestamp"))
