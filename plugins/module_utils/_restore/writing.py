# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing the members of an archive below a folder: the new container's root, or one of its volumes.

It happens in a child process that has made the folder its root directory, so that no name and no link leads out of it.

Sources: capabilities(7), "File capabilities", and xattr(7) for the attributes; chown(2) takes capabilities away.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import typing as t

from .._archive.members import Member
from .._common.errors import CheckpointError

MAX_REASON = 4096
SET_ID = stat.S_ISUID | stat.S_ISGID
CAPABILITY = "security.capability"
CARRIED = ("user.", "system.posix_acl_")
"""Attributes that come along; labels and overlayfs's marks belong to the node and file system they were made on."""

WRITTEN = ("file", "directory", "symlink", "hardlink", "fifo")

Refused = t.Callable[[str], CheckpointError]


def require_writable(members: t.Iterable[Member], refused: Refused) -> None:
    """Raise what ``refused`` makes of a sentence where a member cannot be written, or must not be."""
    for member in members:
        if member.unsafe:
            raise refused(f"{member.name!a} leads out of it")
        if member.kind not in WRITTEN:
            kind = "of an unknown kind" if member.kind == "other" else f"a {member.kind.replace('_', ' ')}"
            raise refused(f"{member.name!a} is {kind}")
        if not member.complete:
            raise refused(f"{member.name!a} is cut short")


def set_id_files(members: t.Iterable[Member]) -> list[str]:
    """Files that run with more than whoever starts them has: a way for a process of another user to become root."""
    return [
        f"/{member.name}"
        for member in members
        if member.kind == "file" and (member.mode & SET_ID or CAPABILITY in member.xattrs)
    ]


def inside(root: str, work: t.Callable[[], None], needed: int, refused: Refused) -> None:
    """Do some work in a process whose root directory this is; ``needed``: how many bytes it is going to write.

    Raises what ``refused`` makes of the reason.
    """
    free = os.statvfs(root)
    if needed > free.f_bavail * free.f_frsize:
        raise refused(f"they take {needed} bytes, and there is not that much space left")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.chroot(root)
            os.chdir("/")
            os.umask(0o022)
            work()
            status = 0
        except BaseException as error:
            os.write(writing, f"{error}".encode("utf-8", "replace")[:MAX_REASON])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        reason = file.read(MAX_REASON).decode("utf-8", "replace")
    _child, status = os.waitpid(child, 0)
    if status:
        raise refused(reason or "it was interrupted")


def write_all(members: t.Iterable[Member], harmless: t.Collection[str]) -> None:
    """Write members below the root directory. ``harmless``: files ("/name") that lose what runs with more rights."""
    folders: list[Member] = []
    for member in members:
        _write(member, "/" + member.name, "/" + member.name in harmless)
        if member.kind == "directory":
            folders.append(member)
    for member in reversed(folders):
        os.utime("/" + member.name, (member.mtime, member.mtime))


def remove(path: str) -> None:
    """Remove whatever is there, if something is."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def empty(path: str) -> None:
    """Remove all that is in a folder, if it is one."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(path):
            remove(os.path.join(path, name))


def _write(member: Member, path: str, harmless: bool) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if member.kind == "directory":
        if not os.path.isdir(path) or os.path.islink(path):
            remove(path)
            os.mkdir(path)
    else:
        remove(path)
        if member.kind == "symlink":
            os.symlink(member.link, path)
        elif member.kind == "hardlink":
            os.link("/" + member.link.lstrip("/"), path, follow_symlinks=False)
            return
        elif member.kind == "fifo":
            os.mkfifo(path)
        else:
            _content(member, path)
    os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if member.kind != "symlink":
        os.chmod(path, member.mode & ~SET_ID if harmless else member.mode)
        for name, value in member.xattrs.items():
            if name.startswith(CARRIED) or (name == CAPABILITY and not harmless):
                os.setxattr(path, name, value)
        os.utime(path, (member.mtime, member.mtime))


def _content(member: Member, path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in member.chunks():
            file.write(piece)
