# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner's own controller makes the replacement, as an admission policy shapes it.

The user sees: the pod is gone, and its like is there on the other node, with owner, name (of a StatefulSet) and claims
as always, made by the controller. Run for StatefulSets, ReplicaSets of Deployments and Jobs.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import threading
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import Thing, pod_path
from . import policy
from .objects import CHEAPEST, DELETION_COST, JOB_FINALIZER, JOB_INDEX, notes, path
from .owner import Owner
from .replacement import Proofs, Replacement
from .state import Debt
from .template import as_made, named

# For the ReplicaSet to take one pod away: it does at once, or not at all.
RETIRE_SECONDS = 5.0


class ByPolicy(Replacement):
    """Evict the source; the controller makes the next pod."""

    @property
    def _owner(self) -> Owner:
        return t.cast("Owner", self._plan.owner)

    @property
    def _effect(self) -> policy.Effect:
        plan = self._plan
        # A StatefulSet's name is taken as long as the source is there: a dry run needs another.
        stays = plan.replacement == plan.pod
        return policy.Effect(
            number=plan.number,
            namespace=plan.namespace,
            owner_uid=self._owner.uid,
            names=(plan.pod, self._proof) if stays else (),
            name=None if stays else plan.replacement,
            hostname=plan.hostname,
            runtime_class=plan.runtime_class,
            job_index=notes(plan.source).get(JOB_INDEX),
            images=plan.images,
        )

    def prepare(self) -> None:
        super().prepare()
        version = str(self._plan.policy_version)
        name = policy.object_name(self._plan.number)
        for collection, thing in zip(policy.collections(version), policy.documents(version, self._effect)):
            place = f"{collection}/{name}"
            self._state.owe(Debt(thing["kind"], "delete", place))
            there = self._session.get(place)
            if there is None:
                self._session.create(collection, thing)
            elif thing["kind"] == "MutatingAdmissionPolicy":
                self._session.replace(place, {**there, "spec": thing["spec"]})

    def prove(self, deadline: Deadline, stop: threading.Event) -> None:
        pod = as_made(self._owner, self._plan.source)
        if self._effect.names:
            pod = named(pod, self._proof)
        enough = Proofs()
        while True:
            made = self._tried(pod)
            if enough.add(made is not None and self._effect.reached(made)):
                return self._require_alike(t.cast("Thing", made))
            if not enough.seen:
                reason = "The admission policy of the move does not act on the replacement"
                told = f"nodeSelector: {made['spec'].get('nodeSelector')}" if made else "another policy gives its name"
                self._pause(deadline, stop, "policy_inactive", reason, told)

    def _tried(self, pod: Thing) -> Thing | None:
        """The pod of a dry run; ``None`` where it got a name that is taken.

        That is by the policy of the move before, which the API server still has for a moment after it was deleted.
        """
        try:
            return self._dry_run(pod)
        except CheckpointError as error:
            if error.details.get("http_status") != 409:
                raise
            return None

    def replace(self) -> None:
        self._require_name_free()
        going = self._plan.failed or self._plan.source
        if self._owner.kind != "Job":
            self._end_going()
            return
        # A pod without the finalizer that is gone is not counted as failed, and its like is made after a second.
        self._take_finalizer_off(going["metadata"])
        try:
            self._end_going()
        except CheckpointError:
            self._state.pay(self._session, "finalizer")
            raise

    def _require_name_free(self) -> None:
        """Nobody may have the replacement's name before the source is gone, by another need of the owner.

        Such a pod has no ticket and starts from its image. One that comes after the ticket is as good as any other.
        """
        plan = self._plan
        if plan.replacement == plan.pod or self._session.pod(plan.namespace, plan.replacement) is None:
            return
        source = self._session.pod(plan.namespace, plan.pod)
        if source is not None and source["metadata"]["uid"] == plan.uid:
            raise CheckpointError(
                "replacement_early",
                f"The {self._owner} made {plan.namespace}/{plan.replacement} before the pod was gone that it is for",
                hint="Something else let it make a pod: wait until it has as many as it wants, and move again",
            )

    def _take_finalizer_off(self, metadata: Thing) -> None:
        place = pod_path(self._plan.namespace, metadata["name"])
        pod = self._session.get(place)
        if pod is None or pod["metadata"]["uid"] != metadata["uid"]:
            return
        finalizers = pod["metadata"].get("finalizers") or []
        if JOB_FINALIZER in finalizers:
            uid = str(metadata["uid"])
            self._state.owe(Debt("finalizer", "patch", place, _with_finalizers(uid, finalizers), always=False))
            kept = [each for each in finalizers if each != JOB_FINALIZER]
            self._session.patch(place, _with_finalizers(uid, kept))


class ReplacementFirst(ByPolicy):
    """One more pod of a Deployment; when it runs, one less: the source.

    The user sees one pod more for a while, and never one less. The price: what the pod asks for, twice.
    """

    before_freeze = True
    source_ends_with = "wait"

    def replace(self) -> None:
        known = [debt.body[0]["value"] for debt in self._state.owed if debt.name == "scale"]
        before = int(known[0]) - 1 if known else self._replicas()
        self._state.owe(Debt("scale", "patch", self._scale_path, _scaled(before + 1, before)))
        # Undone before the scale is: the pod that goes is the one that came.
        cheap = {"metadata": {"annotations": {DELETION_COST: CHEAPEST}}}
        replacement = pod_path(self._plan.namespace, self._plan.replacement)
        self._state.owe(Debt("replacement_cost", "patch", replacement, cheap, always=False))
        # Early, as clients wait when the replacement runs: it is the source that goes then.
        self._set_cost("source_cost")
        if known and self._replicas() == before + 1:
            self._remove_failed()
        else:
            self._session.patch(self._scale_path, _scaled(before, before + 1))

    def wait(self, deadline: Deadline, stop: threading.Event) -> Thing:
        made = super().wait(deadline, stop)
        self._state.forget("replacement_cost")
        self._state.pay(self._session, "scale")
        self._await_source_end(Deadline(RETIRE_SECONDS), stop)
        return made

    @property
    def _scale_path(self) -> str:
        name = str(self._owner.head["metadata"]["name"])
        return f"{path('Deployment', self._plan.namespace, name)}/scale"

    def _replicas(self) -> int:
        scale = self._session.get(self._scale_path)
        if scale is None:
            raise CheckpointError("owner_gone", "The Deployment is gone", hint="Nothing was changed")
        return int(scale["spec"].get("replicas") or 0)


def _scaled(before: int, after: int) -> list[Thing]:
    """A change of the number of pods, if it still is what it was; the API server applies it to the newest version."""
    place = "/spec/replicas"
    return [{"op": "test", "path": place, "value": before}, {"op": "replace", "path": place, "value": after}]


def _with_finalizers(uid: str, finalizers: t.Sequence[str]) -> Thing:
    return {"metadata": {"uid": uid, "finalizers": list(finalizers)}}
