# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent does on the node that a pod comes to: takes the images, leaves the tickets, and sees them used.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._dump.steps import name_of_volume
from .._restore.leave import leave
from .._restore.proof import used
from .._restore.ticket import BASE, LABEL, Content, Name, Ticket, Tickets, private_folder
from .._restore.unpack import check_space
from .._transfer.channel import Identity
from .._transfer.door import Door
from . import look, stream
from .caller import Caller, Item, Tell

ADMIT_SECONDS = 30.0
NUMBER = re.compile(r"[0-9]{12}")


class Target(Caller):
    """One pod that comes. Each public method but close() is a word of the controller's, see loop.py."""

    def __init__(self, stop: threading.Event, tell: Tell, base: str = BASE) -> None:
        super().__init__(stop, tell)
        self._base = base
        self._folder = ""
        self._names: list[Name] = []
        self._door: t.Optional[Door] = None
        self._deadline = Deadline(0)
        self._left: list[Name] = []
        self._held = False

    def look(self, **about: t.Any) -> Item:
        """What the node offers, see look.target()."""
        return look.target(base=self._base, **about)

    def images(self, images: dict[str, str], socket: str) -> Item:
        """Which images it has by now, see look.images_of()."""
        return {"images": look.images_of(images, socket)}

    def name(self, number: str, namespace: str, pod: str, containers: list[str]) -> Item:
        """Say which move it is and which pod is to come; what of the images is there already, by container."""
        wrong = [one for one in containers if not LABEL.fullmatch(one)]
        if wrong or not NUMBER.fullmatch(number):
            raise CheckpointError("invalid_option", f"No number of a move, or no container: {number!a}, {wrong!a}")
        # The same agent may have had another move before.
        self._left = []
        self._folder = os.path.join(self._base, "moves", number)
        self._names = [Name(namespace, pod, container) for container in containers]
        tickets = Tickets(self._base)
        images = [one.container for one in self._names if os.path.isdir(self._images(one))]
        left = [one.container for one in self._names if os.path.lexists(tickets.path(one))]
        # What is there already may be all that there is of the pod: it does not end with this agent.
        self._held = bool(images or left)
        return {"images": images, "tickets": left}

    def open(self, identity: str, address: str, port: int, seconds: float) -> Item:
        """Open the door for the source; where it is. The images have to be there after so many seconds."""
        private_folder(os.path.dirname(self._folder))
        private_folder(self._folder)
        check_space(0, self._folder)
        self._deadline = Deadline(seconds)
        self._door = Door(address or None, port, Identity(identity))
        return {"addresses": self._door.addresses, "port": self._door.port}

    def receive(self, idle: float) -> Item:
        """Take what the source sends, to the end. ``idle``: see Line.idle_seconds."""
        if self._door is None:
            raise CheckpointError("wrong_order", "No door is open")
        with contextlib.closing(self._door) as door:
            self._door = None
            line = door.admit(Deadline(ADMIT_SECONDS), self._deadline)
        with contextlib.closing(line):
            line.idle_seconds = idle
            landed = stream.receive(line, self._folder, [one.container for one in self._names])
        return landed._asdict()

    def send(self) -> Item:
        """Send the images that are here, which stay, to the agent that was called by connect(); how much that is."""
        if self._line is None:
            raise CheckpointError("wrong_order", "There is nowhere to send it")
        missing = [one.container for one in self._names if not os.path.isdir(self._images(one))]
        if missing:
            raise CheckpointError(
                "images_missing",
                f"The images are not there any more: {', '.join(missing)}",
                hint=f"They were in {self._folder}; find out who removed them",
            )
        sending = stream.Sending(self._line, self._progress())
        for name in self._names:
            sending.folder = name.container
            stream.send(sending, self._images(name), self._stop)
        sending.end()
        return {"files": sending.files, "bytes": sending.bytes}

    def pend(self, seconds: float) -> Item:
        """Have whoever creates the containers wait for what they are to go on from, for so many seconds at most."""
        expires = int(time.time() + seconds)
        for name in self._names:
            self._left.append(name)
            Tickets(self._base).put(dataclasses.replace(self._ticket(name, expires), pending=True))
        return {"expires": expires}

    def leave(self, seconds: float, security: str, accept: list[str], volumes: dict[str, list[str]]) -> Item:
        """Leave a ticket for each container, good for so many seconds, or for none. ``volumes``: see source.py."""
        expires = int(time.time() + seconds)
        try:
            for name in self._names:
                self._left.append(name)
                self._leave(name, expires, security, accept, volumes)
        except BaseException:
            self.take_back()
            raise
        return {"expires": expires}

    def renew(
        self, seconds: float, security: str, accept: list[str], volumes: dict[str, list[str]], uid: str = ""
    ) -> Item:
        """Have the tickets that are still there be good for so many seconds; the containers whose are.

        One that was good only as long as the source was frozen for sure may be used later as well, once the source
        cannot go on. One that was pending is none any more. ``uid``: of the pod that alone may use them, if given.
        """
        tickets, expires = Tickets(self._base), int(time.time() + seconds)
        rights = {"security": security, "accept": tuple(sorted(accept)), "pod_uid": uid}
        renewed = []
        try:
            for name in self._names:
                ticket = tickets.get(name)
                if ticket is not None and ticket.pending:
                    # Nobody claims it as long as it is.
                    self._leave(name, expires, security, accept, volumes, uid)
                    renewed.append(name.container)
                elif tickets.renew(name, expires=expires, **rights):
                    renewed.append(name.container)
        except OSError as error:
            raise CheckpointError("not_renewed", "The tickets stay as they are", message=str(error)) from error
        return {"tickets": renewed}

    def _leave(
        self,
        name: Name,
        expires: int,
        security: str,
        accept: list[str],
        volumes: dict[str, list[str]],
        uid: str = "",
    ) -> None:
        contents: dict[str, Content] = {
            point: {"path": os.path.join(self._images(name), name_of_volume(number)), "sha256": None}
            for number, point in enumerate(volumes.get(name.container, []))
        }
        ticket = dataclasses.replace(
            self._ticket(name, expires), security=security, accept=tuple(sorted(accept)), volumes=contents, pod_uid=uid
        )
        leave(ticket, "", check=False, base=self._base)

    def _ticket(self, name: Name, expires: int) -> Ticket:
        return Ticket(*name, archive=self._images(name), sha256=None, expires=expires, on_failure="keep")

    def hold(self) -> Item:
        """Leave tickets and images where they are, whatever becomes of the controller."""
        self._held = True
        return {}

    def take_back(self) -> Item:
        """Take the tickets back: the containers whose tickets were there, and those whose were not any more."""
        tickets = Tickets(self._base)
        taken = [name.container for name in self._names if tickets.withdraw(name)]
        claimed = [name.container for name in self._left if name.container not in taken]
        if not claimed:
            self._left = []
            self._held = False
        return {"taken": taken, "claimed": claimed}

    def prove(self, containers: dict[str, str], seconds: float) -> Item:
        """The receipts, by container. ``containers``: by name, the IDs that they have in the pod's status.

        Raises CheckpointError ``not_restored``, ``restore_failed``, ``receipt_missing``, ``another_container``.
        """
        until = time.monotonic() + seconds
        found = {}
        for name in self._names:
            left = max(0.0, until - time.monotonic())
            found[name.container] = used(name, containers[name.container], left, base=self._base).receipt
        return {"receipts": found}

    def discard(self) -> Item:
        """Remove the images."""
        shutil.rmtree(self._folder, ignore_errors=True)
        return {}

    def close(self) -> None:
        """The controller is gone, or has nothing more to say."""
        self.hang_up()
        if self._door is not None:
            self._door.close()
        if not self._held and self._folder and not self.take_back()["claimed"]:
            self.discard()

    def _images(self, name: Name) -> str:
        return os.path.join(self._folder, name.container)
