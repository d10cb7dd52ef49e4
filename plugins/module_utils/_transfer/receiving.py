# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that comes through a channel, for the module checkpoint_receive: it is unpacked while it arrives.

Private to this collection. Runs on nodes: standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import signal
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._restore.arrival import arrive, arrived, digest_of, make_parent, place, refused, require_free, sweep
from .._restore.unpack import check_space
from .background import Claim, detached
from .channel import Identity, Line
from .door import Door

ADMIT_SECONDS = 300.0
"""How long the door stays open for the one who brings the archive."""

LAST_WORD_SECONDS = 10.0


class Wanted(t.NamedTuple):
    """Which archive, by SHA-256 (hexadecimal digits) and bytes, and the folder that it is to become."""

    destination: str
    sha256: str
    size: int

    @property
    def is_there(self) -> bool:
        return arrived(self.destination) == self.sha256


def wanted(destination: str, checksum: str, size: int) -> Wanted:
    """From options, checked. ``checksum``: "sha256:HEX" or "HEX". Raises CheckpointError invalid_option."""
    folder, sha256 = place(destination), digest_of(checksum)
    if size <= 0:
        raise _invalid(f"size is not a number of bytes above zero: {size}")
    return Wanted(folder, sha256, size)


def open_door(what: Wanted, identity: str, *, address: str, port: int, seconds: float) -> dict[str, t.Any]:
    """Wait for the archive in the background, for so many seconds until it is there.

    ``identity``: see :class:`Identity`; ``address``: an IP address of this machine, or empty for all; ``port``: 0 for
    any. Returns how to reach it: ``addresses``, ``port``, ``expires`` (seconds since 1970).
    Raises CheckpointError invalid_option, identity_invalid, destination_exists, destination_busy,
    destination_refused, claim_untrusted, no_space, listen_failed or not_started.
    """
    check_place(what, address, port)
    known = Identity(identity)
    deadline = Deadline(seconds)
    claim = _claimed(what)
    try:
        check_space(what.size, os.path.dirname(what.destination))
        with contextlib.closing(Door(address or None, port, known)) as door:
            detached(lambda: _serve(what, door, claim, deadline), claim, door.fileno())
            offer = {"addresses": door.addresses, "port": door.port, "expires": int(time.time() + seconds)}
    except BaseException:
        claim.remove()
        raise
    claim.leave()
    return offer


def check_place(what: Wanted, address: str, port: int) -> None:
    """Raise CheckpointError invalid_option or destination_exists."""
    if not 0 <= port <= 65535:
        raise _invalid(f"port is not a number from 0 to 65535: {port}")
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise _invalid(f"address is not an IP address: {address!r}") from error
    require_free(what.destination)


def close_door(destination: str, *, check: bool) -> bool:
    """End what waits for an archive, or takes one, and remove what is not whole; whether there was such a thing.

    Raises CheckpointError invalid_option, claim_untrusted, still_receiving or destination_refused.
    """
    destination = place(destination)
    before = _left(destination)
    if check or not before:
        return bool(before)
    try:
        with contextlib.suppress(FileNotFoundError):
            claim = Claim(_claim_of(destination), make=False)
            if not claim.end():
                claim.leave()
                raise CheckpointError("still_receiving", f"What takes the archive for {destination} does not end")
            claim.remove()
        sweep(destination)
    except OSError as error:
        raise refused(destination, error) from error
    return _left(destination) != before


def _left(destination: str) -> list[str]:
    parent, name = os.path.split(destination)
    try:
        return sorted(found for found in os.listdir(parent) if found.startswith(f".{name}."))
    except OSError:
        return []


def _claim_of(destination: str) -> str:
    parent, name = os.path.split(destination)
    return os.path.join(parent, f".{name}.door")


def _claimed(what: Wanted) -> Claim:
    try:
        make_parent(what.destination)
        claim = Claim(_claim_of(what.destination))
    except OSError as error:
        raise refused(what.destination, error) from error
    if not claim.take():
        claim.leave()
        raise CheckpointError(
            "destination_busy", f"An archive for {what.destination} is being waited for, or arrives at this moment"
        )
    return claim


def _serve(what: Wanted, door: Door, claim: Claim, deadline: Deadline) -> None:
    """What goes on in the background: one is let in, the archive is taken, and the outcome told."""
    try:
        with _ended_by_signals(deadline), contextlib.closing(door):
            line = door.admit(Deadline(ADMIT_SECONDS), deadline)
        answer = _taken(what, line, deadline)
    finally:
        claim.remove()
    line.last_word(json.dumps(answer).encode(), LAST_WORD_SECONDS)


def _taken(what: Wanted, line: Line, deadline: Deadline) -> dict[str, t.Any]:
    try:
        with _ended_by_signals(deadline):
            found = arrive(line, what.destination, sha256=what.sha256, size=what.size)
            if line.stirs():
                # Whoever sent it is gone and would never know that it arrived.
                shutil.rmtree(what.destination)
                raise CheckpointError("connection_lost", "The other end did not wait for the answer")
    except CheckpointError as error:
        return {key: error.as_dict()[key] for key in ("code", "reason", "hint", "message")}
    return {"path": found.path, "sha256": found.sha256, "size": found.size}


@contextlib.contextmanager
def _ended_by_signals(deadline: Deadline) -> t.Iterator[None]:
    """Stop what is in the block, as an error, at the deadline or when asked to end; nothing is to be left of it."""

    def stop(number: int, _frame: t.Any) -> None:
        calm()
        if number == signal.SIGALRM:
            raise CheckpointError("offer_expired", "The time for the transfer is over", hint="Make a new offer")
        raise CheckpointError("connection_lost", "The target was told to stop receiving")

    def calm() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, stop)
    remaining = deadline.remaining()
    if remaining is not None:
        signal.setitimer(signal.ITIMER_REAL, max(remaining, 0.001))
    try:
        yield
    finally:
        calm()


def _invalid(reason: str) -> CheckpointError:
    return CheckpointError("invalid_option", reason)
