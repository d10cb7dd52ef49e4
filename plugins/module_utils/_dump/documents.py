# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of an archive: who the container is, as its engine writes it beside the images.

Sources: checkpointctl lib/metadata.go 9192f11 (config.dump); CRI-O 1.36.3 internal/lib/checkpoint.go; containerd 2.1.9
internal/cri/server/container_checkpoint_linux.go, internal/cri/store/container (metadata, status). An engine that
writes none, containerd 1.7, has the same metadata and status, and gets those of 2.1.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .._node.containers import Container
from .._node.ctr import ctr

LARGEST = 8 << 20
NEVER = "0001-01-01T00:00:00Z"
METADATA = "io.cri-containerd.container.metadata"
CRIO = "io.kubernetes.cri-o."
NOT_LISTED = ("/dev/shm", "/run/.containerenv")
"""Bind mounts that CRI-O makes by itself and does not list."""

RUNNING = 1
"""CONTAINER_RUNNING, cri-api runtime/v1/api.proto."""

Json = dict[str, t.Any]


class Documents(t.NamedTuple):
    """``members``: the content of each by its name in the archive; ``log``: name and path of the container's log."""

    members: dict[str, bytes]
    log: tuple[str, str]


def documents(container: Container) -> Documents:
    """What goes into an archive of the container. Raises CheckpointError identity_unreadable."""
    try:
        text = _read(os.path.join(container.bundle, "config.json"))
        spec = json.loads(text)
        made = _of_crio(container, spec) if container.engine == "cri-o" else _of_containerd(container, spec)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            "identity_unreadable",
            f"What {container.engine} knows of the container cannot be read",
            message=f"{type(error).__name__}: {error}",
        ) from error
    made.members["spec.dump"] = text
    return made


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST)


def _config(name: str, container: Container, image: tuple[str, str, str], runtime: str, created: str) -> bytes:
    """config.dump. ``image``: rootfsImage, rootfsImageRef and rootfsImageName."""
    document = {
        "id": container.id,
        "name": name,
        "rootfsImage": image[0],
        "rootfsImageRef": image[1],
        "rootfsImageName": image[2],
        "runtime": runtime,
        "createdTime": created,
        "checkpointedTime": utc(time.time(), "microseconds"),
        "restoredTime": NEVER,
        "restored": False,
    }
    return json.dumps(document).encode()


def _of_crio(container: Container, spec: Json) -> Documents:
    found: dict[str, str] = spec["annotations"]
    reference = found[f"{CRIO}ImageRef"]
    image = (reference, reference, found[f"{CRIO}ImageName"])
    config = _config(
        found[f"{CRIO}Name"], container, image, _crio_handler(container, found), _crio_created(container, found)
    )
    mounts = [
        {
            "source": mount["source"],
            "destination": mount["destination"],
            "file_type": "directory" if stat.S_ISDIR(info.st_mode) else "file",
            "permissions": stat.S_IMODE(info.st_mode) & 0o777,
        }
        for mount in spec.get("mounts") or ()
        if mount.get("type") == "bind" and mount["destination"] not in NOT_LISTED
        for info in [os.stat(mount["source"])]
    ]
    log = found[f"{CRIO}LogPath"]
    members = {"config.dump": config, "bind.mounts": json.dumps(mounts).encode()}
    return Documents(members, (f"{CRIO}LogPath", log))


def _crio_created(container: Container, found: dict[str, str]) -> str:
    """When the runtime had made it, as CRI-O keeps it; else when CRI-O began."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        created = json.loads(_read(os.path.join(container.work, "state.json"))).get("created")
        if isinstance(created, str):
            return created
    return found[f"{CRIO}Created"]


def _crio_handler(container: Container, found: dict[str, str]) -> str:
    """The handler that the pod asked for; without one, the default's name, which is the runtime's as it comes."""
    folder = os.path.dirname(os.path.dirname(container.bundle))
    sandbox = json.loads(_read(os.path.join(folder, found[f"{CRIO}SandboxID"], "userdata", "config.json")))
    return str(sandbox["annotations"].get(f"{CRIO}RuntimeHandler") or container.runtime)


def _of_containerd(container: Container, spec: Json) -> Documents:
    known = json.loads(ctr(container.address, "containers", "info", container.id).stdout)
    metadata = json.loads(base64.b64decode(known["Extensions"][METADATA]["value"]))["Metadata"]
    asked: Json = metadata["Config"]
    status_text = _read(os.path.join(container.work, "status"))
    status: Json = json.loads(status_text)
    name, digest = _image(container, metadata["ImageRef"], asked)
    config = _config(
        metadata["Name"], container, (name, digest, name), known["Runtime"]["Name"], str(known["CreatedAt"])
    )
    user: Json = spec["process"].get("user") or {}
    shown = {
        "id": container.id,
        "metadata": asked["metadata"],
        "state": RUNNING,
        "created_at": status["CreatedAt"],
        "started_at": status["StartedAt"],
        "image": {"image": name},
        "image_ref": digest,
        "labels": asked.get("labels") or {},
        "annotations": asked.get("annotations") or {},
        "mounts": asked.get("mounts") or [],
        "log_path": metadata["LogPath"],
        "resources": status.get("Resources") or {},
        "user": {
            "linux": {
                **{key: user[key] for key in ("uid", "gid") if user.get(key)},
                "supplemental_groups": user.get("additionalGids") or [],
            }
        },
    }
    members = {"config.dump": config, "status": status_text, "status.dump": json.dumps(shown).encode()}
    return Documents(members, ("container.log", metadata["LogPath"]))


def _image(container: Container, reference: str, asked: Json) -> tuple[str, str]:
    """An image's name and the name with its digest, as containerd lists both for the image's ID.

    Without them, what the pod asked for and the ID, as containerd does.
    """
    digests: dict[str, str] = {}
    for line in ctr(container.address, "images", "list").stdout.splitlines()[1:]:
        fields = line.split()
        digests[fields[0]] = fields[2]
    wanted = digests.get(reference)
    names = sorted(name for name, digest in digests.items() if digest == wanted and not name.startswith("sha256:"))
    tagged = [name for name in names if "@" not in name]
    exact = [name for name in names if "@" in name]
    usual = str((asked.get("image") or {}).get("user_specified_image") or "")
    name = usual if usual in names else next(iter(tagged + exact), usual or reference)
    return name, next(iter(exact), reference)
