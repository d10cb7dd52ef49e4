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
import threading
import time
import typing as t

from .._common.errors import CheckpointError
from .._restore.ticket import BASE, Name
from . import output
from .dumping import Options
from .finding import Target, find, require_idle
from .frozen import FROZEN, Records
from .limits import Limits
from .pages import Pages
from .steps import Steps, new_token, overlay

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
        require_dumpable(target, records, wishes.checkpoint_folder, check=True)
        return {"changed": True, **_said(target, wishes)}
    records.sweep()
    with records.lock(target.container.id):
        require_dumpable(target, records, wishes.checkpoint_folder, check=False)
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


def require_dumpable(target: Target, records: Records, checkpoint_folder: str, *, check: bool) -> None:
    """Undo what a call left that was killed (not with ``check``), and see that nothing is in the way of a dump.

    Raises CheckpointError already_frozen, checkpoint_under_way, rootfs_unsupported.
    """
    _settle(target, records, check=check)
    require_idle(target.container, checkpoint_folder)
    _require_thawed(target)
    overlay(target)


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
        self._stop = stop
        beside, name = os.path.split(wishes.destination)
        token = new_token()
        archive = os.path.join(beside, f".{name[:100]}.{token}")
        also = [] if wishes.folder else [archive]
        owner, timeout = wishes.owner, wishes.timeout
        self._steps = Steps(target, records, token=token, beside=beside, also=also, owner=owner, timeout=timeout)
        self._new = os.path.join(self._steps.folder, "made") if wishes.folder else archive
        self._seconds: Item = {}
        self._files = 0

    def run(self) -> Item:
        steps = self._steps
        with contextlib.ExitStack() as stack:
            try:
                steps.prepare(self._wishes.options)
                made = self._output()
                stack.callback(made.close)
                # Into a folder, CRIU writes the memory by itself.
                pages = (
                    None
                    if isinstance(made, output.FolderOutput)
                    else stack.enter_context(contextlib.closing(steps.pages(made)))
                )
                stack.callback(os.close, steps.guard(pages))
                self._frozen(made, pages)
                if isinstance(made, output.FolderOutput):
                    os.rename(steps.images, os.path.join(self._new, "checkpoint"))
                steps.rest(made)
                steps.logs(made)
                made.publish(self._wishes.destination)
                self._files = made.files
                if self._wishes.keep is not None:
                    steps.keep(self._wishes.keep)
                else:
                    steps.end()
            except BaseException:
                steps.undo()
                raise
        return self._result()

    def _output(self) -> Made:
        if not self._wishes.folder:
            return output.ArchiveOutput(self._new)
        os.mkdir(self._new, 0o700)
        return output.FolderOutput(self._new)

    def _frozen(self, made: Made, pages: t.Optional[Pages]) -> None:
        """All that is done while it is frozen; it runs on afterwards if it is to."""
        begun = time.monotonic()
        limits = Limits(begun + self._wishes.timeout, self._stop)
        self._steps.freeze(limits)
        self._steps.dump(pages, limits)
        self._seconds["dump_seconds"] = round(time.monotonic() - begun, 3)
        self._steps.changes(made, limits)
        if self._wishes.keep is None:
            self._steps.thaw()
            self._seconds["frozen_seconds"] = round(time.monotonic() - begun, 3)

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
            "deadline": self._steps.deadline if kept else None,
        }
