# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where bytes come from: an open file, a slice of one, or a stream that can only be read forward.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import bisect
import contextlib
import mmap
import os
import typing as t

from .._common.errors import CheckpointError

CHUNK = 1 << 18
"""How much is read at a time where everything passes by; small enough to stay in the processor's cache."""

MAX_RATIO = 1000
BOMB_FLOOR = 4 << 30
"""A stream that gives more than BOMB_FLOOR bytes at more than MAX_RATIO bytes per byte read is taken for a bomb.

CRIU leaves out zero pages, so that real checkpoints stay far below (gzip itself cannot exceed about 1030)."""


class Source:
    """Bytes at offsets. Reading behind the end gives fewer bytes, never an error."""

    size: t.Optional[int] = None
    """Bytes in all, None where only reading on would tell."""

    sequential = False
    """True where going back means starting over."""

    broken: t.Optional[CheckpointError] = None
    """Why the bytes end where they end, where that is not the proper end (a damaged or monstrous stream)."""

    def read_at(self, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def chunks(self, offset: int, size: int) -> t.Iterator[t.Union[bytes, memoryview]]:
        """The bytes from offset on, in pieces of at most CHUNK; stops early at the end of the source."""
        while size > 0:
            data = self.read_at(offset, min(size, CHUNK))
            if not data:
                return
            yield data
            offset += len(data)
            size -= len(data)

    def map(self, offset: int, size: int) -> t.Optional[memoryview]:
        """The bytes without copying where the source can do that, else None."""
        return None

    def close(self) -> None:
        """Give back what is held; calling it twice does no harm."""


class FileSource(Source):
    """A regular file that was opened once, or a slice of it."""

    size: int

    def __init__(self, fd: int, offset: int = 0, size: t.Optional[int] = None, *, owner: bool = True) -> None:
        self._fd = fd
        self._owner = owner
        self._base = offset
        self.info = os.fstat(fd)
        end = self.info.st_size
        self.size = max(0, end - offset) if size is None else max(0, min(size, end - offset))
        self._map: t.Optional[mmap.mmap] = None

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        try:
            return os.pread(self._fd, size, self._base + offset)
        except OSError as error:
            raise CheckpointError(
                "archive_unreadable", "The file could not be read", message=str(error), offset=offset
            ) from error

    def map(self, offset: int, size: int) -> t.Optional[memoryview]:
        """A view of the file's pages: memory of the page cache, not of this process.

        The file must not be cut short by somebody else meanwhile; archives are written once and then only read.
        """
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return memoryview(b"")
        if self._map is None:
            try:
                self._map = mmap.mmap(self._fd, self._base + self.size, access=mmap.ACCESS_READ)
            except (OSError, ValueError):
                return None
        start = self._base + offset
        return memoryview(self._map)[start : start + size]

    def slice(self, offset: int, size: int) -> FileSource:
        """A source of its own for a part of this one, sharing the descriptor."""
        return FileSource(self._fd, self._base + offset, max(0, min(size, self.size - offset)), owner=False)

    def close(self) -> None:
        if self._map is not None:
            # Where a view is still in use, the map goes with the last of them.
            with contextlib.suppress(BufferError):
                self._map.close()
            self._map = None
        if self._owner and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Reader(t.Protocol):
    """What a decompressor looks like from here: read on, and give back."""

    @property
    def consumed(self) -> int:
        """How much compressed input was taken, in bytes."""

    def read(self, size: int) -> bytes:
        """The next bytes, ``size`` at most."""

    def close(self) -> None:
        """Give back what is held."""


class StreamSource(Source):
    """A compressed file: reading on is cheap, going back starts over, kept ranges cost nothing.

    ``keep()`` holds small pieces in memory within a bound; ``prefetch()`` collects many ranges in one pass.
    """

    sequential = True
    KEEP_BYTES = 48 << 20

    def __init__(self, factory: t.Callable[[], Reader]) -> None:
        self._factory = factory
        self._reader: t.Optional[Reader] = None
        self._position = 0
        self._starts: list[int] = []
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self.passes = 0

    def _from_kept(self, offset: int, size: int) -> t.Optional[bytes]:
        index = bisect.bisect_right(self._starts, offset) - 1
        if index < 0:
            return None
        start = self._starts[index]
        data = self._kept[start]
        if offset + size <= start + len(data):
            return data[offset - start : offset - start + size]
        return None

    def _read_on(self, size: int) -> bytes:
        if self._reader is None:
            raise AssertionError("self._reader is not set")
        parts: list[bytes] = []
        while size > 0:
            try:
                data = self._reader.read(min(size, CHUNK))
                self._check_ratio(len(data))
            except CheckpointError as error:
                self.broken = error
                data = b""
            if not data:
                self.size = self._position
                break
            parts.append(data)
            size -= len(data)
            self._position += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_ratio(self, size: int) -> None:
        if self._reader is None:
            raise AssertionError("self._reader is not set")
        produced = self._position + size
        if produced > BOMB_FLOOR and produced > self._reader.consumed * MAX_RATIO:
            raise CheckpointError(
                "archive_bomb",
                f"The archive unpacks to more than {MAX_RATIO} times its size",
                hint="Look at where the file comes from before reading it any further",
                consumed=self._reader.consumed,
                produced=produced,
            )

    def _go_to(self, offset: int) -> bool:
        if self._reader is None or offset < self._position:
            self.rewind()
            self._reader = self._factory()
            self.passes += 1
        while self._position < offset:
            if not self._read_on(min(CHUNK, offset - self._position)):
                return False
        return True

    def rewind(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._position = 0

    def read_at(self, offset: int, size: int) -> bytes:
        if size <= 0 or offset < 0:
            return b""
        kept = self._from_kept(offset, size)
        if kept is not None:
            return kept
        if (self.size is not None and offset >= self.size) or not self._go_to(offset):
            return b""
        return self._read_on(size)

    def keep(self, offset: int, size: int) -> bool:
        """Read a piece and hold it in memory; False where the bound on kept bytes is reached."""
        if self._from_kept(offset, size) is not None:
            return True
        if self._kept_bytes + size > self.KEEP_BYTES:
            return False
        data = self.read_at(offset, size)
        if offset in self._kept:
            self._kept_bytes -= len(self._kept[offset])
        else:
            bisect.insort(self._starts, offset)
        self._kept[offset] = data
        self._kept_bytes += len(data)
        return True

    def prefetch(self, ranges: t.Iterable[tuple[int, int]]) -> None:
        """Hold all these ranges (offset, size), read in the order in which they lie: one pass instead of many."""
        for offset, size in sorted(set(ranges)):
            if not self.keep(offset, size):
                return

    def close(self) -> None:
        self.rewind()
        self._starts.clear()
        self._kept.clear()
        self._kept_bytes = 0


class MemorySource(Source):
    """Bytes that are in memory already."""

    def __init__(self, data: t.Union[bytes, memoryview]) -> None:
        self._data = memoryview(data)
        self.size = len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size <= 0:
            return b""
        return bytes(self._data[offset : offset + size])

    def map(self, offset: int, size: int) -> t.Optional[memoryview]:
        if offset < 0 or size <= 0:
            return memoryview(b"")
        return self._data[offset : offset + size]
