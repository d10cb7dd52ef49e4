# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of a checkpoint as the image that CRI-O and containerd restore from, in the laboratory's registry.

Both want the archive's members at the image's root and an annotation of the manifest, each its own (cri-o
server/container_restore.go, v1.36.3; containerd internal/cri/server/container_checkpoint_linux.go, v2.1.9). The
Kubernetes runtimes write plain tar, so that the archive is the layer as it is.
"""

from __future__ import annotations

import pathlib

from labkit import images, topology

ANNOTATIONS = ("io.kubernetes.cri-o.annotations.checkpoint.name", "org.criu.checkpoint.container.name")
REPOSITORY = "matrix"


def push(archive: pathlib.Path, container: str, ca_file: pathlib.Path) -> str:
    """The reference of the image. ``container``: the name of the container that was checkpointed."""
    layer = archive.read_bytes()
    machine = images.platform.machine()
    config = images._json(
        {
            "architecture": images.ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [images._digest(layer)]},
        }
    )
    manifest = images._json(
        {
            "schemaVersion": 2,
            "mediaType": images.MANIFEST,
            "config": images._descriptor(images.CONFIG, config),
            "layers": [images._descriptor(images.LAYER, layer)],
            "annotations": dict.fromkeys(ANNOTATIONS, container),
        }
    )
    registry = f"{topology.REGISTRY_HOST}:{topology.REGISTRY_PORT}"
    tag = images._digest(layer)[7:19]
    with images._Registry(registry, ca_file, topology.CONTROL_PLANE, None) as connection:
        connection.put_blob(REPOSITORY, layer)
        connection.put_blob(REPOSITORY, config)
        connection.put_manifest(REPOSITORY, tag, manifest)
    return f"{registry}/{REPOSITORY}:{tag}"
