# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was odd in an archive, kept beside the result instead of stopping it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

MAX_NOTES = 200
"""More notes than this about one archive help nobody; the rest is counted."""


class Notes:
    """A bounded list of warnings, each ``{"code", "text", "where"}``.

    ``where`` is the member's or image's name, or empty for the archive as a whole. A note that was made
    already is not made again.
    """

    def __init__(self) -> None:
        self._notes: list[dict[str, str]] = []
        self._seen: set[tuple[str, str, str]] = set()
        self.dropped = 0

    def add(self, code: str, text: str, where: str = "") -> None:
        key = (code, text, where)
        if key in self._seen:
            return
        if len(self._notes) >= MAX_NOTES:
            self.dropped += 1
            return
        self._seen.add(key)
        self._notes.append({"code": code, "text": text, "where": where})

    def __len__(self) -> int:
        return len(self._notes)

    def __iter__(self) -> t.Iterator[dict[str, str]]:
        return iter(self.as_list())

    def as_list(self) -> list[dict[str, str]]:
        """All notes in the order they were made, with one more where some were dropped."""
        notes = list(self._notes)
        if self.dropped:
            notes.append({"code": "more_notes", "text": f"{self.dropped} more notes are not shown.", "where": ""})
        return notes

    def codes(self) -> set[str]:
        return {note["code"] for note in self._notes}
