# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that is under way, or whose container waits for its start: what is on the disk for it, and its undoing.

Whoever works on an attempt holds its lock. One without a holder was left by a process that was killed, and is undone
by the next call that meets it, unless its container was restored and waits for its start, which follows at once. A
container runtime or a kubelet that was killed does not come back for it, but creates another container in its place: it
is undone then, or when it has waited for too long. Its ticket is used up when it is started.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import syslog
import time
import typing as t

from .._common.errors import CheckpointError
from . import cgroups
from .bundle import Bundle
from .command import Command
from .receipt import Receipts, receipt
from .restoring import PAUSED, RESTORE_SECONDS, RUNNING, STOPPED, UNKNOWN, Runtime
from .ticket import BASE, Name, Ticket, Tickets, private_folder, read
from .waiting import CONTAINER_ID, Waiting

LOCK = "lock"
UNBORN_SECONDS = 60.0
"""A folder that has no name yet, or no more, after so long belongs to a process that was killed."""

START_SECONDS = 60.0
"""A container that has waited for its start for so long is nobody's: a kubelet starts what it has created at once."""

PAUSE = 0.05


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Attempt(Waiting):
    """The folder of one container, from the begin of its restore until it is started, or until nothing is left of it.

    In it are besides, see Waiting: lock, images/, work/, and once another is created in its place, given-up.
    """

    def __init__(self, container: str, base: str = BASE) -> None:
        super().__init__(container, base)
        self.images = os.path.join(self.folder, "images")
        self.work = os.path.join(self.folder, "work")
        self._given_up = os.path.join(self.folder, "given-up")
        self._lock: t.Optional[int] = None
        self._begun: t.Optional[float] = None

    def begin(self, program: str, command: Command, bundle: Bundle) -> None:
        """Make the folder, with what undoing it takes."""
        self._begun = time.monotonic()
        private_folder(os.path.dirname(self.folder))
        # It gets its name when it is locked, so that no sweep takes it for one without a holder.
        shutil.rmtree(self._nameless, ignore_errors=True)
        os.mkdir(self._nameless, 0o700)
        self._lock = os.open(os.path.join(self._nameless, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.rename(self._nameless, self.folder)
        about = {
            "program": program,
            "leading": command.globals_for_own_use(),
            "cgroups": str(bundle.linux.get("cgroupsPath") or ""),
            "name": bundle.name,
        }
        with open(self._about, "w", encoding="utf-8") as file:
            json.dump(about, file)
        os.mkdir(self.images, 0o700)
        os.makedirs(os.path.join(self.work, ".criu"), 0o700)

    def lock(self, seconds: float) -> bool:
        """Take the lock, waiting for it that long; whether it was to be had."""
        try:
            descriptor = os.open(os.path.join(self.folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return False
        until = time.monotonic() + seconds
        while not _locked(descriptor):
            if time.monotonic() >= until:
                os.close(descriptor)
                return False
            time.sleep(PAUSE)
        self._lock = descriptor
        return True

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def succeeded(self) -> None:
        """The container is restored and paused: what it was restored from is not needed any more.

        Raises CheckpointError given_up."""
        with open(self._waiting, "wb"):
            pass
        if os.path.exists(self._given_up):
            raise CheckpointError("given_up", "Another container was created in its place before it was restored")
        self._leave_receipt(self._ticket(), None)
        for path in (self.images, self.work):
            shutil.rmtree(path, ignore_errors=True)
        self._unlock()

    def forget(self) -> None:
        super().forget()
        self._unlock()

    def end_container(self) -> None:
        """End what runs of the container, frozen or not, and remove what the runtime knows of it."""
        about = self._known()
        if not about:
            return
        cgroups.end(about["cgroups"])
        self._runtime(about).call("delete", "--force", self.container)
        cgroups.end(about["cgroups"])

    @staticmethod
    def _runtime(about: dict[str, t.Any]) -> Runtime:
        return Runtime(about["program"], Command(about["leading"], "", {}, []))

    def delete(self) -> None:
        """Prepare for the runtime to delete the container: only half-made ones are deleted here."""
        if self.waits:
            self.kill()
            self._end_ticket(CheckpointError("not_started", "The container was deleted before it was started"))
            self.forget()
        else:
            self.undo()

    def undo(self, error: t.Optional[CheckpointError] = None) -> None:
        """Leave nothing of a restore that did not come to its end; its ticket goes back if it says so.

        Without an error it was killed."""
        self.end_container()
        self._end_ticket(error or CheckpointError("killed", "The restore was killed"))
        self.forget()

    def _end_ticket(self, error: CheckpointError) -> None:
        if os.path.lexists(self.ticket_path):
            ticket = self._ticket()
            newer = ticket is not None and os.path.lexists(Tickets(self.base).path(ticket.name))
            if ticket is not None and ticket.on_failure == "keep":
                Tickets(self.base).give_back(ticket.name, self.ticket_path)
            if not newer:
                self._leave_receipt(ticket, error)

    def _ticket(self) -> t.Optional[Ticket]:
        with contextlib.suppress(CheckpointError):
            return read(self.ticket_path)
        return None

    def _leave_receipt(self, ticket: t.Optional[Ticket], error: t.Optional[CheckpointError]) -> None:
        """A restore is none the worse for a receipt that could not be left."""
        name = self._known().get("name")
        seconds = None if self._begun is None else time.monotonic() - self._begun
        if name:
            with contextlib.suppress(OSError, CheckpointError):
                Receipts(self.base).put(receipt(Name(*name), self.container, ticket, seconds, error))

    def is_stale(self, wanted: t.Optional[Name] = None) -> bool:
        """Whether nobody will come back for it. Takes the lock of one that is.

        ``wanted``: whose container is created now. An older one of that name is given up, at work or not."""
        about = self._known()
        if wanted is not None and about.get("name") == list(wanted):
            with contextlib.suppress(OSError), open(self._given_up, "wb"):
                pass
            return self.lock(RESTORE_SECONDS)
        if not self.lock(0):
            return False
        about = self._known()
        if not self.waits or not about:
            return True
        status = self._runtime(about).status(self.container)
        if status == RUNNING:
            # Its start was killed after the container had been let go on.
            self.forget()
        elif status == UNKNOWN or (status in (PAUSED, STOPPED) and self._waited() > START_SECONDS):
            return True
        self._unlock()
        return False

    def _waited(self) -> float:
        """For how many seconds the container has waited for its start; 0 if it was started meanwhile."""
        try:
            return time.time() - os.stat(self._waiting).st_mtime
        except FileNotFoundError:
            return 0.0


def sweep(base: str = BASE, wanted: t.Optional[Name] = None) -> None:
    """Undo what processes that were killed have left, and what another container takes the place of, and remove old
    receipts."""
    Receipts(base).sweep(time.time())
    try:
        entries = list(os.scandir(os.path.join(base, "restores")))
    except FileNotFoundError:
        return
    for entry in entries:
        if CONTAINER_ID.fullmatch(entry.name):
            attempt = Attempt(entry.name, base)
            if attempt.is_stale(wanted):
                attempt.undo()
                syslog.syslog(f"removed what a restore has left that did not come to its end: container {entry.name}")
        else:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > UNBORN_SECONDS:
                    shutil.rmtree(entry.path, ignore_errors=True)


def claim(attempt: Attempt, name: Name) -> bool:
    """Take the ticket for a container into the attempt; False, and no attempt, where there is none."""
    if Tickets(attempt.base).claim(name, attempt.ticket_path):
        return True
    attempt.forget()
    return False
