# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs together in two checkpoints of the same workload.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import typing as t

from .._criu.checkpoint import Checkpoint
from .._criu.process import Process

T = t.TypeVar("T")
Key = t.Callable[[T], t.Optional[t.Hashable]]

DELETED = " (deleted)"

_NUMBERED = re.compile(r"\[\d+\]")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def pair(
    before: t.Iterable[T], after: t.Iterable[T], keys: t.Sequence[Key[T]]
) -> tuple[list[tuple[T, T]], list[T], list[T]]:
    """Pairs of items with the same key, what is in ``before`` alone, and what is in ``after`` alone.

    The first key decides first; what it left over is matched by the next. Of several with the same key the first
    belong together, then the second. An item whose key is None is left over.
    """
    pairs: list[tuple[T, T]] = []
    left, right = list(before), list(after)
    for key in keys:
        waiting: dict[t.Hashable, list[int]] = {}
        for index, item in enumerate(right):
            waiting.setdefault(key(item), []).append(index)
        taken: set[int] = set()
        rest: list[T] = []
        for queue in waiting.values():
            queue.reverse()
        for item in left:
            found = key(item)
            if found is not None and waiting.get(found):
                index = waiting[found].pop()
                taken.add(index)
                pairs.append((item, right[index]))
            else:
                rest.append(item)
        left, right = rest, [item for index, item in enumerate(right) if index not in taken]
    return pairs, left, right


def steady(text: str) -> str:
    """A name without what is different in every container: numbers of pipes and sockets, IDs of containers and pods."""
    return _IDENTIFIER.sub("<id>", _NUMBERED.sub("[]", text))


def _program(process: Process) -> t.Optional[str]:
    found = process.executable if process.alive else None
    return found[: -len(DELETED)] if found is not None and found.endswith(DELETED) else found


def _arguments(process: Process) -> tuple[str, ...]:
    return tuple((process.arguments if process.alive else None) or ())


def _full(process: Process) -> t.Hashable:
    return (_program(process), _arguments(process), process.name)


def match(before: Checkpoint, after: Checkpoint) -> tuple[list[tuple[Process, Process]], list[Process], list[Process]]:
    """Processes that are the same, those that are gone, and those that are new, each by PID.

    Matched from the root of the tree down, among the children of parents that match: by program, command line and
    name, then by less of these. What is left over may have moved in the tree. Within one container processes that are
    the same have the same PID, whatever they run.
    """
    keys: list[Key[Process]] = [
        _full,
        lambda process: (_program(process), _arguments(process)),
        lambda process: (_program(process), process.name),
        lambda process: (_program(process),) if process.alive else None,
        lambda process: (_arguments(process), process.name) if process.alive else None,
    ]
    anywhere: list[Key[Process]] = [_full]
    if before.identity.container_id is not None and before.identity.container_id == after.identity.container_id:
        keys = anywhere = [_pid]
    pairs: list[tuple[Process, Process]] = []
    gone: list[Process] = []
    new: list[Process] = []
    # The first process of a container is the first process of the other, whatever it runs.
    pending: list[tuple[list[Process], list[Process], list[Key[Process]]]] = [
        (before.roots, after.roots, [*keys, _pid])
    ]
    while pending:
        left, right, chosen = pending.pop()
        found, left_over, right_over = pair(left, right, chosen)
        pairs += found
        pending += [(one.children, other.children, keys) for one, other in found]
        gone += [process for top in left_over for process in _all(top)]
        new += [process for top in right_over for process in _all(top)]
    moved, gone, new = pair(sorted(gone, key=_pid), sorted(new, key=_pid), anywhere)
    return sorted([*pairs, *moved], key=lambda both: both[1].pid), gone, new


def _pid(process: Process) -> int:
    return process.pid


def _all(top: Process) -> list[Process]:
    found, pending = [], [top]
    while pending:
        process = pending.pop()
        found.append(process)
        pending += process.children
    return found
