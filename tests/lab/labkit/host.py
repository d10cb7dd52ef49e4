# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine gives, and what the laboratory borrows from it and has to give back."""

from __future__ import annotations

import os
import pathlib
import typing as t

CGROUP = pathlib.Path("/sys/fs/cgroup")
CAP_SYS_RESOURCE = 24

# Every systemd, kubelet and runtime takes some, and all nodes are one user to the kernel: its 128 last for five nodes.
INOTIFY = "fs/inotify/max_user_instances"
INOTIFY_INSTANCES = 1024
# Written by kubelet, systemd and the laboratory although they belong to the whole machine: saved before the first
# start, put back after the last stop.
SYSCTLS = (
    "fs/file-max",
    INOTIFY,
    "fs/nr_open",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


def is_root() -> bool:
    return os.geteuid() == 0


def has_capability(number: int) -> bool:
    """Whether this process holds the capability, by its number in linux/capability.h."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def cgroup_mode() -> str:
    """``v2``, or ``v1`` for the hybrid layout with one hierarchy per controller."""
    return "v2" if (CGROUP / "cgroup.controllers").exists() else "v1"


def cgroup_roots() -> list[pathlib.Path]:
    """The root directory of every hierarchy this machine has mounted."""
    if cgroup_mode() == "v2":
        return [CGROUP]
    return sorted(path for path in CGROUP.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink())


def limits() -> list[str]:
    """What the laboratory can't do on this machine, one plain sentence each."""
    found = []
    if not has_capability(CAP_SYS_RESOURCE):
        found.append(
            "This machine withholds CAP_SYS_RESOURCE: containers never hold it, negative oom_score_adj becomes 0, "
            "and CRIU reads other users' resource limits through a preload library."
        )
    if cgroup_mode() == "v1":
        found.append("This machine has cgroup v1 (hybrid): what only cgroup v2 does is not exercised here.")
    else:
        found.append("This machine has cgroup v2: the v1 freezer is not exercised here.")
    return found


def save_sysctls(path: pathlib.Path) -> None:
    if not path.exists():
        lines = [f"{name} {value}" for name in SYSCTLS if (value := _read(name)) is not None]
        path.write_text("\n".join(lines) + "\n")
    if int(_read(INOTIFY) or INOTIFY_INSTANCES) < INOTIFY_INSTANCES:
        pathlib.Path("/proc/sys", INOTIFY).write_text(str(INOTIFY_INSTANCES))


def restore_sysctls(path: pathlib.Path) -> None:
    if path.exists():
        for line in path.read_text().splitlines():
            name, value = line.split(maxsplit=1)
            if _read(name) != value:
                pathlib.Path("/proc/sys", name).write_text(value)


def _read(name: str) -> t.Optional[str]:
    try:
        return pathlib.Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None


def process_state(pid: int) -> t.Optional[str]:
    """The state letter of /proc/PID/stat; None where there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None


def is_alive(pid: int) -> bool:
    """A zombie of the machine's PID 1 is not alive."""
    return process_state(pid) not in (None, "Z", "X")
