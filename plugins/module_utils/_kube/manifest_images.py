# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that a restored container has to have: the one that its process ran in.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re

from .api import Thing
from .restore_request import Archive

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")


def image_of(archive: Archive, asked: str, source: Thing) -> str:
    """The image that the process ran in, by its digest where that is known and can be pulled."""
    name = archive.tells("image") or asked
    if IMAGE_ID.fullmatch(name):
        return asked or name
    if "@" in name:
        return name
    digest = archive.tells("image_digest")
    if not digest and source.get("metadata", {}).get("uid") == archive.tells("pod_uid"):
        digest = _digest_of(source, archive.container, name)
    return f"{_repository(name)}@{digest}" if digest and DIGEST.fullmatch(digest) else name


def _digest_of(source: Thing, container: str, image: str) -> str | None:
    """The digest in the old pod's status, if it is one of the same repository."""
    status = source.get("status") or {}
    for entry in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        repository, _at, digest = str(entry.get("imageID") or "").partition("@")
        if entry.get("name") == container and _canonical(repository) == _canonical(_repository(image)):
            return digest
    return None


def _repository(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


def _canonical(repository: str) -> str:
    """With the registry that a name without one has."""
    repository = repository.partition("://")[2] or repository
    first, slash, _rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return repository
    return f"docker.io/{repository}" if slash else f"docker.io/library/{repository}"
