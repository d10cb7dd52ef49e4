# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a node, from /proc.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import os
import signal
import typing as t

PROC = "/proc"
LARGEST = 1 << 16
"""Bytes that are read of a file of /proc at most."""


class Process(t.NamedTuple):
    """A process as it was when it was looked at.

    ``name``: the kernel's name for it, which setproctitle does not change. ``command``: its arguments; empty for a
    kernel thread. ``started``: clock ticks since boot (field 22 of /proc/PID/stat, proc_pid_stat(5)), which tells it
    from another process that got the same ID later. ``folder``: where /proc shows it.
    """

    pid: int
    parent: int
    name: str
    command: tuple[str, ...]
    started: int
    folder: str

    @property
    def program(self) -> str:
        """The name of the program without its folder."""
        return os.path.basename(self.command[0]) if self.command else self.name

    @property
    def age(self) -> float:
        """Seconds since it began."""
        uptime = float(read(os.path.join(os.path.dirname(self.folder), "uptime")).split()[0])
        return max(0.0, uptime - self.started / os.sysconf("SC_CLK_TCK"))

    def environment(self) -> dict[str, str]:
        """The environment that it was started with; empty where that cannot be read."""
        pairs = (entry.partition("=") for entry in read(os.path.join(self.folder, "environ"), 1 << 20).split("\0"))
        return {name: value for name, equals, value in pairs if equals}

    def executable(self) -> t.Optional[str]:
        """The path of its program, which may lie elsewhere or be another one by now; None where that is not known."""
        try:
            return os.readlink(os.path.join(self.folder, "exe")).replace(" (deleted)", "")
        except OSError:
            return None


def read(path: str, most: int = LARGEST) -> str:
    """The beginning of a file as text; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def _stat(folder: str) -> t.Optional[list[str]]:
    """The fields of /proc/PID/stat from the second on: the name, then state, parent and so on. None if it is gone."""
    text = read(os.path.join(folder, "stat"))
    # The name stands in brackets and may hold any character, brackets and blanks among them.
    beginning, _bracket, rest = text.rpartition(")")
    return [beginning.partition("(")[2], *rest.split()] if rest else None


def look_up(pid: int, proc: str = PROC) -> t.Optional[Process]:
    """The process with this ID, None if there is none. ``proc``: where /proc is."""
    folder = os.path.join(proc, str(pid))
    stat = _stat(folder)
    if stat is None:
        return None
    command = read(os.path.join(folder, "cmdline")).rstrip("\0").split("\0")
    return Process(pid, int(stat[2]), stat[0], tuple(command) if command != [""] else (), int(stat[20]), folder)


def processes(proc: str = PROC) -> list[Process]:
    """All processes that this one can see, by ID."""
    pids = sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    return [found for found in (look_up(pid, proc) for pid in pids) if found is not None]


def running(names: t.Iterable[str], found: t.Iterable[Process]) -> list[Process]:
    """Processes of programs with these names that belong to the node: a cluster in a pod has a kubelet of its own."""
    wanted = set(names)
    return [
        process
        for process in found
        if process.program in wanted
        and _pid_namespace(process.folder) == _pid_namespace(os.path.join(os.path.dirname(process.folder), "self"))
    ]


def _pid_namespace(folder: str) -> t.Optional[str]:
    try:
        return os.readlink(os.path.join(folder, "ns", "pid"))
    except OSError:
        return None


def option(command: t.Sequence[str], *names: str) -> t.Optional[str]:
    """The value of the last of these options on a command line, written ``--name=value`` or ``--name value``.

    "true" for one without a value, None without any.
    """
    found = None
    for place, argument in enumerate(command):
        name, equals, value = argument.partition("=")
        if name in names:
            following = command[place + 1] if place + 1 < len(command) else ""
            found = value if equals else "true" if following.startswith("-") or not following else following
    return found


def alive(process: Process) -> bool:
    """Whether it is still the same process, and not a zombie."""
    stat = _stat(process.folder)
    return stat is not None and int(stat[20]) == process.started and stat[1] not in "ZX"


def work_done(process: Process) -> tuple[str, ...]:
    """Something that changes when the process does anything: its time on a processor, and what it read and wrote."""
    stat = _stat(process.folder) or []
    return (*stat[12:14], read(os.path.join(process.folder, "io")))


def open_files(pid: int) -> list[str]:
    """What a process has open, its working directory too: paths, and names such as ``socket:[5]``."""
    folder = os.path.join(PROC, str(pid))
    found = []
    try:
        links = [os.path.join(folder, "fd", name) for name in os.listdir(os.path.join(folder, "fd"))]
    except OSError:
        links = []
    for link in [os.path.join(folder, "cwd"), *links]:
        with contextlib.suppress(OSError):
            found.append(os.readlink(link))
    return found


def open_elsewhere(paths: t.Iterable[str]) -> set[str]:
    """Those of the files that some process has open, whatever it calls them."""
    wanted: dict[tuple[int, int], list[str]] = {}
    for path in paths:
        try:
            info = os.stat(path)
        except OSError:
            continue
        wanted.setdefault((info.st_dev, info.st_ino), []).append(path)
    found: set[str] = set()
    if not wanted:
        return found
    for pid in (name for name in os.listdir(PROC) if name.isdigit() and int(name) != os.getpid()):
        try:
            numbers = os.listdir(os.path.join(PROC, pid, "fd"))
        except OSError:
            continue
        for number in numbers:
            try:
                info = os.stat(os.path.join(PROC, pid, "fd", number))
            except OSError:
                continue
            found.update(wanted.get((info.st_dev, info.st_ino), []))
    return found


def kill(process: Process) -> bool:
    """SIGKILL, to this process and never to another one that has its ID by now. False if it was gone already."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        # Before Linux 5.3 there is only the ID itself.
        descriptor = None
    try:
        if not alive(process):
            return False
        if descriptor is None:
            os.kill(process.pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True
