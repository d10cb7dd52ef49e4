# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit restarted with a new configuration, or with the old one again where it does not come up.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import typing as t

from .._common.durations import parse_duration
from .._common.errors import CheckpointError
from .._node import processes
from .._node.service import Unit, restart
from . import kept
from .last_words import last_words

SHIMS = ("containerd-shim", "conmon", "crun", "runc")
"""What a container dies with."""


def restart_or_revert(name: str, timeout: str, *, check_mode: bool) -> dict[str, t.Any]:
    """What the module checkpoint_node_service returns.

    Raises CheckpointError ``invalid_option``, ``service_unknown``, ``service_failed``, ``containers_ended``,
    ``restart_refused``; the second with ``reverted``, the files that were put back, and ``log``, the unit's.
    """
    seconds = parse_duration(timeout, "timeout")
    unit = Unit.look(name)
    if check_mode:
        return {"name": name, "seconds": None, "pid": None, "containers": None, "ended": []}
    _spares_containers(name, unit)
    try:
        return {"name": name, **restart(name, timeout=seconds)}
    except CheckpointError as error:
        if error.code != "service_failed":
            raise
        raise _with_old_files(name, seconds, error) from error


def _with_old_files(name: str, seconds: float, failure: CheckpointError) -> CheckpointError:
    """Puts back what this unit reads, restarts it, and returns what there is to say."""
    components = [journal.component for journal in kept.unconfirmed("/") if name in journal.restart]
    reason, reverted, log = failure.reason, [], failure.message
    if components:
        try:
            for component in components:
                reverted += kept.put_back("/", component)
            restart(name, timeout=seconds)
            reason = f"{name} does not come up with its new configuration; it has its old one back and is well with it"
        except (CheckpointError, OSError) as error:
            log += f"\n{error}"
            reason = f"{name} does not come up, neither with its new configuration nor with the old one, which is back"
    return CheckpointError(
        "service_failed",
        reason,
        hint=failure.hint,
        message=last_words(failure.message),
        log=log,
        reverted=sorted(reverted),
    )


def _spares_containers(name: str, unit: Unit) -> None:
    """Whether systemd would end containers together with the unit.

    Unless told otherwise it ends everything in the unit's control group (systemd.kill(5), KillMode), and the processes
    that hold the containers may be there.
    """
    if unit.kill_mode in ("process", "none") or not unit.group:
        return
    inside = [
        process
        for process in processes.processes()
        if process.pid != unit.pid and process.program.startswith(SHIMS) and _in_group(process, unit.group)
    ]
    if inside:
        raise CheckpointError(
            "restart_refused",
            f"A restart of {name} would end {len(inside)} containers: KillMode of the unit is {unit.kill_mode}",
            hint=f"Set KillMode=process in a drop-in of {name}.service, as its authors do",
        )


def _in_group(process: processes.Process, group: str) -> bool:
    lines = processes.read(os.path.join(process.folder, "cgroup")).splitlines()
    return any(line.split(":", 2)[-1] == group for line in lines)
