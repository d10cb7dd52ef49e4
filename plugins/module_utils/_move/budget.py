# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the source's pod: at once, exactly this pod, and only as its PodDisruptionBudget allows.

Source: kubernetes 1.36, pkg/registry/core/pod/storage/eviction.go. The options have to be in the body: a body hides
those of the query.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing, pod_path
from .._kube.failures import KubeError


def evict(session: ApiSession, pod: Thing, *, dry_run: bool = False, grace: int = 0) -> bool:
    """Evict this pod; false when it is gone, or another one has its name. Raises CheckpointError ``budget_refuses``.

    With no grace its name is free at once, and its processes are not gone. With some, they are when the name is free.
    """
    metadata = pod["metadata"]
    options: Thing = {"gracePeriodSeconds": grace, "preconditions": {"uid": metadata["uid"]}}
    if dry_run:
        options["dryRun"] = ["All"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "deleteOptions": options,
    }
    try:
        session.create(f"{pod_path(metadata['namespace'], metadata['name'])}/eviction", body)
    except KubeError as error:
        status = error.details.get("http_status")
        if status == 429 and "disruption budget" in error.message:
            raise CheckpointError(
                "budget_refuses",
                f"The PodDisruptionBudget of {metadata['namespace']}/{metadata['name']} allows no disruption now",
                hint="Wait until the other pods are Ready, or change the budget; a Deployment may be moved with order: "
                "replacement_first",
                message=error.message,
            ) from None
        if status in (404, 409):
            return False
        raise
    return True


def delete(session: ApiSession, pod: Thing, *, grace: int = 0) -> bool:
    """Delete this pod, whatever its budget says; false when it is gone, or another has its name."""
    metadata = pod["metadata"]
    options: Thing = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace}
    try:
        path = pod_path(metadata["namespace"], metadata["name"])
        return session.delete(path, {**options, "preconditions": {"uid": metadata["uid"]}})
    except KubeError as error:
        if error.details.get("http_status") == 409:
            return False
        raise
