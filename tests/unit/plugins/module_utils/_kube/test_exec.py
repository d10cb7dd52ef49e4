# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an API server may say on the line of an exec. Its sentences were seen on the laboratory, Kubernetes 1.36.2."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import socket
import socketserver
import ssl
import struct
import threading
import time
import typing as t
import urllib.parse

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import exec as execution
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import Authority

BINARY, CLOSE = 2, 8
SUCCESS = {"metadata": {}, "status": "Success"}
NO_PROGRAM = (
    "Internal error occurred: error executing command in container: failed to exec in container: failed to start exec "
    '"1": OCI runtime exec failed: exec failed: unable to start container process: exec: "no": executable file '
    "not found in $PATH"
)


def frame(data: bytes, kind: int = BINARY, final: bool = True) -> bytes:
    """RFC 6455, section 5.2, as a server sends it."""
    head = bytes([kind | (0x80 if final else 0)])
    return head + (bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))) + data


def ending(status: t.Any) -> bytes:
    return frame(b"\x03" + json.dumps(status).encode())


def exit_status(code: int) -> dict[str, t.Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


class Line:
    """A server that upgrades one connection and then speaks, or refuses it with ``refusal``: status and body."""

    def __init__(self, *frames: bytes, refusal: tuple[int, str] | None = None, authority: Authority | None = None):
        self.request: list[str] = []
        self.peer: t.Any = None
        self.closed = threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.answer(self.request, frames, refusal)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.sign("server", "127.0.0.1"))
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(authority.ca_file)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if authority is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Line:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, line: socket.socket, frames: t.Sequence[bytes], refusal: tuple[int, str] | None) -> None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            text += line.recv(1)
        self.request = text.decode().split("\r\n")
        self.peer = line.getpeercert() if isinstance(line, ssl.SSLSocket) else None
        if refusal is not None:
            body = refusal[1].encode()
            line.sendall(f"HTTP/1.1 {refusal[0]} No\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            return
        key = self.header("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        line.sendall(
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accepted}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
            ).encode()
        )
        for each in frames:
            line.sendall(each)
            time.sleep(0.01)
        if not frames:
            line.recv(1)
            self.closed.set()

    def header(self, name: str) -> str:
        return next(each.partition(": ")[2] for each in self.request if each.startswith(f"{name}: "))


def run(line: Line, *command: str, server: Server | None = None, **more: t.Any) -> execution.Ended:
    session = ApiSession(server or Server(url=line.url))
    given = {"deadline": Deadline(5), "stop": threading.Event(), **more}
    return execution.run(session, "shop", "web-0", "app", command or ("true",), **given)


def refused(line: Line, **more: t.Any) -> CheckpointError:
    with line, pytest.raises(CheckpointError) as caught:
        run(line, **more)
    return caught.value


def test_what_is_asked() -> None:
    line = Line(ending(SUCCESS))
    server = Server(url=line.url, headers=(("Impersonate-User", "u"),), authorization=lambda: "Bearer secret")
    with line:
        assert run(line, "echo", "a b&c", server=server) == execution.Ended(0, "", "")
    method, target, _version = line.request[0].split(" ")
    parts = urllib.parse.urlsplit(target)
    assert (method, parts.path) == ("GET", "/api/v1/namespaces/shop/pods/web-0/exec")
    assert urllib.parse.parse_qsl(parts.query) == [
        ("container", "app"),
        ("stdout", "true"),
        ("stderr", "true"),
        ("command", "echo"),
        ("command", "a b&c"),
    ]
    assert line.header("Authorization") == "Bearer secret" and line.header("Impersonate-User") == "u"
    assert line.header("Sec-WebSocket-Protocol") == "v5.channel.k8s.io,v4.channel.k8s.io"


def test_a_client_certificate_and_a_certificate_that_does_not_verify(tmp_path: pathlib.Path) -> None:
    authority = Authority(tmp_path)
    cert_file, key_file = authority.sign("client")
    with Line(ending(SUCCESS), authority=authority) as line:
        server = Server(url=line.url, ca_file=authority.ca_file, cert_file=cert_file, key_file=key_file)
        assert run(line, server=server).code == 0
        assert "client" in str(line.peer)
    assert refused(Line(authority=authority)).code == "apiserver_certificate_untrusted"


class Tunnel(socketserver.BaseRequestHandler):
    """A proxy: to whatever it is asked for, if it is asked with a password."""

    asked: t.ClassVar[list[str]] = []

    def handle(self) -> None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            text += self.request.recv(1)
        self.asked.append(text.decode())
        if b"roxy-authorization: Basic x" not in text:
            self.request.sendall(b"HTTP/1.1 407 No\r\n\r\n")
            return
        host, port = text.split(b" ")[1].decode().split(":")
        with socket.create_connection((host, int(port)), timeout=5) as there:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.pass_on, args=(there, self.request))
            back.start()
            self.pass_on(self.request, there)
            back.join()

    def pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def test_through_a_proxy(tmp_path: pathlib.Path) -> None:
    authority = Authority(tmp_path)
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy,
        Line(frame(b"\x01\xff\x00"), ending(SUCCESS), authority=authority) as line,
    ):
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        server = Server(url=line.url, ca_file=authority.ca_file, proxy=f"http://127.0.0.1:{proxy.server_address[1]}")
        with pytest.raises(CheckpointError) as caught:
            run(line, server=server)
        assert caught.value.code == "apiserver_unreachable" and "407" in caught.value.message
        got: list[bytes] = []
        known = dataclasses.replace(server, proxy_headers={"proxy-authorization": "Basic x"})
        assert run(line, server=known, output=got.append).code == 0
        proxy.shutdown()
    assert (
        got == [b"\xff\x00"]
        and [text.split(" ")[:2] for text in Tunnel.asked] == [["CONNECT", line.url.rpartition("/")[2]]] * 2
    )


def test_output_of_any_bytes_in_pieces_and_its_end() -> None:
    every = bytes(range(256)) * 100
    pieces = [frame(b"\x01" + every[:5000], final=False), frame(every[5000:], kind=0), frame(b"\x01"), frame(b"")]
    # A message that stops in the middle for longer than one look.
    stopped = [b"\x82\x05\x01ab", b"cd"]
    got: list[bytes] = []
    with Line(*pieces, *stopped, frame(b"\x02to stderr"), ending(exit_status(42))) as line:
        execution_look, execution.LOOK = execution.LOOK, 0.002
        try:
            ended = run(line, output=got.append)
        finally:
            execution.LOOK = execution_look
    assert b"".join(got) == every + b"abcd"
    assert ended == execution.Ended(42, "", "to stderr")


def test_only_the_end_of_an_output_is_kept() -> None:
    with Line(*[frame(b"\x01" + bytes([65 + number]) * 2000) for number in range(5)], ending(SUCCESS)) as line:
        ended = run(line)
    assert len(ended.stdout) == execution.TAIL and ended.stdout.endswith("D" * 2000 + "E" * 2000)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (403, 'pods "web-0" is forbidden: User "u" cannot get resource "pods/exec" in API group ""', "forbidden"),
        (401, "Unauthorized", "unauthorized"),
        (404, 'pods "web-0" not found', "pod_not_found"),
        (400, "container app is not valid for pod web-0", "container_not_found"),
        (500, 'unable to upgrade connection: container not found ("app")', "container_not_running"),
        (500, "something else", "exec_failed"),
    ],
)
def test_a_refusal(status: int, message: str, code: str) -> None:
    body = json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": status})
    error = refused(Line(refusal=(status, body)))
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('container not found ("app")', "container_not_running"),
        ("container is in CONTAINER_EXITED state", "container_not_running"),
        ("container is not created or running", "container_not_running"),
        (NO_PROGRAM, "exec_failed"),
    ],
)
def test_a_command_that_never_began(message: str, code: str) -> None:
    status = {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
    error = refused(Line(ending(status)))
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize("last", [b"", frame(struct.pack("!H", 1011) + b"gone", kind=CLOSE), b"\x82\x05\x01a"])
def test_a_line_that_breaks_is_no_end_of_the_command(last: bytes) -> None:
    assert refused(Line(frame(b"\x01some"), last)).code == "exec_lost"


def test_no_server_and_one_that_does_not_speak_it() -> None:
    with Line() as line:
        pass
    with pytest.raises(CheckpointError) as caught:
        run(line)
    assert caught.value.code == "apiserver_unreachable"
    assert refused(Line(refusal=(200, "hello"))).code == "exec_failed"
    assert refused(Line(ending("no status at all"))).code == "exec_failed"


def test_a_deadline_and_a_wish_to_stop() -> None:
    silent = Line()
    assert refused(silent, deadline=Deadline(0.1)).code == "exec_timeout"
    assert silent.closed.wait(5)
    stop = threading.Event()
    stop.set()
    assert refused(Line(), stop=stop).code == "interrupted"


def test_what_an_output_raises_ends_it() -> None:
    def full(_piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Line(frame(b"\x01some")) as line, pytest.raises(OSError, match="No space"):
        run(line, output=full)
