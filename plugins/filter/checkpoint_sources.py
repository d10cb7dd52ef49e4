# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checkpoint_sources."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._sources import sources


def checkpoint_sources(
    checkpoints: t.Any,
    digests: t.Any,
    paths: t.Any = (),
    images: t.Any = (),
    method: str = "runtime",
    moved: bool = False,
    pod: str = "",
) -> list[dict[str, t.Any]]:
    """See checkpoint_sources.yml."""
    named = dict(zip(_several(paths), _several(images)))
    try:
        return sources(checkpoints, digests, named, method=method, moved=moved, pod=pod)
    except CheckpointError as error:
        raise AnsibleFilterError(str(error)) from error


def _several(given: t.Any) -> list[str]:
    return given.split(",") if isinstance(given, str) else list(given or ())


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checkpoint_sources": checkpoint_sources}
