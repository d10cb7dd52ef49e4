# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container that is to be dumped, and what it takes: its OCI runtime's program and its freezer.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import typing as t

from .._common.errors import CheckpointError
from .._node import containers, dumps, processes, runtime
from .._node.containers import Container, Selection
from .._node.freezer import Freezer, freezer_of
from .._node.programs import SEARCH_PATH, which
from .._restore.ticket import Name


class Target(t.NamedTuple):
    """A container that runs. ``pid``: its process 1; ``program``: of runc or crun; ``path``: where that finds CRIU."""

    container: Container
    pid: int
    program: str
    root: str
    path: str
    freezer: Freezer


def look_up(name: Name) -> t.Optional[Container]:
    """The container of this name that runs; None where none does. Raises CheckpointError container_ambiguous."""
    wanted = Selection(*([part] for part in name))
    found = [one for one in containers.containers() if one.kind == "container" and one.pid and wanted.match(one)]
    if len(found) > 1:
        raise CheckpointError(
            "container_ambiguous",
            f"More than one container {name} runs on this node: {', '.join(one.id for one in found)}",
            hint="Wait until the old one is gone",
        )
    return found[0] if found else None


def find(name: Name) -> Target:
    """What it takes to dump the container of this name.

    Raises CheckpointError container_not_found, container_ambiguous, runtime_unsupported, criu_missing, no_freezer.
    """
    container = look_up(name)
    if container is None or container.pid is None:
        raise CheckpointError(
            "container_not_found",
            f"No container {name} runs on this node",
            hint="Check the names, and that the pod runs on this node; wildcards are not understood here",
        )
    path = _path(container)
    program = _program(container, path)
    if container.root is None or program is None:
        raise CheckpointError(
            "runtime_unsupported",
            f"The OCI runtime of {name} is neither runc nor crun, or its program is not to be found",
            hint="Only containers of runc and crun can be dumped",
        )
    if which("criu", path) is None:
        raise CheckpointError(
            "criu_missing", "CRIU is not installed on this node", hint="Prepare the node with prepare_nodes"
        )
    freezer = freezer_of(container.pid, container.pod_uid)
    if freezer is None:
        raise CheckpointError("no_freezer", f"The container {name} is in no cgroup that could be frozen")
    return Target(container, container.pid, program, container.root, path, freezer)


def _path(container: Container) -> str:
    """The PATH of the engine: its runtime finds CRIU there."""
    daemons = runtime.daemons(processes.processes())
    return next((daemon.path for daemon in daemons if daemon.name == container.engine), SEARCH_PATH)


def _program(container: Container, path: str) -> t.Optional[str]:
    """The program that the engine names, which may stand in front of runc or crun, else the one that is found."""
    if container.runtime is None:
        return None
    named = container.program
    if named and os.path.isabs(named) and os.access(named, os.X_OK):
        return named
    return which(os.path.basename(named) if named else container.runtime, path) or which(container.runtime)


def require_idle(container: Container, checkpoint_folder: str) -> None:
    """Raise CheckpointError checkpoint_under_way while anybody else checkpoints the container.

    ``checkpoint_folder``: where the kubelet has archives written.
    """
    seen = dumps.watch([container], checkpoint_folder, seconds=0)[container.id]
    if seen.pending and not seen.workers:
        # It may be what an earlier one left: who does nothing for a while, is not at work.
        seen = dumps.watch([container], checkpoint_folder)[container.id]
    if seen.workers or seen.writing:
        raise CheckpointError(
            "checkpoint_under_way",
            f"A checkpoint of {container.text()} is under way",
            hint="Wait for its end, or see with checkpoint_guard whether it hangs",
        )
