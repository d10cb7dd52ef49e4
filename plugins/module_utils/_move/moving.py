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
import dataclasses
import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from .._kube.restore_wait import statuses
from . import anew, volumes
from .agents import Agent
from .clock import Clock, Tell
from .plan import Plan
from .replacement import Replacement
from .state import State
from .verify import Request, verify

SHORT, LONG = 30.0, 120.0
"""Seconds for an answer of an agent: for what takes a moment, and for what may take longer than that."""

LEAST = 3.0
"""So much of its time the source has to have left when its pod is told to end."""

MARGIN = 1.0
GIVEN_SECONDS = 24 * 3600.0
YIELD_SECONDS = 60.0
"""For how long it stays frozen while its pod is told to end, should its node be cut off at that very moment."""

ENDING_SECONDS = 20.0
"""For how long to see the kubelet stop the source. Its node ends it later as well, when the kubelet does."""

PROOF_SECONDS = 10.0
PENDING_SECONDS = 100.0
"""For how long a replacement may wait for its tickets: a kubelet gives up after two minutes (runtimeRequestTimeout)."""

INTERVAL = 0.1
NOT_SEEN = "The source's processes were not seen to end"

Item = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How a pod is to be moved.

    ``dump``: the fields of _dump.dumping.Options and ``checkpoint_directory``. ``frozen``: seconds for which the
    containers may be frozen at most. ``wait``: seconds for the replacement to run. ``address`` and ``port``: where the
    target waits, "" and 0 for any. ``verify``: what the replacement has to answer.
    """

    dump: Item
    frozen: float
    wait: float
    security: str = "refuse"
    accept: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    verify: Request | None = None


class Move:
    """One move that is under way, with both its agents. ``identity``: the certificate for the line between them."""

    def __init__(
        self,
        session: ApiSession,
        plan: Plan,
        begun: tuple[Replacement, State],
        agents: tuple[Agent, Agent],
        wishes: Wishes,
        stop: threading.Event,
        tell: Tell,
    ) -> None:
        self._session = session
        self._plan = plan
        self._replacement, self._state = begun
        self._source, self._target = agents
        self._wishes = wishes
        self._stop = stop
        self._clock = Clock(tell)
        self._warnings: list[str] = []
        self._volumes = volumes.carried(plan.source)
        self._facts: Item = {}
        self._uid = ""
        self._former = plan

    def run(self, identity: str) -> Item:
        """All of it; what it took. Raises CheckpointError, with ``undone`` in its details: whether all is as before."""
        begun = time.monotonic()
        try:
            with self._clock.step("prepare", "Prepared"):
                self._replacement.prepare()
                self._replacement.prove(Deadline(LONG), self._stop)
                self._name_target()
                if self._replacement.before_freeze:
                    self._make_replacement_wait()
                receiving = self._connect(identity)
                self._state.step("prepared")
            frozen = self._freeze(receiving)
        except BaseException as error:
            self._roll_back(error)
            raise
        result = self._forward(frozen)
        result["seconds"]["total"] = round(time.monotonic() - begun, 3)
        return result

    def _connect(self, identity: str) -> int:
        """Everything that the nodes can do before the freeze; the number of the word that takes the images."""
        plan, wishes = self._plan, self._wishes
        # Before the line is made, where nobody may be silent for long.
        facts = self._source.ask(
            "prepare",
            LONG,
            namespace=plan.namespace,
            pod=plan.pod,
            containers={container.name: container.id for container in plan.containers},
            volumes=self._volumes,
            number=plan.number,
            timeout=wishes.frozen + SHORT,
            options=wishes.dump,
        )
        seconds = LONG + wishes.frozen
        place = {"address": wishes.address, "port": wishes.port}
        offer = self._target.ask("open", SHORT, identity=identity, seconds=seconds, **place)
        receiving = self._target.say("receive", idle=wishes.frozen)
        line = {"addresses": offer["addresses"], "port": offer["port"], "identity": identity}
        self._source.ask("connect", SHORT, seconds=seconds, idle=wishes.frozen, **line)
        self._facts["engines"] = facts["engines"]
        self._go_on()
        return receiving

    def _freeze(self, receiving: int) -> float:
        """From the freeze until the source's pod is told to end; when it began. What fails here can be undone."""
        wishes = self._wishes
        self._state.step("freezing")
        begun = time.monotonic()
        with self._clock.step("dump", "Frozen, dumped and sent"):
            timeout = max(LEAST, wishes.frozen - LEAST - MARGIN)
            dumped = self._source.ask("dump", wishes.frozen + SHORT, timeout=timeout, seconds=wishes.frozen)
            landed = self._target.wait(receiving, SHORT)
        self._facts.update(dumped, landed=landed["bytes"])
        with self._clock.step("ticket", "Tickets left"):
            left = float(self._source.ask("hold", SHORT, least=LEAST)["left"])
            if not self._replacement.before_freeze:
                # It says what is wrong with them, as long as that can be mended.
                self._target.ask("leave", SHORT, seconds=left - MARGIN, **self._rights)
                self._target.ask("pend", SHORT, seconds=PENDING_SECONDS)
            self._target.ask("hold", SHORT)
            # Its pod is told to end only after it has yielded, and so no earlier does it run on.
            self._state.step("given_up", until=time.time() + YIELD_SECONDS)
        self._go_on()
        with self._clock.step("replace", "Source told to end"):
            # Whoever cannot answer any more is not told to end.
            self._source.ask("give", SHORT, seconds=YIELD_SECONDS)
            if not self._replacement.before_freeze:
                self._replacement.replace()
        return begun

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise CheckpointError("interrupted", "The move was interrupted", hint="Run it again")

    def _name_target(self, plan: Plan | None = None) -> list[str]:
        """The containers whose tickets are there."""
        plan = plan or self._plan
        name = {"namespace": plan.namespace, "pod": plan.replacement, "containers": plan.names}
        return list(self._target.ask("name", SHORT, number=plan.number, **name)["tickets"])

    def _make_replacement_wait(self) -> None:
        """Have the replacement be made, up to where its containers wait for their tickets, while the source runs on."""
        plan, deadline = self._plan, Deadline(PENDING_SECONDS / 2)
        self._target.ask("pend", SHORT, seconds=PENDING_SECONDS)
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
            told = f"Nothing is lost: the images are on {self._plan.target}; run it again to go on"
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
        plan = self._plan
        with self._clock.step("clean", "Cleaned up"):
            self._replacement.clean()
        verified = self._verify(made)
        with self._clock.step("discard", "Images removed"):
            if self._former.replacement != plan.replacement:
                # Until its pod was gone, they kept it from starting from its image.
                self._name_target(self._former)
                self._target.ask("take_back", SHORT)
                self._name_target()
            self._target.ask("discard", SHORT)
            self._state.end("moved")
        return {
            "outcome": "moved",
            "move": plan.number,
            "way": plan.way,
            "pod": plan.replacement,
            "seconds": self._clock.seconds,
            "down_seconds": down,
            "receipts": receipts,
            "verified": verified,
            "warnings": self._warnings,
            **self._facts,
        }

    def _verify(self, made: Thing) -> bool | None:
        """Whether it answers as it shall; ``None`` if nobody asked. Raises CheckpointError ``verify_failed``."""
        if self._wishes.verify is None:
            return None
        plan = self._plan
        try:
            with self._clock.step("answer", "Answers as it shall"):
                verify(self._session, made, self._wishes.verify, self._stop)
        except CheckpointError as error:
            self._state.step(error.code, reason=error.reason, message=error.message, images=plan.target)
            error.details.update(undone=False, verified=False, move=plan.number, state_file=self._state.path)
            error.hint += f". It cannot go back; its images stay on {plan.target}. Mend it and run this again, or "
            error.hint += "without verify to have it as it is: that removes them"
            raise
        return True

    def _prove(self, made: Thing) -> Item:
        """See that what runs is what was dumped. Raises CheckpointError as the target's prove()."""
        ids = {name: str(statuses(made)[name].get("containerID") or "") for name in self._plan.names}
        return dict(self._target.ask("prove", PROOF_SECONDS + SHORT, containers=ids, seconds=PROOF_SECONDS)["receipts"])

    def _roll_back(self, error: BaseException) -> None:
        """Undo it if nobody can have begun to use the images. Adds what came of it to the error."""
        if self._is_told_to_end():
            details: Item = {"undone": False, "move": self._plan.number, "state_file": self._state.path}
        else:
            problems = self._undo()
            details = {"undone": not problems, "problems": [str(problem) for problem in problems]}
            if problems and isinstance(error, CheckpointError):
                told = "Not all could be undone: run it again to have the rest undone"
                error.hint = ". ".join(filter(None, (error.hint, told)))
        if isinstance(error, CheckpointError):
            error.details.update(details)

    def _undo(self, *, put_back: bool = True) -> list[CheckpointError]:
        """Everything as it was before; what stood in the way. ``put_back``: whether the source's pod is there."""
        problems: list[CheckpointError] = []

        def trying(work: t.Callable[[], t.Any]) -> t.Any:
            try:
                return work()
            except CheckpointError as problem:
                problems.append(problem)
                return None

        trying(lambda: self._source.ask("hang_up", SHORT))
        if self._replacement.before_freeze:
            # Without its ticket, the replacement would start from its image when the kubelet tries again.
            trying(self._replacement.undo)
        # The tickets first: nobody may use them once the source runs on.
        back = trying(lambda: self._target.ask("take_back", SHORT))
        if back is not None and back["claimed"]:
            problems.append(
                CheckpointError(
                    "ticket_claimed",
                    f"The replacement on {self._plan.target} has begun to use the images",
                    hint="Run it again to go on",
                )
            )
            return problems
        # Where nobody could be asked, the tickets are pending, and stay so: nobody makes them good any more.
        if self._state.reached("given_up"):
            trying(lambda: self._state.step("resumed"))
        trying(lambda: self._source.ask("resume", SHORT))
        trying(self._replacement.undo if put_back else self._replacement.clean)
        trying(lambda: self._target.ask("discard", SHORT))
        if not problems:
            self._state.end("undone")
        return problems

    @property
    def _rights(self) -> Item:
        """What tickets say; of rights, the next run for a pod may say something else."""
        rights = {"security": self._wishes.security, "accept": list(self._wishes.accept)}
        return {**rights, "volumes": self._volumes}

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
