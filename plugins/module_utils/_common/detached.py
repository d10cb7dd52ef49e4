# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that go on when the one that began them has ended.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import os
import typing as t


def spawn(work: t.Callable[[], None]) -> None:
    """Do some work in a process of its own session, without terminal or parent. Raises OSError.

    What was started ends at once, so that init adopts the process and no login waits for it. Where systemd-logind kills
    the processes of users, it kills these as well.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def silence() -> None:
    """Have no standard streams: whoever reads them to their end waits until nobody has them open."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)


def let_go(keep: t.Collection[int]) -> None:
    """Let go of all that came from who began it, except the descriptors ``keep``."""
    os.chdir("/")
    silence()
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
