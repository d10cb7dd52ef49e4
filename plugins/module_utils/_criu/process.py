# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes: who they are, what they run, and their place in the tree.

Sources: criu images/pstree.proto, core.proto, mm.proto, fs.proto; criu/cr-dump.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from . import tasks
from .files import Descriptor, Files
from .images import Images
from .memory import AddressSpace, Area, SharedMemory, area
from .names import MACHINES, TASK_STATES, named, signal_name
from .pages import Pages
from .wire import Fields, number, text

MAX_TEXT = 4 << 20
"""Command lines and environments are read up to here; Linux allows 2 MiB for both unless the stack is larger."""

MAX_PROCESSES = 100_000
MAX_THREADS = 1 << 16

NAMESPACES: dict[str, str] = {
    "pid": "pid_ns_id",
    "net": "net_ns_id",
    "ipc": "ipc_ns_id",
    "uts": "uts_ns_id",
    "mount": "mnt_ns_id",
    "user": "user_ns_id",
    "cgroup": "cgroup_ns_id",
    "time": "time_ns_id",
}


@dataclasses.dataclass(frozen=True)
class Shared:
    """What all processes of a checkpoint have in common."""

    images: Images
    files: Files
    memory: SharedMemory
    filters: tasks.SeccompFilters


class Process:
    """One process. What is expensive (areas, command line, environment, descriptors) is read when it is asked for."""

    def __init__(self, entry: Fields, shared: Shared) -> None:
        self._shared = shared
        self.pid = number(entry, "pid")
        self.ppid = number(entry, "ppid")
        self.group = number(entry, "pgid")
        self.session = number(entry, "sid")
        self.tids: list[int] = [*dict.fromkeys([self.pid, *entry.get("threads", [])[:MAX_THREADS]])]
        self.children: list[Process] = []
        self.core = shared.images.one("core", self.pid, expected=True)
        task = self.core.get("tc", {})
        self._task: Fields = task if isinstance(task, dict) else {}
        self.name = text(self._task, "comm")
        self.state = named(number(self._task, "task_state"), TASK_STATES) if self._task else "unknown"
        self.exit_status = number(self._task, "exit_code")
        self.stop_signal = number(self._task, "stop_signo")

    @property
    def alive(self) -> bool:
        """Whether there is more than an entry: CRIU writes neither memory nor files for the dead."""
        return self.state != "zombie"

    @property
    def exit_code(self) -> t.Optional[int]:
        """What a zombie ended with; None while it lives or where a signal ended it (wait(2))."""
        return None if self.alive or self.exit_status & 0x7F else self.exit_status >> 8 & 0xFF

    @property
    def exit_signal(self) -> t.Optional[str]:
        return None if self.alive or not self.exit_status & 0x7F else signal_name(self.exit_status & 0x7F)

    @property
    def machine(self) -> str:
        return named(number(self.core, "mtype"), MACHINES)

    @property
    def bits(self) -> int:
        """32 for a 32-bit task on a 64-bit kernel (x86 compat) or a 32-bit machine."""
        registers = self.core.get("thread_info", {}).get("gpregs", {})
        return 32 if self.machine == "arm" or number(registers, "mode") == 2 else 64

    @functools.cached_property
    def ids(self) -> Fields:
        """Which objects the process shares with others: task_kobj_ids_entry."""
        found = self.core.get("ids")
        if isinstance(found, dict) and found:
            return found
        return self._shared.images.one("ids", self.pid, expected=self.alive)

    @property
    def namespaces(self) -> dict[str, t.Optional[int]]:
        return {name: self.ids.get(key) for name, key in NAMESPACES.items()}

    @functools.cached_property
    def threads(self) -> list[tasks.Thread]:
        """All threads, the leader first. Of a zombie only itself: CRIU leaves nonsense in its list of threads."""
        images = self._shared.images
        old = images.one("creds", self.pid)
        found = [tasks.thread(self.pid, self.core, self._shared.filters, old)]
        for tid in self.tids[1:] if self.alive else ():
            core = images.one("core", tid, expected=True)
            if core:
                found.append(tasks.thread(tid, core, self._shared.filters, old, found[0]))
        return found

    @property
    def leader(self) -> tasks.Thread:
        return self.threads[0]

    @functools.cached_property
    def mm(self) -> Fields:
        return self._shared.images.one("mm", self.pid, expected=self.alive)

    @functools.cached_property
    def areas(self) -> list[Area]:
        """The areas of the memory; images of CRIU before 1.0 have them apart (vmas-PID.img)."""
        found = self.mm.get("vmas") or [entry.fields for entry in self._shared.images.each("vmas", self.pid)]
        areas = [area(fields, self._shared.files) for fields in found]
        top = number(self.mm, "mm_start_stack")
        # CRIU does not mark the main thread's stack; where it begins stands in the mm image.
        return [
            dataclasses.replace(part, kind="stack", name="[stack]")
            if part.kind == "anonymous" and part.start <= top < part.end
            else part
            for part in areas
        ]

    @functools.cached_property
    def pages(self) -> Pages:
        return Pages(self._shared.images, "pagemap", self.pid)

    @functools.cached_property
    def memory(self) -> AddressSpace:
        return AddressSpace(self.areas, self.pages, self._shared.memory)

    def _span(self, start: str, end: str) -> tuple[int, int]:
        low, high = number(self.mm, start), number(self.mm, end)
        return low, max(0, min(high - low, MAX_TEXT))

    def text_locations(self) -> t.Iterator[tuple[t.Any, int, int]]:
        """Where command line and environment lie, for Tree.prefetch()."""
        for start, end in (("mm_arg_start", "mm_arg_end"), ("mm_env_start", "mm_env_end")):
            low, size = self._span(start, end)
            if size:
                yield from self.pages.locations(low, low + size)

    def _text(self, start: str, end: str) -> t.Optional[bytes]:
        """The bytes of command line or environment, None where the archive does not have all of them."""
        low, size = self._span(start, end)
        if not low or (size and not self.memory.known(low, size)):
            return None
        return self.memory.read(low, size) if size else b""

    @functools.cached_property
    def _texts(self) -> tuple[t.Optional[bytes], t.Optional[bytes]]:
        """Command line and environment, each with NUL behind every text.

        A program may write a title over both (setproctitle): where the NUL behind the arguments is gone, the command
        line goes on to the next one (Linux fs/proc/base.c, get_mm_cmdline), and what is left is the environment.
        """
        arguments = self._text("mm_arg_start", "mm_arg_end")
        environment = self._text("mm_env_start", "mm_env_end")
        behind = number(self.mm, "mm_arg_end") == number(self.mm, "mm_env_start")
        if arguments and environment and behind and arguments[-1:] != b"\0":
            title, nul, environment = environment.partition(b"\0")
            arguments += title + nul
            environment = b"".join(part + b"\0" for part in environment.split(b"\0") if part)
        return arguments, environment

    @staticmethod
    def _split(raw: t.Optional[bytes], size: int) -> t.Optional[list[str]]:
        """Texts that end with NUL; None where there is nothing although ``size`` bytes of the process are for it."""
        if raw is None or (size and not raw.strip(b"\0")):
            return None
        parts = raw.split(b"\0")
        if not parts[-1]:
            parts.pop()
        return [part.decode("utf-8", "surrogateescape") for part in parts]

    @functools.cached_property
    def arguments(self) -> t.Optional[list[str]]:
        """The command line, one text for each argument; None where it is not in the archive.

        A program that writes a title over its arguments (setproctitle) leaves zeros behind it: there are then more
        texts than arguments were given, and the empty ones at the end are left out.
        """
        found = self._split(self._texts[0], self._span("mm_arg_start", "mm_arg_end")[1])
        given = self._given()
        if found is not None and given is not None and len(found) > given:
            while len(found) > 1 and not found[-1]:
                found.pop()
        return found

    def _given(self) -> t.Optional[int]:
        """How many arguments the process was started with: the first word on its stack (Linux fs/binfmt_elf.c)."""
        address, size = number(self.mm, "mm_start_stack"), self.bits // 8
        if not address or not self.memory.known(address, size):
            return None
        return int.from_bytes(self.memory.read(address, size), "big" if self.machine == "s390" else "little") or None

    @functools.cached_property
    def environment(self) -> t.Optional[list[str]]:
        """The environment the process was started with, as NAME=value (or whatever stands there); None as above, and
        where the title of the program was written over all of it."""
        return self._split(self._texts[1], self._span("mm_env_start", "mm_env_end")[1])

    @property
    def executable(self) -> t.Optional[str]:
        """The path of the program, with " (deleted)" behind it where it has no name any more."""
        if "exe_file_id" not in self.mm:
            return None
        return self._shared.files.path(number(self.mm, "exe_file_id")) or None

    @functools.cached_property
    def _fs(self) -> Fields:
        return self._shared.images.one("fs", self.pid, expected=self.alive)

    @property
    def folder(self) -> t.Optional[str]:
        """The working directory."""
        return self._shared.files.path(number(self._fs, "cwd_id")) or None if self._fs else None

    @property
    def root(self) -> t.Optional[str]:
        return self._shared.files.path(number(self._fs, "root_id")) or None if self._fs else None

    @property
    def umask(self) -> t.Optional[int]:
        return self._fs.get("umask")

    @functools.cached_property
    def descriptors(self) -> list[Descriptor]:
        files_id = self.ids.get("files_id")
        if not self.alive or files_id is None:
            return []
        return self._shared.files.descriptors(files_id)

    @property
    def limits(self) -> dict[str, dict[str, t.Optional[int]]]:
        return tasks.limits(self._task, self._shared.images, self.pid)

    @property
    def signals(self) -> dict[str, t.Any]:
        return tasks.signals(self._task, self._shared.images, self.pid)

    @property
    def timers(self) -> dict[str, t.Any]:
        return tasks.timers(self._task, self._shared.images, self.pid)

    @property
    def login_uid(self) -> t.Optional[int]:
        """Who logged in to start this; None for nobody, which the kernel writes as -1."""
        found = self._task.get("loginuid")
        return found if isinstance(found, int) and found != 0xFFFFFFFF else None

    def as_dict(self) -> dict[str, t.Any]:
        """Everything about the process but memory, environment and descriptors."""
        return {
            "pid": self.pid,
            "ppid": self.ppid,
            "group": self.group,
            "session": self.session,
            "name": self.name,
            "state": self.state,
            "exit_code": self.exit_code,
            "exit_signal": self.exit_signal,
            "stop_signal": signal_name(self.stop_signal) if self.stop_signal else None,
            "machine": self.machine,
            "bits": self.bits,
            "executable": self.executable if self.alive else None,
            "arguments": self.arguments if self.alive else None,
            "cwd": self.folder if self.alive else None,
            "root": self.root if self.alive else None,
            "umask": f"{self.umask:04o}" if self.umask is not None else None,
            "dumpable": self.mm.get("dumpable") if self.alive else None,
            "login_uid": self.login_uid,
            "oom_score_adj": self._task.get("oom_score_adj"),
            "child_subreaper": bool(self._task.get("child_subreaper")),
            "namespaces": self.namespaces if self.alive else {},
            "limits": self.limits,
            "signals": self.signals,
            "timers": self.timers,
            "threads": [thread.as_dict() for thread in self.threads],
        }


def tree(images: Images, shared: Shared) -> tuple[list[Process], dict[int, Process]]:
    """(roots, all by pid). Every process is in the tree once, whatever the parents claim: loops are cut with a note."""
    found: dict[int, Process] = {}
    for entry in images.each("pstree", expected=True):
        pid = number(entry.fields, "pid")
        if pid in found:
            images.notes.add("pid_twice", f"The process tree has the pid {pid} more than once", "pstree.img")
        elif len(found) >= MAX_PROCESSES:
            images.notes.add("too_many_processes", f"There are more than {MAX_PROCESSES} processes; the rest is left")
            break
        else:
            found[pid] = Process(entry.fields, shared)
    roots: list[Process] = []
    for process in found.values():
        parent = found.get(process.ppid)
        if parent is None or parent is process:
            if process.ppid and parent is None:
                text_ = f"The parent {process.ppid} of {process.pid} is not in the process tree"
                images.notes.add("parent_missing", text_, "pstree.img")
            roots.append(process)
        else:
            parent.children.append(process)
    _cut_loops(roots, found, images)
    return roots, found


def _cut_loops(roots: list[Process], found: dict[int, Process], images: Images) -> None:
    reached: set[int] = set()

    def reach(start: Process) -> None:
        pending = [start]
        while pending:
            process = pending.pop()
            reached.add(process.pid)
            pending += process.children

    for process in roots:
        reach(process)
    for pid, process in found.items():
        if pid not in reached:
            images.notes.add("parent_loop", f"The process {pid} is among its own ancestors", "pstree.img")
            found[process.ppid].children.remove(process)
            roots.append(process)
            reach(process)
