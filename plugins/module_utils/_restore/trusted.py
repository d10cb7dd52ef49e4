# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening what a ticket names: once, and only if nobody but root can change it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import hashlib
import os
import stat

from .._archive.folder import PathSource
from .._archive.members import Tree
from .._common.errors import CheckpointError

HASH_CHUNK = 1 << 20


def opened(path: str) -> tuple[int, os.stat_result]:
    """A descriptor of a file or folder, to be closed. Raises CheckpointError archive_missing or archive_untrusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        raise CheckpointError("archive_missing", f"The archive {path} cannot be opened", message=str(error)) from error
    try:
        info = os.fstat(descriptor)
        require_trusted(info, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, info


def require_trusted(info: os.stat_result, name: str) -> None:
    """Raise CheckpointError archive_untrusted unless it is root's, and not to be written by anybody else."""
    if info.st_uid != os.geteuid() or (info.st_mode & 0o022 and not stat.S_ISLNK(info.st_mode)):
        raise CheckpointError(
            "archive_untrusted",
            f"{name} belongs to another user, or others may write to it",
            hint="An archive that is restored has to be root's alone",
        )


def sha256(descriptor: int) -> str:
    """Of all that is in a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    position = 0
    while True:
        data = os.pread(descriptor, HASH_CHUNK, position)
        if not data:
            return digest.hexdigest()
        digest.update(data)
        position += len(data)


class FolderFile(PathSource):
    """A file of an open folder: found from any root directory, and whatever becomes of the folder's name."""

    def __init__(self, descriptor: int, name: str, size: int) -> None:
        super().__init__(name, size)
        self._folder = descriptor

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._folder)
        except OSError as error:
            raise CheckpointError(
                "archive_unreadable", "A file of the unpacked archive could not be opened", message=str(error)
            ) from error


def read_by_descriptor(tree: Tree, descriptor: int) -> None:
    """Have the files of a folder that was scanned read by its descriptor."""
    for member in tree.members:
        if member.kind == "file":
            member.source = FolderFile(descriptor, member.name, member.size)
