# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the restore runtime on a node and removing it, for the module checkpoint_runtime.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import sys
import typing as t

from .._common.errors import CheckpointError
from .._node.programs import which
from .._settings import kept
from .._settings.changes import Plan
from .._settings.validate import validate
from . import install
from .handler import Handler, plans
from .ticket import BASE, private_folder

BUNDLES = "/run/containerd/io.containerd.runtime.v2.task/*/*/options.json"
LARGEST = 1 << 20
OWN_FOLDERS = ("archives", "receipts", "restores", "tickets")


def run(params: t.Mapping[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """Bring the node into the state that is asked for, and say what that took. Raises CheckpointError."""
    folder = params["path"]
    front, zip_path = os.path.join(folder, install.FRONT), os.path.join(folder, install.ZIP)
    present = params["state"] == "present"
    files: dict[str, t.Optional[bytes]] = {front: None, zip_path: None}
    runtime = _runtime(params["runtime"]) if present else None
    _require_unused(front, runtime)
    if runtime is not None:
        files = {
            zip_path: install.zip_application(),
            front: install.front(runtime, sys.executable, zip_path).encode(),
        }
    handler = Handler(params["handler"], front, params["default"]) if present else None
    component = "restore_runtime"
    changes = [
        {"component": component, "path": path, "action": action, "what": install.VERSION}
        for path, content in sorted(files.items())
        for action in [_action(path, content)]
        if action
    ]
    found = plans(handler)
    for plan in found:
        validate(plan)
        changes += plan.described()
    due = [
        unit for plan in found for pending in [kept.journal("/", plan.component)] if pending for unit in pending.restart
    ]
    if not check:
        try:
            _write(files, found)
        except OSError as error:
            raise CheckpointError(
                "write_failed",
                "The restore runtime could not be put in its place, or not be removed",
                hint="Make room on the node's disk, then run it again",
                message=str(error),
            ) from error
    diffs = [diff for plan in found for diff in plan.diffs()]
    return {
        "changed": bool(changes),
        "changes": changes,
        # One that an earlier run was interrupted before counts as well.
        "restart": sorted({unit for plan in found if plan.changes for unit in plan.restart}.union(due)),
        "version": install.VERSION,
        "program": front,
        "diff": diffs,
    }


def _runtime(name: str) -> str:
    path = which(name)
    if path is None:
        raise CheckpointError("runtime_missing", f"This node has no program {name}", hint="Name its runc or crun")
    return path


def _action(path: str, content: t.Optional[bytes]) -> str:
    """What is to be done with a file; nothing where it is as it should be."""
    try:
        with open(path, "rb") as file:
            there = file.read()
    except FileNotFoundError:
        return "create" if content is not None else ""
    if content is None:
        return "remove"
    return "" if there == content else "change"


def containers_of(front: str) -> list[str]:
    """The IDs of containers, sandboxes included, that were made through the front and are still there.

    conmon's command line has the program; containerd keeps its shim's options beside the bundle (containerd 2.1.9,
    core/runtime/v2/bundle.go and cmd/containerd-shim-runc-v2/runc/util.go).
    """
    wanted = front.encode()
    found = [os.path.basename(os.path.dirname(path)) for path in glob.glob(BUNDLES) if wanted in _content(path)]
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        words = _content(path).split(b"\0")
        if os.path.basename(words[0]) == b"conmon" and wanted in words and b"-c" in words[:-1]:
            found.append(words[words.index(b"-c") + 1].decode("utf-8", "replace"))
    return sorted(found)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except OSError:
        return b""


def _require_unused(front: str, runtime: t.Optional[str]) -> None:
    """Raise CheckpointError in_use where containers would be left with another runtime, or none."""
    there = _content(front).decode("utf-8", "replace")
    if not there or (runtime is not None and f"exec {runtime} " in there):
        return
    found = containers_of(front)
    if found:
        raise CheckpointError(
            "in_use",
            f"This node has {len(found)} containers and sandboxes of the restore runtime, {found[0][:12]} among them",
            hint="Let it not be the default handler, and delete their pods first: another runtime could not stop them",
        )


def _write(files: t.Mapping[str, t.Optional[bytes]], found: t.Sequence[Plan]) -> None:
    """The programs before the handlers when they come, after them when they go. Raises OSError.

    The runtimes' files as they were are kept until the change is confirmed, as those of their own settings are.
    """
    going = None in files.values()
    if not going:
        _write_programs(files)
        private_folder(os.path.join(BASE, "tickets"))
    for plan in found:
        if plan.changes:
            kept.apply("/", plan)
    if going:
        _write_programs(files)
        # The roles that prepare a node keep theirs in the same place.
        for name in OWN_FOLDERS:
            shutil.rmtree(os.path.join(BASE, name), ignore_errors=True)
        for folder in (BASE, os.path.dirname(next(iter(files)))):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _write_programs(files: t.Mapping[str, t.Optional[bytes]]) -> None:
    for path, content in files.items():
        if not _action(path, content):
            continue
        if content is None:
            os.unlink(path)
        else:
            kept.write(path, content, mode=0o755 if os.path.basename(path) == install.FRONT else 0o644)
