# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that becomes a folder, from a file or from an image on the disk or in a registry; for checkpoint_unpack.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import stat
import threading
import typing as t

from .._archive import compression, folder, oci, tar
from .._archive.archive import open_path
from .._archive.notes import Notes
from .._archive.source import FileSource, Source
from .._common.errors import CheckpointError
from .._common.hashing import SHA256
from .._oci.arguments import connection
from .._oci.reference import TRANSPORT, parse_name
from .arrival import arrive, arrived, digest_of, make_parent, place, refused, require_free
from .passing import PIECE, Readable


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an archive comes from: ``start`` begins to read it. ``sha256`` is what an image says that it has, None for
    a file; ``size`` is in bytes. Both are those of what is stored, compressed or not."""

    start: t.Callable[[], Readable]
    sha256: t.Optional[str]
    size: int


class Outcome(t.NamedTuple):
    """``sha256`` is None where only unpacking would tell."""

    changed: bool
    destination: str
    sha256: t.Optional[str]
    size: int


def unpack_into(params: t.Mapping[str, t.Any], *, check: bool, stop: threading.Event) -> Outcome:
    """Unpack what the options of checkpoint_unpack name, unless the folder is that archive already.

    With ``check`` nothing is written. Raises CheckpointError invalid_option, archive_unreadable, archive_folder,
    image_unreadable, image_missing, destination_exists, destination_refused, interrupted, and what arrive() and
    Connection.ask() raise.
    """
    destination = place(params["destination"])
    with _opened(params["path"], params) as origin:
        wanted = _wanted(params["checksum"], origin)
        there = arrived(destination)
        if there is not None and there == (wanted or _hashed(origin, stop)):
            return Outcome(False, destination, there, origin.size)
        require_free(destination)
        if check:
            return Outcome(True, destination, wanted, origin.size)
        try:
            make_parent(destination)
        except OSError as error:
            raise refused(destination, error) from error
        found = arrive(_Stoppable(origin.start(), stop), destination, sha256=wanted, size=origin.size)
    return Outcome(True, found.path, found.sha256, found.size)


def _wanted(checksum: t.Optional[str], origin: Origin) -> t.Optional[str]:
    if not checksum:
        return origin.sha256
    given = digest_of(checksum)
    if origin.sha256 is not None and origin.sha256 != given:
        raise CheckpointError(
            "digest_wrong",
            f"The image has another layer than it should have: its SHA-256 is {origin.sha256}",
            hint="The tag was moved, or the checksum is that of another archive",
            expected=given,
            found=origin.sha256,
        )
    return given


@contextlib.contextmanager
def _opened(path: str, params: t.Mapping[str, t.Any]) -> t.Iterator[Origin]:
    if not path.startswith(TRANSPORT):
        with contextlib.closing(FileSource(open_path(path))) as file:
            yield _local(path, file)
        return
    from .._oci.remote import Download, find_layer

    with contextlib.closing(connection(parse_name(path[len(TRANSPORT) :]), params, "pull")) as registry:
        layer = find_layer(registry)
        yield Origin(lambda: Download(registry, layer), _of_layer(layer.digest), layer.size)


def _local(path: str, file: FileSource) -> Origin:
    notes = Notes()
    if stat.S_ISDIR(file.info.st_mode):
        tree = folder.scan(path, notes)
        if not oci.is_image(tree):
            raise CheckpointError(
                "archive_folder",
                f"{path} is a folder without an image: if an archive is in it, it is unpacked already",
                hint="Give the archive, or use the folder as it is",
            )
    elif not stat.S_ISREG(file.info.st_mode):
        raise CheckpointError("archive_unreadable", "The archive is neither a regular file nor a folder", path=path)
    elif compression.detect(file.read_at(0, 6)) is not None:
        # An image as a file is not compressed as a whole.
        return Origin(lambda: _Reader(file), None, file.size)
    else:
        tree = tar.scan(file, notes)
        if not oci.is_image(tree):
            return Origin(lambda: _Reader(file), None, file.size)
    layer, digest, _annotations = oci.find_layer(tree)
    source = layer.as_source()
    return Origin(lambda: _Reader(source), _of_layer(digest) if digest else None, layer.available)


def _of_layer(digest: str) -> str:
    found = SHA256.fullmatch(digest)
    if found is None:
        raise CheckpointError("image_unreadable", f"The image's layer has no SHA-256: {digest!r}")
    return found.group(1)


def _hashed(origin: Origin, stop: threading.Event) -> str:
    digest, stream = hashlib.sha256(), _Stoppable(origin.start(), stop)
    while True:
        data = stream.read(PIECE)
        if not data:
            return digest.hexdigest()
        digest.update(data)


class _Reader:
    """A source as a stream."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read_at(self._position, size)
        self._position += len(data)
        return data


class _Stoppable:
    """A stream that ends with an error when it is asked to."""

    def __init__(self, stream: Readable, stop: threading.Event) -> None:
        self._stream = stream
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        if self._stop.is_set():
            raise CheckpointError("interrupted", "It was stopped from outside", hint="Run it again")
        return self._stream.read(size)
