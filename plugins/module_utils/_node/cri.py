# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the CRI to a container runtime on its socket, without a library for it.

Which calls and messages there are: k8s.io/cri-api pkg/apis/runtime/v1/api.proto. gRPC sends a result as DATA frames of
HTTP/2 and a refusal without one (grpc doc/PROTOCOL-HTTP2.md): a containerd that runs without its CRI plugin accepts the
connection and refuses the call.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import socket
import struct
import typing as t

DATA, HEADERS, SETTINGS, GOAWAY = 0x0, 0x1, 0x4, 0x7
END_STREAM, END_HEADERS = 0x1, 0x4
STREAM = 1
LARGEST_FRAME = 1 << 14
"""Bytes; the most that a peer may send unasked (RFC 9113, 4.2)."""

LARGEST_RESULT = 65535
"""Bytes; the most that a peer may send before it is told to go on (RFC 9113, 6.9.2)."""

LENGTH_DELIMITED = 2


def answers(path: str, timeout: float) -> bool:
    """Whether the runtime behind a socket answers a call within ``timeout`` seconds for each step."""
    return _result(path, "RuntimeService/Version", b"", timeout) is not None


def image_id(path: str, reference: str, timeout: float) -> t.Optional[str]:
    """The ID of an image that the runtime has, 64 hexadecimal digits; None where it has none, or does not answer.

    ``reference``: as in a pod, or as a pod's status has it. As the kubelet asks (kubernetes 1.36, pkg/kubelet/images,
    applyDefaultImageTag): the runtime makes a whole name of a short one, but for the tag.
    """
    name = reference.rpartition("/")[2]
    whole = reference if ":" in name or "@" in name or len(name) == 64 else f"{reference}:latest"
    result = _result(path, "ImageService/ImageStatus", _field(_field(whole.encode())), timeout)
    found = _first(_first(result or b""))
    return found.decode("utf-8", "replace").rpartition(":")[2] or None


def _field(content: bytes) -> bytes:
    """Field 1 of a message, a string or a message (protobuf.dev, encoding)."""
    length, number = b"", len(content)
    while number >= 0x80:
        length += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return bytes((1 << 3 | LENGTH_DELIMITED,)) + length + bytes((number,)) + content


def _first(message: bytes) -> bytes:
    """The content of field 1 where the message begins with it, as all do that are written in the usual order."""
    if not message or message[0] != 1 << 3 | LENGTH_DELIMITED:
        return b""
    length = shift = 0
    for position in range(1, len(message)):
        length |= (message[position] & 0x7F) << shift
        shift += 7
        if message[position] < 0x80:
            return message[position + 1 : position + 1 + length]
    return b""


def _result(path: str, method: str, message: bytes, timeout: float) -> t.Optional[bytes]:
    """The message that the runtime answers with; None where it refuses."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(_call(method, message))
            return _answer(connection)
    except OSError:
        return None


def _call(method: str, message: bytes) -> bytes:
    request = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/runtime.v1.{method}"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
    # Fields as literals without an index, names and values as they are (RFC 7541, 6.2.2).
    fields = b"".join(b"\0" + _text(name) + _text(value) for name, value in request)
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(SETTINGS, 0, 0, b"")
        + _frame(HEADERS, END_HEADERS, STREAM, fields)
        + _frame(DATA, END_STREAM, STREAM, struct.pack(">BI", 0, len(message)) + message)
    )


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _answer(connection: socket.socket) -> t.Optional[bytes]:
    found = b""
    while True:
        head = _exactly(connection, 9)
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        if length > LARGEST_FRAME:
            return None
        content = _exactly(connection, length)
        if stream == STREAM and kind == DATA:
            found += content
            # One byte that says whether it is compressed, four with its length.
            wanted = 5 + int.from_bytes(found[1:5], "big")
            if wanted > LARGEST_RESULT:
                return None
            if len(found) >= max(5, wanted):
                return found[5:wanted]
        if kind == GOAWAY or (stream == STREAM and flags & END_STREAM):
            return None


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        piece = connection.recv(length - len(content))
        if not piece:
            raise ConnectionResetError
        content += piece
    return content
