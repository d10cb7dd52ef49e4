# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory pages: a pagemap image says which pages there are, a pages image holds their bytes.

Sources: criu images/pagemap.proto, criu/page-xfer.c, criu/pagemap.c, criu/include/pagemap.h (4.1.1, 4.2.1); for
compressed pages criu pull request 2895 and go-criu crit (pull request 259).

A page that is not in a pagemap was not dumped: it is zero, or the same as in the file that is mapped there.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import bisect
import typing as t

from .._archive.members import Member
from .images import Images
from .lz4 import Lz4Error, decompress
from .wire import Context, Fields, WireError, decode, number, varint

PE_PARENT, PE_LAZY, PE_PRESENT, PE_PAYLOAD_ALIGNED = 1, 2, 4, 8
KNOWN_FLAGS = PE_PARENT | PE_LAZY | PE_PRESENT | PE_PAYLOAD_ALIGNED

PAGE_SIZES = (4096, 16384, 65536)
"""x86_64 has the first; aarch64 has all; ppc64 has the first and the last."""

MAX_BLOCK = 4 << 20
MAX_PARENTS = 32

ADDRESS_END = 1 << 64


class Blocks(t.NamedTuple):
    """How the payload of an entry is compressed: stored sizes, pages per block, padded to whole pages or not."""

    sizes: list[int]
    pages: int
    padded: bool


class Run(t.NamedTuple):
    """Pages in a row. ``kind``: "present" (bytes at ``offset`` of the pages image), "parent", "lazy" or "absent".
    ``blocks`` is None for pages that are not compressed."""

    start: int
    end: int
    kind: str
    offset: int
    blocks: t.Optional[Blocks]


class Piece(t.NamedTuple):
    """A part of a memory that is asked for: ``data`` is None where the bytes are not in the archive, and ``why`` is
    then "parent", "lazy", "cut" or "damaged"."""

    address: int
    size: int
    data: t.Optional[t.Union[bytes, memoryview]]
    why: str = ""


def page_count(fields: Fields) -> int:
    """Field 5 since CRIU 4.2; up to 4.1.1 field 2, which 4.2 writes as 0."""
    return number(fields, "nr_pages", number(fields, "compat_nr_pages"))


def page_flags(fields: Fields) -> int:
    """The flags; images from before they existed have in_parent or nothing (criu/pagemap.c)."""
    flags = number(fields, "flags")
    if fields.get("in_parent"):
        return flags | PE_PARENT
    return flags if "flags" in fields else PE_PRESENT


def _packed_numbers(data: bytes) -> list[int]:
    numbers: list[int] = []
    position = 0
    while position < len(data):
        value, position = varint(data, position)
        numbers.append(value)
    return numbers


def compressed_blocks(fields: Fields, context: Context) -> t.Optional[Blocks]:
    """The blocks of a compressed entry, in either of the two shapes that field 6 had. Raises WireError.

    First shape: sizes in field 6, their sum in 7, pages per block in 8. Second: a message with sizes (1), their sum
    (2), pages per block (3) and whether blocks are padded to whole pages (4).
    """
    raw = fields.get("blocks")
    if not raw:
        if "total_compressed_size" in fields or "region_pages" in fields:
            raise WireError("an entry has compression without sizes")
        return None
    context.spend(sum(1 if isinstance(part, int) else len(part) for part in raw))
    first = raw[0]
    if "total_compressed_size" in fields or "region_pages" in fields or len(raw) > 1 or isinstance(first, int):
        sizes = [size for part in raw for size in ([part] if isinstance(part, int) else _packed_numbers(part))]
        return Blocks(sizes, fields.get("region_pages", 0) or 1, False)
    try:
        message = decode(first, "pagemap_blocks", context)
    except WireError:
        message = {}
    if message.get("block_sizes"):
        return Blocks(message["block_sizes"], message.get("pages_per_block", 0) or 1, bool(message.get("padded")))
    return Blocks(_packed_numbers(first), 1, False)


class PageMap:
    """The runs of one pagemap image, ascending, and the pages image that belongs to it. ``old_counts``: pages are
    counted as CRIU up to 4.1.1 did; ``compressed``: some are compressed."""

    def __init__(self, images: Images, prefix: str, identifier: t.Union[str, int]) -> None:
        self.name = f"{prefix}-{identifier}.img"
        self.runs: list[Run] = []
        self.pages: t.Optional[Member] = None
        self.page_size = 0
        self.compressed = False
        self.old_counts = False
        self.pages_id: t.Optional[int] = None
        self._notes = images.notes
        self._cache: tuple[tuple[int, int], bytes] = ((-1, -1), b"")
        self._load(images, prefix, identifier)
        self._starts = [run.start for run in self.runs]

    def _load(self, images: Images, prefix: str, identifier: t.Union[str, int]) -> None:
        entries: list[tuple[int, int, int, t.Optional[Blocks]]] = []
        context = Context()
        present = 0
        for index, entry in enumerate(images.each(prefix, identifier)):
            fields = entry.fields
            if index == 0:
                self.pages_id = fields.get("pages_id")
                self.pages = images.member("pages", self.pages_id if self.pages_id is not None else "-")
                continue
            flags = page_flags(fields)
            if flags & ~KNOWN_FLAGS:
                self._note("unknown_page_flags", f"Pages have flags that are not known here: {flags:#x}")
            blocks = None
            if "blocks" in fields or "total_compressed_size" in fields or "region_pages" in fields:
                self.compressed = True
                try:
                    blocks = compressed_blocks(fields, context)
                except WireError as error:
                    self._note("image_damaged", f"The sizes of compressed pages cannot be read: {error}")
                    break
            count = page_count(fields)
            self.old_counts = self.old_counts or ("nr_pages" not in fields and count > 0)
            if flags & PE_PRESENT:
                present += count
            entries.append((fields.get("vaddr", 0), count, flags, blocks))
        self._size_of_pages(images, present)
        self._lay_out(entries)
        if self.pages is None and any(run.kind == "present" for run in self.runs):
            images.notes.add("image_missing", "The pages themselves are missing", f"pages-{self.pages_id}.img")

    def _note(self, code: str, text: str) -> None:
        self._notes.add(code, text, self.name)

    def _size_of_pages(self, images: Images, present: int) -> None:
        """The page size stands nowhere; without compression it is the size of the pages image over their number. Where
        that fits no size (an image that is cut short) it is that of another memory of the same dump."""
        if self.pages is not None and present and not self.compressed and self.pages.size % present == 0:
            found = self.pages.size // present
            if found in PAGE_SIZES:
                images.page_size = images.page_size or found
                self.page_size = found
                return
        self.page_size = images.page_size or PAGE_SIZES[0]

    def _lay_out(self, entries: list[tuple[int, int, int, t.Optional[Blocks]]]) -> None:
        """Give each entry its place in the pages image; entries that cannot be are left out with a note."""
        size = self.page_size
        offset = last = 0
        for claimed, count, flags, blocks in entries:
            # A 32-bit CRIU extends the sign of addresses (crit/__main__.py of the development branch).
            address = claimed & 0xFFFFFFFF if claimed >> 32 == 0xFFFFFFFF else claimed
            end = address + count * size
            if end > ADDRESS_END or address < last or address % size:
                self._note("image_damaged", "Pages overlap, are not in order, or lie beyond the address space")
                return
            last = end
            if not flags & PE_PRESENT:
                kind = "parent" if flags & PE_PARENT else "lazy" if flags & PE_LAZY else "absent"
                self.runs.append(Run(address, end, kind, 0, None))
                continue
            if flags & PE_PAYLOAD_ALIGNED:
                offset = -(-offset // size) * size
            if blocks is not None and not self._sound(blocks, count):
                self._note("image_damaged", "The sizes of compressed pages do not fit the pages")
                return
            if count:
                self.runs.append(Run(address, end, "present", offset, blocks))
            offset += count * size if blocks is None else self._stored(blocks)

    def _sound(self, blocks: Blocks, count: int) -> bool:
        whole = blocks.pages * self.page_size
        if whole > MAX_BLOCK or len(blocks.sizes) != -(-count // blocks.pages):
            return False
        return all(stored <= whole for stored in blocks.sizes)

    def _padded(self, blocks: Blocks, stored: int) -> int:
        return -(-stored // self.page_size) * self.page_size if blocks.padded else stored

    def _stored(self, blocks: Blocks) -> int:
        return sum(self._padded(blocks, stored) for stored in blocks.sizes)

    def overlapping(self, start: int, end: int) -> t.Iterator[Run]:
        """The runs that touch a range, in their order."""
        index = max(0, bisect.bisect_right(self._starts, start) - 1)
        for position in range(index, len(self.runs)):
            run = self.runs[position]
            if run.start >= end:
                return
            if run.end > start:
                yield run

    def pieces(self, run: Run, start: int, end: int) -> t.Iterator[Piece]:
        """The bytes of a present run within a range, in pieces of at most MAX_BLOCK bytes."""
        start, end = max(start, run.start), min(end, run.end)
        if run.blocks is not None:
            yield from self._unpacked(run, run.blocks, start, end)
            return
        while start < end:
            size = min(MAX_BLOCK, end - start)
            offset = run.offset + start - run.start
            data: t.Optional[t.Union[bytes, memoryview]] = None
            if self.pages is not None:
                data = self.pages.map(offset, size)
                if data is None:
                    data = self.pages.read(offset, size)
            if data is None or len(data) < size:
                self._notes.add("pages_cut", "Pages lie behind the end of the image", f"pages-{self.pages_id}.img")
                there = 0 if data is None else len(data)
                if data is not None and there:
                    yield Piece(start, there, data)
                yield Piece(start + there, end - start - there, None, "cut")
                return
            yield Piece(start, size, data)
            start += size

    def _unpacked(self, run: Run, blocks: Blocks, start: int, end: int) -> t.Iterator[Piece]:
        whole = blocks.pages * self.page_size
        first = (start - run.start) // whole
        offset = run.offset + sum(self._padded(blocks, stored) for stored in blocks.sizes[:first])
        for index in range(first, len(blocks.sizes)):
            begin = run.start + index * whole
            if begin >= end:
                return
            size = min(whole, run.end - begin)
            stored = blocks.sizes[index]
            low, high = max(start, begin), min(end, begin + size)
            try:
                data = self._block(offset, stored, size)
                yield Piece(low, high - low, data[low - begin : high - begin])
            except Lz4Error as error:
                self._note("pages_damaged", f"Compressed pages cannot be read: {error}")
                yield Piece(low, high - low, None, "damaged")
            offset += self._padded(blocks, stored)

    def _block(self, offset: int, stored: int, size: int) -> bytes:
        """One block: nothing stored means zeros, as many bytes as the pages have means not compressed."""
        if stored == 0:
            return bytes(size)
        if self._cache[0] == (offset, stored):
            return self._cache[1]
        data = self.pages.read(offset, stored) if self.pages is not None else b""
        if len(data) < stored:
            raise Lz4Error("the pages lie behind the end of the image")
        out = data if stored == size else decompress(data, size)
        self._cache = ((offset, stored), out)
        return out


class Pages:
    """The pages of one memory, with those of earlier dumps behind it where pages are left to a parent."""

    def __init__(self, images: Images, prefix: str, identifier: t.Union[str, int]) -> None:
        self.layers: list[PageMap] = []
        layer: t.Optional[Images] = images
        while layer is not None and len(self.layers) < MAX_PARENTS:
            if layer.member(prefix, identifier) is None:
                break
            self.layers.append(PageMap(layer, prefix, identifier))
            layer = layer.parent

    @property
    def page_size(self) -> int:
        return self.layers[0].page_size if self.layers else PAGE_SIZES[0]

    @property
    def runs(self) -> list[Run]:
        """The runs of the last dump; those of kind "parent" lead to earlier ones."""
        return self.layers[0].runs if self.layers else []

    def locations(self, start: int, end: int) -> t.Iterator[tuple[Member, int, int]]:
        """Where the bytes of a range lie: (pages image, offset, size), for Tree.prefetch()."""
        for layer in self.layers:
            for run in layer.overlapping(start, end):
                if run.kind == "present" and layer.pages is not None and run.blocks is None:
                    low, high = max(start, run.start), min(end, run.end)
                    yield layer.pages, run.offset + low - run.start, high - low

    def read(self, start: int, end: int, depth: int = 0) -> t.Iterator[Piece]:
        """The bytes of a range that were dumped, ascending; what was not dumped at all is not among them."""
        if depth >= len(self.layers):
            return
        layer = self.layers[depth]
        for run in layer.overlapping(start, end):
            low, high = max(start, run.start), min(end, run.end)
            if run.kind == "present":
                yield from layer.pieces(run, low, high)
            elif run.kind == "parent" and depth + 1 < len(self.layers):
                yield from self._from_parent(low, high, depth + 1)
            elif run.kind != "absent":
                yield Piece(low, high - low, None, run.kind)

    def _from_parent(self, start: int, end: int, depth: int) -> t.Iterator[Piece]:
        for piece in self.read(start, end, depth):
            if piece.address > start:
                yield Piece(start, piece.address - start, None, "parent")
            yield piece
            start = piece.address + piece.size
        if start < end:
            yield Piece(start, end - start, None, "parent")
