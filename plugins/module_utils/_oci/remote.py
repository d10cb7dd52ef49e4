# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint's image read in its registry, by parts or as a whole.

By parts, of an uncompressed layer only what is asked for is fetched.

Sources: OCI distribution-spec v1.1 (pulling blobs; ranges are optional there); RFC 9110 section 14 (ranges).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import collections
import typing as t
import urllib.parse

from .._archive import compression, tar
from .._archive.archive import Archive
from .._archive.members import Tree
from .._archive.notes import Notes
from .._archive.source import Source
from .._common.errors import CheckpointError
from .connection import Answer, Connection
from .description import INDEX, MANIFEST, digest_of
from .reference import TRANSPORT

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_LIST}"

WINDOW = 1 << 18
"""Fetched at a time: all small members of a checkpoint fit into a few of these."""

KEPT = 64
"""Windows that are held, 16 MiB in all."""

MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
MAX_INDEXES = 4


def _failed(connection: Connection, what: str, answer: Answer) -> CheckpointError:
    missing = answer.status == 404
    return CheckpointError(
        "image_missing" if missing else "registry_failed",
        f"{connection.name} is not in the registry" if missing else f"The registry did not {what}",
        hint="Look at repository and tag" if missing else "Look at the registry's log",
        message=answer.text,
    )


def fetch(connection: Connection, url: str, headers: dict[str, str]) -> Answer:
    """An answer, from wherever the registry sends us. Credentials stay with the registry."""
    for _redirect in range(MAX_REDIRECTS):
        answer = connection.ask("GET", url, headers)
        if answer.status not in REDIRECTS or "location" not in answer.headers:
            return answer
        url = urllib.parse.urljoin(url, answer.headers["location"])
    raise CheckpointError("registry_failed", "The registry redirects without end", message=url.partition("?")[0])


class Blob(Source):
    """A blob, by ranges. Its digest as a whole is not checked, as it is not read as a whole."""

    size: int

    def __init__(self, connection: Connection, digest: str, size: int) -> None:
        self._connection = connection
        self._url = connection.url(f"blobs/{digest}")
        self._windows: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self.size = size

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        first, last = offset // WINDOW, (offset + size - 1) // WINDOW
        data = b"".join(self._window(number) for number in range(first, last + 1))
        start = offset - first * WINDOW
        return data[start : start + size]

    def _window(self, number: int) -> bytes:
        if number in self._windows:
            self._windows.move_to_end(number)
            return self._windows[number]
        begin = number * WINDOW
        end = min(begin + WINDOW, self.size)
        answer = fetch(self._connection, self._url, {"Range": f"bytes={begin}-{end - 1}"})
        data = answer.body if answer.status == 206 else b""
        if answer.status == 200 and len(answer.body) == self.size:
            data = answer.body[begin:end]
        if len(data) != end - begin:
            raise CheckpointError(
                "registry_failed",
                "The registry did not give the part of the layer that was asked for",
                hint="It may not know ranges. Pull the image and read it from a file",
                message=answer.text if answer.status >= 400 else str(answer.status),
            )
        self._windows[number] = data
        if len(self._windows) > KEPT:
            self._windows.popitem(last=False)
        return data

    def close(self) -> None:
        self._windows.clear()
        self._connection.close()


def _manifest(connection: Connection) -> tuple[dict[str, t.Any], str]:
    """The manifest under the tag, of an index the first, with the annotations of both; and the digest of the tag."""
    reference = connection.name.tag
    tagged = ""
    annotations: dict[str, str] = {}
    for _index in range(MAX_INDEXES):
        answer = fetch(connection, connection.url(f"manifests/{reference}"), {"Accept": ACCEPT})
        if answer.status != 200:
            raise _failed(connection, "give the manifest", answer)
        if reference.startswith("sha256:") and digest_of(answer.body) != reference:
            raise _unreadable("a manifest has another digest than the index says")
        tagged = tagged or digest_of(answer.body)
        document = answer.json()
        found = document.get("annotations")
        annotations.update(found if isinstance(found, dict) else {})
        manifests = document.get("manifests")
        if not isinstance(manifests, list) or not manifests:
            return {**document, "annotations": annotations}, tagged
        reference = str(manifests[0].get("digest")) if isinstance(manifests[0], dict) else ""
        if not reference.startswith("sha256:"):
            break
    raise _unreadable("its index leads nowhere")


def _unreadable(text: str) -> CheckpointError:
    return CheckpointError(
        "image_unreadable",
        f"The image does not hold a checkpoint that can be read: {text}",
        hint="A checkpoint image has one layer with config.dump, spec.dump and checkpoint/ at its root",
    )


class RemoteLayer(t.NamedTuple):
    """The layer of a checkpoint's image: its digest ("sha256:HEX") and bytes as it is stored, the annotations of the
    manifest and its index, and the image by its digest ("registry/repository@sha256:HEX")."""

    digest: str
    size: int
    annotations: dict[str, str]
    reference: str


def find_layer(connection: Connection) -> RemoteLayer:
    """Ask for the manifest. Raises CheckpointError image_missing, image_unreadable, registry_failed."""
    document, tagged = _manifest(connection)
    layers = document.get("layers")
    layer = layers[-1] if isinstance(layers, list) and layers and isinstance(layers[-1], dict) else {}
    digest, size = layer.get("digest"), layer.get("size")
    if not isinstance(digest, str) or not isinstance(size, int) or size < 0 or "/" in digest:
        raise _unreadable("its manifest names no layer")
    annotations = {str(key): text for key, text in document["annotations"].items() if isinstance(text, str)}
    name = connection.name
    return RemoteLayer(digest, size, annotations, f"{name.registry}/{name.repository}@{tagged}")


class Download:
    """A blob that is fetched as a whole, from its beginning to its end."""

    def __init__(self, connection: Connection, layer: RemoteLayer) -> None:
        self._connection = connection
        self._left = layer.size
        url = connection.url(f"blobs/{layer.digest}")
        # Authenticates, as the answer to what is only begun cannot be asked for twice.
        connection.ask("HEAD", url)
        for _redirect in range(MAX_REDIRECTS):
            self._response = connection.begun(connection.begin("GET", url, {}))
            place = self._response.getheader("location")
            if self._response.status not in REDIRECTS or place is None:
                break
            connection.close()
            url = urllib.parse.urljoin(url, place)
        if self._response.status != 200:
            text = connection.read(self._response, 1 << 16)
            raise _failed(connection, "give the layer", Answer(self._response.status, {}, text))

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises CheckpointError registry_cut."""
        data = self._connection.read(self._response, size)
        self._left -= len(data)
        if not data and self._left > 0:
            raise CheckpointError(
                "registry_cut",
                f"The registry ended the connection, with {self._left} bytes of the layer to come",
                hint="Run it again",
            )
        return data


def open_remote(connection: Connection) -> Archive:
    """Open and index the checkpoint in a registry's image; close it as any archive.

    Of an uncompressed layer the headers are read. A compressed one is fetched as a whole, and again for every part that
    is large. Raises CheckpointError image_missing, image_unreadable, registry_failed, archive_not_tar, zstd_missing,
    and what Connection.ask raises.
    """
    archive = Archive(f"{TRANSPORT}{connection.name}", Notes())
    layer = find_layer(connection)
    blob = Blob(connection, layer.digest, layer.size)
    source, archive.compression = compression.opened(blob)
    archive.form = "registry"
    archive.size = layer.size
    archive.layer = layer.digest
    archive.reference = layer.reference
    archive.annotations = layer.annotations
    archive.adopt(tar.scan(source, archive.notes), Tree(blob, archive.notes))
    return archive
