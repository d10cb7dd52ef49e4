# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutations of the documents in recorded checkpoints: an inspection ends well, whatever they hold."""

from __future__ import annotations

import copy
import json
import pathlib
import random
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu import fuzz
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
)

NONSENSE: tuple[t.Any, ...] = (None, True, -1, 1 << 70, 0.5, "", "x" * 9, "\udcff", [], [[]], [None], {}, {"name": []})


def places(value: t.Any, path: tuple[t.Any, ...] = ()) -> t.Iterator[tuple[t.Any, ...]]:
    """Where in a document something stands."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from places(item, (*path, key))


def replaced(document: t.Any, path: tuple[t.Any, ...], value: t.Any) -> t.Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", sorted(LEDGERS))
def test_documents_with_something_else_somewhere(name: str, tmp_path: pathlib.Path) -> None:
    with open_archive(FIXTURES / LEDGERS[name]) as archive:
        for member in archive.members:
            if member.kind == "file":
                (tmp_path / member.name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / member.name).write_bytes(member.read())
    random_ = random.Random(name)
    for document in ("spec.dump", "config.dump", "status.dump", "network.status", "bind.mounts"):
        path = tmp_path / document
        if not path.exists():
            continue
        content = json.loads(path.read_text())
        for place in random_.sample(list(places(content)), min(40, len(list(places(content))))):
            path.write_text(json.dumps(replaced(content, place, random_.choice(NONSENSE))))
            with open_archive(tmp_path) as archive:
                assert len(fuzz.inspect(archive, archive)["processes"]) == 4
        path.write_text(json.dumps(content))
