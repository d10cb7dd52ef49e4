# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System V IPC: shared memory segments, message queues, semaphores. POSIX shared memory is a file in a tmpfs.

Sources: criu images/ipc-*.proto; criu/ipc_ns.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import struct
import typing as t

from .images import Blob, Images
from .wire import Fields, number

MAX_SEMAPHORES = 1 << 16


def _description(fields: Fields, namespace: str) -> dict[str, t.Any]:
    found = fields.get("desc")
    desc: Fields = found if isinstance(found, dict) else {}
    return {
        "namespace_id": int(namespace) if namespace.isdigit() else 0,
        "id": number(desc, "id"),
        "key": f"{number(desc, 'key'):#x}",
        "uid": number(desc, "uid"),
        "gid": number(desc, "gid"),
        "mode": f"{number(desc, 'mode') & 0o777:04o}",
    }


def segments(images: Images) -> t.Iterator[tuple[dict[str, t.Any], t.Optional[Blob]]]:
    """Shared memory segments. Their pages lie in pagemap-shmem (by the segment's ID) or, before CRIU 3.5, behind the
    entry: then the second value is their bytes."""
    for namespace in images.ids("ipcns-shm"):
        for entry in images.each("ipcns-shm", namespace):
            size = number(entry.fields, "size")
            yield {**_description(entry.fields, namespace), "size": size}, entry.blobs.get("data")


def queues(images: Images) -> t.Iterator[tuple[dict[str, t.Any], list[tuple[int, Blob]]]]:
    """Message queues and their messages as (type, bytes)."""
    for namespace in images.ids("ipcns-msg"):
        for entry in images.each("ipcns-msg", namespace):
            messages = [(number(fields, "mtype"), blob) for fields, blob in entry.parts]
            yield (
                {
                    **_description(entry.fields, namespace),
                    "limit": number(entry.fields, "qbytes"),
                    "messages": len(messages),
                    "bytes": sum(blob.size for unused_type, blob in messages),
                },
                messages,
            )


def semaphores(images: Images) -> t.Iterator[dict[str, t.Any]]:
    for namespace in images.ids("ipcns-sem"):
        for entry in images.each("ipcns-sem", namespace):
            raw = entry.blobs["values"].read(0, 2 * MAX_SEMAPHORES)
            values = list(struct.unpack(f"<{len(raw) // 2}H", raw[: len(raw) // 2 * 2]))
            yield {**_description(entry.fields, namespace), "values": values}


def as_dict(images: Images) -> dict[str, t.Any]:
    return {
        "shared_memory": [found for found, unused_blob in segments(images)],
        "message_queues": [found for found, unused_messages in queues(images)],
        "semaphores": list(semaphores(images)),
    }
