# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process on a node that does for the controller, word by word, what a move needs there at once.

It is told on standard input and answers on standard output, in lines of JSON:

    → {"id": 1, "do": "dump", "with": {…}}
    ← {"id": 1, "tell": {"bytes": …}}          any number of these; with the id 0 and nothing in it, a sign of life
    ← {"id": 1, "ok": {…}}                     or "error": {"code": …, "reason": …, "hint": …, "message": …}

The words are the methods of Source and Target. One at a time: what comes while one is at work means that it is to stop.
When the input ends, so does the agent, and everything that it has begun is undone, but for what it was told to hold.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import traceback
import typing as t

from .._common.errors import CheckpointError
from .source import Source
from .target import Target

LONGEST = 1 << 20
BEAT_SECONDS = 10.0
"""So often it says that it is there, while it is told nothing: a login whose other end is gone is found out by that."""

ROLES: dict[str, t.Any] = {"source": Source, "target": Target}
SHOWN = 2000


class _Stop(threading.Event):
    """Set by a signal, and by anything that comes on the input, be it its end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def is_set(self) -> bool:
        return super().is_set() or self.comes(0)

    def comes(self, seconds: float) -> bool:
        """Wait for so long at most; whether there is something on the input, be it its end."""
        return bool(self._poll.poll(seconds * 1000))


class Agent:
    """``role``: see :data:`ROLES`; ``hearing`` and ``saying``: descriptors."""

    def __init__(self, role: str, hearing: int, saying: int, **options: t.Any) -> None:
        self.stop = _Stop(hearing)
        self._hearing = hearing
        self._saying = saying
        self._buffer = b""
        self._id: t.Any = None
        self._work = ROLES[role](self.stop, self._tell, **options)

    def run(self) -> None:
        """Until the input ends, or a signal says so."""
        try:
            for word in self._words():
                self._answer(word)
        finally:
            self._work.close()

    def _words(self) -> t.Iterator[dict[str, t.Any]]:
        while not threading.Event.is_set(self.stop):
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                yield json.loads(line)
                continue
            if not self.stop.comes(BEAT_SECONDS):
                self._id = 0
                self._tell()
                continue
            try:
                data = os.read(self._hearing, LONGEST)
            except InterruptedError:
                continue
            self._buffer += data
            if not data or len(self._buffer) > LONGEST:
                return

    def _answer(self, word: dict[str, t.Any]) -> None:
        self._id = word.get("id")
        name = str(word.get("do"))
        method = None if name.startswith("_") or name == "close" else getattr(self._work, name, None)
        try:
            if method is None:
                raise CheckpointError("wrong_order", f"The agent does not know the word {name!a}")
            self._say(ok=method(**word.get("with", {})))
        except CheckpointError as error:
            self._say(error=error.as_dict())
        except Exception as error:
            # A mistake of this collection, which the controller has to hear of instead of an end without a word.
            text = traceback.format_exc()[-SHOWN:]
            self._say(error=CheckpointError("agent_failed", f"The agent failed: {error!r}", message=text).as_dict())

    def _tell(self, **what: t.Any) -> None:
        self._say(tell=what)

    def _say(self, **what: t.Any) -> None:
        rest = memoryview(json.dumps({"id": self._id, **what}).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._saying, rest) :]
        except OSError:
            # Nobody listens any more: the input ends as well, and what that means is decided there.
            self.stop.set()


def main() -> int:
    """Be the agent of the role in the first argument."""
    saying = os.dup(1)
    # Whatever else is printed must not be taken for an answer.
    os.dup2(2, 1)
    agent = Agent(sys.argv[1], 0, saying)

    def stop(_number: int, _frame: t.Any) -> None:
        agent.stop.set()
        # A read that waits goes on after a signal; without an input it ends.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    agent.run()
    return 0
