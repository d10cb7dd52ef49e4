# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server can tell about a restore before anything is made: the node, the pod and its original.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from .._oci.description import ARCHITECTURES
from . import node_selection, nodes
from .api import ApiSession, Thing
from .preflight_objects import References, look
from .preflight_volumes import Volumes
from .restore_request import Check, Request
from .runtime_class import CLASSES

ENDED = ("Succeeded", "Failed")


def check(session: ApiSession, request: Request, pod: Thing, node: Thing | None) -> list[Check]:
    """All checks for a restore into the manifest ``pod``; ``node``: where to, ``None`` if there is none."""
    found = [*_name_is_free(session, request), *_original(session, request)]
    if node is None:
        return [*found, Check("node", "failed", f"There is no node {request.node}", "See: kubectl get nodes")]
    return [*found, *of_node(session, request, pod, node)]


def of_node(session: ApiSession, request: Request, pod: Thing, node: Thing) -> list[Check]:
    """The checks of the node that the pod is to run on, and of what the pod needs there."""
    return [
        _ready(node),
        _schedulable(node),
        _taints(node, pod),
        _placement(node, pod),
        *_architecture(node, request),
        *_runtime_class(session, request, node),
        *Volumes(session, request, pod, node).checks(),
        *References(session, request, pod).checks(),
    ]


def _name_is_free(session: ApiSession, request: Request) -> t.Iterator[Check]:
    if session.pod(request.namespace, request.pod) is not None:
        yield Check(
            "pod_exists",
            "failed",
            f"There is a pod {request.namespace}/{request.pod} already",
            "Delete it first, or give another pod",
        )


def _original(session: ApiSession, request: Request) -> t.Iterator[Check]:
    namespace, name, uid = request.source
    if not namespace or not name or (namespace, name) == (request.namespace, request.pod):
        return
    place = f"namespaces/{urllib.parse.quote(namespace, safe='')}/pods/{urllib.parse.quote(name, safe='')}"
    found, unseen = look(session, f"/api/v1/{place}")
    if unseen:
        yield Check("original_runs", "warning", f"Whether the original still runs may not be seen: {unseen}")
    if found is None or found.get("status", {}).get("phase") in ENDED:
        return
    if uid is None or found["metadata"].get("uid") == uid:
        yield Check(
            "original_runs",
            "warning",
            f"The original, {namespace}/{name}, still runs: there will be two of the process",
            "Delete the original unless both are wanted",
        )


def _ready(node: Thing) -> Check:
    if nodes.is_ready(node):
        return Check("node", "passed", f"The node {node['metadata']['name']} is Ready")
    hint = "Look at the kubelet's log on the node, and at: kubectl describe node"
    return Check("node", "failed", f"The node {node['metadata']['name']} is not Ready", hint)


def _schedulable(node: Thing) -> Check:
    name = node["metadata"]["name"]
    if not node.get("spec", {}).get("unschedulable"):
        return Check("cordon", "passed", f"The node {name} takes pods")
    return Check("cordon", "failed", f"The node {name} is cordoned", f"Let it take pods: kubectl uncordon {name}")


def _taints(node: Thing, pod: Thing) -> Check:
    kept_away = node_selection.untolerated(node, pod["spec"].get("tolerations") or [])
    if not kept_away:
        return Check("taints", "passed", "The node has no taint that keeps the pod away")
    return Check(
        "taints",
        "failed",
        f"The pod does not tolerate taints of the node: {', '.join(kept_away)}",
        "Add tolerations by patch, or choose another node",
    )


def _placement(node: Thing, pod: Thing) -> Check:
    spec = pod["spec"]
    lacking = node_selection.lacks(node, spec.get("nodeSelector") or {})
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    if terms is not None and not node_selection.fits_terms(node, terms):
        lacking.append("what the pod's node affinity asks for")
    if not lacking:
        return Check("placement", "passed", "The node is one that the pod may run on")
    return Check(
        "placement",
        "failed",
        f"The pod asks for another node: this one lacks {', '.join(lacking)}",
        "Change nodeSelector or affinity by patch, or choose another node",
    )


def _architecture(node: Thing, request: Request) -> t.Iterator[Check]:
    there = str(node.get("status", {}).get("nodeInfo", {}).get("architecture") or "")
    for dumped in sorted({archive.tells("architecture") for archive in request.archives} - {None}, key=str):
        known = ARCHITECTURES.get(str(dumped), str(dumped))
        if known == there:
            yield Check("architecture", "passed", f"Dump and node are {there}")
        else:
            reason = f"The process was dumped on {known}, the node is {there or 'of an unknown architecture'}"
            yield Check("architecture", "failed", reason, "Choose a node of the same architecture")


def _runtime_class(session: ApiSession, request: Request, node: Thing) -> t.Iterator[Check]:
    name = request.runtime_class
    if request.method != "runtime" or not name:
        return
    found, unseen = look(session, f"{CLASSES}/{urllib.parse.quote(name, safe='')}")
    if unseen:
        yield Check("runtime_class", "warning", f"Whether there is a RuntimeClass {name} may not be seen: {unseen}")
        return
    install = "Install the restore runtime with the role checkpoint_restore.kubernetes.restore_runtime"
    if found is None:
        yield Check("runtime_class", "failed", f"There is no RuntimeClass {name}", install)
        return
    lacking = node_selection.lacks(node, (found.get("scheduling") or {}).get("nodeSelector") or {})
    if lacking:
        reason = f"The RuntimeClass {name} is for nodes with {', '.join(lacking)}, which {request.node} has not"
        yield Check("runtime_class", "failed", reason, f"{install} on it, and label it; or choose another node")
    else:
        yield Check("runtime_class", "passed", f"The RuntimeClass {name} is for this node")
