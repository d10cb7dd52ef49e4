# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent does on the node that a pod leaves: all of its containers are frozen, dumped and sent, or none.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t

from .._common.errors import CheckpointError
from .._dump import ending, output
from .._dump.checkpoint import require_dumpable
from .._dump.dumping import Options
from .._dump.finding import find
from .._dump.frozen import FROZEN, Records, now
from .._dump.limits import Limits
from .._dump.steps import Steps, new_token
from .._restore.ticket import BASE, Name, private_folder
from . import look
from .caller import Caller, Item, Tell
from .stream import Sending


class Source(Caller):
    """One pod that goes. Each public method but close() is a word of the controller's, see loop.py."""

    def __init__(self, stop: threading.Event, tell: Tell, base: str = BASE) -> None:
        super().__init__(stop, tell)
        self._base = base
        self._names: list[Name] = []
        self._steps: list[Steps] = []
        self._stack = contextlib.ExitStack()
        self._held = False
        self._keeps = False

    def look(self, **about: t.Any) -> Item:
        """What there is to be moved, see look.source()."""
        return look.source(base=self._base, **about)

    def name(self, namespace: str, pod: str, containers: list[str]) -> Item:
        """Say which pod it is about, for what follows, where nothing is prepared: in a run that takes up another."""
        self._names = [Name(namespace, pod, container) for container in containers]
        return {}

    def prepare(
        self,
        namespace: str,
        pod: str,
        containers: dict[str, str],
        volumes: dict[str, list[str]],
        number: str,
        timeout: float,
        options: Item,
    ) -> Item:
        """All that can be done before the freeze. ``containers``: their IDs by their names; ``volumes``: by the same,
        the paths of the emptyDir volumes whose contents go along with it; ``timeout``: seconds until the dump is over;
        ``options``: the fields of _dump.dumping.Options, and ``checkpoint_directory``.

        Raises CheckpointError ``container_changed``, and what runtime_checkpoint raises.
        """
        # The same agent may have had another pod before.
        self._names, self._held = [], False
        folder = os.path.join(self._base, "moves")
        private_folder(folder)
        checkpoint_folder = options.pop("checkpoint_directory")
        self._keeps = bool(options.get("tcp_keep"))
        records = Records(self._base)
        records.sweep()
        try:
            for container, wanted in containers.items():
                target = find(Name(namespace, pod, container))
                if target.container.id != wanted:
                    raise CheckpointError(
                        "container_changed",
                        f"The container {container} was started anew meanwhile",
                        hint="Run it again",
                    )
                self._stack.enter_context(records.lock(wanted))
                require_dumpable(target, records, checkpoint_folder, check=False)
                owner = f"move {number}"
                steps = Steps(target, records, token=new_token(), beside=folder, also=(), owner=owner, timeout=timeout)
                self._steps.append(steps)
                self._names.append(Name(namespace, pod, container))
                steps.prepare(Options(**options), volumes.get(container, []))
        except OSError as error:
            self._undo()
            raise output.unwritable(folder, error) from error
        except BaseException:
            self._undo()
            raise
        return {"engines": sorted({steps.target.container.engine for steps in self._steps})}

    def dump(self, timeout: float, seconds: float) -> Item:
        """Freeze all, dump and send them, for which there are ``timeout`` seconds.

        They stay frozen, for ``seconds`` in all at most. Whatever fails, they run as before.
        """
        begun = time.monotonic()
        line = self._line
        if line is None or not self._steps:
            raise CheckpointError("wrong_order", "There is nothing to be dumped, or nowhere to send it")
        try:
            sending = Sending(line, self._progress())
            times = self._dump(sending, timeout)
            for steps in self._steps:
                steps.keep(max(1.0, seconds - (time.monotonic() - begun)))
        except OSError as error:
            self._undo()
            raise output.unwritable(os.path.join(self._base, "moves"), error) from error
        except BaseException:
            self._undo()
            raise
        self._forget()
        return {**times, "bytes": sending.bytes, "files": sending.files}

    def _dump(self, sending: Sending, timeout: float) -> Item:
        # What of the memory CRIU writes goes straight into the line.
        ways = [self._stack.enter_context(contextlib.closing(steps.pages(sending))) for steps in self._steps]
        for steps, pages in zip(self._steps, ways):
            self._stack.callback(os.close, steps.guard(pages))
        begun = time.monotonic()
        limits = Limits(begun + timeout, self._stop)
        # Most of it before, so that little is left to be written while they are frozen.
        self._write_back(limits)
        begun = time.monotonic()
        for steps in self._steps:
            steps.freeze(limits)
        for steps in self._steps if self._keeps else ():
            # Only now can no new ones come to be.
            look.require_within(steps.target)
        self._write_back(limits)
        frozen = time.monotonic()
        for steps, pages in zip(self._steps, ways):
            sending.folder = steps.target.container.name
            steps.dump(pages, limits)
        dumped = time.monotonic()
        for steps in self._steps:
            sending.folder = steps.target.container.name
            steps.changes(sending, limits)
            steps.rest(sending)
            steps.volumes(sending, limits)
        sending.end()
        sent = time.monotonic()
        times = {"freeze_seconds": frozen - begun, "dump_seconds": dumped - frozen, "rest_seconds": sent - dumped}
        return {name: round(value, 4) for name, value in times.items()}

    def _write_back(self, limits: Limits) -> None:
        for steps in self._steps:
            steps.write_back(limits)

    def resume(self) -> Item:
        """Let all run on. Raises CheckpointError ``not_thawed``."""
        self._undo()
        # Each of them, also where one cannot be.
        with contextlib.ExitStack() as stack:
            for name in self._names:
                stack.callback(ending.resume, name, check=False, base=self._base)
        self._held = False
        return {}

    def hold(self, least: float) -> Item:
        """Stay frozen until the time is over, whatever becomes of the controller. ``least``: seconds that have to be
        left. Raises CheckpointError ``not_frozen``."""
        wanted = set(self._names)
        found = [one for one in Records(self._base).all() if Name(one.namespace, one.pod, one.container) in wanted]
        left = [one.until - now() for one in found if one.phase == FROZEN and one.lives]
        if len(left) < len(wanted) or min(left) < least:
            raise CheckpointError(
                "not_frozen",
                "The time of the frozen containers is over, or nearly so",
                hint="Give them more time, or see what took so long",
            )
        self._held = True
        return {"left": round(min(left), 3)}

    def give(self, seconds: float = ending.GIVEN_SECONDS) -> Item:
        """Do not run on for so long: the state goes on elsewhere. Raises CheckpointError ``not_frozen``."""
        self._held = True
        for name in self._names:
            ending.give(name, seconds, base=self._base)
        return {}

    def end(self, seconds: float) -> Item:
        """Kill all, as soon as the kubelet stops them, for which to wait so long. It comes to its end without the
        controller. Raises CheckpointError ``not_stopping``, ``not_frozen``, ``not_ended``."""
        until = time.monotonic() + seconds
        for name in self._names:
            ending.end(name, max(0.0, until - time.monotonic()), check=False, base=self._base)
        return {}

    def close(self) -> None:
        """The controller is gone, or has nothing more to say."""
        self.hang_up()
        if not self._held:
            # Whatever an agent before this one gave away goes on elsewhere.
            given = {Name(one.namespace, one.pod, one.container) for one in Records(self._base).all() if one.given}
            self._names = [name for name in self._names if name not in given]
            with contextlib.suppress(CheckpointError, OSError):
                self.resume()

    def _undo(self) -> None:
        """What is prepared or frozen, and not dumped yet."""
        self.hang_up()
        for steps in self._steps:
            steps.undo()
        self._forget()

    def _forget(self) -> None:
        self._steps = []
        stack, self._stack = self._stack, contextlib.ExitStack()
        stack.close()
