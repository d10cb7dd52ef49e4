# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a TOML file set by lines, so that everything else stays byte for byte.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import json
import typing as t

from .._node.toml import Document, Entry, Key, document, split_key
from .marks import appended, instead_of, marked

Tables = t.Mapping[str, t.Mapping[str, t.Any]]
"""Name of a table, as between the brackets -> key -> value."""


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
