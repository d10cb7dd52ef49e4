# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receipts: what became of a ticket, left by the restore runtime for whoever left the ticket.

A receipt is a JSON file that belongs to root, one for each container's name; a newer one takes its place.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.files import written
from .._common.moments import utc
from .ticket import BASE, Name, Ticket, private_folder, read_private

VERSION = 1
RESTORED, FAILED = "restored", "failed"
MAX_SENTENCE = 2000
"""Bytes of a reason: what CRIU and archives say in it has no other end."""

KEPT_SECONDS = 7 * 24 * 3600.0


def sentence(error: CheckpointError) -> str:
    """What an error says, on one line, bounded."""
    text = " ".join(str(error).split()).encode("utf-8", "replace")
    return text[:MAX_SENTENCE].decode("utf-8", "ignore")


def unforeseen(error: BaseException) -> CheckpointError:
    """For what nobody has thought of."""
    return CheckpointError("internal", "The restore failed for a reason that was not foreseen", message=repr(error))


@dataclasses.dataclass(frozen=True)
class Receipt:
    """``container_id``: of the container that was created. ``archive`` and ``sha256``: the ticket's, None where it
    could not be read, or has none. ``outcome``: RESTORED, or FAILED with the error's code and sentence. ``at``: when it
    ended, UTC. ``seconds``: how long it took, None where it was killed."""

    namespace: str
    pod: str
    container: str
    container_id: str
    archive: t.Optional[str]
    sha256: t.Optional[str]
    outcome: str
    code: str
    reason: str
    at: str
    seconds: t.Optional[float]

    @property
    def name(self) -> Name:
        return Name(self.namespace, self.pod, self.container)

    def as_dict(self) -> dict[str, t.Any]:
        return {"version": VERSION, **dataclasses.asdict(self)}


def receipt(
    name: Name,
    container_id: str,
    ticket: t.Optional[Ticket],
    seconds: t.Optional[float],
    error: t.Optional[CheckpointError] = None,
) -> Receipt:
    """The receipt of a restore that has come to its end now."""
    return Receipt(
        *name,
        container_id=container_id,
        archive=ticket.archive if ticket is not None else None,
        sha256=ticket.sha256 if ticket is not None else None,
        outcome=RESTORED if error is None else FAILED,
        code="" if error is None else error.code,
        reason="" if error is None else sentence(error),
        at=utc(time.time()),
        seconds=None if seconds is None else round(seconds, 2),
    )


class Receipts:
    """The receipts of this node."""

    def __init__(self, base: str = BASE) -> None:
        self.folder = os.path.join(base, "receipts")

    def path(self, name: Name) -> str:
        return os.path.join(self.folder, name.file)

    def put(self, found: Receipt) -> None:
        """Leave a receipt in the place of an older one. Raises OSError, and CheckpointError folder_untrusted."""
        private_folder(self.folder)
        with written(self.path(found.name)) as file:
            file.write((json.dumps(found.as_dict(), indent=2) + "\n").encode())

    def get(self, name: Name) -> t.Optional[Receipt]:
        """The receipt for a container's name; one that cannot be read counts as none."""
        with contextlib.suppress(CheckpointError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            data = read_private(self.path(name))
            fields = json.loads(data) if data is not None else {}
            if fields.pop("version") == VERSION:
                found = Receipt(**fields)
                return found if found.name == name else None
        return None

    def remove(self, name: Name) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def sweep(self, now: float) -> None:
        """Remove the ones that nobody has asked for in a week."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if now - entry.stat(follow_symlinks=False).st_mtime > KEPT_SECONDS:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
