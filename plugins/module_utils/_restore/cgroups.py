# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of a container that may be half made: ending what is in them, and removing them.

Sources: OCI runtime-spec 1.2, config-linux.md (cgroupsPath); runc libcontainer/cgroups/systemd/common.go
(ExpandSlice); Linux Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t

MOUNTS = "/proc/self/mountinfo"
PATIENCE = 10.0
PAUSE = 0.02


def relative_path(cgroups_path: str) -> t.Optional[str]:
    """The path below each hierarchy, of the cgroupfs driver ("/kubepods/podU/ID") or of systemd's
    ("kubepods-podU.slice:cri-containerd:ID"); None where it cannot be told."""
    parts = cgroups_path.split(":")
    if len(parts) == 3 and parts[0].endswith(".slice"):
        names = parts[0][: -len(".slice")].split("-")
        slices = ["-".join(names[: count + 1]) + ".slice" for count in range(len(names))]
        return "/".join([*slices, f"{parts[1]}-{parts[2]}.scope" if parts[1] else parts[2]])
    path = cgroups_path.strip("/")
    # A container's own group lies below others; anything shallower is not ours to empty.
    return path if path.count("/") >= 1 and ".." not in path.split("/") and len(parts) == 1 else None


def folders(cgroups_path: str) -> list[str]:
    """The folders of the group that exist, one in each hierarchy."""
    path = relative_path(cgroups_path)
    found: list[str] = []
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _dash, after = line.partition(" - ")
            if path and after.split(" ", 1)[0] in ("cgroup", "cgroup2"):
                folder = os.path.join(before.split()[4], path)
                if os.path.isdir(folder):
                    found.append(folder)
    return found


def _below(folder: str) -> t.Iterator[str]:
    """A group and those in it, the innermost first."""
    for found, _folders, _files in os.walk(folder, topdown=False):
        yield found


def _tasks(groups: t.Iterable[str]) -> set[int]:
    found: set[int] = set()
    for folder in groups:
        with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
            found.update(int(line) for line in file if line.strip() != "0")
    return found


def _write(folder: str, name: str, text: str) -> None:
    with contextlib.suppress(OSError), open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write(text)


def kill(cgroups_path: str) -> bool:
    """End everything in the container's group, frozen or not; whether nothing is left in it."""
    groups = [group for folder in folders(cgroups_path) for group in _below(folder)]
    until = time.monotonic() + PATIENCE
    while True:
        left = _tasks(groups)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for folder in groups:
            # What is frozen dies when it thaws.
            _write(folder, "freezer.state", "THAWED")
            _write(folder, "cgroup.freeze", "0")
        if not left or time.monotonic() > until:
            return not left
        time.sleep(PAUSE)


def end(cgroups_path: str) -> None:
    """End everything in the container's group, and remove the group."""
    if kill(cgroups_path):
        for folder in folders(cgroups_path):
            for group in _below(folder):
                with contextlib.suppress(OSError):
                    os.rmdir(group)
