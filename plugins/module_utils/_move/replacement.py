# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the pod that takes the place of a moving one comes to be: what all the ways have in common.

The order of the calls, around the freezing and the dumping that are not done here:

    prepare()   nothing is frozen yet: the Lease, the policy, whatever has to be there before
    prove()     a server-side dry run: that the replacement will be what it has to be
    replace()   after the freeze and the ticket, or before the freeze where ``before_freeze`` says so
    wait()      until its containers run and it is Ready; the source's pod is told to end by then
    clean()     takes away what is left of the move
    undo()      instead, as long as the source's pod is there: everything as it was

The source's pod is told to end by the call that ``source_ends_with`` names: after it the kubelet sends TERM, and only
when that is pending may the frozen processes be killed. Every call may be made again, also by another process with the
same state. What is in the cluster stands in the state before it is made.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import abc
import dataclasses
import threading
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing, pod_path
from .._kube.failures import KubeError
from .._kube.restore_wait import follow
from . import budget, lock
from .objects import CHEAPEST, DELETION_COST, MOVE, notes
from .plan import Plan
from .state import Debt, State
from .template import differences, with_images

INTERVAL = 0.1
READY_INTERVAL = 0.03
"""Clients may wait for what is done once the replacement is Ready."""

PROOF = "proof"
# Each dry run has a connection of its own; behind a load balancer they reach several API servers.
PROOFS = 3


class Replacement(abc.ABC):
    """One way. ``state`` is the move's, see state.py."""

    before_freeze: t.ClassVar[bool] = False
    source_ends_with: t.ClassVar[t.Literal["replace", "wait"]] = "replace"

    def __init__(self, session: ApiSession, plan: Plan, state: State) -> None:
        self._session = session
        self._plan = plan
        self._state = state

    def reserve(self) -> None:
        """Keep other moves of the same owner away. Raises CheckpointError ``move_under_way``."""
        owner = self._plan.owner
        uid = str(owner.head["metadata"]["uid"]) if owner else self._plan.uid
        what = f"{owner.head_kind} {owner.head['metadata']['name']}" if owner else f"pod {self._plan.pod}"
        lock.acquire(self._session, self._state, self._plan.namespace, uid, what)

    def prepare(self) -> None:
        """Make what has to be there before. Raises CheckpointError ``move_under_way`` and the API server's."""
        self.reserve()

    @abc.abstractmethod
    def prove(self, deadline: Deadline, stop: threading.Event) -> None:
        """Show by dry runs that the replacement will be right.

        Raises CheckpointError ``policy_inactive``, ``replacement_refused``, ``replacement_differs``, ``interrupted``.
        """

    @abc.abstractmethod
    def replace(self) -> None:
        """Let the replacement come to be. Raises CheckpointError ``budget_refuses`` while nothing has changed."""

    def wait(self, deadline: Deadline, stop: threading.Event) -> Thing:
        """The replacement's pod, once its containers run and it is Ready.

        Raises CheckpointError: those of restore_wait.follow(), ``replacement_missing``, ``replacement_astray``.
        """
        appeared = self._appeared(deadline, stop)
        return follow(self._session, appeared, self._plan.names, deadline, stop, READY_INTERVAL)

    def clean(self) -> None:
        """Take away what is left. Raises CheckpointError ``cleanup_incomplete``."""
        self._state.settle(self._session, undo=False)

    def undo(self) -> None:
        """Put everything back. Raises CheckpointError ``too_late`` if the source is gone, ``cleanup_incomplete``."""
        source = self._session.pod(self._plan.namespace, self._plan.pod)
        if source is None or source["metadata"]["uid"] != self._plan.uid or source["metadata"].get("deletionTimestamp"):
            raise CheckpointError(
                "too_late",
                f"The pod {self._plan.namespace}/{self._plan.pod} that was moved is gone",
                hint="Go on: its state is in the images on the target",
            )
        self._state.settle(self._session, undo=True)

    def _appeared(self, deadline: Deadline, stop: threading.Event) -> Thing:
        """The replacement, whatever its state."""
        plan = self._plan
        before = {plan.uid, (plan.failed or plan.source)["metadata"]["uid"]}
        while True:
            pod = self._session.pod(plan.namespace, plan.replacement)
            if pod is not None and pod["metadata"]["uid"] not in before:
                if notes(pod).get(MOVE) != plan.number:
                    raise CheckpointError(
                        "replacement_astray",
                        f"There is a pod {plan.namespace}/{plan.replacement} that is not of this move",
                        hint="Find out who made it, and delete it: the replacement comes then",
                    )
                return pod
            self._pause(
                deadline,
                stop,
                "replacement_missing",
                f"The replacement {plan.namespace}/{plan.replacement} was not made in time",
            )

    def _pause(self, deadline: Deadline, stop: threading.Event, code: str, reason: str, message: str = "") -> None:
        if stop.is_set():
            raise CheckpointError(
                "interrupted", "The move was interrupted", hint="Run it again to go on, or to undo it"
            )
        if deadline.expired:
            raise CheckpointError(code, reason, hint="See the events of the namespace", message=message)
        stop.wait(INTERVAL)

    @property
    def _proof(self) -> str:
        """The name of the pod of a dry run, where the replacement's own is taken."""
        return f"{PROOF}-{self._plan.number}"

    def _dry_run(self, pod: Thing) -> Thing:
        """The pod as it would be made. Raises CheckpointError ``replacement_refused``."""
        try:
            return self._session.create(pod_path(self._plan.namespace), pod, dryRun="All")
        except KubeError as error:
            if error.details.get("http_status") in (400, 403, 409, 422, 500):
                raise _refused(error) from None
            raise

    def _require_alike(self, made: Thing) -> None:
        found = differences(made, with_images(self._plan.source, self._plan.images or {}))
        if found:
            raise CheckpointError(
                "replacement_differs",
                f"The replacement would be another pod than the one that runs: {', '.join(found)}",
                hint="Let what the pod is made from be rolled out first: the new pod can be moved",
            )

    def _create(self, pod: Thing, deadline: Deadline) -> None:
        """Make the replacement by hand; nothing if it is there. A name is free a moment after its pod is gone."""
        plan = self._plan
        while not self._created(pod):
            there = self._session.pod(plan.namespace, plan.replacement)
            if there is not None and notes(there).get(MOVE) == plan.number:
                return
            reason = f"The name {plan.namespace}/{plan.replacement} is taken"
            self._pause(deadline, threading.Event(), "replacement_missing", reason)

    def _created(self, pod: Thing) -> bool:
        """Whether it could be made; false where its name is taken."""
        try:
            self._session.create(pod_path(self._plan.namespace), pod)
        except KubeError as error:
            status = error.details.get("http_status")
            if status == 409:
                return False
            raise _refused(error) if status in (400, 403, 422) else error from None
        return True

    def _end_going(self) -> None:
        """Evict the source; where it is gone already, delete the replacement that failed, which serves nobody."""
        if self._plan.failed is None:
            budget.evict(self._session, self._plan.source, grace=self._plan.grace)
        self._remove_failed()

    def _remove_failed(self) -> None:
        if self._plan.failed is not None:
            budget.delete(self._session, self._plan.failed)

    def _set_cost(self, debt: str) -> None:
        """Make the source the first that its ReplicaSet takes away."""
        plan = self._plan
        path = pod_path(plan.namespace, plan.pod)
        before = notes(plan.source).get(DELETION_COST)
        self._state.owe(Debt(debt, "patch", path, _annotated(plan.uid, before), always=False))
        self._session.patch(path, _annotated(plan.uid, CHEAPEST))

    def _await_source_end(self, deadline: Deadline, stop: threading.Event) -> None:
        """Wait until the ReplicaSet has taken the source away. It takes another one where others are not Ready."""
        plan = self._plan
        while True:
            source = self._session.pod(plan.namespace, plan.pod)
            if source is None or source["metadata"]["uid"] != plan.uid or source["metadata"].get("deletionTimestamp"):
                return
            if deadline.expired or stop.is_set():
                budget.delete(self._session, source)
                return
            stop.wait(INTERVAL)


def _annotated(uid: str, cost: str | None) -> Thing:
    return {"metadata": {"uid": uid, "annotations": {DELETION_COST: cost}}}


def _refused(error: KubeError) -> CheckpointError:
    if error.code == "forbidden" and 'User "' in error.message:
        return error
    return CheckpointError(
        "replacement_refused",
        "The API server refuses the replacement",
        hint="See what it says; the pod that runs may be older than a rule of the cluster",
        message=error.message,
        **{name: value for name, value in error.details.items() if name == "http_status"},
    )


@dataclasses.dataclass
class Proofs:
    """Counts dry runs that came off, one after the other."""

    wanted: int = PROOFS
    seen: int = 0

    def add(self, good: bool) -> bool:
        """Whether there are enough by now."""
        self.seen = self.seen + 1 if good else 0
        return self.seen >= self.wanted
