# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of ours in configuration files of others: marked, so that they can be told from the rest and taken back.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.

A line of ours ends with the mark, or, where a format has no comments at the end of a line, stands below a line that is
only the mark. A line that ours stands for is kept in a comment above it.
"""

from __future__ import annotations

import typing as t

from .._node.files import lines_of

MARK = "# checkpoint_restore.kubernetes"
INSTEAD = f"{MARK} instead of: "
JOINED = f"{MARK}, the line above had no end"


def marked(line: str) -> str:
    """A line of ours, for formats with comments at the end of a line."""
    return f"{line}  {MARK}\n"


def below_mark(line: str) -> str:
    """A line of ours, for formats without."""
    return f"{MARK}\n{line}\n"


def instead_of(original: str, line: str) -> str:
    """A line of ours, with its newline, in the place of another, which comes back with ``without_marked``."""
    kept = f"{INSTEAD}{original}" if original.endswith("\n") else f"{INSTEAD}{original}\n"
    return kept + line + ("" if original.endswith("\n") else f"{JOINED}\n")


def appended(text: str, lines: str) -> str:
    """``lines`` at the end of a text, also if its last line has no end."""
    if not lines:
        return text
    if text and not text.endswith("\n"):
        return f"{text}\n{JOINED}\n{lines}"
    return text + lines


class _Line(t.NamedTuple):
    text: str
    ours: bool  # a table or a parent that stays while it has children of others


def without_marked(text: str) -> str:
    """The text as it was before any line of ours.

    Lines that somebody added since stay, and so do those of ours that they need: their table, or the head of the file.
    """
    kept: list[_Line] = []
    lines = iter(lines_of(text))
    for line in lines:
        stripped = line.strip()
        if stripped == JOINED:
            if kept:
                kept[-1] = kept[-1]._replace(text=kept[-1].text[:-1])
        elif stripped.startswith(INSTEAD):
            kept.append(_Line(line.partition(INSTEAD)[2], ours=False))
            next(lines, "")
        elif stripped == MARK:
            next(lines, "")
        elif stripped.endswith(f"  {MARK}"):
            bare = line.rstrip()[: -len(MARK)].rstrip()
            if _is_structure(bare):
                kept.append(_Line(f"{bare}\n", ours=True))
        else:
            kept.append(_Line(line, ours=False))
    return "".join(line.text for number, line in enumerate(kept) if not line.ours or _is_needed(kept, number))


HEADS = ("apiVersion:", "kind:", "version =")


def _is_structure(line: str) -> bool:
    return line.lstrip().startswith("[") or line.endswith(":") or line.startswith(HEADS)


def _is_needed(lines: t.Sequence[_Line], number: int) -> bool:
    text = lines[number].text
    if text.startswith(HEADS):
        return any(_says_something(line) for line in lines)
    for line in lines[number + 1 :]:
        if text.lstrip().startswith("["):
            if line.text.lstrip().startswith("["):
                return False
        elif line.text.strip() and _indent(line.text) <= _indent(text):
            return False
        if _says_something(line):
            return True
    return False


def _says_something(line: _Line) -> bool:
    stripped = line.text.strip()
    return bool(stripped) and not line.ours and not stripped.startswith("#")


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())
