# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints and restores of containers as they are under way: their processes, and whether they get on.

What the processes look like: CRIU 4.2.1, criu/cr-service.c (the title "criu: dump --rpc -t PID"), run under runc
1.1.15; runc and crun have the container's ID among their arguments. When an engine gives up, containerd 2.1.9 ends runc
and leaves CRIU to the shim; CRI-O 1.36.3 leaves both running.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import dataclasses
import os
import re
import time
import typing as t

from . import processes
from .containers import Container
from .processes import Process

WINDOW = 3.0
"""Seconds of watching. Who does nothing at all in this time, is not working."""

INTERVAL = 0.25
MOST_FILES = 4096
CHECKPOINT_FOLDER = {"containerd": "ctrd-checkpoint", "cri-o": "checkpoint"}
"""The folder in a container's ``work`` that the engine makes for a checkpoint and removes after it (containerd 2.1.9
internal/cri/server/container_checkpoint_linux.go; CRI-O 1.36.3 internal/lib/checkpoint.go)."""

CRIU_ACTIONS = ("dump", "pre-dump", "restore", "swrk")
"""What CRIU does to a container. "swrk" is what runc and crun start, until they have said what is to be done."""

_DAEMON = {"containerd": "containerd", "cri-o": "crio"}
_ADOPTERS = ("containerd-shim", "conmon", "systemd", "init")
_TREE = re.compile(r"(?:-t|--tree)[ =](\d+)")
_TITLE = re.compile(r"criu: ([a-z-]+)")


@dataclasses.dataclass
class Worker:
    """A process of CRIU or of an OCI runtime that works on a container.

    ``action``: "dump", "restore" and so on as CRIU calls it, "checkpoint" or "restore" for an OCI runtime.
    ``orphaned``: who started it is gone, so nobody waits for it any more. ``busy``: it did something while it was
    watched.
    """

    process: Process
    action: str
    orphaned: bool
    busy: bool = False


@dataclasses.dataclass
class Watch:
    """What was seen of one container while it was watched.

    ``writing``: the engine itself, without any of the workers, wrote files of a checkpoint of it. ``pending``: the
    engine has a checkpoint of it under way by its own account: its folder is there, and it is not from before the
    engine was started. ``since``: when that folder was made, seconds since 1970.
    """

    workers: list[Worker] = dataclasses.field(default_factory=list)
    pending: bool = False
    writing: bool = False
    since: t.Optional[float] = None


def folder_of(container: Container) -> str:
    """Where the engine puts together a checkpoint of the container."""
    return os.path.join(container.work, CHECKPOINT_FOLDER[container.engine])


def watch(containers: t.Sequence[Container], checkpoint_folder: str, seconds: float = WINDOW) -> dict[str, Watch]:
    """Watch for some seconds who works on the containers; by container ID. ``checkpoint_folder``: the kubelet's."""
    seen = {container.id: Watch() for container in containers}
    known: dict[str, dict[Process, Worker]] = {container.id: {} for container in containers}
    work: dict[Process, tuple[str, ...]] = {}
    files = {container.id: _files(container, checkpoint_folder) for container in containers}
    end = time.monotonic() + seconds
    while True:
        table = processes.processes()
        for identifier, worker in workers(table, containers):
            # CRIU renames itself, so the same process may have had another command before.
            process = worker.process._replace(command=(), parent=0)
            done = processes.work_done(process)
            worker.busy = work.setdefault(process, done) != done
            earlier = known[identifier].get(process)
            worker.busy = worker.busy or (earlier is not None and earlier.busy)
            known[identifier][process] = worker
        for container in containers:
            _look_at_files(container, seen[container.id], table, files[container.id], checkpoint_folder)
        if time.monotonic() >= end:
            break
        time.sleep(INTERVAL)
    for identifier, found in seen.items():
        # Those that came to their end meanwhile were no hindrance.
        found.workers = [worker for worker in known[identifier].values() if processes.alive(worker.process)]
    return seen


def workers(table: t.Sequence[Process], containers: t.Sequence[Container]) -> t.Iterator[tuple[str, Worker]]:
    """(container ID, worker) of everything that works on one of the containers now."""
    by_id = {process.pid: process for process in table}
    init = {container.pid: container.id for container in containers if container.pid}
    names = {container.id for container in containers}
    for process in table:
        action = _action(process)
        if action is None:
            continue
        parent = by_id.get(process.parent)
        adopted = parent is None or parent.pid == 1 or parent.name.startswith(_ADOPTERS)
        target = _target(process, parent, init, names)
        if target is not None:
            yield target, Worker(process, action, orphaned=process.name == "criu" and adopted)


def _action(process: Process) -> t.Optional[str]:
    """What a process of CRIU, runc or crun does to a container; None for all others."""
    if process.name == "criu":
        text = " ".join(process.command)
        title = _TITLE.match(text)
        word = title.group(1) if title else next(iter(process.command[1:2]), "")
        return word if word in CRIU_ACTIONS else None
    if process.program in ("runc", "crun"):
        return next((word for word in process.command if word in ("checkpoint", "restore")), None)
    return None


def _target(
    process: Process, parent: t.Optional[Process], init: t.Mapping[int, str], names: t.Collection[str]
) -> t.Optional[str]:
    """The ID of the container that a worker works on."""
    tree = _TREE.search(" ".join(process.command)) if process.name == "criu" else None
    if tree is not None and int(tree.group(1)) in init:
        return init[int(tree.group(1))]
    words = [*process.command, *(parent.command if parent is not None and _action(parent) else ())]
    for word in words:
        if word in names:
            return word
    # CRIU has the container's freezer and its work directory open; both have the ID in their paths.
    for path in processes.open_files(process.pid) if process.name == "criu" else ():
        for name in re.findall(r"[0-9a-f]{64}", path):
            if name in names:
                return str(name)
    return None


def _files(container: Container, checkpoint_folder: str) -> tuple[int, int, int]:
    """(number, bytes, last change) of the files of a checkpoint that is being put together."""
    beginning = f"checkpoint-{container.pod}_{container.namespace}-{container.name}-"
    roots = [folder_of(container), *_named(checkpoint_folder, beginning)]
    if container.engine == "containerd":
        # Between the dump and the archive, containerd keeps what it has in its content store.
        storage = os.path.dirname(os.path.dirname(os.path.dirname(container.work)))
        roots.append(os.path.join(storage, "io.containerd.content.v1.content", "ingest"))
    count = size = changed = 0
    for path in _walk(roots):
        try:
            info = os.lstat(path)
        except OSError:
            continue
        count, size, changed = count + 1, size + info.st_size, max(changed, info.st_mtime_ns)
        if count >= MOST_FILES:
            break
    return count, size, changed


def _named(folder: str, beginning: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(beginning)]
    except OSError:
        return []


def _walk(roots: t.Iterable[str]) -> t.Iterator[str]:
    for root in roots:
        if os.path.isfile(root):
            yield root
        for folder, _folders, names in os.walk(root):
            yield from (os.path.join(folder, name) for name in names)


def _look_at_files(
    container: Container,
    seen: Watch,
    table: t.Sequence[Process],
    before: tuple[int, int, int],
    checkpoint_folder: str,
) -> None:
    """Add to what is known of the engine's own part."""
    try:
        made = os.stat(folder_of(container)).st_mtime
    except OSError:
        seen.pending = False
        return
    daemons = [process for process in table if process.name == _DAEMON[container.engine]]
    # A folder from before the engine was started belongs to a checkpoint that ended with the engine before it.
    seen.pending = any(time.time() - daemon.age <= made for daemon in daemons)
    seen.since = made
    seen.writing = seen.pending and (seen.writing or _files(container, checkpoint_folder) != before)
