# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pod can be moved, and whether the target node can have it: looked at before anything is touched.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._kube import preflight_api
from .._kube.api import ApiSession, Thing
from .._kube.manifest import HOSTNAME_LABEL, all_containers, restorable
from .._kube.restore_request import ANNOTATION, Check, Request
from .._kube.sandbox import HARMLESS_VOLUMES
from . import room, topology, volumes
from .objects import JOB_FINALIZER, MOVE, notes

SHARED_WITH_NODE = ("hostIPC", "hostNetwork", "hostPID")
ABOUT_THE_END = ("finalizers", "pre_stop")
"""The checks that matter only where the pod ends."""

HINTS = {
    "claim": "A volume that only one node at a time can use does not follow in the time of a move",
    "placement": "Choose another node",
    "taints": "Choose another node, or add tolerations to what the pod is made from",
}


def of_pod(pod: Thing) -> t.Iterator[Check]:
    """What the pod itself tells."""
    spec, metadata = pod["spec"], pod["metadata"]
    shared = [name for name in SHARED_WITH_NODE if spec.get(name)]
    if shared:
        yield Check(
            "host_namespaces", "failed", f"The pod is a part of its node: {', '.join(shared)}", "Leave it there"
        )
    terminals = [each["name"] for each in restorable(pod) if each.get("tty")]
    if terminals:
        reason = f"A container with a terminal cannot be restored: {', '.join(terminals)}"
        yield Check("terminal", "failed", reason, "Take tty out of what the pod is made from")
    kept_by = sorted(set(metadata.get("finalizers") or []) - {JOB_FINALIZER})
    if kept_by:
        reason = f"Finalizers keep the pod's name after its deletion: {', '.join(kept_by)}"
        yield Check("finalizers", "failed", reason, "Find out who waits for what")
    if spec.get("ephemeralContainers"):
        names = ", ".join(each["name"] for each in spec["ephemeralContainers"])
        yield Check("ephemeral_containers", "warning", f"Ephemeral containers do not move along: {names}")
    started = [each["name"] for each in spec.get("initContainers") or [] if each.get("restartPolicy") != "Always"]
    if started:
        reason = f"Init containers run again before the restore: {', '.join(started)}"
        yield Check("init_containers", "warning", reason, "Make sure that they do no harm to data that is in use")
    hooks = [each["name"] for each in all_containers(pod) if (each.get("lifecycle") or {}).get("preStop")]
    if hooks:
        yield Check("pre_stop", "warning", f"preStop hooks are not run, as nothing stops: {', '.join(hooks)}")
    hooks = [each["name"] for each in all_containers(pod) if (each.get("lifecycle") or {}).get("postStart")]
    if hooks:
        yield Check("post_start", "warning", f"postStart hooks run again after the restore: {', '.join(hooks)}")
    yield from _volumes(pod)


def of_copy(pod: Thing) -> t.Iterator[Check]:
    """The same where the pod runs on beside its copy."""
    yield from (check for check in of_pod(pod) if check.name not in ABOUT_THE_END)
    shared = [
        str(volume["name"])
        for volume in pod["spec"].get("volumes") or []
        if not set(volume) - {"name"} <= HARMLESS_VOLUMES | {"hostPath"} and _is_written(pod, volume)
    ]
    if shared:
        reason = f"The copy would write to volumes that the pod takes for its own: {', '.join(shared)}"
        yield Check("shared_volume", "failed", reason, "Mount them read-only, or move the pod")


def _is_written(pod: Thing, volume: Thing) -> bool:
    """Whether a container may write to the volume."""
    if any(isinstance(each, dict) and each.get("readOnly") for each in volume.values()):
        return False
    used = [
        each
        for container in all_containers(pod)
        for each in (*(container.get("volumeMounts") or []), *(container.get("volumeDevices") or []))
    ]
    return any(each["name"] == volume["name"] and not each.get("readOnly") for each in used)


def _volumes(pod: Thing) -> t.Iterator[Check]:
    paths = []
    for volume in pod["spec"].get("volumes") or []:
        if "hostPath" in volume and _is_written(pod, volume):
            paths.append(str(volume["name"]))
        if "ephemeral" in volume:
            reason = f"The claim of the volume {volume['name']} is this pod's, and no other pod gets it"
            yield Check("ephemeral_volume", "failed", reason, "Use a claim of its own")
    parts = volumes.lost(pod)
    if parts:
        reason = f"Of these emptyDir volumes only parts are mounted, which cannot be brought along: {', '.join(parts)}"
        yield Check("empty_dir", "failed", reason, "Mount the volume itself in one of the containers as well")
    if paths:
        reason = f"Volumes are folders of the node, which do not follow: {', '.join(paths)}"
        yield Check("host_path", "failed", reason, "Use a volume that both nodes can reach")


def of_target(
    session: ApiSession, source: Thing, target: str, node: Thing | None, runtime_class: str, *, stays: bool
) -> t.Iterator[Check]:
    """What the target node tells. ``stays``: the source is still there when the replacement comes."""
    if node is None:
        yield Check("node", "failed", f"There is no node {target}", "See: kubectl get nodes")
        return
    own = source["spec"].get("runtimeClassName")
    if runtime_class and own not in (None, runtime_class):
        reason = f"The pod is of the RuntimeClass {own}, and has to be of {runtime_class} to be restored"
        yield Check("runtime_class", "failed", reason, "Pods of another RuntimeClass cannot be moved")
    restored_from = notes(source).get(ANNOTATION, "")
    images = [each["image"] for each in restorable(source) if each["image"] in restored_from]
    if runtime_class and images:
        reason = f"The pod's image is that of a checkpoint, which the container runtime restores itself: {images[0]}"
        yield Check("image", "failed", reason, "It can be moved by image, see the option fallback, or be made anew")
    host = str((node["metadata"].get("labels") or {}).get(HOSTNAME_LABEL) or target)
    pod = _unbound(source, host)
    for check in preflight_api.of_node(session, _request(source, target, runtime_class), pod, node):
        failed = check.result == "failed"
        if check.name == "empty_volume":
            # It is brought along, see volumes.py.
            continue
        yield dataclasses.replace(check, hint=HINTS.get(check.name, check.hint)) if failed else check
    yield from _architecture(session, source, node)
    yield from room.checks(session, source, node)
    yield from topology.checks(session, source, node, stays=stays)


def _unbound(source: Thing, hostname: str) -> Thing:
    """The pod without what an earlier move bound it by, but its volumes as they are; those of the node apart."""
    spec = dict(source["spec"])
    selector = {key: value for key, value in (spec.get("nodeSelector") or {}).items() if key != HOSTNAME_LABEL}
    own = (spec.get("nodeSelector") or {}).get(HOSTNAME_LABEL)
    marks = notes(source)
    moved_before = MOVE in marks or ANNOTATION in marks
    # Who wrote the host name into the pod himself wants it there.
    spec["nodeSelector"] = selector if own in (None, hostname) or moved_before else {**selector, HOSTNAME_LABEL: own}
    return {**source, "spec": spec}


def _request(source: Thing, target: str, runtime_class: str) -> Request:
    metadata = source["metadata"]
    return Request(
        namespace=metadata["namespace"],
        pod=metadata["name"],
        node=target,
        archives=(),
        source=(None, None, None),
        method="runtime",
        runtime_class=runtime_class,
        isolated=False,
        cold=True,
        preflight=True,
        wait=True,
        seconds=0.0,
        definition=None,
        source_definition=None,
        patch={},
    )


def _architecture(session: ApiSession, source: Thing, node: Thing) -> t.Iterator[Check]:
    old = session.node(source["spec"]["nodeName"])
    here, there = (
        str(((each or {}).get("status") or {}).get("nodeInfo", {}).get("architecture") or "") for each in (old, node)
    )
    if here and here != there:
        reason = f"The processes run on {here}, the node is {there or 'of an unknown architecture'}"
        yield Check("architecture", "failed", reason, "Choose a node of the same architecture")
