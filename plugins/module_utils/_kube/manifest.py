# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a pod that was, or from what an archive tells of it, to the pod that is to be made: pure functions.

Source: kubernetes 1.36, staging/src/k8s.io/api/core/v1/types.go and the admission plugins ServiceAccount, Priority,
DefaultTolerationSeconds, RuntimeClass, which add to a pod what is left out here.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import copy
import typing as t

from .._common.errors import CheckpointError
from .access_objects import MANAGER, MANAGER_LABEL
from .api import Thing
from .manifest_images import IMAGE_ID, image_of
from .manifest_patch import merged
from .restore_request import ANNOTATION, ISOLATED, Archive, Check, Request

HOSTNAME_LABEL = "kubernetes.io/hostname"
TOKEN_VOLUME = "kube-api-access-"
# Set by controllers, and what they find their pods by.
CONTROLLER_LABELS = frozenset(
    (
        "apps.kubernetes.io/pod-index",
        "controller-revision-hash",
        "controller-uid",
        "job-name",
        "pod-template-generation",
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    )
)
CONTROLLER_LABEL_PREFIXES = ("batch.kubernetes.io/",)
# What was true of the old pod only: kubectl, the kubelet (static pods), network plugins, and an earlier restore.
OLD_ANNOTATIONS = (
    "cni.projectcalico.org/",
    "k8s.ovn.org/",
    "k8s.v1.cni.cncf.io/network-status",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/config.",
    ANNOTATION,
)
# Set by the scheduler and by admission, for one pod.
OLD_SPEC = frozenset(
    (
        "ephemeralContainers",
        "nodeName",
        "overhead",
        "preemptionPolicy",
        "priority",
        "schedulerName",
        "schedulingGates",
        "serviceAccount",
    )
)


def all_containers(pod: Thing) -> list[Thing]:
    """Its containers and init containers."""
    return [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]


def restorable(pod: Thing) -> list[Thing]:
    """The containers that run for as long as the pod does: its containers, and init containers that are restarted."""
    spec = pod["spec"]
    sidecars = [each for each in spec.get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or []), *sidecars]


def from_source(source: Thing, archives: t.Sequence[Archive]) -> Thing:
    """A new pod like ``source``, without what only the old one can carry, its images by their digests.

    Its volumes with tokens are still there: see :func:`without_tokens` and sandbox.py.
    """
    old = copy.deepcopy(source)
    spec = {key: value for key, value in old["spec"].items() if key not in OLD_SPEC}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(old), "spec": spec}
    _forget_node(spec)
    by_name = {container["name"]: container for container in restorable(pod)}
    for archive in archives:
        if archive.container in by_name:
            container = by_name[archive.container]
            container["image"] = image_of(archive, str(container.get("image") or ""), source)
    return pod


def without_tokens(pod: Thing) -> Thing:
    """``pod`` without the volumes that admission added for its account's token: it adds new ones."""
    made = copy.deepcopy(pod)
    spec = made["spec"]
    for holder, key in [(spec, "volumes"), *((each, "volumeMounts") for each in all_containers(made))]:
        if holder.get(key):
            holder[key] = [each for each in holder[key] if not each["name"].startswith(TOKEN_VOLUME)]
    return made


def from_archives(archives: t.Sequence[Archive]) -> Thing:
    """As much of the pod as archives tell: containers with names and images.

    Raises CheckpointError ``manifest_unknown`` where an archive names no image.
    """
    containers = []
    for archive in archives:
        image = image_of(archive, archive.tells("image_name") or "", {})
        if not image or IMAGE_ID.fullmatch(image):
            raise CheckpointError(
                "manifest_unknown",
                f"The archive of the container {archive.container} does not name its image, and there is no old pod",
                hint="Give source_definition, the pod as it was, or definition",
            )
        containers.append({"name": archive.container, "image": image})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": containers}}


def base_images(pod: Thing, archives: t.Sequence[Archive], source: Thing | None) -> dict[str, str]:
    """Name of a container -> the image that its process ran in, where it can be pulled.

    ``pod``: before it was given the archives' images.
    """
    asked = {container["name"]: str(container.get("image") or "") for container in restorable(pod)}
    found = {each.container: image_of(each, asked.get(each.container, ""), source or {}) for each in archives}
    return {container: image for container, image in found.items() if image and not IMAGE_ID.fullmatch(image)}


def finished(pod: Thing, request: Request, hostname: str) -> Thing:
    """``pod`` with the patch, its new name, its place, and what makes it be restored.

    ``hostname``: the node's label, by which the pod is bound: the scheduler still looks at room and taints then, as it
    would not with ``nodeName``.
    """
    made: Thing = merged(pod, request.patch)
    old = made.get("metadata") or {}
    annotations = {**(old.get("annotations") or {}), ANNOTATION: request.annotation}
    metadata: Thing = {"name": request.pod, "namespace": request.namespace, "annotations": annotations}
    labels = old.get("labels") or {}
    if labels:
        metadata["labels"] = labels
    spec = made["spec"]
    spec.pop("nodeName", None)
    spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), HOSTNAME_LABEL: hostname}
    if old.get("name") != request.pod and spec.get("hostname") == old.get("name"):
        # A StatefulSet gives its pods their own names as host names.
        spec.pop("hostname", None)
    if request.method == "runtime" and request.runtime_class:
        spec["runtimeClassName"] = request.runtime_class
    elif spec.get("runtimeClassName") == request.runtime_class:
        spec.pop("runtimeClassName", None)
    done = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    _require_containers(done, request)
    if request.method == "image":
        images = {archive.container: archive.image for archive in request.archives}
        for container in restorable(done):
            container["image"] = images.get(container["name"]) or container.get("image")
    return done


def findings(pod: Thing, request: Request, source: Thing | None) -> list[Check]:
    """What the manifest itself tells about the restore; ``source``: the old pod, where it is known."""
    found = list(_of_source(request, source))
    by_name = {container["name"]: container for container in restorable(pod)}
    terminals = [each.container for each in request.archives if by_name[each.container].get("tty")]
    if terminals and request.method == "runtime":
        found.append(
            Check(
                "terminal",
                "failed",
                f"A container with a terminal cannot be restored: {', '.join(terminals)}",
                "Leave its archive out and let it start cold, or use another method",
            )
        )
    started = [each["name"] for each in pod["spec"].get("initContainers") or [] if each["name"] not in by_name]
    if started:
        found.append(
            Check(
                "init_containers",
                "warning",
                f"Init containers run again before the restore: {', '.join(started)}",
                "Take them out by patch where that would do harm",
            )
        )
    cold = sorted(set(by_name) - {archive.container for archive in request.archives})
    if cold:
        found.append(Check("others", "warning", f"Containers start cold, from their images: {', '.join(cold)}"))
    return found


def _of_source(request: Request, source: Thing | None) -> t.Iterator[Check]:
    if source is None:
        if request.definition is None:
            yield Check(
                "manifest",
                "warning",
                "The old pod is not known: command, environment, volumes, ports, limits and security context are those "
                "of a pod that names nothing but the image",
                "Give source_definition, the pod as it was, or what is missing by patch",
            )
        return
    metadata = source.get("metadata") or {}
    uid = request.source[2]
    if uid and metadata.get("uid") and metadata["uid"] != uid:
        yield Check(
            "manifest",
            "warning",
            f"The manifest comes from a pod with the UID {metadata['uid']}, the checkpoint is of {uid}",
            "Make sure that the pod was not changed in between",
        )
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller") and metadata.get("namespace") == request.namespace:
            yield Check(
                "owner",
                "warning",
                f"The original belongs to the {owner['kind']} {owner['name']}, the new pod to nobody; that controller "
                "may start another one beside it, or take it over by its labels",
                "Stop the controller first, or change the labels by patch",
            )


def _metadata(pod: Thing) -> Thing:
    metadata = pod.get("metadata") or {}
    labels = {
        name: value
        for name, value in (metadata.get("labels") or {}).items()
        if name not in CONTROLLER_LABELS
        and not name.startswith(CONTROLLER_LABEL_PREFIXES)
        and name != ISOLATED
        and (name, value) != (MANAGER_LABEL, MANAGER)
    }
    annotations = metadata.get("annotations") or {}
    kept = {name: value for name, value in annotations.items() if not name.startswith(OLD_ANNOTATIONS)}
    return {"name": metadata.get("name"), "labels": labels, "annotations": kept}


def _forget_node(spec: Thing) -> None:
    """Take out what bound the old pod to its node: the label, and the DaemonSet controller's affinity."""
    selector = {key: value for key, value in (spec.get("nodeSelector") or {}).items() if key != HOSTNAME_LABEL}
    spec["nodeSelector"] = selector
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [
        {key: value for key, value in term.items() if key != "matchFields"}
        for term in required.get("nodeSelectorTerms") or []
    ]
    if terms and all(terms):
        required["nodeSelectorTerms"] = terms
    elif terms:
        # A term that named a node and nothing else: every node would do now.
        del affinity["requiredDuringSchedulingIgnoredDuringExecution"]


def _require_containers(pod: Thing, request: Request) -> None:
    there = {container["name"] for container in restorable(pod)}
    wanted = {archive.container for archive in request.archives}
    if wanted - there:
        raise CheckpointError(
            "container_not_found",
            f"The pod has no container {', '.join(sorted(wanted - there))}; it has {', '.join(sorted(there))}",
            hint="Check the container of each archive, and where the manifest comes from",
        )
    if there - wanted and not request.cold:
        raise CheckpointError(
            "others_refused",
            f"There is no archive for {', '.join(sorted(there - wanted))}",
            hint="Give their archives as well, or let them start from their images with others: cold",
        )
