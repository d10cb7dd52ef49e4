# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that do not answer as a container runtime does; those that do are the laboratory's."""

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


def test_one_that_says_nothing_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        assert cri.answers(path, 0.1) is False
    assert cri.answers(path, 0.1) is False
    assert cri.answers(str(tmp_path / "none"), 0.1) is False
