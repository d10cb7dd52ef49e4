# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything in a checkpoint that has bytes to be searched, each byte once, and how a place in it is described.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._archive import compression
from .._archive.archive import IMAGE_FOLDERS, Archive
from .._archive.members import Member
from .._archive.rootfs import DELETED, PLACES, VOLUMES, nested
from .._common.errors import CheckpointError
from .._criu.checkpoint import Checkpoint
from .._criu.pages import Pages
from .._criu.payloads import Payload, of_member
from .._criu.process import Process

Data = t.Union[bytes, memoryview]
Blocks = t.Iterator[tuple[int, Data]]
Where = dict[str, t.Any]

LOGS = ("dump.log", "io.kubernetes.cri-o.LogPath", "container.log", "ctr.log")
"""Logs at the root of an archive: CRIU's, and the container's by CRI-O, containerd and Podman."""

DOCUMENTS = ("config.dump", "spec.dump", "status.dump", "status", "network.status", "bind.mounts", DELETED)

IN_PAYLOADS = (
    "fifo-data",
    "ghost-file-",
    "ipcns-msg-",
    "ipcns-shm-",
    "pipes-data",
    "sk-queues",
    "tcp-stream-",
    "tmpfs-",
    "tty-data",
)
"""Images whose bytes are searched as the file, pipe or queue that they hold."""

ENDLESS = 1 << 62

HOLDING_KEYS = ("pipe_id", "inode", "shared_memory_id", "file_id")


@dataclasses.dataclass(frozen=True)
class Content:
    """Bytes with a place. ``name`` is a path or a description, empty for memory. ``blocks()`` gives (offset, bytes),
    ascending, gaps left out; ``where(offset)`` describes a place in them; ``size`` is where they end if that is known
    beforehand; ``missing`` is how many bytes the archive should have and does not."""

    place: str
    name: str
    blocks: t.Callable[[], Blocks]
    where: t.Callable[[int], Where]
    size: t.Optional[int] = None
    missing: int = 0


def where(**known: t.Any) -> Where:
    """The description of a place, always with the same keys."""
    empty: Where = {
        "pid": None,
        "process": None,
        "area": None,
        "address": None,
        "file": None,
        "offset": None,
        "compression": None,
        "held_by": [],
    }
    return {**empty, **known}


def contents(checkpoint: Checkpoint, pids: t.Collection[int] = ()) -> t.Iterator[Content]:
    """All of it, or what belongs to some processes: their memory, and what they have open or mapped.

    Memory comes in the order in which it lies in the archive, so that a compressed one is read once.
    Raises CheckpointError process_missing.
    """
    missing = sorted(set(pids) - set(checkpoint.by_pid))
    if missing:
        raise CheckpointError(
            "process_missing",
            f"The checkpoint has no process {missing[0]}",
            hint="Processes are named by their PID within the container",
            pids=sorted(checkpoint.by_pid),
        )
    chosen = [process for process in checkpoint.processes if not pids or process.pid in pids]
    for process in sorted(chosen, key=_position):
        if process.pages.layers:
            yield _memory(process)
    holders = Holders(checkpoint)
    for payload in checkpoint.payloads():
        held_by = holders.of(payload)
        if not pids or any(holder["pid"] in pids for holder in held_by):
            yield _payload(payload, held_by)
    if not pids:
        yield from files(checkpoint.archive)
        yield from _rest(checkpoint)


def _position(process: Process) -> tuple[int, int]:
    layers = process.pages.layers
    pages = layers[0].pages if layers else None
    return (pages.offset if pages is not None else 0, process.pid)


def blocks_of_pages(pages: Pages) -> Blocks:
    """The dumped bytes of a memory. Pages that lie as they are in the archive are read in small pieces, which is
    faster than through a map and takes no memory."""
    layer = pages.layers[0]
    for run in pages.runs:
        address = run.start
        if run.kind == "present" and run.blocks is None and layer.pages is not None:
            for data in layer.pages.chunks(run.offset, run.end - run.start):
                yield address, data
                address += len(data)
        # What is left of a run lies elsewhere, or is missing, which is noted there.
        for piece in pages.read(address, run.end) if address < run.end else ():
            if piece.data is not None:
                yield piece.address, piece.data


def _memory(process: Process) -> Content:
    def describe(address: int) -> Where:
        area = process.memory.find(address)
        named = area is not None and area.kind in ("file", "memfd")
        return where(
            pid=process.pid,
            process=process.name,
            address=f"{address:#x}",
            area=area.as_dict() if area is not None else None,
            file=area.name if area is not None and named else None,
            offset=area.offset + address - area.start if area is not None and named else None,
        )

    pages = process.pages
    missing = sum(run.end - run.start for run in pages.runs if run.kind == "lazy")
    if len(pages.layers) == 1:
        missing += sum(run.end - run.start for run in pages.runs if run.kind == "parent")
    return Content("memory", "", lambda: blocks_of_pages(pages), describe, missing=missing)


class Holders:
    """Which processes have something open or mapped."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    @functools.cached_property
    def _found(self) -> dict[tuple[str, t.Any], list[dict[str, t.Any]]]:
        found: dict[tuple[str, t.Any], list[dict[str, t.Any]]] = {}
        for process in self._checkpoint.processes:
            for descriptor in process.descriptors:
                numbers = {**descriptor.details, "file_id": descriptor.file_id}
                for key in HOLDING_KEYS:
                    if numbers.get(key) is not None:
                        holder: dict[str, t.Any] = {"pid": process.pid, "fd": descriptor.number, "address": None}
                        found.setdefault((key, numbers[key]), []).append(holder)
            for area in process.areas:
                if area.in_shared_pages:
                    holder = {"pid": process.pid, "fd": None, "address": f"{area.start:#x}"}
                    found.setdefault(("shared_memory_id", area.object_id), []).append(holder)
        return found

    def of(self, payload: Payload) -> list[dict[str, t.Any]]:
        """(pid, fd, address) of each holder, by pid."""
        key = next((key for key in HOLDING_KEYS if key in payload.where), None)
        return self._found.get((key, payload.where[key]), []) if key else []


def _payload(payload: Payload, held_by: list[dict[str, t.Any]]) -> Content:
    def describe(offset: int) -> Where:
        return where(file=payload.name, offset=offset, held_by=held_by)

    return Content(payload.kind, payload.name, payload.chunks, describe, payload.size)


def _member(place: str, member: Member, name: str = "") -> Content:
    name = name or member.name
    return Content(place, name, of_member(member), lambda offset: where(file=name, offset=offset))


def files(archive: Archive) -> t.Iterator[Content]:
    """Written files (those that are compressed unpacked as well), their names, logs and documents."""
    for place, tree in nested(archive):
        root = (place if place.startswith("/") else f"{place}:/").rstrip("/")
        names = "".join(f"{root}/{member.name}\n" for member in tree.members)
        yield _text("file_names", f"names in {place}", names)
        for member in tree.members:
            if member.kind == "file" and member.size:
                yield _member("changed_file", member, f"{root}/{member.name}")
                yield from _unpacked(member, f"{root}/{member.name}", archive)
    for place, listed in (("log", LOGS), ("specification", DOCUMENTS)):
        for name in listed:
            found = archive.tree.file(name)
            if found is not None:
                yield _member(place, found)


def _text(place: str, name: str, text: str) -> Content:
    data = text.encode("utf-8", "surrogateescape")
    return Content(place, name, lambda: iter([(0, data)]), lambda offset: where(file=name, offset=offset))


def _unpacked(member: Member, name: str, archive: Archive) -> t.Iterator[Content]:
    """The inside of a compressed file; nothing where it is not compressed."""
    source, method = compression.opened(member.as_source())
    if method is None:
        return

    def blocks() -> Blocks:
        offset = 0
        try:
            for data in source.chunks(0, ENDLESS):
                yield offset, data
                offset += len(data)
            if source.broken is not None:
                raise source.broken
        except CheckpointError as error:
            archive.notes.add("file_damaged", f"A compressed file cannot be read to its end: {error}", name)
        finally:
            source.close()

    yield Content("changed_file", name, blocks, lambda offset: where(file=name, offset=offset, compression=method))


def _rest(checkpoint: Checkpoint) -> t.Iterator[Content]:
    """All other members: images as they lie in the archive, pages that no process and no shared memory leads to, and
    images that could not be understood to their end."""
    archive = checkpoint.archive
    reached: dict[str, list[tuple[int, int]]] = {}
    memories = [process.pages for process in checkpoint.processes]
    memories += [checkpoint.shared_memory.get(identifier) for identifier in checkpoint.shared_memory.ids()]
    for pages in memories:
        for member, offset, size in _reached(pages, 0, 1 << 64, 0):
            reached.setdefault(member.name, []).append((offset, offset + size))
    damaged = {note["where"] for note in archive.notes}
    for member in archive.members:
        if member.kind != "file" or not member.size:
            continue
        folder, _slash, base = member.name.rpartition("/")
        image = folder in ("", *IMAGE_FOLDERS) and base.endswith(".img")
        if image and base.startswith("pages-"):
            yield from _unreached(member, sorted(reached.get(member.name, [])))
        elif image and base.startswith(IN_PAYLOADS):
            if damaged & {member.name, base}:
                yield _member("image", member)
        elif member.name not in (*LOGS, *DOCUMENTS) and not _is_nested(member.name, damaged):
            yield _member("image" if image else "other_file", member)


def _is_nested(name: str, damaged: set[str]) -> bool:
    return (name in PLACES or (name.startswith(VOLUMES) and name.endswith(".tar"))) and name not in damaged


def _reached(pages: Pages, start: int, end: int, depth: int) -> t.Iterator[tuple[Member, int, int]]:
    """The parts of pages images that a memory consists of."""
    if depth >= len(pages.layers):
        return
    layer = pages.layers[depth]
    for run in layer.overlapping(start, end):
        low, high = max(start, run.start), min(end, run.end)
        if run.kind == "parent":
            yield from _reached(pages, low, high, depth + 1)
        elif run.kind == "present" and layer.pages is not None:
            if run.blocks is None:
                yield layer.pages, run.offset + low - run.start, high - low
            else:
                yield layer.pages, 0, layer.pages.size


def _unreached(member: Member, reached: list[tuple[int, int]]) -> t.Iterator[Content]:
    position = 0
    for low, high in [*reached, (member.available, member.available)]:
        if low > position:
            yield _part(member, position, low)
        position = max(position, high)


def _part(member: Member, start: int, end: int) -> Content:
    def blocks() -> Blocks:
        offset = start
        for data in member.chunks(start, end - start):
            yield offset, data
            offset += len(data)

    return Content("image", member.name, blocks, lambda offset: where(file=member.name, offset=offset))
