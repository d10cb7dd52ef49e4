# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search over everything in a checkpoint.

Contents are read in pieces and looked at in windows that overlap by as much as the longest match, so that nothing is
missed between pieces and memory does not depend on how large a checkpoint is.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
import types
import typing as t

from .._common.errors import CheckpointError
from .._criu.checkpoint import Checkpoint
from .._criu.clean import clean
from .patterns import LOOKBACK, Match, Pattern, Window, hexadecimal, literal, regular_expression
from .patterns_sets import SETS, ready_set
from .search_contents import Content, contents

MAX_CONTEXT = 4096
MAX_LIMIT = 100_000

BUDGET_S = 5.0
"""Processor time that one regular expression may take over one window of 256 KiB; usual is a few milliseconds."""


@dataclasses.dataclass(frozen=True)
class Query:
    """What to look for, where, and how much to tell of it: ``limit`` hits of each pattern, each with ``context``
    bytes before and behind."""

    literals: t.Sequence[str] = ()
    hex: t.Sequence[str] = ()
    regexes: t.Sequence[str] = ()
    sets: t.Sequence[str] = ()
    pids: t.Sequence[int] = ()
    ignore_case: bool = False
    limit: int = 100
    context: int = 32

    def patterns(self) -> list[Pattern]:
        """Raises CheckpointError: literal_invalid, hex_invalid, regex_invalid, limit_invalid, context_invalid."""
        if not 0 <= self.limit <= MAX_LIMIT:
            raise CheckpointError("limit_invalid", f"The limit has to be between 0 and {MAX_LIMIT}")
        if not 0 <= self.context <= MAX_CONTEXT:
            raise CheckpointError("context_invalid", f"The context has to be between 0 and {MAX_CONTEXT} bytes")
        return [
            *(literal(text, self.ignore_case) for text in dict.fromkeys(self.literals)),
            *(hexadecimal(text) for text in dict.fromkeys(self.hex)),
            *(regular_expression(text, self.ignore_case) for text in dict.fromkeys(self.regexes)),
            *(pattern for group in SETS if group in self.sets for pattern in ready_set(group)),
        ]


class _OutOfBudget(Exception):
    pass


@contextlib.contextmanager
def _budget(seconds: float) -> t.Iterator[None]:
    """Raise _OutOfBudget within the block when it takes more processor time than that.

    Python's re looks for signals while it tries things, so that a handler which raises stops it. Signals reach the main
    thread alone; elsewhere, and where re does not look, the time is compared when it comes back.
    """
    began = time.thread_time()
    if threading.current_thread() is not threading.main_thread():
        yield
    else:

        def stop(_number: int, _frame: t.Optional[types.FrameType]) -> None:
            raise _OutOfBudget

        former = signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, former)
    if time.thread_time() - began > seconds:
        raise _OutOfBudget


class _Tally:
    """A pattern, what was found of it, and where each of its finders goes on in the bytes at hand."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.count = 0
        self.shown = 0
        self.complete = True
        self.resume = [0] * len(pattern.finders)

    def rewind(self) -> None:
        self.resume = [0] * len(self.resume)

    def search(self, window: Window, start: int, stop: int) -> list[Match]:
        """The matches that begin in [start, stop) of the window, by place."""
        found: list[Match] = []
        with _budget(BUDGET_S) if self.pattern.slow else contextlib.nullcontext():
            for index, finder in enumerate(self.pattern.finders):
                first = max(start, self.resume[index] - window.base)
                for match in finder.find(window, first, stop):
                    if match.start + window.base >= self.resume[index]:
                        found.append(match)
                        self.resume[index] = match.end + window.base
        return sorted(found)

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "pattern": self.pattern.name,
            "kind": self.pattern.kind,
            "set": self.pattern.group,
            "hits": self.count,
            "shown": self.shown,
            "complete": self.complete,
        }


class Search:
    """One search over one checkpoint. Raises the CheckpointErrors of Query.patterns()."""

    def __init__(self, checkpoint: Checkpoint, query: Query) -> None:
        self.checkpoint = checkpoint
        self.query = query
        self.tallies = [_Tally(pattern) for pattern in query.patterns()]
        finders = [finder for tally in self.tallies for finder in tally.pattern.finders]
        # Behind its first byte a match needs its own length, and its context.
        self._ahead = max((finder.reach for finder in finders), default=0) + query.context + 1
        self._behind = max(LOOKBACK, query.context)
        self.hits: list[dict[str, t.Any]] = []
        self.places: dict[str, dict[str, int]] = {}
        self.missing = 0

    def run(self) -> None:
        """Search everything, or nothing at all where nothing is asked for. Raises CheckpointError process_missing."""
        for content in contents(self.checkpoint, self.query.pids) if self.tallies else ():
            self._content(content)

    def _content(self, content: Content) -> None:
        size = 0
        tail, base, position = b"", 0, 0
        for tally in self.tallies:
            tally.rewind()
        for offset, piece in content.blocks():
            if offset != base + len(tail):
                self._window(content, Window(tail, base), position, base + len(tail))
                tail, base, position = b"", offset, offset
            start = base
            if isinstance(piece, bytes) and len(piece) > 4 * (self._behind + self._ahead):
                # Joining large pieces takes longer than searching them: only the seam is joined.
                seam = tail + piece[: self._behind + self._ahead]
                self._window(content, Window(seam, base), position, offset + self._behind)
                position = max(position, offset + self._behind)
                data, start = piece, offset
            else:
                data = tail + piece
            stop = start + len(data) - self._ahead
            if stop > position:
                self._window(content, Window(data, start), position, stop)
                position = stop
            keep = max(0, position - start - self._behind)
            tail, base = data[keep:], start + keep
            size += len(piece)
        self._window(content, Window(tail, base), position, base + len(tail))
        counted = self.places.setdefault(content.place, {"count": 0, "bytes": 0})
        counted["count"] += 1
        counted["bytes"] += size
        self.missing += content.missing

    def _window(self, content: Content, window: Window, position: int, stop: int) -> None:
        """Search what begins from ``position`` to ``stop``, both addresses."""
        if stop <= position:
            return
        for tally in self.tallies:
            if not tally.complete:
                continue
            try:
                found = tally.search(window, position - window.base, stop - window.base)
            except _OutOfBudget:
                tally.complete = False
                self.checkpoint.notes.add(
                    "regex_too_slow",
                    f"A regular expression took more than {BUDGET_S:g} s for {len(window.data) >> 10} KiB and was "
                    "given up, so that what it found is not complete",
                    tally.pattern.name,
                )
                continue
            tally.count += len(found)
            for match in found[: self.query.limit - tally.shown]:
                self.hits.append(self._hit(content, window, tally.pattern, match))
                tally.shown += 1

    def _hit(self, content: Content, window: Window, pattern: Pattern, match: Match) -> dict[str, t.Any]:
        low, high = max(0, match.start - self.query.context), match.end + self.query.context
        if match.encoding.startswith("utf-16"):
            # Whole characters, counted from the match.
            low += (match.start - low) % 2
        around = window.data[low:high]
        return {
            "pattern": pattern.name,
            "kind": pattern.kind,
            "set": pattern.group,
            "encoding": match.encoding,
            "place": content.place,
            **content.where(window.base + match.start),
            "size": match.end - match.start,
            "match": _decoded(window.data[match.start : match.end], match.encoding),
            "context": {"before": match.start - low, "hex": around.hex(), "text": _shown(around, match.encoding)},
        }

    def result(self) -> dict[str, t.Any]:
        """What a module returns, JSON-clean."""
        escaped: list[str] = []
        result: dict[str, t.Any] = clean(
            {
                "identity": self.checkpoint.identity.as_dict(),
                "hits": sorted(self.hits, key=_order),
                "patterns": [tally.as_dict() for tally in self.tallies],
                "searched": {
                    "bytes": sum(place["bytes"] for place in self.places.values()),
                    "missing": self.missing,
                    "places": {name: self.places[name] for name in sorted(self.places)},
                },
                "notes": self.checkpoint.warnings,
            },
            "",
            escaped,
        )
        return {**result, "escaped": escaped}


def _order(hit: dict[str, t.Any]) -> tuple[t.Any, ...]:
    """Memory first, by process and address; everything else by its place and name. Patterns keep their order."""
    if hit["address"] is not None:
        return (0, hit["pid"], int(hit["address"], 16), "", 0)
    return (1, 0, 0, hit["place"], hit["file"], hit["offset"])


def _decoded(data: bytes, encoding: str) -> str:
    """The text of a match; bytes that are none become surrogates, which clean() escapes."""
    if encoding.startswith("utf-16"):
        return data.decode(encoding, "replace")
    return data.decode("utf-8", "surrogateescape")


def _shown(data: bytes, encoding: str) -> str:
    """For the eye: a dot for everything that cannot be shown."""
    text = data.decode("utf-8" if encoding == "bytes" else encoding, "replace")
    return "".join(letter if letter.isprintable() and letter != "\ufffd" else "." for letter in text)


def search(checkpoint: Checkpoint, query: Query) -> dict[str, t.Any]:
    """Search a checkpoint. Raises CheckpointError: process_missing, and those of Query.patterns()."""
    found = Search(checkpoint, query)
    found.run()
    return found.result()
