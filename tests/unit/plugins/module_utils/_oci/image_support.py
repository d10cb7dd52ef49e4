# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small archives to make images of, and a short way to do so."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.connection import Connection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.make import Place, Wish, make_image
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import parse_name
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.registry import Repository
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import made
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Registry,
)

NAME = parse_name("registry.example.com/checkpoints/web:1")
UID = "7a57262d-fc12-4138-bd39-b10314267ee5"
PAGES = bytes(range(256)) * 12000


def members(pages: bytes = PAGES) -> dict[str, bytes]:
    """As CRI-O 1.36 writes them; CRIU's log has its first lines."""
    config = {
        "name": f"k8s_web_web-0_shop_{UID}_0",
        "rootfsImageRef": "cc" * 32,
        "runtime": "runc",
        "checkpointedTime": "2026-11-21T09:18:00.5Z",
    }
    spec = {"annotations": {"io.container.manager": "cri-o", "io.kubernetes.cri-o.ImageName": "example.com/web:1"}}
    return {
        "dump.log": b"(0.0) Version: 4.2.1 (gitid 0)\n(0.0) Running on node-a Linux 6.18.0 #1 SMP aarch64\n",
        "checkpoint/inventory.img": b"inventory",
        "checkpoint/pages-1.img": pages,
        "config.dump": json.dumps(config).encode(),
        "spec.dump": json.dumps(spec).encode(),
    }


def archive(folder: pathlib.Path, pages: bytes = PAGES, extra: bytes = b"") -> pathlib.Path:
    """A plain archive; ``extra``: raw members behind all others."""
    path = folder / "archive.tar"
    content = made(members(pages))
    end = len(content.rstrip(b"\0"))
    path.write_bytes(content[: -(-end // 512) * 512] + extra + bytes(1024) if extra else content)
    return path


def make(path: t.Union[str, pathlib.Path], place: Place, compression: str = "none", check: bool = False) -> t.Any:
    return make_image(Wish(str(path), NAME, compression, check), place)


def push(
    path: pathlib.Path,
    registry: Registry,
    compression: str = "none",
    *,
    tag: str = "1",
    check: bool = False,
    credentials: t.Optional[Credentials] = None,
) -> t.Any:
    name = parse_name(f"{registry.address}/a/b:{tag}")
    with Repository(Connection(name, credentials, None, plain_http=True)) as place:
        return make_image(Wish(str(path), name, compression, check), place)
