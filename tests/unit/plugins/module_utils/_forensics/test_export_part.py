# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a checkpoint as files."""

from __future__ import annotations

import hashlib
import os
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics import export
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    facts,
)

NAME = "crio-runc-ledger"


@pytest.fixture(name="checkpoint")
def fixture_checkpoint() -> t.Iterator[Checkpoint]:
    with open_archive(FIXTURES / LEDGERS[NAME]) as archive:
        yield Checkpoint(archive)


def written(checkpoint: Checkpoint, path: pathlib.Path, **wanted: t.Any) -> tuple[bytes, dict[str, t.Any]]:
    result = export.write(export.part(checkpoint, wanted), str(path))
    data = path.read_bytes()
    assert (result["size"], result["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [path.name]
    return data, result


def test_range(checkpoint: Checkpoint, tmp_path: pathlib.Path) -> None:
    known = facts(NAME)["heap"]
    data, result = written(checkpoint, tmp_path / "x", pid=1, start=known["address"], size=known["length"])
    assert data == bytes.fromhex(known["hex"])
    assert (result["pid"], result["start"], result["gaps"]) == (1, known["address"], [])


def test_area_by_name_and_by_address(checkpoint: Checkpoint, tmp_path: pathlib.Path) -> None:
    known = facts(NAME)["heap"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    data, result = written(checkpoint, tmp_path / "a" / "x", pid=1, area="[heap]")
    again, _unused = written(checkpoint, tmp_path / "b" / "x", pid=1, area=known["address"])
    offset = int(known["address"], 16) - int(result["area"]["start"], 16)
    assert data[offset : offset + known["length"]] == bytes.fromhex(known["hex"])
    assert (data, len(data)) == (again, result["area"]["size"])


def test_gaps_are_zeros_and_named(checkpoint: Checkpoint, tmp_path: pathlib.Path) -> None:
    data, result = written(checkpoint, tmp_path / "x", pid=1, start="0x3ff000", size=4 * 4096)
    assert data[: 2 * 4096] == bytes(2 * 4096)
    assert result["gaps"][:2] == [
        {"offset": 0, "size": 4096, "why": "unmapped"},
        {"offset": 4096, "size": 4096, "why": "file"},
    ]
    assert result["gaps"][2]["offset"] > 2 * 4096


@pytest.mark.parametrize(
    ("name", "fact"), [("/memfd:ledger-memfd", "memfd"), ("SysV segment 0", "shared"), ("DELETED", "deleted")]
)
def test_file(checkpoint: Checkpoint, tmp_path: pathlib.Path, name: str, fact: str) -> None:
    known = facts(NAME)[fact]
    data, result = written(checkpoint, tmp_path / "x", file=f"{known['path']} (deleted)" if name == "DELETED" else name)
    assert data.startswith(known["text"].encode())
    assert len(data) == known.get("size", len(known["text"]))
    assert result["place"] in ("memfd", "sysv_shared_memory", "deleted_file")


def test_nothing_is_overwritten(checkpoint: Checkpoint, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"precious")
    with pytest.raises(CheckpointError) as caught:
        export.write(export.part(checkpoint, {"pid": 1, "area": "[heap]"}), str(path))
    assert caught.value.code == "destination_exists"
    assert path.read_bytes() == b"precious"


def test_nothing_is_left_where_writing_fails(checkpoint: Checkpoint, tmp_path: pathlib.Path) -> None:
    part = export.part(checkpoint, {"pid": 1, "area": "[heap]"})

    def broken() -> t.Iterator[tuple[int, bytes]]:
        yield 0, b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError) as caught:
        export.write(export.Part(part.size, broken, part.gaps, part.described), str(tmp_path / "x"))
    assert caught.value.code == "destination_full"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"pid": 99, "area": "[heap]"}, "process_missing"),
        ({"pid": 1, "area": "[nowhere]"}, "area_missing"),
        ({"pid": 1, "area": "/bin/ledger"}, "area_missing"),
        ({"pid": 1, "area": "0x1"}, "area_missing"),
        ({"pid": 1, "start": "here", "size": 1}, "export_invalid"),
        ({"pid": 1, "start": "0x400000", "size": 0}, "export_invalid"),
        ({"pid": 1, "start": "0", "size": 1 << 60}, "range_too_large"),
        ({"file": "/nothing"}, "file_missing"),
    ],
)
def test_what_cannot_be_exported(checkpoint: Checkpoint, wanted: dict[str, t.Any], code: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        export.part(checkpoint, wanted)
    assert caught.value.code == code
