# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error type of the collection.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t


class CheckpointError(Exception):
    """Something went wrong that a person has to read about.

    ``code`` is stable and documented, ``reason`` says in plain words what happened, ``hint`` what to do next and
    ``message`` is the original text of whatever refused (kubelet, runtime, CRIU, operating system), unchanged.
    """

    def __init__(self, code: str, reason: str, *, hint: str = "", message: str = "", **details: t.Any) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.hint = hint
        self.message = message
        self.details = details

    def __str__(self) -> str:
        """One sentence or three for a task's ``msg``."""
        parts = [self.reason.rstrip(".") + "."]
        if self.hint:
            parts.append(self.hint.rstrip(".") + ".")
        if self.message and self.message not in self.reason:
            parts.append(f"Original message: {self.message.strip()}")
        return " ".join(parts)

    def as_dict(self) -> dict[str, t.Any]:
        """The error as JSON-clean data, for results."""
        return {
            "code": self.code,
            "reason": self.reason,
            "hint": self.hint,
            "message": self.message,
            **self.details,
        }
