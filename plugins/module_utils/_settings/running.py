# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines that components run with, which say where their configuration is.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import glob
import os
import typing as t

from .changes import under

Argv = tuple[str, ...]


def _find(root: str, names: t.Sequence[str]) -> t.Optional[tuple[str, Argv]]:
    """Folder and command line of the process with the lowest ID that has one of the names."""
    folders = glob.glob(os.path.join(under(root, "/proc"), "[0-9]*"))
    for folder in sorted(folders, key=lambda path: int(os.path.basename(path))):
        argv = tuple(_read(os.path.join(folder, "cmdline")).rstrip("\0").split("\0"))
        if os.path.basename(argv[0]) in names and not _in_container(root, folder):
            return folder, argv
    return None


def _in_container(root: str, folder: str) -> bool:
    """A cluster in a pod has a kubelet of its own."""
    try:
        return os.readlink(os.path.join(folder, "ns", "pid")) != os.readlink(under(root, "/proc/self/ns/pid"))
    except OSError:
        return False


def running(root: str, *names: str) -> t.Optional[Argv]:
    """The command line of the process with one of the names; None if there is none."""
    found = _find(root, names)
    return found[1] if found else None


def environment(root: str, *names: str) -> dict[str, str]:
    """The environment that this process was started with; empty if there is none."""
    found = _find(root, names)
    pairs = (item.partition("=") for item in _read(os.path.join(found[0], "environ")).split("\0")) if found else ()
    return {name: value for name, equals, value in pairs if equals}


def executable(root: str, *names: str) -> t.Optional[str]:
    """The program of this process, wherever it lies, or a newer one that took its place; None if there is none."""
    found = _find(root, names)
    try:
        path = os.readlink(os.path.join(found[0], "exe")) if found else ""
    except OSError:
        return None
    return path.replace(" (deleted)", "") or None


def option(argv: t.Sequence[str], *names: str) -> t.Optional[str]:
    """The value of the last of these options on a command line, written ``--name=value`` or ``--name value``."""
    found = None
    for number, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name in names:
            following = argv[number + 1] if number + 1 < len(argv) else ""
            found = value if equals else "true" if following.startswith("-") or not following else following
    return found


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
