# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are there whole or not at all."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.files import written
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.files import move_to_free_name


def test_a_file_takes_the_place_of_another_when_it_is_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with written(str(path)) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_is_left_of_a_file_that_does_not_become_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with written(str(path)) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_is_taken_is_left_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError), written(str(path), move=move_to_free_name) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_unfinished_file_lies_where_it_is_told_to(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    with written(str(folder / "file"), beside=str(tmp_path)):
        assert os.listdir(folder) == []
        assert len(os.listdir(tmp_path)) == 2
    assert os.listdir(folder) == ["file"]
    assert os.listdir(tmp_path) == ["conf.d"]
