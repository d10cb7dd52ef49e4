# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pod, those of a selector, or all of a node: planned all before the first is moved, then one after the other.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from . import arguments, beforehand, copying, elsewhere, fallback, moving, owner, report, state, taking_up, ways
from . import plan as plans
from .agents import Absent, Agent, Role
from .by_image import ByImage
from .clock import Tell
from .passage import Wishes
from .replacement import Replacement
from .report import One

Item = dict[str, t.Any]

SETTLE_SECONDS = 30.0
"""So long the counts of a controller and of a budget may lag behind the pod that was moved before."""

INTERVAL = 0.5
FINISHED = ("Failed", "Succeeded")
ROOTED = {"DaemonSet", "Node"}
"""The kinds of controllers whose pods are meant to stay on their nodes."""


@dataclasses.dataclass(frozen=True)
class Site:
    """What the controller lends. ``log_in(node, role)``: a new agent; ``reachable(node)`` raises CheckpointError if
    nobody could log in there, as far as the inventory tells; ``identity()``: a new certificate for a line between two
    nodes; ``show(pod, text)`` and ``warn(text)``: for people; ``stop``: set when it is to end.
    """

    log_in: t.Callable[[str, Role], Agent]
    reachable: t.Callable[[str], None]
    identity: t.Callable[[], str]
    show: t.Callable[[str, str], None]
    warn: t.Callable[[str], None]
    stop: threading.Event


class Agents:
    """The two agents of the move that is under way, kept for the next one between the same nodes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stack = contextlib.ExitStack()
        self._nodes = ("", "")
        self._pair: tuple[Agent, Agent] | None = None

    def of(self, plan: plans.Plan, *, taken_up: bool = False) -> tuple[Agent, Agent]:
        """Those of the source and of the target. ``taken_up``: the source may be gone, as its word may be known."""
        nodes = (plan.node, plan.target)
        if self._pair is None or self._nodes != nodes:
            self.close()
            # The target is closed first: its tickets have to be back before the source runs on.
            source = self._stack.enter_context(self._source(plan.node, taken_up=taken_up))
            target = self._stack.enter_context(self._site.log_in(plan.target, "target"))
            self._nodes, self._pair = nodes, (source, target)
        return self._pair

    def _source(self, node: str, *, taken_up: bool) -> Agent:
        try:
            return self._site.log_in(node, "source")
        except CheckpointError as error:
            if not taken_up:
                raise
            return Absent(node, error)

    def close(self) -> None:
        """Have both end, and undo what they do not hold."""
        self._pair = None
        self._stack.close()


class Moves:
    """All moves of one task. ``options``: those of the module."""

    def __init__(self, session: ApiSession, options: t.Mapping[str, t.Any], site: Site) -> None:
        self._session = session
        self._options = options
        self._site = site
        self._wanted = arguments.selection(options)
        self._agents = Agents(site)
        self._folder = state.directory()

    def run(self, *, check: bool) -> Item:
        """The documented result, with ``failed`` in it where a pod could not be moved.

        Raises CheckpointError where it could not even be said which pods are meant.
        """
        single = self._wanted.pod is not None
        with contextlib.closing(self._agents):
            ones = [] if check else self._taken_up()
            if not (ones and single) and self._goes_on(ones):
                done = {name for one in ones for name in one.names}
                ones += [self._planned(pod) for pod in self._chosen() if One(pod).name not in done]
                planned = [one for one in ones if one.plan is not None and one.outcome is None]
                if check or (len(planned) > 1 and self._goes_on(ones)):
                    self._look_all(planned, check)
                    planned = [one for one in planned if one.outcome is None]
                if not check and self._goes_on(ones):
                    self._move_all(planned)
        return report.result(ones, single=single, check=check)

    def _goes_on(self, ones: t.Iterable[One]) -> bool:
        """Whether there is more to be done, as none has failed, or that does not matter to the others."""
        return self._options["on_failure"] == "continue" or all(one.outcome != "failed" for one in ones)

    def _chosen(self) -> list[Thing]:
        """The pods that are meant, in the order in which they are moved."""
        wanted = self._wanted
        if wanted.pod is not None:
            # Whether it is there, its plan tells.
            return [{"metadata": {"namespace": wanted.namespace, "name": wanted.pod}, "spec": {}}]
        fields = []
        if wanted.node is not None:
            if self._session.node(wanted.node) is None:
                raise CheckpointError("node_not_found", f"There is no node {wanted.node}", hint="Check its name")
            fields = [f"spec.nodeName={wanted.node}"]
        pods = self._session.pods(wanted.namespace, labels=wanted.labels, fields=fields)
        return sorted(pods, key=lambda pod: One(pod).order)

    def _planned(self, pod: Thing) -> One:
        """The plan for a pod, or why it is left out or cannot be moved."""
        one = One(pod)
        single = self._wanted.pod is not None
        one.error = None if single else self._left_out(pod)
        if one.error is not None:
            one.outcome = "skipped"
            return one
        try:
            self._plan(one)
        except CheckpointError as error:
            if error.code == "invalid_option":
                raise
            one.error = fallback.offered(self._options, error)
            one.outcome = "there" if error.code == "already_there" else "failed"
        else:
            self._warn(one, ())
        return one

    def _warn(self, one: One, known: t.Collection[str]) -> None:
        """Tell of what is not ``known`` yet."""
        for text in report.warnings(one):
            if text not in known:
                self._site.warn(text if self._wanted.pod is not None else f"{one.name}: {text}")

    def _left_out(self, pod: Thing) -> CheckpointError | None:
        """Why a pod that nobody named is left out: what is meant to stay on its node, and what has ended."""
        metadata = pod["metadata"]
        kinds = {each["kind"] for each in metadata.get("ownerReferences") or [] if each.get("controller")}
        phase = (pod.get("status") or {}).get("phase")
        if owner.MIRROR in (metadata.get("annotations") or {}) or kinds & ROOTED:
            try:
                owner.find(self._session, pod)
            except CheckpointError as error:
                return error
        if phase in FINISHED:
            return CheckpointError("pod_not_running", f"It has ended: {phase}", hint="There is nothing to move")
        if metadata.get("deletionTimestamp"):
            return CheckpointError("pod_deleted", "It is being deleted", hint="There is nothing to move")
        return None

    def _plan(self, one: One) -> Wishes:
        """Make the plan of one, as things are now."""
        options, metadata = self._options, one.pod["metadata"]
        unreached = fallback.reason(self._session, options, metadata, self._site.reachable)
        if unreached is not None:
            return self._plan_by_image(one, unreached)
        where = {name: options[name] for name in ("runtime_class", "order", "strategy")}
        plan = plans.make(self._session, metadata["namespace"], metadata["name"], options["node"], **where)
        wishes = arguments.wishes(options, plan)
        self._site.reachable(plan.node)
        self._site.reachable(plan.target)
        one.plan, one.told = plan, report.told(plan, wishes)
        return wishes

    def _plan_by_image(self, one: One, unreached: CheckpointError) -> Wishes:
        plan = fallback.plan(self._session, self._options, one.pod["metadata"], unreached)
        wishes = arguments.wishes(self._options, plan)
        one.plan, one.told = plan, report.told(plan, wishes)
        return wishes

    def _goes_by_image(self, one: One) -> bool:
        """Whether it does, also as a node turns out not to be logged in to: that is tried where it may go by image."""
        plan, known = t.cast("plans.Plan", one.plan), list(report.warnings(one))
        if plan.images is None and self._options.get("fallback") and plan.way != "copy":
            try:
                self._agents.of(plan)
            except CheckpointError as error:
                self._agents.close()
                if not fallback.allowed(self._options, error):
                    raise
                self._plan_by_image(one, error)
                self._warn(one, known)
        return t.cast("plans.Plan", one.plan).images is not None

    def _look_all(self, planned: list[One], check: bool) -> None:
        """Look at the nodes as well. In check mode it is no failure if that cannot be done."""
        for one in planned:
            if self._site.stop.is_set():
                return
            plan, known = t.cast("plans.Plan", one.plan), list(report.warnings(one))
            wishes = arguments.wishes(self._options, plan)
            try:
                if self._goes_by_image(one):
                    continue
                if check:
                    agents = functools.partial(self._agents.of, plan)
                    one.plan = beforehand.look_only(self._session, plan, wishes, agents)
                else:
                    with self._between(plan) as (both, _stack):
                        one.plan = beforehand.look(self._session, plan, wishes, both)[0]
                one.told = report.told(one.plan, wishes)
                self._warn(one, known)
            except CheckpointError as error:
                one.error, one.outcome = error, "failed"

    def _move_all(self, planned: list[One]) -> None:
        """One after the other, until one fails."""
        moved = 0
        for one in planned:
            if self._site.stop.is_set():
                one.error = CheckpointError("interrupted", "It was interrupted before this pod", hint="Run it again")
                one.outcome = "failed"
                return
            try:
                self._move(one, first=moved == 0)
                moved += 1
            except CheckpointError as error:
                one.error, one.outcome = fallback.offered(self._options, error), "failed"
                if not self._goes_on([one]) or error.code == "interrupted":
                    return

    def _move(self, one: One, *, first: bool) -> None:
        # What the plan was made of has changed by the moves before this one.
        wishes = arguments.wishes(self._options, t.cast("plans.Plan", one.plan)) if first else self._planned_anew(one)
        by_image = self._goes_by_image(one)
        plan = t.cast("plans.Plan", one.plan)
        show, known = self._showing(one.name), list(report.warnings(one))
        if by_image:
            begun = ways.begin(self._session, plan, self._folder)
            with contextlib.closing(begun[1]):
                imaged = ByImage(self._session, plan, begun, self._options, wishes, self._site.stop, show)
                one.result, one.outcome = imaged.run(), "moved"
            return
        with self._between(plan) as (both, stack):
            plan, seconds = beforehand.prepare(self._session, plan, wishes, both, self._site.stop, show)
            one.plan, one.told = plan, report.told(plan, wishes)
            self._warn(one, known)
            begun = ways.begin(self._session, plan, self._folder)
            stack.callback(begun[1].close)
            kind = copying.Copy if plan.way == "copy" else moving.Move
            made = kind(self._session, plan, begun, both, wishes, self._site.stop, show)
            one.result = beforehand.with_seconds(seconds, made.run(self._site.identity()))
            one.outcome = one.result["outcome"]

    def _planned_anew(self, one: One) -> Wishes:
        deadline = Deadline(SETTLE_SECONDS)
        while True:
            try:
                return self._plan(one)
            except CheckpointError as error:
                if error.code != "preflight_failed" or deadline.expired or self._site.stop.is_set():
                    raise
            self._site.stop.wait(INTERVAL)

    @contextlib.contextmanager
    def _between(
        self, plan: plans.Plan, *, taken_up: bool = False
    ) -> t.Iterator[tuple[tuple[Agent, Agent], contextlib.ExitStack]]:
        """The agents for one move, who are kept if it comes off, and what is to be closed before them."""
        try:
            both = self._agents.of(plan, taken_up=taken_up)
            with contextlib.ExitStack() as stack:
                yield both, stack
        except BaseException:
            # They end now, not when all is over: what they do not hold they undo.
            self._agents.close()
            raise

    def _taken_up(self) -> list[One]:
        """The moves that were begun and have not ended, of what is meant: gone on with. Undone ones are no result."""
        found = []
        for number in state.unfinished(self._folder):
            try:
                begun = ways.resume(self._session, number, self._folder)
            except CheckpointError as error:
                # Of these pods or of others: two moves of one pod are kept apart by their Lease.
                if error.code == "state_in_use":
                    continue
                raise
            with contextlib.closing(begun[1]):
                plan = plans.from_facts(begun[1].facts)
                if self._is_meant(plan):
                    by_image = plan.images is not None
                    one = One(plan.source, plan, told={"source": plan.node, "node": plan.target, "by_image": by_image})
                    self._go_on(one, begun)
                    found += [one] if one.outcome else []
        return found

    def _go_on(self, one: One, begun: tuple[Replacement, state.State]) -> None:
        plan = t.cast("plans.Plan", one.plan)
        self._site.show(one.name, f"Takes up the move {plan.number}, which was begun and has not ended")
        # Its containers are frozen already, or never will be: what their probes allow does not matter any more.
        wishes = arguments.wishes(self._options, dataclasses.replace(plan, patience=None))
        try:
            result = self._again(one, begun, wishes)
        except CheckpointError as error:
            one.error, one.outcome = error, "failed"
        else:
            if result["outcome"] == "moved":
                one.result, one.outcome = result, "moved"

    def _again(self, one: One, begun: tuple[Replacement, state.State], wishes: Wishes) -> Item:
        plan, stop, show = t.cast("plans.Plan", one.plan), self._site.stop, self._showing(one.name)
        if plan.images is not None:
            return ByImage(self._session, plan, begun, self._options, wishes, stop, show).again()
        with self._between(plan, taken_up=True) as (both, stack):
            about = (self._session, plan, begun, both, wishes, stop, show)
            if plan.way == "copy":
                return copying.Copy(*about).again()
            taken_up = taking_up.TakenUp(*about, reach=self._reach(plan, stack))
            try:
                return taken_up.again()
            finally:
                one.told["node"] = taken_up.target

    def _reach(self, plan: plans.Plan, stack: contextlib.ExitStack) -> elsewhere.Reach:
        return elsewhere.Reach(
            # Only who asks for one pod by its name can mean that it is to go on elsewhere than it was to go.
            node=self._options["node"] if self._wanted.pod is not None else plan.target,
            log_in=lambda node: stack.enter_context(self._site.log_in(node, "target")),
            identity=self._site.identity,
        )

    def _is_meant(self, plan: plans.Plan) -> bool:
        wanted = self._wanted
        if wanted.namespace not in (None, plan.namespace):
            return False
        if wanted.pod is not None:
            return wanted.pod in (plan.pod, plan.replacement)
        if wanted.node is not None:
            return plan.node == wanted.node
        # The pod or its replacement, which has the same labels.
        return any(pod["metadata"]["name"] in (plan.pod, plan.replacement) for pod in self._chosen())

    def _showing(self, name: str) -> Tell:
        return lambda text: self._site.show(name, text)
