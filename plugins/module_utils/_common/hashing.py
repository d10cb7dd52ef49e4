# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SHA-256 of bytes that pass by.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import re
import typing as t

SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
"""As it is written, with or without what it is in front; the group is the digits."""


class Hash:
    """SHA-256 beside the caller's work: hashlib lets other threads run meanwhile. One piece is held at most."""

    def __init__(self, pool: concurrent.futures.Executor) -> None:
        self._pool = pool
        self._hash = hashlib.sha256()
        self._running: t.Optional[concurrent.futures.Future[None]] = None
        self.size = 0

    def update(self, data: bytes) -> None:
        self._wait()
        self.size += len(data)
        self._running = self._pool.submit(self._hash.update, data)

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None

    def digest(self) -> str:
        """As "sha256:HEX", of all that was given so far."""
        self._wait()
        return f"sha256:{self._hash.hexdigest()}"
