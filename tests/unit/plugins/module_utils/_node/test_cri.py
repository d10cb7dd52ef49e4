# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that answer as a container runtime does, as seen on the laboratory, or otherwise."""

from __future__ import annotations

import pathlib
import socket
import threading

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import cri

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
# Of a server without that service: headers, not to be decoded here, that end the stream.
REFUSAL = b"\0\0\1\1\5\0\0\0\1\x88"
RESULT = b"\0\0\1\1\4\0\0\0\1\x88" + b"\0\0\5\0\0\0\0\0\1\0\0\0\0\0"


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (SETTINGS + RESULT, True),
        (SETTINGS + REFUSAL, False),
        (SETTINGS + b"\0\0\0\7\0\0\0\0\0", False),
        (SETTINGS, False),
        (SETTINGS[:5], False),
        (b"", False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    ],
)
def test_only_a_result_is_an_answer(said: bytes, answers: bool, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        assert cri.answers(path, 10) is answers
        thread.join()


def answered(path: str, message: bytes, reference: str) -> tuple[str | None, bytes]:
    """What an image's ID is said to be, and what was asked, by a runtime that answers with this message."""
    asked = b""
    body = b"\0" + len(message).to_bytes(4, "big") + message
    # Cut in two, as a long one is.
    frames = b"".join(len(part).to_bytes(3, "big") + b"\0\0\0\0\0\1" + part for part in (body[:3], body[3:]) if part)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)

        def serve() -> None:
            nonlocal asked
            connection, _address = server.accept()
            with connection:
                asked = connection.recv(65536)
                connection.sendall(SETTINGS + frames)

        thread = threading.Thread(target=serve)
        thread.start()
        found = cri.image_id(path, reference, 10)
        thread.join()
    return found, asked


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("web", b"\x0a\x0aweb:latest"),
        ("registry.example.com:5000/web", b"registry.example.com:5000/web:latest"),
        ("registry.example.com/web:1", b"registry.example.com/web:1"),
        ("web@sha256:" + "1" * 64, b"web@sha256:" + b"1" * 64),
        ("2" * 64, b"\x0a\x40" + b"2" * 64),
    ],
)
@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_the_id_of_an_image(reference: str, asked: bytes, prefix: str, tmp_path: pathlib.Path) -> None:
    """CRI-O 1.36.3 tells the ID without the name of the hash, containerd 2.1.9 with it."""
    name = f"{prefix}{'a' * 64}".encode()
    image = b"\x0a" + bytes((len(name),)) + name + b"\x12\x05web:1"
    # More than 127 bytes: their number takes two.
    image += b"\x12" + bytes((80,)) + b"x" * 80
    length = bytes((len(image) & 0x7F | 0x80, len(image) >> 7))
    found, said = answered(str(tmp_path / "socket"), b"\x0a" + length + image, reference)
    assert found == "a" * 64 and said.endswith(asked) and b"/runtime.v1.ImageService/ImageStatus" in said


def test_an_image_that_is_not_there(tmp_path: pathlib.Path) -> None:
    assert answered(str(tmp_path / "socket"), b"", "web:1")[0] is None
    assert cri.image_id(str(tmp_path / "none"), "web:1", 0.1) is None


def test_one_that_says_nothing_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        assert cri.answers(path, 0.1) is False
    assert cri.answers(path, 0.1) is False
    assert cri.answers(str(tmp_path / "none"), 0.1) is False
