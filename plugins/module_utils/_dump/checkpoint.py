# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint of one container without its engine: frozen, dumped once, and running again, or frozen until told.

Whatever happens, the container is as it was before: this process puts it right after a failure, and when it is killed,
the process of switch.py does.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import threading
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .._node import processes
from .._restore.ticket import BASE, Name
from . import difference, output, switch
from .documents import Documents, documents
from .dumping import Options, dump, prepare
from .finding import Target, find, require_idle
from .frozen import DUMPING, FROZEN, WRITING, Frozen, Records, boot, now, remove
from .limits import Limits
from .pages import Pages
from .rootfs import Overlay, overlay_of, storage_of

FREEZE_SECONDS = 10.0
PAUSE = 0.002
GRACE = 30.0
"""Seconds after the timeout until the container runs again even if this process hangs."""

FROM_WORK = ("dump.log", "stats-dump")
Item = dict[str, t.Any]
Made = t.Union[output.ArchiveOutput, output.FolderOutput]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What is wanted. ``timeout``: seconds for the time that the container is frozen; ``keep``: for how many seconds it
    stays frozen afterwards, None to let it run on at once."""

    name: Name
    destination: str
    folder: bool
    keep: t.Optional[float]
    timeout: float
    owner: str
    options: Options
    checkpoint_folder: str


def checkpoint(wishes: Wishes, stop: threading.Event, *, check: bool, base: str = BASE) -> Item:
    """Dump a container; what the module returns. Raises CheckpointError."""
    target = find(wishes.name)
    records = Records(base)
    _check_destination(wishes.destination)
    if check:
        _settle(target, records, check=True)
        require_idle(target.container, wishes.checkpoint_folder)
        _require_thawed(target)
        _overlay(target)
        return {"changed": True, **_said(target, wishes)}
    records.sweep()
    with records.lock(target.container.id):
        _settle(target, records, check=False)
        require_idle(target.container, wishes.checkpoint_folder)
        _require_thawed(target)
        _overlay(target)
        try:
            return {"changed": True, **_Dump(target, wishes, records, stop).run()}
        except OSError as error:
            raise output.unwritable(wishes.destination, error) from error


def _said(target: Target, wishes: Wishes) -> Item:
    return {
        **target.container.identity(),
        "destination": wishes.destination,
        "pid": target.pid,
        "frozen": wishes.keep is not None,
    }


def _overlay(target: Target) -> Overlay:
    return overlay_of(target.pid, storage_of(target.container.bundle))


def _check_destination(path: str) -> None:
    if not os.path.isabs(path) or os.path.normpath(path) != path:
        raise CheckpointError("invalid_option", f"destination is not an absolute path: {path!a}")
    if os.path.lexists(path):
        raise output.exists(path)
    if not os.path.isdir(os.path.dirname(path)):
        raise CheckpointError(
            "invalid_option", f"{os.path.dirname(path)} is no folder", hint="Make it first, as root's alone"
        )


def _settle(target: Target, records: Records, *, check: bool) -> None:
    """Undo what a call left that was killed. Raises CheckpointError already_frozen for what is frozen on purpose."""
    found = records.get(target.container.id)
    if found is not None and found.phase == FROZEN and not found.expired and found.lives:
        raise CheckpointError(
            "already_frozen",
            f"{found.owner} froze the container on purpose until {found.deadline}",
            hint="End that with state resumed or ended",
        )
    if found is not None and not check:
        records.undo(found)


def _require_thawed(target: Target) -> None:
    if target.freezer.state() != "thawed":
        raise CheckpointError(
            "already_frozen",
            "The container is frozen already, and not by runtime_checkpoint",
            hint="See with checkpoint_guard why, and thaw it",
        )


class _Dump:
    """One dump that is under way, of a container whose lock is held."""

    def __init__(self, target: Target, wishes: Wishes, records: Records, stop: threading.Event) -> None:
        self._target = target
        self._wishes = wishes
        self._records = records
        self._stop = stop
        container = target.container
        token = secrets.token_hex(8)
        beside, name = os.path.split(wishes.destination)
        # The ID in the path is how checkpoint_guard knows whose CRIU it is that writes there.
        self._folder = os.path.join(beside, f".{container.id}.{token}")
        self._new = os.path.join(beside, f".{name[:100]}.{token}") if not wishes.folder else f"{self._folder}/made"
        until = now() + wishes.timeout + GRACE
        self._record = Frozen(
            token=token,
            owner=wishes.owner,
            namespace=container.namespace,
            pod=container.pod,
            pod_uid=container.pod_uid,
            container=container.name,
            container_id=container.id,
            engine=container.engine,
            pid=target.pid,
            started=_started(target.pid),
            boot=boot(),
            phase=DUMPING,
            since=utc(time.time()),
            deadline=utc(time.time() + wishes.timeout + GRACE),
            until=until,
            temporary=(self._folder, self._new),
        )
        self._seconds: Item = {}
        self._files = 0

    def run(self) -> Item:
        known = documents(self._target.container)
        self._records.put(self._record)
        with contextlib.ExitStack() as stack:
            try:
                command, made = self._begin(stack)
                pages = self._pages(made, stack)
                alive = switch.start(self._record, self._records, pages.descriptors if pages is not None else ())
                stack.callback(os.close, alive)
                self._frozen(command, made, pages)
                self._rest(known, made)
                made.publish(self._wishes.destination)
                self._files = made.files
                remove(self._folder)
                if self._wishes.keep is not None:
                    self._keep(self._wishes.keep)
                else:
                    self._records.remove(self._target.container.id)
            except BaseException:
                self._undo()
                raise
        return self._result()

    def _undo(self) -> None:
        """Whatever stands in the way: the next call, checkpoint_guard or the switch tries again."""
        with contextlib.suppress(OSError):
            self._records.undo(self._record)

    def _begin(self, stack: contextlib.ExitStack) -> tuple[list[str], Made]:
        """What can be done before it is frozen: the command that dumps it, and what it is dumped into."""
        os.mkdir(self._folder, 0o700)
        os.mkdir(os.path.join(self._folder, "checkpoint"), 0o700)
        command = prepare(self._target, self._wishes.options, self._folder)
        made: Made
        if self._wishes.folder:
            os.mkdir(self._new, 0o700)
            made = output.FolderOutput(self._new)
        else:
            made = output.ArchiveOutput(self._new)
        stack.callback(made.close)
        return command, made

    def _pages(self, made: Made, stack: contextlib.ExitStack) -> t.Optional[Pages]:
        """The way of the memory into an archive; into a folder, CRIU writes it by itself."""
        if not isinstance(made, output.ArchiveOutput):
            return None
        pages = Pages(os.path.join(self._folder, "checkpoint"), _tasks(self._target.freezer.path), made)
        stack.callback(pages.close)
        return pages

    def _frozen(self, command: list[str], made: Made, pages: t.Optional[Pages]) -> None:
        """All that is done while it is frozen; it runs on afterwards if it is to."""
        freezer = self._target.freezer
        begun = time.monotonic()
        limits = Limits(begun + self._wishes.timeout, self._stop)
        freezer.freeze()
        self._wait_until_frozen(limits)
        dump(self._target, command, self._folder, pages, limits)
        self._seconds["dump_seconds"] = round(time.monotonic() - begun, 3)
        difference.write(_overlay(self._target), self._target.container.engine, made, limits)
        if freezer.state() != "frozen" or _started(self._target.pid) != self._record.started:
            raise CheckpointError(
                "thawed_meanwhile",
                "Somebody let the container run on while it was dumped, so the dump is not of one moment",
                hint="Run it again, and see who else handles the container",
            )
        if self._wishes.keep is None:
            if not freezer.thaw(FREEZE_SECONDS):
                raise CheckpointError("not_thawed", "The container was dumped, and does not thaw")
            self._seconds["frozen_seconds"] = round(time.monotonic() - begun, 3)
            self._phase(WRITING)

    def _rest(self, known: Documents, made: Made) -> None:
        """Everything else that belongs into it."""
        images = os.path.join(self._folder, "checkpoint")
        work = os.path.join(self._folder, "work")
        if isinstance(made, output.FolderOutput):
            os.rename(images, os.path.join(self._new, "checkpoint"))
        else:
            for name in sorted(os.listdir(images)):
                output.copy(made, f"checkpoint/{name}", os.path.join(images, name))
        for name in FROM_WORK:
            if os.path.exists(os.path.join(work, name)):
                output.copy(made, name, os.path.join(work, name))
        for name, content in known.members.items():
            output.add(made, name, content)
        if os.path.isfile(known.log[1]):
            output.copy(made, *known.log)

    def _wait_until_frozen(self, limits: Limits) -> None:
        end = time.monotonic() + FREEZE_SECONDS
        while self._target.freezer.state() != "frozen":
            limits.check()
            if time.monotonic() > end:
                raise CheckpointError(
                    "not_frozen", "The container could not be frozen", hint="See whether a process of it hangs"
                )
            time.sleep(PAUSE)

    def _phase(self, phase: str, **more: t.Any) -> None:
        self._record = dataclasses.replace(self._record, phase=phase, **more)
        self._records.put(self._record)

    def _keep(self, seconds: float) -> None:
        """Have it stay frozen for so long at most."""
        self._phase(FROZEN, until=now() + seconds, deadline=utc(time.time() + seconds), temporary=())

    def _result(self) -> Item:
        path = self._wishes.destination
        sizes = [
            os.stat(os.path.join(folder, name)).st_size for folder, _folders, names in os.walk(path) for name in names
        ]
        kept = self._wishes.keep is not None
        return {
            **_said(self._target, self._wishes),
            "size": sum(sizes) if self._wishes.folder else os.stat(path).st_size,
            "files": len(sizes) if self._wishes.folder else self._files,
            "sha256": None if self._wishes.folder else output.sha256(path),
            "dump_seconds": self._seconds["dump_seconds"],
            "frozen_seconds": self._seconds.get("frozen_seconds"),
            "deadline": self._record.deadline if kept else None,
        }


def _started(pid: int) -> int:
    process = processes.look_up(pid)
    return process.started if process is not None else -1


def _tasks(cgroup: str) -> int:
    return len(processes.read(os.path.join(cgroup, "cgroup.procs")).split())
