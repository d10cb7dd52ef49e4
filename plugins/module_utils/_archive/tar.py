# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of a tar archive: from header to header, by seek where the file allows it. Nothing is extracted.

Own code instead of ``tarfile``: members are mapped or read at offsets, an archive cut short gives the members up
to there, and hostile headers cost neither memory nor a traceback.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .members import Member, Tree, clean_name
from .notes import Notes
from .source import Source, StreamSource
from .tarheader import (
    BLOCK,
    KINDS,
    NO_DATA,
    ZERO,
    BadHeader,
    Header,
    Sparse,
    checked_sparse,
    decimal,
    number,
    old_gnu_sparse,
    parse,
    pax_records,
    pax_sparse,
)

MAX_MEMBERS = 100_000
"""The index ends after so many members: a checkpoint has about ten for each process and one for each thread."""

MAX_EXTENSION = 1 << 20
"""The largest pax header, long name or sparse map that is read."""

MAX_EXTENSIONS = 64
"""Extension headers in a row in front of one member."""

XATTR = b"SCHILY.xattr."
"""The pax records of extended attributes, as GNU tar, Go's archive/tar and libarchive write them."""

MAX_XATTRS = 64 << 20
XATTR_COST = 200
"""Bytes of extended attributes that are kept of one archive, names and keeping included; Linux allows 64 KiB in one."""

TAIL = 1 << 16
"""So much is looked at behind the end mark, and at the end of the file."""

SMALL = 1 << 20
"""Members up to this size of a compressed archive are kept in memory while the index is made."""


class SparseSource(Source):
    """A sparse file: its pieces from the archive, zeros between them."""

    size: int

    def __init__(self, source: Source, offset: int, pieces: Sparse, size: int) -> None:
        self._source = source
        self.size = size
        self.sequential = source.sequential
        self._pieces: list[tuple[int, int, int]] = []
        for start, length in pieces:
            self._pieces.append((start, length, offset))
            offset += length

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        out = bytearray(size)
        for start, length, stored in self._pieces:
            begin = max(start, offset)
            end = min(start + length, offset + size)
            if begin < end:
                data = self._source.read_at(stored + begin - start, end - begin)
                out[begin - offset : begin - offset + len(data)] = data
        return bytes(out)


class _Extension:
    """What pax and GNU extension headers say about the member that follows."""

    def __init__(self) -> None:
        self.name: t.Optional[bytes] = None
        self.link: t.Optional[bytes] = None
        self.size: t.Optional[int] = None
        self.uid: t.Optional[int] = None
        self.gid: t.Optional[int] = None
        self.mtime: t.Optional[int] = None
        self.sparse: t.Optional[Sparse] = None
        self.sparse_size: t.Optional[int] = None
        self.sparse_in_data = False
        self.xattrs: dict[str, bytes] = {}

    def take(self, records: list[tuple[bytes, bytes]]) -> None:
        sparse = pax_sparse(records)
        if sparse is not None:
            self.sparse = sparse
        plain_name = real_name = None
        # A copy: what global headers say is shared by all members.
        found = dict(self.xattrs)
        for key, value in records:
            if key == b"path":
                plain_name = value
            elif key == b"GNU.sparse.name":
                real_name = value
            elif key == b"linkpath":
                self.link = value
            elif key in (b"GNU.sparse.realsize", b"GNU.sparse.size"):
                self.sparse_size = decimal(value)
            elif key == b"GNU.sparse.major":
                self.sparse_in_data = value == b"1"
            elif key == b"size":
                self.size = decimal(value)
            elif key == b"uid":
                self.uid = decimal(value)
            elif key == b"gid":
                self.gid = decimal(value)
            elif key == b"mtime":
                self.mtime = decimal(value)
            elif key.startswith(XATTR):
                found[key[len(XATTR) :].decode("utf-8", "surrogateescape")] = value
        # The path beside GNU.sparse.name is a made-up one for readers that do not know sparse files.
        self.name = real_name or plain_name or self.name
        self.xattrs = found


class _Scan:
    """One walk over the headers."""

    def __init__(self, source: Source, tree: Tree) -> None:
        self.source = source
        self.tree = tree
        self.notes = tree.notes
        self.position = 0
        self.xattrs_left = MAX_XATTRS
        self.shared = _Extension()

    def run(self) -> None:
        while True:
            if len(self.tree.members) >= MAX_MEMBERS:
                self.notes.add("too_many_members", f"The archive has more than {MAX_MEMBERS} members; the rest is left")
                return
            try:
                member = self._member()
            except BadHeader as error:
                if not self.tree.members:
                    raise self._broken(error) from error
                self._cut(str(error))
                return
            if member is None:
                return
            self.tree.add(member)
            if not member.complete:
                self._cut(f"{member.name} has {member.available} of {member.size} bytes")
                return
            if member.source is self.source and member.kind == "file" and 0 < member.size <= SMALL:
                self._keep(member)

    def forward(self) -> t.Iterator[Member]:
        while True:
            if len(self.tree.members) >= MAX_MEMBERS:
                raise CheckpointError("archive_damaged", f"The archive has more than {MAX_MEMBERS} members")
            try:
                member = self._member()
            except BadHeader as error:
                raise self._broken(error) from error
            if member is None:
                return
            self.tree.members.append(member)
            yield member

    def _broken(self, error: BadHeader) -> CheckpointError:
        if self.source.broken is not None:
            return self.source.broken
        if not self.tree.members:
            return CheckpointError("archive_not_tar", "The file is not a tar archive", message=str(error))
        return CheckpointError(
            "archive_damaged",
            "The archive is damaged",
            hint="Fetch the archive again and compare its checksum",
            message=str(error),
        )

    def _keep(self, member: Member) -> None:
        if isinstance(self.source, StreamSource):
            self.source.keep(member.offset, member.size)

    def _cut(self, text: str) -> None:
        # How long a stream is shows only at its end, after the last member was taken as complete.
        if self.tree.members and self.source.size is not None:
            last = self.tree.members[-1]
            if last.source is self.source:
                last.available = max(0, min(last.available, self.source.size - last.offset))
        broken = self.source.broken
        if broken is not None:
            text = f"{text}; {broken}"
        self.notes.add("archive_cut", f"The archive is cut short or damaged; what follows is lost: {text}")

    def _block(self) -> bytes:
        block = self.source.read_at(self.position, BLOCK)
        self.position += BLOCK
        return block

    def _member(self) -> t.Optional[Member]:
        """The next member, None at the end. Raises BadHeader."""
        extension = _Extension()
        extension.__dict__.update(self.shared.__dict__)
        for _unused in range(MAX_EXTENSIONS):
            block = self._block()
            if not block or block == ZERO:
                self._end(block)
                return None
            header = parse(block)
            if header.size < 0:
                raise BadHeader("a member has a negative size")
            if header.flag not in (b"x", b"g", b"X", b"L", b"K"):
                return self._build(header, extension)
            data = self._extension_data(header)
            if header.flag == b"L":
                extension.name = data.rstrip(b"\0")
            elif header.flag == b"K":
                extension.link = data.rstrip(b"\0")
            elif header.flag == b"g":
                self.shared.take(pax_records(data))
                extension.take(pax_records(data))
            else:
                extension.take(pax_records(data))
        raise BadHeader("too many extension headers follow one another")

    def _end(self, block: bytes) -> None:
        """Note what is not as it should be at the end mark."""
        if not self.tree.members:
            raise BadHeader("the file holds no member")
        if not block:
            self._cut("the end mark is missing")
            return
        if self.source.size is None or self.source.sequential:
            return
        # Tools pad with zeros to whole records; an older, longer file has more than that, at its end at the latest.
        tail = self.source.read_at(self.position, TAIL)
        tail += self.source.read_at(max(self.position + TAIL, self.source.size - TAIL), TAIL)
        if tail.strip(b"\0"):
            self.notes.add(
                "trailing_bytes",
                "Bytes follow the end of the archive, as when a longer file of the same name was overwritten",
            )

    def _extension_data(self, header: Header) -> bytes:
        if header.size > MAX_EXTENSION:
            raise BadHeader("an extension header is too large")
        data = self.source.read_at(self.position, header.size)
        if len(data) < header.size:
            raise BadHeader("the file ends within an extension header")
        self.position += -(-header.size // BLOCK) * BLOCK
        return data

    def _build(self, header: Header, extension: _Extension) -> Member:
        kind = KINDS.get(header.flag, "other")
        raw = header.name if extension.name is None else extension.name
        if kind == "file" and raw.endswith(b"/"):
            kind = "directory"
        stored = header.size if extension.size is None else extension.size
        if stored < 0:
            raise BadHeader("a member has a negative size")
        if kind in NO_DATA:
            stored = 0
        name, unsafe = clean_name(raw)
        self.xattrs_left -= sum(XATTR_COST + len(key) + len(value) for key, value in extension.xattrs.items())
        if self.xattrs_left < 0:
            raise BadHeader("the archive has too many extended attributes")
        data, pieces, size = self._sparse(header, extension, stored)
        offset = self.position
        end = offset + -(-stored // BLOCK) * BLOCK
        source: Source = self.source
        available = size
        if pieces is not None:
            source = SparseSource(self.source, data, pieces, size)
        if self.source.size is not None and offset + stored > self.source.size:
            there = max(0, self.source.size - offset)
            available = min(size, there) if pieces is None else 0
        self.position = end
        return Member(
            name,
            kind,
            size,
            source,
            offset if pieces is None else 0,
            available=available,
            mode=header.mode,
            uid=header.uid if extension.uid is None else extension.uid,
            gid=header.gid if extension.gid is None else extension.gid,
            mtime=header.mtime if extension.mtime is None else extension.mtime,
            link=(header.link if extension.link is None else extension.link).decode("utf-8", "surrogateescape"),
            unsafe=unsafe,
            device=header.device,
            xattrs=extension.xattrs,
        )

    def _sparse(self, header: Header, extension: _Extension, stored: int) -> tuple[int, t.Optional[Sparse], int]:
        """Where the data begins, the map of a sparse file (None for a usual one), and the file's size."""
        if header.flag == b"S":
            pieces = old_gnu_sparse(header.block, 386, 4)
            more = header.block[482] != 0
            while more:
                block = self._block()
                if len(block) < BLOCK or len(pieces) * 24 > MAX_EXTENSION:
                    raise BadHeader("the map of a sparse file is cut short")
                pieces += old_gnu_sparse(block, 0, 21)
                more = block[504] != 0
            size = number(header.block[483:495])
            if size < 0:
                raise BadHeader("a sparse file has a negative size")
            return self.position, checked_sparse(pieces, stored, size), size
        if extension.sparse_size is None:
            return self.position, None, stored
        size = extension.sparse_size
        if size < 0:
            raise BadHeader("a sparse file has a negative size")
        if not extension.sparse_in_data:
            return self.position, checked_sparse(extension.sparse or [], stored, size), size
        pieces, used = self._map_in_data(stored)
        return self.position + used, checked_sparse(pieces, stored - used, size), size

    def _map_in_data(self, stored: int) -> tuple[Sparse, int]:
        """The map of sparse format 1.0, which lies in front of the data in whole blocks."""
        head = self.source.read_at(self.position, min(stored, MAX_EXTENSION))
        lines = head.split(b"\n")
        count = decimal(lines[0])
        if count < 0 or 2 * count + 1 >= len(lines):
            raise BadHeader("the map of a sparse file is cut short")
        numbers = [decimal(line) for line in lines[1 : 2 * count + 1]]
        used = sum(len(line) + 1 for line in lines[: 2 * count + 1])
        return list(zip(numbers[::2], numbers[1::2])), -(-used // BLOCK) * BLOCK


def scan(source: Source, notes: Notes) -> Tree:
    """The index of the tar archive in ``source``. Raises CheckpointError archive_not_tar."""
    tree = Tree(source, notes)
    _Scan(source, tree).run()
    return tree


def forward(source: Source, notes: Notes) -> t.Iterator[Member]:
    """The members of a tar archive as they pass by: their data is to be read before the next one is asked for.

    Raises CheckpointError archive_not_tar, archive_damaged, archive_bomb. An end without the end mark is noted as
    archive_cut.
    """
    return _Scan(source, Tree(source, notes)).forward()
