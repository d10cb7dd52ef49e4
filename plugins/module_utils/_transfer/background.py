# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that goes on when the module that began it has returned, and how it is found and ended.

Private to this collection. Runs on nodes: standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import time
import typing as t

from .._common.detached import let_go, spawn
from .._common.errors import CheckpointError

ENDING_SECONDS = 10.0
"""How long work may take to end when it is asked to."""

_PAUSE = 0.05
_MAX_PID = 32


class Claim:
    """A file that is locked as long as somebody works on something; it holds the process ID of who does.

    Raises CheckpointError claim_untrusted where the file is not this user's alone, and OSError.
    """

    def __init__(self, path: str, *, make: bool = True) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(path, flags | (os.O_CREAT if make else 0), 0o600)
        info = os.fstat(self._descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            self.leave()
            raise CheckpointError(
                "claim_untrusted", f"{path} belongs to another user, or others may write to it", path=path
            )

    def fileno(self) -> int:
        return self._descriptor

    def take(self) -> bool:
        """Whether nobody else has it. It is kept by this process and by those that it forks."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it removes the file.
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except (BlockingIOError, FileNotFoundError):
            return False

    def sign(self) -> None:
        """Say that this process has it."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def end(self) -> bool:
        """End the process that has it, and take it. Whether that went well."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + ENDING_SECONDS
            asked = False
            while not self.take():
                if not os.path.exists(self.path):
                    return True
                if time.monotonic() > until:
                    break
                # It may not have signed yet. As long as the lock is held, the ID is nobody else's.
                asked = asked or self._tell(number)
                time.sleep(_PAUSE)
            else:
                return True
        return False

    def remove(self) -> None:
        """Give it up, for whoever has taken it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.leave()

    def leave(self) -> None:
        """Have nothing to do with it any more. A process that was forked still has it."""
        os.close(self._descriptor)

    def _tell(self, number: int) -> bool:
        with contextlib.suppress(ValueError, OSError):
            os.kill(int(os.pread(self._descriptor, _MAX_PID, 0)), number)
            return True
        return False


def detached(work: t.Callable[[], None], claim: Claim, keep: int) -> None:
    """Do some work in a process of its own, see spawn().

    The process has signed the claim by the time this returns. Of the open files it has that of the claim and ``keep``.
    Raises CheckpointError not_started.
    """
    reading, writing = os.pipe()

    def alone() -> None:
        _alone({keep, claim.fileno(), writing})
        claim.sign()
        os.write(writing, b"+")
        os.close(writing)
        work()

    try:
        spawn(alone)
    except OSError as error:
        raise CheckpointError(
            "not_started", "A process that goes on in the background could not be started", message=str(error)
        ) from error
    os.close(writing)
    with os.fdopen(reading, "rb") as begun:
        if not begun.read(1):
            raise CheckpointError("not_started", "A process that goes on in the background could not be started")


def _alone(keep: t.Collection[int]) -> None:
    os.umask(0o077)
    # The module may itself have been told to ignore or to catch them.
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    let_go(keep)
