# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint inside an OCI image: an image layout (folder or tar), or the tar that ``docker save`` makes.

Sources: OCI image-spec v1.1 (image-layout.md, manifest.md); docker save's ``manifest.json`` (moby/moby
image/tarexport, v28). The image has one layer that holds the archive's content at ``/``, as buildah and
checkpoint_image make it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import json
import typing as t

from .._common.errors import CheckpointError
from . import compression, tar
from .members import Member, Tree
from .notes import Notes

MAX_JSON = 4 << 20
MAX_INDEXES = 4


class Layer(t.NamedTuple):
    """The content of the image's layer, its compression, its digest as it is stored ("sha256:HEX", None where no
    manifest names it), and the annotations of the manifest and its index."""

    tree: Tree
    compression: t.Optional[str]
    digest: t.Optional[str]
    annotations: dict[str, str]


def is_image(tree: Tree) -> bool:
    return tree.file("oci-layout") is not None or (
        tree.file("manifest.json") is not None and tree.file("config.dump") is None
    )


def _refuse(text: str, message: str = "") -> CheckpointError:
    return CheckpointError(
        "image_unreadable",
        f"The image does not hold a checkpoint that can be read: {text}",
        hint="A checkpoint image has one layer with config.dump, spec.dump and checkpoint/ at its root",
        message=message,
    )


def _json(member: t.Optional[Member], name: str) -> t.Any:
    if member is None:
        raise _refuse(f"{name} is missing")
    if member.size > MAX_JSON:
        raise _refuse(f"{name} is too large")
    try:
        return json.loads(member.read())
    except (ValueError, RecursionError) as error:
        raise _refuse(f"{name} is not JSON", str(error)) from error


def _blob(tree: Tree, descriptor: t.Any) -> t.Optional[Member]:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or digest.count(":") != 1 or "/" in digest:
        raise _refuse("a descriptor has no digest")
    return tree.file("blobs/" + digest.replace(":", "/"))


def _annotations(part: t.Any, into: dict[str, str]) -> None:
    found = part.get("annotations") if isinstance(part, dict) else None
    if isinstance(found, dict):
        into.update({str(key): value for key, value in found.items() if isinstance(value, str)})


def _oci_layer(tree: Tree, annotations: dict[str, str]) -> Member:
    document = _json(tree.file("index.json"), "index.json")
    for _unused in range(MAX_INDEXES):
        _annotations(document, annotations)
        manifests = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(manifests, list) or not manifests:
            break
        if len(manifests) > 1:
            tree.notes.add("several_images", "The layout holds several images; the first is read")
        _annotations(manifests[0], annotations)
        document = _json(_blob(tree, manifests[0]), "the manifest")
    layers = document.get("layers") if isinstance(document, dict) else None
    if not isinstance(layers, list) or not layers:
        raise _refuse("its manifest names no layer")
    if len(layers) > 1:
        tree.notes.add("several_layers", "The image has several layers; the last is read")
    layer = _blob(tree, layers[-1])
    if layer is None:
        raise _refuse("its layer is missing")
    return layer


def _docker_layer(tree: Tree) -> Member:
    document = _json(tree.file("manifest.json"), "manifest.json")
    entry = document[0] if isinstance(document, list) and document else None
    layers = entry.get("Layers") if isinstance(entry, dict) else None
    layer = tree.file(layers[-1]) if isinstance(layers, list) and layers and isinstance(layers[-1], str) else None
    if layer is None:
        raise _refuse("its layer is missing")
    return layer


def find_layer(tree: Tree) -> tuple[Member, t.Optional[str], dict[str, str]]:
    """The layer of the image in ``tree`` as it is stored, its digest, and annotations. Raises image_unreadable."""
    annotations: dict[str, str] = {}
    if tree.file("oci-layout") is None:
        return _docker_layer(tree), None, annotations
    layer = _oci_layer(tree, annotations)
    return layer, ":".join(layer.name.split("/")[1:]), annotations


def open_layer(tree: Tree, notes: Notes) -> Layer:
    """The layer of the image in ``tree``. Raises CheckpointError image_unreadable."""
    layer, digest, annotations = find_layer(tree)
    source, name = compression.opened(layer.as_source())
    return Layer(tar.scan(source, notes), name, digest, annotations)
