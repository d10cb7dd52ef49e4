# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a YAML mapping changed by lines, so that everything else stays byte for byte.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 (which has no
reader of YAML). Whether a file is valid is for the program to say that reads it.
"""

from __future__ import annotations

import json
import re
import typing as t

from .._node.files import lines_of, yaml_scalars
from .marks import appended, instead_of, marked

Fields = t.Mapping[str, t.Any]
"""Name of a field -> a scalar, or a dictionary of scalars."""


def scalar(value: t.Any) -> str:
    """A scalar as YAML writes it. Raises ValueError for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is neither text nor a number nor true or false")
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", value) and yaml_scalars(f"x: {value}\n") == {"x": value}
    words = ("yes", "no", "on", "off", "y", "n", "true", "false", "null")
    return value if plain and value.lower() not in words and not _number(value) else json.dumps(value)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return bool(re.match(r"0[xob]", text))
    return True


def lines_for(fields: Fields, indent: str = "") -> list[str]:
    """The fields as lines without ends."""
    lines: list[str] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{name}:")
            lines += [f"{indent}  {key}: {scalar(item)}" for key, item in value.items()]
        else:
            lines.append(f"{indent}{name}: {scalar(value)}")
    return lines


def described(fields: Fields) -> str:
    """The fields for a person, on one line."""
    parts = []
    for name, value in fields.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        parts += [f"{name}{'.' * bool(key)}{key}: {scalar(item)}" for key, item in pairs]
    return ", ".join(parts)


def edited(text: str, fields: Fields) -> str:
    """A mapping with fields set in it. Raises ValueError where it is written in a form that lines cannot change."""
    if text.lstrip().startswith("{"):
        raise ValueError("it is written as JSON")
    lines = lines_of(text)
    if any(re.match(r"(---|\.\.\.)\s*$", line) for line in lines[1:]):
        raise ValueError("it holds more than one document")
    end = ""
    for name, value in fields.items():
        number = _find(lines, name, "")
        if number is None:
            end += "".join(map(marked, lines_for({name: value})))
        elif isinstance(value, dict):
            _edit_mapping(lines, number, name, value)
        else:
            if number + 1 < len(lines) and re.match(r"\s+\S|- ", lines[number + 1].split("#")[0]):
                raise ValueError(f"{name} goes over several lines")
            lines[number] = instead_of(lines[number], marked(f"{name}: {scalar(value)}"))
    return appended("".join(lines), end)


def _find(lines: t.Sequence[str], name: str, indent: str) -> t.Optional[int]:
    pattern = re.compile(rf"""{indent}["']?{re.escape(name)}["']?\s*:(\s|$)""")
    return next((number for number, line in enumerate(lines) if pattern.match(line)), None)


def _edit_mapping(lines: list[str], number: int, name: str, values: t.Mapping[str, t.Any]) -> None:
    rest = lines[number].partition(":")[2].partition(" #")[0].strip()
    if rest:
        now = (yaml_scalars(f"{name}: {rest}\n") or {}).get(name)
        if not isinstance(now, dict) or any(isinstance(item, (dict, list)) for item in now.values()):
            raise ValueError(f"{name} is not a mapping of plain values")
        pairs = ", ".join(f"{key}: {scalar(item)}" for key, item in {**now, **values}.items())
        lines[number] = instead_of(lines[number], marked(f"{name}: {{{pairs}}}"))
        return
    last = number + 1
    while last < len(lines) and (not lines[last].strip() or lines[last].startswith((" ", "\t", "#"))):
        last += 1
    children = [line for line in lines[number + 1 : last] if line.strip() and not line.strip().startswith("#")]
    indent = children[0][: len(children[0]) - len(children[0].lstrip())] if children else "  "
    new = ""
    for key, item in values.items():
        place = _find(lines[number + 1 : last], key, indent)
        line = marked(f"{indent}{key}: {scalar(item)}")
        if place is None:
            new += line
        else:
            lines[number + 1 + place] = instead_of(lines[number + 1 + place], line)
    if not lines[number].endswith("\n"):
        raise ValueError(f"{name} has no value")
    lines[number] += new
