# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaving a ticket and taking it back, for the module checkpoint_ticket.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .receipt import Receipts
from .ticket import BASE, Name, Ticket, Tickets
from .unpack import Opened
from .volumes import content_of


class Outcome(t.NamedTuple):
    """Whether something was changed, what was and is there (each a ticket's fields, empty for none), and the receipt of
    its use, if that was asked for."""

    changed: bool
    path: str
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    receipt: t.Optional[dict[str, t.Any]] = None


def leave(wanted: Ticket, checksum: str, *, check: bool, base: str = BASE) -> Outcome:
    """Leave a ticket, unless there is one that says the same and has not expired.

    ``checksum``: the SHA-256 that the archive has to have, as "sha256:HEX" or "HEX"; empty to take that of the file
    that is there, as of what goes into volumes. Raises CheckpointError, among them checksum_wrong, archive_missing,
    archive_untrusted.
    """
    dataclasses.replace(wanted, sha256=None).check()
    volumes = {point: content_of(point, content["path"]) for point, content in wanted.volumes.items()}
    sha256 = _digest(wanted, checksum.rpartition(":")[2].lower())
    ticket = dataclasses.replace(wanted, sha256=sha256, volumes=volumes)
    ticket.check()
    tickets = Tickets(base)
    path = tickets.path(ticket.name)
    before = there(tickets, ticket.name)
    same = before is not None and dataclasses.replace(before, expires=ticket.expires) == ticket
    if before is not None and same and before.expires > time.time():
        return Outcome(False, path, _shown(before), _shown(before))
    if not check:
        # What became of an earlier ticket says nothing of this one.
        Receipts(base).remove(ticket.name)
        tickets.put(ticket)
    return Outcome(True, path, _shown(before), _shown(ticket))


def take_back(name: Name, *, check: bool, base: str = BASE) -> Outcome:
    """Take a ticket back. One that a restore has claimed is no longer there to be taken back."""
    tickets = Tickets(base)
    before = there(tickets, name)
    changed = before is not None if check else tickets.withdraw(name)
    return Outcome(changed, tickets.path(name), _shown(before), {})


def there(tickets: Tickets, name: Name) -> t.Optional[Ticket]:
    """The ticket that is there; one that cannot be read counts as none, and is replaced."""
    with contextlib.suppress(CheckpointError):
        return tickets.get(name)
    return None


def _digest(ticket: Ticket, expected: str) -> t.Optional[str]:
    """The SHA-256 for the ticket; None for an unpacked archive, which has no one file to hash."""
    opened = Opened(ticket.archive)
    try:
        if opened.unpacked:
            if expected:
                raise CheckpointError("invalid_option", "An unpacked archive has no checksum")
            return None
        opened.archive.require_checkpoint()
        found = opened.sha256()
    finally:
        opened.close()
    if expected and found != expected:
        raise CheckpointError(
            "checksum_wrong",
            f"The archive {ticket.archive} has another SHA-256 than it should have",
            hint="Fetch the archive again",
            expected=expected,
            found=found,
        )
    return found


def _shown(ticket: t.Optional[Ticket]) -> dict[str, t.Any]:
    """A ticket for results."""
    if ticket is None:
        return {}
    fields = json.loads(ticket.as_json())
    return {**fields, "expires": utc(ticket.expires)}
