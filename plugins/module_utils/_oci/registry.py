# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository of a registry, as a place for images.

Source: OCI distribution-spec v1.1 (pulling manifests, pushing blobs in chunks, pushing manifests). A blob's digest is
named only when its upload ends, so that it can be computed on the way.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import http.client
import typing as t
import urllib.parse

from .._common.errors import CheckpointError
from .connection import Answer, Connection
from .description import MANIFEST, digest_of
from .layer import Layer


class Repository:
    """Where manifests and blobs go; the tag is that of the connection's name."""

    replaceable = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._location = ""
        self.path = str(connection.name)
        self.bytes_sent = 0

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()

    def present(self) -> t.Optional[bytes]:
        """The manifest under the tag, None where there is none."""
        url = self._connection.url(f"manifests/{self._connection.name.tag}")
        answer = self._connection.ask("GET", url, {"Accept": f"{MANIFEST}, */*"})
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._failed("look at the tag", answer)
        return answer.body

    def may_have(self) -> bool:
        """Whether the repository holds anything, so that asking for a blob may be worth computing its digest."""
        with contextlib.suppress(CheckpointError):
            # Not every registry lets everybody list tags. Whether it lets us write, the upload will tell.
            answer = self._connection.ask("GET", self._connection.url("tags/list?n=1"))
            return answer.status == 200 and bool(answer.json().get("tags"))
        return False

    def has(self, digest: str) -> bool:
        """Whether the repository has the blob, with itself or in a store that it leads to."""
        return self._connection.ask("HEAD", self._connection.url(f"blobs/{digest}")).status in (200, 302, 303, 307)

    def put_layer(self, layer: Layer) -> dict[str, t.Any]:
        """Send the layer; its descriptor. What was begun is cancelled when it fails."""
        with self._upload() as location:
            end = self._stream(location, layer)
            descriptor = layer.descriptor()
            self._commit(end, str(descriptor["digest"]))
        return descriptor

    def put_config(self, content: bytes) -> None:
        """Send a small blob, if it is not there."""
        digest = digest_of(content)
        if self.has(digest):
            return
        with self._upload() as location:
            self._commit(location, digest, content)

    def publish(self, manifest: bytes) -> None:
        """Give the image its tag."""
        url = self._connection.url(f"manifests/{self._connection.name.tag}")
        answer = self._connection.ask("PUT", url, {"Content-Type": MANIFEST}, manifest)
        if answer.status not in (200, 201, 202):
            raise self._failed("take the manifest", answer)
        self.bytes_sent += len(manifest)

    @contextlib.contextmanager
    def _upload(self) -> t.Iterator[str]:
        """An upload session: its location. A session that does not end well is given up, as it would stay."""
        connection = self._connection
        # The archive may have been hashed for minutes, and the layer cannot be sent twice.
        connection.renew()
        url = connection.url("blobs/uploads/")
        answer = connection.ask("POST", url)
        if answer.status != 202:
            raise self._failed("begin an upload", answer)
        self._location = self._next(url, answer)
        try:
            yield self._location
        except BaseException:
            connection.close()
            with contextlib.suppress(CheckpointError):
                connection.ask("DELETE", self._location)
            raise

    def _next(self, url: str, answer: Answer) -> str:
        """Where an upload goes on: relative or absolute."""
        location = answer.headers.get("location", "")
        if not location:
            raise self._failed("name the place of the upload", answer)
        return urllib.parse.urljoin(url, location)

    def _stream(self, location: str, layer: Layer) -> str:
        connection = self._connection
        size = layer.size
        headers = {"Content-Type": "application/octet-stream"}
        headers.update({"Transfer-Encoding": "chunked"} if size is None else {"Content-Length": str(size)})
        wire = connection.begin("PATCH", location, headers)
        left = size
        try:
            for chunk in layer.chunks():
                if left is None:
                    wire.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                else:
                    # More than was announced would be taken for the next request. The layer notices it at its end.
                    wire.send(chunk[:left])
                    left -= min(left, len(chunk))
                self.bytes_sent += len(chunk)
            if size is None:
                wire.send(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException) as error:
            self._blame(wire, error)
        answer = connection.checked(connection.finish(wire))
        if answer.status not in (201, 202, 204):
            raise self._failed("take the layer", answer)
        self._location = self._next(location, answer)
        return self._location

    def _blame(self, wire: http.client.HTTPConnection, error: Exception) -> t.NoReturn:
        """Raise what the registry said before it ended the connection, or that it did."""
        answer: t.Optional[Answer] = None
        if not isinstance(error, TimeoutError):
            with contextlib.suppress(CheckpointError):
                answer = self._connection.finish(wire)
        if answer is not None and answer.status >= 400:
            raise self._failed("take the layer", self._connection.checked(answer)) from error
        raise CheckpointError(
            "registry_cut",
            f"The registry {self._connection.name.registry} ended the connection after {self.bytes_sent} bytes",
            hint="Run it again. If it happens at the same place every time, look at the registry's log, and at the "
            "limits of a proxy in front of it",
            message=str(error) or type(error).__name__,
        ) from error

    def _commit(self, location: str, digest: str, content: bytes = b"") -> None:
        parts = urllib.parse.urlsplit(location)
        query = "&".join(filter(None, [parts.query, urllib.parse.urlencode({"digest": digest})]))
        url = urllib.parse.urlunsplit(parts._replace(query=query))
        answer = self._connection.ask("PUT", url, {"Content-Type": "application/octet-stream"}, content)
        if answer.status not in (201, 204):
            raise self._failed("keep the blob", answer)
        self.bytes_sent += len(content)

    def _failed(self, what: str, answer: Answer) -> CheckpointError:
        registry = self._connection.name.registry
        code, hint = "upload_refused", "Look at the registry's log"
        if answer.status == 404 and "NAME_UNKNOWN" in answer.text:
            code, hint = "repository_unknown", "Make the repository first: this registry does not do so by itself"
        elif answer.status == 413:
            hint = "A proxy in front of the registry limits the size of requests: raise its limit"
        elif answer.status == 429:
            code, hint = "registry_busy", "Run it again later"
        elif answer.status >= 500:
            code, hint = "registry_failed", "Look at the registry's log and its disk, then run it again"
        return CheckpointError(code, f"The registry {registry} did not {what}", hint=hint, message=answer.text)
