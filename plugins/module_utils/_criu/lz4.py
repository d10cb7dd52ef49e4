# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LZ4 blocks, decompressed by the ``lz4`` package where it is there, else by the few lines here.

Source: LZ4 Block Format Description (lz4/doc/lz4_Block_format.md, 1.10).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import importlib
import typing as t


class Lz4Error(ValueError):
    """The block is damaged; the text says why."""


def _length(data: bytes, position: int, value: int) -> tuple[int, int]:
    """A length whose first four bits are all set goes on in further bytes."""
    while True:
        byte = data[position]
        position += 1
        value += byte
        if byte != 255:
            return value, position


def decode_block(data: bytes, size: int) -> bytes:
    """The block's content, which must be exactly ``size`` bytes. Raises Lz4Error."""
    out = bytearray()
    position, end = 0, len(data)
    try:
        while position < end:
            token = data[position]
            position += 1
            count = token >> 4
            if count == 15:
                count, position = _length(data, position, count)
            if count > end - position:
                raise Lz4Error("an LZ4 block ends within its literals")
            out += data[position : position + count]
            position += count
            if position == end:
                break
            distance = data[position] | data[position + 1] << 8
            position += 2
            count = token & 15
            if count == 15:
                count, position = _length(data, position, count)
            count += 4
            start = len(out) - distance
            if distance == 0 or start < 0 or len(out) + count > size:
                raise Lz4Error("an LZ4 block copies from outside of itself")
            if distance >= count:
                out += out[start : start + count]
            else:
                piece = bytes(out[start:])
                out += (piece * (count // distance + 1))[:count]
    except IndexError:
        raise Lz4Error("an LZ4 block is cut short") from None
    if len(out) != size:
        raise Lz4Error(f"an LZ4 block has {len(out)} bytes instead of {size}")
    return bytes(out)


def _choose() -> t.Callable[[bytes, int], bytes]:
    try:
        package = importlib.import_module("lz4.block")
    except ImportError:
        return decode_block

    def by_package(data: bytes, size: int) -> bytes:
        try:
            out = bytes(package.decompress(data, uncompressed_size=size))
        except Exception as error:
            # The package's own error class cannot be named without it.
            raise Lz4Error(str(error)) from error
        if len(out) != size:
            raise Lz4Error(f"an LZ4 block has {len(out)} bytes instead of {size}")
        return out

    return by_package


decompress = _choose()
"""decompress(data, size) -> bytes. Raises Lz4Error."""
