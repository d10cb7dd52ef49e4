# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of JSON per finished container, for whoever follows the file while the module runs.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import typing as t


class ProgressFile:
    """Appends to a file that exists already. Anything wrong with it is ignored: progress is a courtesy."""

    def __init__(self, path: str | None) -> None:
        self.total = 0
        self._path = path
        self._done = 0
        self._lock = threading.Lock()

    def finished(self, name: str, node: str | None, seconds: float, **outcome: t.Any) -> None:
        """Write that one more is done, with ``outcome`` (``ok``, and ``reused`` or ``code`` and ``reason``)."""
        with self._lock:
            self._done += 1
            if not self._path:
                return
            line = {"done": self._done, "total": self.total, "name": name, "node": node, "seconds": seconds, **outcome}
            with contextlib.suppress(OSError):
                descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
