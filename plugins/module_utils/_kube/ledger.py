# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this user's runs on this controller did to each container, shared between processes.

A kubelet names archives by the second, so that of two requests within one the second overwrites the first's archive,
and two requests for one container at a time break each other (both seen on the lab, CRI-O 1.36.3 and containerd 2.1.9).
So requests for one container are serialised, here and across two playbook runs, and kept a second apart. The same
record answers ``not_older_than``. One file per container, locked with flock while a request runs.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import threading
import time
import typing as t

# Between an answer and the next request. The kubelet takes the second when it begins to handle a request, so with a
# whole second between the two the names differ whatever its clock says.
APART = 1.0
KEEP = 7 * 86400.0
POLL = 0.1
FORMAT = 1

Record = dict[str, t.Any]


def default_directory() -> str:
    """``$XDG_STATE_HOME/checkpoint_restore.kubernetes``, by default below ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "checkpoint_restore.kubernetes")


class Entry:
    """One container's record while this thread alone may touch the container."""

    def __init__(self, record: Record, write: t.Callable[[Record], None]) -> None:
        self._record = record
        self._write = write

    @property
    def taken(self) -> Record:
        """The last checkpoint that succeeded, as it was stored; empty when there is none."""
        taken = self._record.get("taken")
        return dict(taken) if isinstance(taken, dict) else {}

    def wait_for_turn(self) -> None:
        """Sleep until a whole second has gone by since the last request or answer."""
        last = self._record.get("last")
        if isinstance(last, (int, float)):
            # A clock set back must not make this wait for hours.
            time.sleep(min(APART, max(0.0, last + APART - time.time())))

    def touch(self, taken: Record | None = None) -> None:
        """Note that a request went out or was answered just now, and what came of it."""
        self._record["last"] = time.time()
        if taken is not None:
            self._record["taken"] = taken
        # A full disk here says nothing about the container: the record is then only as good as before.
        with contextlib.suppress(OSError):
            self._write(self._record)


class Ledger:
    """Access to the records. Where ``directory`` cannot be used, they live and serialise in this process only."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.warning = ""
        self._memory: dict[str, Record] = {}
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make the directory (0700); sets ``warning`` when that fails."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            if not os.access(self.directory, os.W_OK | os.X_OK):
                raise PermissionError(f"Permission denied: {self.directory!r}")
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        self.warning = (
            f"The records in {self.directory} cannot be used ({error}): two runs at the same time are not kept apart, "
            "and not_older_than finds nothing"
        )

    def peek(self, *key: str) -> Entry:
        """The record as it is, without locking or writing anything."""
        try:
            with open(self._path(key), encoding="utf-8") as file:
                return Entry(_parse(file.read()), lambda record: None)
        except OSError:
            return Entry({}, lambda record: None)

    @contextlib.contextmanager
    def hold(self, *key: str, give_up: t.Callable[[], bool]) -> t.Iterator[Entry | None]:
        """The container's entry, once nobody else holds it; ``None`` as soon as ``give_up`` says so."""
        path = self._path(key)
        if not self._enter(path, give_up):
            yield None
            return
        descriptor = None
        try:
            if not self.warning:
                try:
                    descriptor = _locked(path, give_up)
                except OSError as error:
                    self._warn(error)
                else:
                    if descriptor is None:
                        yield None
                        return
            if descriptor is None:
                yield Entry(self._memory.setdefault(path, {}), lambda record: None)
            else:
                yield Entry(_read(descriptor), functools.partial(_write, descriptor))
        finally:
            if descriptor is not None:
                os.close(descriptor)
            with self._lock:
                self._busy.discard(path)

    def prune(self) -> None:
        """Remove records that nobody touched for a week."""
        if self.warning:
            return
        with contextlib.suppress(OSError):
            for name in os.listdir(self.directory):
                path = os.path.join(self.directory, name)
                with contextlib.suppress(OSError):
                    _remove_if_old(path)

    def _path(self, key: t.Sequence[str]) -> str:
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
        return os.path.join(self.directory, f"{digest}.json")

    def _enter(self, path: str, give_up: t.Callable[[], bool]) -> bool:
        """Keep this process's own threads apart; true once this one may go on."""
        while True:
            with self._lock:
                if path not in self._busy:
                    self._busy.add(path)
                    return True
            if give_up():
                return False
            time.sleep(POLL)


def _locked(path: str, give_up: t.Callable[[], bool]) -> int | None:
    """An open and locked descriptor of the file at ``path``, which prune() of another process may remove meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(descriptor):
                if give_up():
                    os.close(descriptor)
                    return None
                time.sleep(POLL)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> Record:
    return _parse(os.pread(descriptor, 1 << 20, 0).decode("utf-8", "replace"))


def _parse(text: str) -> Record:
    """A record, or an empty one for anything that is none: a file cut short is no reason to fail."""
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def _write(descriptor: int, record: Record) -> None:
    # In place, because the lock is on this very file.
    text = json.dumps({**record, "format": FORMAT}).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _remove_if_old(path: str) -> None:
    if time.time() - os.stat(path).st_mtime < KEEP:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if _try_lock(descriptor) and time.time() - os.fstat(descriptor).st_mtime >= KEEP:
            os.unlink(path)
    finally:
        os.close(descriptor)
