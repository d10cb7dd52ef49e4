# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that goes through a channel, for the module checkpoint_send.

Private to this collection. Runs on nodes and on the controller: standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .channel import FRAME_BYTES, Identity, Line
from .door import connect
from .node import cannot_read, open_file

MAX_ANSWER = 64 << 10


class Offer(t.NamedTuple):
    """What checkpoint_receive offers: where it waits, with what, for which archive, and until when (since 1970)."""

    addresses: t.Sequence[str]
    port: int
    identity: str
    checksum: str
    size: int
    expires: int


class Sent(t.NamedTuple):
    """The folder on the target, SHA-256 and bytes of the archive, and how long it took."""

    destination: str
    sha256: str
    size: int
    seconds: float


def send(path: str, offer: Offer) -> Sent:
    """Send the archive that an offer is for.

    Raises CheckpointError path_invalid, archive_missing, archive_is_link, archive_not_a_file, archive_unreadable,
    size_wrong, digest_wrong, offer_expired, identity_invalid, target_unreachable, connection_lost, and what the target
    says.
    """
    seconds = offer.expires - time.time()
    if seconds <= 0:
        raise CheckpointError("offer_expired", "The time of the offer is over", hint="Make a new offer")
    begun = time.monotonic()
    with _opened(path, offer.size) as file:
        line = connect(offer.addresses, offer.port, Identity(offer.identity), Deadline(seconds))
        with contextlib.closing(line):
            _pour(path, file, offer, line)
            answer = _answer(line)
    return Sent(answer["path"], answer["sha256"], answer["size"], round(time.monotonic() - begun, 3))


def check(path: str, offer: Offer) -> None:
    """See that there is a file of the right size. Raises CheckpointError as :func:`send` does."""
    with _opened(path, offer.size):
        pass


@contextlib.contextmanager
def _opened(path: str, size: int) -> t.Iterator[t.BinaryIO]:
    if not os.path.isabs(path) or "\0" in path:
        raise CheckpointError("path_invalid", f"{path!r} is not an absolute path")
    try:
        file = open_file(path)
    except OSError as error:
        raise cannot_read(path, error) from error
    with file:
        found = os.fstat(file.fileno()).st_size
        if found != size:
            raise CheckpointError("size_wrong", f"{path} has {found} bytes, and the offer is for {size}")
        yield file


def _pour(path: str, file: t.BinaryIO, offer: Offer, line: Line) -> None:
    """Send what is in the file, and its end only if it is what it should be."""
    digest, block = hashlib.sha256(), memoryview(bytearray(FRAME_BYTES))
    while True:
        try:
            count = file.readinto(block)  # type: ignore[attr-defined]
        except OSError as error:
            raise cannot_read(path, error) from error
        if not count:
            break
        if line.stirs():
            # It has refused: there is nothing else that it might say now.
            return
        line.say(block[:count])
        digest.update(block[:count])
    found = digest.hexdigest()
    if found != offer.checksum.rpartition(":")[2].lower():
        raise CheckpointError(
            "digest_wrong",
            f"{path} is not the archive that the offer is for: its SHA-256 is {found}",
            hint="Look who replaced it, or make an offer for this one",
        )
    line.end()


def _answer(line: Line) -> dict[str, t.Any]:
    """What the target says when it has everything, or refuses."""
    text = line.read(MAX_ANSWER)
    try:
        answer = json.loads(text)
        if "code" in answer:
            raise CheckpointError(*(str(answer[key]) for key in ("code", "reason")), **_more(answer))
        return {"path": str(answer["path"]), "sha256": str(answer["sha256"]), "size": int(answer["size"])}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError("connection_lost", "The target says what nobody understands") from error


def _more(answer: dict[str, t.Any]) -> dict[str, str]:
    return {key: str(answer[key]) for key in ("hint", "message")}
