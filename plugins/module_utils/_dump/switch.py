# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of its own that lets a container run again if nobody else does: nobody has to come back for it.

It belongs to nobody: not to the login that started it, and not to the controller. As long as the module runs, a pipe
tells it so; when the module is killed in the middle, the pipe is closed.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import time
import typing as t

from .._common.detached import let_go, spawn
from .._common.errors import CheckpointError
from . import ending
from .frozen import DUMPING, FROZEN, Frozen, Records, now
from .pages import discard
from .patience import Drain

INTERVAL = 1.0
"""Seconds between looks at the container's file: when that is gone, nothing is left to do."""

NAME = "checkpoint-thaw"
"""What the process is called, for who looks: 15 characters at most."""

LOCK_SECONDS = 20.0
TRIES = 60


def start(record: Frozen, records: Records, pipes: t.Sequence[int] = ()) -> int:
    """Start it; the descriptor that has to stay open as long as this process is at work. Raises OSError.

    ``pipes``: what CRIU writes into, to be read on if this process is killed: CRIU would die of a pipe without reader.
    """
    reading, writing = os.pipe()

    def alone() -> None:
        _alone([reading, *pipes])
        watch(reading, record, records, pipes)

    spawn(alone)
    os.close(reading)
    return writing


def _alone(kept: t.Collection[int]) -> None:
    """Belong to nobody, and be ended by nothing that ends the module."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(NAME)
    let_go(kept)


def watch(reading: int, record: Frozen, records: Records, pipes: t.Sequence[int] = ()) -> None:
    """Wait until the record is gone or another one; thaw the container when its time is over, or if the module died.

    One that was given is killed instead, when the kubelet stops it.
    """
    here = True
    while True:
        found = records.get(record.container_id)
        if found is None or found.token != record.token:
            return
        left = max(0.0, min(INTERVAL, found.until - now()))
        if here:
            here = not select.select([reading], [], [], left)[0]
        elif left and found.phase == FROZEN:
            time.sleep(left)
        over = found.expired or (not here and found.phase != FROZEN)
        if over:
            if _undo(found, records, functools.partial(discard, pipes)):
                return
        elif found.given:
            _end_given(found, records)


def _end_given(found: Frozen, records: Records) -> None:
    """Kill it once the kubelet stops it, or see that it is gone; whoever has its lock does the same now."""
    with contextlib.suppress(CheckpointError, OSError):
        if not found.lives or ending.stopping(found):
            with records.lock(found.container_id):
                ending.end_given(found, records)


def _undo(seen: Frozen, records: Records, drain: Drain) -> bool:
    """Undo what the record says, unless somebody else did or does; whether that is the end of it."""
    for _try in range(TRIES):
        try:
            with records.lock(seen.container_id, 0.0 if seen.phase == DUMPING and seen.expired else LOCK_SECONDS):
                found = records.get(seen.container_id)
                if found is None or found.token != seen.token:
                    return True
                if found.phase == FROZEN and not found.expired:
                    return False
                done = records.undo(found, drain)
        except CheckpointError:
            # The module holds it and does not come to its end: the container is not to wait for that.
            done = records.undo(seen, drain) if seen.phase == DUMPING and seen.expired else False
        except OSError:
            done = False
        if done:
            return True
        time.sleep(INTERVAL)
    return True
