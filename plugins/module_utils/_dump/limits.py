# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a container may be frozen for a dump.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import threading
import time
import typing as t

from .._common.errors import CheckpointError


class Limits(t.NamedTuple):
    """``deadline``: by time.monotonic(). ``stop``: set from outside."""

    deadline: float
    stop: threading.Event

    def check(self) -> None:
        """Raise CheckpointError interrupted or timeout."""
        if self.stop.is_set():
            raise CheckpointError("interrupted", "It was stopped from outside", hint="Run it again")
        if time.monotonic() > self.deadline:
            raise CheckpointError(
                "timeout",
                "The dump took too long and was ended, and the container runs as before",
                hint="Continue a stopped process, end a debugger, or give a larger timeout",
            )
