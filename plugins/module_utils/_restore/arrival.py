# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint archive that is unpacked while it arrives, into a folder that appears whole or not at all.

The archive is read once, from its beginning to its end, and hashed beside that. What is written goes to the disk
meanwhile. A folder that a run left which was killed is removed by the next one for the same place.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import typing as t

from .._archive import compression, tar
from .._archive.archive import open_archive
from .._archive.members import Member
from .._archive.notes import Notes
from .._archive.source import Source
from .._archive.tarheader import BLOCK
from .._common.errors import CheckpointError
from .._common.files import sync_directory
from .._common.hashing import SHA256
from .passing import PIECE, Arriving, Readable
from .trusted import opened
from .unpack import PLAIN_NAME, check_space

ZEROS = memoryview(bytes(PIECE))
FLUSH = 64 << 20
"""So much of a file is written before it is sent to the disk, so that little is left for the end."""

UNFLUSHED = 64
"""Files that may be open at a time because they are on their way to the disk."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DOCUMENTS = ("config.dump", "spec.dump")
MARK = "user.checkpoint_restore.sha256"
"""The attribute of the folder that says which archive it was."""


class Arrived(t.NamedTuple):
    """The folder; the SHA-256 as hexadecimal digits and the bytes of what was read."""

    path: str
    sha256: str
    size: int


class _Folder:
    """The folder under its temporary name: root's alone, locked while it grows."""

    def __init__(self, into: str, pool: concurrent.futures.Executor) -> None:
        self._pool = pool
        self._flushing: list[concurrent.futures.Future[None]] = []
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._into = into
        parent, name = os.path.split(into)
        self.path = os.path.join(parent, f".{name}.{secrets.token_hex(8)}")
        os.mkdir(self.path, 0o700)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        # A file system without locks: nothing is swept there either.
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def take(self, member: Member, source: Source) -> None:
        """Write a member of the archive."""
        if not member.name and member.kind == "directory":
            return
        _require_harmless(member, source)
        is_file = member.kind == "file"
        folder = member.name.rpartition("/")[0] if is_file else member.name
        if folder in self._files or (is_file and member.name in self._folders):
            raise _unsafe(member, "is a file and a folder")
        with _blaming(self._into):
            if folder and folder not in self._folders:
                os.mkdir(folder, 0o700, dir_fd=self._descriptor)
                self._folders.add(folder)
        if not is_file:
            return
        check_space(member.size, self.path)
        with _blaming(self._into):
            if member.name in self._files:
                # Of duplicates the last counts, as with tar itself.
                os.unlink(member.name, dir_fd=self._descriptor)
            self._files.add(member.name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            out = os.open(member.name, flags, 0o600, dir_fd=self._descriptor)
        try:
            self._write(out, member, source)
        finally:
            self._flushing.append(self._pool.submit(_close, out))
        while len(self._flushing) > UNFLUSHED:
            self._settle()

    def _write(self, out: int, member: Member, source: Source) -> None:
        position = flushed = 0
        flush: t.Optional[concurrent.futures.Future[None]] = None
        for piece in member.chunks():
            with _blaming(self._into):
                if piece != ZEROS[: len(piece)]:
                    _write_at(out, piece, position)
                position += len(piece)
                if position - flushed >= FLUSH and (flush is None or flush.done()):
                    if flush is not None:
                        flush.result()
                    flushed = position
                    flush = self._pool.submit(os.fdatasync, out)
        with _blaming(self._into):
            if flush is not None:
                flush.result()
            os.ftruncate(out, position)
        if position != member.size:
            raise source.broken or _truncated(f"within {member.name}")

    def _settle(self) -> None:
        with _blaming(self._into):
            self._flushing.pop(0).result()

    def publish(self, sha256: str) -> None:
        """Give the folder its name."""
        while self._flushing:
            self._settle()
        with _blaming(self._into):
            for folder in self._folders:
                sync_directory(os.path.join(self.path, folder))
            # Without the mark the folder is as good, but nobody can tell that it is there already.
            with contextlib.suppress(OSError):
                os.setxattr(self._descriptor, MARK, sha256.encode())
            os.fsync(self._descriptor)
            try:
                os.rename(self.path, self._into)
            except OSError as error:
                if os.path.lexists(self._into):
                    raise _exists(self._into) from error
                raise
            sync_directory(os.path.dirname(self._into))

    def close(self) -> None:
        """Remove what has not got its name."""
        concurrent.futures.wait(self._flushing)
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def arrive(stream: Readable, into: str, *, sha256: t.Optional[str], size: t.Optional[int]) -> Arrived:
    """Read an archive to its end and unpack it into the folder ``into``, which it makes: mode 0700, files 0600.

    ``into``: absolute, in a folder that exists. ``sha256`` (hexadecimal digits) and ``size`` (bytes) are those of what
    is read, compressed or not; None takes whatever comes. Nothing is left where it fails.
    Raises CheckpointError destination_exists, destination_refused, no_space, too_large, archive_truncated,
    archive_not_tar, archive_damaged, archive_unsafe, archive_bomb, zstd_missing, incremental, digest_wrong,
    not_a_checkpoint, and what the stream raises.
    """
    into = os.path.normpath(into)
    if os.path.lexists(into):
        raise _exists(into)
    with _blaming(into):
        sweep(into)
    check_space(size or 0, os.path.dirname(into))
    with contextlib.ExitStack() as stack:
        arriving = Arriving(stream, stack.enter_context(concurrent.futures.ThreadPoolExecutor(1)), size)
        disk = stack.enter_context(concurrent.futures.ThreadPoolExecutor(4))
        with _blaming(into):
            folder = _Folder(into, disk)
        stack.callback(folder.close)
        try:
            _unpack(arriving, folder)
        except CheckpointError as error:
            if arriving.failure not in (None, error):
                raise arriving.failure from error
            raise
        found = arriving.sha256()
        if size is not None and arriving.received < size:
            raise _truncated(f"after {arriving.received} of {size} bytes")
        if sha256 is not None and found != sha256.lower():
            raise CheckpointError(
                "digest_wrong",
                f"What arrived is not the archive that was meant: its SHA-256 is {found}",
                hint="Fetch the archive again, or look who replaced it",
                expected=sha256.lower(),
                found=found,
            )
        _require_checkpoint(folder.path)
        folder.publish(found)
    return Arrived(into, found, arriving.received)


def place(destination: str) -> str:
    """The folder that an option means. Raises CheckpointError invalid_option."""
    if not os.path.isabs(destination) or "\0" in destination or os.path.normpath(destination) == "/":
        raise CheckpointError("invalid_option", f"destination is not the absolute path of a folder: {destination!r}")
    return os.path.normpath(destination)


def digest_of(checksum: str) -> str:
    """The SHA-256 that an option means, as hexadecimal digits. Raises CheckpointError invalid_option."""
    given = SHA256.fullmatch(checksum.strip().lower())
    if given is None:
        raise CheckpointError("invalid_option", f"checksum is not a SHA-256: {checksum!r}")
    return given.group(1)


def require_free(destination: str) -> None:
    """Raise CheckpointError destination_exists, once it is known that the folder is not this archive's."""
    if os.path.lexists(destination):
        raise CheckpointError(
            "destination_exists",
            f"{destination} is there already, and was not made of this archive",
            hint="It is never overwritten: choose another folder",
        )


def make_parent(destination: str) -> None:
    """Make the folder that the new one is to be in, as this user's alone. Raises OSError."""
    before = os.umask(0o077)
    try:
        os.makedirs(os.path.dirname(destination), exist_ok=True)
    finally:
        os.umask(before)


def refused(destination: str, error: OSError) -> CheckpointError:
    return CheckpointError("destination_refused", f"{destination} cannot be made", message=str(error))


def arrived(path: str) -> t.Optional[str]:
    """The SHA-256 of the archive that a folder of root's was made of by arrive(), None where nothing tells."""
    try:
        descriptor, _info = opened(path)
    except CheckpointError:
        return None
    try:
        return os.getxattr(descriptor, MARK).decode("ascii", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def sweep(into: str) -> None:
    """Remove what runs left that were killed while they unpacked into this folder. Raises OSError."""
    parent, name = os.path.split(into)
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}")
    for found in filter(pattern.fullmatch, os.listdir(parent)):
        path = os.path.join(parent, found)
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _unpack(arriving: Arriving, folder: _Folder) -> None:
    notes = Notes()
    source, _name = compression.opened(arriving)
    end = 0
    try:
        for member in tar.forward(source, notes):
            folder.take(member, source)
            end = member.offset + -(-member.size // BLOCK) * BLOCK + BLOCK
        # To the end of both: a compressed stream has its own checksum there, and the digest is that of all bytes.
        for _piece in source.chunks(end, 1 << 62):
            pass
    finally:
        if source is not arriving:
            source.close()
    while arriving.more():
        pass
    if source.broken is not None:
        raise source.broken
    if "archive_cut" in notes.codes():
        raise _truncated("without its end mark")


def _require_harmless(member: Member, source: Source) -> None:
    """Raise CheckpointError for what no engine writes, and for images that need others."""
    if member.kind == "symlink" and member.name.rpartition("/")[2] == "parent":
        raise CheckpointError(
            "incremental", "The images are those of an incremental dump, and need the dump before them as well"
        )
    if member.kind not in ("file", "directory"):
        raise _unsafe(member, f"is a {member.kind.replace('_', ' ')}")
    if member.kind == "file" and member.source is not source:
        raise _unsafe(member, "is a sparse file")
    parts = member.name.split("/")
    deepest = 1 if member.kind == "directory" else 2
    if member.unsafe or len(parts) > deepest or not all(PLAIN_NAME.fullmatch(part) for part in parts):
        raise _unsafe(member, "has a name like no other")


def _require_checkpoint(path: str) -> None:
    with open_archive(path) as archive:
        missing = [name for name in DOCUMENTS if archive.tree.file(name) is None]
        if archive.image_folder() is None:
            missing.append("CRIU's images")
    if missing:
        raise CheckpointError(
            "not_a_checkpoint",
            f"The archive is readable, but holds no checkpoint: it has no {' and no '.join(missing)}",
            hint="A checkpoint has config.dump, spec.dump and a folder checkpoint with CRIU's images",
        )


def _write_at(out: int, data: t.Union[bytes, memoryview], position: int) -> None:
    while len(data):
        written = os.pwrite(out, data, position)
        data = data[written:]
        position += written


def _close(out: int) -> None:
    try:
        os.fsync(out)
    finally:
        os.close(out)


@contextlib.contextmanager
def _blaming(into: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise CheckpointError(
                "no_space", f"The disk of {into} is full", hint="Free some space there", message=str(error)
            ) from error
        raise refused(into, error) from error


def _exists(into: str) -> CheckpointError:
    return CheckpointError(
        "destination_exists", f"{into} is there already", hint="It is never overwritten: choose another folder"
    )


def _truncated(where: str) -> CheckpointError:
    return CheckpointError(
        "archive_truncated", f"The archive ends {where}", hint="Fetch it again, or see whether it was cut on its disk"
    )


def _unsafe(member: Member, problem: str) -> CheckpointError:
    return CheckpointError(
        "archive_unsafe",
        f"The archive has a member that no checkpoint has: {member.name!a} {problem}",
        hint="No engine writes that. Find out where the archive comes from before anybody restores it",
    )
