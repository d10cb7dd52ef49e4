# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a pod's processes from one node to another: what a move and a copy have in common.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import abc
import dataclasses
import threading
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from .._kube.restore_wait import statuses
from . import volumes
from .agents import Agent
from .clock import Clock, Tell
from .plan import Plan
from .replacement import Replacement
from .state import State
from .verify import Question, verify

SHORT, LONG = 30.0, 120.0
"""Seconds for an answer of an agent: for what takes a moment, and for what may take longer than that."""

LEAST = 3.0
"""So much of its time the source has to have left when its pod is told to end."""

MARGIN = 1.0
PROOF_SECONDS = 10.0

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
    verify: Question | None = None


class Tries:
    """Does one thing after the other, whatever became of those before. ``problems``: what stood in the way."""

    def __init__(self) -> None:
        self.problems: list[CheckpointError] = []

    def __call__(self, work: t.Callable[[], t.Any]) -> t.Any:
        """What it gives; ``None`` where it failed."""
        try:
            return work()
        except CheckpointError as problem:
            self.problems.append(problem)
            return None

    def comes_off(self, work: t.Callable[[], t.Any]) -> bool:
        """Whether it did not fail."""
        known = len(self.problems)
        self(work)
        return len(self.problems) == known


class Passage(abc.ABC):
    """One that is under way, with both its agents."""

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

    def _prepare(self, identity: str) -> int:
        """Everything that can be done before the freeze; the number of the word that takes the images."""
        with self._clock.step("prepare", "Prepared"):
            self._replacement.prepare()
            self._replacement.prove(Deadline(LONG), self._stop)
            self._name_target()
            receiving = self._connect(identity)
            self._state.step("prepared")
        return receiving

    def _connect(self, identity: str) -> int:
        """Of that, what the nodes do."""
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

    def _dump(self) -> None:
        """Have the source freeze all containers, dump and send them. They stay frozen, for as long as is wished."""
        seconds = self._wishes.frozen
        timeout = max(LEAST, seconds - LEAST - MARGIN)
        self._facts.update(self._source.ask("dump", seconds + SHORT, timeout=timeout, seconds=seconds))

    def _land(self, receiving: int) -> None:
        """See that all of it has arrived."""
        self._facts["landed"] = self._target.wait(receiving, SHORT)["bytes"]

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise CheckpointError("interrupted", "The move was interrupted", hint="Run it again")

    def _name_target(self) -> list[str]:
        """The containers whose tickets are there."""
        plan = self._plan
        name = {"namespace": plan.namespace, "pod": plan.replacement, "containers": plan.names}
        return list(self._target.ask("name", SHORT, number=plan.number, **name)["tickets"])

    def _prove(self, made: Thing) -> Item:
        """See that what runs is what was dumped. Raises CheckpointError as the target's prove()."""
        ids = {name: str(statuses(made)[name].get("containerID") or "") for name in self._plan.names}
        return dict(self._target.ask("prove", PROOF_SECONDS + SHORT, containers=ids, seconds=PROOF_SECONDS)["receipts"])

    def _verify(self, made: Thing) -> bool | None:
        """Whether it answers as it shall; ``None`` if nobody asked. Raises CheckpointError ``verify_failed``."""
        if self._wishes.verify is None:
            return None
        try:
            with self._clock.step("answer", "Answers as it shall"):
                verify(self._session, made, self._wishes.verify, self._stop)
        except CheckpointError as error:
            error.details.update(verified=False)
            raise
        return True

    def _result(self, outcome: str, down: float | None, receipts: Item, verified: bool | None) -> Item:
        plan = self._plan
        return {
            "outcome": outcome,
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

    def _roll_back(self, error: BaseException) -> None:
        """Undo it. Adds what came of it to the error."""
        problems = self._undo()
        if isinstance(error, CheckpointError):
            if problems:
                told = "Not all could be undone: run it again to have the rest undone"
                error.hint = ". ".join(filter(None, (error.hint, told)))
            error.details.update(undone=not problems, problems=[str(problem) for problem in problems])

    @abc.abstractmethod
    def _undo(self) -> list[CheckpointError]:
        """Everything as it was before; what stood in the way."""

    @property
    def _rights(self) -> Item:
        """What tickets say; of rights, the next run for a pod may say something else."""
        rights = {"security": self._wishes.security, "accept": list(self._wishes.accept)}
        return {**rights, "volumes": self._volumes}
