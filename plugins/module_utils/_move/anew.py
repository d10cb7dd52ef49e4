# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a second run finds of a replacement: whether it runs, waits for its tickets, or failed and is to be made anew.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from .._kube.api import ApiSession, Thing
from .._kube.restore_wait import MARK, statuses, trouble
from .objects import MOVE, notes
from .plan import Plan

ELSEWHERE = ("image_pull_failed", "unschedulable")
"""What another pod would meet as well, and what has nothing to do with its images."""

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""By this taint people tell Kubernetes that nothing runs on a node any more (kubernetes 1.28, non-graceful node
shutdown)."""


def replacement(session: ApiSession, plan: Plan) -> Thing | None:
    """The pod that this move had made, if there is one."""
    pod = session.pod(plan.namespace, plan.replacement)
    if pod is None or pod["metadata"]["uid"] == plan.uid or notes(pod).get(MOVE) != plan.number:
        return None
    return pod


def runs(pod: Thing, names: t.Iterable[str]) -> bool:
    """Whether these containers run, at whatever try, and the pod is Ready."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    there = statuses(pod)
    return ready and all("running" in (there.get(name, {}).get("state") or {}) for name in names)


def failed(session: ApiSession, pod: Thing, names: t.Iterable[str]) -> bool:
    """Whether a restore of its containers has failed: its status or its events say so."""
    found = trouble(pod, names)
    if found is not None:
        return found.error.code not in ELSEWHERE
    metadata = pod["metadata"]
    place = f"/api/v1/namespaces/{urllib.parse.quote(metadata['namespace'], safe='')}/events"
    events = session.things(place, fields=[f"involvedObject.uid={metadata['uid']}", "type=Warning"])
    return any(MARK in str(event.get("message") or "") for event in events)


def node_is_out(session: ApiSession, name: str) -> bool:
    """Whether nothing can run on the node any more, as people say it to Kubernetes: by a taint, or by deleting it."""
    node = session.node(name)
    taints = ((node or {}).get("spec") or {}).get("taints") or []
    return node is None or any(each.get("key") == OUT_OF_SERVICE for each in taints)
