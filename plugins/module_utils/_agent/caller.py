# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the line between two agents that sends: it calls, and the other waits for it.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._transfer.channel import Identity, Line
from .._transfer.door import connect

PROGRESS_SECONDS = 1.0
Item = dict[str, t.Any]
Tell = t.Callable[..., None]


class Caller:
    """What both kinds of agents have. Each public method is a word of the controller's, see loop.py."""

    def __init__(self, stop: threading.Event, tell: Tell) -> None:
        self._stop = stop
        self._tell = tell
        self._line: t.Optional[Line] = None

    def connect(self, addresses: list[str], port: int, identity: str, seconds: float, idle: float) -> Item:
        """Make the line to the agent that waits for it. ``idle``: see Line.idle_seconds."""
        self._line = connect(addresses, port, Identity(identity), Deadline(seconds))
        self._line.idle_seconds = idle
        return {}

    def hang_up(self) -> Item:
        """Close the line, so that the other waits for nothing more."""
        if self._line is not None:
            self._line.close()
            self._line = None
        return {}

    def _progress(self) -> t.Callable[[int], None]:
        told = time.monotonic()

        def tell(sent: int) -> None:
            nonlocal told
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                self._tell(bytes=sent)

        return tell
