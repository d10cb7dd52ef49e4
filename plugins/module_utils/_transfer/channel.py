# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An encrypted line between two machines that hold the same certificate, which was made for this one line.

TLS 1.3. Each end shows the certificate and takes no other from the peer; names of hosts mean nothing. What is sent
goes in frames with an end of their own, so that a line that was cut is never taken for one that was finished. What
flows in it is the business of others.

A frame is its length (4 bytes, most significant first) and so many bytes; a frame of no bytes ends what one side says.

Private to this collection. Runs on nodes: standard library only, Python 3.9 or later, memory does not grow with what
is sent.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import socket
import ssl
import struct
import tempfile
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError

FRAME_BYTES = 1 << 20
"""The most that a frame holds."""

IDLE_SECONDS = 60.0
"""How long the peer may say or take nothing, if nobody says otherwise."""

_HELLO = b"checkpoint channel 1\n"
_LENGTH = struct.Struct("!I")
_CERTIFICATE_ENDS = "-----END CERTIFICATE-----\n"
_NOT_YET_VALID, _EXPIRED = 9, 10
# A peer that is gone without a word is noticed after half a minute: tcp(7). Not every system has all of them.
_TCP = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 30_000,
}


class Identity:
    """The certificate and its private key: both as PEM, the certificate first, and that in base64, in one line.

    In one line, because Ansible does not find a secret of several lines again in what it logs (basic.py of ansible-core
    2.19, _log_invocation). Raises CheckpointError identity_invalid.
    """

    def __init__(self, text: str) -> None:
        try:
            pem = base64.b64decode(text, validate=True).decode("ascii")
            certificate, ends, _key = pem.partition(_CERTIFICATE_ENDS)
            self.certificate = ssl.PEM_cert_to_DER_cert(certificate + ends)
            self._contexts = {server: self._context(pem, server) for server in (True, False)}
        except (ValueError, OSError) as error:
            raise CheckpointError(
                "identity_invalid", "The certificate and key of the offer cannot be read", message=str(error)
            ) from error

    def wrap(self, connection: socket.socket, *, server: bool) -> ssl.SSLSocket:
        """TLS for a connection, its handshake still to be done. Raises OSError, ValueError."""
        return self._contexts[server].wrap_socket(connection, server_side=server, do_handshake_on_connect=False)

    def _context(self, pem: str, server: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=self.certificate)
        if server:
            # No line is ever resumed.
            context.num_tickets = 0
        # The key is only to be had from a file, so it gets one without a name.
        with _nameless_file() as file:
            file.write(pem.encode())
            file.flush()
            # With a password nobody is asked for one.
            context.load_cert_chain(f"/dev/fd/{file.fileno()}", password="")
        return context


class Line:
    """The line, for one end of it: says and hears frames, until the deadline.

    ``idle_seconds``: how long the peer may say or take nothing; may be changed.

    What it raises is CheckpointError: ``connection_lost``, also where the peer is idle for too long, or
    ``offer_expired`` where the deadline has passed.
    """

    def __init__(self, tls: ssl.SSLSocket, deadline: Deadline) -> None:
        self._tls = tls
        self._deadline = deadline
        self.idle_seconds = IDLE_SECONDS
        self._left = 0
        self._heard_all = False

    def say(self, data: t.Union[bytes, memoryview]) -> None:
        """Send bytes, :data:`FRAME_BYTES` at most."""
        with self._in_time():
            self._tls.sendall(_LENGTH.pack(len(data)))
            self._tls.sendall(data)

    def end(self) -> None:
        """Tell the peer that this was all."""
        with self._in_time():
            self._tls.sendall(_LENGTH.pack(0))

    def read(self, size: int) -> bytes:
        """As many bytes of what the peer says; fewer only where it has ended."""
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size and self._more():
            count = min(self._left, size - filled)
            self._fill(view[filled : filled + count])
            self._left -= count
            filled += count
        return bytes(view[:filled])

    def stirs(self) -> bool:
        """Whether the peer has said something that is not read yet, or is gone. Does not wait."""
        if self._tls.pending():
            return True
        poll = select.poll()
        poll.register(self._tls, select.POLLIN)
        return bool(poll.poll(0))

    def last_word(self, data: bytes, seconds: float) -> None:
        """Say it, whatever the deadline, and close. What the peer still says is dropped, for so many seconds."""
        self._deadline = Deadline(seconds)
        scrap = bytearray(FRAME_BYTES)
        with contextlib.suppress(CheckpointError, OSError, ValueError):
            self.say(data)
            self.end()
            # With bytes that were not read, the system tells the peer of an error, which would overtake the last word.
            self._tls.settimeout(seconds)
            while not self._deadline.expired and self._tls.recv_into(scrap):
                pass
        self.close()

    def close(self) -> None:
        self._tls.close()

    def _more(self) -> bool:
        if not self._left and not self._heard_all:
            length = bytearray(_LENGTH.size)
            self._fill(memoryview(length))
            self._left = _LENGTH.unpack(length)[0]
            self._heard_all = not self._left
            if self._left > FRAME_BYTES:
                raise CheckpointError("connection_lost", "The other end says what is no frame")
        return not self._heard_all

    def _fill(self, view: memoryview) -> None:
        with self._in_time():
            while view:
                if self._deadline.expired:
                    raise _too_late()
                count = self._tls.recv_into(view)
                if not count:
                    raise CheckpointError(
                        "connection_lost", "The other end closed the connection before it had said everything"
                    )
                view = view[count:]

    @contextlib.contextmanager
    def _in_time(self) -> t.Iterator[None]:
        remaining = self._deadline.remaining()
        seconds = self.idle_seconds if remaining is None else min(self.idle_seconds, remaining)
        if not seconds:
            raise _too_late()
        self._tls.settimeout(seconds)
        try:
            yield
        except socket.timeout as error:
            if self._deadline.expired:
                raise _too_late() from error
            raise CheckpointError(
                "connection_lost", f"The other end was silent for {seconds:g} seconds", message=str(error)
            ) from error
        except OSError as error:
            raise CheckpointError("connection_lost", "The connection broke", message=str(error)) from error


def let_in(tls: ssl.SSLSocket, identity: Identity, deadline: Deadline) -> Line:
    """The line for the one whose handshake is done, at the end that listens. Raises as a line, and OSError."""
    _check_peer(tls, identity)
    line = Line(tls, deadline)
    line.say(_HELLO)
    return line


def ask_in(connection: socket.socket, identity: Identity, seconds: float, deadline: Deadline) -> Line:
    """The line for a connection that was made, at the end that made it, within so many seconds.

    Raises CheckpointError ``offer_expired`` or ``connection_lost``, and OSError or ValueError, where the other end does
    not have the certificate, or refuses this one.
    """
    tls = identity.wrap(connection, server=False)
    try:
        tls.settimeout(seconds)
        tls.do_handshake()
        _check_peer(tls, identity)
        # With TLS 1.3 the handshake is over at this end before the other one has looked at the certificate.
        before = Line(tls, Deadline(seconds))
        if before.read(len(_HELLO)) != _HELLO:
            raise CheckpointError("connection_lost", "The other end is of another version")
    except BaseException as error:
        tls.close()
        if is_about_time(error):
            raise CheckpointError(
                "offer_expired",
                "The certificate of the offer is not valid at this moment, by the clock of one of the two machines",
                hint="Compare the clocks, then make a new offer",
                message=str(error.__cause__ or error),
            ) from error
        raise
    return Line(tls, deadline)


def is_about_time(error: t.Optional[BaseException]) -> bool:
    """Whether TLS failed as the certificate is of another time, by the clock of either end."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            return True
        if isinstance(error, ssl.SSLError) and "CERTIFICATE_EXPIRED" in (error.reason or ""):
            return True
        error = error.__cause__
    return False


def tune(connection: socket.socket) -> None:
    """Have the system notice a peer that is gone. Raises OSError."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _check_peer(tls: ssl.SSLSocket, identity: Identity) -> None:
    # A certificate that this one has signed is another one.
    if tls.getpeercert(binary_form=True) != identity.certificate:
        raise ssl.SSLError("the other end has another certificate")


def _nameless_file() -> t.IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("identity"), "w+b")
    return tempfile.TemporaryFile()


def _too_late() -> CheckpointError:
    return CheckpointError("offer_expired", "The time for the transfer is over", hint="Make a new offer")
