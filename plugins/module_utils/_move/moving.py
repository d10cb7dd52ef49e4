# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One move from its plan to its end: what is done in which order, and what is undone when something fails.

    prepared    the API's half is there and proved, the line between the nodes is made
    frozen      from here on clients wait. All containers are dumped, and their images on the target
    given_up    the tickets are left, and the source stays frozen even without the controller
    replaced    the source's pod is told to end. Before this, whatever fails, it runs on as if nothing had been
    ended       the frozen processes were killed, before they had done anything more
    running     the replacement's containers are those that were dumped

A ticket is good only as long as the source is frozen for sure: it has the source's time, until that can never run on.
So whoever is killed at whatever moment, never both of them go on.

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
from . import volumes
from .agents import Agent
from .plan import Plan
from .replacement import Replacement
from .state import State

SHORT, LONG = 30.0, 120.0
"""Seconds for an answer of an agent: for what takes a moment, and for what may take longer than that."""

LEAST = 3.0
"""So much of its time the source has to have left when its pod is told to end."""

MARGIN = 1.0
GIVEN_SECONDS = 24 * 3600.0
PROOF_SECONDS = 10.0
PENDING_SECONDS = 100.0
"""For how long a replacement may wait for its tickets: a kubelet gives up after two minutes (runtimeRequestTimeout)."""

INTERVAL = 0.1

Tell = t.Callable[[str], None]
Item = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How a pod is to be moved.

    ``dump``: the fields of _dump.dumping.Options and ``checkpoint_directory``. ``frozen``: seconds for which the
    containers may be frozen at most. ``wait``: seconds for the replacement to run. ``address`` and ``port``: where the
    target waits, "" and 0 for any.
    """

    dump: Item
    frozen: float
    wait: float
    security: str = "refuse"
    accept: tuple[str, ...] = ()
    address: str = ""
    port: int = 0


class Clock:
    """How long each step took, and which is under way, for people."""

    def __init__(self, tell: Tell) -> None:
        self.seconds: dict[str, float] = {}
        self._tell = tell

    @contextlib.contextmanager
    def step(self, name: str, text: str) -> t.Iterator[None]:
        """Measure one."""
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 3)
        self._tell(f"{text}: {self.seconds[name]:.2f} s")


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
        if self._stop.is_set():
            raise CheckpointError("interrupted", "The move was interrupted", hint="Run it again")
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
            asked = time.monotonic()
            left = float(self._source.ask("hold", SHORT, least=LEAST)["left"])
            if not self._replacement.before_freeze:
                self._target.ask("leave", SHORT, seconds=left - MARGIN, **self._rights)
            self._target.ask("hold", SHORT)
            self._state.step("given_up")
        # The tickets' time was counted from a little later than the source's.
        if time.monotonic() - asked > MARGIN:
            raise CheckpointError(
                "too_slow",
                "The nodes answer too slowly for a move: the tickets might outlast the time of the source",
                hint="See what the nodes, or the network to them, are busy with",
            )
        if self._stop.is_set():
            raise CheckpointError("interrupted", "The move was interrupted", hint="Run it again")
        if self._replacement.before_freeze:
            # With its ticket the replacement goes on at once.
            self._source.ask("give", SHORT)
            return begun
        with self._clock.step("replace", "Source told to end"):
            self._replacement.replace()
        return begun

    def _name_target(self) -> None:
        plan = self._plan
        name = {"namespace": plan.namespace, "pod": plan.replacement, "containers": plan.names}
        self._target.ask("name", SHORT, number=plan.number, **name)

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

    def again(self) -> Item:
        """Go on with a move whose controller was killed, or undo it; ``outcome`` in the result says which.

        Raises CheckpointError as :meth:`run`.
        """
        plan = self._plan
        self._source.ask("name", SHORT, namespace=plan.namespace, pod=plan.pod, containers=plan.names)
        self._name_target()
        if not self._is_told_to_end() and not self._is_replaced():
            problems = self._undo()
            if problems:
                raise problems[0]
            return {"outcome": "undone", "move": plan.number, "warnings": []}
        with self._clock.step("replace", "Source told to end"):
            self._replacement.replace()
        return self._forward(None)

    def _forward(self, frozen: float | None) -> Item:
        """From here on only forward: the images on the target are the state. ``frozen``: when that began, if known."""
        plan = self._plan
        # Both are on their way before anything is written down: milliseconds count here.
        giving = self._source.say("give")
        ending = self._source.say("end", seconds=self._wishes.wait)
        renewing = self._target.say("renew", seconds=GIVEN_SECONDS, **self._rights)
        self._state.step("replaced")
        try:
            with self._clock.step("give", "Source given away"):
                self._noting("The source could not be given away", self._source, giving)
                self._noting("The tickets are short", self._target, renewing)
            with self._clock.step("start", "Replacement running"):
                made = self._replacement.wait(Deadline(self._wishes.wait), self._stop)
            down = None if frozen is None else round(time.monotonic() - frozen, 3)
            self._noting("The source's processes were not killed", self._source, ending)
            with self._clock.step("verify", "Verified"):
                receipts = self._prove(made)
            self._state.step("running", warnings=self._warnings)
        except CheckpointError as error:
            error.details.update(undone=False, move=plan.number, state_file=self._state.path)
            error.hint = f"{error.hint}. Nothing is lost: the images are on {plan.target}; run it again to go on".strip(
                ". "
            )
            raise
        with self._clock.step("clean", "Cleaned up"):
            self._replacement.clean()
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
            "warnings": self._warnings,
            **self._facts,
        }

    def _prove(self, made: Thing) -> Item:
        """See that what runs is what was dumped. Raises CheckpointError as the target's prove()."""
        ids = {name: str(statuses(made)[name].get("containerID") or "") for name in self._plan.names}
        return dict(self._target.ask("prove", PROOF_SECONDS + SHORT, containers=ids, seconds=PROOF_SECONDS)["receipts"])

    def _noting(self, what: str, agent: Agent, number: int) -> None:
        """The answer to a word that cannot change anything any more: where it failed, people are told."""
        try:
            agent.wait(number, self._wishes.wait + SHORT)
        except CheckpointError as error:
            self._warnings.append(f"{what}: {error}")

    def _roll_back(self, error: BaseException) -> None:
        """Undo it if nobody can have begun to use the images. Adds what came of it to the error."""
        if self._is_told_to_end():
            details: Item = {"undone": False, "move": self._plan.number, "state_file": self._state.path}
        else:
            problems = self._undo()
            details = {"undone": not problems, "problems": [str(problem) for problem in problems]}
        if isinstance(error, CheckpointError):
            error.details.update(details)

    def _undo(self) -> list[CheckpointError]:
        """Everything as it was before; what stood in the way."""
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
        if back is not None or not self._state.reached("given_up"):
            trying(lambda: self._source.ask("resume", SHORT))
        # Otherwise the tickets end by themselves, and a little later the source runs on by itself.
        trying(self._replacement.undo)
        trying(lambda: self._target.ask("discard", SHORT))
        if not problems:
            self._state.end("undone")
        return problems

    @property
    def _rights(self) -> Item:
        """What tickets say; of rights, the next run for a pod may say something else."""
        rights = {"security": self._wishes.security, "accept": list(self._wishes.accept)}
        return {**rights, "volumes": self._volumes}

    def _is_replaced(self) -> bool:
        """Whether the replacement is there beside the source, where that ends later."""
        if self._replacement.source_ends_with == "replace" or not self._state.reached("given_up"):
            return False
        pod = self._session.pod(self._plan.namespace, self._plan.replacement)
        return pod is not None and pod["metadata"]["uid"] != self._plan.uid

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
