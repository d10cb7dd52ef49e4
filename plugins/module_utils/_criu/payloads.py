# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything in a checkpoint that holds bytes of the workload beside the memory of its processes.

Sources: criu criu/shmem.c, criu/memfd.c, criu/files-reg.c, criu/pipes.c, criu/sk-queue.c, criu/sk-tcp.c, criu/tty.c,
criu/ipc_ns.c, criu/mount.c (tmpfs), 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._archive.archive import open_nested
from .._archive.members import Member
from .._common.errors import CheckpointError
from . import ipc
from .files import FIFO, INET, UNIX, Files
from .images import Blob, Images
from .memory import SharedMemory
from .wire import Fields, number, text

Data = t.Union[bytes, memoryview]
Chunks = t.Callable[[], t.Iterator[tuple[int, Data]]]


@dataclasses.dataclass(frozen=True)
class Payload:
    """Bytes with a place. ``kind``: shared_memory, memfd, sysv_shared_memory, deleted_file, pipe, fifo, socket_queue,
    tcp_received, tcp_unsent, terminal, sysv_message or tmpfs_file. ``name``: a path or a description. ``where``: the
    numbers that tie it to descriptors and areas. ``chunks()`` gives (offset, bytes), ascending, gaps left out."""

    kind: str
    name: str
    size: int
    where: dict[str, t.Any]
    chunks: Chunks

    def as_dict(self) -> dict[str, t.Any]:
        return {"kind": self.kind, "name": self.name, "size": self.size, **self.where}


def _of(blob: Blob, start: int = 0) -> Chunks:
    def chunks() -> t.Iterator[tuple[int, Data]]:
        offset = start
        for data in blob.chunks():
            yield offset, data
            offset += len(data)

    return chunks


def of_member(member: Member) -> Chunks:
    """The bytes of a member, for Payload."""

    def chunks() -> t.Iterator[tuple[int, Data]]:
        offset = 0
        for data in member.chunks():
            yield offset, data
            offset += len(data)

    return chunks


def _of_parts(parts: list[tuple[int, Blob]]) -> Chunks:
    def chunks() -> t.Iterator[tuple[int, Data]]:
        for start, blob in parts:
            yield from _of(blob, start)()

    return chunks


def _of_shared(shared: SharedMemory, identifier: int, size: int) -> Chunks:
    """The pages of a shared object up to its size, which need not be whole pages."""

    def chunks() -> t.Iterator[tuple[int, Data]]:
        for piece in shared.pieces(identifier):
            if piece.data is not None and piece.address < size:
                yield piece.address, piece.data[: size - piece.address]

    return chunks


def _shared_memory(images: Images, files: Files, shared: SharedMemory) -> t.Iterator[Payload]:
    """Each shared object once, under the most telling of its names."""
    memfds = {number(fields, "shmid"): fields for fields in files.memfds().values()}
    segments: dict[int, dict[str, t.Any]] = {}
    for found, blob in ipc.segments(images):
        if blob is not None:
            yield Payload(
                "sysv_shared_memory", f"SysV segment {found['id']}", found["size"], {"shm_id": found["id"]}, _of(blob)
            )
        else:
            segments[found["id"]] = found
    for identifier in shared.ids():
        where: dict[str, t.Any] = {"shared_memory_id": identifier}
        size = max((run.end for run in shared.get(identifier).runs), default=0)
        kind, name = "shared_memory", f"shared memory {identifier}"
        if identifier in memfds:
            fields: Fields = memfds[identifier]
            kind, name, size = "memfd", f"/memfd:{text(fields, 'name')}", number(fields, "size")
        elif identifier in segments:
            kind, name, size = "sysv_shared_memory", f"SysV segment {identifier}", segments[identifier]["size"]
            where["shm_id"] = identifier
        yield Payload(kind, name, size, where, _of_shared(shared, identifier, size))


def _pipes(files: Files) -> t.Iterator[Payload]:
    fifos = {
        number(fields, "pipe_id"): number(fields, "regf_id", identifier)
        for kind, identifier, fields in files.items()
        if kind == FIFO
    }
    for pipe_id, blob in sorted(files.pipe_data().items()):
        if pipe_id in fifos:
            yield Payload("fifo", files.path(fifos[pipe_id]), blob.size, {"pipe_id": pipe_id}, _of(blob))
        else:
            yield Payload("pipe", f"pipe:[{pipe_id}]", blob.size, {"pipe_id": pipe_id}, _of(blob))


def _sockets(files: Files) -> t.Iterator[Payload]:
    for kind, identifier, fields in files.items():
        if kind not in (INET, UNIX):
            continue
        inode = number(fields, "ino")
        name = f"socket:[{inode}]"
        where = {"file_id": identifier, "inode": inode}
        for index, blob in enumerate(files.queues.packets(identifier)):
            yield Payload("socket_queue", name, blob.size, {**where, "packet": index}, _of(blob))
        if kind == INET and number(fields, "proto") == 6:
            for part, blob in files.queues.stream(inode)[1].items():
                if blob.size:
                    yield Payload(f"tcp_{part}", name, blob.size, where, _of(blob))


def _terminals(files: Files) -> t.Iterator[Payload]:
    for identifier, data in sorted(files.tty_data().items()):

        def chunks(found: bytes = data) -> t.Iterator[tuple[int, Data]]:
            yield 0, found

        yield Payload("terminal", f"tty {identifier}", len(data), {"tty_id": identifier}, chunks)


def _tmpfs(images: Images) -> t.Iterator[Payload]:
    """Files of tmpfs mounts; tmpfs-dev-N names the device, tmpfs-N (before CRIU 1.7) the mount."""
    points: dict[tuple[str, str], str] = {}
    for namespace in images.ids("mountpoints"):
        for entry in images.each("mountpoints", namespace):
            point = text(entry.fields, "mountpoint")
            point = point[1:] if point.startswith("./") else point
            points.setdefault(("tmpfs", str(number(entry.fields, "mnt_id"))), point)
            if text(entry.fields, "root") == "/" and not text(entry.fields, "ext_key"):
                points.setdefault(("tmpfs-dev", str(number(entry.fields, "root_dev"))), point)
    for prefix in ("tmpfs-dev", "tmpfs"):
        for identifier in images.ids(prefix):
            member = images.member(prefix, identifier)
            if member is None or not member.size:
                continue
            point = points.get((prefix, identifier), f"tmpfs {identifier}").rstrip("/")
            try:
                tree = open_nested(member, images.notes)
            except CheckpointError as error:
                images.notes.add("tmpfs_unreadable", f"The files of a tmpfs cannot be read: {error}", member.name)
                continue
            for found in tree.members:
                if found.kind == "file":
                    yield Payload("tmpfs_file", f"{point}/{found.name}", found.size, {"mount": point}, of_member(found))


def payloads(images: Images, files: Files, shared: SharedMemory) -> t.Iterator[Payload]:
    """All of them, in a fixed order."""
    yield from _shared_memory(images, files, shared)
    for identifier, path, ghost in files.ghosts():
        yield Payload("deleted_file", path, ghost.size, {"file_id": identifier}, _of_parts(ghost.parts))
    yield from _pipes(files)
    yield from _sockets(files)
    yield from _terminals(files)
    for found, messages in ipc.queues(images):
        for index, (message_type, blob) in enumerate(messages):
            where = {"queue_id": found["id"], "message": index, "message_type": message_type}
            yield Payload("sysv_message", f"SysV queue {found['id']}", blob.size, where, _of(blob))
    yield from _tmpfs(images)
