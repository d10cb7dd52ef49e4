# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failed checkpoints leave on a node: half-written archives, CRIU's work directories, logs and images; and moves.

Seen on the laboratory: CRI-O 1.36.3 leaves config.dump, spec.dump, bind.mounts and dump.log after a CRIU that failed,
and with them the images, the whole memory, after an archive that could not be written. containerd 2.1.9 leaves the log
criu-dump.log, and its folders where it was ended in the middle. Both leave a half-written archive under its final name.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
import typing as t

from .._archive.archive import open_archive
from .._archive.identity import Identity
from .._common.errors import CheckpointError
from .._common.moments import utc
from .._criu.clean import clean
from .._restore.ticket import read as read_ticket
from . import processes
from .containers import Container, Selection
from .dumps import CHECKPOINT_FOLDER
from .files import names_in
from .runtime import temporary_folder

CRIO_FILES = (
    "bind.mounts",
    "config.dump",
    "deleted.files",
    "dump.log",
    "io.kubernetes.cri-o.LogPath",
    "restore.log",
    "rootfs-diff.tar",
    "spec.dump",
    "stats-dump",
    "stats-restore",
)
CONTAINERD_FILES = ("dump.log", "restore.log", "stats-dump", "stats-restore")
CONTAINERD_BUNDLE_FILES = ("criu-dump.log",)
MOVE = re.compile(r"[0-9]{12}")
MOVE_SECONDS = 24 * 3600.0
"""So long the tickets are good of a move that can only go forward (_move/moving.py)."""

CLAIMED = ("ticket.json", "ticket.used")
CONTAINERD_TEMPORARY = re.compile(r"(?:ctrd-checkpoint|criu-work)\d*")

Item = dict[str, t.Any]


def half_written(folder: str, selection: Selection) -> list[Item]:
    """The archives in a folder that end early, that nobody writes any more and that fit the selection, by path.

    Whose an archive is that ends before it says so, is not known: it only fits a selection of everything.
    """
    found = []
    for name in names_in(folder):
        if not name.startswith("checkpoint-"):
            continue
        path = os.path.join(folder, name)
        before = _size(path)
        why, identity = _cut(path)
        if why is None or not selection.match_names(*_names(identity)):
            continue
        # Asked last: who opened it after it was read, is seen, and who wrote meanwhile, is seen by the size.
        if before is None or processes.open_elsewhere([path]) or _size(path) != before:
            continue
        found.append({**_file(path), **_identity(identity), "reason": why})
    return found


def _cut(path: str) -> tuple[t.Optional[str], Identity]:
    """(why an archive is not whole, whose it is); None for one that is whole, or is nothing that ends early."""
    if not os.path.isfile(path) or os.path.islink(path):
        return None, Identity()
    if not os.path.getsize(path):
        return "The file is empty", Identity()
    try:
        with open_archive(path) as archive:
            cut = [note["text"] for note in archive.notes if note["code"] == "archive_cut"]
            return (cut[0] if cut else None), archive.identity
    except CheckpointError as error:
        return (error.reason if error.code == "archive_damaged" else None), Identity()


def of_containers(containers: t.Iterable[Container]) -> list[Item]:
    """Files and folders that checkpoints of these containers left with them, by path."""
    found = []
    for container in containers:
        places: list[tuple[str, tuple[str, ...]]] = [(container.work, (CHECKPOINT_FOLDER[container.engine],))]
        if container.engine == "cri-o":
            places.append((container.work, CRIO_FILES))
        else:
            places += [(container.work, CONTAINERD_FILES), (container.bundle, CONTAINERD_BUNDLE_FILES)]
            places.append((os.path.realpath(os.path.join(container.bundle, "work")), ("criu-work",)))
        paths = [os.path.join(folder, name) for folder, names in places for name in names]
        found += [
            {**_file(path), **{key: value for key, value in container.identity().items() if key != "engine"}}
            for path in paths
            if os.path.lexists(path)
        ]
    return sorted(found, key=lambda item: str(item["path"]))


def of_nobody(folders: t.Iterable[str], min_age: float) -> list[Item]:
    """containerd's temporary folders with images that no process has open and nothing changed for ``min_age`` s."""
    found = []
    for folder in folders:
        for name in names_in(folder):
            path = os.path.join(folder, name)
            if not CONTAINERD_TEMPORARY.fullmatch(name) or os.path.islink(path) or not os.path.isdir(path):
                continue
            inside = [os.path.join(path, entry) for entry in names_in(path)]
            if time.time() - _file(path)["changed_at"] < min_age or processes.open_elsewhere([path, *inside]):
                continue
            nobody = dict.fromkeys(("namespace", "pod", "pod_uid", "container", "container_id"))
            found.append({**_file(path), **nobody})
    return sorted(found, key=lambda item: str(item["path"]))


def of_moves(base: str, selection: Selection) -> list[Item]:
    """Images that a move has left here, for a day or longer, and that no ticket is for: who moves pods has forgotten
    them, or they are all that there is of a pod, and wait for the next run. ``base``: see _restore/ticket.py."""
    found = []
    wanted = _with_tickets(base)
    for number in names_in(os.path.join(base, "moves")):
        folder = os.path.join(base, "moves", number)
        if not MOVE.fullmatch(number) or os.path.islink(folder) or not os.path.isdir(folder):
            continue
        if folder in wanted or time.time() - _file(folder)["changed_at"] < MOVE_SECONDS:
            continue
        for container in names_in(folder) or [""]:
            path = os.path.join(folder, container) if container else folder
            identity = _identity_of_images(path)
            if selection.match_names(*_names(identity)):
                item = {**_file(path), **_identity(identity), "move": number}
                found.append({key: value for key, value in item.items() if key != "changed_at"})
    return sorted(found, key=lambda item: str(item["path"]))


def _with_tickets(base: str) -> set[str]:
    """The folders of moves that somebody may use now: with a ticket that is good, or one that was claimed."""
    tickets = os.path.join(base, "tickets")
    restores = os.path.join(base, "restores")
    claimed = [os.path.join(restores, container, name) for container in names_in(restores) for name in CLAIMED]
    wanted = set()
    for path in (*(os.path.join(tickets, name) for name in names_in(tickets)), *claimed):
        with contextlib.suppress(CheckpointError):
            ticket = read_ticket(path)
            if ticket is not None and (path in claimed or ticket.expires > time.time()):
                wanted.add(os.path.dirname(ticket.archive))
    return wanted


def _identity_of_images(path: str) -> Identity:
    with contextlib.suppress(CheckpointError, OSError), open_archive(path) as archive:
        return archive.identity
    return Identity()


def temporary_folders(table: t.Iterable[processes.Process]) -> list[str]:
    """Where the containerd processes put what is temporary."""
    return sorted({temporary_folder(process.environment()) for process in table if process.name == "containerd"})


def changed(item: Item) -> bool:
    """Whether an entry is not any more what it was when it was found."""
    now = _file(item["path"])
    return any(now[key] != item[key] for key in ("kind", "size", "changed_at"))


def remove(path: str) -> None:
    """Remove a file, or a folder with all that is in it; links are removed, not followed. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _file(path: str) -> Item:
    """What the file system tells about a file or a folder."""
    size, changed, kind = 0, 0.0, "file"
    inside = [path]
    if os.path.isdir(path) and not os.path.islink(path):
        kind = "directory"
        inside += [os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names]
    for each in inside:
        try:
            info = os.lstat(each)
        except OSError:
            continue
        size += info.st_size if stat.S_ISREG(info.st_mode) else 0
        changed = max(changed, info.st_mtime)
    return {"path": path, "kind": kind, "size": size, "modified": utc(changed), "changed_at": changed}


def _identity(identity: Identity) -> Item:
    names = ("namespace", "pod", "pod_uid", "container", "container_id")
    return {name: clean(getattr(identity, name)) for name in names}


def _names(identity: Identity) -> tuple[t.Optional[str], ...]:
    return identity.namespace, identity.pod, identity.container


def _size(path: str) -> t.Optional[int]:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None
