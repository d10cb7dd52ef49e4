# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Letting a dump that nobody wants any more come to its end.

CRIU runs code of its own inside of the processes that it dumps, and takes it out again at its end. One that is killed
leaves it there, and now and then a process does not survive that (seen with CRIU 4.2.1, one of some twenty). So it is
killed only if it does not get on, as when it waits for a process that a signal has stopped.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import time
import typing as t

from .._node import dumps, processes
from .._node.containers import Container

SECONDS = 60.0
"""How long it may take at most."""

QUIET = 2.0
"""Who has written nothing for so long does not get on."""

KILL_SECONDS = 5.0
PAUSE = 0.02
LOG = os.path.join("work", "dump.log")

Drain = t.Callable[[float], bool]


def wait(_seconds: float) -> bool:
    """A drain where nothing is to be drained."""
    time.sleep(_seconds)
    return False


def let_end(container: Container, folder: str, drain: Drain = wait) -> None:
    """Wait until nobody dumps the container any more, as long as it gets on; then kill who does.

    ``folder``: of the dump, with CRIU's log in it. ``drain``: takes what CRIU writes into pipes, for so many seconds;
    whether there was any.
    """
    end = time.monotonic() + SECONDS
    last, size = time.monotonic(), -1
    while _workers(container):
        moved = drain(PAUSE)
        now, before, size = time.monotonic(), size, _size(os.path.join(folder, LOG))
        if moved or size != before:
            last = now
        if now - last > QUIET or now > end:
            _kill(container)
            return


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _workers(container: Container) -> list[processes.Process]:
    found = [worker.process for _id, worker in dumps.workers(processes.processes(), [container])]
    return [process for process in found if processes.alive(process)]


def _kill(container: Container) -> None:
    end = time.monotonic() + KILL_SECONDS
    while time.monotonic() < end:
        if not [process for process in _workers(container) if processes.kill(process)]:
            return
        time.sleep(PAUSE)
