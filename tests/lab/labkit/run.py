# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run other programs, so that a failure says which one failed and what it said."""

from __future__ import annotations

import collections
import os
import shlex
import subprocess
import typing as t

from .errors import LabError

# Takes one line of progress.
Say = t.Callable[[str], None]
Word = t.Union[str, "os.PathLike[str]"]

# Of a failed command's output: enough to see the cause, short enough to be read.
LAST_LINES = 12


def run(
    command: t.Sequence[Word],
    *,
    input: t.Optional[str] = None,
    cwd: t.Optional[Word] = None,
    env: t.Optional[t.Mapping[str, str]] = None,
    check: bool = True,
    timeout: t.Optional[float] = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return it with its output as text.

    ``env`` is added to this process's environment. Raises LabError with the command and the last lines of its standard
    error where it can't be started, takes longer than ``timeout`` seconds, or (unless ``check`` is false) ends with a
    status that isn't 0.
    """
    words = [os.fspath(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=input,
            # Without input of its own a command must not eat the caller's.
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _cannot_start(words, error) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"Not done after {timeout:g} s: {_shown(words)}") from error
    if check and done.returncode != 0:
        raise _failed(words, done.returncode, (done.stderr.strip() or done.stdout.strip()).splitlines())
    return done


def watch(
    command: t.Sequence[Word],
    on_line: Say,
    *,
    cwd: t.Optional[Word] = None,
    env: t.Optional[t.Mapping[str, str]] = None,
) -> None:
    """Run a command that takes long; ``on_line`` gets each line of its output as it appears. Errors as ``run``."""
    words = [os.fspath(word) for word in command]
    last: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise _cannot_start(words, error) from error
    with process:
        try:
            for line in process.stdout or ():
                last.append(line.rstrip("\n"))
                on_line(last[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise _failed(words, process.returncode, list(last))


def _cannot_start(words: list[str], error: OSError) -> LabError:
    return LabError(f"Can't run {words[0]}: {error.strerror}.")


def _failed(words: list[str], status: int, lines: list[str]) -> LabError:
    return LabError("\n".join([f"Status {status} of: {_shown(words)}", *lines[-LAST_LINES:]]))


def _shown(words: list[str]) -> str:
    """The command on one line, whole scripts among its words left out."""
    return shlex.join("..." if "\n" in word else word for word in words)
