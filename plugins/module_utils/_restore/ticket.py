# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets: what allows one container on this node to be restored, once, and from what.

A ticket is a JSON file that belongs to root. Its folder is readable by root alone, and its name is made from the
container's, so that looking for one needs no search.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
import stat
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.files import exchange, written
from .._common.moments import utc

BASE = "/var/lib/checkpoint-restore"
"""Where tickets and half-done restores lie: on a disk, because a restore unpacks there."""

VERSION = 1
MAX_TICKET = 1 << 16
PAUSE = 0.01
MAX_NAME = 200
MAX_VOLUMES = 100
SECURITY = ("refuse", "clamp")
ON_FAILURE = ("cold", "keep")
SHA256 = re.compile(r"[0-9a-f]{64}")
LABEL = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Name(t.NamedTuple):
    """A container of a pod."""

    namespace: str
    pod: str
    container: str

    def __str__(self) -> str:
        return "/".join(self)

    @property
    def file(self) -> str:
        """The name of its ticket: underscores occur in none of the three parts."""
        plain = "_".join(self)
        return (plain if len(plain) <= MAX_NAME else hashlib.sha256(plain.encode()).hexdigest()) + ".json"


def _bad(what: str) -> CheckpointError:
    return CheckpointError("ticket_invalid", f"The ticket is not valid: {what}", hint="Leave a new ticket")


class Content(t.TypedDict):
    """What goes into a volume: the absolute path of a tar with its SHA-256, or of a folder without."""

    path: str
    sha256: t.Optional[str]


def is_plain(path: t.Any) -> bool:
    """Whether it is an absolute path without detours."""
    return isinstance(path, str) and path.startswith("/") and os.path.normpath(path) == path and "\0" not in path


def _check_file(what: str, path: t.Any, sha256: t.Any) -> None:
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
        raise _bad(f"the {what} is not an absolute path")
    if sha256 is not None and not (isinstance(sha256, str) and SHA256.fullmatch(sha256)):
        raise _bad(f"the SHA-256 of the {what} is not 64 hexadecimal digits")


@dataclasses.dataclass(frozen=True)
class Ticket:
    """``archive``: an absolute path, a checkpoint archive with its SHA-256, or an unpacked one without. ``volumes``:
    the same for what goes into volumes, by the path of the mount in the container.
    ``expires``: seconds since 1970. ``accept``: names of excesses that are allowed, see security.py.
    ``on_failure``: "cold" consumes the ticket, so that the next try starts from the image, "keep" leaves it.
    ``pending``: what it is for is still on its way, and whoever creates the container waits for that. ``pod_uid``: of
    the one pod that it is for; empty for any of the name."""

    namespace: str
    pod: str
    container: str
    archive: str
    sha256: t.Optional[str]
    expires: int
    security: str = "refuse"
    accept: tuple[str, ...] = ()
    on_failure: str = "cold"
    volumes: dict[str, Content] = dataclasses.field(default_factory=dict)
    pending: bool = False
    pod_uid: str = ""

    @property
    def name(self) -> Name:
        return Name(self.namespace, self.pod, self.container)

    def check(self) -> None:
        """Raise CheckpointError ticket_invalid where a field is not what it has to be."""
        for part in self.name:
            if not isinstance(part, str) or not LABEL.fullmatch(part) or len(part) > 253:
                raise _bad(f"{part!r} is not a name in Kubernetes")
        _check_file("archive", self.archive, self.sha256)
        if not isinstance(self.pod_uid, str):
            raise _bad("the UID of the pod is none")
        if not isinstance(self.expires, int) or isinstance(self.expires, bool):
            raise _bad("it does not say when it expires")
        if self.security not in SECURITY or self.on_failure not in ON_FAILURE:
            raise _bad("a choice is not one that is known")
        if not all(isinstance(name, str) for name in self.accept):
            raise _bad("what it accepts is not a list of names")
        if not isinstance(self.pending, bool):
            raise _bad("it does not say whether it is pending")
        if len(self.volumes) > MAX_VOLUMES:
            raise _bad(f"it has more than {MAX_VOLUMES} volumes")
        for point, content in self.volumes.items():
            if not is_plain(point) or point == "/":
                raise _bad(f"{point!a} is not the absolute path of a mount")
            _check_file(f"content of {point}", content["path"], content["sha256"])
        if len(self.as_json()) > MAX_TICKET:
            raise _bad("it is too large")

    def check_in_time(self, now: float) -> None:
        """Raise CheckpointError ticket_expired."""
        if now >= self.expires:
            raise CheckpointError(
                "ticket_expired",
                f"The ticket for {self.name} expired at {utc(self.expires)}",
                hint="Leave a new ticket",
            )

    def check_pod(self, uid: str) -> None:
        """Raise CheckpointError ticket_of_another. ``uid``: of the pod whose container is created, empty if unknown."""
        if self.pod_uid and uid and self.pod_uid != uid:
            raise CheckpointError(
                "ticket_of_another",
                f"The ticket for {self.name} is for another pod of the name, with the UID {self.pod_uid}",
                hint="Delete this pod",
            )

    def as_json(self) -> bytes:
        fields = dataclasses.asdict(self)
        for name in ("pending", "pod_uid"):
            if not fields[name]:
                # A restore runtime that does not know the field yet reads all others.
                del fields[name]
        return (json.dumps({"version": VERSION, **fields}, indent=2) + "\n").encode()


def parse(data: bytes) -> Ticket:
    """A ticket from its file's content. Raises CheckpointError ticket_invalid."""
    try:
        fields = json.loads(data)
        if fields.pop("version") != VERSION:
            raise _bad("it was written by another version")
        ticket = Ticket(**{**fields, "accept": tuple(fields.get("accept", ()))})
        ticket.check()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _bad(f"{error!r}") from error
    return ticket


def read(path: str) -> t.Optional[Ticket]:
    """The ticket at a path, None where there is none. Raises CheckpointError ticket_invalid."""
    data = read_private(path)
    return None if data is None else parse(data)


def read_private(path: str) -> t.Optional[bytes]:
    """What is in a file that has to be root's alone, None where there is none.

    Raises CheckpointError ticket_invalid."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _bad(str(error)) from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise _bad("the file is not root's alone")
        return file.read(MAX_TICKET)


def private_folder(path: str) -> None:
    """Make a folder that is root's alone, or see that it is."""
    with contextlib.suppress(FileExistsError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.mkdir(path, 0o700)
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise CheckpointError("folder_untrusted", f"{path} is not a folder of root's")
    if info.st_mode & 0o077:
        os.chmod(path, 0o700)


class Tickets:
    """The tickets of this node."""

    def __init__(self, base: str = BASE) -> None:
        self.folder = os.path.join(base, "tickets")

    def path(self, name: Name) -> str:
        return os.path.join(self.folder, name.file)

    def get(self, name: Name) -> t.Optional[Ticket]:
        return read(self.path(name))

    def put(self, ticket: Ticket) -> None:
        """Leave a ticket; one for the same container is replaced."""
        private_folder(self.folder)
        with written(self.path(ticket.name)) as file:
            file.write(ticket.as_json())

    def withdraw(self, name: Name) -> bool:
        """Take a ticket back; False where there is none, be it that it was never there or that it is in use."""
        gone = f"{self.path(name)}.{secrets.token_hex(4)}"
        try:
            # By renaming, as a claim does: of the two only one succeeds.
            os.rename(self.path(name), gone)
        except FileNotFoundError:
            return False
        os.unlink(gone)
        return True

    def renew(self, name: Name, **changes: t.Any) -> bool:
        """Change fields of a ticket that nobody has claimed; False where it is in use, or was never there.

        Raises OSError, also where the system cannot exchange two files.
        """
        with contextlib.suppress(CheckpointError, FileNotFoundError):
            ticket = self.get(name)
            if ticket is not None:
                # There is one to be claimed at any moment, and none more where it was claimed before.
                with written(self.path(name), move=exchange) as file:
                    file.write(dataclasses.replace(ticket, **changes).as_json())
                return True
        return False

    def claim(self, name: Name, place: str) -> bool:
        """Take a ticket for use: it moves to the place, and nobody else can have it."""
        try:
            os.rename(self.path(name), place)
        except FileNotFoundError:
            return False
        return True

    def wait(self, name: Name, uid: str = "") -> None:
        """Wait as long as the ticket is pending. ``uid``: of the pod whose container is created.

        Raises CheckpointError ``ticket_expired``, ``ticket_of_another``, and ``ticket_withdrawn`` where it went: then
        the container is not to be created from its image either.
        """
        pending = False
        while True:
            try:
                ticket = self.get(name)
            except CheckpointError:
                # Whoever takes it says what is wrong with it.
                return
            if ticket is None and pending:
                raise CheckpointError(
                    "ticket_withdrawn",
                    f"What the container {name} was to go on from does not come",
                    hint="Delete the pod",
                )
            if ticket is None:
                return
            if not ticket.pending:
                # Before it is claimed: the pod that it is for has to find it at any moment.
                ticket.check_pod(uid)
                return
            pending = True
            ticket.check_in_time(time.time())
            time.sleep(PAUSE)

    def give_back(self, name: Name, place: str) -> None:
        """Undo a claim, unless there is a newer ticket."""
        with contextlib.suppress(OSError):
            os.link(place, self.path(name))
