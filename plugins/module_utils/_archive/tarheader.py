# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tar header: numbers, checksum, pax records, sparse maps.

Sources: POSIX.1-2017 pax ("ustar interchange format", "pax extended header"); GNU tar 1.35 manual, appendix
"Tar Internals" (old GNU format, base-256 numbers, sparse formats 0.0, 0.1 and 1.0).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

BLOCK = 512
ZERO = bytes(BLOCK)

KINDS: dict[bytes, str] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"S": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "character_device",
    b"4": "block_device",
    b"5": "directory",
    b"6": "fifo",
}
"""Type flags of members; everything else is "other" and is skipped by its size."""

NO_DATA = frozenset({"hardlink", "symlink", "character_device", "block_device", "directory", "fifo"})
"""Kinds whose size field says nothing: no data follows (Go's archive/tar and GNU tar agree)."""

MAX_SPARSE = 1 << 16
"""More pieces than this in one sparse file are refused."""


class BadHeader(ValueError):
    """The block is not a header that can be trusted; the text says why."""


class Header(t.NamedTuple):
    """The fields of one header block as they stand there."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    flag: bytes
    link: bytes
    device: tuple[int, int]
    block: bytes


def number(field: bytes) -> int:
    """An octal number, or a base-256 number of GNU tar. Raises BadHeader."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ((1 << (len(field) * 8 - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (len(field) * 8 - 1)
        return value
    text = field.strip(b" \0")
    text = text.split(b"\0", 1)[0].rstrip()
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise BadHeader(f"a number of the header is not octal: {field!r}")
    return int(text, 8)


def _string(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _loose(field: bytes) -> int:
    """A number that nothing depends on: nonsense counts as 0."""
    try:
        return number(field)
    except BadHeader:
        return 0


def parse(block: bytes) -> Header:
    """The header in a block of 512 bytes. Raises BadHeader."""
    if len(block) < BLOCK:
        raise BadHeader("the file ends within a header")
    try:
        wanted = number(block[148:156])
    except BadHeader:
        raise BadHeader("the block is not a tar header") from None
    rest = block[148:156]
    unsigned = sum(block) - sum(rest) + 256
    if wanted != unsigned:
        high = sum(byte >= 0x80 for byte in block) - sum(byte >= 0x80 for byte in rest)
        # Some old tools summed signed characters.
        if wanted != unsigned - 256 * high:
            raise BadHeader("the checksum of a header is wrong")
    size = number(block[124:136])
    name = _string(block[0:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = _string(block[345:500]) + b"/" + name
    return Header(
        name=name,
        mode=_loose(block[100:108]) & 0o7777,
        uid=_loose(block[108:116]),
        gid=_loose(block[116:124]),
        size=size,
        mtime=_loose(block[136:148]),
        flag=block[156:157],
        link=_string(block[157:257]),
        device=(_loose(block[329:337]), _loose(block[337:345])),
        block=block,
    )


def pax_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records of a pax header in their order (GNU sparse 0.0 repeats keys). Raises BadHeader."""
    records: list[tuple[bytes, bytes]] = []
    position = 0
    while position < len(data):
        if not data[position : position + 1].strip(b"\0"):
            return records
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space > 0 else b""
        if not digits.isdigit():
            raise BadHeader("a pax record has no length")
        end = position + int(digits)
        equals = data.find(b"=", space, end)
        if end > len(data) or equals < 0 or data[end - 1 : end] != b"\n":
            raise BadHeader("a pax record is cut short")
        records.append((data[space + 1 : equals], data[equals + 1 : end - 1]))
        position = end
    return records


def decimal(text: bytes) -> int:
    """A number of a pax record. Raises BadHeader."""
    head = text.split(b".", 1)[0]
    digits = head[1:] if head[:1] == b"-" else head
    if not digits.isdigit() or len(digits) > 20:
        raise BadHeader(f"a number of a pax record is not one: {text[:32]!r}")
    return int(head)


Sparse = list[tuple[int, int]]
"""Pieces of a sparse file that have data: (offset in the file, size), in the order of the data."""


def old_gnu_sparse(block: bytes, start: int, count: int) -> Sparse:
    """The entries of an old GNU sparse header (start 386, 4 entries) or of its extension (start 0, 21)."""
    pieces: Sparse = []
    for index in range(count):
        entry = block[start + index * 24 : start + index * 24 + 24]
        if len(entry) < 24 or not entry.strip(b"\0"):
            break
        pieces.append((number(entry[:12]), number(entry[12:])))
    return pieces


def pax_sparse(records: list[tuple[bytes, bytes]]) -> t.Optional[Sparse]:
    """The map of GNU sparse formats 0.0 and 0.1 from pax records, None where there is none."""
    plain = dict(records)
    if b"GNU.sparse.map" in plain:
        numbers = [decimal(part) for part in plain[b"GNU.sparse.map"].split(b",") if part]
        if len(numbers) > 2 * MAX_SPARSE:
            raise BadHeader("a sparse file has too many pieces")
        return list(zip(numbers[::2], numbers[1::2]))
    offsets = [decimal(value) for key, value in records if key == b"GNU.sparse.offset"]
    sizes = [decimal(value) for key, value in records if key == b"GNU.sparse.numbytes"]
    if offsets and len(offsets) == len(sizes):
        return list(zip(offsets, sizes))
    return None


def checked_sparse(pieces: Sparse, stored: int, size: int) -> Sparse:
    """The map if it is sound: ascending, within the file, and no more data than is stored. Raises BadHeader."""
    if len(pieces) > MAX_SPARSE:
        raise BadHeader("a sparse file has too many pieces")
    position = 0
    total = 0
    for offset, length in pieces:
        if offset < position or length < 0:
            raise BadHeader("the map of a sparse file is not ascending")
        position = offset + length
        total += length
    if position > size or total > stored:
        raise BadHeader("the map of a sparse file does not fit its data")
    return pieces
