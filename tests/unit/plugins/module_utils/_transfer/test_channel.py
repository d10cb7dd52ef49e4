# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel on the loopback: who is let in, who is not, and what becomes of what is said."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import re
import socket
import ssl
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer import door
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.channel import (
    FRAME_BYTES,
    Identity,
    Line,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.door import (
    STRANGERS,
    Door,
    connect,
    own_addresses,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._transfer.identities import (
    identity,
    pem,
)

HERE = "127.0.0.1"


class Host:
    """A door, and somebody who waits behind it in a thread; what became of that is ``line`` or ``failure``."""

    def __init__(self, seconds: float = 20, address: str = HERE) -> None:
        self.door = Door(address, 0, Identity(identity()))
        self.line: t.Optional[Line] = None
        self.failure: t.Optional[CheckpointError] = None
        self._thread = threading.Thread(target=self._wait, args=(seconds,), daemon=True)
        self._thread.start()

    def _wait(self, seconds: float) -> None:
        try:
            self.line = self.door.admit(Deadline(seconds), Deadline(20))
        except CheckpointError as error:
            self.failure = error
        self.door.close()

    def guest(self, name: str = "one", *addresses: str) -> Line:
        return connect(addresses or (HERE,), self.door.port, Identity(identity(name)), Deadline(20))

    def joined(self) -> Line:
        self._thread.join()
        assert self.line is not None
        return self.line

    def both(self) -> tuple[Line, Line]:
        return self.guest(), self.joined()

    def plain(self) -> socket.socket:
        return socket.create_connection((HERE, self.door.port), timeout=10)


def code(work: t.Callable[..., t.Any], *arguments: t.Any) -> str:
    with pytest.raises(CheckpointError) as failed:
        work(*arguments)
    return failed.value.code


def stranger(host: Host, shown: t.Optional[str], folder: pathlib.Path, version: ssl.TLSVersion) -> str:
    """Somebody who takes any certificate of the door and shows this one; the first thing heard, or the error."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    if shown is not None:
        (folder / "pem").write_text(shown)
        context.load_cert_chain(folder / "pem")
    try:
        with context.wrap_socket(host.plain()) as tls:
            return str(tls.recv(100))
    except OSError as error:
        return str(error)


def test_what_is_said_is_heard_both_ways_and_ends() -> None:
    guest, host = Host().both()
    data = os.urandom(FRAME_BYTES + 12_345)
    heard: list[bytes] = []

    def listen() -> None:
        heard.extend(iter(lambda: host.read(100_000), b""))

    with contextlib.closing(guest), contextlib.closing(host):
        thread = threading.Thread(target=listen)
        thread.start()
        for start in range(0, len(data), 300_001):
            guest.say(memoryview(data)[start : start + 300_001])
        guest.end()
        thread.join()
        assert b"".join(heard) == data
        assert {len(piece) for piece in heard[:-1]} == {100_000}
        assert host.read(10) == b""
        assert not guest.stirs()
        host.say(b"thanks")
        host.end()
        assert guest.read(1000) == b"thanks"


def test_strangers_neither_enter_nor_use_the_door_up(tmp_path: pathlib.Path) -> None:
    host = Host()
    newest = ssl.TLSVersion.TLSv1_3
    with contextlib.ExitStack() as stack:
        # More of them than the hall holds, and they say nothing.
        for _number in range(STRANGERS + 5):
            stack.enter_context(host.plain())
        with host.plain() as rude:
            rude.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        assert code(host.guest, "another") == "target_unreachable"
        assert "certificate" in stranger(host, None, tmp_path, newest).lower()
        # The alert is called unknown_ca or bad_certificate, RFC 8446, section 6.2.
        assert re.search("unknown.ca|certificate", stranger(host, pem("another"), tmp_path, newest).lower())
        assert "version" in stranger(host, pem(), tmp_path, ssl.TLSVersion.TLSv1_2).lower()
        guest, line = host.both()
        line.end()
        assert guest.read(1) == b""
        guest.close()
        line.close()


def test_one_is_let_in_and_then_the_door_is_closed() -> None:
    host = Host()
    guest, line = host.both()
    assert code(host.guest) == "target_unreachable"
    guest.close()
    line.close()


def test_a_door_that_nobody_comes_to() -> None:
    host = Host(seconds=0.2)
    host._thread.join()
    assert host.failure is not None
    assert host.failure.code == "offer_expired"


def test_a_target_with_another_certificate_is_refused(tmp_path: pathlib.Path) -> None:
    """Whoever has taken the target's address gets nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "pem").write_text(pem("another"))
    context.load_cert_chain(tmp_path / "pem")
    heard = []
    with socket.create_server((HERE, 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                heard.append(tls.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        known = Identity(identity())
        with pytest.raises(CheckpointError) as failed:
            connect([HERE], listener.getsockname()[1], known, Deadline(20))
        thread.join()
    assert failed.value.code == "target_unreachable"
    assert "CERTIFICATE_VERIFY_FAILED" in failed.value.message
    assert heard == []


def test_the_address_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "CONNECT_SECONDS", 5.0)
    host = Host()
    # A test network that nobody has (RFC 5737), and one where nobody listens.
    guest = host.guest("one", "192.0.2.7", "127.0.0.2", "nowhere.invalid", HERE)
    assert host.joined() is not None
    guest.close()
    monkeypatch.setattr(door, "CONNECT_SECONDS", 0.3)
    with pytest.raises(CheckpointError) as failed:
        host.guest("one", "127.0.0.2", "nowhere.invalid")
    assert failed.value.code == "target_unreachable"
    assert {text.partition(":")[0] for text in failed.value.message.split("; ")} == {"127.0.0.2", "nowhere.invalid"}


def test_a_line_that_is_cut_is_not_one_that_ended() -> None:
    guest, host = Host().both()
    guest.say(b"half of")
    guest.close()
    assert host.stirs()
    assert host.read(7) == b"half of"
    assert code(host.read, 1) == "connection_lost"


def test_one_who_says_nothing_more_is_given_up() -> None:
    guest, host = Host().both()
    host.idle_seconds = 0.2
    assert code(host.read, 1) == "connection_lost"
    late = Line(host._tls, Deadline(0.1))
    assert code(late.read, 1) == "offer_expired"
    assert code(late.end) == "offer_expired"
    guest.close()


def test_what_is_no_frame() -> None:
    guest, host = Host().both()
    guest._tls.sendall(b"\xff\xff\xff\xff")
    assert code(host.read, 1) == "connection_lost"
    guest.close()


def test_the_last_word_is_heard_by_one_who_still_talks() -> None:
    guest, host = Host().both()
    guest.say(bytes(1000))
    assert not guest.stirs()
    thread = threading.Thread(target=host.last_word, args=(b"enough", 10))
    thread.start()
    guest.say(bytes(1000))
    assert guest.read(100) == b"enough"
    guest.close()
    thread.join()


@pytest.mark.parametrize("text", ["", "nonsense", pem().partition("-----BEGIN PRIVATE")[0], "\x00\n"])
def test_what_is_no_identity(text: str) -> None:
    assert code(Identity, text) == "identity_invalid"
    assert code(Identity, base64.b64encode(text.encode()).decode()) == "identity_invalid"


def test_addresses_and_ports_that_cannot_be_listened_at() -> None:
    known = Identity(identity())
    assert code(Door, "192.0.2.7", 0, known) == "listen_failed"
    with contextlib.closing(Door(HERE, 0, known)) as first:
        assert code(Door, HERE, first.port, known) == "listen_failed"


def test_the_addresses_of_this_machine_are_its_own() -> None:
    found = own_addresses()
    assert len(found) == len(set(found))
    for address in found:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as mine:
            mine.bind((address, 0))
    with contextlib.closing(Door(None, 0, Identity(identity()))) as everywhere:
        assert everywhere.addresses == found
        for address in (HERE, *found):
            with socket.create_connection((address, everywhere.port), timeout=5):
                pass
