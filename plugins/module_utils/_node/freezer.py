# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroup freezer of a container, of cgroup v1 and v2.

Sources: Linux, Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst (freezer.state, freezer.self_freezing) and
cgroup-v2.rst (cgroup.freeze, "frozen" in cgroup.events); run with v1 on the laboratory.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from . import processes

MOUNTINFO = "/proc/self/mountinfo"
STATE = "freezer.state"
FREEZE = "cgroup.freeze"
INTERVAL = 0.1


class Freezer:
    """The freezer of one cgroup, and those of the cgroups above it up to the pod's."""

    def __init__(self, path: str, version: int, pod_uid: str = "") -> None:
        self.path = path
        self.version = version
        self._groups = _up_to_pod(path, pod_uid)

    def state(self) -> str:
        """ "thawed", "freezing" (not all of its tasks stand still yet) or "frozen"; "gone" with the cgroup."""
        if self.version == 1:
            text = processes.read(os.path.join(self.path, STATE)).strip().lower()
            return text if text in ("thawed", "freezing", "frozen") else "gone"
        if not os.path.exists(os.path.join(self.path, FREEZE)):
            return "gone"
        if re.search(r"^frozen 1$", processes.read(os.path.join(self.path, "cgroup.events")), re.MULTILINE):
            return "frozen"
        return "freezing" if self.held_by() else "thawed"

    def held_by(self) -> list[str]:
        """The cgroups that were told to freeze, the container's own first."""
        name = "freezer.self_freezing" if self.version == 1 else FREEZE
        return [group for group in self._groups if processes.read(os.path.join(group, name)).strip() == "1"]

    def freeze(self) -> None:
        """Tell the container's own cgroup to freeze. Raises OSError."""
        self._write(self.path, frozen=True)

    def thaw(self, seconds: float) -> bool:
        """Tell every cgroup that holds it to thaw, again and again until it has; whether it did within the time.

        One request does not always do on v1: a task that was just let go by a tracer can still be on its way into the
        freezer. Raises OSError.
        """
        end = time.monotonic() + seconds
        while True:
            for group in self.held_by():
                self._write(group, frozen=False)
            if self.state() in ("thawed", "gone"):
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(INTERVAL)

    def _write(self, group: str, *, frozen: bool) -> None:
        name, words = (STATE, ("THAWED", "FROZEN")) if self.version == 1 else (FREEZE, ("0", "1"))
        with open(os.path.join(group, name), "w", encoding="ascii") as file:
            file.write(words[frozen])


def _up_to_pod(path: str, pod_uid: str) -> list[str]:
    """A container's cgroup and those above it up to that of its pod; only its own where the pod's is not found.

    The cgroupfs driver names it podUID, the systemd driver kubepods-…-podUID.slice with underscores in the UID
    (kubernetes pkg/kubelet/cm/cgroup_manager_linux.go).
    """
    names = [f"pod{uid}" for uid in (pod_uid, pod_uid.replace("-", "_")) if uid]
    groups, group = [path], os.path.dirname(path)
    while len(groups) < 4 and len(group) > 1:
        groups.append(group)
        if any(name in os.path.basename(group) for name in names):
            return groups
        group = os.path.dirname(group)
    return [path]


def _mounts() -> t.Iterator[tuple[str, str, str, str]]:
    """(file system, root within it, mount point, options) of each mount of a cgroup file system."""
    for line in processes.read(MOUNTINFO, 1 << 20).splitlines():
        before, _dash, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) > 4 and len(kind) > 2 and kind[0] in ("cgroup", "cgroup2"):
            yield kind[0], fields[3], fields[4], kind[2]


def freezer_of(pid: int, pod_uid: str = "") -> t.Optional[Freezer]:
    """The freezer that process ``pid`` is in; None where it has none, or is in the root cgroup."""
    groups = {}
    for line in processes.read(f"{processes.PROC}/{pid}/cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        groups[controllers] = path
    own = [(1, path) for controllers, path in groups.items() if "freezer" in controllers.split(",")]
    own += [(2, groups[""])] if "" in groups else []
    for version, path in own:
        for kind, root, point, options in _mounts():
            if version == 1 and (kind != "cgroup" or "freezer" not in options.split(",")):
                continue
            if version == 2 and kind != "cgroup2":
                continue
            if root != "/" and path != root and not path.startswith(root + "/"):
                continue
            folder = os.path.join(point, (path if root == "/" else path[len(root) :]).lstrip("/"))
            if path != "/" and os.path.exists(os.path.join(folder, STATE if version == 1 else FREEZE)):
                return Freezer(folder, version, pod_uid)
    return None
