# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes of a root file system in the form of an engine: CRI-O's tar with a list, or containerd's OCI layer.

Sources: CRI-O 1.36.3 internal/lib/checkpoint.go and containers/common pkg/crutils (rootfs-diff.tar, deleted.files);
containerd 2.1.9 internal/cri/server/container_checkpoint_linux.go (rootfs-diff.tar, which is compressed);
OCI image-spec 1.1 layer.md (whiteouts); Go archive/tar (SCHILY.xattr).

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import stat
import tarfile
import typing as t

from .._archive.rootfs import DELETED, DIFF, OPAQUE, WHITEOUT
from .._common.errors import CheckpointError
from .limits import Limits
from .output import Output, add
from .rootfs import Change, Overlay, Walk, attributes

XATTR = "SCHILY.xattr."


def write(overlay: Overlay, engine: str, output: Output, limits: Limits) -> int:
    """Write the changes; how many there are.

    Raises CheckpointError interrupted, timeout, rootfs_changing, rootfs_unsupported; OSError.
    """
    walk = Walk(overlay)
    changes = list(walk)
    if engine == "containerd":
        # Stored in gzip's form, not made smaller: the container stands still meanwhile.
        with output.member(DIFF) as file, gzip.GzipFile("", "wb", 0, file, 0) as packed:
            _tar(t.cast("t.Any", packed), overlay, _as_layer(changes), limits)
        return len(changes)
    added = [(change, change.path) for change in changes if change.kind == "added"]
    deleted = [change.path for change in changes if change.kind == "deleted"]
    for change in changes:
        deleted += walk.hidden(change.path) if change.kind == "replaced" else []
    if added:
        with output.member(DIFF) as file:
            _tar(file, overlay, added, limits)
    if deleted:
        add(output, DELETED, json.dumps(["/" + path for path in sorted(set(deleted))]).encode())
    return len(changes)


def write_folder(path: str, file: t.Any, limits: Limits) -> None:
    """Write all that is in a folder as a tar, but for sockets: CRIU makes those that a process had bound.

    Raises CheckpointError interrupted, timeout, rootfs_changing; OSError.
    """
    seen: dict[tuple[int, int], str] = {}
    with _opened(file) as tar:
        # The folder itself has owner and mode as well, and a tar without any entry is none.
        _add(tar, path, ".", Change(".", "added"), seen, limits)
        for folder, folders, names in os.walk(path):
            for name in sorted([*folders, *names]):
                limits.check()
                whole = os.path.join(folder, name)
                relative, info = os.path.relpath(whole, path), os.lstat(whole)
                linked = info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode)
                change = Change(relative, "added", (info.st_dev, info.st_ino) if linked else (0, 0))
                if not stat.S_ISSOCK(info.st_mode):
                    _add(tar, whole, relative, change, seen, limits)


def _as_layer(changes: t.Iterable[Change]) -> t.Iterator[tuple[Change, str]]:
    """Each change with its name in a layer."""
    for change in changes:
        folder, slash, name = change.path.rpartition("/")
        if change.kind == "deleted":
            yield change, f"{folder}{slash}{WHITEOUT}{name}"
        elif change.kind == "replaced":
            yield change, f"{change.path}/{OPAQUE}"
        else:
            yield change, change.path


def _tar(file: t.Any, overlay: Overlay, named: t.Iterable[tuple[Change, str]], limits: Limits) -> None:
    seen: dict[tuple[int, int], str] = {}
    with _opened(file) as tar:
        for change, name in named:
            limits.check()
            if change.kind == "added":
                _add(tar, os.path.join(overlay.root, change.path), name, change, seen, limits)
            else:
                tar.addfile(tarfile.TarInfo(name))


def _opened(file: t.Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


class _Content(io.FileIO):
    """A file that is read only as long as there is time."""

    def __init__(self, descriptor: int, limits: Limits) -> None:
        super().__init__(descriptor, "rb")
        self._limits = limits

    def read(self, size: t.Optional[int] = -1) -> t.Any:
        self._limits.check()
        return super().read(size)


def _add(
    tar: tarfile.TarFile, path: str, name: str, change: Change, seen: dict[tuple[int, int], str], limits: Limits
) -> None:
    """Add a file as the container sees it: its content may be that of the image, and only its owner changed."""
    try:
        info = os.lstat(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            "rootfs_changing", f"/{change.path} went away while it was read", message=str(error)
        ) from error
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
    entry.mtime = int(info.st_mtime)
    first = seen.setdefault(change.inode, name) if change.inode != (0, 0) else name
    if first != name:
        entry.type, entry.linkname = tarfile.LNKTYPE, first
        tar.addfile(entry)
        return
    carried = attributes(path)
    entry.pax_headers = {XATTR + key: value.decode("utf-8", "surrogateescape") for key, value in carried.items()}
    content: t.Any = None
    if stat.S_ISREG(info.st_mode):
        entry.size = info.st_size
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        content = _Content(descriptor, limits)
    elif stat.S_ISDIR(info.st_mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(info.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISFIFO(info.st_mode):
        entry.type = tarfile.FIFOTYPE
    else:
        entry.type = tarfile.CHRTYPE if stat.S_ISCHR(info.st_mode) else tarfile.BLKTYPE
        entry.devmajor, entry.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    with content or contextlib.nullcontext():
        tar.addfile(entry, content)
