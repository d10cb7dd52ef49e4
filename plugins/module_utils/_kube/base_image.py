# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that restored processes ran in, brought to the node by its kubelet before a restore by image.

CRI-O looks for such an image on the node only (CRI-O 1.36.3, server/container_restore.go). The kubelet pulls it, with
the pod's secrets, where it is not there, for a pod whose command is nowhere, so that nothing of the image runs.
containerd 2.1.9 asks the registry for it in any case, without secrets (seen on the laboratory: 401 Unauthorized). What
the node's status tells of its images is minutes old and not all, so it is not asked.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .api import Thing
from .own_pod import own_pod
from .restore_wait import BROKEN, statuses, trouble

NOTHING = "/checkpoint-restore-runs-nothing-of-this-image"
LONGEST_LIFE = 900
# Of the pod that is restored: with whose secrets the kubelet pulls, and where it may run.
ITS_OWN = ("imagePullSecrets", "nodeSelector", "serviceAccountName", "tolerations")

Images = t.Mapping[str, str]
"""Name of a container -> the image that its process ran in."""


def puller(pod: Thing, images: Images) -> Thing:
    """The pod for which the kubelet pulls ``images`` as it would for ``pod``."""
    containers = [
        {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": [NOTHING]}
        for name, image in sorted(images.items())
    ]
    same = {key: pod["spec"][key] for key in ITS_OWN if key in pod["spec"]}
    made = own_pod("checkpoint-base-image-", containers, LONGEST_LIFE, **same)
    made["metadata"]["namespace"] = pod["metadata"]["namespace"]
    return made


def pulled(made: Thing, images: Images, *, late: bool) -> bool:
    """Whether every container of the pod ``made`` got as far as to its command, which is not there.

    Raises CheckpointError ``image_pull_failed``, and what keeps the pod from that if it is ``late``.
    """
    there = statuses(made)
    states = [there.get(name, {}).get("state") or {} for name in images]
    if all("terminated" in state or (state.get("waiting") or {}).get("reason") in BROKEN for state in states):
        return True
    seen = trouble(made, images)
    if seen is not None and (late or seen.error.code == "image_pull_failed"):
        raise seen.error
    if late:
        raise CheckpointError(
            "restore_timeout",
            f"The node did not pull {', '.join(sorted(images.values()))} in time",
            hint="Give a longer timeout, or see what the registry does",
        )
    return False
