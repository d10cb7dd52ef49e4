# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An unpacked archive: a folder read in place, without following symbolic links.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import mmap
import os
import stat
import typing as t

from .._common.errors import CheckpointError
from .members import Member, Tree, clean_name
from .notes import Notes
from .source import Source
from .tar import MAX_MEMBERS

MAX_DEPTH = 32
"""Folders within folders; a checkpoint has three levels."""


class PathSource(Source):
    """One file of a folder, opened for each use: a folder may have more files than a process may open."""

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self.size = size

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise CheckpointError(
                "archive_unreadable", "A file of the unpacked archive could not be opened", message=str(error)
            ) from error

    def read_at(self, offset: int, size: int) -> bytes:
        if size <= 0 or offset < 0:
            return b""
        fd = self._open()
        try:
            return os.pread(fd, size, offset)
        except OSError as error:
            raise CheckpointError(
                "archive_unreadable", "A file of the unpacked archive could not be read", message=str(error)
            ) from error
        finally:
            os.close(fd)

    def map(self, offset: int, size: int) -> t.Optional[memoryview]:
        if size <= 0 or offset < 0:
            return memoryview(b"")
        fd = self._open()
        try:
            view = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):
            return None
        finally:
            os.close(fd)
        return view[offset : offset + size]


def _member(path: str, name: bytes) -> Member:
    info = os.lstat(path)
    kind, size, link = "other", 0, ""
    if stat.S_ISREG(info.st_mode):
        kind, size = "file", info.st_size
    elif stat.S_ISDIR(info.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(info.st_mode):
        kind, link = "symlink", os.readlink(path)
    clean, unsafe = clean_name(name)
    return Member(
        clean,
        kind,
        size,
        PathSource(path, size),
        0,
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        mtime=int(info.st_mtime),
        link=link,
        unsafe=unsafe,
    )


def _walk(top: str, notes: Notes) -> t.Iterator[tuple[str, str]]:
    """(path, name below top) of everything, sorted, without following links."""
    pending: list[tuple[str, int]] = [("", 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            entries = sorted(os.scandir(os.path.join(top, folder)), key=lambda entry: entry.name)
        except OSError as error:
            notes.add("folder_unreadable", f"A folder could not be read: {error}", ascii(folder))
            continue
        for entry in entries:
            name = os.path.join(folder, entry.name)
            yield entry.path, name
            if entry.is_dir(follow_symlinks=False):
                if depth >= MAX_DEPTH:
                    notes.add("folder_too_deep", "A folder lies too deep and is left", ascii(name))
                else:
                    pending.append((name, depth + 1))


def scan(path: str, notes: Notes) -> Tree:
    """The members of an unpacked archive."""
    tree = Tree(Source(), notes)
    for found, name in _walk(path, notes):
        if len(tree.members) >= MAX_MEMBERS:
            notes.add("too_many_members", f"The folder has more than {MAX_MEMBERS} files; the rest is left")
            break
        try:
            tree.add(_member(found, os.fsencode(name)))
        except OSError as error:
            notes.add("member_unreadable", f"A file could not be looked at: {error}", ascii(name))
    return tree
