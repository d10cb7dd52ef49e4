# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore runtime: an OCI runtime in front of the node's own, which restores a container that has a ticket.

A shell front calls it only where there may be something to do, see install.py. A restore takes the place of ``create``:
afterwards the process is there and paused, as a created container is there and waits. ``start`` lets it go on.

Source: OCI runtime-spec 1.2, runtime.md (lifecycle) and the operations create, start, state, kill, delete.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import syslog
import time
import typing as t

from .._common.errors import CheckpointError
from .command import Command, parse
from .restoring import RUNNING, Runtime
from .waiting import CONTAINER_ID, Waiting

NAME = "checkpoint-restore"
LOCK_SECONDS = 5.0


def start(waiting: Waiting, runtime: Runtime) -> None:
    with waiting.starting():
        resumed = runtime.call("resume", waiting.container)
        if not resumed.ok:
            raise CheckpointError("start_failed", "The restored process could not be resumed", message=resumed.stderr)


def state(waiting: Waiting, runtime: Runtime) -> int:
    """The runtime's answer, with the word for a container that waits for its start."""
    answer = runtime.call("state", waiting.container)
    text = answer.stdout
    if answer.ok:
        found = json.loads(text)
        found["status"] = "created" if found.get("status") == "paused" else found.get("status")
        text = json.dumps(found, indent=2) + "\n"
    sys.stdout.write(text)
    sys.stderr.write(answer.stderr)
    return answer.returncode


def handle(program: str, command: Command, base: str) -> t.Optional[int]:
    """Do what a call asks for; None where the node's own runtime has to do it."""
    if command.name == "features":
        from .sweeping import sweep_in_background

        # A container runtime asks for them when it starts: what it has left when it was killed is removed now.
        sweep_in_background(base)
        return None
    if not CONTAINER_ID.fullmatch(command.container):
        return None
    if command.name == "create":
        from .creating import create

        return 0 if create(program, command, base) else None
    waiting = Waiting(command.container, base)
    runtime = Runtime(program, command)
    if command.name == "delete" and waiting.exists:
        from .attempt import Attempt

        attempt = Attempt(command.container, base)
        attempt.lock(LOCK_SECONDS)
        attempt.delete()
    elif waiting.waits and command.name == "start":
        start(waiting, runtime)
        return 0
    elif waiting.waits and command.name == "state":
        return state(waiting, runtime)
    elif waiting.waits and command.name == "kill" and runtime.status(command.container) != RUNNING:
        # Any other signal would stay pending: what is paused takes none.
        waiting.kill()
        return 0
    return None


def report(error: CheckpointError, command: Command) -> None:
    """Say it where the caller looks: containerd reads the last line of the log it named, conmon standard error."""
    from .._common.moments import utc
    from .receipt import sentence

    text = f"{NAME}: {sentence(error)}"
    syslog.syslog(syslog.LOG_ERR, text)
    if command.log:
        with contextlib.suppress(OSError), open(command.log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"level": "error", "msg": text, "time": utc(time.time())}) + "\n")
    else:
        sys.stderr.write(text + "\n")


def _interrupted(number: int, _frame: t.Any) -> None:
    raise CheckpointError("interrupted", f"The restore was ended by {signal.Signals(number).name}")


def main(words: t.Sequence[str], base: str) -> int:
    """``words``: the node's runtime, then its command line. Does not return where that runtime takes over."""
    program, *rest = words
    command = parse(rest)
    syslog.openlog(NAME, syslog.LOG_PID, syslog.LOG_DAEMON)
    try:
        signal.signal(signal.SIGTERM, _interrupted)
        done = handle(program, command, base)
    except CheckpointError as error:
        report(error, command)
        return 1
    except Exception as error:
        from .receipt import unforeseen

        report(unforeseen(error), command)
        return 1
    if done is not None:
        return done
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execv(program, [program, *rest])
