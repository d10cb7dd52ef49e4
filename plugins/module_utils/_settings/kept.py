# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Originals of the files that are changed: kept on the node until the change has proved itself.

Below ``/var/lib/checkpoint-restore/settings``, for root only, is a folder for each component with the originals and
``kept.json``, which says what they are. It is written before the first file is changed and removed when the change is
confirmed or taken back.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import typing as t

from .._common.errors import CheckpointError
from .._common.files import sync_directory, written
from .._node.files import names_in, under
from .changes import Plan

FOLDER = "/var/lib/checkpoint-restore/settings"
JOURNAL = "kept.json"


class Kept(t.NamedTuple):
    """A file as it was. ``name`` is that of the copy, None if there was no such file."""

    path: str
    name: t.Optional[str]
    mode: int = 0
    uid: int = 0
    gid: int = 0
    label: t.Optional[str] = None


class Journal(t.NamedTuple):
    """What is kept for a component, and the units that read it."""

    component: str
    files: tuple[Kept, ...]
    restart: tuple[str, ...]


def _folder(root: str, component: str) -> str:
    return os.path.join(under(root, FOLDER), component)


def journal(root: str, component: str) -> t.Optional[Journal]:
    """What is kept, None if nothing. Raises CheckpointError ``kept_unreadable``."""
    path = os.path.join(_folder(root, component), JOURNAL)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        files = tuple(Kept(**item) for item in content["files"])
        return Journal(component, files, tuple(content["restart"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "kept_unreadable",
            f"What was kept of the files of {component} cannot be read",
            hint=f"Look at {path} on the node; remove it once the files are as they should be",
            message=str(error),
        ) from error


def unconfirmed(root: str) -> list[Journal]:
    """Everything that is kept, by component."""
    found = (journal(root, name) for name in names_in(FOLDER, root))
    return [kept for kept in found if kept is not None]


def apply(root: str, plan: Plan) -> None:
    """Keeps the originals, then changes the files. Originals that are kept already stay: they are the older ones.

    Raises OSError; what was changed until then is put back.
    """
    before = journal(root, plan.component)
    known = {file.path for file in before.files} if before else set()
    folder = _folder(root, plan.component)
    for made in (os.path.dirname(FOLDER), FOLDER):
        _make_folder(under(root, made), 0o700)
    _make_folder(folder, 0o700)
    files = list(before.files) if before else []
    for change in plan.changes:
        if change.path not in known:
            files.append(_keep(root, folder, change.path, f"{len(files)}.original"))
    restart = sorted({*plan.restart, *(before.restart if before else ())})
    content = {"files": [file._asdict() for file in files], "restart": restart}
    write(os.path.join(folder, JOURNAL), json.dumps(content, indent=1).encode(), mode=0o600)
    try:
        for change in plan.changes:
            target = under(root, change.path)
            if change.after is None:
                os.unlink(target)
                sync_directory(os.path.dirname(target))
            else:
                write(target, change.after.encode("utf-8", "surrogateescape"), mode=0o644)
    except OSError:
        put_back(root, plan.component)
        raise


def _keep(root: str, folder: str, path: str, name: str) -> Kept:
    source = under(root, path)
    try:
        status = os.stat(source)
        with open(source, "rb") as file:
            write(os.path.join(folder, name), file.read(), mode=0o600)
    except FileNotFoundError:
        return Kept(path, None)
    return Kept(path, name, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, _label(source))


def put_back(root: str, component: str) -> list[str]:
    """Every kept file as it was, bytes, mode and owner; files that were not there are gone. Returns their paths.

    Raises CheckpointError ``kept_unreadable``, OSError.
    """
    kept = journal(root, component)
    if kept is None:
        return []
    folder = _folder(root, component)
    for file in kept.files:
        target = under(root, file.path)
        if file.name is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
            continue
        with open(os.path.join(folder, file.name), "rb") as original:
            write(target, original.read(), mode=file.mode, owner=(file.uid, file.gid), label=file.label)
    forget(root, component)
    return [file.path for file in kept.files]


def forget(root: str, component: str) -> bool:
    """The change is confirmed: removes what is kept. False if nothing was."""
    folder = _folder(root, component)
    if not os.path.isdir(folder):
        return False
    # The journal first: without it the rest is nothing.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, JOURNAL))
    shutil.rmtree(folder)
    return True


def write(
    path: str,
    content: bytes,
    *,
    mode: int,
    owner: t.Optional[tuple[int, int]] = None,
    label: t.Optional[str] = None,
) -> None:
    """A file, whole or not at all. One that is there keeps its mode, owner and label unless others are given."""
    # What a link points to is changed, not the link.
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    _make_folder(folder, 0o755)
    if owner is None and os.path.exists(target):
        status = os.stat(target)
        mode, owner, label = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), _label(target)
    # CRI-O reads every file in its drop-in directory, whatever its name: the unfinished one lies beside the directory.
    beside = os.path.dirname(folder) if folder.endswith(".d") else folder
    with written(target, beside=beside) as file:
        file.write(content)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        if label is not None:
            with contextlib.suppress(OSError):
                os.setxattr(file.fileno(), LABEL, label.encode("latin-1"))


LABEL = "security.selinux"


def _label(path: str) -> t.Optional[str]:
    try:
        return os.getxattr(path, LABEL).decode("latin-1")
    except (OSError, AttributeError):
        return None


def _make_folder(path: str, mode: int) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, mode=mode, exist_ok=True)
        os.chmod(path, mode)
