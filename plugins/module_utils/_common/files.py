# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import typing as t

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD of fcntl.h, RENAME_EXCHANGE of linux/fs.h."""


@contextlib.contextmanager
def written(
    path: str, *, beside: t.Optional[str] = None, move: t.Optional[t.Callable[[str, str], None]] = None
) -> t.Iterator[t.BinaryIO]:
    """A new file to write to, mode 0600, that gets its name when the block ends well, and is gone when it does not.

    Content and name are on the disk by then. Before, it has a hidden name in the folder ``beside``, which has to be on
    the same file system, else in that of ``path``. ``move`` renames it; by default a file that is there is replaced.
    Raises OSError.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(beside or folder, f".{name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        (move or os.rename)(temporary, path)
        sync_directory(folder or ".")
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def exchange(one: str, other: str) -> None:
    """Have each of two files get the other's name, at one stroke. Raises FileNotFoundError where one is not there.

    Source: renameat2(2), Linux 3.15, glibc 2.28; os has no call for it. Raises OSError.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        raise OSError(errno.ENOSYS, "the C library has no renameat2", other)
    if library.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), other)


def sync_directory(directory: str) -> None:
    """Put the names in a directory on the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
