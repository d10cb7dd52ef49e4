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
from .._common.moments import utc
from . import rootfs
from .attempt import CONTAINER_ID, LOCK_SECONDS, Attempt, claim, sweep
from .bundle import Bundle
from .clamp import Clamp
from .command import Command, parse
from .receipt import sentence
from .repairs import Repairs, criu_options
from .restoring import RUNNING, Runtime
from .security import SET_ID, excesses, judge, set_id_excesses
from .sweeping import sweep_in_background
from .ticket import BASE, Name, Ticket, Tickets, read
from .unpack import Opened, check_pages, check_tmpfs, images_in, unpack
from .volumes import Filling, empty_dir, require_open_files

NAME = "checkpoint-restore"


def restore(attempt: Attempt, ticket: Ticket, bundle: Bundle, runtime: Runtime) -> None:
    """Restore a container from its ticket's archive, up to where it is there and paused. Raises CheckpointError."""
    ticket.check_in_time(time.time())
    ticket.check_pod(bundle.pod_uid)
    if bundle.process.get("terminal"):
        raise CheckpointError("terminal", "A container with a terminal cannot be restored")
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(contextlib.closing(Opened(ticket.archive)))
        _same_image(opened, bundle)
        fillings = [
            stack.enter_context(contextlib.closing(Filling(point, content, empty_dir(point, bundle))))
            for point, content in ticket.volumes.items()
        ]
        images = unpack(opened, ticket.sha256, attempt.images)
        check_pages(images)
        check_tmpfs(images)
        changed = rootfs.wanted(opened.archive)
        paths = [*rootfs.set_id_files(changed), *(path for filling in fillings for path in filling.set_id_files())]
        taken = judge([*excesses(images, bundle), *set_id_excesses(paths, bundle)], ticket.security, ticket.accept)
        harmless = {excess.name.partition(":")[2] for excess in taken if excess.name.startswith(SET_ID)}
        kind = runtime.kind()
        repairs = Repairs(attempt.images, images, bundle, kind)
        added = repairs.missing_mounts()
        Clamp(attempt.images, images, bundle).take(taken)
        repairs.run()
        # As they are now, and no more than was allowed must be in them, whatever tricks their maker knew.
        images = images_in(attempt.images)
        if taken:
            judge(excesses(images, bundle), "refuse", ticket.accept)
        with open(os.path.join(attempt.work, ".criu", "default.conf"), "w", encoding="ascii") as file:
            file.writelines(f"{option}\n" for option in criu_options(images))
        rootfs.apply(changed, bundle.root, harmless)
        for filling in fillings:
            filling.fill(harmless)
        require_open_files(images, bundle)
        with bundle.with_mounts(added):
            runtime.restore(attempt.images, attempt.work, kind)
    paused = runtime.call("pause", attempt.container)
    if not paused.ok:
        raise CheckpointError(
            "restore_failed", "The restored process could not be paused", message=paused.stderr.strip()
        )


def _same_image(opened: Opened, bundle: Bundle) -> None:
    dumped = opened.archive.identity.image_id
    if bundle.image_id and dumped and bundle.image_id != dumped:
        raise CheckpointError(
            "image_differs",
            f"The process ran in the image {dumped}, the new pod has {bundle.image_id}",
            hint="Give the pod the image by its digest",
        )


def create(program: str, command: Command, base: str) -> bool:
    """Restore the container if there is a ticket for it; False if not. Raises CheckpointError, with nothing left."""
    try:
        bundle = Bundle(command.options.get("--bundle", "."))
    except CheckpointError:
        # The runtime itself says better what is wrong with it.
        return False
    name = bundle.name
    sweep(base, name)
    if name is None or not os.path.lexists(Tickets(base).path(name)):
        return False
    Tickets(base).wait(name, bundle.pod_uid)
    attempt = Attempt(command.container, base)
    attempt.begin(program, command, bundle)
    if not claim(attempt, name):
        return False
    started = time.monotonic()
    try:
        ticket = _ticket(attempt, name)
        restore(attempt, ticket, bundle, Runtime(program, command))
        attempt.succeeded()
    except CheckpointError as error:
        attempt.undo(error)
        raise
    except BaseException as error:
        attempt.undo(_unforeseen(error))
        raise
    syslog.syslog(f"restored {name} from {ticket.archive} in {time.monotonic() - started:.2f} s")
    return True


def _ticket(attempt: Attempt, name: Name) -> Ticket:
    ticket = read(attempt.ticket_path)
    if ticket is None or ticket.name != name:
        raise CheckpointError("ticket_invalid", f"The ticket in the place for {name} is for another container")
    return ticket


def start(attempt: Attempt, runtime: Runtime) -> None:
    with attempt.starting():
        resumed = runtime.call("resume", attempt.container)
        if not resumed.ok:
            raise CheckpointError("start_failed", "The restored process could not be resumed", message=resumed.stderr)


def state(attempt: Attempt, runtime: Runtime) -> int:
    """The runtime's answer, with the word for a container that waits for its start."""
    answer = runtime.call("state", attempt.container)
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
        # A container runtime asks for them when it starts: what it has left when it was killed is removed now.
        sweep_in_background(base)
        return None
    if not CONTAINER_ID.fullmatch(command.container):
        return None
    if command.name == "create":
        return 0 if create(program, command, base) else None
    attempt = Attempt(command.container, base)
    runtime = Runtime(program, command)
    if command.name == "delete" and attempt.exists:
        attempt.lock(LOCK_SECONDS)
        attempt.delete()
    elif attempt.waits and command.name == "start":
        start(attempt, runtime)
        return 0
    elif attempt.waits and command.name == "state":
        return state(attempt, runtime)
    elif attempt.waits and command.name == "kill" and runtime.status(command.container) != RUNNING:
        # Any other signal would stay pending: what is paused takes none.
        attempt.kill()
        return 0
    return None


def report(error: CheckpointError, command: Command) -> None:
    """Say it where the caller looks: containerd reads the last line of the log it named, conmon standard error."""
    text = f"{NAME}: {sentence(error)}"
    syslog.syslog(syslog.LOG_ERR, text)
    if command.log:
        with contextlib.suppress(OSError), open(command.log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"level": "error", "msg": text, "time": utc(time.time())}) + "\n")
    else:
        sys.stderr.write(text + "\n")


def _unforeseen(error: BaseException) -> CheckpointError:
    return CheckpointError("internal", "The restore failed for a reason that was not foreseen", message=repr(error))


def _interrupted(number: int, _frame: t.Any) -> None:
    raise CheckpointError("interrupted", f"The restore was ended by {signal.Signals(number).name}")


def main(words: t.Sequence[str], base: str = BASE) -> int:
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
        report(_unforeseen(error), command)
        return 1
    if done is not None:
        return done
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execv(program, [program, *rest])
