# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All facts of this node: what checkpoint_node_info returns.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import typing as t

from .. import _capabilities as table
from . import processes
from .criu import criu_facts
from .files import read_text
from .kubelet import kubelet_facts
from .machine import machine_facts
from .runtime import Daemon, runtime_facts, temporary_folder

IN_MEMORY = ("tmpfs", "ramfs")


def node_facts() -> dict[str, t.Any]:
    """Machine, CRIU, runtime, kubelet, disks and capabilities. What cannot be found out is None."""
    found = processes.processes()
    kubelet = kubelet_facts(found)
    runtime = runtime_facts(found, kubelet["runtime_endpoint"])
    daemon: t.Optional[Daemon] = runtime.pop("daemon")
    storage = runtime.pop("storage")
    facts = {
        "machine": machine_facts(),
        "criu": criu_facts(daemon.path if daemon else None),
        "runtime": runtime,
        "kubelet": kubelet,
        "disks": {
            "checkpoints": disk(kubelet["checkpoint_directory"]),
            "storage": disk(storage),
            "temporary": disk(*temporary_directory(daemon)),
        },
    }
    return {**facts, "capabilities": table.capabilities(facts)}


def temporary_directory(daemon: t.Optional[Daemon]) -> tuple[t.Optional[str], str]:
    """Where the runtime has CRIU write first, as the runtime names it, and its process in /proc (else "self").

    None for CRI-O, which has CRIU write into its storage.
    """
    if daemon is None or daemon.name != "containerd":
        return None, "self"
    return temporary_folder(daemon.environment), str(daemon.pid) if daemon.pid is not None else "self"


def disk(path: t.Optional[str], pid: str = "self") -> t.Optional[dict[str, t.Any]]:
    """Room and kind of the file system behind a directory, as a process sees it; bytes.

    A directory that does not exist yet is on the file system of its nearest parent. None without a path.
    """
    if not path:
        return None
    # Through the process's root: a service may have a /tmp of its own.
    root = os.path.join(processes.PROC, pid, "root")
    existing = path
    while existing != "/" and not os.path.exists(root + existing):
        existing = os.path.dirname(existing)
    try:
        info = os.statvfs(root + existing)
    except OSError:
        return {"path": path, "total": None, "free": None, "filesystem": None, "memory": None}
    kind = filesystem(existing, read_text(os.path.join(processes.PROC, pid, "mountinfo")) or "")
    return {
        "path": path,
        "total": info.f_blocks * info.f_frsize,
        "free": info.f_bavail * info.f_frsize,
        "filesystem": kind,
        "memory": kind in IN_MEMORY if kind is not None else None,
    }


def filesystem(path: str, mountinfo: str) -> t.Optional[str]:
    """The type of the file system at a path: of the last mount with the longest mount point above it."""
    best, kind = "", None
    for line in mountinfo.splitlines():
        fields, _dash, tail = line.partition(" - ")
        columns = fields.split()
        if len(columns) < 5 or not tail:
            continue
        point = columns[4].replace("\\040", " ")
        inside = point == "/" or path == point or path.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, kind = point, tail.split()[0]
    return kind
