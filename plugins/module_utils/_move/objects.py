# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and paths of what takes part in a move.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import secrets
import typing as t
import urllib.parse

from .._kube.access_objects import MANAGER, MANAGER_LABEL

MOVE = "checkpoint-restore.io/move"
"""On the replacement an annotation, on what a move makes in the cluster a label: the move's number."""

COPY = "checkpoint-restore.io/copy"
"""Label of a pod that is the copy of another one."""

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
CHEAPEST = str(-(2**31))
"""The lowest deletion cost there is (kubernetes 1.36, pkg/apis/core/helper: GetDeletionCostFromPodAnnotations)."""

JOB_INDEX = "batch.kubernetes.io/job-completion-index"
JOB_FINALIZER = "batch.kubernetes.io/job-tracking"
PREFIX = "checkpoint-restore-move"

# The signs and the length of the ending that the API server gives (apimachinery 0.36, pkg/util/rand; apiserver 0.36,
# pkg/storage/names: a name of at most 63).
SIGNS = "bcdfghjklmnpqrstvwxz2456789"
ENDING = 5
LONGEST_BASE = 63 - ENDING

COLLECTIONS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Job": ("/apis/batch/v1", "jobs"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
}


def collection(kind: str, namespace: str) -> str:
    """The path of the objects of a kind in a namespace."""
    group, plural = COLLECTIONS[kind]
    return f"{group}/namespaces/{part(namespace)}/{plural}"


def path(kind: str, namespace: str, name: str) -> str:
    """The path of one object."""
    return f"{collection(kind, namespace)}/{part(name)}"


def part(name: str) -> str:
    """A name as a part of a path."""
    return urllib.parse.quote(name, safe="")


def generated(prefix: str) -> str:
    """A name as the API server makes one for ``metadata.generateName``."""
    return prefix[:LONGEST_BASE] + "".join(secrets.choice(SIGNS) for _sign in range(ENDING))


def new_number() -> str:
    """The number of a move: twelve digits, so many that no two moves get the same."""
    return f"{secrets.randbelow(10**12):012d}"


def labels(number: str) -> dict[str, str]:
    """The labels of what a move makes for its own use."""
    return {MANAGER_LABEL: MANAGER, MOVE: number}


def notes(thing: t.Mapping[str, t.Any]) -> dict[str, str]:
    """An object's annotations, empty where it has none."""
    return dict((thing.get("metadata") or {}).get("annotations") or {})
