# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer of a checkpoint's image: the archive's own tar, byte for byte, compressed or not.

Because nothing is packed anew, the digest of the uncompressed layer is the SHA-256 of the (uncompressed) archive, and
whoever has the image has the archive. The runtimes unpack a layer at ``/``, where they look for config.dump, spec.dump
and checkpoint/ (cri-o internal/lib/restore.go; containerd internal/cri/server/container_checkpoint_linux.go).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import concurrent.futures
import os
import posixpath
import threading
import typing as t

from .._archive.archive import Archive
from .._archive.rootfs import WHITEOUT
from .._archive.source import FileSource, StreamSource
from .._common.errors import CheckpointError
from .._common.hashing import Hash
from . import compressors
from .description import LAYER

BLOCK = 1 << 20
"""How much is read, hashed and sent at a time."""

Data = dict[str, t.Any]


class Layer:
    """Read it with chunks(), once; then ``diff_id`` and descriptor() are known.

    Raises CheckpointError archive_unsafe, archive_damaged, archive_folder before anything is read, zstd_missing, and
    while reading archive_damaged, archive_changing, archive_unreadable, interrupted.
    """

    def __init__(self, archive: Archive, compression: str, stop: t.Optional[threading.Event] = None) -> None:
        _refuse(archive)
        self._archive = archive
        self._source = archive.tree.source
        self._stop = stop
        self.compression = compression
        self.media_type = LAYER if compression == "none" else f"{LAYER}+{compression}"
        self.diff_id: t.Optional[str] = None
        self._blob: t.Optional[Hash] = None
        compressors.check(compression)

    @property
    def size(self) -> t.Optional[int]:
        """Bytes of the blob, None where only reading will tell."""
        return self._source.size if self.compression == "none" and isinstance(self._source, FileSource) else None

    def descriptor(self) -> Data:
        """Of the blob that was read."""
        if self._blob is None:
            raise AssertionError("self._blob is not set")
        return {"digest": self._blob.digest(), "mediaType": self.media_type, "size": self._blob.size}

    def hash(self) -> str:
        """The digest of the uncompressed layer, without compressing anything."""
        if self.diff_id is None:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                found = Hash(pool)
                for chunk in self._tar():
                    found.update(chunk)
                self.diff_id = found.digest()
        return self.diff_id

    def chunks(self) -> t.Iterator[bytes]:
        """The blob's bytes."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            plain = Hash(pool)
            blob = plain if self.compression == "none" else Hash(pool)
            for chunk in compressors.compressed(self.compression, self._hashed(plain)):
                if blob is not plain:
                    blob.update(chunk)
                yield chunk
            digest = plain.digest()
            if self.diff_id not in (None, digest):
                raise self._changing()
            self.diff_id = digest
            self._blob = blob
            blob.digest()

    def _hashed(self, into: Hash) -> t.Iterator[bytes]:
        for chunk in self._tar():
            into.update(chunk)
            yield chunk

    def _tar(self) -> t.Iterator[bytes]:
        """The archive's tar. What changes under the reader is refused."""
        before = self._state()
        if isinstance(self._source, StreamSource):
            self._source.rewind()
        offset = 0
        while True:
            if self._stop is not None and self._stop.is_set():
                raise CheckpointError("interrupted", "It was stopped from outside", hint="Run it again")
            chunk = self._source.read_at(offset, BLOCK)
            if not chunk:
                break
            offset += len(chunk)
            yield chunk
        broken = self._source.broken
        if broken is not None:
            raise broken
        if self._state() != before or (self._source.size is not None and offset != self._source.size):
            raise self._changing()

    def _state(self) -> t.Optional[tuple[int, int]]:
        """Size and time of the archive's file. A blob within a layout has its digest for that."""
        if self._archive.form == "oci-layout":
            return None
        try:
            info = os.stat(self._archive.path)
        except OSError:
            return None
        return info.st_size, info.st_mtime_ns

    def _changing(self) -> CheckpointError:
        return CheckpointError(
            "archive_changing",
            "The archive changed while it was read",
            hint="The checkpoint is still being written, or was replaced; run it again",
            path=self._archive.path,
        )


def _refuse(archive: Archive) -> None:
    """Raise CheckpointError for what cannot be a layer, or should not be unpacked by anybody."""
    path = archive.path
    if archive.form == "directory":
        raise CheckpointError(
            "archive_folder",
            "The path is an unpacked archive, and an image is made of the archive itself",
            hint="Give the archive that it was unpacked from",
            path=path,
        )
    cut = [note for note in archive.notes.as_list() if note["code"] in ("archive_cut", "too_many_members")]
    if cut:
        raise CheckpointError(
            "archive_damaged",
            "The archive is damaged, and no image is made of it",
            hint="Fetch it again and compare its digest, or look at what is left of it with checkpoint_inspect",
            message=cut[0]["text"],
            path=path,
        )
    for member in archive.members:
        problem = ""
        if member.unsafe:
            problem = "has a name that leads out of the archive"
        elif member.kind == "symlink":
            # Podman's checkpoint/parent leads to ../pre-checkpoint.
            target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.link))
            if target == ".." or target.startswith(("/", "../")):
                problem = "is a link that leads out of the archive"
        elif member.kind not in ("file", "directory"):
            problem = f"is a {member.kind.replace('_', ' ')}"
        elif member.name.rpartition("/")[2].startswith(WHITEOUT):
            problem = "would delete something where the layer is unpacked"
        if problem:
            raise CheckpointError(
                "archive_unsafe",
                f"The archive has a member that no checkpoint has: {member.name!a} {problem}",
                hint="No engine writes that. Find out where the archive comes from before anybody restores it",
                path=path,
            )
