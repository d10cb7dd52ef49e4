# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook restore does with the archives that it was given: where each goes, and what it is restored from.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import typing as t

from ._common.errors import CheckpointError

PLACE = "/var/lib/checkpoint-restore/archives"
UNPLAIN = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 120

Item = dict[str, t.Any]


def sources(
    checkpoints: t.Sequence[Item],
    digests: t.Sequence[str | None],
    images: t.Mapping[str, str],
    *,
    method: str,
    moved: bool,
    pod: str,
) -> list[Item]:
    """For each archive, as M(checkpoint_info) returns it: ``{checkpoint, archive, path, copied, push}``.

    ``archive`` is what M(checkpoint_restore) takes. ``path`` is what M(checkpoint_preflight) reads, and where a copy
    goes, where it is ``copied``. ``push`` is the image that it becomes first, or empty.
    ``digests``: of the files, in the same order; ``images``: by path, the names to push to; ``moved``: whether the
    archives are on another host than the node's; ``pod``: the new pod's name, if it is given.
    Raises CheckpointError ``archive_unusable``, ``image_elsewhere`` and ``invalid_option``.
    """
    return [
        _source(checkpoint, digest, images.get(checkpoint["path"], ""), method, moved, pod)
        for checkpoint, digest in zip(checkpoints, digests)
    ]


def _source(checkpoint: Item, digest: str | None, image: str, method: str, moved: bool, pod: str) -> Item:
    path, form = str(checkpoint["path"]), checkpoint["format"]
    if form != "tar" and not checkpoint["layer_digest"]:
        raise CheckpointError(
            "archive_unusable", f"{path}: {checkpoint['reason'] or 'This playbook takes archive files and OCI images'}"
        )
    by_runtime = method == "runtime"
    if by_runtime and moved and form in ("oci-layout", "image-archive"):
        raise CheckpointError(
            "image_elsewhere",
            f"{path}: An image on the disk has to lie on the node itself",
            hint="Copy it there, or push it",
        )
    push = "" if by_runtime or checkpoint["reference"] else image
    if not by_runtime and not checkpoint["reference"] and not push:
        raise CheckpointError(
            "invalid_option",
            f"{path}: The method image pushes an archive first",
            hint="Give image, a name for each archive",
        )
    copied = by_runtime and (moved or form != "tar")
    place = f"{PLACE}/{_name(path, form, pod)}" if copied else f"docker://{push}" if push else path
    archive = {
        "path": place if by_runtime else None,
        "sha256": digest or checkpoint["layer_digest"],
        "identity": checkpoint["identity"],
        "image": checkpoint["reference"] or push or None,
    }
    return {"checkpoint": checkpoint, "archive": archive, "path": place, "copied": copied, "push": push}


def _name(path: str, form: str, pod: str) -> str:
    """Of the copy: pods that are restored from one archive at the same time have copies of their own."""
    name = path.rpartition("/")[2] if form == "tar" else UNPLAIN.sub("-", path)[-LONGEST:]
    return f"{name}.{pod}" if pod else name
