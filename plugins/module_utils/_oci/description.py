# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checkpoint's image says about it: annotations, configuration and manifest, byte for byte reproducible.

Sources: OCI image-spec v1.1 (config.md, manifest.md, annotations.md); checkpointctl lib/annotations.go and
internal/oci_image_build.go (v1.5.0); cri-o internal/annotations/checkpoint.go (v1.26 to v1.36.3); containerd
internal/cri/server/container_checkpoint_linux.go (v2.1.0 to v2.3.4).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from .._archive.archive import Archive
from .._archive.identity import Identity
from .._common.errors import CheckpointError
from .._common.moments import utc
from .._criu.checkpoint import Checkpoint

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"

CRIO_NAME = "io.kubernetes.cri-o.annotations.checkpoint.name"
"""By this CRI-O takes an image for a checkpoint, whatever its value."""

PREFIX = "org.criu.checkpoint."
"""Of checkpointctl's annotations; by ``container.name`` containerd takes an image for a checkpoint."""

LONGEST = 4096
"""A longer text is no name, version or digest, and is left out."""

ARCHITECTURES = {
    "x86_64": "amd64",
    "i386": "386",
    "i686": "386",
    "aarch64": "arm64",
    "arm": "arm",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "loongarch64": "loong64",
    "mips": "mips",
    "mips64": "mips64le",
    "ppc64": "ppc64le",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390": "s390x",
    "s390x": "s390x",
}
"""Linux's names (uname -m, and those of criu images/core.proto, which have one for both byte orders) and Go's."""


def digest_of(content: bytes) -> str:
    """As descriptors have it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def as_json(document: t.Any) -> bytes:
    """The same document always gives the same bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


class Description:
    """All that is known of an image before its layer is read.

    ``created`` is RFC 3339 in UTC: the time of the checkpoint, or where that is not recorded, of CRIU's inventory.
    """

    def __init__(self, archive: Archive) -> None:
        checkpoint = Checkpoint(archive)
        identity = checkpoint.identity
        self.identity = identity
        self.architecture = _architecture(identity)
        self.created = identity.checkpointed or _written(archive)
        self.annotations = _annotations(identity, archive.documents.object("config.dump"), _cgroup_version(checkpoint))

    def config(self, diff_id: str) -> bytes:
        """The image's configuration. ``diff_id`` is the digest of the uncompressed layer."""
        return as_json(
            {
                "architecture": self.architecture,
                "config": {},
                "created": self.created,
                "history": [{"created": self.created, "created_by": "checkpoint_restore.kubernetes.checkpoint_image"}],
                "os": "linux",
                "rootfs": {"diff_ids": [diff_id], "type": "layers"},
            }
        )

    def manifest(self, layer: t.Mapping[str, t.Any], diff_id: str) -> bytes:
        """The manifest for a layer with this descriptor."""
        return as_json(
            {
                "annotations": self.annotations,
                "config": descriptor(CONFIG, self.config(diff_id)),
                "layers": [dict(layer)],
                "mediaType": MANIFEST,
                "schemaVersion": 2,
            }
        )


def descriptor(media_type: str, content: bytes) -> dict[str, t.Any]:
    """The descriptor of some content."""
    return {"digest": digest_of(content), "mediaType": media_type, "size": len(content)}


def _architecture(identity: Identity) -> str:
    found = ARCHITECTURES.get(identity.architecture or "")
    if found is None:
        raise CheckpointError(
            "architecture_unknown",
            "The archive does not tell for which architecture its processes are",
            hint="Neither dump.log nor the core images name one that is known. Look at it with checkpoint_inspect",
            message=f"Found: {identity.architecture}" if identity.architecture else "",
        )
    return found


def _written(archive: Archive) -> str:
    """When CRIU ended the dump, as the archive's own header has it: the copy of an archive has the same."""
    folder = archive.image_folder()
    member = archive.tree.file(f"{folder}/inventory.img" if folder else "inventory.img")
    moment = min(max(0, member.mtime), 1 << 36) if member is not None else 0
    return utc(moment)


def _cgroup_version(checkpoint: Checkpoint) -> t.Optional[str]:
    """A process in a hierarchy with a controller's name is on a machine with version 1, or a mixture of both."""
    controllers = {item["controller"] for members in checkpoint.cgroups["sets"].values() for item in members}
    if not controllers:
        return None
    return "v2" if controllers == {""} else "v1"


def _annotations(identity: Identity, config: dict[str, t.Any], cgroup: t.Optional[str]) -> dict[str, str]:
    found = {
        CRIO_NAME: identity.container,
        f"{PREFIX}engine.name": identity.engine,
        f"{PREFIX}container.name": identity.container,
        f"{PREFIX}pod.name": identity.pod,
        f"{PREFIX}pod.namespace": identity.namespace,
        f"{PREFIX}pod.uid": identity.pod_uid,
        f"{PREFIX}rootfsImageUserRequested": identity.image,
        f"{PREFIX}rootfsImageName": identity.image_name,
        f"{PREFIX}rootfsImageID": config.get("rootfsImageRef") or config.get("rootfsImageID"),
        f"{PREFIX}rootfsImageSha": identity.image_digest,
        f"{PREFIX}rawImageName": config.get("rawImageName"),
        f"{PREFIX}runtime.name": identity.runtime,
        f"{PREFIX}criu.version": identity.criu_version,
        f"{PREFIX}host.arch": identity.architecture,
        f"{PREFIX}host.kernel": identity.kernel,
        f"{PREFIX}cgroup.version": cgroup,
    }
    return {
        # A lone surrogate, which JSON can name, is no text.
        key: value.encode("utf-8", "replace").decode()
        for key, value in found.items()
        if isinstance(value, str) and 0 < len(value) <= LONGEST
    }
