# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing up after a container runtime that was killed, or a node that went down, in the middle of restores.

Nothing is there that could do it by the clock. But a container runtime that starts asks each OCI runtime for its
features, so that call starts a process which clears up and ends. What it may not touch yet it waits for: a restore
that goes on by itself, and a container that may still be started.

Sources: cri-o pkg/config/config.go, 1.34.0 to 1.36.3 (initializeRuntimeFeatures); containerd 2.0.14 and 2.1.9,
internal/cri/server/service.go (introspectRuntimeFeatures) and cmd/containerd-shim-runc-v2/manager/manager_linux.go
(features). containerd 1.7.35 does not ask.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import fcntl
import os
import time

from .._common.detached import silence, spawn
from .attempt import START_SECONDS, sweep
from .restoring import RESTORE_SECONDS
from .ticket import BASE

SWEEP_SECONDS = RESTORE_SECONDS + START_SECONDS + 30.0
"""A restore that has just begun has ended by then, and has waited for its start for too long."""

PAUSE = 2.0


def sweep_in_background(base: str = BASE) -> None:
    """Start a process that sweeps, if there is anything to sweep, and do not wait for it."""

    def alone() -> None:
        silence()
        sweep_until_clean(base)

    if _left(base):
        spawn(alone)


def sweep_until_clean(base: str = BASE) -> None:
    """Sweep until nothing is left, for SWEEP_SECONDS at most. One process does so at a time; others return at once."""
    descriptor = os.open(_folder(base), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        until = time.monotonic() + SWEEP_SECONDS
        while _left(base) and time.monotonic() < until:
            sweep(base)
            time.sleep(PAUSE)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _folder(base: str) -> str:
    return os.path.join(base, "restores")


def _left(base: str) -> bool:
    try:
        return bool(os.listdir(_folder(base)))
    except FileNotFoundError:
        return False
