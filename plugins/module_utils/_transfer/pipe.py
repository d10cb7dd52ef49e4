# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a file through a remote shell: the shell's commands, and how to read what they print.

Private to this collection. A login may print anything (message of the day, sudo's lecture, the become plugin's success
line) before the command runs, so the command first prints a marker that nobody can foresee; the file starts behind it.
"""

from __future__ import annotations

import base64
import binascii
import os
import selectors
import shlex
import subprocess
import time
import typing as t

from .._common.errors import CheckpointError
from .node import BLOCK_BYTES

_NOISE_BYTES = 1 << 20
_STDERR_BYTES = 16 << 10
_SSH_FAILED = 255


class NotStartedError(Exception):
    """The remote command ended, hung or asked for something before its output began."""


class Prompt(t.NamedTuple):
    """A password prompt that may appear on standard error: how to know it, and the answer (a line)."""

    recognise: t.Callable[[bytes], bool]
    answer: bytes


def stream_script(path: str, offset: int, marker: str) -> str:
    """A shell command that prints the marker and then the file from the offset to its end, as it is."""
    return f"printf %s {marker} && exec {_dd(path, offset)}"


def block_script(path: str, offset: int, length: int, marker: str) -> str:
    """A shell command that prints ``length`` bytes in base64 between two markers: it survives a terminal in between."""
    reader = f"{_dd(path, offset)} count={length // BLOCK_BYTES}"
    return f"printf '%s\\n' {marker} && {reader} | base64 && printf '%s\\n' {marker}"


def decode_block(output: str, marker: str) -> bytes:
    """The bytes out of what :func:`block_script` printed. Raises ValueError if they are not all there."""
    parts = output.split(marker)
    if len(parts) != 3:
        raise ValueError("the output has no beginning and end")
    try:
        return base64.b64decode("".join(parts[1].split()), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def read_stream(
    command: t.Sequence[str | bytes], marker: str, stall_seconds: float, prompt: Prompt | None = None
) -> t.Generator[bytes, None, None]:
    """Run a local program (ssh) and give, block by block, what the remote command prints behind the marker.

    Memory: one pipe's worth. The program is killed when the generator is closed.
    Raises :class:`NotStartedError` before the first block, and :class:`CheckpointError` ``transfer_stalled`` (not a
    byte for ``stall_seconds``), ``transfer_cut`` (ssh's own exit status 255) or ``remote_read_failed``.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        conversation = _Conversation(process, marker.encode(), prompt)
        yield from conversation.blocks(stall_seconds)
        status = conversation.wait(stall_seconds)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            t.cast("t.IO[bytes]", pipe).close()
    if not conversation.started:
        raise NotStartedError(conversation.complaint)
    if status == _SSH_FAILED:
        raise CheckpointError(
            "transfer_cut",
            "The connection broke during the transfer",
            hint="Run it again: the transfer goes on from where it stopped",
            message=conversation.complaint,
        )
    if status != 0:
        raise CheckpointError(
            "remote_read_failed",
            f"Reading the archive on the node ended with status {status}",
            message=conversation.complaint,
        )


class _Conversation:
    """What goes on with the program: noise, perhaps a prompt, the marker, then bytes."""

    def __init__(self, process: subprocess.Popen[bytes], marker: bytes, prompt: Prompt | None) -> None:
        self.process = process
        self.marker = marker
        self.prompt = prompt
        self.started = False
        self._errors = b""
        self._unanswered = b""
        self._answered = False

    @property
    def complaint(self) -> str:
        return self._errors.decode("utf-8", "replace").strip()

    def blocks(self, stall_seconds: float) -> t.Iterator[bytes]:
        noise = b""
        for data in self._output(stall_seconds):
            if self.started:
                yield data
                continue
            noise += data
            _before, found, rest = noise.partition(self.marker)
            if found:
                self.started = True
                if rest:
                    yield rest
            elif len(noise) > _NOISE_BYTES:
                raise NotStartedError("The login prints without end")

    def wait(self, seconds: float) -> int:
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise _stalled(seconds) from None
        # With ControlPersist the first ssh stays behind as master and keeps standard error open: take what is there.
        errors = t.cast("t.IO[bytes]", self.process.stderr)
        os.set_blocking(errors.fileno(), False)
        self._listen(errors.read() or b"")
        return status

    def _output(self, stall_seconds: float) -> t.Iterator[bytes]:
        output, errors = t.cast("t.IO[bytes]", self.process.stdout), t.cast("t.IO[bytes]", self.process.stderr)
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(errors, selectors.EVENT_READ)
            heard = time.monotonic()
            while True:
                ready = [
                    key.fileobj for key, _events in selector.select(max(0.0, heard + stall_seconds - time.monotonic()))
                ]
                if not ready:
                    raise _stalled(stall_seconds) if self.started else NotStartedError(self.complaint or "no answer")
                if errors in ready:
                    said = os.read(errors.fileno(), _STDERR_BYTES)
                    if said:
                        self._listen(said)
                    else:
                        selector.unregister(errors)
                if output in ready:
                    data = os.read(output.fileno(), BLOCK_BYTES)
                    if not data:
                        return
                    yield data
                    heard = time.monotonic()

    def _listen(self, said: bytes) -> None:
        self._errors = (self._errors + said)[-_STDERR_BYTES:]
        if self.started or self.prompt is None:
            return
        self._unanswered = (self._unanswered + said)[-_STDERR_BYTES:]
        if self.prompt.recognise(self._unanswered):
            if self._answered:
                raise NotStartedError("The password was refused")
            self._answered = True
            self._unanswered = b""
            stdin = t.cast("t.IO[bytes]", self.process.stdin)
            try:
                stdin.write(self.prompt.answer)
                stdin.flush()
            except BrokenPipeError:
                raise NotStartedError(self.complaint) from None


def _dd(path: str, offset: int) -> str:
    # POSIX dd and the one option beyond it (status=none: GNU since 8.20, BusyBox) that keeps its statistics away.
    return f"dd if={shlex.quote(path)} bs={BLOCK_BYTES} skip={offset // BLOCK_BYTES} status=none"


def _stalled(seconds: float) -> CheckpointError:
    return CheckpointError(
        "transfer_stalled",
        f"Not a byte arrived for {seconds:g} seconds",
        hint="Look whether the node can be reached, then run it again: the transfer goes on from where it stopped",
    )
