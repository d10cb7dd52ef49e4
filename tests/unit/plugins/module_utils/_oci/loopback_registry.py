# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry on the loopback that misbehaves on request. What a well-behaved one does is tested on the laboratory.

Speaks the part of OCI distribution-spec v1.1 that a push needs, and the token protocol of distribution/distribution
docs/spec/auth/token.md. Nothing of it is kept on a disk.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import json
import re
import socket
import struct
import threading
import typing as t
import urllib.parse


@dataclasses.dataclass
class Behaviour:
    """``cut_after``: bytes of an upload after which the connection is reset. ``refuse``: an answer in place of the
    usual one, by the beginning of the request. ``user``: wanted credentials. ``bearer``: by tokens, each good for so
    many requests. ``absolute``: locations with scheme and host. ``location``: that one in place of its own.
    ``ranges``: whether it knows them. ``store``: the address of another registry that blobs are fetched from."""

    cut_after: t.Optional[int] = None
    refuse: dict[str, tuple[int, t.Any]] = dataclasses.field(default_factory=dict)
    user: t.Optional[tuple[str, str]] = None
    bearer: t.Optional[int] = None
    absolute: bool = False
    location: t.Optional[str] = None
    ranges: bool = True
    store: t.Optional[str] = None


class Registry(http.server.ThreadingHTTPServer):
    """``requests``: method and path of all requests; ``uploads``: sessions that are open; ``tokens``: given out;
    ``fetched``: bytes of blobs."""

    daemon_threads = True

    def __init__(self, behaviour: t.Optional[Behaviour] = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour = behaviour or Behaviour()
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.tokens: dict[str, int] = {}
        self.fetched = 0
        self.scopes: list[str] = []

    def __enter__(self) -> Registry:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def count(self, method: str) -> int:
        return sum(request.startswith(method + " ") for request in self.requests)

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Clients that go away are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def log_message(self, format: str, *args: t.Any) -> None:
        """Not to the standard error."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def _say(self, status: int, body: t.Any = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> t.Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                size = int(self.rfile.readline(), 16)
                data = self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    return
                yield data
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read(min(left, 1 << 16))
            if not data:
                raise ConnectionError("the client went away")
            left -= len(data)
            yield data

    def _authorized(self) -> bool:
        wanted = self.server.behaviour
        if wanted.user is None and wanted.bearer is None:
            return True
        given = self.headers.get("Authorization") or ""
        if wanted.bearer is not None:
            token = given.partition("Bearer ")[2]
            left = self.server.tokens.get(token, 0)
            self.server.tokens[token] = left - 1
            if left > 0:
                return True
            self._drain()
            realm = f'Bearer realm="http://{self.server.address}/token?a=b",service="loopback"'
            self._say(401, {"errors": [{"code": "UNAUTHORIZED", "message": "token"}]}, WWW_Authenticate=realm)
            return False
        if given == basic(wanted.user):
            return True
        self._say(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who"}]}, WWW_Authenticate='Basic realm="x"')
        return False

    def _drain(self) -> None:
        """Read what is small, as Go's server does, so that the connection stays of use."""
        if self.command == "PUT":
            for _piece in self._body():
                pass

    def _token(self, query: dict[str, list[str]]) -> None:
        wanted = self.server.behaviour.user
        if wanted is not None and self.headers.get("Authorization") != basic(wanted):
            self._say(401, {"details": "incorrect username or password"})
            return
        self.server.scopes.extend(query["scope"])
        token = f"token-{len(self.server.tokens)}"
        self.server.tokens[token] = self.server.behaviour.bearer or 0
        self._say(200, {"token": token})

    def _serve(self) -> None:
        server, parts = self.server, urllib.parse.urlsplit(self.path)
        request = f"{self.command} {parts.path}"
        server.requests.append(request)
        server.authorizations.append(self.headers.get("Authorization") or "")
        query = urllib.parse.parse_qs(parts.query)
        for start, (status, body) in server.behaviour.refuse.items():
            if request.startswith(start):
                # Without reading the body, as a proxy does that limits its size.
                self.close_connection = True
                self._say(status, body, Connection="close")
                return
        if parts.path == "/token":
            self._token(query)
            return
        if not self._authorized():
            return
        kind, name = parts.path.split("/")[-2:]
        if "uploads" in parts.path.split("/"):
            self._upload(name, query)
        elif kind == "tags":
            tags = sorted(tag for tag in server.manifests if not tag.startswith("sha256:"))
            self._say(200 if tags else 404, {"tags": tags})
        elif self.command == "PUT":
            content = b"".join(self._body())
            server.manifests[name] = content
            self._say(201)
        elif kind == "blobs" and server.behaviour.store is not None and self.command == "GET":
            self._say(307, Location=f"http://{server.behaviour.store}{self.path}")
        else:
            self._content((server.manifests if kind == "manifests" else server.blobs).get(name))

    def _content(self, found: t.Optional[bytes]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if found is None:
            self._say(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "none"}]})
        elif wanted is not None and self.server.behaviour.ranges:
            part = found[int(wanted.group(1)) : int(wanted.group(2)) + 1]
            self.server.fetched += len(part)
            self._say(206, part)
        else:
            self._say(200, found)

    def _upload(self, name: str, query: dict[str, list[str]]) -> None:
        server = self.server
        if self.command == "POST":
            name = f"session-{len(server.requests)}"
            server.uploads[name] = b""
            self._say(202, Location=self._location(name))
        elif self.command == "PATCH":
            for data in self._body():
                server.uploads[name] += data
                limit = server.behaviour.cut_after
                if limit is not None and len(server.uploads[name]) >= limit:
                    # A reset, as of a machine that went down.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
            self._say(202, Location=self._location(name))
        elif self.command == "DELETE":
            server.uploads.pop(name, None)
            self._say(204)
        else:
            content = server.uploads.pop(name) + b"".join(self._body())
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            if [digest] != query["digest"]:
                self._say(400, {"errors": [{"code": "DIGEST_INVALID", "message": "no match"}]})
                return
            server.blobs[digest] = content
            self._say(201)

    def _location(self, name: str) -> str:
        if self.server.behaviour.location is not None:
            return self.server.behaviour.location
        path = f"/v2/a/b/blobs/uploads/{name}?_state=x"
        return f"http://{self.server.address}{path}" if self.server.behaviour.absolute else path


def basic(user: t.Optional[tuple[str, str]]) -> str:
    return "Basic " + base64.b64encode(":".join(user or ()).encode()).decode()
