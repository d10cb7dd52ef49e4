# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded roots of nodes, copied so that they can be changed."""

from __future__ import annotations

import json
import pathlib
import shutil
import stat
import typing as t

FIXTURES = pathlib.Path(__file__).resolve().parents[4] / "fixtures" / "nodes"


def node(name: str, directory: pathlib.Path) -> str:
    """A copy of a recorded root, with the processes that run on it."""
    root = directory / name
    shutil.copytree(FIXTURES / name, root)
    for pid, argv in json.loads((root / "processes.json").read_text()).items():
        run(str(root), int(pid), *argv)
    return str(root)


def run(root: str, pid: int, *argv: str) -> None:
    """A process on it."""
    folder = pathlib.Path(root, "proc", str(pid))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in argv) + b"\0")
    (folder / "environ").write_bytes(b"PATH=/usr/bin\0")
    name = pathlib.PurePath(argv[0]).name[:15]
    (folder / "stat").write_text(f"{pid} ({name}) S 1 {' '.join(['0'] * 48)}\n")


def files(root: str) -> dict[str, tuple[int, bytes]]:
    """Everything that is on it but what is kept: path -> mode and content."""
    top = pathlib.Path(root)
    kept = top / "var/lib/checkpoint-restore"
    found = (path for path in top.rglob("*") if path.is_file() and kept not in path.parents)
    return {str(path.relative_to(top)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in found}


def write(root: str, path: str, text: str) -> None:
    target = pathlib.Path(root, path.lstrip("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def append(root: str, paths: t.Iterable[str], text: str) -> None:
    for path in paths:
        with pathlib.Path(root, path.lstrip("/")).open("a") as file:
            file.write(text)
