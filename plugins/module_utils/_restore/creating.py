# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore that takes the place of ``create``: from a ticket to a process that is there and paused.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import syslog
import time

from .._common.errors import CheckpointError
from . import rootfs
from .attempt import Attempt, claim, sweep
from .bundle import Bundle
from .clamp import Clamp
from .command import Command
from .receipt import unforeseen
from .repairs import Repairs, criu_options, keeps_connections
from .restoring import Runtime
from .security import SET_ID, excesses, judge, set_id_excesses
from .ticket import Name, Ticket, Tickets, read
from .unpack import Opened, check_pages, check_tmpfs, images_in, unpack
from .volumes import Filling, empty_dir, require_open_files


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
        attempt.undo(unforeseen(error))
        raise
    syslog.syslog(f"restored {name} from {ticket.archive} in {time.monotonic() - started:.2f} s")
    return True


def _ticket(attempt: Attempt, name: Name) -> Ticket:
    ticket = read(attempt.ticket_path)
    if ticket is None or ticket.name != name:
        raise CheckpointError("ticket_invalid", f"The ticket in the place for {name} is for another container")
    return ticket


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
            runtime.restore(attempt.images, attempt.work, kind, keep_connections=keeps_connections(images))
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
