# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a running pod and a node to the plan of a move, or to the reason why there is none; nothing is touched.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from .._kube.manifest import HOSTNAME_LABEL, restorable
from .._kube.nodes import is_ready
from .._kube.restore_request import Check
from .._kube.restore_wait import statuses
from . import budget, owner, policy, preflight, probes
from .objects import LONGEST_BASE, generated, new_number

Order = t.Literal["source_first", "replacement_first"]
Strategy = t.Literal["move", "copy"]
Way = t.Literal["bare", "policy", "replacement_first", "adoption", "orphaning", "copy"]

SOURCE_STAYS: tuple[Way, ...] = ("adoption", "replacement_first", "copy")
"""The ways in which the source is still there when the new pod comes."""

OF_COPY = "-copy-"


@dataclasses.dataclass(frozen=True)
class Container:
    """A container whose processes move. ``id`` as the runtime has it; ``image_id`` as the kubelet tells it."""

    name: str
    id: str
    image: str
    image_id: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """One move. ``source`` is the pod as it is; ``replacement`` the name of the pod that takes its place.

    Or one copy, with the ``way`` "copy": ``replacement`` is its name then, and of no ``owner``.

    ``way``: how the replacement comes to be, see replacement.py. ``policy_version``: of the admission policies that the
    cluster serves. ``hostname``: the target's label kubernetes.io/hostname. ``patience``: how long the containers may
    stay frozen, ``None`` for as long as one likes. ``checks``: what was looked at, warnings among it. ``failed``: the
    replacement of a try before this one, see :func:`redirected`. ``images``: where it goes by image, see by_image.py,
    those of the checkpoints by container, as far as they are made; ``None`` otherwise. ``runtime_class`` is "" then.
    """

    number: str
    source: Thing
    target: str
    hostname: str
    runtime_class: str
    owner: owner.Owner | None
    way: Way
    policy_version: str | None
    replacement: str
    containers: tuple[Container, ...]
    patience: probes.Patience | None
    checks: tuple[Check, ...]
    failed: Thing | None = None
    images: t.Mapping[str, str] | None = None

    @property
    def grace(self) -> int:
        """Seconds between TERM and KILL for the source: none where it is frozen."""
        return 0 if self.images is None else 1

    @property
    def namespace(self) -> str:
        return str(self.source["metadata"]["namespace"])

    @property
    def pod(self) -> str:
        return str(self.source["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.source["metadata"]["uid"])

    @property
    def node(self) -> str:
        """Where the pod runs now."""
        return str(self.source["spec"]["nodeName"])

    @property
    def names(self) -> list[str]:
        """The names of the containers that move."""
        return [container.name for container in self.containers]

    def as_facts(self) -> Thing:
        """The plan as JSON, for the state file; :func:`from_facts` reads it."""
        return dataclasses.asdict(self)


def from_facts(facts: Thing) -> Plan:
    """The plan that was written down."""
    made: Thing = dict(facts)
    made["owner"] = owner.Owner(**made["owner"]) if made["owner"] else None
    made["containers"] = tuple(Container(**each) for each in made["containers"])
    made["patience"] = probes.Patience(*made["patience"]) if made["patience"] else None
    made["checks"] = tuple(Check(**each) for each in made["checks"])
    return Plan(**made)


def make(
    session: ApiSession,
    namespace: str,
    pod: str,
    target: str,
    *,
    runtime_class: str,
    order: Order = "source_first",
    strategy: Strategy = "move",
    policies: bool = True,
) -> Plan:
    """The plan for moving a pod to the node ``target``, or for a copy of it there.

    ``policies``: whether to use admission policies where served.

    Raises CheckpointError ``pod_not_found``, ``pod_not_running``, ``pod_deleted``, ``already_there``, ``pod_static``,
    ``owner_unsupported``, ``owner_gone``, ``way_unknown`` at once, and ``preflight_failed`` with all ``checks``.
    """
    source = _running(session, namespace, pod, target)
    copied = strategy == "copy"
    if copied:
        owner.refuse_static(source)
    its_owner = None if copied else owner.find(session, source)
    version = policy.served_version(session) if policies and its_owner else None
    way = "copy" if copied else _way(its_owner, version, order)
    node = session.node(target)
    # Nobody knows the copy by labels: see copying.py.
    its_like = {**source, "metadata": {**source["metadata"], "labels": {}}} if copied else source
    found = [
        *(preflight.of_copy(source) if copied else preflight.of_pod(source)),
        *preflight.of_target(session, its_like, target, node, runtime_class, stays=way in SOURCE_STAYS),
        *(() if copied else _of_budget(session, source, way)),
    ]
    if its_owner is not None:
        found += owner.checks(session, its_owner, source, scaled=way == "replacement_first")
        found += _of_way(its_owner, way)
    require(found)
    return Plan(
        number=new_number(),
        source=source,
        target=target,
        hostname=_hostname(t.cast("Thing", node), target),
        runtime_class=runtime_class,
        owner=its_owner,
        way=way,
        policy_version=version,
        replacement=_name_of_copy(source) if copied else _new_name(source, its_owner),
        containers=tuple(_containers(source)),
        patience=probes.patience(source),
        checks=tuple(sorted(found)),
    )


def require(found: t.Sequence[Check]) -> None:
    """Raise CheckpointError ``preflight_failed`` with all ``checks`` where one of them failed."""
    failed = [check for check in found if check.result == "failed"]
    if failed:
        raise CheckpointError(
            "preflight_failed",
            "; ".join(check.reason for check in failed),
            hint="; ".join(dict.fromkeys(check.hint for check in failed if check.hint)),
            checks=[dataclasses.asdict(check) for check in sorted(found)],
        )


def redirected(session: ApiSession, plan: Plan, target: str) -> Plan:
    """The same move to another node, or back to its own, when its replacement cannot run where it is.

    The one that is there is deleted by the new one's ``replace()``. Raises CheckpointError ``node_not_usable``.
    """
    node = session.node(target)
    if node is None or not is_ready(node):
        raise CheckpointError("node_not_usable", f"There is no node {target} that is Ready", hint="Choose another node")
    failed = session.pod(plan.namespace, plan.replacement)
    made = failed is not None and failed["metadata"]["uid"] != plan.uid
    return dataclasses.replace(
        plan,
        target=target,
        hostname=_hostname(node, target),
        replacement=_new_name(plan.source, plan.owner),
        failed=failed if made else plan.failed,
    )


def _hostname(node: Thing, name: str) -> str:
    return str((node["metadata"].get("labels") or {}).get(HOSTNAME_LABEL) or name)


def _new_name(source: Thing, its_owner: owner.Owner | None) -> str:
    """A StatefulSet's pod and one of nobody keep their names."""
    if its_owner is None or its_owner.kind == "StatefulSet":
        return str(source["metadata"]["name"])
    return generated(source["metadata"].get("generateName") or f"{its_owner.name}-")


def _name_of_copy(source: Thing) -> str:
    # So much of the pod's name as leaves room for what tells that it is a copy.
    return generated(f"{source['metadata']['name'][: LONGEST_BASE - len(OF_COPY)].rstrip('.-')}{OF_COPY}")


def _running(session: ApiSession, namespace: str, pod: str, target: str) -> Thing:
    source = session.pod(namespace, pod)
    name = f"{namespace}/{pod}"
    if source is None:
        raise CheckpointError("pod_not_found", f"There is no pod {name}", hint="Check its name and namespace")
    if source["metadata"].get("deletionTimestamp"):
        raise CheckpointError(
            "pod_deleted", f"The pod {name} is being deleted", hint="Move the one that comes after it"
        )
    phase = (source.get("status") or {}).get("phase")
    stopped = [each["name"] for each in restorable(source) if "running" not in _state(source, each["name"])]
    if phase != "Running" or stopped:
        told = f"containers that do not run: {', '.join(stopped)}" if phase == "Running" else f"it is {phase}"
        raise CheckpointError(
            "pod_not_running",
            f"The pod {name} cannot be moved, {told}",
            hint="Only what runs can be moved: all containers of the pod",
        )
    if source["spec"].get("nodeName") == target:
        raise CheckpointError("already_there", f"The pod {name} runs on {target} already", hint="Choose another node")
    return source


def _state(pod: Thing, container: str) -> Thing:
    return t.cast("Thing", statuses(pod).get(container, {}).get("state") or {})


def _containers(pod: Thing) -> t.Iterator[Container]:
    there = statuses(pod)
    for each in restorable(pod):
        status = there[each["name"]]
        runtime_id = str(status.get("containerID") or "").partition("://")[2]
        yield Container(each["name"], runtime_id, str(each["image"]), str(status.get("imageID") or ""))


def _way(its_owner: owner.Owner | None, version: str | None, order: Order) -> Way:
    if its_owner is None or its_owner.kind != "ReplicaSet":
        if order == "replacement_first":
            what = f"of the {its_owner}" if its_owner else "of nobody"
            raise CheckpointError(
                "way_unknown",
                f"A pod {what} cannot be replaced before it is gone: there is only one of it",
                hint="Leave order out; replacement_first is for Deployments",
            )
        if its_owner is None:
            return "bare"
    if version is not None:
        if order == "source_first":
            return "policy"
        if its_owner.above is not None:
            return "replacement_first"
        raise CheckpointError(
            "way_unknown",
            f"The {its_owner} does not belong to a Deployment",
            hint="Leave order out; replacement_first is for Deployments",
        )
    if its_owner.kind == "ReplicaSet":
        return "adoption"
    if its_owner.kind == "StatefulSet":
        return "orphaning"
    raise CheckpointError(
        "way_unknown",
        f"The cluster serves no MutatingAdmissionPolicy, and without one a pod of the {its_owner} cannot be replaced",
        hint="Kubernetes 1.36 serves them; from 1.32 on a feature gate and --runtime-config of the API server do",
    )


def _of_budget(session: ApiSession, source: Thing, way: Way) -> t.Iterator[Check]:
    try:
        budget.evict(session, source, dry_run=True)
    except CheckpointError as error:
        if error.code != "budget_refuses":
            raise
        # With the replacement there first, there are never fewer pods than before.
        if way in ("policy", "bare", "orphaning"):
            yield Check("budget", "failed", error.reason, error.hint)
            return
    yield Check("budget", "passed", "No PodDisruptionBudget forbids the move now")


def _of_way(its_owner: owner.Owner, way: Way) -> t.Iterator[Check]:
    if its_owner.thing["spec"]["template"]["spec"].get("nodeName"):
        reason = f"The template of the {its_owner} binds its pods to one node by nodeName"
        yield Check("placement", "failed", reason, "Bind them by nodeSelector or affinity")
    if way in ("adoption", "replacement_first") and not owner.all_ready(its_owner):
        yield Check(
            "pods_ready",
            "failed",
            f"Not all pods of the {its_owner} are Ready: its controller would take away one of those, not the old one",
            "Wait until they are, or mend them",
        )
    if way == "orphaning" and its_owner.thing["metadata"].get("ownerReferences"):
        yield Check(
            "owner",
            "failed",
            f"The {its_owner} belongs to somebody who would make it again while it is taken away for the move",
            "Move it on a cluster that serves MutatingAdmissionPolicy",
        )
