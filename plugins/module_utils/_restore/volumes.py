# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The new pod's volumes: what goes into its emptyDir volumes, and whether the files that were open are there.

When a container is created, the kubelet has set its volumes up: Kubernetes pkg/volume/emptydir/empty_dir.go and
pkg/volume/util/util.go (names of the folders), 1.36. Open files: criu images/regfile.proto, remap-file-path.proto,
4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import typing as t

from .._archive import compression, folder, tar
from .._archive.members import Member
from .._archive.notes import Notes
from .._archive.source import FileSource
from .._common.errors import CheckpointError
from .._criu.images import Images
from .._criu.wire import number, text
from . import trusted
from .bundle import Bundle, Mount
from .ticket import Content
from .writing import inside, require_writable, set_id_files, write_all

EMPTY_DIR = re.compile(r"/.+/pods/[^/]+/volumes/kubernetes\.io~empty-dir/[^/]+")
SHOWN = 10
INCOMPLETE = ("archive_cut", "too_many_members", "folder_too_deep", "folder_unreadable", "member_unreadable")


class Filling:
    """What goes into one volume, from a tar or a folder that is root's; to be closed. ``target``: the volume's folder.

    Raises CheckpointError volume_refused, archive_missing, archive_untrusted, digest_wrong, and what says that a file
    is no tar.
    """

    def __init__(self, point: str, content: Content, target: str) -> None:
        self.point = point
        self._target = target
        self._descriptor, info = trusted.opened(content["path"])
        self._notes = Notes()
        try:
            unpacked = stat.S_ISDIR(info.st_mode)
            if unpacked != (content["sha256"] is None):
                raise CheckpointError("ticket_invalid", "A ticket has a SHA-256 for a tar, and none for a folder")
            members = self._of_folder(info, content["path"]) if unpacked else self._of_tar(content)
            self._members = [member for member in members if member.name or member.kind == "directory"]
            require_writable(self._members, self._refused)
            incomplete = [note["text"] for note in self._notes if note["code"] in INCOMPLETE]
            if incomplete:
                raise self._refused(incomplete[0])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def _refused(self, why: str) -> CheckpointError:
        return CheckpointError("volume_refused", f"The content of the volume at {self.point} cannot be written: {why}")

    def _of_tar(self, content: Content) -> list[Member]:
        found = trusted.sha256(self._descriptor)
        if found != content["sha256"]:
            raise CheckpointError(
                "digest_wrong",
                f"{content['path']} is not the content that the ticket is for: its SHA-256 is {found}",
                hint="Bring it again, or leave a new ticket",
            )
        source, packed = compression.opened(FileSource(self._descriptor, owner=False))
        if packed == "zstd":
            raise self._refused("it is packed with zstd")
        return tar.scan(source, self._notes).members

    def _of_folder(self, info: os.stat_result, path: str) -> list[Member]:
        # Its files keep their owners, who must not get at them here.
        if info.st_mode & 0o077:
            raise CheckpointError(
                "archive_untrusted", f"Others than root can read {path}", hint="Make its mode 0700: chmod 0700"
            )
        place = f"/proc/self/fd/{self._descriptor}"
        tree = folder.scan(place, self._notes)
        trusted.read_by_descriptor(tree, self._descriptor)
        members: list[Member] = []
        for member in tree.members:
            mode = os.stat(member.name, dir_fd=self._descriptor, follow_symlinks=False).st_mode
            member.kind = "fifo" if stat.S_ISFIFO(mode) else member.kind
            # CRIU makes the sockets that a process had bound.
            if not stat.S_ISSOCK(mode):
                members.append(member)
            if member.kind in ("file", "directory"):
                member.xattrs = _xattrs(os.path.join(place, member.name))
        return members

    def set_id_files(self) -> list[str]:
        """Paths in the container of files that run with more than whoever starts them has."""
        return [self.point + name for name in set_id_files(self._members)]

    def fill(self, harmless: t.Collection[str]) -> None:
        """Write it all; of ``harmless`` see write_all(), with paths in the container."""
        own = {path[len(self.point) :] for path in harmless if path.startswith(self.point + "/")}
        needed = sum(member.size for member in self._members)
        inside(self._target, lambda: write_all(self._members, own), needed, self._refused)


def _xattrs(path: str) -> dict[str, bytes]:
    with contextlib.suppress(OSError):
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path)}
    return {}


def content_of(point: str, path: str) -> Content:
    """What a ticket says of a tar or folder for a volume. Raises as Filling does, where that would refuse it."""
    descriptor, info = trusted.opened(path)
    try:
        digest = None if stat.S_ISDIR(info.st_mode) else trusted.sha256(descriptor)
    finally:
        os.close(descriptor)
    content: Content = {"path": path, "sha256": digest}
    Filling(point, content, "").close()
    return content


def empty_dir(point: str, bundle: Bundle) -> str:
    """The folder of the emptyDir volume that is mounted there. Raises CheckpointError volume_unknown."""
    source = next((mount.source for mount in reversed(bundle.mounts) if mount.path == point), None)
    if source is None:
        raise CheckpointError("volume_unknown", f"The new pod has no volume at {point}")
    if not EMPTY_DIR.fullmatch(source) or os.path.normpath(source) != source or not _is_folder(source):
        raise CheckpointError(
            "volume_unknown",
            f"What the new pod has at {point} is not an emptyDir volume",
            hint="Only emptyDir volumes are filled; leave a ticket without this one",
        )
    return source


def _is_folder(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def require_open_files(images: Images, bundle: Bundle) -> None:
    """See that the files that were open in the pod's volumes are there: CRIU opens them by their names.

    Raises CheckpointError files_missing.
    """
    mounts = sorted(bundle.mounts, key=lambda mount: len(mount.path), reverse=True)
    # A file that was deleted while it was open comes with the images.
    deleted = {number(entry.fields, "orig_id") for entry in images.each("remap-fpath")}
    missing: set[str] = set()
    for entry in images.each("files"):
        found = entry.fields.get("reg")
        if found and number(found, "id") not in deleted and _is_missing(text(found, "name"), mounts):
            missing.add(text(found, "name"))
    if missing:
        names = sorted(missing)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        shown = ", ".join(f"{name!a}" for name in names[:SHOWN])
        raise CheckpointError(
            "files_missing",
            f"The process had files open that are not in the volumes of the new pod: {shown}{more}",
            hint="Bring the contents of the volumes as well; a ticket can fill emptyDir volumes",
            files=names[:SHOWN],
        )


def _is_missing(path: str, mounts: t.Sequence[Mount]) -> bool:
    """Whether a path in the container is one in a volume, where there is certainly nothing."""
    mount = next((mount for mount in mounts if path == mount.path or path.startswith(f"{mount.path}/")), None)
    if mount is None or mount.type != "bind" or not os.path.isabs(mount.source):
        return False
    place = mount.source
    for part in ["", *path[len(mount.path) :].split("/")]:
        place = os.path.join(place, part) if part else place
        try:
            # Where a link leads is for the container's own root to say.
            if stat.S_ISLNK(os.lstat(place).st_mode):
                return False
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ValueError):
            return False
    return False
