# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of images: ``registry/repository:tag``.

Source: distribution/reference (grammar and the rule which first part is a host), v0.6.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import typing as t

from .._common.errors import CheckpointError

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"({_HOST})/({_PART}(?:/{_PART})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?")
LONGEST = 255

TRANSPORT = "docker://"
"""In front of a name it means an image in its registry, as with skopeo and podman (containers-transports(5))."""

DOCKER_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
"""Where the registry behind a name answers, if not under that name."""


class Name(t.NamedTuple):
    """``registry`` is host and port as the name has them."""

    registry: str
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def host(self) -> str:
        """Host and port to connect to."""
        return DOCKER_HUB.get(self.registry, self.registry)


def parse_name(text: str) -> Name:
    """The parts of an image's name; without a tag it is ``latest``.

    Raises CheckpointError name_invalid: for a name without a registry too, as nobody can tell where that would go.
    """
    match = _NAME.fullmatch(text)
    registry = match.group(1) if match is not None else ""
    if match is None or len(text) > LONGEST or not (registry == "localhost" or set(registry) & set(".:")):
        raise CheckpointError(
            "name_invalid",
            f"{text!r} is not the name of an image that can be written",
            hint="Write registry, repository and tag, for example registry.example.com/checkpoints/web:1. "
            "The repository has lower case letters only, and no digest follows the tag",
        )
    return Name(registry, match.group(2), match.group(3) or "latest")
