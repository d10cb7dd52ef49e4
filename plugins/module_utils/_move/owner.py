# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who makes a pod anew when it is gone, and whether a move can rely on that.

Sources: kubernetes 1.36, pkg/controller/{replicaset,statefulset,job,deployment}; pkg/kubelet/types/pod_update.go (the
annotation of a mirror pod).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from .._kube.preflight_objects import look
from .._kube.restore_request import Check
from .objects import COLLECTIONS, JOB_FINALIZER, collection, path

MIRROR = "kubernetes.io/config.mirror"
SUPPORTED = ("Job", "ReplicaSet", "StatefulSet")
REVISION = "controller-revision-hash"


@dataclasses.dataclass(frozen=True)
class Owner:
    """A controller of pods; ``thing`` as the API server has it, ``above``: the Deployment of a ReplicaSet."""

    kind: str
    name: str
    uid: str
    thing: Thing
    above: Thing | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def head(self) -> Thing:
        """What a person made: the Deployment, where there is one."""
        return self.above or self.thing

    @property
    def head_kind(self) -> str:
        """The kind of :attr:`head`."""
        return "Deployment" if self.above else self.kind


def find(session: ApiSession, pod: Thing) -> Owner | None:
    """The controller of the pod; ``None`` for a pod that nobody makes anew.

    Raises CheckpointError ``pod_static``, ``owner_unsupported`` and ``owner_gone``.
    """
    refuse_static(pod)
    metadata = pod["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    reference = _controller(pod)
    if reference is None:
        return None
    group = COLLECTIONS.get(reference["kind"], ("", ""))[0].partition("/apis/")[2]
    if reference["kind"] not in SUPPORTED or reference["apiVersion"] != group:
        daemon = reference["kind"] == "DaemonSet"
        raise CheckpointError(
            "owner_unsupported",
            f"{name} belongs to the {reference['kind']} {reference['name']}"
            + (": it is meant to stay on its node" if daemon else ", and what that does when a pod is gone is unknown"),
            hint="Pods of nobody, and of a ReplicaSet, Deployment, StatefulSet or Job can be moved",
        )
    return _owner(session, metadata["namespace"], reference)


def refuse_static(pod: Thing) -> None:
    """Raise CheckpointError ``pod_static`` for what a kubelet makes from a file: no pod of the API is like it."""
    metadata = pod["metadata"]
    if MIRROR in (metadata.get("annotations") or {}) or (_controller(pod) or {}).get("kind") == "Node":
        raise CheckpointError(
            "pod_static",
            f"{metadata['namespace']}/{metadata['name']} is a static pod: its kubelet makes it from a file on the node",
            hint="Move the file to another node; such a pod cannot be moved through the API",
        )


def _controller(thing: Thing) -> Thing | None:
    references = thing["metadata"].get("ownerReferences") or []
    return next((each for each in references if each.get("controller")), None)


def _owner(session: ApiSession, namespace: str, reference: Thing) -> Owner:
    kind, name = str(reference["kind"]), str(reference["name"])
    thing = session.get(path(kind, namespace, name))
    if thing is None or thing["metadata"]["uid"] != reference["uid"] or thing["metadata"].get("deletionTimestamp"):
        raise CheckpointError(
            "owner_gone",
            f"The {kind} {name} of the pod is deleted",
            hint="Wait until the pod is gone as well, or find out why it stays",
        )
    above = _controller(thing) if kind == "ReplicaSet" else None
    head = None
    if above and above["kind"] == "Deployment" and above["apiVersion"] == "apps/v1":
        head = session.get(path("Deployment", namespace, above["name"]))
    return Owner(kind, name, str(reference["uid"]), thing, head)


def checks(session: ApiSession, owner: Owner, pod: Thing, *, scaled: bool) -> t.Iterator[Check]:
    """What speaks against relying on the controller at this moment; ``scaled``: the move changes the number of pods."""
    yield from {"Job": _job, "ReplicaSet": _replicas, "StatefulSet": _stateful}[owner.kind](session, owner, pod)
    yield from _autoscaler(session, owner, pod, "failed" if scaled else "warning")


def all_ready(owner: Owner) -> bool:
    """Whether all pods of a ReplicaSet are there and Ready: only then its deletion costs decide which one goes."""
    wanted = owner.thing["spec"].get("replicas", 1)
    status = owner.thing.get("status") or {}
    return bool(status.get("replicas") == wanted == status.get("readyReplicas"))


def _observed(thing: Thing) -> bool:
    seen = (thing.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= thing["metadata"].get("generation", 0))


def _rollout(owner: Owner) -> Check:
    return Check(
        "rollout",
        "failed",
        f"A rollout of the {owner.head_kind} {owner.head['metadata']['name']} is under way",
        "Wait until it has ended: the replacement would be another pod than the one that is there",
    )


def _replicas(_session: ApiSession, owner: Owner, _pod: Thing) -> t.Iterator[Check]:
    status = owner.head.get("status") or {}
    # A Deployment's own count has the pods of its older ReplicaSets, too.
    outdated = owner.above is not None and status.get("updatedReplicas", 0) != status.get("replicas", 0)
    scaling = status.get("replicas", 0) != owner.head["spec"].get("replicas", 1)
    if outdated or scaling or not _observed(owner.head):
        yield _rollout(owner)
    else:
        yield Check("rollout", "passed", f"No rollout of the {owner.head_kind} is under way")


def _stateful(session: ApiSession, owner: Owner, pod: Thing) -> t.Iterator[Check]:
    status = owner.thing.get("status") or {}
    own = (pod["metadata"].get("labels") or {}).get(REVISION)
    if not _observed(owner.thing) or own not in (status.get("updateRevision"), None):
        yield _rollout(owner)
    else:
        yield Check("rollout", "passed", "No rollout of the StatefulSet is under way")
    if owner.thing["spec"].get("podManagementPolicy") == "Parallel":
        return
    # In order: no pod is made while one with a lower number is not Ready.
    number = _ordinal(pod)
    selector = (owner.thing["spec"].get("selector") or {}).get("matchLabels") or {}
    pods = session.pods(pod["metadata"]["namespace"], labels=[f"{key}={value}" for key, value in selector.items()])
    before = [
        each["metadata"]["name"]
        for each in pods
        if (_controller(each) or {}).get("uid") == owner.uid and _ordinal(each) < number and not _is_ready(each)
    ]
    if before:
        yield Check(
            "order",
            "failed",
            f"The StatefulSet makes no replacement while pods before it are not Ready: {', '.join(sorted(before))}",
            "Mend those first",
        )


def _ordinal(pod: Thing) -> int:
    number = pod["metadata"]["name"].rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _is_ready(pod: Thing) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _job(_session: ApiSession, owner: Owner, pod: Thing) -> t.Iterator[Check]:
    if owner.thing["spec"].get("suspend"):
        yield Check("job", "failed", f"The Job {owner.name} is suspended", "Resume it first")
    elif JOB_FINALIZER not in (pod["metadata"].get("finalizers") or []):
        # Nothing to take off: seen only for pods that somebody changed.
        yield Check("job", "warning", f"The pod does not have the finalizer {JOB_FINALIZER} that its Job gave it")
    else:
        yield Check("job", "passed", "The Job does not count the move as a failure: its finalizer is taken off before")


def _autoscaler(session: ApiSession, owner: Owner, pod: Thing, result: str) -> t.Iterator[Check]:
    namespace = pod["metadata"]["namespace"]
    found, unseen = look(session, collection("HorizontalPodAutoscaler", namespace))
    if unseen:
        yield Check("autoscaler", "warning", f"Whether an autoscaler is at work may not be seen: {unseen}")
    name = owner.head["metadata"]["name"]
    for each in (found or {}).get("items") or []:
        target = each["spec"].get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == (owner.head_kind, name):
            yield Check(
                "autoscaler",
                result,
                f"The HorizontalPodAutoscaler {each['metadata']['name']} may change the number of pods meanwhile",
                "Hold it for the time of the move, by equal minReplicas and maxReplicas, where that would do harm",
            )
