# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod that a controller would make, and the pod that takes the place of one without a controller.

Sources: kubernetes 1.36, pkg/controller/controller_utils.go (GetPodFromTemplate),
pkg/controller/statefulset/stateful_set_utils.go (newStatefulSetPod, updateStorage), pkg/controller/job.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import copy
import json
import typing as t

from .._kube.api import Thing
from .._kube.manifest import HOSTNAME_LABEL, TOKEN_VOLUME, all_containers, from_source, without_tokens
from .._kube.restore_request import ANNOTATION
from .objects import JOB_INDEX, MOVE, notes
from .owner import Owner

# What CRIU holds against the dumped process, and what a person would call another pod.
OF_CONTAINER = ("image", "command", "args", "workingDir", "securityContext", "tty", "stdin")
OF_POD = ("securityContext", "serviceAccountName", "shareProcessNamespace", "hostUsers")


def as_made(owner: Owner, source: Thing) -> Thing:
    """The pod as the controller makes the next one in the place of ``source``, before any admission."""
    metadata = source["metadata"]
    template = copy.deepcopy(owner.thing["spec"]["template"])
    old = template.get("metadata") or {}
    index = {name: value for name, value in notes(source).items() if name == JOB_INDEX}
    group = owner.thing.get("apiVersion") or {"Job": "batch/v1"}.get(owner.kind, "apps/v1")
    reference = {"apiVersion": group, "kind": owner.kind, "name": owner.name, "uid": owner.uid, "controller": True}
    made: Thing = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": metadata.get("generateName") or f"{owner.name}-",
            "namespace": metadata["namespace"],
            "labels": {**(metadata.get("labels") or {}), **(old.get("labels") or {})},
            "annotations": {**(old.get("annotations") or {}), **index},
            "ownerReferences": [reference],
        },
        "spec": template["spec"],
    }
    if owner.kind == "StatefulSet":
        _with_claims(made["spec"], owner.thing, str(metadata["name"]))
        made["spec"]["hostname"] = metadata["name"]
        if owner.thing["spec"].get("serviceName"):
            made["spec"]["subdomain"] = owner.thing["spec"]["serviceName"]
    return made


def _with_claims(spec: Thing, stateful_set: Thing, pod: str) -> None:
    claims = [str(each["metadata"]["name"]) for each in stateful_set["spec"].get("volumeClaimTemplates") or []]
    kept = [each for each in spec.get("volumes") or [] if each["name"] not in claims]
    own = [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{pod}"}} for name in claims]
    spec["volumes"] = [*own, *kept]


def rebuilt(source: Thing) -> Thing:
    """A pod like ``source`` that nobody makes anew, with its name, labels and owners; without its node."""
    made = without_tokens(from_source(source, ()))
    metadata = source["metadata"]
    owners = [each for each in metadata.get("ownerReferences") or [] if not each.get("controller")]
    made["metadata"] = {
        **made["metadata"],
        "namespace": metadata["namespace"],
        "labels": dict(metadata.get("labels") or {}),
        **({"ownerReferences": owners} if owners else {}),
    }
    if source["spec"].get("schedulerName"):
        made["spec"]["schedulerName"] = source["spec"]["schedulerName"]
    return made


def bound(
    pod: Thing, number: str, hostname: str, runtime_class: str, images: t.Mapping[str, str] | None = None
) -> Thing:
    """``pod`` as a policy would make it: see Effect in policy.py."""
    made = copy.deepcopy(pod)
    made["metadata"]["annotations"] = {**(made["metadata"].get("annotations") or {}), **marks(number, images)}
    made["spec"]["nodeSelector"] = {**(made["spec"].get("nodeSelector") or {}), HOSTNAME_LABEL: hostname}
    if runtime_class:
        made["spec"]["runtimeClassName"] = runtime_class
    return with_images(made, images or {})


def marks(number: str, images: t.Mapping[str, str] | None) -> dict[str, str]:
    """The annotations of a replacement."""
    return {MOVE: number, **({ANNOTATION: json.dumps(dict(images), sort_keys=True)} if images else {})}


def with_images(pod: Thing, images: t.Mapping[str, str]) -> Thing:
    """``pod`` with other images for the containers of these names."""
    made = copy.deepcopy(pod)
    for container in all_containers(made):
        container["image"] = images.get(container["name"], container["image"])
    return made


def named(pod: Thing, name: str) -> Thing:
    """``pod`` under a name of its own."""
    made = copy.deepcopy(pod)
    made["metadata"].pop("generateName", None)
    made["metadata"]["name"] = name
    return made


def differences(made: Thing, source: Thing) -> list[str]:
    """In what two pods, both after admission, differ so that the one cannot take the other's processes."""
    found = [key for key in OF_POD if _value(made["spec"], key) != _value(source["spec"], key)]
    there, before = _by_name(made), _by_name(source)
    found += [f"container {name}" for name in sorted(set(there) ^ set(before))]
    for name in sorted(set(there) & set(before)):
        found += [f"{key} of {name}" for key in OF_CONTAINER if _value(there[name], key) != _value(before[name], key)]
        if _mounts(there[name]) != _mounts(before[name]):
            found.append(f"volumeMounts of {name}")
    return found


def _value(holder: Thing, key: str) -> t.Any:
    # An empty list or map is the same as none, to the API server as well.
    return holder.get(key) or None


def _by_name(pod: Thing) -> dict[str, Thing]:
    return {str(each["name"]): each for each in all_containers(pod)}


def _mounts(container: Thing) -> set[tuple[str, str]]:
    """Where what is mounted; a token's volume has another name in every pod."""
    return {
        (str(each["mountPath"]), "token" if str(each["name"]).startswith(TOKEN_VOLUME) else str(each["name"]))
        for each in container.get("volumeMounts") or []
    }
