# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a checkpoint as a file: a range of memory, an area of it, or a file that was dumped.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from .._archive.archive import Archive, open_archive
from .._common.errors import CheckpointError
from .._common.files import written
from .._criu.checkpoint import Checkpoint
from .._criu.memory import Area
from .._criu.process import Process
from .._transfer.files import blaming, move_to_free_name
from .search import Query, search
from .search_contents import Blocks, contents

MAX_EXPORT = 256 << 30
"""Areas that nobody ever wrote to can be terabytes of nothing; larger parts are refused."""

ZEROS = bytes(1 << 20)


@dataclasses.dataclass(frozen=True)
class Part:
    """What is exported: ``size`` bytes, of which ``blocks()`` gives those that are in the archive, by their offset
    in the part, and ``gaps()`` what is missing and not zero for certain. ``described`` says what it is."""

    size: int
    blocks: t.Callable[[], Blocks]
    gaps: t.Callable[[], list[dict[str, t.Any]]]
    described: dict[str, t.Any]


def search_and_export(
    path: str,
    query: Query,
    wanted: t.Optional[t.Mapping[str, t.Any]],
    *,
    check: bool,
    opened: t.Callable[[str], Archive] = open_archive,
) -> dict[str, t.Any]:
    """What search() gives, and ``exported`` where a part is wanted, as write() gives it or, with ``check``, planned().

    ``wanted`` as for part(), with ``dest``. What is wrong with it is said before the search. Raises CheckpointError as
    search(), part() and write() do.
    """
    with opened(path) as archive:
        checkpoint = Checkpoint(archive)
        if wanted is None:
            return search(checkpoint, query)
        found = part(checkpoint, wanted)
        check_free(wanted["dest"])
        result = search(checkpoint, query)
        return {**result, "exported": planned(found, wanted["dest"]) if check else write(found, wanted["dest"])}


def part(checkpoint: Checkpoint, wanted: t.Mapping[str, t.Any]) -> Part:
    """The part that is meant by ``pid`` with ``start`` and ``size``, by ``pid`` with ``area``, or by ``file`` (and
    ``place`` where a name alone is not enough).

    Raises CheckpointError: export_invalid, process_missing, area_missing, file_missing, file_ambiguous,
    range_too_large.
    """
    if wanted.get("file") is not None:
        return _file(checkpoint, wanted["file"], wanted.get("place"))
    process = checkpoint.by_pid.get(wanted.get("pid") or 0)
    if process is None:
        raise CheckpointError(
            "process_missing", f"The checkpoint has no process {wanted.get('pid')}", pids=sorted(checkpoint.by_pid)
        )
    if wanted.get("area") is not None:
        area = _area(process, wanted["area"])
        return _memory(process, area.start, area.size, area)
    start, size = address(wanted.get("start") or ""), wanted.get("size") or 0
    if size <= 0:
        raise CheckpointError("export_invalid", "The size of a range has to be at least one byte")
    return _memory(process, start, size, None)


def address(text: str) -> int:
    """A number as Python and /proc/PID/maps write it: 0x7ffd1000, or decimal. Raises CheckpointError export_invalid."""
    try:
        value = int(text, 0)
    except ValueError as error:
        raise CheckpointError("export_invalid", f"This is not an address: {text!r}", message=str(error)) from error
    if not 0 <= value < 1 << 64:
        raise CheckpointError("export_invalid", f"There is no such address: {text}")
    return value


def _area(process: Process, wanted: str) -> Area:
    """By an address within it, or by its name if that is the name of one only."""
    if wanted[:1].isdigit():
        found = process.memory.find(address(wanted))
        named = [found] if found is not None else []
    else:
        named = [area for area in process.areas if area.name == wanted]
    if len(named) != 1:
        raise CheckpointError(
            "area_missing",
            f"Process {process.pid} has {len(named) or 'no'} areas {wanted}",
            hint="Name an area by an address within it",
            areas=[f"{area.start:#x}" for area in named],
        )
    return named[0]


def _memory(process: Process, start: int, size: int, area: t.Optional[Area]) -> Part:
    size = min(size, (1 << 64) - start)
    if size > MAX_EXPORT:
        raise CheckpointError(
            "range_too_large",
            f"The part has {size} bytes, most of which were certainly never written",
            hint=f"Export at most {MAX_EXPORT} bytes at once",
        )

    def blocks() -> Blocks:
        for piece in process.memory.pieces(start, start + size):
            if piece.data is not None:
                yield piece.address - start, piece.data

    def gaps() -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = []
        for piece in process.memory.pieces(start, start + size):
            if piece.data is not None or piece.why == "zero":
                continue
            offset = piece.address - start
            if found and found[-1]["why"] == piece.why and found[-1]["offset"] + found[-1]["size"] == offset:
                found[-1]["size"] += piece.size
            else:
                found.append({"offset": offset, "size": piece.size, "why": piece.why})
        return found

    described = {
        "pid": process.pid,
        "start": f"{start:#x}",
        "area": area.as_dict() if area is not None else None,
        "place": "memory",
        "file": None,
    }
    return Part(size, blocks, gaps, described)


def _file(checkpoint: Checkpoint, name: str, place: t.Optional[str]) -> Part:
    found = [
        content
        for content in contents(checkpoint)
        if content.name == name and place in (None, content.place) and content.where(0)["compression"] is None
    ]
    places = sorted({content.place for content in found})
    if not found:
        raise CheckpointError(
            "file_missing", f"The checkpoint holds nothing named {name}", hint="Take the name from a hit of a search"
        )
    if len(places) > 1:
        raise CheckpointError(
            "file_ambiguous", f"{name} is the name of more than one thing", hint="Say which place", places=places
        )

    def blocks() -> Blocks:
        # The packets in one queue have one name and follow one another.
        start = end = 0
        for content in found:
            for offset, data in content.blocks():
                yield start + offset, data
                end = start + offset + len(data)
            start = max(end, start + (content.size or 0))

    size = sum(content.size or 0 for content in found)
    for offset, data in blocks():
        size = max(size, offset + len(data))
    described = {"pid": None, "start": None, "area": None, "place": places[0], "file": name}
    return Part(size, blocks, list, described)


def check_free(path: str) -> None:
    """Raise CheckpointError destination_exists where there is something already."""
    if os.path.lexists(path):
        raise CheckpointError(
            "destination_exists",
            f"{path} exists, and nothing is ever overwritten",
            hint="Choose another name, or move away what is there",
            path=path,
        )


def planned(found: Part, path: str) -> dict[str, t.Any]:
    """What write() would give, but for the digest."""
    return {"path": path, "size": found.size, "sha256": None, "gaps": found.gaps(), **found.described}


def write(found: Part, path: str) -> dict[str, t.Any]:
    """Write a part to a new file, mode 0600, which appears when it is whole. What is not in the archive is zero.

    Gives path, size, sha256, and ``gaps``. Raises CheckpointError: destination_exists, destination_full,
    destination_unsafe, destination_refused.
    """
    check_free(path)
    digest = hashlib.sha256()
    position = 0
    with blaming(path), written(path, move=move_to_free_name) as file:
        for offset, data in found.blocks():
            _hash_zeros(digest, offset - position)
            file.seek(offset)
            file.write(data)
            digest.update(data)
            position = offset + len(data)
        _hash_zeros(digest, found.size - position)
        file.truncate(found.size)
    return {**planned(found, path), "sha256": digest.hexdigest()}


def _hash_zeros(digest: t.Any, size: int) -> None:
    while size > 0:
        digest.update(ZEROS[: min(size, len(ZEROS))])
        size -= len(ZEROS)
