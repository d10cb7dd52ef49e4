# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One checkpoint archive: opened once, indexed, never extracted.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import stat
import typing as t

from .._common.errors import CheckpointError
from . import compression, folder, oci, tar
from .identity import Documents, Identity, identify
from .members import Member, Tree
from .notes import Notes
from .source import FileSource

IMAGE_FOLDERS = ("checkpoint", "pre-checkpoint")
"""Folders with CRIU images: all engines write the first; Podman's --pre-checkpoint the second."""


class Archive:
    """An open archive. Use it in a ``with`` statement, or call close().

    ``form``: "tar", "directory", "oci-layout" (a folder), "image-archive" (a tar that holds an image) or "registry".
    ``compression``: None, "gzip", "bzip2", "xz" or "zstd"; for an image that of its layer.
    ``size``: bytes of the file, or of all files of a folder. ``layer``: the digest of an image's layer as its manifest
    has it, "sha256:HEX". ``reference``: an image in its registry, by its digest. ``sequential``: True where every read
    of something large is another pass over a compressed file: see Tree.prefetch().
    """

    def __init__(self, path: str, notes: Notes) -> None:
        self.path = path
        self.notes = notes
        self.form = "tar"
        self.compression: t.Optional[str] = None
        self.size = 0
        self.mtime = 0
        self.annotations: dict[str, str] = {}
        self.layer: t.Optional[str] = None
        self.reference: t.Optional[str] = None
        self._file: t.Optional[FileSource] = None
        self._outer: list[Tree] = []
        self._tree: t.Optional[Tree] = None
        self._documents: t.Optional[Documents] = None
        self._identity: t.Optional[Identity] = None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        for tree in [self._tree, *self._outer]:
            if tree is not None:
                tree.close()
        if self._file is not None:
            self._file.close()

    @property
    def tree(self) -> Tree:
        if self._tree is None:
            raise AssertionError("self._tree is not set")
        return self._tree

    @property
    def members(self) -> list[Member]:
        return self.tree.members

    @property
    def sequential(self) -> bool:
        return self.tree.source.sequential

    @property
    def documents(self) -> Documents:
        """The JSON documents at the root: config.dump, spec.dump, status.dump and so on."""
        if self._documents is None:
            self._documents = Documents(self.tree, self.notes)
        return self._documents

    @property
    def identity(self) -> Identity:
        if self._identity is None:
            self._identity = identify(self.documents)
        return self._identity

    def image_folder(self) -> t.Optional[str]:
        """The folder with the CRIU images that belong to the last dump; None where there is none."""
        for name in IMAGE_FOLDERS:
            if self.tree.file(f"{name}/inventory.img") is not None:
                return name
        if self.tree.file("inventory.img") is not None:
            return ""
        return next((name for name in IMAGE_FOLDERS if self.tree.under(name)), None)

    def images(self, folder_name: str) -> dict[str, Member]:
        """The members of a folder of CRIU images by file name; the empty name is the root."""
        if folder_name:
            return self.tree.under(folder_name)
        return {member.name: member for member in self.members if "/" not in member.name and not member.unsafe}

    def require_checkpoint(self) -> None:
        """Raise CheckpointError not_a_checkpoint unless there are CRIU images or a config.dump."""
        if self.image_folder() is None and self.tree.file("config.dump") is None:
            raise CheckpointError(
                "not_a_checkpoint",
                "The archive is readable, but holds no checkpoint",
                hint="A checkpoint has config.dump, spec.dump and a folder checkpoint with CRIU's images",
                path=self.path,
            )

    def adopt(self, tree: Tree, below: Tree) -> None:
        """Take the members that somebody else has found, and what they lie in, to be closed with them."""
        self._tree = tree
        self._outer.append(below)

    def index(self) -> None:
        """Open the path and find all members; open_archive() does this."""
        self._file = FileSource(open_path(self.path))
        info = self._file.info
        self.mtime = int(info.st_mtime)
        if stat.S_ISDIR(info.st_mode):
            self.form = "directory"
            tree = folder.scan(self.path, self.notes)
            self.size = sum(member.size for member in tree.members)
        elif stat.S_ISREG(info.st_mode):
            self.size = info.st_size
            source, self.compression = compression.opened(self._file)
            tree = tar.scan(source, self.notes)
        else:
            raise CheckpointError("archive_unreadable", "The archive is neither a regular file nor a folder")
        if oci.is_image(tree):
            self._outer.append(tree)
            self.form = "oci-layout" if self.form == "directory" else "image-archive"
            layer = oci.open_layer(tree, self.notes)
            self.compression = layer.compression or self.compression
            self.annotations = layer.annotations
            self.layer = layer.digest
            tree = layer.tree
        self._tree = tree


def open_path(name: str) -> int:
    """A descriptor of whatever is there. Raises CheckpointError archive_unreadable."""
    try:
        # Not blocking: a FIFO in the archive's place must not hang the reader.
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "archive_unreadable", "The archive could not be opened", message=str(error), path=name
        ) from error


def open_archive(path: t.Union[str, os.PathLike[str]]) -> Archive:
    """Open and index a checkpoint archive, an unpacked one, or an image that holds one.

    Plain tar: only the headers are read. Compressed: one pass over the whole file; members up to 1 MiB are kept in
    memory (48 MiB at most), larger ones are read again when they are asked for.
    Raises CheckpointError: archive_unreadable, archive_not_tar, archive_damaged, zstd_missing, image_unreadable.
    """
    name = os.fspath(path)
    archive = Archive(name, Notes())
    try:
        archive.index()
    except CheckpointError as error:
        error.details.setdefault("path", name)
        archive.close()
        raise
    return archive


def open_nested(member: Member, notes: Notes) -> Tree:
    """The index of a tar within the archive: rootfs-diff.tar, tmpfs-dev-N.tar.gz.img; compressed or not."""
    return tar.scan(compression.opened(member.as_source())[0], notes)
