# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's end of an agent (see _agent/loop.py): how it comes to be on a node, and talking with it.

The login's shell runs Python with a few lines that read the agent's modules, one zip, from standard input into memory.
Nothing is installed, and nothing is left when it ends. Before that, a login may print anything: a marker that nobody
can foresee ends it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import shlex
import subprocess
import time
import typing as t

from .._common import zipped
from .._common.errors import CheckpointError
from .._transfer.pipe import Prompt

Role = t.Literal["source", "target"]
Item = dict[str, t.Any]

PACKAGE = "checkpoint_restore_agent"
START = "_agent.loop"
START_SECONDS = 60.0
END_SECONDS = 15.0
AGAIN_SECONDS = 5.0
"""For how long to wait for an agent that was silent, and has not been heard since."""

NOISE_BYTES = 1 << 20
LONGEST = 1 << 22
STDERR_BYTES = 16 << 10

# argv: bytes of the zip, role. Read by descriptor, so that nothing that follows it waits in a buffer.
BOOT = f"""import os,sys
def take(n):
    b=b""
    while len(b)<n:
        p=os.read(0,n-len(b))
        if not p: sys.exit(1)
        b+=p
    return b
z=take(int(sys.argv[1]))
if hasattr(os,"memfd_create"): f=os.memfd_create("agent")
else:
    import tempfile
    f=os.dup(tempfile.TemporaryFile().fileno())
while z: z=z[os.write(f,z):]
sys.argv[1:2]=[]
sys.path.insert(0,"/proc/self/fd/%d"%f)
from {PACKAGE}.{START} import main
sys.exit(main())"""

PYTHON = "command -v python3 || command -v /usr/libexec/platform-python || echo python3"


@functools.cache
def modules() -> bytes:
    """The zip of the agent."""
    return zipped.application(PACKAGE, [START], "")


def script(marker: str, role: Role, python: str | None = None) -> str:
    """The command for the node's shell, by root. ``python``: a path, or the first that is found."""
    words = f"-I -c {shlex.quote(BOOT)} {len(modules())} {role}"
    found = shlex.quote(python) if python else f'"$({PYTHON})"'
    return f"printf %s {marker} && exec {found} {words}"


class Agent:
    """An agent that runs; ``where``: the name of its node, for people. To be closed: then it undoes what it holds not.

    ``command``: the local program (ssh) that has :func:`script` run there with the same ``marker``.
    Raises CheckpointError ``agent_not_started``.
    """

    def __init__(
        self,
        command: t.Sequence[str | bytes],
        marker: str,
        where: str,
        *,
        prompt: Prompt | None = None,
        tell: t.Callable[[Item], None] = lambda _what: None,
        seconds: float = START_SECONDS,
    ) -> None:
        self.where = where
        self._tell = tell
        self._prompt = prompt
        self._answered = False
        self._silent = False
        self._errors = b""
        self._unanswered = b""
        self._output = b""
        self._ended = False
        self._last = 0
        self._answers: dict[int, Item] = {}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise self._not_started(str(error)) from error
        self._selector = selectors.DefaultSelector()
        self._selector.register(t.cast("t.IO[bytes]", self._process.stdout), selectors.EVENT_READ, "output")
        self._selector.register(t.cast("t.IO[bytes]", self._process.stderr), selectors.EVENT_READ, "errors")
        try:
            self._begin(marker.encode(), time.monotonic() + seconds)
        except BaseException:
            self.close(0)
            raise

    def ask(self, do: str, seconds: float, /, **arguments: t.Any) -> Item:
        """Say a word, and hear the answer. Raises CheckpointError: what the agent says, and as :meth:`wait`."""
        return self.wait(self.say(do, **arguments), seconds)

    def say(self, do: str, /, **arguments: t.Any) -> int:
        """Say a word; its number. One whose work is not done yet makes it stop."""
        self._last += 1
        line = json.dumps({"id": self._last, "do": do, "with": arguments}) + "\n"
        try:
            self._write(line.encode())
        except OSError as error:
            raise self._lost(str(error)) from error
        return self._last

    def wait(self, number: int, seconds: float) -> Item:
        """The answer to a word. Raises CheckpointError ``agent_lost``, ``agent_silent`` and what the agent says."""
        until = time.monotonic() + (min(seconds, AGAIN_SECONDS) if self._silent else seconds)
        while number not in self._answers:
            if not self._listen(until):
                self._silent = True
                raise CheckpointError(
                    "agent_silent",
                    f"The agent on {self.where} did not answer within {seconds:g} seconds",
                    hint="See what its node is busy with",
                )
        answer = self._answers.pop(number)
        if "error" in answer:
            error = answer["error"]
            known = {name: str(error.pop(name, "")) for name in ("code", "reason", "hint", "message")}
            code, reason = known.pop("code"), known.pop("reason")
            raise CheckpointError(code, f"{self.where}: {reason}", **known, **error)
        return dict(answer["ok"])

    def answered(self, number: int) -> bool:
        """Whether there is an answer by now, or nobody will give one. Does not wait."""
        while number not in self._answers and not self._ended and self._listen(time.monotonic()):
            pass
        return number in self._answers or self._ended

    def close(self, seconds: float = END_SECONDS) -> None:
        """Let it end, and undo what it does not hold; for so long, then go without."""
        process = self._process
        with contextlib.suppress(OSError):
            t.cast("t.IO[bytes]", process.stdin).close()
        until = time.monotonic() + seconds
        with contextlib.suppress(CheckpointError):
            while not self._ended and self._listen(until):
                continue
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._selector.close()
        for pipe in (process.stdout, process.stderr):
            t.cast("t.IO[bytes]", pipe).close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _begin(self, marker: bytes, until: float) -> None:
        """Wait for the marker, answer a prompt before it, then send the modules."""
        while True:
            _noise, found, rest = self._output.partition(marker)
            if found:
                self._output = rest
                break
            if self._ended or len(self._output) > NOISE_BYTES or not self._listen(until, parse=False):
                raise self._not_started(self._complaint)
        self._prompt = None
        try:
            self._write(modules())
        except OSError as error:
            raise self._not_started(self._complaint or str(error)) from error

    @property
    def _complaint(self) -> str:
        return self._errors.decode("utf-8", "replace").strip()

    def _write(self, data: bytes) -> None:
        stdin = t.cast("t.IO[bytes]", self._process.stdin)
        rest = memoryview(data)
        while rest:
            rest = rest[stdin.write(rest) or 0 :]

    def _listen(self, until: float, *, parse: bool = True) -> bool:
        """Hear what comes next; false where nothing came in time. Raises CheckpointError ``agent_lost``."""
        if self._ended:
            raise self._lost(self._complaint)
        ready = self._selector.select(max(0.0, until - time.monotonic()))
        for key, _events in ready:
            data = os.read(key.fd, 1 << 16)
            self._silent = False
            if key.data == "errors":
                self._hear_errors(data)
                if not data:
                    self._selector.unregister(key.fileobj)
                continue
            self._ended = not data
            self._output += data
            if parse:
                self._parse()
        return bool(ready)

    def _parse(self) -> None:
        *lines, self._output = self._output.split(b"\n")
        for line in lines:
            try:
                word = json.loads(line)
                number = int(word["id"])
            except (ValueError, KeyError, TypeError) as error:
                raise self._lost(f"It says what is no answer: {line[:200]!a}") from error
            if "tell" in word:
                self._tell(word["tell"])
            else:
                self._answers[number] = word
        if len(self._output) > LONGEST:
            raise self._lost("It says a line without end")

    def _hear_errors(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-STDERR_BYTES:]
        if self._prompt is None:
            return
        self._unanswered = (self._unanswered + data)[-STDERR_BYTES:]
        if self._prompt.recognise(self._unanswered):
            if self._answered:
                raise self._not_started("The password was refused")
            self._answered, self._unanswered = True, b""
            try:
                self._write(self._prompt.answer)
            except OSError as error:
                raise self._not_started(self._complaint) from error

    def _not_started(self, message: str) -> CheckpointError:
        return CheckpointError(
            "agent_not_started",
            f"No agent could be started on {self.where}",
            hint="See that the login and become work there, and that Python 3.9 or later is installed",
            message=message,
        )

    def _lost(self, message: str) -> CheckpointError:
        return CheckpointError(
            "agent_lost",
            f"The agent on {self.where} is gone",
            hint="See whether the node can be reached. What it had begun it undoes, if it can",
            message=message,
        )


class Absent(Agent):
    """Where none could be started on a node that may be gone: whatever it is told raises ``error``."""

    def __init__(self, where: str, error: CheckpointError) -> None:
        self.where = where
        self._error = error

    def say(self, do: str, /, **arguments: t.Any) -> int:
        """Raise the error."""
        del do, arguments
        raise self._error

    def answered(self, number: int) -> bool:
        """Nobody will ever answer."""
        del number
        return True

    def close(self, seconds: float = END_SECONDS) -> None:
        """There is nothing to be closed."""
        del seconds
