# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of real checkpoints, and a small writer of images for what no real one has."""

from __future__ import annotations

import json
import lzma
import pathlib
import struct
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import Archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.members import from_bytes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.notes import Notes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.image_types import (
    BY_PREFIX,
    IMG_COMMON,
    IMG_SERVICE,
    INVENTORY,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.images import Images
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.wire import fields_of

FIXTURES = pathlib.Path(__file__).resolve().parents[4] / "fixtures"

LEDGERS = {
    "crio-runc-ledger": "crio-runc-ledger.tar.xz",
    "crio-crun-ledger": "crio-crun-ledger.tar.gz",
    "containerd-2.1-ledger": "containerd-2.1-ledger.tar.xz",
    "podman-5.4-ledger": "podman-5.4-ledger.tar.gz",
}
PLANTED = {
    "runc-criu-4.2.1-planted": "runc-criu-4.2.1-planted.tar.xz",
    "runc-criu-4.1.1-planted": "runc-criu-4.1.1-planted.tar.xz",
}
PROGRAMS = {
    "runc-criu-4.2.1-nginx": "runc-criu-4.2.1-nginx.tar.xz",
    "runc-criu-4.2.1-redis": "runc-criu-4.2.1-redis.tar.xz",
    "runc-criu-4.2.1-go": "runc-criu-4.2.1-go.tar.xz",
}
OLDER = {"containerd-2.0-ledger": "containerd-2.0-ledger.tar.xz"}
"""Without a record of what others read from it: see the README of the fixtures."""

REAL = {**LEDGERS, **PROGRAMS, **PLANTED, "crio-runc-counter": "crio-runc-counter.tar.bz2"}


def facts(name: str) -> dict[str, t.Any]:
    """What the program in a fixture said that it holds."""
    return t.cast("dict[str, t.Any]", json.loads((FIXTURES / f"{name}.facts.json").read_text()))


def crit(name: str) -> dict[str, t.Any]:
    """What crit read from the images of a fixture."""
    with lzma.open(FIXTURES / f"{name}.crit.json.xz", "rt") as file:
        return t.cast("dict[str, t.Any]", json.load(file))


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzagged(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def encode(message: str, values: dict[str, t.Any]) -> bytes:
    """A message by the table that the reader uses; the row of the fields is that of the table."""
    out = b""
    for number, field in sorted(fields_of(message).items()):
        if field.name not in values:
            continue
        given = values[field.name]
        for item in given if field.repeated else [given]:
            value = encode(field.message, item) if field.message else item
            value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            if isinstance(value, bytes):
                out += varint(number << 3 | 2) + varint(len(value)) + value
            elif field.kind == "f64":
                out += varint(number << 3 | 1) + struct.pack("<Q", value)
            else:
                zigzag = field.kind.startswith("z")
                out += varint(number << 3) + varint(zigzagged(value) if zigzag else int(value))
    return out


def image(prefix: str, *entries: t.Union[dict[str, t.Any], bytes], version: int = 2) -> bytes:
    """An image from its entries; bytes among them stand for themselves."""
    kind = BY_PREFIX[prefix]
    out = b""
    if kind.magic != INVENTORY and version > 1:
        out += struct.pack("<I", IMG_SERVICE if prefix in ("stats", "irmap-cache") else IMG_COMMON)
    out += struct.pack("<I", kind.magic)
    message = "pagemap_head" if kind.extra == "head" else kind.message
    for entry in entries:
        if isinstance(entry, bytes):
            out += entry
            continue
        raw = encode(message, entry)
        out += struct.pack("<I", len(raw)) + raw
        message = kind.message
    return out


def images(files: dict[str, bytes], parent: t.Optional[Images] = None) -> Images:
    return Images({name: from_bytes(name, data) for name, data in files.items()}, Notes(), parent)


def pagemap(pages_id: int, *entries: dict[str, t.Any]) -> bytes:
    return image("pagemap", {"pages_id": pages_id}, *entries)


def everything(archive: Archive) -> dict[str, t.Any]:
    """All that can be asked of a checkpoint, JSON-clean: for tests that only want it to end well."""
    from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.rootfs import changes
    from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
    from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.clean import clean

    checkpoint = Checkpoint(archive)
    result: dict[str, t.Any] = {
        "identity": checkpoint.identity.as_dict(),
        "inventory": checkpoint.inventory,
        "statistics": checkpoint.statistics,
        "mounts": checkpoint.mounts,
        "namespaces": checkpoint.namespaces,
        "devices": checkpoint.network_devices,
        "cgroups": checkpoint.cgroups,
        "locks": checkpoint.locks,
        "apparmor": checkpoint.apparmor,
        "ipc": checkpoint.ipc,
        "processes": [],
        "payloads": [],
        "rootfs": changes(archive).as_dict(),
    }
    for process in checkpoint.processes:
        dumped = sum(
            len(piece.data) for area in process.areas for piece in process.memory.dumped(area) if piece.data is not None
        )
        result["processes"].append(
            {
                **process.as_dict(),
                "environment": process.environment,
                "descriptors": [{**found.as_dict(), "peer": checkpoint.peer(found)} for found in process.descriptors],
                "areas": [{**area.as_dict(), "pages": process.memory.counts(area)} for area in process.areas],
                "dumped": dumped,
            }
        )
    for payload in checkpoint.payloads():
        size = sum(len(data) for unused_offset, data in payload.chunks())
        result["payloads"].append({**payload.as_dict(), "read": size})
    cleaned: dict[str, t.Any] = clean(result)
    cleaned["warnings"] = checkpoint.warnings
    json.dumps(cleaned).encode("utf-8")
    return cleaned


def unescape(text: str) -> bytes:
    """The bytes that escape() had: they are all still there."""
    out = bytearray()
    position = 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] == "x":
            out.append(int(text[position + 2 : position + 4], 16))
            position += 4
        elif text[position] == "\\":
            out += b"\\"
            position += 2
        else:
            out += text[position].encode("utf-8")
            position += 1
    return bytes(out)
