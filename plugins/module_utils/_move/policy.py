# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MutatingAdmissionPolicy that makes a controller's own replacement the one that a move needs.

While it is there, the next pod that the owner's controller makes gets the target node, the RuntimeClass, the move's
number, and its name, so that a ticket can be left for it before it is there. The name also sees to it that the policy
serves once: a second pod of that name is refused, and the controller tries again later.

Sources: kubernetes 1.36, admissionregistration.k8s.io (v1; v1beta1 since 1.34 and v1alpha1 since 1.32 have the same
fields); apiserver 0.36, pkg/admission/plugin/policy/mutating (what is built in runs again after a policy has changed an
object, so that the RuntimeClass is seen to).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import json
import typing as t

from .._kube.api import ApiSession, Thing
from .._kube.manifest import HOSTNAME_LABEL
from .objects import JOB_INDEX, MOVE, PREFIX, labels
from .template import marks, with_images

GROUP = "admissionregistration.k8s.io"
VERSIONS = ("v1", "v1beta1", "v1alpha1")
GATE = "checkpoint-restore.io/source-ends"
"""The scheduling gate of a replacement that starts from an image while its source still runs: beta since kubernetes
1.27. Without it both would run for a moment."""

MOST_CONTAINERS = 64
"""Among so many a policy looks for those whose image it changes."""

POLICIES, BINDINGS = "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"


class Effect(t.NamedTuple):
    """What the policy does: to the next pod of the owner with this UID, of ``names`` where its name is given.

    ``name``: the name that the pod gets, for one whose name the API server makes; ``None`` to leave it. ``job_index``:
    of an indexed Job the index that the pod is for. ``runtime_class``: "" to leave what it has. ``images``: by
    container the image that it gets; such a pod is not scheduled before the source has ended, see GATE.
    """

    number: str
    namespace: str
    owner_uid: str
    names: tuple[str, ...]
    name: str | None
    hostname: str
    runtime_class: str
    job_index: str | None = None
    images: t.Mapping[str, str] | None = None

    def reached(self, pod: Thing) -> bool:
        """Whether a pod is as the policy makes one."""
        metadata, spec = pod["metadata"], pod["spec"]
        return (
            (metadata.get("annotations") or {}).get(MOVE) == self.number
            and (spec.get("nodeSelector") or {}).get(HOSTNAME_LABEL) == self.hostname
            and self.runtime_class in ("", spec.get("runtimeClassName"))
            and self.name in (None, metadata.get("name"))
            and (self.images is None or any(each["name"] == GATE for each in spec.get("schedulingGates") or []))
            and pod == with_images(pod, self.images or {})
        )


def served_version(session: ApiSession) -> str | None:
    """The newest version of these policies that the cluster serves; ``None`` when it has none."""
    for version in VERSIONS:
        found = session.get(f"/apis/{GROUP}/{version}") or {}
        names = {str(each.get("name")) for each in found.get("resources") or []}
        if {POLICIES, BINDINGS} <= names:
            return version
    return None


def collections(version: str) -> tuple[str, str]:
    """The paths of the policies and of their bindings."""
    return f"/apis/{GROUP}/{version}/{POLICIES}", f"/apis/{GROUP}/{version}/{BINDINGS}"


def object_name(number: str) -> str:
    """The name of a move's policy, and of its binding."""
    return f"{PREFIX}-{number}"


def documents(version: str, effect: Effect) -> tuple[Thing, Thing]:
    """The policy and its binding."""
    api_version = f"{GROUP}/{version}"
    name = object_name(effect.number)
    conditions = [{"name": "owner", "expression": _of_owner(effect.owner_uid)}]
    if effect.names:
        conditions.append({"name": "name", "expression": f"object.metadata.name in {_cel(list(effect.names))}"})
    if effect.job_index is not None:
        conditions.append({"name": "index", "expression": _of_index(effect.job_index)})
    policy = {
        "apiVersion": api_version,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name, "labels": labels(effect.number)},
        "spec": {
            # A pod that the policy cannot change would start cold: better none for a moment.
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": effect.namespace}},
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ],
            },
            "matchConditions": conditions,
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _patches(effect)}}],
        },
    }
    binding = {
        "apiVersion": api_version,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": labels(effect.number)},
        "spec": {"policyName": name},
    }
    return policy, binding


def _of_owner(uid: str) -> str:
    return (
        "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists("
        f"o, has(o.controller) && o.controller && o.uid == {_cel(uid)})"
    )


def _of_index(index: str) -> str:
    there = f"has(object.metadata.annotations) && {_cel(JOB_INDEX)} in object.metadata.annotations"
    return f"{there} && object.metadata.annotations[{_cel(JOB_INDEX)}] == {_cel(index)}"


def _patches(effect: Effect) -> str:
    always: Thing = {"/spec/runtimeClassName": effect.runtime_class} if effect.runtime_class else {}
    if effect.images is not None:
        always["/spec/schedulingGates"] = [{"name": GATE}]
    if effect.name is not None:
        always["/metadata/name"] = effect.name
    return " + ".join(
        [
            "[" + ", ".join(_add(path, value) for path, value in always.items()) + "]",
            _into("spec.nodeSelector", {HOSTNAME_LABEL: effect.hostname}),
            _into("metadata.annotations", marks(effect.number, effect.images)),
            *(_image(name, image) for name, image in sorted((effect.images or {}).items())),
        ]
    )


def _add(path: str, value: t.Any) -> str:
    return f'JSONPatch{{op: "add", path: {_cel(path)}, value: {_cel(value)}}}'


def _image(container: str, image: str) -> str:
    """The image of a container, or of a sidecar, wherever it is in its list."""
    found = []
    for field in ("containers", "initContainers"):
        there = f"has(object.spec.{field}) && n < size(object.spec.{field})"
        wanted = f"{there} && object.spec.{field}[n].name == {_cel(container)}"
        place = f'"/spec/{field}/" + string(n) + "/image"'
        patch = f'JSONPatch{{op: "replace", path: {place}, value: {_cel(image)}}}'
        found.append(f"{list(range(MOST_CONTAINERS))}.filter(n, {wanted}).map(n, {patch})")
    return "(" + " + ".join(found) + ")"


def _into(field: str, entries: t.Mapping[str, str]) -> str:
    """Entries of a map that may not be there; one that is there stays as it is otherwise."""
    path = "/" + field.replace(".", "/")
    each = [_add(f"{path}/{key.replace('~', '~0').replace('/', '~1')}", value) for key, value in entries.items()]
    return f"(has(object.{field}) ? [{', '.join(each)}] : [{_add(path, dict(entries))}])"


def _cel(value: t.Any) -> str:
    """A value in CEL: its strings, lists and maps are written as in JSON."""
    return json.dumps(value)
