# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container changed in its root file system, from the upper directory of its overlay: complete, in one pass.

Sources: Linux, Documentation/filesystems/overlayfs.rst (whiteouts, opaque and redirected directories, metacopy) and
proc_pid_mountinfo(5); where the upper directory is: containerd 2.1.9 and CRI-O 1.36.3, run on the laboratory.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import typing as t

from .._common.errors import CheckpointError
from .._node import processes

MARKS = ("trusted.overlay.", "user.overlay.")
CARRIED = ("user.", "security.capability", "system.posix_acl_")
"""Attributes that come along; labels belong to the node that they were made on, and MARKS to overlayfs."""

MOUNTINFO_BYTES = 8 << 20


class Change(t.NamedTuple):
    """A path ("etc/hosts") that was ``added`` (or changed), ``deleted``, or ``replaced``: a folder whose former content
    is gone. ``inode``: the same for hard links to one file."""

    path: str
    kind: str
    inode: tuple[int, int] = (0, 0)


class Overlay(t.NamedTuple):
    """The root file system of a process. ``root``: where it is to be read; ``mounts``: paths in it where something else
    is mounted; ``lower``: the directories below."""

    root: str
    upper: str
    lower: list[str]
    mounts: frozenset[str]


def _plain(text: str) -> str:
    """A field of mountinfo: blanks, tabs, newlines and backslashes are in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def storage_of(bundle: str) -> str:
    """Where containers/storage keeps overlays, from which long lists of them are mounted by relative paths; empty for
    containerd (drivers/overlay/overlay.go: STORAGE/ID/merged, /diff)."""
    try:
        with open(os.path.join(bundle, "config.json"), "rb") as file:
            root = str(json.load(file)["root"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return os.path.dirname(os.path.dirname(root)) if os.path.isabs(root) else ""


def overlay_of(pid: int, storage: str) -> Overlay:
    """The overlay that is the root of a process; ``storage``: see above.

    Raises CheckpointError rootfs_unsupported for any other.
    """
    folder = os.path.join(processes.PROC, str(pid))
    mounts, options, kind = [], "", ""
    for line in processes.read(os.path.join(folder, "mountinfo"), MOUNTINFO_BYTES).splitlines():
        before, _dash, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        point = _plain(fields[4])
        if point == "/":
            kind, options = rest[0], rest[2]
        else:
            mounts.append(point.strip("/"))
    found = dict(part.partition("=")[::2] for part in options.split(","))
    upper = os.path.join(storage, _plain(found.get("upperdir", "")))
    if kind != "overlay" or "upperdir" not in found or not os.path.isdir(upper):
        raise CheckpointError(
            "rootfs_unsupported",
            f"The root file system of the container is no overlay whose upper directory is there: {kind or 'unknown'}",
            hint="Use kubelet_checkpoint, by which the container runtime itself compares it",
        )
    lower = [os.path.join(storage, _plain(path)) for path in found.get("lowerdir", "").split(":") if path]
    return Overlay(os.path.join(folder, "root"), upper, lower, frozenset(mounts))


def _mark(path: str, name: str) -> t.Optional[bytes]:
    for space in MARKS:
        with contextlib.suppress(OSError):
            return os.getxattr(path, space + name, follow_symlinks=False)
    return None


class Walk:
    """All changes of an overlay, folders before what is in them."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def __iter__(self) -> t.Iterator[Change]:
        return self._below("", self._overlay.upper, False)

    def _below(self, folder: str, place: str, gone: bool) -> t.Iterator[Change]:
        """``place``: where the folder is read; ``gone``: whether what the image has there is hidden."""
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            info = entry.stat(follow_symlinks=False)
            if path in self._overlay.mounts:
                continue
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                yield Change(path, "deleted")
            elif stat.S_ISDIR(info.st_mode):
                moved = _mark(entry.path, "redirect") is not None
                hides = gone or moved or _mark(entry.path, "opaque") == b"y"
                yield Change(path, "added")
                if hides:
                    yield Change(path, "replaced")
                # A folder that was renamed has its content elsewhere: all of it is read where the container sees it.
                yield from self._below(path, os.path.join(self._overlay.root, path) if moved else entry.path, hides)
            elif not stat.S_ISSOCK(info.st_mode):
                yield Change(path, "added", (info.st_dev, info.st_ino) if info.st_nlink > 1 else (0, 0))

    def hidden(self, folder: str) -> list[str]:
        """What the image has in a replaced folder, and the container has not any more.

        Raises CheckpointError rootfs_unsupported.
        """
        missing = [lower for lower in self._overlay.lower if not os.path.isdir(lower)]
        if missing or not self._overlay.lower:
            raise CheckpointError(
                "rootfs_unsupported",
                f"/{folder} was replaced, and what the image had there cannot be read: {', '.join(missing)}",
            )
        there = set(os.listdir(os.path.join(self._overlay.root, folder)))
        names: set[str] = set()
        for lower in self._overlay.lower:
            with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                names.update(
                    entry.name
                    for entry in os.scandir(os.path.join(lower, folder))
                    if not (stat.S_ISCHR(entry.stat(follow_symlinks=False).st_mode))
                )
        return sorted(f"{folder}/{name}" for name in names - there)


def attributes(path: str) -> dict[str, bytes]:
    """The extended attributes that are carried, of a file as the container sees it."""
    try:
        found = os.listxattr(path, follow_symlinks=False)
        names = [name for name in found if name.startswith(CARRIED) and not name.startswith(MARKS)]
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError:
        return {}
