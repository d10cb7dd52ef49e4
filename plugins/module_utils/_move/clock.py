# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the steps of a move take.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

Tell = t.Callable[[str], None]


class Clock:
    """How long each step took, and which is under way, for people."""

    def __init__(self, tell: Tell) -> None:
        self.seconds: dict[str, float] = {}
        self._tell = tell

    @contextlib.contextmanager
    def step(self, name: str, text: str) -> t.Iterator[None]:
        """Measure one."""
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 3)
        self._tell(f"{text}: {self.seconds[name]:.2f} s")
