# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that passes by once, as from a connection, and is hashed beside that.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from .._archive.source import Source
from .._common.errors import CheckpointError
from .._common.hashing import Hash

PIECE = 1 << 20
"""How much is read and hashed at a time."""


class Readable(t.Protocol):
    """Gives bytes one after another."""

    def read(self, size: int, /) -> bytes:
        """``size`` bytes at most, none at the end."""


class Arriving(Source):
    """A stream that is read once, in pieces. The last two of them can be read again."""

    sequential = True

    def __init__(self, stream: Readable, pool: concurrent.futures.Executor, expected: t.Optional[int]) -> None:
        self._stream = stream
        self._expected = expected
        self._recent: list[tuple[int, bytes]] = []
        self._hash = Hash(pool)
        self.received = 0
        self.failure: t.Optional[BaseException] = None

    def read_at(self, offset: int, size: int) -> bytes:
        return b"".join(self.chunks(offset, size))

    def chunks(self, offset: int, size: int) -> t.Iterator[memoryview]:
        """The bytes from offset on, without copying them."""
        while size > 0:
            while offset >= self.received:
                if not self.more():
                    return
            start, data = next((piece for piece in reversed(self._recent) if piece[0] <= offset), (0, b""))
            if offset >= start + len(data):
                raise CheckpointError("archive_damaged", "The archive leads back to what has passed by")
            view = memoryview(data)[offset - start : offset - start + size]
            yield view
            offset += len(view)
            size -= len(view)

    def more(self) -> bool:
        """Take the next piece; False at the end. Raises CheckpointError too_large, and what the stream raises."""
        if self.failure is not None:
            raise self.failure
        try:
            data = self._filled()
            if data and self._expected is not None and self.received + len(data) > self._expected:
                raise CheckpointError(
                    "too_large", f"The archive has more than the {self._expected} bytes it should have"
                )
        except BaseException as error:
            # What reads for a program that decompresses cannot raise it to anybody.
            self.failure = error
            raise
        if not data:
            self.size = self.received
            return False
        self._hash.update(data)
        self._recent = [*self._recent[-1:], (self.received, data)]
        self.received += len(data)
        return True

    def _filled(self) -> bytes:
        data = self._stream.read(PIECE)
        if not data or len(data) == PIECE:
            return data
        parts, left = [data], PIECE - len(data)
        while left:
            data = self._stream.read(left)
            if not data:
                break
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def sha256(self) -> str:
        """Of all that was received."""
        return self._hash.digest().partition(":")[2]
