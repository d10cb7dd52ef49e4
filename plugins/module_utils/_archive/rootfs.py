# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container changed in its root file system since the image, as the engine recorded it.

CRI-O and Podman write changed and added files into rootfs-diff.tar and deletions into deleted.files; containerd writes
an OCI layer (gzip) with whiteouts. A tar of an overlay's upper directory has overlayfs's own marks. Sources:
cri-o internal/lib/checkpoint.go, containers/common pkg/crutils; containerd
internal/cri/server/container_checkpoint_linux.go; OCI image-spec v1.1 layer.md (whiteouts).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .archive import Archive, open_nested
from .members import Member, Tree

DIFF = "rootfs-diff.tar"
DELETED = "deleted.files"
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
VOLUMES = "volumes/"
OVERLAYS = ("trusted.overlay.", "user.overlay.")
"""Attributes by which overlayfs marks what is in its upper directory: Linux Documentation/filesystems/overlayfs.rst."""

PLACES = {DIFF: "/", "devshm-checkpoint.tar": "/dev/shm"}


class RootfsChanges:
    """``tree`` holds the added and changed files (None where there is no difference or it cannot be read);
    ``deleted`` the paths that are gone, ``replaced`` the folders whose former content is gone."""

    def __init__(self, tree: t.Optional[Tree], deleted: list[str], replaced: list[str]) -> None:
        self.tree = tree
        self.deleted = deleted
        self.replaced = replaced

    @property
    def members(self) -> list[Member]:
        """Added and changed members without whiteouts, by name."""
        if self.tree is None:
            return []
        found = [member for member in self.tree.members if not is_whiteout(member)]
        return sorted(found, key=lambda member: member.name)

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "written": [{**member.as_dict(), "name": "/" + member.name} for member in self.members],
            "deleted": self.deleted,
            "replaced_folders": self.replaced,
        }


def is_whiteout(member: Member) -> bool:
    """Whether a member stands for something that is gone: an OCI layer's name, or overlayfs's device 0:0."""
    if member.kind == "character_device" and member.device == (0, 0):
        return True
    return member.name.rpartition("/")[2].startswith(WHITEOUT)


def overlay_mark(member: Member, name: str) -> t.Optional[bytes]:
    """What overlayfs has marked a file with ("opaque", "redirect", "metacopy"); None where it has not."""
    return next((member.xattrs[space + name] for space in OVERLAYS if space + name in member.xattrs), None)


def nested(archive: Archive) -> t.Iterator[tuple[str, Tree]]:
    """The tar files of file systems inside an archive, each with a name for its place: the changes of the root file
    system ("/"), and Podman's "/dev/shm" and "volume NAME"."""
    for member in archive.members:
        if member.kind != "file" or not member.size or member.unsafe:
            continue
        place = PLACES.get(member.name)
        if member.name.startswith(VOLUMES) and member.name.endswith(".tar"):
            place = f"volume {member.name[len(VOLUMES) : -len('.tar')]}"
        if place is None:
            continue
        try:
            yield place, open_nested(member, archive.notes)
        except CheckpointError as error:
            archive.notes.add("nested_unreadable", f"A tar within the archive cannot be read: {error}", member.name)


def changes(archive: Archive) -> RootfsChanges:
    """The changes; what cannot be read is noted and left out."""
    deleted: set[str] = set()
    replaced: set[str] = set()
    listed = archive.documents.get(DELETED)
    if isinstance(listed, list):
        deleted.update("/" + path.lstrip("/") for path in listed if isinstance(path, str))
    tree = next((found for place, found in nested(archive) if place == "/"), None)
    for found in tree.members if tree is not None else ():
        folder, _slash, base = found.name.rpartition("/")
        if base == OPAQUE:
            replaced.add("/" + folder)
        elif found.kind == "directory" and overlay_mark(found, "opaque") == b"y":
            replaced.add("/" + found.name)
        elif found.kind == "character_device" and is_whiteout(found):
            deleted.add("/" + found.name)
        elif base.startswith(WHITEOUT):
            deleted.add("/" + (folder + "/" if folder else "") + base[len(WHITEOUT) :])
    return RootfsChanges(tree, sorted(deleted), sorted(replaced))
