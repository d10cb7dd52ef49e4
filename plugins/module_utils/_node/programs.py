# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of this node: run without a shell, for a bounded time, with bounded output.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
import typing as t

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for; what a login without administration has lacks the sbin directories."""

NOT_FOUND = 127
TIMED_OUT = 124
OUTPUT_LIMIT = 4 * 1024 * 1024


class Completed(t.NamedTuple):
    """How a program ended: 127 where it does not exist or cannot be run, 124 where it was ended for taking too long."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0


def which(name: str, path: t.Optional[str] = None) -> t.Optional[str]:
    """The absolute path of a program, None where there is none. ``path``: directories as in PATH."""
    found = shutil.which(name, path=path or SEARCH_PATH)
    return os.path.abspath(found) if found else None


def run(
    argv: t.Sequence[str],
    timeout: float,
    *,
    path: t.Optional[str] = None,
    limit: int = OUTPUT_LIMIT,
) -> Completed:
    """Run a program to its end, at most ``timeout`` seconds, in the C locale.

    ``path`` is its PATH. Of each output the first ``limit`` bytes are kept, the rest is read and dropped. Never raises
    for what the program does; bytes that are not UTF-8 are escaped as ``\\xNN``.
    """
    environment = {**os.environ, "PATH": path or SEARCH_PATH, "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Completed(NOT_FOUND, "", str(error))
    with process:
        out, err, in_time = _collect(process, time.monotonic() + timeout, limit)
        if not in_time:
            _end(process)
        returncode = process.wait()
    return Completed(returncode if in_time else TIMED_OUT, _text(out), _text(err))


def _collect(process: subprocess.Popen[bytes], end: float, limit: int) -> tuple[bytes, bytes, bool]:
    """Both outputs, and whether the program ended in time."""
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                break
            for key, _events in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                whole = kept[t.cast("t.Any", key.fileobj)]
                whole += chunk[: max(0, limit - len(whole))]
    try:
        process.wait(max(0.0, end - time.monotonic()))
        in_time = True
    except subprocess.TimeoutExpired:
        in_time = False
    return bytes(kept[process.stdout]), bytes(kept[process.stderr]), in_time


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program and what it started: they are a process group of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def _text(output: bytes) -> str:
    return output.decode(errors="backslashreplace")
