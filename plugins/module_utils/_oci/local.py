# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on the disk: an image layout (a folder), and one as a tar file.

Sources: OCI image-spec v1.1 (image-layout.md, image-index.md); containerd core/images/archive/importer.go (v2.1: the
name of an image that is imported).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import tarfile
import typing as t

from .._archive import folder, tar
from .._archive.members import Tree
from .._archive.notes import Notes
from .._archive.source import FileSource
from .._archive.tarheader import BLOCK
from .._common.errors import CheckpointError
from .._common.files import sync_directory
from .._transfer.files import blaming, move_to_free_name, need_room, replace, write_all
from .description import INDEX, MANIFEST, as_json, descriptor, digest_of
from .layer import Layer
from .reference import Name

VERSION = as_json({"imageLayoutVersion": "1.0.0"})
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
LARGEST = 4 << 20
PARTIAL = ".partial"

Data = dict[str, t.Any]


class Output:
    """A file that grows under another name beside its own, mode 0600; gone unless it is published."""

    def __init__(self, directory: str, size: t.Optional[int]) -> None:
        self._directory = directory
        self._path = os.path.join(directory, f".{secrets.token_hex(8)}{PARTIAL}")
        if size is not None:
            need_room(directory, size, directory)
        with blaming(directory):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._file)
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def write(self, data: bytes) -> None:
        with blaming(self._directory):
            write_all(self._file, data)

    def write_at(self, offset: int, data: bytes) -> None:
        with blaming(self._directory):
            os.pwrite(self._file, data, offset)

    def publish(self, path: str, *, over: bool) -> None:
        """Give the file its name, whole and on the disk."""
        with blaming(path):
            os.fsync(self._file)
            try:
                if over:
                    os.rename(self._path, path)
                else:
                    move_to_free_name(self._path, path)
            except FileExistsError as error:
                raise exists(path) from error
            sync_directory(os.path.dirname(path))


def exists(path: str) -> CheckpointError:
    return CheckpointError(
        "destination_exists",
        f"{path} is there already, and is not this image",
        hint="It is never overwritten: choose another name, or move it away",
        path=path,
    )


class Stored:
    """An image layout that is there, as a folder or within a tar file. What is not right in it counts as absent."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def is_layout(self) -> bool:
        index = self._tree.file("index.json")
        return self._tree.file("oci-layout") is not None and (index is None or self.document("index.json") is not None)

    def document(self, name: str) -> t.Optional[Data]:
        member = self._tree.file(name)
        if member is None or member.size > LARGEST:
            return None
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(member.read())
            if isinstance(found, dict):
                return found
        return None

    def manifest(self, name: Name) -> t.Optional[bytes]:
        """The manifest under a name."""
        for entry in entries(self.document("index.json")):
            if ref_name(entry) == str(name):
                member = self._tree.file(blob_name(str(entry.get("digest"))))
                if member is not None and member.size <= LARGEST:
                    content = member.read()
                    return content if digest_of(content) == entry.get("digest") else None
        return None

    def has(self, digest: str) -> bool:
        """Whether the blob is there and has this digest: disks forget."""
        member = self._tree.file(blob_name(digest))
        if member is None or not member.complete:
            return False
        found = hashlib.sha256()
        for chunk in member.chunks():
            found.update(chunk)
        return f"sha256:{found.hexdigest()}" == digest


def blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def entries(index: t.Optional[Data]) -> list[Data]:
    manifests = (index or {}).get("manifests")
    return [entry for entry in manifests if isinstance(entry, dict)] if isinstance(manifests, list) else []


def ref_name(entry: Data) -> t.Optional[str]:
    annotations = entry.get("annotations")
    found = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else None


def index_entry(manifest: bytes, name: Name) -> Data:
    """The descriptor of a manifest, with the name as podman and skopeo, and as containerd look for it."""
    return {**descriptor(MANIFEST, manifest), "annotations": {REF_NAME: str(name), CONTAINERD_NAME: str(name)}}


def index_of(manifests: list[Data], old: t.Optional[Data] = None) -> bytes:
    """An index, with what an older one says beside its manifests."""
    return as_json({"mediaType": INDEX, "schemaVersion": 2, **(old or {}), "manifests": manifests})


class _OnDisk:
    """What a folder and a file have in common."""

    def __init__(self, path: str, name: Name) -> None:
        self.path = os.path.abspath(path)
        self._name = name
        self.bytes_sent = 0

    def _stored(self) -> t.Optional[Stored]:
        """What is there; None for nothing."""
        raise NotImplementedError

    def may_have(self) -> bool:
        """No: to write a blob again does no harm, and to ask for it costs as much."""
        return False

    def has(self, digest: str) -> bool:
        """Whether the blob is there, whole."""
        found = self._stored()
        return found is not None and found.has(digest)


class Layout(_OnDisk):
    """A folder with any number of images. Another run on the same folder waits its turn by failing."""

    replaceable = True

    def __init__(self, path: str, name: Name) -> None:
        super().__init__(path, name)
        self._made: list[str] = []
        self._blobs: list[str] = []
        self._lock = -1

    def __enter__(self) -> Layout:
        return self

    def __exit__(self, *_exception: object) -> None:
        for blob in self._blobs:
            with contextlib.suppress(OSError):
                os.unlink(blob)
        for directory in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if self._lock >= 0:
            os.close(self._lock)

    def _stored(self) -> t.Optional[Stored]:
        """What is there; None for nothing. Raises CheckpointError destination_in_use for something else."""
        with blaming(self.path):
            try:
                if not os.listdir(self.path):
                    return None
            except FileNotFoundError:
                return None
        found = Stored(folder.scan(self.path, Notes()))
        if not found.is_layout():
            raise CheckpointError(
                "destination_in_use",
                f"{self.path} holds something that is not an image layout, or a damaged one",
                hint="Choose an empty or new folder, or one with an image layout",
                path=self.path,
            )
        return found

    def present(self) -> t.Optional[bytes]:
        """The manifest under the name, None where there is none."""
        found = self._stored()
        return found.manifest(self._name) if found is not None else None

    def put_layer(self, layer: Layer) -> Data:
        """Write the layer; its descriptor."""
        self._prepare()
        with Output(self._blob_folder, layer.size) as output:
            for chunk in layer.chunks():
                output.write(chunk)
                self.bytes_sent += len(chunk)
            found = layer.descriptor()
            self._keep(output, str(found["digest"]))
        return found

    def put_config(self, content: bytes) -> None:
        """Write a small blob."""
        self._prepare()
        with Output(self._blob_folder, len(content)) as output:
            output.write(content)
            self._keep(output, digest_of(content))
        self.bytes_sent += len(content)

    def publish(self, manifest: bytes) -> None:
        """Enter the image into the index, in front. What had its name before stays there without one."""
        self.put_config(manifest)
        found = self._stored()
        index = (found.document("index.json") if found is not None else None) or {}
        kept: list[Data] = []
        for entry in entries(index):
            if entry.get("digest") == digest_of(manifest):
                continue
            if ref_name(entry) == str(self._name):
                for key in (REF_NAME, CONTAINERD_NAME):
                    entry["annotations"].pop(key, None)
            kept.append(entry)
        manifests = [index_entry(manifest, self._name), *kept]
        replace(os.path.join(self.path, "index.json"), index_of(manifests, index))
        self._blobs.clear()
        self._made.clear()

    @property
    def _blob_folder(self) -> str:
        return os.path.join(self.path, "blobs", "sha256")

    def _keep(self, output: Output, digest: str) -> None:
        path = os.path.join(self.path, blob_name(digest))
        new = not os.path.lexists(path)
        output.publish(path, over=True)
        if new:
            self._blobs.append(path)

    def _prepare(self) -> None:
        if self._lock >= 0:
            return
        missing = []
        directory = self._blob_folder
        while not os.path.isdir(directory) and directory != os.path.dirname(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for directory in reversed(missing):
            with blaming(directory):
                os.mkdir(directory, 0o700)
            self._made.append(directory)
        with blaming(self.path):
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckpointError(
                    "destination_busy",
                    f"Another run is writing to {self.path}",
                    hint="Wait for it to end, or choose another destination",
                    path=self.path,
                ) from error
        for name in os.listdir(self._blob_folder):
            # Of a run that was killed: no other holds the lock.
            if name.endswith(PARTIAL):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._blob_folder, name))
        version = os.path.join(self.path, "oci-layout")
        if not os.path.lexists(version):
            replace(version, VERSION)
            self._blobs.append(version)


class ImageFile(_OnDisk):
    """One image in a tar file. The blob's name stands in front of it there, so that its header is written last."""

    replaceable = False

    def __init__(self, path: str, name: Name) -> None:
        super().__init__(path, name)
        self._output: t.Optional[Output] = None
        self._position = 0
        self._files = contextlib.ExitStack()

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._files.close()

    def _stored(self) -> t.Optional[Stored]:
        if not os.path.lexists(self.path):
            return None
        with blaming(self.path):
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        source = FileSource(file)
        self._files.callback(source.close)
        try:
            return Stored(tar.scan(source, Notes()))
        except CheckpointError as error:
            raise exists(self.path) from error

    def present(self) -> t.Optional[bytes]:
        """The manifest of the image, None where there is no file. Raises CheckpointError destination_exists."""
        found = self._stored()
        manifest = found.manifest(self._name) if found is not None else None
        if found is not None and manifest is None:
            raise exists(self.path)
        return manifest

    def put_layer(self, layer: Layer) -> Data:
        """Write the layer; its descriptor."""
        self._member("oci-layout", VERSION)
        output, start = self._begun(layer.size), self._position
        self._write(output, bytes(BLOCK))
        for chunk in layer.chunks():
            self._write(output, chunk)
        found = layer.descriptor()
        output.write_at(start, self._header(blob_name(str(found["digest"])), int(found["size"])))
        self._write(output, bytes(-self._position % BLOCK))
        return found

    def put_config(self, content: bytes) -> None:
        """Write a small blob."""
        self._member(blob_name(digest_of(content)), content)

    def publish(self, manifest: bytes) -> None:
        """Write what is left, and give the file its name if that is free."""
        self.put_config(manifest)
        self._member("index.json", index_of([index_entry(manifest, self._name)]))
        output = self._begun(None)
        self._write(output, bytes(2 * BLOCK))
        output.publish(self.path, over=False)

    def _begun(self, size: t.Optional[int]) -> Output:
        if self._output is None:
            self._output = self._files.enter_context(Output(os.path.dirname(self.path), size))
        return self._output

    def _header(self, name: str, size: int) -> bytes:
        header = tarfile.TarInfo(name)
        header.size, header.mode = size, 0o600
        return header.tobuf(tarfile.GNU_FORMAT)

    def _member(self, name: str, content: bytes) -> None:
        output = self._begun(None)
        self._write(output, self._header(name, len(content)) + content + bytes(-len(content) % BLOCK))

    def _write(self, output: Output, data: bytes) -> None:
        output.write(data)
        self._position += len(data)
        self.bytes_sent += len(data)
