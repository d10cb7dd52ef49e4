# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container runtime answers on its socket: one call of the CRI without a library for it.

The call is RuntimeService/Version, whose request is empty (k8s.io/cri-api pkg/apis/runtime/v1/api.proto). gRPC sends a
result as a DATA frame of HTTP/2 and a refusal without one (grpc doc/PROTOCOL-HTTP2.md), so nothing has to be decoded: a
containerd that runs without its CRI plugin accepts the connection and refuses the call.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import socket
import struct

DATA, HEADERS, SETTINGS, GOAWAY = 0x0, 0x1, 0x4, 0x7
END_STREAM, END_HEADERS = 0x1, 0x4
STREAM = 1
LARGEST_FRAME = 1 << 14
"""Bytes; the most that a peer may send unasked (RFC 9113, 4.2)."""

REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/runtime.v1.RuntimeService/Version"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)


def answers(path: str, timeout: float) -> bool:
    """Whether the runtime behind a socket answers a call within ``timeout`` seconds for each step."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(_call())
            return _has_result(connection)
    except OSError:
        return False


def _call() -> bytes:
    # Fields as literals without an index, names and values as they are (RFC 7541, 6.2.2).
    fields = b"".join(b"\0" + _text(name) + _text(value) for name, value in REQUEST)
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(SETTINGS, 0, 0, b"")
        + _frame(HEADERS, END_HEADERS, STREAM, fields)
        + _frame(DATA, END_STREAM, STREAM, b"\0\0\0\0\0")
    )


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _has_result(connection: socket.socket) -> bool:
    while True:
        head = _exactly(connection, 9)
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        if length > LARGEST_FRAME:
            return False
        _exactly(connection, length)
        if stream == STREAM and kind == DATA:
            return True
        if kind == GOAWAY or (stream == STREAM and flags & END_STREAM):
            return False


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        piece = connection.recv(length - len(content))
        if not piece:
            raise ConnectionResetError
        content += piece
    return content
