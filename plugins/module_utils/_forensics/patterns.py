# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked for: literal texts, bytes, regular expressions, each in the encodings that programs keep texts in.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from .._common.errors import CheckpointError

MAX_MATCH = 16 << 10
"""The longest match of a regular expression, in bytes; a longer one is cut here. A private RSA key of 8192 bits takes
6.4 KiB as PEM."""

STEP = 32 << 10
"""A regular expression is asked for matches in stretches of this length, so that one which takes quadratic time is
noticed after a second and not after hours: within a stretch Python's re cannot always be interrupted."""

MIN_WIDE = 4
"""A regular expression finds UTF-16 text of at least this many characters: every small number in memory looks like a
shorter one."""

LOOKBACK = 256
"""How many bytes before a position a pattern may look at."""


class Match(t.NamedTuple):
    """A place within a window. ``encoding``: "bytes" (hex), "utf-8", "utf-16le" or "utf-16be"."""

    start: int
    end: int
    encoding: str


class Window:
    """Contiguous bytes, with what several patterns want made of them. ``base`` is the address of the first byte."""

    def __init__(self, data: bytes, base: int) -> None:
        self.data = data
        self.base = base

    @functools.cached_property
    def folded(self) -> bytes:
        """ASCII letters in lower case."""
        return self.data.lower()

    @functools.cached_property
    def halves(self) -> tuple[bytes, bytes]:
        """Every other byte: ASCII text in UTF-16 is plain text in one of them, and zeros in the other."""
        return self.data[0::2], self.data[1::2]

    @functools.cached_property
    def sparse(self) -> bool:
        """Whether a good part of the bytes are zeros, by a sample."""
        sample = self.data[::61]
        return sample.count(0) * 16 > len(sample)

    def occurrences(self, needle: bytes, start: int, stop: int, fold: bool) -> t.Iterator[int]:
        """Where a needle begins in [start, stop), none over another.

        bytes.find() skips by what it sees, which is a byte at a time where it sees zeros and the needle has zeros;
        re then is five times as fast (seen with Python 3.11).
        """
        data = self.folded if fold else self.data
        end = min(len(data), stop + len(needle) - 1)
        if 0 in needle and self.sparse:
            for match in re.compile(re.escape(needle)).finditer(data, start, max(start, end)):
                yield match.start()
            return
        at = data.find(needle, start, end)
        while at >= 0:
            yield at
            at = data.find(needle, at + len(needle), end)


class Finder(t.Protocol):
    """Finds one form of one pattern. ``reach`` is how far a match can extend from its first byte."""

    @property
    def reach(self) -> int:
        """In bytes."""

    def find(self, window: Window, start: int, stop: int) -> t.Iterator[Match]:
        """The matches that begin in [start, stop), ascending, none over another. They may end behind ``stop``."""


@dataclasses.dataclass(frozen=True)
class Needle:
    """Exactly these bytes."""

    needle: bytes
    encoding: str
    fold: bool = False

    @property
    def reach(self) -> int:
        return len(self.needle)

    def find(self, window: Window, start: int, stop: int) -> t.Iterator[Match]:
        for at in window.occurrences(self.needle, start, stop, self.fold):
            yield Match(at, at + len(self.needle), self.encoding)


@dataclasses.dataclass(frozen=True)
class WideNeedle:
    """An ASCII text in UTF-16 of either byte order, in one pass: both have the same bytes but for the outermost zero,
    which stands behind (little endian) or before (big endian)."""

    core: bytes
    fold: bool = False

    @property
    def reach(self) -> int:
        return len(self.core) + 1

    def find(self, window: Window, start: int, stop: int) -> t.Iterator[Match]:
        data, size = window.data, len(self.core)
        for at in window.occurrences(self.core, start, stop, self.fold):
            before, after = data[at - 1 : at] == b"\0", data[at + size : at + size + 1] == b"\0"
            if after and not (before and (window.base + at) % 2):
                yield Match(at, at + size + 1, "utf-16le")
            elif before:
                yield Match(at - 1, at + size, "utf-16be")


Refine = t.Callable[[bytes, "re.Match[bytes]"], t.Optional[tuple[int, int]]]
"""Looks at a match and says from where to where it goes, or that it is none. It may look LOOKBACK bytes back."""


def as_it_is(_data: bytes, match: re.Match[bytes]) -> t.Optional[tuple[int, int]]:
    return match.span()


def always(_data: bytes) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Expression:
    """A regular expression over the bytes themselves. ``anchor`` is what every match begins with, which bytes.find()
    finds several times faster than re; ``possible`` says quickly whether bytes can hold a match at all."""

    regex: re.Pattern[bytes]
    refine: Refine = as_it_is
    encoding: str = "utf-8"
    reach: int = MAX_MATCH
    anchor: bytes = b""
    possible: t.Callable[[bytes], bool] = always

    def find(self, window: Window, start: int, stop: int) -> t.Iterator[Match]:
        data, position = window.data, start
        match = _next(self, data, position, stop) if self.possible(data) else None
        while match is not None:
            span = self.refine(data, match)
            position = match.start() + 1
            if span is not None and span[0] < span[1]:
                end = min(span[1], span[0] + MAX_MATCH)
                yield Match(span[0], end, self.encoding)
                position = max(position, end)
            match = _next(self, data, position, stop)


@dataclasses.dataclass(frozen=True)
class WideExpression:
    """A regular expression over what looks like ASCII text in UTF-16, at even and at odd addresses."""

    regex: re.Pattern[bytes]
    refine: Refine = as_it_is
    reach: int = 2 * MAX_MATCH
    anchor: bytes = b""
    possible: t.Callable[[bytes], bool] = always

    def find(self, window: Window, start: int, stop: int) -> t.Iterator[Match]:
        found: list[Match] = []
        for phase in (0, 1):
            half, other = window.halves[phase], window.halves[1 - phase]
            if not self.possible(half):
                continue
            # Where both are possible, characters begin at even addresses.
            shifts = (phase, phase - 1) if (window.base + phase) % 2 == 0 else (phase - 1, phase)
            begin, end = max(0, start - phase + 1) // 2, (stop - phase + 1) // 2
            found.extend(self._in_half(half, other, phase, shifts, begin, end))
        taken = start
        for match in sorted(found):
            if match.start >= taken:
                yield match
                taken = match.end

    def _in_half(
        self, half: bytes, other: bytes, phase: int, shifts: tuple[int, int], start: int, stop: int
    ) -> t.Iterator[Match]:
        """The zero of the character at i of a half is at i + phase of the other half in little endian, and one before
        that in big endian."""
        position = start
        while True:
            # Where the other half has no zero there is no UTF-16: most of memory is skipped here.
            zero = other.find(b"\0", max(0, position + phase - 1))
            position = max(position, zero - phase)
            match = _next(self, half, position, stop) if zero >= 0 else None
            if match is None:
                return
            position = match.start() + 1
            if b"\0" not in other[max(0, position + phase - 2) : position + phase]:
                continue
            span = self.refine(half, match)
            if span is None:
                continue
            low, high = span
            ends = [self._cut(half, low, high, _zeros(other, low + shift, high + shift) - shift) for shift in shifts]
            end = max(ends)
            if end - low >= MIN_WIDE and b"\0" not in half[low:end]:
                little = shifts[ends.index(end)] == phase
                first = 2 * low + phase - (0 if little else 1)
                yield Match(first, first + 2 * (end - low), "utf-16le" if little else "utf-16be")
                position = max(position, end)

    def _cut(self, half: bytes, low: int, high: int, end: int) -> int:
        """Where a match ends that begins at ``low`` and ends at ``high``, or has to end at ``end`` if that is less;
        ``low`` where it is none then."""
        if end >= high or end - low < MIN_WIDE:
            return min(high, end)
        begin = max(0, low - LOOKBACK)
        part = half[begin:end]
        match = _next(self, part, low - begin, len(part))
        span = self.refine(part, match) if match is not None else None
        return begin + span[1] if span is not None and begin + span[0] == low else low


def _zeros(data: bytes, start: int, end: int) -> int:
    """Where the zeros that begin at ``start`` end, ``end`` at most."""
    if start < 0:
        return start
    part = data[start:end]
    return start + len(part) - len(part.lstrip(b"\0"))


def _next(
    expression: t.Union[Expression, WideExpression], data: bytes, position: int, stop: int
) -> t.Optional[re.Match[bytes]]:
    """The first match that begins in [position, stop), cut to MAX_MATCH."""
    regex, anchor = expression.regex, expression.anchor
    if anchor:
        at = data.find(anchor, position, stop + len(anchor) - 1)
        while at >= 0:
            match = regex.match(data, at, at + MAX_MATCH)
            if match is not None:
                return match
            at = data.find(anchor, at + 1, stop + len(anchor) - 1)
        return None
    while position < stop:
        border = min(position + STEP, stop)
        match = regex.search(data, position, border + MAX_MATCH)
        if match is not None and match.start() < border:
            if match.end() - match.start() > MAX_MATCH:
                return regex.match(data, match.start(), match.start() + MAX_MATCH) or match
            return match
        position = border
    return None


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Something to look for. ``kind``: "literal", "hex", "regex" or "set"; ``name``: the text that was asked for, or
    the name of the pattern in the set ``group``. ``slow`` where it is not sure how long a search takes."""

    kind: str
    name: str
    finders: tuple[Finder, ...]
    group: t.Optional[str] = None
    slow: bool = False


def literal(text: str, ignore_case: bool) -> Pattern:
    """A text in UTF-8 and UTF-16. Of a single character UTF-16 is left out: it would be found everywhere."""
    if not text:
        raise _invalid("literal_invalid", "An empty text is everywhere", text)
    raw = text.encode("utf-8", "surrogateescape")
    finders: list[Finder] = []
    if text.isascii():
        raw = raw.lower() if ignore_case else raw
        finders.append(Needle(raw, "utf-8", ignore_case))
        if len(text) > 1:
            finders.append(WideNeedle(raw.decode("ascii").encode("utf-16-le")[:-1], ignore_case))
        return Pattern("literal", text, tuple(finders))
    for encoding in ("utf-8", "utf-16le", "utf-16be"):
        if encoding != "utf-8" and len(text) < 2:
            continue
        try:
            if ignore_case:
                finders.append(Expression(_any_case(text, encoding), encoding=encoding, reach=8 * len(text)))
            else:
                errors = "surrogateescape" if encoding == "utf-8" else "strict"
                finders.append(Needle(text.encode(encoding, errors), encoding))
        except UnicodeEncodeError:
            # Bytes that are no text have no UTF-16.
            continue
    return Pattern("literal", text, tuple(finders))


def _any_case(text: str, encoding: str) -> re.Pattern[bytes]:
    """Each character in all its cases: re knows those of ASCII alone when it looks at bytes."""
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    parts = []
    for letter in text:
        forms = sorted({form.encode(encoding, errors) for form in (letter, letter.lower(), letter.upper())})
        parts.append(b"(?:" + b"|".join(re.escape(form) for form in forms) + b")")
    return re.compile(b"".join(parts))


def hexadecimal(text: str) -> Pattern:
    """Bytes as hexadecimal digits; spaces and colons between them do not matter."""
    try:
        raw = bytes.fromhex(text.replace(":", " "))
    except ValueError as error:
        raise _invalid("hex_invalid", "This is not hexadecimal", text, str(error)) from error
    if not raw:
        raise _invalid("hex_invalid", "No bytes at all are everywhere", text)
    return Pattern("hex", text, (Needle(raw, "bytes"),))


def regular_expression(text: str, ignore_case: bool) -> Pattern:
    """A regular expression of Python's re, over bytes: \\xNN is a byte, a letter beyond ASCII is its UTF-8."""
    try:
        regex = re.compile(text.encode("utf-8", "surrogateescape"), re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise _invalid("regex_invalid", "This is not a regular expression", text, str(error)) from error
    if regex.fullmatch(b""):
        raise _invalid("regex_invalid", "This regular expression matches nothing at all, which is everywhere", text)
    return Pattern("regex", text, (Expression(regex), WideExpression(regex)), slow=True)


def _invalid(code: str, reason: str, text: str, message: str = "") -> CheckpointError:
    return CheckpointError(code, f"{reason}: {text!r}", message=message)
