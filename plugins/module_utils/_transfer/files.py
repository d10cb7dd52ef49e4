# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New files in place of none or of an older one, and errors of the file system as a person reads them.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import typing as t

from .._common.errors import CheckpointError
from .._common.files import written

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_AT_WORKING_DIRECTORY = -100
_RENAME_NOREPLACE = 1


@contextlib.contextmanager
def blaming(path: str) -> t.Iterator[None]:
    """Turn an OSError into a :class:`CheckpointError` about the path, see :func:`refused`."""
    try:
        yield
    except OSError as error:
        raise refused(path, error) from error


def refused(path: str, error: OSError) -> CheckpointError:
    """``destination_full``, ``destination_unsafe`` (a symbolic link) or ``destination_refused``."""
    if error.errno in _FULL:
        return CheckpointError(
            "destination_full",
            f"The disk of {path} is full",
            hint="Free some space or choose another destination, then run it again",
            message=str(error),
            path=path,
        )
    if error.errno == errno.ELOOP:
        return CheckpointError(
            "destination_unsafe",
            f"{path} is a symbolic link",
            hint="Look who put it there, and move it away",
            message=str(error),
            path=path,
        )
    return CheckpointError("destination_refused", f"{path} cannot be used", message=str(error), path=path)


def write_new(path: str, content: bytes) -> None:
    """Write a file, mode 0600, under a name that is free. Raises :class:`CheckpointError`."""
    with blaming(path), written(path, move=move_to_free_name) as file:
        file.write(content)


def replace(path: str, content: bytes) -> None:
    """Write a file, mode 0600, in place of the one that may be there. Raises :class:`CheckpointError`."""
    with blaming(path), written(path) as file:
        file.write(content)


def need_room(directory: str, needed: int, path: str) -> None:
    """Raise :class:`CheckpointError` ``destination_full`` about the path where its directory has not so many bytes."""
    with blaming(directory):
        room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    if needed > free:
        raise CheckpointError(
            "destination_full",
            f"{path} needs {needed} more bytes and the disk has {free}",
            hint="Free some space or choose another destination, then run it again",
            path=path,
        )


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything: the system may take less at a time. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def move_to_free_name(old: str, new: str) -> None:
    """Rename, but raise FileExistsError rather than replace anything. Raises OSError."""
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_noreplace(old, new)
    else:
        os.unlink(old)


def _rename_noreplace(old: str, new: str) -> None:
    # For file systems without hard links (FAT, some FUSE and CIFS). In glibc since 2.28; os has no call for it.
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        raise OSError(errno.EOPNOTSUPP, "neither hard links nor renameat2 here", new)
    names = (_AT_WORKING_DIRECTORY, os.fsencode(old), _AT_WORKING_DIRECTORY, os.fsencode(new))
    if library.renameat2(*names, _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), new)
