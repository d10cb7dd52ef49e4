# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump is written to, read again by the collection's own reader and by tarfile."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tarfile
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import output
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.output import (
    ArchiveOutput,
    FolderOutput,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.pages import Pages


def content(path: str) -> dict[str, bytes]:
    with open_archive(path) as archive:
        assert not list(archive.notes)
        return {member.name: member.read() for member in archive.members if member.kind == "file"}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 3 << 20])
def test_an_archive_has_what_was_written_into_it(tmp_path: pathlib.Path, size: int) -> None:
    data = os.urandom(size)
    destination = tmp_path / "a.tar"
    with contextlib.closing(ArchiveOutput(str(tmp_path / ".new"))) as made:
        with made.member("checkpoint/pages-1.img") as file:
            for start in range(0, size, 1000):
                file.write(memoryview(data)[start : start + 1000])
        output.add(made, "config.dump", b"{}")
        made.publish(str(destination))
    assert content(str(destination)) == {"checkpoint/pages-1.img": data, "config.dump": b"{}"}
    assert os.listdir(tmp_path) == ["a.tar"] and destination.stat().st_mode & 0o777 == 0o600
    with tarfile.open(destination) as tar:
        assert [(info.name, info.size, oct(info.mode)) for info in tar] == [
            ("checkpoint", 0, "0o700"),
            ("checkpoint/pages-1.img", size, "0o600"),
            ("config.dump", 2, "0o600"),
        ]


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_what_is_there_is_not_overwritten(tmp_path: pathlib.Path, kind: str) -> None:
    destination = tmp_path / "there"
    destination.write_bytes(b"precious")
    made: t.Union[ArchiveOutput, FolderOutput]
    if kind == "archive":
        made = ArchiveOutput(str(tmp_path / ".new"))
    else:
        (tmp_path / ".new").mkdir()
        made = FolderOutput(str(tmp_path / ".new"))
    with contextlib.closing(made):
        output.add(made, "config.dump", b"{}")
        with pytest.raises(CheckpointError) as raised:
            made.publish(str(destination))
    assert raised.value.code == "destination_exists" and destination.read_bytes() == b"precious"


def test_a_folder_is_roots_alone(tmp_path: pathlib.Path) -> None:
    new = tmp_path / ".new"
    (new / "checkpoint").mkdir(parents=True)
    (new / "checkpoint" / "core-1.img").write_bytes(b"as CRIU writes it: others may read it")
    (new / "checkpoint" / "core-1.img").chmod(0o644)
    made = FolderOutput(str(new))
    output.add(made, "config.dump", b"{}")
    made.publish(str(tmp_path / "made"))
    modes = {
        path.name: oct(path.stat().st_mode & 0o777) for path in [tmp_path / "made", *(tmp_path / "made").rglob("*")]
    }
    assert modes == {"made": "0o700", "checkpoint": "0o700", "core-1.img": "0o600", "config.dump": "0o600"}


def test_pages_go_into_the_archive_without_a_file(tmp_path: pathlib.Path) -> None:
    """A thread writes as CRIU does: one image after the other, the third without any page, others as files."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    written = {1: os.urandom(3 << 20), 2: os.urandom(4096), 3: b"", 4: os.urandom(100 << 10)}
    made = ArchiveOutput(str(tmp_path / ".new"))
    pages = Pages(str(folder), 1, made)

    def criu() -> None:
        for number, data in written.items():
            descriptor = os.open(folder / f"pages-{number}.img", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        (folder / "core-1.img").write_bytes(b"core")

    thread = threading.Thread(target=criu)
    thread.start()
    while thread.is_alive():
        pages.move(0.01)
    thread.join()
    pages.finish()
    assert os.listdir(folder) == ["core-1.img"]
    made.publish(str(tmp_path / "a.tar"))
    made.close()
    found = content(str(tmp_path / "a.tar"))
    assert found == {f"checkpoint/pages-{number}.img": data for number, data in written.items()}


def test_pipes_do_not_outlive_a_failure(tmp_path: pathlib.Path) -> None:
    made = ArchiveOutput(str(tmp_path / ".new"))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    before = os.listdir("/proc/self/fd")
    Pages(str(folder), 100, made).close()
    assert not os.listdir(folder) and os.listdir("/proc/self/fd") == before
    made.close()
