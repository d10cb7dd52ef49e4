# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying what the container had changed in its root file system, inside the new container's root.

It happens in a child process that has made that root its own, so that no name and no link leads out of it. CRI-O and
Podman write a tar and a list of deleted paths, containerd an OCI layer (image-spec 1.1, layer.md: whiteouts).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from .._archive.archive import Archive
from .._archive.members import Member
from .._archive.rootfs import OPAQUE, WHITEOUT, RootfsChanges, changes
from .._common.errors import CheckpointError

MAX_REASON = 4096
SET_ID = stat.S_ISUID | stat.S_ISGID
WRITTEN = ("file", "directory", "symlink", "hardlink", "fifo")


def wanted(archive: Archive) -> RootfsChanges:
    """The changes. Raises CheckpointError rootfs_refused where a part cannot be read or must not be written."""
    found = changes(archive)
    unreadable = [note for note in archive.notes if note["code"] == "nested_unreadable"]
    if unreadable:
        raise _refused(unreadable[0]["text"])
    for member in found.tree.members if found.tree is not None else ():
        if member.unsafe:
            raise _refused(f"{member.name!a} leads out of it")
        if member.kind not in WRITTEN and member.name:
            kind = "of an unknown kind" if member.kind == "other" else f"a {member.kind.replace('_', ' ')}"
            raise _refused(f"{member.name!a} is {kind}")
        if not member.complete:
            raise _refused(f"{member.name!a} is cut short")
    cut = found.tree is not None and [note for note in found.tree.notes if note["code"] == "archive_cut"]
    if cut:
        raise _refused(cut[0]["text"])
    return found


def _refused(why: str) -> CheckpointError:
    return CheckpointError("rootfs_refused", f"The changes of the root file system cannot be restored: {why}")


def set_id_files(found: RootfsChanges) -> list[str]:
    """Files that run as their owner: a way for a process of another user to become root."""
    return [f"/{member.name}" for member in found.members if member.kind == "file" and member.mode & SET_ID]


def apply(found: RootfsChanges, root: str, keep_set_id: bool) -> None:
    """Write the changes below the root. Raises CheckpointError rootfs_refused, with what stands in the way."""
    if found.tree is None and not found.deleted:
        return
    needed = sum(member.size for member in found.members)
    free = os.statvfs(root)
    if needed > free.f_bavail * free.f_frsize:
        raise _refused(f"they take {needed} bytes, and there is not that much space left")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.chroot(root)
            os.chdir("/")
            os.umask(0o022)
            _apply(found, keep_set_id)
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
        raise _refused(reason or "it was interrupted")


def _apply(found: RootfsChanges, keep_set_id: bool) -> None:
    for path in found.deleted:
        _remove(path)
    folders: list[Member] = []
    for member in found.tree.members if found.tree is not None else ():
        base = member.name.rpartition("/")[2]
        if base == OPAQUE:
            _empty(os.path.dirname("/" + member.name))
        elif member.name and not base.startswith(WHITEOUT):
            _write(member, "/" + member.name, keep_set_id)
            if member.kind == "directory":
                folders.append(member)
    for member in reversed(folders):
        os.utime("/" + member.name, (member.mtime, member.mtime))


def _remove(path: str) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def _empty(path: str) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(path):
            _remove(os.path.join(path, name))


def _write(member: Member, path: str, keep_set_id: bool) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = member.mode if keep_set_id else member.mode & ~SET_ID
    if member.kind == "directory":
        if not os.path.isdir(path) or os.path.islink(path):
            _remove(path)
            os.mkdir(path)
    else:
        _remove(path)
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
        os.chmod(path, mode)
        os.utime(path, (member.mtime, member.mtime))


def _content(member: Member, path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in member.chunks():
            file.write(piece)
