# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying what the container had changed in its root file system, inside the new container's root.

CRI-O and Podman write a tar and a list of deleted paths, containerd an OCI layer (image-spec 1.1, layer.md: whiteouts).
A tar of an overlay's upper directory has its marks: Linux, Documentation/filesystems/overlayfs.rst.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._archive.archive import Archive
from .._archive.members import Member
from .._archive.rootfs import RootfsChanges, changes, is_whiteout, overlay_mark
from .._common.errors import CheckpointError
from . import writing
from .writing import empty, inside, remove, require_writable, write_all


def wanted(archive: Archive) -> RootfsChanges:
    """The changes. Raises CheckpointError rootfs_refused where a part cannot be read or must not be written."""
    found = changes(archive)
    unreadable = [note for note in archive.notes if note["code"] == "nested_unreadable"]
    if unreadable:
        raise refused(unreadable[0]["text"])
    members = found.tree.members if found.tree is not None else []
    require_writable((member for member in members if member.unsafe or _has_content(member)), refused)
    for member in members:
        for mark in ("redirect", "metacopy"):
            if overlay_mark(member, mark) is not None:
                raise refused(f"of {member.name!a} it has only overlayfs's reference to what is elsewhere ({mark})")
    if [path for path in found.deleted if path.rpartition("/")[2] in ("", ".", "..")]:
        raise refused("what is deleted is not a file or folder with a name")
    bad = ("archive_cut", "too_many_members")
    cut = found.tree is not None and [note for note in found.tree.notes if note["code"] in bad]
    if cut:
        raise refused(cut[0]["text"])
    return found


def refused(why: str) -> CheckpointError:
    return CheckpointError("rootfs_refused", f"The changes of the root file system cannot be restored: {why}")


def set_id_files(found: RootfsChanges) -> list[str]:
    """Changed files that run with more than whoever starts them has."""
    return writing.set_id_files(found.members)


def apply(found: RootfsChanges, root: str, harmless: t.Collection[str]) -> None:
    """Write the changes below the root; ``harmless`` as in write_all().

    Raises CheckpointError rootfs_refused, with what stands in the way.
    """
    if found.tree is None and not found.deleted:
        return
    written = [member for member in found.tree.members if _has_content(member)] if found.tree is not None else []

    def work() -> None:
        # What is gone goes first, wherever it stands: an OCI layer's whiteouts are about the layers below it.
        for path in found.replaced:
            empty(path)
        for path in found.deleted:
            remove(path)
        write_all(written, harmless)

    inside(root, work, sum(member.size for member in written), refused)


def _has_content(member: Member) -> bool:
    return bool(member.name) and not is_whiteout(member)
