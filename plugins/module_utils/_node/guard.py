# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checkpoint can leave behind on a node, found and put right: what checkpoint_guard returns.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from .._common.errors import CheckpointError
from .._dump.frozen import DUMPING, FROZEN, Frozen, Records
from .._restore.ticket import BASE
from . import containers, dumps, leftovers, processes
from .containers import Container, Selection
from .ctr import ctr
from .dumps import Watch, Worker
from .freezer import Freezer, freezer_of

THAW_SECONDS = 10.0
"""How long a thaw is tried."""

END_SECONDS = 5.0
"""How long a killed CRIU may take to be gone, and the engine to notice it."""

LONGEST_COMMAND = 300

Item = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What to look at and what to do about it. ``min_age`` and ``wait`` in seconds.

    ``min_age``: a checkpoint that gets on no more is left alone until it is this old, unless nobody waits for it any
    more. ``wait``: how long to wait for checkpoints that are under way to come to their end.
    """

    selection: Selection
    checkpoint_folder: str
    min_age: float
    wait: float
    thaw: bool
    remove_archives: bool
    remove_leftovers: bool
    check_mode: bool
    base: str = BASE


@dataclasses.dataclass
class _Held:
    """A container that is frozen, or that something works on.

    ``purpose``: that runtime_checkpoint froze it; ``held``: that it is at work on it now.
    """

    container: Container
    freezer: t.Optional[Freezer]
    state: str
    watch: Watch
    purpose: t.Optional[Frozen] = None
    held: bool = False
    verdict: str = ""
    reason: str = ""


def guard(wishes: Wishes) -> Item:
    """Look, do what is wanted, and tell.

    ``changed``, ``containers``, ``archives``, ``leftovers``, ``moves``, ``failed_to``.
    """
    end = time.monotonic() + wishes.wait
    while True:
        found = [one for one in containers.containers() if one.kind == "container" and wishes.selection.match(one)]
        held = _held(found, wishes)
        if time.monotonic() >= end or all(one.verdict != "under_way" for one in held):
            break
    entries = [_entry(one) if one.verdict in ("under_way", "on_purpose") else _thawed(one, wishes) for one in held]
    busy = {entry["container_id"] for entry in entries if not entry["thawed"]}
    idle = [one for one in found if one.id not in busy and one.pid is not None]
    archives = leftovers.half_written(wishes.checkpoint_folder, wishes.selection)
    left = leftovers.of_containers(idle)
    if wishes.selection.everything and not busy:
        left += leftovers.of_nobody(leftovers.temporary_folders(processes.processes()), wishes.min_age)
    archives = [_removed(item, wishes.remove_archives, wishes.check_mode) for item in archives]
    left = [_removed(item, wishes.remove_leftovers, wishes.check_mode) for item in left]
    return {
        "changed": any(item["thawed"] for item in entries) or any(item["removed"] for item in archives + left),
        "containers": entries,
        "archives": archives,
        "leftovers": left,
        # Never removed here: they may be all that there is of a pod.
        "moves": leftovers.of_moves(wishes.base, wishes.selection),
        "failed_to": _failed_to(entries, archives + left),
    }


def _failed_to(entries: t.Sequence[Item], files: t.Sequence[Item]) -> t.Optional[dict[str, str]]:
    """``reason``, ``hint`` and ``message`` of what could not be done; None if all could."""
    stuck = [f"{item['namespace']}/{item['pod']}/{item['container']}" for item in entries if item["message"]]
    kept = [str(item["path"]) for item in files if item["message"]]
    if not stuck and not kept:
        return None
    parts = [f"{', '.join(stuck)} could not be put right"] if stuck else []
    parts += [f"{', '.join(kept)} could not be removed"] if kept else []
    return {
        "reason": "; ".join(parts),
        "hint": "Read message; what helps a container at last is to delete its pod" if stuck else "",
        "message": "; ".join(item["message"] for item in (*entries, *files) if item["message"]),
    }


def _held(found: t.Sequence[Container], wishes: Wishes) -> list[_Held]:
    """The containers that are frozen, paused or worked on, with a verdict on each."""
    running = [container for container in found if container.pid is not None]
    paused, _unknown = _paused(running)
    table = processes.processes()
    worked_on = {identifier for identifier, _worker in dumps.workers(table, running)}
    suspects = []
    for container in running:
        freezer = freezer_of(int(container.pid or 0), container.pod_uid)
        state = freezer.state() if freezer is not None else "thawed"
        # After the thaw containerd still puts the archive together; CRI-O has finished then, or failed.
        finishing = container.engine == "containerd" and os.path.isdir(dumps.folder_of(container))
        if state in ("frozen", "freezing") or container.id in {*worked_on, *paused} or finishing:
            suspects.append((container, freezer))
    if not suspects:
        return []
    watched = dumps.watch([container for container, _freezer in suspects], wishes.checkpoint_folder)
    paused, _unknown = _paused([container for container, _freezer in suspects])
    held = []
    records = Records(wishes.base)
    for container, freezer in suspects:
        state = freezer.state() if freezer is not None else "thawed"
        if state == "thawed" and container.id in paused:
            state = "paused"
        one = _Held(container, freezer, state, watched[container.id])
        one.purpose, one.held = records.get(container.id), records.held(container.id)
        finishing = container.engine == "containerd" and one.watch.pending
        if state != "gone" and (state != "thawed" or one.watch.workers or finishing):
            one.verdict, one.reason = _verdict(one, wishes.min_age)
            held.append(one)
    return held


def _verdict(one: _Held, min_age: float) -> tuple[str, str]:
    """("under_way", "stuck" or "abandoned", why)."""
    watch = one.watch
    now = time.time()
    if one.purpose is not None and one.purpose.phase == FROZEN:
        if not one.purpose.expired:
            return "on_purpose", f"{one.purpose.owner} froze it on purpose until {one.purpose.deadline}"
        return (
            "abandoned",
            f"{one.purpose.owner} froze it on purpose until {one.purpose.deadline}, and did not come back",
        )
    if one.purpose is not None and one.held and not one.purpose.expired:
        return "under_way", f"runtime_checkpoint dumps it for {one.purpose.owner}"
    if one.purpose is not None and one.purpose.phase == DUMPING and not one.held:
        return "abandoned", "runtime_checkpoint was killed while it dumped it"
    oldest = max([worker.process.age for worker in watch.workers] + [now - (watch.since or now)])
    if any(worker.busy for worker in watch.workers) or watch.writing:
        return "under_way", f"A checkpoint is under way since {oldest:.0f} seconds, and gets on"
    if one.state == "thawed" and not watch.workers:
        return "under_way", "The runtime puts an archive of it together"
    criu = [worker for worker in watch.workers if worker.process.name == "criu"]
    if criu and all(worker.orphaned for worker in criu) and len(criu) == len(watch.workers):
        who = ", ".join(str(worker.process.pid) for worker in criu)
        return "stuck", f"criu {who} hangs on it, and the runtime that started it has given up"
    if watch.workers or watch.pending:
        if oldest < min_age:
            return "under_way", f"A checkpoint is under way since {oldest:.0f} seconds"
        return "stuck", f"A checkpoint does nothing any more, after {oldest:.0f} seconds"
    if one.state == "paused":
        return "abandoned", "containerd holds it for paused, though it runs: it refuses every exec, probes among them"
    return "abandoned", "It is frozen, and no checkpoint of it is under way"


def _thawed(one: _Held, wishes: Wishes) -> Item:
    """The entry of a container after it was thawed, or would be."""
    entry = _entry(one)
    if not wishes.thaw:
        return entry
    entry["thawed"] = True
    for process in entry["processes"]:
        process["ended"] = process["name"] == "criu"
    if wishes.check_mode:
        return entry
    try:
        _end([worker for worker in one.watch.workers if worker.process.name == "criu"], one)
        message = _resume(one)
        if one.purpose is not None:
            _forget(one.purpose, Records(wishes.base))
    except OSError as error:
        message = str(error)
    state = one.freezer.state() if one.freezer is not None else "thawed"
    thawed = state in ("thawed", "gone")
    entry.update(thawed=thawed, message=message or ("" if thawed else f"The cgroup stays {state}"))
    return entry


def _forget(purpose: Frozen, records: Records) -> None:
    """Undo what runtime_checkpoint left; who holds its lock and does not come to its end is not waited for."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(CheckpointError):
            stack.enter_context(records.lock(purpose.container_id))
        records.undo(purpose)


def _end(workers: t.Sequence[Worker], one: _Held) -> None:
    """Kill the CRIU that hangs, then give the engine a moment: one that waited for it may well thaw by itself."""
    ended = [worker.process for worker in workers if processes.kill(worker.process)]
    end = time.monotonic() + END_SECONDS
    while ended and time.monotonic() < end:
        gone = not any(processes.alive(process) for process in ended)
        # Without a runtime that waited, nobody thaws; with one, its own end is the sign that it has.
        rest = [worker for worker in one.watch.workers if worker not in workers and processes.alive(worker.process)]
        if gone and not rest:
            break
        time.sleep(dumps.INTERVAL)


def _resume(one: _Held) -> str:
    """Let a container run again; what stood in the way, else an empty text.

    containerd's shim remembers that it paused a container and refuses every exec until it is told to resume it. It is
    told while the cgroup is frozen, because runc refuses to resume what is not ("container not paused", runc 1.1.15).
    """
    freezer, container = one.freezer, one.container
    paused, message = _paused([container])
    if paused:
        if freezer is not None and freezer.state() == "thawed":
            freezer.freeze()
        message = ctr(container.address, "tasks", "resume", container.id).problem
    if freezer is not None:
        freezer.thaw(THAW_SECONDS)
    if paused and not _paused([container])[0]:
        return ""
    return f"containerd may hold it for paused, and refuse every exec: {message}" if message else ""


def _paused(found: t.Sequence[Container]) -> tuple[set[str], str]:
    """(the IDs of those that containerd holds for paused, why that is not known of some)."""
    paused, message = set(), ""
    for address in {container.address for container in found if container.engine == "containerd"}:
        told = ctr(address, "tasks", "list")
        message = message or told.problem
        for line in told.stdout.splitlines():
            fields = line.split()
            if len(fields) == 3 and fields[2] in ("PAUSED", "PAUSING"):
                paused.add(fields[0])
    return paused & {container.id for container in found}, message


def _entry(one: _Held) -> Item:
    return {
        **one.container.identity(),
        "pid": one.container.pid,
        "state": one.state,
        "verdict": one.verdict,
        "reason": one.reason,
        "frozen_on_purpose": one.purpose.shown() if one.purpose is not None else None,
        "processes": [
            {
                "pid": worker.process.pid,
                "name": worker.process.name,
                "command": " ".join(worker.process.command)[:LONGEST_COMMAND],
                "age": round(worker.process.age),
                "orphaned": worker.orphaned,
                "busy": worker.busy,
                "ended": False,
            }
            for worker in one.watch.workers
        ],
        "thawed": False,
        "message": "",
    }


def _removed(item: Item, wanted: bool, check_mode: bool) -> Item:
    """The entry of a file or folder after it was removed, or would be. One that changed meanwhile is in use again."""
    entry = {key: value for key, value in item.items() if key != "changed_at"}
    entry.update(removed=wanted, message="")
    if wanted and not check_mode:
        try:
            if leftovers.changed(item):
                entry.update(removed=False)
            else:
                leftovers.remove(item["path"])
        except OSError as error:
            entry.update(removed=False, message=str(error))
    return entry
