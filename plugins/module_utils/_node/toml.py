# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of TOML as CRI-O and containerd need: which key has which value on which line.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 (its library
has no reader of TOML). Whether a file is valid is for the runtime to say, not for this.
"""

from __future__ import annotations

import json
import re
import typing as t

from .files import lines_of

Key = tuple[str, ...]

UNKNOWN = object()
"""A value that is none of those which are understood."""

_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")


class Entry(t.NamedTuple):
    """One assignment. ``key`` has the table's name in front; ``start`` and ``end`` are numbers of lines."""

    table: Key
    key: Key
    value: t.Any
    start: int
    end: int


class Document(t.NamedTuple):
    """What is in a file. ``tables`` -> number of the header's line."""

    lines: list[str]
    tables: dict[Key, int]
    entries: list[Entry]

    def find(self, key: Key) -> t.Optional[Entry]:
        """The last assignment of a key."""
        return next((entry for entry in reversed(self.entries) if entry.key == key), None)


def split_key(text: str) -> Key:
    """The parts of a dotted key or a table's name. Raises ValueError."""
    parts: list[str] = []
    position = 0
    while True:
        found = _PART.match(text, position)
        if found is None:
            raise ValueError(f"{text!r} is not a key")
        double, single, bare = found.groups()
        parts.append(_unescape(double) if double is not None else single if single is not None else bare)
        position = found.end()
        if position == len(text):
            return tuple(parts)
        if text[position] != ".":
            raise ValueError(f"{text!r} is not a key")
        position += 1


def _unescape(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def document(text: str) -> Document:
    """Reads a file. What it cannot make out it leaves out."""
    lines = lines_of(text)
    tables: dict[Key, int] = {}
    entries: list[Entry] = []
    table: Key = ()
    number = 0
    while number < len(lines):
        stripped = lines[number].strip()
        start, number = number, number + 1
        if not stripped or stripped.startswith("#"):
            continue
        header = re.match(r"\[\[?(.+?)\]\]?\s*(?:#.*)?$", stripped)
        if stripped.startswith("[") and header:
            try:
                table = split_key(header[1])
            except ValueError:
                table = (header[1],)
            tables[table] = start
            continue
        left, equals, right = _split_assignment(stripped)
        if not equals:
            continue
        value, number = _value(right, lines, number)
        try:
            entries.append(Entry(table, table + split_key(left), value, start, number))
        except ValueError:
            continue
    return Document(lines, tables, entries)


def _split_assignment(line: str) -> tuple[str, str, str]:
    found = re.match(r"""((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^"'=#])+)=(.*)$""", line)
    return (found[1].strip(), "=", found[2].strip()) if found else (line, "", "")


def _value(text: str, lines: t.Sequence[str], number: int) -> tuple[t.Any, int]:
    """A value, and the number of the line after it."""
    for quotes in ('"""', "'''"):
        if text.startswith(quotes):
            rest = text[3:]
            while quotes not in rest and number < len(lines):
                rest, number = lines[number], number + 1
            return UNKNOWN, number
    if text.startswith(("[", "{")):
        while not _closed(text) and number < len(lines):
            text, number = f"{text}\n{lines[number]}", number + 1
        return _strings(text) if text.startswith("[") else UNKNOWN, number
    return _scalar(text), number


def _scalar(text: str) -> t.Any:
    found = re.match(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s#]+))\s*(?:#.*)?$""", text)
    if found is None:
        return UNKNOWN
    double, single, bare = found.groups()
    if double is not None:
        try:
            return _unescape(double)
        except ValueError:
            return UNKNOWN
    if single is not None:
        return single
    if bare in ("true", "false"):
        return bare == "true"
    return int(bare) if re.fullmatch(r"[+-]?\d+", bare) else UNKNOWN


def _bare(text: str) -> str:
    """Without comments and the contents of strings."""
    return re.sub(r"""("(?:[^"\\]|\\.)*"|'[^']*')|#[^\n]*""", lambda found: '""' if found[1] else "", text)


def _closed(text: str) -> bool:
    bare = _bare(text)
    return bare.count("[") <= bare.count("]") and bare.count("{") <= bare.count("}")


def _strings(text: str) -> t.Any:
    """An array of strings; UNKNOWN if there is anything else in it."""
    strings = r"""("(?:[^"\\]|\\.)*"|'[^']*')|#[^\n]*"""
    if re.sub(strings, "", text).strip("[], \t\r\n"):
        return UNKNOWN
    return [_scalar(found[1]) for found in re.finditer(strings, text) if found[1]]


def tables(text: str) -> dict[Key, dict[str, t.Any]]:
    """Table -> key -> value. A value that is not understood is None; keys with dots are left out."""
    found = document(text)
    result: dict[Key, dict[str, t.Any]] = {table: {} for table in found.tables}
    for entry in found.entries:
        if len(entry.key) == len(entry.table) + 1:
            value = None if entry.value is UNKNOWN else entry.value
            result.setdefault(entry.table, {})[entry.key[-1]] = value
    return result
