# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open files: what stands behind the number of a descriptor.

Sources: criu images/fdinfo.proto and the protos of each type; criu/files-reg.c (ghost files, remaps), criu/pipes.c,
criu/memfd.c, criu/tty.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import sockets
from .images import Blob, Entry, Images
from .names import (
    CLOCKS,
    DESCRIPTOR_TYPES,
    EPOLL_EVENTS,
    INOTIFY_EVENTS,
    NAMESPACE_FLAGS,
    OPEN_FLAGS,
    OPEN_FLAGS_ARM,
    SEALS,
    TTY_TYPES,
    bits,
    named,
    signal_set,
)
from .surroundings import device_of_stat
from .wire import Fields, number, text

FD_CLOEXEC = 1

REG, PIPE, FIFO, INET, UNIX, EVENTFD, EVENTPOLL, INOTIFY, SIGNALFD, PACKET, TTY = range(1, 12)
FANOTIFY, NETLINK, NS, TUN, EXT, TIMERFD, MEMFD, BPFMAP, PIDFD = range(12, 21)

IN_FILES: dict[int, str] = {
    REG: "reg",
    PIPE: "pipe",
    FIFO: "fifo",
    INET: "isk",
    UNIX: "usk",
    EVENTFD: "efd",
    EVENTPOLL: "epfd",
    INOTIFY: "ify",
    SIGNALFD: "sgfd",
    PACKET: "psk",
    TTY: "tty",
    FANOTIFY: "ffy",
    NETLINK: "nlsk",
    NS: "nsf",
    TUN: "tunf",
    EXT: "ext",
    TIMERFD: "tfd",
    MEMFD: "memfd",
    BPFMAP: "bpf",
    PIDFD: "pidfd",
}
"""The field of file_entry (files.img, since CRIU 3.3) for each type."""

OLD_IMAGES: dict[int, str] = {
    REG: "reg-files",
    PIPE: "pipes",
    FIFO: "fifo",
    INET: "inetsk",
    UNIX: "unixsk",
    EVENTFD: "eventfd",
    EVENTPOLL: "eventpoll",
    INOTIFY: "inotify",
    SIGNALFD: "signalfd",
    PACKET: "packetsk",
    TTY: "tty",
    FANOTIFY: "fanotify",
    NETLINK: "netlinksk",
    NS: "ns-files",
    TUN: "tunfile",
    EXT: "ext-files",
    TIMERFD: "timerfd",
    BPFMAP: "bpfmap-file",
    PIDFD: "pidfd",
}
"""One image per type, as before files.img."""

ACCESS: dict[int, str] = {0: "r", 1: "w", 2: "rw"}

REMAPS: dict[int, str] = {0: "linked", 1: "ghost", 2: "process"}


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """``number`` in the process, ``type`` (names.DESCRIPTOR_TYPES), the path or a short description as
    /proc/PID/fd has it, how it was opened, and what the type tells besides."""

    number: int
    type: str
    file_id: int
    path: str
    access: t.Optional[str]
    flags: list[str]
    cloexec: bool
    details: dict[str, t.Any]

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "fd": self.number,
            "type": self.type,
            "path": self.path,
            "access": self.access,
            "flags": self.flags,
            "close_on_exec": self.cloexec,
            **self.details,
        }


class Ghost(t.NamedTuple):
    """A deleted file: its owner and mode, its size, and its bytes as (offset, blob)."""

    fields: Fields
    size: int
    parts: list[tuple[int, Blob]]


class Files:
    """All open files of a checkpoint, by type and ID."""

    def __init__(self, images: Images, *, arm: bool = False, big_endian: bool = False) -> None:
        self._images = images
        self._open_flags = OPEN_FLAGS_ARM if arm else OPEN_FLAGS
        self._big_endian = big_endian
        self.queues = sockets.Queues(images)
        self._files: dict[tuple[int, int], Fields] = {}
        self._load()
        self._remaps: dict[int, tuple[int, int]] = {
            number(entry.fields, "orig_id"): (number(entry.fields, "remap_type", 1), number(entry.fields, "remap_id"))
            for entry in images.each("remap-fpath")
        }
        self._pipe_data: t.Optional[dict[int, Blob]] = None
        self._memfds: t.Optional[dict[int, Fields]] = None
        self._ttys: t.Optional[dict[int, Fields]] = None
        self._tty_data: t.Optional[dict[int, bytes]] = None
        self._old_watches: t.Optional[dict[int, list[Fields]]] = None
        self._ghosts: dict[int, t.Optional[Ghost]] = {}

    def _load(self) -> None:
        if self._images.member("files") is not None:
            for entry in self._images.each("files"):
                kind = number(entry.fields, "type")
                found = entry.fields.get(IN_FILES.get(kind, ""))
                if isinstance(found, dict):
                    self._files[kind, number(entry.fields, "id")] = found
            return
        old = False
        for kind, prefix in OLD_IMAGES.items():
            for entry in self._images.each(prefix):
                old = True
                self._files[kind, number(entry.fields, "id")] = entry.fields
        if not old:
            self._images.notes.add("image_missing", "The image is missing; open files have no names", "files.img")

    def get(self, kind: int, identifier: int) -> Fields:
        return self._files.get((kind, identifier), {})

    def items(self) -> t.Iterator[tuple[int, int, Fields]]:
        """(type, ID, fields) of all open files, sorted."""
        for (kind, identifier), fields in sorted(self._files.items(), key=lambda item: item[0]):
            yield kind, identifier, fields

    def path(self, identifier: int) -> str:
        """The path of a regular file or memfd by its ID, with " (deleted)" behind it as in /proc; empty if unknown."""
        fields = self.get(REG, identifier)
        if not fields:
            memfd = self.get(MEMFD, identifier)
            return f"/memfd:{text(self.memfd_inode(memfd), 'name')} (deleted)" if memfd else ""
        name = text(fields, "name")
        # Older versions wrote names relative to the root of the mount namespace.
        if name.startswith("./") or name == ".":
            name = name[1:] or "/"
        return name + (" (deleted)" if self.deleted(identifier) and not name.endswith(" (deleted)") else "")

    def deleted(self, identifier: int) -> bool:
        """Whether the file has no name any more (a ghost), or one that CRIU made for it (linked)."""
        return self._remaps.get(identifier, (2, 0))[0] in (0, 1)

    def shared_memory(self, identifier: int) -> t.Optional[int]:
        """The ID of the shared memory behind an open memfd."""
        memfd = self.get(MEMFD, identifier)
        inode = self.memfd_inode(memfd) if memfd else {}
        return number(inode, "shmid") if inode else None

    def memfd_inode(self, memfd: Fields) -> Fields:
        return self.memfds().get(number(memfd, "inode_id", -1), {})

    def memfds(self) -> dict[int, Fields]:
        """All memfds by the ID of their inode: name, size, seals, and shmid for their pages."""
        if self._memfds is None:
            self._memfds = {number(entry.fields, "inode_id"): entry.fields for entry in self._images.each("memfd")}
        return self._memfds

    def pipe_data(self) -> dict[int, Blob]:
        """What waits in pipes and FIFOs, by pipe_id."""
        if self._pipe_data is None:
            self._pipe_data = {}
            for prefix in ("pipes-data", "fifo-data"):
                for entry in self._images.each(prefix):
                    self._pipe_data[number(entry.fields, "pipe_id")] = entry.blobs["data"]
        return self._pipe_data

    def ghost(self, identifier: int) -> t.Optional[Ghost]:
        """The deleted file behind an open file's ID; None where it is not one."""
        kind, ghost_id = self._remaps.get(identifier, (2, 0))
        if kind != 1:
            return None
        if ghost_id not in self._ghosts:
            self._ghosts[ghost_id] = self._read_ghost(ghost_id)
        return self._ghosts[ghost_id]

    def _read_ghost(self, ghost_id: int) -> t.Optional[Ghost]:
        for entry in self._images.each("ghost-file", f"{ghost_id:x}", expected=True):
            return _ghost(entry)
        return None

    def ghosts(self) -> t.Iterator[tuple[int, str, Ghost]]:
        """(file ID, path, ghost) of all deleted files."""
        for identifier in sorted(self._remaps):
            ghost = self.ghost(identifier)
            if ghost is not None:
                yield identifier, self.path(identifier), ghost

    def tty_info(self, tty: Fields) -> Fields:
        if self._ttys is None:
            self._ttys = {number(entry.fields, "id"): entry.fields for entry in self._images.each("tty-info")}
        return self._ttys.get(number(tty, "tty_info_id", -1), {})

    def tty_data(self) -> dict[int, bytes]:
        """What was typed into terminals and not read yet, by the ID of the tty-info."""
        if self._tty_data is None:
            parts: dict[int, list[bytes]] = {}
            for entry in self._images.each("tty-data"):
                data = entry.fields.get("data", b"")
                parts.setdefault(number(entry.fields, "tty_id"), []).append(data if isinstance(data, bytes) else b"")
            self._tty_data = {identifier: b"".join(found) for identifier, found in parts.items()}
        return self._tty_data

    def descriptors(self, files_id: int) -> list[Descriptor]:
        """The descriptors of a table, by number. Tasks that share a table have the same files_id."""
        entries = self._images.each("fdinfo", files_id, expected=True)
        return sorted((self._descriptor(entry) for entry in entries), key=lambda found: found.number)

    def _descriptor(self, entry: Entry) -> Descriptor:
        kind, identifier = number(entry.fields, "type"), number(entry.fields, "id")
        fields = self.get(kind, identifier)
        path, details = self._describe(kind, identifier, fields)
        if not fields:
            self._images.notes.add(
                "file_missing", "A descriptor leads to a file that is not in the images", f"{kind}/{identifier}"
            )
        # A FIFO's flags stand with the file that it is.
        opened = self.get(REG, number(fields, "regf_id", identifier)) if kind == FIFO else fields
        flags = number(opened, "flags")
        return Descriptor(
            number=number(entry.fields, "fd"),
            type=named(kind, DESCRIPTOR_TYPES),
            file_id=identifier,
            path=path,
            access=ACCESS.get(flags & 3) if "flags" in opened else None,
            flags=bits(flags & ~3, self._open_flags),
            cloexec=bool(number(entry.fields, "flags") & FD_CLOEXEC),
            details=details,
        )

    def _describe(self, kind: int, identifier: int, fields: Fields) -> tuple[str, dict[str, t.Any]]:
        """The path or description, and the details, of an open file."""
        if kind == INET:
            details = sockets.inet(fields, self.queues, big_endian=self._big_endian)
            return f"socket:[{number(fields, 'ino')}]", details
        if kind == UNIX:
            return f"socket:[{number(fields, 'ino')}]", sockets.unix(fields, self.queues)
        if kind == NETLINK:
            return f"socket:[{number(fields, 'ino')}]", sockets.netlink(fields)
        if kind == PACKET:
            return "socket:[packet]", sockets.packet(fields)
        if kind in (PIPE, FIFO):
            return self._pipe(kind, fields)
        if kind == REG:
            return self.path(identifier), self._regular(identifier, fields)
        if kind == MEMFD:
            return self.path(identifier), self._memfd(fields)
        if kind == TTY:
            return self._tty(fields)
        return self._special(kind, fields)

    def _regular(self, identifier: int, fields: Fields) -> dict[str, t.Any]:
        kind = self._remaps.get(identifier, (-1, 0))[0]
        ghost = self.ghost(identifier)
        build_id = fields.get("build_id")
        return {
            "position": number(fields, "pos"),
            "size": ghost.size if ghost is not None else fields.get("size"),
            "mode": f"{number(fields, 'mode'):o}" if "mode" in fields else None,
            "mount_id": fields.get("mnt_id"),
            "deleted": self.deleted(identifier),
            "remap": REMAPS.get(kind),
            "external": bool(fields.get("ext")),
            "build_id": b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in build_id).hex()
            if build_id
            else None,
        }

    def _pipe(self, kind: int, fields: Fields) -> tuple[str, dict[str, t.Any]]:
        pipe_id = number(fields, "pipe_id")
        blob = self.pipe_data().get(pipe_id)
        details = {"pipe_id": pipe_id, "queued": blob.size if blob is not None else 0}
        if kind == FIFO:
            return self.path(number(fields, "regf_id", number(fields, "id"))), details
        return f"pipe:[{pipe_id}]", details

    def _memfd(self, fields: Fields) -> dict[str, t.Any]:
        inode = self.memfd_inode(fields)
        return {
            "position": number(fields, "pos"),
            "name": text(inode, "name"),
            "size": number(inode, "size"),
            "seals": bits(number(inode, "seals"), SEALS),
            "mode": f"{number(inode, 'mode'):o}" if "mode" in inode else None,
            "shared_memory_id": inode.get("shmid"),
        }

    def _tty(self, fields: Fields) -> tuple[str, dict[str, t.Any]]:
        info = self.tty_info(fields)
        pty = info.get("pty")
        size = info.get("winsize")
        details = {
            "terminal": named(number(info, "type"), TTY_TYPES),
            "index": number(pty, "index") if isinstance(pty, dict) else None,
            "session": number(info, "sid") or None,
            "foreground_group": number(info, "pgrp") or None,
            "device": device_of_stat(number(info, "rdev")) if "rdev" in info else None,
            "rows": number(size, "ws_row") if isinstance(size, dict) else None,
            "columns": number(size, "ws_col") if isinstance(size, dict) else None,
            "queued": len(self.tty_data().get(number(fields, "tty_info_id"), b"")),
        }
        return self.path(number(fields, "regf_id", -1)) or "tty", details

    def _special(self, kind: int, fields: Fields) -> tuple[str, dict[str, t.Any]]:
        """Descriptors that are not files in any folder."""
        if kind == EVENTFD:
            return "anon_inode:[eventfd]", {"counter": number(fields, "counter")}
        if kind == EVENTPOLL:
            return "anon_inode:[eventpoll]", {"watches": self._watches(fields)}
        if kind == SIGNALFD:
            return "anon_inode:[signalfd]", {"signals": signal_set(number(fields, "sigmask"))}
        if kind == TIMERFD:
            return "anon_inode:[timerfd]", {
                "clock": named(number(fields, "clockid"), CLOCKS),
                "ticks": number(fields, "ticks"),
                "remaining_ns": number(fields, "vsec") * 10**9 + number(fields, "vnsec"),
                "interval_ns": number(fields, "isec") * 10**9 + number(fields, "insec"),
            }
        if kind == INOTIFY:
            return "anon_inode:inotify", {"watches": [self._inotify(watch) for watch in fields.get("wd", [])]}
        if kind == FANOTIFY:
            return "anon_inode:[fanotify]", {"marks": [self._fanotify(mark) for mark in fields.get("mark", [])]}
        if kind == PIDFD:
            return "anon_inode:[pidfd]", {"pid": number(fields, "nspid")}
        if kind == NS:
            name = bits(number(fields, "ns_cflag"), NAMESPACE_FLAGS)
            return f"{name[0] if name else 'ns'}:[{number(fields, 'ns_id')}]", {"namespace_id": number(fields, "ns_id")}
        if kind == BPFMAP:
            names = ("map_type", "key_size", "value_size", "max_entries", "map_id", "frozen")
            return f"bpf-map:{text(fields, 'map_name')}", {name: fields.get(name) for name in names}
        if kind == TUN:
            return "/dev/net/tun", {"interface": text(fields, "netdev") or None}
        if kind == EXT:
            return "external", {}
        return "unknown", {}

    def _watches(self, fields: Fields) -> list[dict[str, t.Any]]:
        if self._old_watches is None:
            self._old_watches = {}
            for entry in self._images.each("eventpoll-tfd"):
                self._old_watches.setdefault(number(entry.fields, "id"), []).append(entry.fields)
        watches = fields.get("tfd") or self._old_watches.get(number(fields, "id"), [])
        return [
            {
                "fd": number(watch, "tfd"),
                "events": bits(number(watch, "events"), EPOLL_EVENTS),
                "data": f"{number(watch, 'data'):#x}",
                "inode": watch.get("inode"),
            }
            for watch in watches
        ]

    @staticmethod
    def _inotify(watch: Fields) -> dict[str, t.Any]:
        handle = watch.get("f_handle")
        return {
            "watch": number(watch, "wd"),
            "events": bits(number(watch, "mask"), INOTIFY_EVENTS),
            "inode": number(watch, "i_ino"),
            "path": text(handle, "path") or None if isinstance(handle, dict) else None,
        }

    @staticmethod
    def _fanotify(mark: Fields) -> dict[str, t.Any]:
        mount, inode = mark.get("me"), mark.get("ie")
        return {
            "on": "mount" if number(mark, "type") == 2 else "inode",
            "mask": f"{number(mark, 'mask'):#x}",
            "path": text(mount, "path") or None if isinstance(mount, dict) else None,
            "inode": number(inode, "i_ino") if isinstance(inode, dict) else None,
        }


def _ghost(entry: Entry) -> Ghost:
    if entry.fields.get("chunks"):
        parts = [(number(chunk, "off"), blob) for chunk, blob in entry.parts]
        size = number(entry.fields, "size") or max((offset + blob.size for offset, blob in parts), default=0)
        return Ghost(entry.fields, size, parts)
    blob = entry.blobs.get("data")
    return Ghost(entry.fields, blob.size if blob is not None else 0, [(0, blob)] if blob is not None else [])
