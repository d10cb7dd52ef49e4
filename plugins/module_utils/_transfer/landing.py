# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of a transfer: an archive grows under ``NAME.partial`` until it is proven whole.

Private to this collection. Nothing here overwrites or removes a file under its final name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
import re
import stat
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.files import sync_directory
from .files import blaming, move_to_free_name, need_room, refused, write_all
from .node import BLOCK_BYTES, NotAFileError, digest_of, open_file

PARTIAL_SUFFIX = ".partial"
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")

Source = t.Callable[[int], t.Generator[bytes, None, None]]
"""Gives an archive's bytes from an offset (a multiple of BLOCK_BYTES) to its end."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """An archive as its node describes it, and the name that it gets here."""

    path: str
    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Receipt:
    """How an archive came: ``resumed_from`` is an offset in bytes, ``duration`` in seconds; None if nothing came."""

    changed: bool
    resumed_from: int | None = None
    duration: float | None = None


def local_name(path: str, name: str | None = None) -> str:
    """The name for an archive on the controller: the one asked for, or the archive's own made harmless.

    Archive names hold colons, which GNU tar takes for a remote host, and whatever a node puts there. A name that a
    person asked for is taken as it is or refused (``name_unsafe``), never bent.
    """
    chosen = name or re.sub(r"[^A-Za-z0-9._-]", "-", os.path.basename(path)).lstrip(".-")
    if not _SAFE_NAME.fullmatch(chosen) or chosen.endswith(PARTIAL_SUFFIX):
        raise CheckpointError(
            "name_unsafe",
            f"{chosen!r} cannot be the name of a file here",
            hint=f"Use 1 to 200 letters, digits, dots, dashes and underscores, no dot in front, no {PARTIAL_SUFFIX}",
            path=path,
        )
    return chosen


def is_here(directory: str, wanted: Wanted) -> bool:
    """Whether the archive is in the directory already, whole. Writes nothing.

    Raises :class:`CheckpointError` ``destination_exists`` if something else has its name.
    """
    target = os.path.join(directory, wanted.name)
    try:
        with open_file(target) as present:
            sha256, _size = digest_of(present)
    except FileNotFoundError:
        return False
    except NotAFileError as error:
        raise _exists(target, "something that is not a file") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _exists(target, "a symbolic link") from error
        raise refused(target, error) from error
    if sha256 != wanted.sha256:
        raise _exists(target, "a file with other content")
    return True


def receive(directory: str, wanted: Wanted, source: Source, report: t.Callable[[int], None]) -> Receipt:
    """Bring an archive into a directory under its final name, whole or not at all.

    The directory is made, with mode 0700, if it is missing. ``report`` is told the number of bytes that are here, after
    each block. What an earlier run left under ``NAME.partial`` is hashed and continued, and started over once if it
    turns out to belong to something else.
    After a cut the partial file stays for the next run; when the disk is full, or the digest is wrong, it is removed:
    it would only fill the disk, or be of no use.

    Raises :class:`CheckpointError` ``destination_exists``, ``destination_unsafe``, ``destination_busy``,
    ``destination_full``, ``destination_refused``, ``archive_changing``, ``transfer_cut``, ``digest_mismatch``, and
    whatever the source raises.
    """
    target = os.path.join(directory, wanted.name)
    with blaming(target):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    if is_here(directory, wanted):
        _drop_second_name(directory, wanted.name)
        return Receipt(changed=False)
    started = time.monotonic()
    with _Partial(directory, wanted.name) as partial:
        offset = partial.resume(wanted.size)
        resumed_from = offset or None
        partial.fill(wanted, source, report)
        if offset and partial.sha256 != wanted.sha256:
            resumed_from = None
            partial.restart()
            partial.fill(wanted, source, report)
        if partial.sha256 != wanted.sha256:
            partial.remove()
            raise CheckpointError(
                "digest_mismatch",
                f"{wanted.path} did not arrive as it is on the node",
                hint="It was replaced on the node during the transfer, or damaged on the way; fetch it again",
                message=f"SHA-256 on the node {wanted.sha256}, here {partial.sha256}",
                path=wanted.path,
            )
        changed = partial.publish(wanted)
    return Receipt(changed, resumed_from, round(time.monotonic() - started, 3))


class _Partial:
    """The growing file: locked against a second run, and never anything but a file of our own."""

    def __init__(self, directory: str, name: str) -> None:
        self.target = os.path.join(directory, name)
        self.path = self.target + PARTIAL_SUFFIX
        self.directory = directory
        self.size = 0
        self._digest = hashlib.sha256()
        with blaming(self.path):
            self._file = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
            )
        try:
            with blaming(self.path):
                self._claim()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> _Partial:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._file)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def resume(self, size: int) -> int:
        """Hash what an earlier run left, and stand behind it. The offset: a multiple of the block, or ``size``."""
        present = os.fstat(self._file).st_size
        if present > size:
            present = 0
        elif present < size:
            present -= present % BLOCK_BYTES
        with blaming(self.path):
            os.ftruncate(self._file, present)
            with os.fdopen(os.dup(self._file), "rb", buffering=0) as kept:
                kept.seek(0)
                while block := kept.read(BLOCK_BYTES):
                    self._digest.update(block)
        self.size = present
        return present

    def restart(self) -> None:
        """Forget everything."""
        with blaming(self.path):
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
        self.size = 0
        self._digest = hashlib.sha256()

    def fill(self, wanted: Wanted, source: Source, report: t.Callable[[int], None]) -> None:
        """Append the rest of the archive and put it on the disk."""
        if self.size < wanted.size:
            need_room(self.directory, wanted.size - self.size, self.target)
            with contextlib.closing(source(self.size)) as blocks:
                for block in blocks:
                    self._append(block)
                    report(self.size)
                    if self.size > wanted.size:
                        break
        if self.size > wanted.size:
            self.remove()
            raise CheckpointError(
                "archive_changing",
                f"{wanted.path} grew after it was hashed",
                hint="The checkpoint is still being written; fetch it again later",
                path=wanted.path,
            )
        if self.size < wanted.size:
            raise CheckpointError(
                "transfer_cut",
                f"{wanted.path} stopped after {self.size} of {wanted.size} bytes",
                hint="Run it again: the transfer goes on from there",
                path=wanted.path,
            )
        with blaming(self.path):
            os.fsync(self._file)

    def publish(self, wanted: Wanted) -> bool:
        """Give the file its final name if that is free. False if the very same archive has appeared there meanwhile."""
        changed = True
        with blaming(self.target):
            try:
                move_to_free_name(self.path, self.target)
            except FileExistsError:
                changed = not is_here(self.directory, wanted)
                self.remove()
            sync_directory(self.directory)
        return changed

    def remove(self) -> None:
        """Take the partial file away."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _claim(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self._busy() from error
        except OSError:
            pass  # A file system without locks (some network ones): the checks below and the digest remain.
        opened = os.fstat(self._file)
        # While this run waited for the lock, another may have given the same file its final name.
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError as error:
            raise self._busy() from error
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
            raise self._busy()
        if not stat.S_ISREG(opened.st_mode) or opened.st_nlink != 1 or opened.st_uid != os.geteuid():
            raise CheckpointError(
                "destination_unsafe",
                f"{self.path} is not a file that an earlier transfer left",
                hint="Look who put it there, and move it away",
                path=self.path,
            )
        os.fchmod(self._file, 0o600)

    def _busy(self) -> CheckpointError:
        return CheckpointError(
            "destination_busy",
            f"Another run is writing {self.path}",
            hint="Wait for it to end, or choose another destination",
            path=self.path,
        )

    def _append(self, block: bytes) -> None:
        try:
            with blaming(self.path):
                write_all(self._file, block)
        except CheckpointError as error:
            if error.code == "destination_full":
                self.remove()
            raise
        self._digest.update(block)
        self.size += len(block)


def _drop_second_name(directory: str, name: str) -> None:
    """Finish the rename of a run that died between giving the final name and taking the old one away."""
    target = os.path.join(directory, name)
    with contextlib.suppress(OSError):
        if os.path.samestat(os.lstat(target), os.lstat(target + PARTIAL_SUFFIX)):
            os.unlink(target + PARTIAL_SUFFIX)
            sync_directory(directory)


def _exists(target: str, what: str) -> CheckpointError:
    return CheckpointError(
        "destination_exists",
        f"{target} is there already and is {what}",
        hint="It is never overwritten: choose another name or destination",
        path=target,
    )
