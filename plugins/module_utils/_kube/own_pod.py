# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that this collection makes for itself, for a moment.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .access_objects import MANAGER, MANAGER_LABEL
from .api import Thing


def own_pod(prefix: str, containers: t.Sequence[Thing], seconds: int, **spec: t.Any) -> Thing:
    """A pod with no rights at all, within the pod security standard *restricted*, that ends after so many seconds.

    ``prefix``: of its name; ``containers``: what is not the same for all; ``spec``: what else it has.
    """
    same = {
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"limits": {"cpu": "100m", "memory": "32Mi"}, "requests": {"cpu": "1m", "memory": "1Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": prefix, "labels": {MANAGER_LABEL: MANAGER}},
        "spec": {
            "containers": [{**each, **same} for each in containers],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65535,
                "runAsGroup": 65535,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **spec,
        },
    }
