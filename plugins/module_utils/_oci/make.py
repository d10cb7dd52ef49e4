# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an archive to an image in its place: what checkpoint_image does.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import json
import threading
import typing as t

from .._archive.archive import open_archive
from .description import Description, digest_of
from .layer import Layer
from .local import exists
from .reference import Name

Data = dict[str, t.Any]


class Place(t.Protocol):
    """Where images go: a repository of a registry, a layout, a file.

    ``replaceable``: a name can be given to another image. ``bytes_sent``: what was written so far.
    """

    path: str
    replaceable: bool
    bytes_sent: int

    def present(self) -> t.Optional[bytes]:
        """The manifest under the name, None where there is none."""

    def may_have(self) -> bool:
        """Whether it is worth asking for a blob before it is sent."""

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""

    def put_layer(self, layer: Layer) -> Data:
        """Write the layer; its descriptor."""

    def put_config(self, content: bytes) -> None:
        """Write the configuration."""

    def publish(self, manifest: bytes) -> None:
        """Write the manifest and give the image its name."""


class Wish(t.NamedTuple):
    """What is wanted. ``compression``: one of compressors.KINDS."""

    path: str
    name: Name
    compression: str = "none"
    check: bool = False


def make_image(wish: Wish, place: Place, stop: t.Optional[threading.Event] = None) -> Data:
    """Make the image if it is not there; what the module returns.

    The archive is read once where the name is free. It is read once more, to compare or to ask for its digest, where
    the place has images already. Raises CheckpointError.
    """
    with open_archive(wish.path) as archive:
        archive.require_checkpoint()
        layer = Layer(archive, wish.compression, stop)
        description = Description(archive)
        before = place.present()
        manifest = _same(before, description, layer)
        changed = manifest is None or not _complete(manifest, place)
        if changed and before is not None and not place.replaceable:
            raise exists(place.path)
        if changed:
            manifest = None if wish.check else _write(description, layer, place)
        notes = archive.notes.as_list()
        if description.identity.container is None:
            text = "The archive does not name its container, so no runtime will take the image for a checkpoint"
            notes.append({"code": "container_unknown", "text": text, "where": "config.dump"})
    after = _shown(wish.name, manifest, description)
    return {
        "changed": changed,
        "name": str(wish.name),
        **after,
        "replaced": digest_of(before) if changed and before is not None else None,
        "archive_sha256": layer.diff_id.partition(":")[2] if layer.diff_id is not None else None,
        "architecture": description.architecture,
        "created": description.created,
        "bytes_sent": place.bytes_sent,
        "notes": notes,
        "diff": {
            "before": _diff(before),
            "after": _diff(manifest) if manifest is not None else {"annotations": description.annotations},
        },
    }


def _same(before: t.Optional[bytes], description: Description, layer: Layer) -> t.Optional[bytes]:
    """The manifest that is there, if it is what would be made of this archive with these options.

    The archive is hashed only where all else fits. The layer's digest is then that of the manifest: compressors change
    from one version to the next, and the uncompressed content tells.
    """
    document = _parsed(before)
    layers = document.get("layers")
    found = layers[0] if isinstance(layers, list) and len(layers) == 1 and isinstance(layers[0], dict) else {}
    fits = (
        document.get("annotations") == description.annotations
        and found.get("mediaType") == layer.media_type
        and layer.size in (None, found.get("size"))
    )
    if not fits:
        return None
    return before if description.manifest(found, layer.hash()) == before else None


def _complete(manifest: bytes, place: Place) -> bool:
    document = _parsed(manifest)
    return all(place.has(str(part["digest"])) for part in (*document["layers"], document["config"]))


def _write(description: Description, layer: Layer, place: Place) -> bytes:
    if layer.compression == "none" and layer.size is not None and place.may_have() and place.has(layer.hash()):
        descriptor = {"digest": layer.hash(), "mediaType": layer.media_type, "size": layer.size}
    else:
        descriptor = place.put_layer(layer)
    diff_id = layer.hash()
    place.put_config(description.config(diff_id))
    manifest = description.manifest(descriptor, diff_id)
    place.publish(manifest)
    return manifest


def _parsed(manifest: t.Optional[bytes]) -> Data:
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(manifest or b"{}")
        if isinstance(document, dict):
            return document
    return {}


def _shown(name: Name, manifest: t.Optional[bytes], description: Description) -> Data:
    """Of the image that is there now. In check mode none may be there."""
    digest = digest_of(manifest) if manifest is not None else None
    return {
        "digest": digest,
        "reference": f"{name.registry}/{name.repository}@{digest}" if digest is not None else None,
        "layer": _parsed(manifest)["layers"][0] if manifest is not None else None,
        "annotations": description.annotations,
    }


def _diff(manifest: t.Optional[bytes]) -> Data:
    if manifest is None:
        return {}
    return {"digest": digest_of(manifest), "annotations": _parsed(manifest).get("annotations")}
