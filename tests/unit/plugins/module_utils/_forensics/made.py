# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small unpacked checkpoints that a test makes, for what no recorded one has."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    image,
    pagemap,
)

BASE = 0x7F0000000000
PAGE = 4096
ANONYMOUS = {"prot": 3, "flags": 0x22, "status": 1 | 1 << 9}

Runs = t.Sequence[tuple[int, bytes]]


def write_checkpoint(
    folder: pathlib.Path, memory: t.Mapping[int, Runs], others: t.Optional[t.Mapping[str, bytes]] = None
) -> pathlib.Path:
    """A checkpoint of processes that are named by their PIDs, each with runs of pages (address, bytes of whole pages)
    in one area; ``others`` are further files by their names in the archive."""
    root = min(memory)
    files: dict[str, bytes] = {
        "config.dump": b"{}",
        "spec.dump": b"{}",
        "checkpoint/inventory.img": image("inventory", {"img_version": 2}),
        "checkpoint/files.img": image("files"),
        "checkpoint/pstree.img": image(
            "pstree",
            *(
                {"pid": pid, "ppid": 0 if pid == root else root, "pgid": 1, "sid": 1, "threads": [pid]}
                for pid in memory
            ),
        ),
    }
    for pid, runs in memory.items():
        end = max(address + len(data) for address, data in runs)
        area = {"start": runs[0][0], "end": end, **ANONYMOUS}
        entries = ({"vaddr": address, "nr_pages": len(data) // PAGE, "flags": 4} for address, data in runs)
        files[f"checkpoint/core-{pid}.img"] = image(
            "core", {"mtype": 1, "tc": {"task_state": 1, "comm": f"made-{pid}"}}
        )
        files[f"checkpoint/mm-{pid}.img"] = image("mm", {"vmas": [area]})
        files[f"checkpoint/pagemap-{pid}.img"] = pagemap(pid, *entries)
        files[f"checkpoint/pages-{pid}.img"] = b"".join(data for unused_address, data in runs)
    for name, data in {**files, **(others or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pages(content: bytes, offset: int, size: int) -> bytes:
    """Pages of zeros with something at an offset."""
    return bytes(offset) + content + bytes(size - offset - len(content))
