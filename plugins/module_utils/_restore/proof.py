# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a ticket has been used, and for which container, for the module checkpoint_ticket.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .leave import Outcome, there
from .receipt import RESTORED, Receipt, Receipts
from .ticket import BASE, Name, Ticket, Tickets

PAUSE = 0.2


def used(name: Name, container_id: str, wait: float, *, base: str = BASE) -> Outcome:
    """See that the ticket was used and its container restored, waiting for that at most so many seconds.

    ``container_id``: what the container has to be, with its runtime in front ("containerd://ID") or not; empty for any.
    Raises CheckpointError not_restored, restore_failed, receipt_missing, another_container.
    """
    tickets = Tickets(base)
    until = time.monotonic() + wait
    while True:
        # The ticket first: where it is gone, what is read afterwards is not older.
        ticket = there(tickets, name)
        found = Receipts(base).get(name)
        # With a ticket that is there again, the next try may yet succeed.
        if (ticket is None and found is not None) or time.monotonic() >= until:
            break
        time.sleep(min(PAUSE, max(0.0, until - time.monotonic())))
    proved = _judged(name, ticket, found)
    wanted = container_id.rpartition("/")[2]
    if wanted and proved.container_id != wanted:
        raise CheckpointError(
            "another_container",
            f"The container of {name} that was restored is {proved.container_id}, and not {wanted}",
            hint="It was started anew since then, from its image",
            receipt=proved.as_dict(),
        )
    return Outcome(False, tickets.path(name), {}, {}, proved.as_dict())


def _judged(name: Name, ticket: t.Optional[Ticket], found: t.Optional[Receipt]) -> Receipt:
    if found is not None and found.outcome != RESTORED:
        raise CheckpointError(
            "restore_failed",
            f"The restore of {name} failed",
            hint="Remove the cause, then leave a new ticket" if ticket is None else "Remove the cause",
            message=found.reason,
            receipt=found.as_dict(),
        )
    if ticket is not None:
        late = f", and it expired at {utc(ticket.expires)}" if ticket.expires <= time.time() else ""
        raise CheckpointError(
            "not_restored",
            f"The ticket for {name} was not used{late}",
            hint="See that the pod is on this node and that its handler is the restore runtime",
        )
    if found is None:
        raise CheckpointError(
            "receipt_missing",
            f"There is neither a ticket for {name} nor a receipt of its use",
            hint="The restore may still be under way, or the ticket was taken back",
        )
    return found
