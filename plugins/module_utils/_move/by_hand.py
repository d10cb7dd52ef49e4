# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replacement is made by the move itself: for pods of nobody, and where the cluster has no admission policies.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import threading
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import Thing, pod_path
from . import budget
from .objects import collection, path
from .owner import Owner
from .replacement import Replacement
from .state import Debt
from .template import as_made, bound, named, rebuilt

HASH = "pod-template-hash"
# How long a name stays taken after an eviction at grace 0, at most; and for the ReplicaSet to take a pod away.
NAME_SECONDS = 10.0
# And after one that gave its processes a moment.
ENDING_SECONDS = 60.0
RETIRE_SECONDS = 5.0


class Bare(Replacement):
    """A pod of nobody: gone, and made again under its name.

    The user sees the same pod with a new UID on another node.
    """

    def prove(self, deadline: Deadline, stop: threading.Event) -> None:
        self._require_alike(self._dry_run(named(self._pod(), self._proof)))

    def replace(self) -> None:
        # Between the two there is no pod at all: the state file alone knows it.
        self._end_source()
        self._create(self._pod(), Deadline(NAME_SECONDS if self._plan.images is None else ENDING_SECONDS))

    def _end_source(self) -> None:
        self._end_going()

    def _pod(self) -> Thing:
        plan = self._plan
        return bound(rebuilt(plan.source), plan.number, plan.hostname, plan.runtime_class, plan.images)


class Orphaning(Bare):
    """A StatefulSet's pod, with the set away while it is replaced: it is made again afterwards and adopts its pods.

    The user sees a StatefulSet with a new UID; its other pods run on. Who watches the set sees it go and come. Its
    PodDisruptionBudget is asked before the move, not at its moment: one that is given as a percentage cannot be told
    for pods of nobody.
    """

    @property
    def _set(self) -> Owner:
        return t.cast("Owner", self._plan.owner)

    def prepare(self) -> None:
        super().prepare()
        namespace, name = self._plan.namespace, self._set.name
        place = path("StatefulSet", namespace, name)
        self._state.owe(Debt("set", "create", collection("StatefulSet", namespace), _anew(self._set.thing)))
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Orphan"}
        there = self._session.get(place)
        if there is not None and there["metadata"]["uid"] == self._set.uid:
            self._session.delete(place, {**options, "preconditions": {"uid": self._set.uid}})

    def prove(self, deadline: Deadline, stop: threading.Event) -> None:
        namespace, name = self._plan.namespace, self._set.name
        while self._session.get(path("StatefulSet", namespace, name)) is not None:
            self._pause(deadline, stop, "owner_stays", f"The StatefulSet {name} was not taken away in time")
        super().prove(deadline, stop)

    def _end_source(self) -> None:
        budget.delete(self._session, self._plan.failed or self._plan.source, grace=self._plan.grace)


class Adoption(Replacement):
    """A ReplicaSet's pod: the replacement comes first, as a pod of nobody, and is adopted when it runs.

    The ReplicaSet then has one too many and takes the source away, by its deletion cost. The user sees one pod more for
    a while, and never one less. Until it is adopted the replacement lacks the label by which the ReplicaSet selects.
    """

    before_freeze = False
    source_ends_with = "wait"

    @property
    def _owner(self) -> Owner:
        return t.cast("Owner", self._plan.owner)

    def prove(self, deadline: Deadline, stop: threading.Event) -> None:
        self._require_alike(self._dry_run(named(self._pod(), self._proof)))

    def replace(self) -> None:
        self._remove_failed()
        place = pod_path(self._plan.namespace, self._plan.replacement)
        self._state.owe(Debt("replacement", "delete", place, {"gracePeriodSeconds": 0}, always=False))
        self._create(self._pod(), Deadline(NAME_SECONDS))

    def wait(self, deadline: Deadline, stop: threading.Event) -> Thing:
        made = super().wait(deadline, stop)
        # One that is not Ready would be the first to go.
        while not _is_ready(made):
            self._pause(deadline, stop, "replacement_missing", "The replacement runs, but is not Ready")
            made = self._appeared(deadline, stop)
        self._set_cost("source_cost")
        uid = made["metadata"]["uid"]
        adopted = self._session.patch(
            pod_path(self._plan.namespace, self._plan.replacement), {"metadata": {"uid": uid, "labels": self._hidden()}}
        )
        if adopted is None:
            raise CheckpointError("pod_gone", "Somebody deleted the replacement", hint="Its state is on the target")
        self._state.forget("replacement")
        self._await_source_end(Deadline(RETIRE_SECONDS), stop)
        return self._appeared(deadline, stop)

    def _template_labels(self) -> dict[str, str]:
        return dict((self._owner.thing["spec"]["template"].get("metadata") or {}).get("labels") or {})

    def _hidden(self) -> dict[str, str]:
        """The labels without which the ReplicaSet does not know its pod; where a Deployment made it, there is one."""
        selector = self._owner.thing["spec"]["selector"]
        keys = set(selector.get("matchLabels") or {}) | {each["key"] for each in selector.get("matchExpressions") or []}
        keys = {HASH} if HASH in keys else keys
        return {name: value for name, value in self._template_labels().items() if name in keys}

    def _pod(self) -> Thing:
        plan = self._plan
        made = named(as_made(self._owner, plan.source), plan.replacement)
        del made["metadata"]["ownerReferences"]
        hidden = self._hidden()
        kept = {name: value for name, value in self._template_labels().items() if name not in hidden}
        made["metadata"]["labels"] = kept
        return bound(made, plan.number, plan.hostname, plan.runtime_class)


def _is_ready(pod: Thing) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _anew(thing: Thing) -> Thing:
    """An object as it has to be given to be made again."""
    metadata = thing["metadata"]
    kept = {name: metadata[name] for name in ("name", "namespace", "labels", "annotations") if metadata.get(name)}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": kept, "spec": thing["spec"]}
