# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory's cgroups: one directory for each node, control plane and supervisor, in every hierarchy.

They are what tells which processes are the laboratory's: a pid file can name a stranger, a cgroup can't.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

from . import host
from .errors import LabError

PARENT = "checkpoint-restore-lab"

# Starts a command that is a member from its first moment: what it forks is a member too.
_JOIN = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 1; shift; done; shift; exec "$@"'


class Cgroup:
    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def directories(self) -> list[pathlib.Path]:
        return [root / PARENT / self.name for root in host.cgroup_roots()]

    def create(self) -> None:
        for root in host.cgroup_roots():
            parent = root / PARENT
            parent.mkdir(exist_ok=True)
            if (root / "cpuset.cpus").exists() and host.cgroup_mode() == "v1":
                # An empty cpuset takes no process; children copy their parent's.
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (parent / name).write_text((root / name).read_text())
                (parent / "cgroup.clone_children").write_text("1")
            if host.cgroup_mode() == "v2":
                _delegate(root)
                _delegate(parent)
            (parent / self.name).mkdir(exist_ok=True)

    def wrap(self, command: list[str]) -> list[str]:
        """The command, made to run as a member."""
        files = [str(path / "cgroup.procs") for path in self.directories]
        return ["sh", "-c", _JOIN, "join", *files, "--", *command]

    def exists(self) -> bool:
        return any(path.exists() for path in self.directories)

    def pids(self) -> set[int]:
        """The living members, those of nested cgroups included."""
        found: set[int] = set()
        for directory in self.directories:
            for path, _directories, _files in os.walk(directory):
                with contextlib.suppress(OSError):
                    found.update(int(line) for line in pathlib.Path(path, "cgroup.procs").read_text().split())
        return {pid for pid in found if host.is_alive(pid)}

    def kill(self, timeout: float = 20.0) -> None:
        """SIGKILL to all members, frozen ones included, until none is left; then the directories go too."""
        end = time.monotonic() + timeout
        while self.exists():
            for directory in self.directories:
                _thaw(directory)
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for directory in self.directories:
                for path, _directories, _files in os.walk(directory, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(path)
            if time.monotonic() > end:
                raise LabError(f"Processes of {self.name} do not end: {sorted(self.pids())}.")
            if self.exists():
                time.sleep(0.02)


def remove_parent() -> None:
    for root in host.cgroup_roots():
        with contextlib.suppress(FileNotFoundError):
            (root / PARENT).rmdir()


def _delegate(directory: pathlib.Path) -> None:
    """Let children of this v2 cgroup have its controllers."""
    for controller in (directory / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def _thaw(directory: pathlib.Path) -> None:
    for path, _directories, files in os.walk(directory):
        for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if name in files:
                with contextlib.suppress(OSError):
                    pathlib.Path(path, name).write_text(value)
