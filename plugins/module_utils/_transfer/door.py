# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the two ends of a channel find each other: a door that lets one in, and the way to it.

Private to this collection. Runs on nodes: standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import selectors
import socket
import ssl
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .channel import Identity, Line, ask_in, let_in, tune

CONNECT_SECONDS = 10.0
"""How long all addresses together may take until one of them answers."""

HANDSHAKE_SECONDS = 5.0
STRANGERS = 32
"""How many may be at their handshake at once; with one more, the one that has been at it longest has to go."""

# Nothing is sent there: the system is asked which of its own addresses it would use. RFC 5737, RFC 3849.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


class Door:
    """Listens, at one address of this machine or at all, port 0 for any. Raises CheckpointError listen_failed."""

    def __init__(self, address: t.Optional[str], port: int, identity: Identity) -> None:
        self._identity = identity
        try:
            self._listener = _listening(address, port)
        except OSError as error:
            raise CheckpointError(
                "listen_failed",
                f"Port {port or 'any'} of {address or 'this machine'} cannot be listened at",
                hint="Give an address of this machine and a port that is free",
                message=str(error),
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self.addresses = [address] if address else own_addresses()

    def fileno(self) -> int:
        return self._listener.fileno()

    def close(self) -> None:
        self._listener.close()

    def admit(self, until: Deadline, deadline: Deadline) -> Line:
        """Wait for the one who has the certificate, and for nobody else; ``deadline`` is that of the line.

        Who has another one, or none, or says nothing, neither uses the door up nor keeps others from it.
        Raises CheckpointError ``offer_expired``.
        """
        with _Hall(self._listener, self._identity) as hall:
            while not until.expired:
                for tls in hall.passed(until):
                    line = self._line(tls, deadline)
                    if line is not None:
                        return line
        raise CheckpointError("offer_expired", "Nobody came with the certificate in time")

    def _line(self, tls: ssl.SSLSocket, deadline: Deadline) -> t.Optional[Line]:
        try:
            return let_in(tls, self._identity, deadline)
        except (CheckpointError, OSError):
            tls.close()
            return None


class _Hall:
    """Those who are at their handshake, all at once. The longest there are the first."""

    def __init__(self, listener: socket.socket, identity: Identity) -> None:
        self._listener = listener
        self._identity = identity
        self._there: dict[ssl.SSLSocket, Deadline] = {}
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> _Hall:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        return self

    def __exit__(self, *_exception: object) -> None:
        for tls in list(self._there):
            self._dismiss(tls)
        self._selector.close()

    def passed(self, until: Deadline) -> t.Iterator[ssl.SSLSocket]:
        """Wait for something to happen; those whose handshake is done, no longer here."""
        first = next(iter(self._there.values()), until)
        for key, _events in self._selector.select(min(first.remaining() or 0.0, until.remaining() or 0.0)):
            if key.fileobj is self._listener:
                self._enter()
            elif self._is_done(t.cast("ssl.SSLSocket", key.fileobj)):
                tls = t.cast("ssl.SSLSocket", key.fileobj)
                self._selector.unregister(tls)
                del self._there[tls]
                yield tls
        for tls in [tls for tls, end in self._there.items() if end.expired]:
            self._dismiss(tls)

    def _enter(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            connection, _address = self._listener.accept()
            with contextlib.ExitStack() as stack:
                stack.callback(connection.close)
                tune(connection)
                connection.setblocking(False)
                tls = self._identity.wrap(connection, server=True)
                stack.pop_all()
            self._there[tls] = Deadline(HANDSHAKE_SECONDS)
            self._selector.register(tls, selectors.EVENT_READ)
            if len(self._there) > STRANGERS:
                self._dismiss(next(iter(self._there)))

    def _is_done(self, tls: ssl.SSLSocket) -> bool:
        if tls not in self._there:
            return False
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._selector.modify(tls, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._selector.modify(tls, selectors.EVENT_WRITE)
        except (OSError, ValueError):
            self._dismiss(tls)
        else:
            return True
        return False

    def _dismiss(self, tls: ssl.SSLSocket) -> None:
        del self._there[tls]
        self._selector.unregister(tls)
        tls.close()


def connect(addresses: t.Sequence[str], port: int, identity: Identity, deadline: Deadline) -> Line:
    """The line to the door at one of these addresses: to all at once, and the first that lets in is taken.

    Raises CheckpointError ``target_unreachable``, with what each address said, or ``offer_expired``.
    """
    reasons: list[str] = []
    before = Deadline(CONNECT_SECONDS)
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for address in addresses:
            with _noting(address, reasons):
                connection = stack.enter_context(_begun(address, port))
                selector.register(connection, selectors.EVENT_WRITE, address)
        while selector.get_map() and not before.expired:
            for key, _events in selector.select(before.remaining()):
                connection, address = t.cast("socket.socket", key.fileobj), key.data
                selector.unregister(connection)
                with _noting(address, reasons):
                    failed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if failed:
                        raise OSError(failed, os.strerror(failed))
                    tune(connection)
                    return ask_in(connection, identity, HANDSHAKE_SECONDS, deadline)
        reasons += [f"{key.data}: no answer" for key in selector.get_map().values()]
    raise CheckpointError(
        "target_unreachable",
        f"The target cannot be reached at port {port} of {' or '.join(addresses) or 'any address'}",
        hint="Allow the connection in firewalls, or transfer the archive by the controller",
        message="; ".join(reasons),
    )


def own_addresses() -> list[str]:
    """The addresses of this machine that others may use, those that it uses itself first.

    Sources: /proc/net/fib_trie and /proc/net/if_inet6 of Linux.
    """
    found = [*_preferred(), *_ipv4(), *_ipv6()]
    return [str(address) for address in dict.fromkeys(found) if not (address.is_loopback or address.is_link_local)]


_Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def _preferred() -> t.Iterator[_Address]:
    for family, elsewhere in _ELSEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((elsewhere, 9))
            yield ipaddress.ip_address(asked.getsockname()[0])


def _ipv4() -> t.Iterator[_Address]:
    with contextlib.suppress(OSError), open("/proc/net/fib_trie", encoding="ascii") as file:
        address = ""
        for line in file:
            words = line.split()
            if words[:1] == ["|--"]:
                address = words[1]
            elif words == ["/32", "host", "LOCAL"]:
                yield ipaddress.IPv4Address(address)


def _ipv6() -> t.Iterator[_Address]:
    with contextlib.suppress(OSError), open("/proc/net/if_inet6", encoding="ascii") as file:
        for line in file:
            yield ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))


def _listening(address: t.Optional[str], port: int) -> socket.socket:
    if address:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family, backlog=STRANGERS)
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=STRANGERS, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=STRANGERS)


def _begun(address: str, port: int) -> socket.socket:
    """A connection that is being made. Raises OSError."""
    family, kind, protocol, _name, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind, protocol)
    connection.setblocking(False)
    failed = connection.connect_ex(where)
    if failed not in (0, errno.EINPROGRESS):
        connection.close()
        raise OSError(failed, os.strerror(failed))
    return connection


@contextlib.contextmanager
def _noting(address: str, reasons: list[str]) -> t.Iterator[None]:
    """Go on with the next address where one does not answer as it should."""
    try:
        yield
    except CheckpointError as error:
        if error.code == "offer_expired":
            raise
        reasons.append(f"{address}: {error}")
    except (OSError, ValueError) as error:
        reasons.append(f"{address}: {error}")
