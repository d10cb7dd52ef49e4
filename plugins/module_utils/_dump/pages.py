# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory pages on their way from CRIU into an archive, without lying in a file in between.

CRIU opens pages-1.img, pages-2.img and so on one after the other, and splices pages into them from a pipe (criu
criu/image.c open_pages_image_at and do_open_image, criu/page-xfer.c write_pages_loc, 4.2.1). A named pipe that is there
already serves as well. Those for which there is none are files.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
import typing as t

from .output import Output

MOST = 256
"""Named pipes at most; each takes a descriptor."""

MORE = 8
"""For memory that processes share, which has pages of its own."""

PIECE = 1 << 20
F_SETPIPE_SZ = 1031
"""linux/fcntl.h; Python names it since 3.10."""


def name_of(number: int) -> str:
    return f"pages-{number}.img"


def discard(descriptors: t.Sequence[int], seconds: float) -> bool:
    """Wait so long for pages that nobody wants any more, and drop what comes; whether any came."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    ready = [descriptor for descriptor, events in poll.poll(seconds * 1000) if events & select.POLLIN]
    for descriptor in ready:
        os.read(descriptor, PIECE)
    if not ready:
        # Pipes that CRIU has left are ready at once, with nothing in them.
        time.sleep(seconds)
    return bool(ready)


class Pages:
    """Named pipes in the folder of images, read in their order into an output. To be closed."""

    def __init__(self, folder: str, processes: int, output: Output) -> None:
        self._folder = folder
        self._output = output
        self._pipes: list[tuple[str, int]] = []
        self._writing: t.Optional[tuple[contextlib.ExitStack, t.Any]] = None
        self._buffer = bytearray(PIECE)
        try:
            for number in range(1, min(MOST, processes + MORE) + 1):
                path = os.path.join(folder, name_of(number))
                os.mkfifo(path, 0o600)
                # Open for reading already: CRIU, who opens it for writing, would wait for that.
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._pipes.append((name_of(number), descriptor))
                with contextlib.suppress(OSError):
                    fcntl.fcntl(descriptor, F_SETPIPE_SZ, PIECE)
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> list[int]:
        return [descriptor for _name, descriptor in self._pipes]

    @property
    def left(self) -> bool:
        """Whether more can come."""
        return bool(self._pipes)

    def move(self, seconds: float) -> bool:
        """Wait so long for pages, and write what comes; whether any came. Raises OSError."""
        descriptor = self._pipes[0][1]
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        events = dict(poll.poll(seconds * 1000)).get(descriptor, 0)
        if events & select.POLLIN:
            count = os.readv(descriptor, [self._buffer])
            self._target().write(memoryview(self._buffer)[:count])
            return True
        if events & select.POLLHUP:
            # Its writer came and went: CRIU is at the next one.
            self._target()
            self._next()
            return True
        return False

    def finish(self) -> None:
        """Write what is still in the pipes, once CRIU has ended, and remove them. Raises OSError."""
        while self._pipes and self.move(0):
            pass
        if self._writing is not None:
            self._next()
        self.close()

    def _target(self) -> t.Any:
        if self._writing is None:
            stack = contextlib.ExitStack()
            file = stack.enter_context(self._output.member(f"checkpoint/{self._pipes[0][0]}"))
            self._writing = (stack, file)
        return self._writing[1]

    def _next(self) -> None:
        if self._writing is not None:
            self._writing[0].close()
            self._writing = None
        name, descriptor = self._pipes.pop(0)
        os.close(descriptor)
        os.unlink(os.path.join(self._folder, name))

    def close(self) -> None:
        for name, descriptor in self._pipes:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, name))
        self._pipes = []
