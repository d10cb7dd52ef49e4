# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines that components run with, which say where their configuration is.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import typing as t

from .._node import processes
from .._node.files import under

Argv = tuple[str, ...]


def _find(root: str, names: t.Sequence[str]) -> t.Optional[processes.Process]:
    """The process with the lowest ID that has one of the names."""
    found = processes.processes(under(root, processes.PROC))
    return next(iter(processes.running(names, found)), None)


def running(root: str, *names: str) -> t.Optional[Argv]:
    """The command line of the process with one of the names; None if there is none."""
    found = _find(root, names)
    return found.command if found else None


def environment(root: str, *names: str) -> dict[str, str]:
    """The environment that this process was started with; empty if there is none."""
    found = _find(root, names)
    return found.environment() if found else {}


def executable(root: str, *names: str) -> t.Optional[str]:
    """The program of this process, wherever it lies, or a newer one that took its place; None if there is none."""
    found = _find(root, names)
    return found.executable() if found else None
