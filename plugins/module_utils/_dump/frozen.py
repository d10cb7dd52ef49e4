# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that this collection has frozen: a file for each, with who did it and until when.

Whoever works on one holds its lock. A file whose work nobody holds, and whose time is not to be waited for, was left by
a process that was killed; it says what has to be undone.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import stat
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.files import written
from .._node import processes
from .._node.containers import Container
from .._node.freezer import Freezer, freezer_of
from .._restore.ticket import BASE, private_folder
from . import patience

DUMPING, WRITING, FROZEN = "dumping", "writing", "frozen"
"""The container is frozen for a dump; it runs again, and its archive is being finished; it is to stay frozen."""

LARGEST = 1 << 16
THAW_SECONDS = 10.0
PAUSE = 0.02
IDENTIFIER = re.compile(r"[0-9a-f]{12,64}")


def now() -> float:
    """Seconds since boot, sleep included: nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot() -> str:
    return processes.read("/proc/sys/kernel/random/boot_id").strip()


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A container that was frozen on purpose.

    ``started``: when process ``pid`` began, in ticks since boot, which tells it from a later one. ``phase``: see above.
    ``until``: when its time is over, as now() counts, and ``deadline`` the same as people read it. ``temporary``: what
    is to be removed if the dump does not come to its end. ``token``: tells this file from a later one. ``given``: its
    state may go on elsewhere, so that nobody lets it run on here; it is killed as soon as the kubelet stops it.
    """

    token: str
    owner: str
    namespace: str
    pod: str
    pod_uid: str
    container: str
    container_id: str
    engine: str
    pid: int
    started: int
    boot: str
    phase: str
    since: str
    deadline: str
    until: float
    temporary: tuple[str, ...] = ()
    given: bool = False

    @property
    def expired(self) -> bool:
        return now() >= self.until

    @property
    def folder(self) -> str:
        """Where CRIU works, while it is dumped."""
        return next(iter(self.temporary), "/nonexistent")

    @property
    def lives(self) -> bool:
        """Whether the container still runs, or would if it were not frozen."""
        process = processes.look_up(self.pid)
        return (
            process is not None and self.boot == boot() and process.started == self.started and processes.alive(process)
        )

    def freezer(self) -> t.Optional[Freezer]:
        return freezer_of(self.pid, self.pod_uid) if self.lives else None

    def as_container(self) -> Container:
        """As far as it is known here."""
        names = (self.namespace, self.pod, self.pod_uid, self.container)
        return Container(self.engine, "container", self.container_id, *names, bundle="", work="", pid=self.pid)

    def shown(self) -> dict[str, t.Any]:
        return {"owner": self.owner, "since": self.since, "deadline": self.deadline}


class Records:
    """The files, one for each container, in a folder that is root's alone."""

    def __init__(self, base: str = BASE) -> None:
        self._base = base
        self.folder = os.path.join(base, "frozen")

    def path(self, identifier: str) -> str:
        if not IDENTIFIER.fullmatch(identifier):
            raise CheckpointError("container_unknown", f"{identifier!a} is no ID of a container")
        return os.path.join(self.folder, f"{identifier}.json")

    def get(self, identifier: str) -> t.Optional[Frozen]:
        """The record of a container; None without one, and for what is not one."""
        try:
            descriptor = os.open(self.path(identifier), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            # What is to be removed stands in it, so nobody else may have written it.
            if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
                return None
            try:
                found = json.loads(file.read(LARGEST))
                record = Frozen(**{**found, "temporary": tuple(found["temporary"])})
                right = isinstance(record.pid, int) and isinstance(record.until, (int, float))
            except (ValueError, TypeError, KeyError, RecursionError):
                return None
        return record if right and record.container_id == identifier else None

    def all(self) -> list[Frozen]:
        """Every record, by namespace, pod and container."""
        try:
            names = [name[: -len(".json")] for name in os.listdir(self.folder) if name.endswith(".json")]
        except OSError:
            return []
        found = [self.get(name) for name in names if IDENTIFIER.fullmatch(name)]
        return sorted((one for one in found if one), key=lambda one: (one.namespace, one.pod, one.container))

    def sweep(self) -> None:
        """Remove what is left of containers that are gone, and locks that nobody holds."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return
        for identifier in {name.partition(".")[0] for name in names if IDENTIFIER.fullmatch(name.partition(".")[0])}:
            record = self.get(identifier)
            if record is None or not record.lives:
                with contextlib.suppress(CheckpointError, OSError), self.lock(identifier):
                    found = self.get(identifier)
                    if found is not None and not found.lives:
                        self.undo(found)

    def put(self, record: Frozen) -> None:
        private_folder(self.folder)
        with written(self.path(record.container_id)) as file:
            file.write(json.dumps(dataclasses.asdict(record)).encode())

    def remove(self, identifier: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(identifier))

    def held(self, identifier: str) -> bool:
        """Whether somebody works on the container now."""
        try:
            descriptor = os.open(self.path(identifier)[: -len("json")] + "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextlib.contextmanager
    def lock(self, identifier: str, seconds: float = 0.0) -> t.Iterator[None]:
        """Be the only one who works on the container. Raises CheckpointError checkpoint_under_way after the seconds."""
        private_folder(self.folder)
        path = self.path(identifier)[: -len("json")] + "lock"
        end = time.monotonic() + seconds
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                if time.monotonic() >= end:
                    raise CheckpointError(
                        "checkpoint_under_way",
                        "Another runtime_checkpoint works on the container",
                        hint="Wait for its end",
                    ) from None
                time.sleep(PAUSE)
                continue
            # Whoever held it before may have removed the file: then this is a lock on nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                    break
            os.close(descriptor)
        try:
            yield
        finally:
            if not os.path.exists(self.path(identifier)):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            os.close(descriptor)

    def undo(self, record: Frozen, drain: patience.Drain = patience.wait) -> bool:
        """Have the container as it was before its dump, and leave nothing; whether it runs, or is gone.

        ``drain``: as in let_end(). Raises OSError where it cannot be thawed.
        """
        if record.phase == DUMPING and record.lives:
            patience.let_end(record.as_container(), record.folder, drain)
        thawed = True
        freezer = record.freezer() if record.phase != WRITING else None
        if freezer is not None:
            thawed = freezer.thaw(THAW_SECONDS)
        for path in record.temporary if record.phase != FROZEN else ():
            remove(path)
        if thawed:
            self.remove(record.container_id)
        return thawed


def remove(path: str) -> None:
    """Remove a file or a folder, if it is there and can be."""
    with contextlib.suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
