# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes of a pod whose contents have to go along with its processes: emptyDir, which ends with the pod.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import posixpath

from .._kube.api import Thing
from .._kube.manifest import restorable


def carried(pod: Thing) -> dict[str, list[str]]:
    """By container, the paths in it of the emptyDir volumes that it brings along: each volume once.

    A volume is filled before the first container that has it is made, and not again after that one runs: sidecars come
    before the others (kubernetes 1.36, pkg/kubelet/kuberuntime/kuberuntime_manager.go, computePodActions).
    """
    names = {volume["name"] for volume in pod["spec"].get("volumes") or [] if "emptyDir" in volume}
    sidecars = {each["name"] for each in pod["spec"].get("initContainers") or []}
    found: dict[str, list[str]] = {}
    for container in sorted(restorable(pod), key=lambda each: each["name"] not in sidecars):
        for mount in container.get("volumeMounts") or []:
            if mount["name"] in names and not (mount.get("subPath") or mount.get("subPathExpr")):
                names.remove(mount["name"])
                found.setdefault(container["name"], []).append(posixpath.normpath(mount["mountPath"]))
    return found


def lost(pod: Thing) -> list[str]:
    """The names of the emptyDir volumes of which only parts are mounted, which nobody can bring along."""
    names = {volume["name"] for volume in pod["spec"].get("volumes") or [] if "emptyDir" in volume}
    mounts = [mount for each in restorable(pod) for mount in each.get("volumeMounts") or [] if mount["name"] in names]
    parts = {mount["name"] for mount in mounts if mount.get("subPath") or mount.get("subPathExpr")}
    return sorted(parts - {mount["name"] for mount in mounts if not (mount.get("subPath") or mount.get("subPathExpr"))})
