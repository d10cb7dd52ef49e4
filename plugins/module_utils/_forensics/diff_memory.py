# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two address spaces compared: areas, and the pages in them by their hashes.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import hashlib
import typing as t

from .._criu.memory import Area
from .._criu.process import Process
from .diff_matching import pair, steady

MAX_RANGES = 16
"""So many ranges of pages are listed for an area; the rest is counted."""

COUNTED = ("changed", "added", "gone")

Hashes = t.Iterator[tuple[int, bytes]]


def memory(before: Process, after: Process) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """The differences of the areas, and those of the pages."""
    pairs, gone, new = pair(
        before.memory.areas,
        after.memory.areas,
        [
            lambda area: (area.start, area.end, area.permissions, area.kind, steady(area.name)),
            lambda area: (area.start, area.kind, steady(area.name)),
            lambda area: (area.kind, steady(area.name), area.permissions, area.offset, area.size),
            lambda area: (area.kind, steady(area.name), area.permissions, area.offset),
        ],
    )
    pairs.sort(key=lambda both: both[1].start)
    areas = {
        "added": [area.as_dict() for area in new],
        "removed": [area.as_dict() for area in gone],
        "changed": [found for found in (_area(one, other) for one, other in pairs) if found["changes"]],
        "moved": sum(1 for one, other in pairs if one.start != other.start),
    }
    total = dict.fromkeys((*COUNTED, "same"), 0)
    listed: list[dict[str, t.Any]] = []
    for one, other in [*pairs, *((area, None) for area in gone), *((None, area) for area in new)]:
        found = _pages(before, after, one, other)
        for what in total:
            total[what] += found[what]
        if any(found[what] for what in COUNTED):
            listed.append(found)
    size = max(before.memory.page_size, after.memory.page_size)
    return areas, {"page_size": size, **total, "areas": sorted(listed, key=lambda found: int(found["start"], 16))}


def _area(one: Area, other: Area) -> dict[str, t.Any]:
    """What is different about an area, but for where it lies, which is another place after each start."""
    left, right = one.as_dict(), other.as_dict()
    names = ("size", "permissions", "flags", "advice")
    changes = [
        {"name": name, "before": left[name], "after": right[name]} for name in names if left[name] != right[name]
    ]
    return {"before": left, "after": right, "changes": changes}


def hashes(process: Process, area: t.Optional[Area], size: int) -> Hashes:
    """(page within the area, hash) of each page that was dumped, ascending."""
    for piece in process.memory.dumped(area) if area is not None else ():
        if piece.data is None or area is None:
            continue
        view = memoryview(piece.data)
        for offset in range(0, piece.size - size + 1, size):
            digest = hashlib.blake2b(view[offset : offset + size], digest_size=8).digest()
            yield (piece.address + offset - area.start) // size, digest


def _merged(before: Hashes, after: Hashes) -> t.Iterator[tuple[int, str]]:
    """(page, what happened to it)."""
    one, other = next(before, None), next(after, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            yield one[0] if one is not None else 0, "gone"
            one = next(before, None)
        elif one is None or other[0] < one[0]:
            yield other[0], "added"
            other = next(after, None)
        else:
            yield one[0], "same" if one[1] == other[1] else "changed"
            one, other = next(before, None), next(after, None)


def _pages(before: Process, after: Process, one: t.Optional[Area], other: t.Optional[Area]) -> dict[str, t.Any]:
    size = max(before.memory.page_size, after.memory.page_size)
    shown = other if other is not None else one
    if shown is None:
        raise AssertionError("shown is not set")
    counts = dict.fromkeys((*COUNTED, "same"), 0)
    ranges: list[dict[str, t.Any]] = []
    more = 0
    last: tuple[int, str] = (-2, "")
    for page, what in _merged(hashes(before, one, size), hashes(after, other, size)):
        counts[what] += 1
        if what != "same" and last != (page - 1, what):
            if len(ranges) < MAX_RANGES:
                ranges.append({"what": what, "address": f"{shown.start + page * size:#x}", "pages": 0})
            else:
                more += 1
        if what != "same" and not more:
            ranges[-1]["pages"] += 1
        last = (page, what)
    described = {name: shown.as_dict()[name] for name in ("start", "end", "permissions", "kind", "name")}
    return {**described, **counts, "ranges": ranges, "more_ranges": more}
