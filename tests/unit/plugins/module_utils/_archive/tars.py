# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar archives for tests: headers by hand where a usual tool would not write them."""

from __future__ import annotations

import io
import tarfile
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive import tar
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.members import Tree
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.notes import Notes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.source import MemorySource

END = bytes(1024)


def header(name: bytes = b"file", size: t.Union[int, bytes] = 0, flag: bytes = b"0", **fields: bytes) -> bytes:
    """A header with a right checksum; ``fields`` overwrite what stands at link, magic, prefix, tail (from 345 on)."""
    block = bytearray(512)
    block[0 : len(name[:100])] = name[:100]
    block[100:108] = b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = flag
    for key, value in fields.items():
        start = {"link": 157, "magic": 257, "tail": 345}[key]
        block[start : start + len(value)] = value
    if "magic" not in fields:
        block[257:265] = b"ustar\x0000"
    return summed(block)


def summed(block: bytes) -> bytes:
    """The header with its checksum set right."""
    fixed = bytearray(block)
    fixed[148:156] = b" " * 8
    fixed[148:156] = b"%06o\0 " % sum(fixed)
    return bytes(fixed)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", flag: bytes = b"0", **fields: bytes) -> bytes:
    return header(name, len(data), flag, **fields) + padded(data)


def pax(**records: str) -> bytes:
    """A pax header; ``__`` in a key stands for a point."""
    return pax_raw([(key.replace("__", "."), value) for key, value in records.items()])


def pax_raw(records: list[tuple[str, str]]) -> bytes:
    data = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode()
        size = len(rest) + 1
        while len(str(size)) + len(rest) != size:
            size = len(str(size)) + len(rest)
        data += str(size).encode() + rest
    return member(b"PaxHeaders/x", data, b"x")


def scan(data: bytes) -> Tree:
    return tar.scan(MemorySource(data), Notes())


def made(members: dict[str, bytes], style: int = tarfile.PAX_FORMAT) -> bytes:
    """A plain archive by Python's own tarfile."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
