# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump is written to: an archive, or a folder with the same in it. Whole and under its name, or not at all.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tarfile
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.files import sync_directory
from .._restore import trusted

BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 20


class Output(t.Protocol):
    """Files are given to it one after the other, by names such as ``config.dump`` and ``checkpoint/core-1.img``."""

    def member(self, name: str) -> t.ContextManager[t.Any]:
        """A file to write to, front to back, of any length."""


def add(output: Output, name: str, data: bytes) -> None:
    with output.member(name) as file:
        file.write(data)


def copy(output: Output, name: str, path: str) -> None:
    with open(path, "rb") as source, output.member(name) as file:
        shutil.copyfileobj(source, file, PIECE)


class ArchiveOutput:
    """A tar as the engines write it: plain, files with the mode 0600. ``path``: a new file, until it gets its name.

    ``files``: how many are in it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._time = int(time.time())
        self.files = 0
        self._header("checkpoint", 0, tarfile.DIRTYPE, 0o700)

    def close(self) -> None:
        self._file.close()

    def _write(self, data: t.Any) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]

    def _header(self, name: str, size: int, kind: bytes = tarfile.REGTYPE, mode: int = 0o600) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.mode, info.mtime = size, kind, mode, self._time
        # One block whatever the size: beyond 8 GiB it is written in base 256.
        self._write(info.tobuf(tarfile.GNU_FORMAT))

    @contextlib.contextmanager
    def member(self, name: str) -> t.Iterator[t.Any]:
        self.files += 1
        before = self._file.tell()
        self._header(name, 0)
        yield _Whole(self._write)
        size = self._file.tell() - before - BLOCK
        self._write(bytes(-size % BLOCK))
        after = self._file.tell()
        self._file.seek(before)
        self._header(name, size)
        self._file.seek(after)

    def publish(self, destination: str) -> None:
        """Give all of it its name. Raises CheckpointError destination_exists, OSError."""
        self._write(bytes(2 * BLOCK))
        os.fsync(self._file.fileno())
        try:
            # Unlike a rename, a link never takes the place of what is there.
            os.link(self._path, destination)
        except FileExistsError:
            raise exists(destination) from None
        os.unlink(self._path)
        sync_directory(os.path.dirname(destination))


class _Whole:
    """What tarfile and gzip write to."""

    def __init__(self, write: t.Callable[[t.Any], None]) -> None:
        self._write = write

    def write(self, data: t.Any) -> int:
        self._write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""


class FolderOutput:
    """A folder that is root's alone, as one into which an archive was unpacked. ``path``: until it gets its name.

    ``files``: how many were written by this.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.files = 0

    def close(self) -> None:
        """Its files are closed."""

    @contextlib.contextmanager
    def member(self, name: str) -> t.Iterator[t.Any]:
        self.files += 1
        path = os.path.join(self._path, name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file

    def publish(self, destination: str) -> None:
        """Give all of it its name. Raises CheckpointError destination_exists, OSError."""
        for folder, _folders, names in os.walk(self._path):
            for name in names:
                descriptor = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fchmod(descriptor, 0o600)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            os.chmod(folder, 0o700)
            sync_directory(folder)
        if os.path.lexists(destination):
            raise exists(destination)
        os.rename(self._path, destination)
        sync_directory(os.path.dirname(destination))


def exists(destination: str) -> CheckpointError:
    return CheckpointError(
        "destination_exists",
        f"{destination} exists, and no archive is ever overwritten",
        hint="Give another destination, or remove it if it is not needed any more",
    )


def unwritable(path: str, error: OSError) -> CheckpointError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CheckpointError(
            "no_space",
            f"There is no space left for {path}",
            hint="Make space, or give a destination on another file system",
            message=str(error),
        )
    return CheckpointError("not_written", f"{path} could not be written", message=str(error))


def sha256(path: str) -> str:
    """Of a file, as hexadecimal digits."""
    with open(path, "rb", buffering=0) as file:
        return trusted.sha256(file.fileno())
