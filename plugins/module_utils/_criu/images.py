# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRIU's images: framing, entries, and the raw bytes that follow some of them.

An image is one or two magic numbers, then entries: a 32-bit size, a message of that size, and for some types raw
bytes behind it (pipe contents, socket queues, ghost files ...). Source: criu criu/image.c, criu/include/magic.h,
lib/pycriu/images/images.py, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._archive.members import Member
from .._archive.notes import Notes
from .._archive.source import CHUNK
from .image_types import BY_PREFIX, IMG_COMMON, IMG_SERVICE, INVENTORY, RAW_PREFIXES, ImageType, split_name
from .wire import Context, Fields, WireError, decode

MAX_ENTRIES = 1_000_000
MAX_MESSAGE = 64 << 20
"""Bounds for one image: more entries, or a larger message, are not read."""

KNOWN_VERSIONS = (1, 2, 3)
"""img_version: 1 without the common magic number, 2 since CRIU 2.0, 3 for compressed pages (development branch)."""


class Blob(t.NamedTuple):
    """Raw bytes within an image: a pipe's content, a queue, a part of a deleted file."""

    member: Member
    offset: int
    size: int

    @property
    def available(self) -> int:
        """Less than ``size`` where the image is cut short."""
        return max(0, min(self.size, self.member.available - self.offset))

    def read(self, offset: int = 0, size: t.Optional[int] = None) -> bytes:
        left = max(0, self.available - offset)
        return self.member.read(self.offset + offset, left if size is None else min(size, left))

    def chunks(self) -> t.Iterator[t.Union[bytes, memoryview]]:
        return self.member.chunks(self.offset, self.available)


class Entry(t.NamedTuple):
    """One entry: the fields that are there, and what follows it. ``parts`` holds decoded messages behind the
    entry (the messages of a System V queue), each with its blob."""

    fields: Fields
    blobs: dict[str, Blob]
    parts: list[tuple[Fields, Blob]]


class Cursor:
    """Reading an image from the front, in windows, without holding all of it."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.position = 0
        self._start = 0
        self._window = b""

    def take(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end of the image."""
        begin = self.position - self._start
        if begin < 0 or begin + size > len(self._window):
            self._start = self.position
            self._window = self.member.read(self.position, max(size, CHUNK))
            begin = 0
        data = self._window[begin : begin + size]
        self.position += len(data)
        return data

    def number(self) -> t.Optional[int]:
        """The next 32-bit number, None exactly at the end. Raises WireError within one."""
        data = self.take(4)
        if not data:
            return None
        if len(data) < 4:
            raise WireError("the image ends within a size")
        return int.from_bytes(data, "little")

    def message(self, name: str, context: Context) -> t.Optional[Fields]:
        size = self.number()
        if size is None:
            return None
        if size > MAX_MESSAGE:
            raise WireError(f"an entry claims to have {size} bytes")
        data = self.take(size)
        if len(data) < size:
            raise WireError("the image ends within an entry")
        context.spend(1)
        return decode(data, name, context)

    def blob(self, size: int, padded_to: int = 1) -> Blob:
        blob = Blob(self.member, self.position, size)
        self.position += -(-size // padded_to) * padded_to
        return blob

    def rest(self) -> Blob:
        return self.blob(max(0, self.member.available - self.position))


def _extra(kind: ImageType, fields: Fields, cursor: Cursor, context: Context) -> Entry:
    """The entry with what follows it, by the rule of its type."""
    blobs: dict[str, Blob] = {}
    parts: list[tuple[Fields, Blob]] = []
    extra = kind.extra
    if extra in ("bytes", "length"):
        blobs["data"] = cursor.blob(fields.get(extra, 0))
    elif extra == "tcp":
        blobs["received"] = cursor.blob(fields.get("inq_len", 0))
        blobs["unsent"] = cursor.blob(fields.get("outq_len", 0))
    elif extra == "bpfmap":
        blobs["keys"] = cursor.blob(fields.get("keys_bytes", 0))
        blobs["values"] = cursor.blob(fields.get("values_bytes", 0))
    elif extra == "sem":
        blobs["values"] = cursor.blob(2 * fields.get("nsems", 0), padded_to=8)
    elif extra == "shm" and not fields.get("in_pagemaps"):
        blobs["data"] = cursor.blob(fields.get("size", 0), padded_to=4)
    elif extra == "msg":
        for _unused in range(fields.get("qnum", 0)):
            message = cursor.message("ipc_msg", context)
            if message is None:
                raise WireError("a message queue has fewer messages than it claims")
            parts.append((message, cursor.blob(message.get("msize", 0), padded_to=8)))
    elif extra == "ghost" and not fields.get("chunks"):
        blobs["data"] = cursor.rest()
    elif extra == "ghost":
        while True:
            chunk = cursor.message("ghost_chunk_entry", context)
            if chunk is None:
                break
            parts.append((chunk, cursor.blob(chunk.get("len", 0))))
    for blob in [*blobs.values(), *(part[1] for part in parts[-1:])]:
        if blob.available < blob.size:
            raise _Short(Entry(fields, blobs, parts))
    return Entry(fields, blobs, parts)


class _Short(WireError):
    """What follows an entry is cut short; the entry itself is good."""

    def __init__(self, entry: Entry) -> None:
        super().__init__("the bytes behind an entry are cut short")
        self.entry = entry


def read_magic(cursor: Cursor, kind: ImageType) -> None:
    """Step over the magic numbers. Raises WireError where they are not those of the type."""
    magic = cursor.number()
    if kind.magic != INVENTORY and magic in (IMG_COMMON, IMG_SERVICE):
        magic = cursor.number()
    if magic != kind.magic:
        raise WireError(f"the magic number is {'missing' if magic is None else hex(magic)}, not {kind.magic:#x}")


def entries(member: Member, kind: ImageType, context: t.Optional[Context] = None) -> t.Iterator[Entry]:
    """The entries of an image. Raises WireError after the last good one where the image is damaged."""
    context = context or Context()
    cursor = Cursor(member)
    read_magic(cursor, kind)
    message = "pagemap_head" if kind.extra == "head" else kind.message
    for _unused in range(MAX_ENTRIES):
        fields = cursor.message(message, context)
        if fields is None:
            return
        try:
            yield _extra(kind, fields, cursor, context)
        except _Short as short:
            yield short.entry
            raise
        message = kind.message
    raise WireError(f"the image has more than {MAX_ENTRIES} entries")


class Images:
    """The images of one folder, by file name. What cannot be read is noted, and the rest is given.

    ``parent``: the images of an earlier dump that this one is based on (Podman's pre-checkpoint), else None.
    ``page_size``: that of the dumped machine, once a memory has told it (pages.py).
    """

    def __init__(self, files: dict[str, Member], notes: Notes, parent: t.Optional[Images] = None) -> None:
        self.notes = notes
        self.parent = parent
        self.page_size: t.Optional[int] = None
        self._files = {name: member for name, member in files.items() if member.kind == "file"}
        self._ids: dict[str, dict[str, str]] = {}
        for name in sorted(self._files):
            prefix, identifier = split_name(name)
            if not prefix:
                continue
            if prefix not in BY_PREFIX and prefix not in RAW_PREFIXES:
                notes.add("unknown_image", "An image of a type that is not known here, perhaps of a newer CRIU", name)
            self._ids.setdefault(prefix, {})[identifier] = name

    def file(self, name: str) -> t.Optional[Member]:
        return self._files.get(name)

    def names(self) -> list[str]:
        return sorted(self._files)

    def ids(self, prefix: str) -> list[str]:
        """The IDs of the images of a type: numbers in their order, then other text; hexadecimal stays text."""
        return sorted(self._ids.get(prefix, {}), key=lambda text: (not text.isdigit(), len(text), text))

    def member(self, prefix: str, identifier: t.Union[str, int] = "") -> t.Optional[Member]:
        name = self._ids.get(prefix, {}).get(str(identifier))
        return None if name is None else self._files[name]

    def each(self, prefix: str, identifier: t.Union[str, int] = "", *, expected: bool = False) -> t.Iterator[Entry]:
        """The entries of an image, one after another, up to where it is damaged; none where it is missing."""
        member = self.member(prefix, identifier)
        name = f"{prefix}-{identifier}.img" if identifier != "" else f"{prefix}.img"
        if member is None:
            if expected:
                self.notes.add("image_missing", "The image is missing; what it would tell is left out", name)
            return
        context = Context()
        try:
            yield from entries(member, BY_PREFIX[prefix], context)
        except WireError as error:
            self.notes.add("image_damaged", f"The image is damaged; what follows is lost: {error}", name)
        finally:
            for message, number in sorted(context.unknown):
                text = f"Field {number} of {message} is not known here, perhaps of a newer CRIU"
                self.notes.add("unknown_field", text)

    def one(self, prefix: str, identifier: t.Union[str, int] = "", *, expected: bool = False) -> Fields:
        """The fields of the first entry, empty where there is none."""
        for entry in self.each(prefix, identifier, expected=expected):
            return entry.fields
        return {}


def stats(member: Member, notes: Notes) -> Fields:
    """The entry of stats-dump, which lies at the archive's root and has no .img at its end."""
    try:
        for entry in entries(member, BY_PREFIX["stats"]):
            return entry.fields
    except WireError as error:
        notes.add("image_damaged", f"The image is damaged: {error}", member.name)
    return {}
