# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that another node reads while this one still has the newest of them in its own memory.

A process writes into its kernel's page cache. Whoever goes on with its memory elsewhere, and reads the same file there,
has to find what it has written: on a file system in the network only what was written back is there.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import stat
import time
import typing as t

from .._common.errors import CheckpointError
from .._node.programs import run
from .._restore.bundle import Bundle
from .limits import Limits

KUBELET = "/var/lib/kubelet"


def shared(bundle: Bundle, beside: str = KUBELET) -> list[str]:
    """The folders and files of other file systems than the kubelet's that a container may write to, as the node has
    them."""
    own = os.stat(beside).st_dev
    found = set()
    for mount in bundle.mounts:
        if mount.type != "bind" or mount.read_only or not mount.source:
            continue
        try:
            status = os.stat(mount.source)
        except OSError:
            continue
        if status.st_dev != own and (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            found.add(mount.source)
    return sorted(found)


def write_back(paths: t.Sequence[str], limits: Limits) -> None:
    """Have the file systems of ``paths`` hold what was written to them: sync -f (coreutils 8.24 and later).

    Raises CheckpointError volume_not_written, interrupted, timeout.
    """
    if not paths:
        return
    limits.check()
    done = run(["sync", "-f", "--", *paths], max(1.0, limits.deadline - time.monotonic()))
    limits.check()
    if not done.ok:
        raise CheckpointError(
            "volume_not_written",
            f"What the container wrote to its volumes could not be written back: {', '.join(paths)}",
            hint="See whether the server of the volume answers",
            message=done.stderr.strip(),
        )
