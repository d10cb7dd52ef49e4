# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files inside an archive: what they are, and how their bytes are reached.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .notes import Notes
from .source import FileSource, MemorySource, Source, StreamSource

MAX_CONTENT = 64 << 20
"""The largest member that is read into memory as a whole; larger ones are read in chunks or mapped."""


class Member:
    """One member. ``name`` is cleaned of ``./``, doubled and trailing slashes; bytes that are not UTF-8 are
    kept as surrogates (PEP 383). ``kind`` is a value of tarheader.KINDS or "other". ``unsafe`` names (absolute,
    with ``..`` or NUL) are listed but never found by name. ``available`` is less than ``size`` where the archive
    is cut short. ``device``: major and minor number of a device. ``xattrs``: extended attributes by name."""

    __slots__ = (
        "available",
        "device",
        "gid",
        "kind",
        "link",
        "mode",
        "mtime",
        "name",
        "offset",
        "size",
        "source",
        "uid",
        "unsafe",
        "xattrs",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        size: int,
        source: Source,
        offset: int,
        *,
        available: t.Optional[int] = None,
        mode: int = 0,
        uid: int = 0,
        gid: int = 0,
        mtime: int = 0,
        link: str = "",
        unsafe: bool = False,
        device: tuple[int, int] = (0, 0),
        xattrs: t.Optional[dict[str, bytes]] = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.size = size
        self.source = source
        self.offset = offset
        self.available = size if available is None else available
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.link = link
        self.unsafe = unsafe
        self.device = device
        self.xattrs = xattrs or {}

    def __repr__(self) -> str:
        return f"Member({self.name!r}, {self.kind!r}, {self.size})"

    @property
    def complete(self) -> bool:
        return self.available >= self.size

    def _span(self, offset: int, size: t.Optional[int]) -> int:
        left = max(0, self.available - offset)
        return left if size is None else max(0, min(size, left))

    def read(self, offset: int = 0, size: t.Optional[int] = None) -> bytes:
        """Bytes from offset on; fewer where the member (or a cut archive) ends. At most MAX_CONTENT at once."""
        wanted = self._span(offset, size)
        if wanted > MAX_CONTENT:
            raise CheckpointError(
                "member_too_large",
                f"{self.name} is too large to be read into memory at once",
                size=self.size,
                limit=MAX_CONTENT,
            )
        return self.source.read_at(self.offset + offset, wanted)

    def chunks(self, offset: int = 0, size: t.Optional[int] = None) -> t.Iterator[t.Union[bytes, memoryview]]:
        """The bytes in pieces of at most source.CHUNK."""
        return self.source.chunks(self.offset + offset, self._span(offset, size))

    def map(self, offset: int = 0, size: t.Optional[int] = None) -> t.Optional[memoryview]:
        """The bytes as a view of the file, None where the source is not a plain file."""
        return self.source.map(self.offset + offset, self._span(offset, size))

    def as_source(self) -> Source:
        """The member as a source of its own: for an archive within the archive."""
        if isinstance(self.source, FileSource):
            return self.source.slice(self.offset, self.available)
        return MemberSource(self)

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "size": self.size,
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "mtime": self.mtime,
            "link": self.link or None,
            "complete": self.complete,
        }


class MemberSource(Source):
    """A member of a stream or of a sparse file as a source."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self.size = member.available
        self.sequential = member.source.sequential

    def read_at(self, offset: int, size: int) -> bytes:
        return self._member.read(offset, size) if offset >= 0 else b""

    def map(self, offset: int, size: int) -> t.Optional[memoryview]:
        return self._member.map(offset, size) if offset >= 0 else memoryview(b"")


def clean_name(raw: bytes) -> tuple[str, bool]:
    """The name without ``./``, doubled and trailing slashes, and whether it is unsafe."""
    name = raw.decode("utf-8", "surrogateescape")
    parts = name.split("/")
    unsafe = name.startswith("/") or ".." in parts or "\0" in name
    return "/".join(part for part in parts if part not in ("", ".")), unsafe


class Tree:
    """All members of one archive or folder, found by name. Of duplicates the last counts, as with tar itself."""

    def __init__(self, source: Source, notes: Notes) -> None:
        self.source = source
        self.notes = notes
        self.members: list[Member] = []
        self._names: dict[str, Member] = {}

    def add(self, member: Member) -> None:
        if member.unsafe:
            self.notes.add("unsafe_name", "A member has a name that leads out of the archive", ascii(member.name))
        elif member.name:
            if member.name in self._names and member.kind != "directory":
                self.notes.add(
                    "duplicate_member", "The archive has this member more than once; the last counts", member.name
                )
            self._names[member.name] = member
        self.members.append(member)

    def get(self, name: str) -> t.Optional[Member]:
        """The member of this name; for a hard link the file it leads to. None where there is none."""
        member = self._names.get(name)
        if member is not None and member.kind == "hardlink":
            target = self._names.get(clean_name(member.link.encode("utf-8", "surrogateescape"))[0])
            return target if target is not None and target.kind == "file" else None
        return member

    def file(self, name: str) -> t.Optional[Member]:
        """The regular file of this name, else None."""
        member = self.get(name)
        return member if member is not None and member.kind == "file" else None

    def under(self, folder: str) -> dict[str, Member]:
        """The members directly below a folder, by the last part of their names."""
        prefix = folder.rstrip("/") + "/"
        start = len(prefix)
        return {
            name[start:]: member
            for name, member in self._names.items()
            if name.startswith(prefix) and "/" not in name[start:]
        }

    def prefetch(self, ranges: t.Iterable[tuple[Member, int, int]]) -> None:
        """Tell that these ranges (member, offset, size) will be read soon: one pass over a compressed archive."""
        if isinstance(self.source, StreamSource):
            self.source.prefetch(
                (member.offset + offset, min(size, max(0, member.available - offset)))
                for member, offset, size in ranges
                if member.source is self.source and offset >= 0
            )

    def close(self) -> None:
        self.source.close()


def from_bytes(name: str, data: bytes) -> Member:
    """A member that is in memory."""
    return Member(name, "file", len(data), MemorySource(data), 0)
