# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address space of a process: its areas, and the bytes that were dumped for them.

Sources: criu images/vma.proto, criu/include/image.h, criu/shmem.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import bisect
import dataclasses
import typing as t

from .images import Images
from .names import AREA_STATUS, MADVISE, MAP_FLAGS, bit_numbers, bits
from .pages import Pages, Piece
from .wire import Fields, number

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED = 1

ST_FILE = 1 << 6 | 1 << 7

MAX_READ = 64 << 20


@dataclasses.dataclass(frozen=True)
class Area:
    """One area (VMA). ``kind``: heap, stack, vdso, vvar, vsyscall, file, memfd, sysv_ipc, shared, socket, aio,
    guard, shadow_stack, uprobes, plugin or anonymous. ``name``: the file's path, or the kind in brackets as
    /proc/PID/maps has it. ``offset``: where in the file or shared object the area begins, in bytes.
    ``object_id``: the ID of the file or of the shared memory."""

    start: int
    end: int
    permissions: str
    kind: str
    name: str
    offset: int
    object_id: int
    flags: list[str]
    status: list[str]
    advice: list[str]

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def shared(self) -> bool:
        return self.permissions.endswith("s")

    @property
    def in_shared_pages(self) -> bool:
        """Whether the bytes lie in a pagemap-shmem image; a private mapping of a memfd has its own pages."""
        return self.shared and self.kind in ("memfd", "sysv_ipc", "shared")

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "start": f"{self.start:#x}",
            "end": f"{self.end:#x}",
            "size": self.size,
            "permissions": self.permissions,
            "kind": self.kind,
            "name": self.name,
            "offset": self.offset,
            "flags": self.flags,
            "advice": self.advice,
        }


KINDS: tuple[tuple[int, str], ...] = (
    (1 << 5, "heap"),
    (1 << 15, "shadow_stack"),
    (1 << 1, "stack"),
    (1 << 3, "vdso"),
    (1 << 12, "vvar"),
    (1 << 2, "vsyscall"),
    (1 << 13, "aio"),
    (1 << 16, "guard"),
    (1 << 17, "uprobes"),
    (1 << 27, "plugin"),
    (1 << 11, "socket"),
    (1 << 10, "sysv_ipc"),
    (1 << 14, "memfd"),
    (1 << 8, "shared"),
    (1 << 6, "file"),
    (1 << 7, "file"),
)
"""The bits of the status that decide an area's kind, the telling ones first (AREA_STATUS)."""


class Behind(t.Protocol):
    """What tells of open files by their ID: files.Files."""

    def path(self, identifier: int) -> str:
        """The path of the file."""

    def shared_memory(self, identifier: int) -> t.Optional[int]:
        """The shared memory behind a memfd, if it is one."""


def area(fields: Fields, files: Behind) -> Area:
    """An area from a vma_entry. That of a memfd names the open memfd, which in turn names the shared memory."""
    prot, flags, status = number(fields, "prot"), number(fields, "flags"), number(fields, "status")
    kind = next((name for bit, name in KINDS if status & bit), "anonymous")
    letters = "".join(
        letter if prot & bit else "-" for bit, letter in ((PROT_READ, "r"), (PROT_WRITE, "w"), (PROT_EXEC, "x"))
    )
    identifier = number(fields, "shmid")
    name = "" if kind == "anonymous" else f"[{kind}]"
    if status & ST_FILE:
        name = files.path(identifier)
    if kind == "memfd":
        shared = files.shared_memory(identifier)
        identifier = identifier if shared is None else shared
    start = number(fields, "start")
    return Area(
        start=start,
        end=max(start, number(fields, "end")),
        permissions=letters + ("s" if flags & MAP_SHARED else "p"),
        kind=kind,
        name=name,
        offset=number(fields, "pgoff"),
        object_id=identifier,
        flags=bits(flags & ~3, MAP_FLAGS),
        status=bit_numbers(status, [AREA_STATUS.get(bit, f"bit {bit}") for bit in range(32)]),
        advice=[advice for bit, advice in MADVISE.items() if number(fields, "madv") >> bit & 1],
    )


class SharedMemory:
    """The shared objects of all processes, by the ID that areas, System V segments and memfds give: pages once."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._objects: dict[int, Pages] = {}

    def ids(self) -> list[int]:
        return [int(identifier) for identifier in self._images.ids("pagemap-shmem") if identifier.isdigit()]

    def get(self, identifier: int) -> Pages:
        if identifier not in self._objects:
            self._objects[identifier] = Pages(self._images, "pagemap-shmem", identifier)
        return self._objects[identifier]

    def pieces(self, identifier: int) -> t.Iterator[Piece]:
        """Everything that was dumped of an object; addresses are offsets within it."""
        return self.get(identifier).read(0, 1 << 64)


class AddressSpace:
    """The memory of one process."""

    def __init__(self, areas: list[Area], pages: Pages, shared: SharedMemory) -> None:
        self.areas = sorted(areas, key=lambda found: found.start)
        self.pages = pages
        self._shared = shared
        self._starts = [found.start for found in self.areas]

    @property
    def page_size(self) -> int:
        return self.pages.page_size

    def find(self, address: int) -> t.Optional[Area]:
        """The area that holds an address."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.areas[index].end:
            return self.areas[index]
        return None

    def select(
        self,
        *,
        permissions: str = "",
        kinds: t.Collection[str] = (),
        name: t.Optional[t.Callable[[str], bool]] = None,
        start: int = 0,
        end: int = 1 << 64,
    ) -> t.Iterator[Area]:
        """Areas that have all letters of ``permissions``, one of ``kinds``, a name that pleases, and touch a range."""
        for found in self.areas:
            if found.end <= start or found.start >= end:
                continue
            if kinds and found.kind not in kinds:
                continue
            if any(letter not in found.permissions for letter in permissions):
                continue
            if name is None or name(found.name):
                yield found

    def dumped(self, found: Area) -> t.Iterator[Piece]:
        """The bytes of an area that are in the archive, ascending, by their address in the process."""
        return self._dumped(found, found.start, found.end)

    def _dumped(self, found: Area, start: int, end: int) -> t.Iterator[Piece]:
        if not found.in_shared_pages:
            yield from self.pages.read(start, end)
            return
        move = found.start - found.offset
        for piece in self._shared.get(found.object_id).read(start - move, end - move):
            yield Piece(piece.address + move, piece.size, piece.data, piece.why)

    def pieces(self, start: int, end: int) -> t.Iterator[Piece]:
        """A whole range: what was dumped, and gaps. A gap's ``why`` is "zero" (anonymous memory that was never
        written), "file" (the same as in the file), "unmapped", or what pages.Piece names."""
        position = start
        for found in self.select(start=start, end=end):
            low, high = max(found.start, position), min(found.end, end)
            if low >= high:
                continue
            if low > position:
                yield Piece(position, low - position, None, "unmapped")
            position = low
            gap = "file" if found.kind == "file" or (found.kind == "memfd" and not found.shared) else "zero"
            for piece in self._dumped(found, low, high):
                if piece.address > position:
                    yield Piece(position, piece.address - position, None, gap)
                yield piece
                position = piece.address + piece.size
            if position < high:
                yield Piece(position, high - position, None, gap)
                position = high
        if position < end:
            yield Piece(position, end - position, None, "unmapped")

    def read(self, start: int, size: int) -> bytes:
        """The bytes of a range with zeros for every gap; at most MAX_READ bytes."""
        size = min(size, MAX_READ)
        out = bytearray(size)
        for piece in self.pieces(start, start + size):
            if piece.data is not None:
                out[piece.address - start : piece.address - start + piece.size] = piece.data
        return bytes(out)

    def known(self, start: int, size: int) -> bool:
        """Whether every byte of a range is in the archive or zero for certain."""
        return all(piece.data is not None or piece.why == "zero" for piece in self.pieces(start, start + size))

    def counts(self, found: Area) -> dict[str, int]:
        """Pages of an area by what the archive has of them."""
        if found.in_shared_pages:
            pages, move = self._shared.get(found.object_id), found.start - found.offset
        else:
            pages, move = self.pages, 0
        if not pages.layers:
            return {}
        layer = pages.layers[0]
        counted: dict[str, int] = {}
        for run in layer.overlapping(found.start - move, found.end - move):
            low, high = max(run.start, found.start - move), min(run.end, found.end - move)
            counted[run.kind] = counted.get(run.kind, 0) + (high - low) // layer.page_size
        return counted
