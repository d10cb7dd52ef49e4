# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of TOML as configuration files of CRI-O and containerd need: which key has which value on which line.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 (its library
has no reader of TOML). Whether a file is valid is for the runtime to say, not for this.
"""

from __future__ import annotations

import json
import re
import typing as t

from .marks import appended, instead_of, lines_of, marked

Key = tuple[str, ...]
Tables = t.Mapping[str, t.Mapping[str, t.Any]]
"""Name of a table, as between the brackets -> key -> value."""

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
        return _unescape(double)
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


def literal(value: t.Any) -> str:
    """A value as TOML writes it. Raises ValueError for what it has no plain form for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(literal(item) for item in value)}]"
    raise ValueError(f"{value!r} has no place in a configuration file")


def assignments(tables: Tables) -> list[str]:
    """``[table] key = value`` for each, to tell a person."""
    return [f"[{table}] {key} = {literal(value)}" for table, keys in tables.items() for key, value in keys.items()]


def drop_in(tables: Tables, version: t.Optional[int] = None) -> str:
    """A file that holds nothing else; ``version`` is that of containerd's configuration."""
    text = "" if version is None else marked(f"version = {version}")
    for table, keys in tables.items():
        text += marked(f"[{table}]")
        text += "".join(marked(f"{key} = {literal(value)}") for key, value in keys.items())
    return text


def edited(text: str, tables: Tables) -> str:
    """A file of somebody else with keys set in it: in the place of a line, below a table's header, or at the end.

    Raises ValueError where a key stands in a form that cannot be edited by lines.
    """
    found = document(text)
    lines = list(found.lines)
    end = ""
    for table, keys in tables.items():
        name = split_key(table)
        new = ""
        for key, value in keys.items():
            line = f"{key} = {literal(value)}"
            entry = found.find((*name, *split_key(key)))
            if entry is None:
                new += marked(f"{_margin(found, name)}{line}")
                continue
            if entry.end != entry.start + 1:
                raise ValueError(f"{key} in [{table}] goes over several lines")
            original = found.lines[entry.start]
            margin = original[: len(original) - len(original.lstrip())]
            lines[entry.start] = instead_of(original, marked(f"{margin}{line}"))
        header = found.tables.get(name)
        if not new:
            continue
        if header is not None and header + 1 < len(lines):
            lines[header] += new
        elif header is not None:
            end = new + end
        elif any(_reaches_into(entry, name) for entry in found.entries):
            raise ValueError(f"[{table}] is not written as a table of its own")
        else:
            end += marked(f"[{table}]") + new
    return appended("".join(lines), end)


def _reaches_into(entry: Entry, table: Key) -> bool:
    """Whether an assignment outside of a table makes that table: by a key with dots, or as a table in braces."""
    return len(entry.table) < len(table) and entry.key[: len(table)] == table[: len(entry.key)]


def _margin(found: Document, table: Key) -> str:
    """Indentation of a table's keys."""
    for entry in found.entries:
        if entry.key[:-1] == table:
            line = found.lines[entry.start]
            return line[: len(line) - len(line.lstrip())]
    return ""
