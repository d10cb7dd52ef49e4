# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of being frozen: the container runs on, or every process of it is killed before it has done anything more.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .._node import processes
from .._node.freezer import Freezer
from .._restore.ticket import BASE, Name
from .finding import look_up
from .frozen import FROZEN, Frozen, Records, now

LOCK_SECONDS = 15.0
END_SECONDS = 10.0
GIVEN_SECONDS = 24 * 3600.0
"""How long one stays frozen whose state goes on elsewhere, if the kubelet never stops it, as when it is down."""

PAUSE = 0.005
PENDING = re.compile(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$", re.MULTILINE)
STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM)
"""What a kubelet has a container stopped by. Others also come by themselves, as SIGCHLD of a child that has just ended,
or SIGALRM; an image with another STOPSIGNAL is told by the SIGKILL that follows it."""

MASK = sum(1 << (number - 1) for number in STOPPING)
Item = dict[str, t.Any]


def _records(name: Name, records: Records) -> list[Frozen]:
    return [one for one in records.all() if (one.namespace, one.pod, one.container) == tuple(name)]


def _shown(record: Frozen) -> Item:
    return {**record.as_container().identity(), "pid": record.pid, "frozen": False}


def resume(name: Name, *, check: bool, base: str = BASE) -> Item:
    """Let a container run on that was frozen on purpose; what the module returns.

    Raises CheckpointError checkpoint_under_way, frozen_otherwise, not_thawed.
    """
    records = Records(base)
    found = _records(name, records)
    if not found:
        container = look_up(name)
        known: Item = {**container.identity(), "pid": container.pid} if container is not None else {}
        return {"changed": False, **known, "frozen": False}
    record = found[-1]
    if check:
        return {"changed": True, **_shown(record)}
    for one in found:
        with records.lock(one.container_id, LOCK_SECONDS):
            if not _undone(one, records):
                raise CheckpointError(
                    "not_thawed", f"{name} stays frozen", hint="Delete its pod, which is what helps at last"
                )
    return {"changed": True, **_shown(record)}


def _undone(record: Frozen, records: Records) -> bool:
    try:
        return records.undo(record)
    except OSError as error:
        raise CheckpointError("not_thawed", "The container could not be thawed", message=str(error)) from error


def end(name: Name, seconds: float, *, check: bool, base: str = BASE) -> Item:
    """Kill a container that is frozen on purpose, once the kubelet has begun to stop it; what the module returns.

    Before that, the kubelet would take it for one that ended by itself, and start it anew. That its signal waits in
    the first process is the sign. ``seconds``: how long to wait for it.

    Raises CheckpointError not_stopping, not_frozen, not_ended, checkpoint_under_way.
    """
    records = Records(base)
    found = [one for one in _records(name, records) if one.phase == FROZEN]
    if not found:
        container = look_up(name)
        if container is not None:
            raise CheckpointError(
                "not_frozen",
                f"{name} runs, and is not frozen on purpose: its time may be over",
                hint="Only what runtime_checkpoint froze and left frozen is ended",
            )
        return {"changed": False, "frozen": False}
    record = found[-1]
    if check:
        return {"changed": True, **_shown(record)}
    for one in found:
        with records.lock(one.container_id, LOCK_SECONDS):
            freezer = one.freezer()
            if freezer is not None:
                _wait_for_signal(one, seconds)
                _kill(freezer)
            records.remove(one.container_id)
    return {"changed": True, **_shown(record)}


def give(name: Name, seconds: float = GIVEN_SECONDS, *, base: str = BASE) -> None:
    """Have a container that is frozen on purpose not run on for so long: its state goes on elsewhere.

    Again is no mistake. Raises CheckpointError not_frozen, checkpoint_under_way.
    """
    records = Records(base)
    found = [one for one in _records(name, records) if one.phase == FROZEN and one.lives]
    if not found:
        raise CheckpointError(
            "not_frozen", f"{name} is not frozen on purpose any more", hint="See on its node what runs there"
        )
    for one in found:
        with records.lock(one.container_id, LOCK_SECONDS):
            # Who let it run on has removed the record, with the lock in hand.
            kept = records.get(one.container_id)
            if kept is None or kept.token != one.token:
                raise CheckpointError("not_frozen", f"{name} was let run on", hint="Its time was over")
            until = {"until": now() + seconds, "deadline": utc(time.time() + seconds)}
            records.put(dataclasses.replace(kept, given=True, **until))  # type: ignore[arg-type]


def stopping(record: Frozen) -> bool:
    """Whether the kubelet has begun to stop the container."""
    status = processes.read(os.path.join(processes.PROC, str(record.pid), "status"))
    return any(int(bits, 16) & MASK for bits in PENDING.findall(status))


def end_given(record: Frozen, records: Records) -> None:
    """Kill one that was given, and that the kubelet stops. Its lock is held. Raises CheckpointError not_ended."""
    freezer = record.freezer()
    if freezer is not None:
        _kill(freezer)
    records.remove(record.container_id)


def _wait_for_signal(record: Frozen, seconds: float) -> None:
    until = time.monotonic() + seconds
    while record.lives:
        if record.expired:
            raise CheckpointError(
                "not_frozen", "The time of the frozen container is over", hint="Freeze it again with a later deadline"
            )
        if stopping(record):
            return
        if time.monotonic() > until:
            raise CheckpointError(
                "not_stopping",
                "The kubelet has not begun to stop the container, and would start it anew",
                hint="Delete its pod first, or let it run on with state resumed",
            )
        time.sleep(PAUSE)


def _kill(freezer: Freezer) -> None:
    """SIGKILL to all of the container's processes, which die when they thaw. Raises CheckpointError not_ended."""
    until = time.monotonic() + END_SECONDS
    while True:
        tasks = _tasks(freezer.path)
        for pid in tasks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            freezer.thaw(END_SECONDS)
        if not tasks:
            return
        if time.monotonic() > until:
            raise CheckpointError("not_ended", f"Processes of the container do not end: {sorted(tasks)}")
        time.sleep(PAUSE)


def _tasks(cgroup: str) -> set[int]:
    """The processes in a cgroup and those within it; zombies are left to who waits for them."""
    found: set[int] = set()
    for folder, _folders, _files in os.walk(cgroup):
        found.update(int(word) for word in processes.read(os.path.join(folder, "cgroup.procs")).split())
    table = (processes.look_up(pid) for pid in found if pid)
    return {process.pid for process in table if process is not None and processes.alive(process)}
