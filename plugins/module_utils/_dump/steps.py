# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a dump, for one container whose lock is held: prepared, frozen, written, and then kept frozen or not.

Whoever takes them undoes them when one fails; a process that is killed between them is undone by that of switch.py.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import secrets
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .._node import processes
from .._restore.bundle import Bundle
from .._restore.volumes import empty_dir
from . import difference, output, shared, switch
from .documents import documents
from .dumping import Options, dump, prepare
from .finding import Target
from .frozen import DUMPING, FROZEN, WRITING, Frozen, Records, boot, now, remove
from .limits import Limits
from .pages import Pages
from .rootfs import Overlay, overlay_of, storage_of

FREEZE_SECONDS = 10.0
PAUSE = 0.002
GRACE = 30.0
"""Seconds after the timeout until the container runs again even if this process hangs."""

FROM_WORK = ("dump.log", "stats-dump")


class Steps:
    """One dump. ``token``: of new_token(); ``beside``: the folder in which it works; ``also``: what to remove where it
    fails; ``timeout``: seconds from now until it is over. Raises CheckpointError identity_unreadable."""

    def __init__(
        self,
        target: Target,
        records: Records,
        *,
        token: str,
        beside: str,
        also: t.Sequence[str],
        owner: str,
        timeout: float,
    ) -> None:
        self.target = target
        self._records = records
        container = target.container
        # The ID in the path is how checkpoint_guard knows whose CRIU it is that writes there.
        self.folder = os.path.join(beside, f".{container.id}.{token}")
        self._record = Frozen(
            token=token,
            owner=owner,
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
            deadline=utc(time.time() + timeout + GRACE),
            until=now() + timeout + GRACE,
            temporary=(self.folder, *also),
        )
        self._known = documents(container)
        self._command: list[str] = []
        self._volumes: list[str] = []

    @property
    def images(self) -> str:
        """Where CRIU writes."""
        return os.path.join(self.folder, "checkpoint")

    @property
    def deadline(self) -> str:
        """Until when it stays frozen, for people."""
        return self._record.deadline

    def prepare(self, options: Options, points: t.Sequence[str] = ()) -> None:
        """What can be done before it is frozen. ``points``: paths in the container of emptyDir volumes.

        Raises CheckpointError, volume_unknown among it, and OSError.
        """
        if points:
            # The folders on the node: what a path leads to in the container is for the container to say.
            bundle = Bundle(self.target.container.bundle)
            self._volumes = [empty_dir(point, bundle) for point in points]
        self._records.put(self._record)
        os.mkdir(self.folder, 0o700)
        os.mkdir(self.images, 0o700)
        self._command = prepare(self.target, options, self.folder)

    def pages(self, made: output.Output) -> Pages:
        """The way of the memory into an output. Without one, CRIU writes it to files. To be closed."""
        return Pages(self.images, _tasks(self.target.freezer.path), made)

    def guard(self, pages: t.Optional[Pages]) -> int:
        """Start the process that undoes it if this one is killed; the descriptor that has to stay open until then."""
        return switch.start(self._record, self._records, pages.descriptors if pages is not None else ())

    def freeze(self, limits: Limits) -> None:
        """Raises CheckpointError not_frozen, interrupted, timeout."""
        freezer = self.target.freezer
        freezer.freeze()
        end = time.monotonic() + FREEZE_SECONDS
        while freezer.state() != "frozen":
            limits.check()
            if time.monotonic() > end:
                raise CheckpointError(
                    "not_frozen", "The container could not be frozen", hint="See whether a process of it hangs"
                )
            time.sleep(PAUSE)

    def dump(self, pages: t.Optional[Pages], limits: Limits) -> None:
        """Have CRIU dump what is frozen. Raises as dumping.dump()."""
        dump(self.target, self._command, self.folder, pages, limits)

    def changes(self, made: output.Output, limits: Limits) -> None:
        """Write the changes of the root file system, and see that nothing moved meanwhile.

        Raises CheckpointError thawed_meanwhile, and as difference.write().
        """
        difference.write(overlay(self.target), self.target.container.engine, made, limits)
        if self.target.freezer.state() != "frozen" or _started(self.target.pid) != self._record.started:
            raise CheckpointError(
                "thawed_meanwhile",
                "Somebody let the container run on while it was dumped, so the dump is not of one moment",
                hint="Run it again, and see who else handles the container",
            )

    def rest(self, made: output.Output) -> None:
        """Write what else a restore needs, the images that CRIU wrote to files first."""
        for name in sorted(os.listdir(self.images)) if os.path.isdir(self.images) else ():
            output.copy(made, f"checkpoint/{name}", os.path.join(self.images, name))
        for name, content in self._known.members.items():
            output.add(made, name, content)

    def logs(self, made: output.Output) -> None:
        """Write what nobody needs but people: the logs of CRIU and of the container, which may be long."""
        work = os.path.join(self.folder, "work")
        for name in FROM_WORK:
            if os.path.exists(os.path.join(work, name)):
                output.copy(made, name, os.path.join(work, name))
        if os.path.isfile(self._known.log[1]):
            output.copy(made, *self._known.log)

    def volumes(self, made: output.Output, limits: Limits) -> None:
        """Write the contents of the volumes that prepare() was told: see :func:`name_of_volume`.

        Raises as difference.write_folder().
        """
        for number, path in enumerate(self._volumes):
            with made.member(name_of_volume(number)) as file:
                difference.write_folder(path, file, limits)

    def write_back(self, limits: Limits) -> None:
        """See that another node finds in the volumes what the container has written. Raises as shared.write_back()."""
        shared.write_back(self._shared, limits)

    @functools.cached_property
    def _shared(self) -> list[str]:
        # Once, as it is asked for again while the container is frozen.
        return shared.shared(Bundle(self.target.container.bundle))

    def thaw(self) -> None:
        """Let it run on; what is dumped is still to be finished. Raises CheckpointError not_thawed."""
        if not self.target.freezer.thaw(FREEZE_SECONDS):
            raise CheckpointError("not_thawed", "The container was dumped, and does not thaw")
        self._phase(WRITING)

    def keep(self, seconds: float) -> None:
        """Have it stay frozen for so long at most; what it took is removed."""
        remove(self.folder)
        self._phase(FROZEN, until=now() + seconds, deadline=utc(time.time() + seconds), temporary=())

    def end(self) -> None:
        """It runs, and its dump is finished."""
        remove(self.folder)
        self._records.remove(self.target.container.id)

    def undo(self) -> None:
        """Whatever stands in the way: the next call, checkpoint_guard or the switch tries again."""
        with contextlib.suppress(OSError):
            self._records.undo(self._record)

    def _phase(self, phase: str, **more: t.Any) -> None:
        self._record = dataclasses.replace(self._record, phase=phase, **more)
        self._records.put(self._record)


def name_of_volume(number: int) -> str:
    """The tar with the contents of a volume, in a folder of images."""
    return f"volume-{number}.tar"


def new_token() -> str:
    """What tells a dump from all others."""
    return secrets.token_hex(8)


def overlay(target: Target) -> Overlay:
    """Raises CheckpointError rootfs_unsupported."""
    return overlay_of(target.pid, storage_of(target.container.bundle))


def _started(pid: int) -> int:
    process = processes.look_up(pid)
    return process.started if process is not None else -1


def _tasks(cgroup: str) -> int:
    return len(processes.read(os.path.join(cgroup, "cgroup.procs")).split())
