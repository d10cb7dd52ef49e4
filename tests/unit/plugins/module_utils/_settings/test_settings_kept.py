# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Originals that are kept, and that come back whatever happens."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings import kept
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings.changes import (
    FileChange,
    Plan,
    read,
)
from recorded_nodes import files, write


def plan(root: str, *changes: tuple[str, str | None]) -> Plan:
    return Plan(
        "crio",
        tuple(FileChange(path, read(root, path), after, "a test") for path, after in changes),
        ("crio",),
    )


def test_keeps_the_oldest_original_until_it_is_confirmed(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    write(root, "/etc/a", "first")
    before = files(root)
    kept.apply(root, plan(root, ("/etc/a", "second")))
    kept.apply(root, plan(root, ("/etc/a", "third"), ("/etc/new/b", "b")))
    journal = kept.journal(root, "crio")
    assert journal is not None and journal.restart == ("crio",)
    assert [file.path for file in journal.files] == ["/etc/a", "/etc/new/b"]
    assert kept.unconfirmed(root) == [journal]
    kept.put_back(root, "crio")
    assert files(root) == before
    assert kept.unconfirmed(root) == []


def test_confirmed_there_is_nothing_to_put_back(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    kept.apply(root, plan(root, ("/etc/a", "a")))
    assert kept.forget(root, "crio") is True
    assert kept.forget(root, "crio") is False
    assert kept.put_back(root, "crio") == []
    assert read(root, "/etc/a") == "a"


def test_only_root_reads_what_is_kept(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    write(root, "/etc/a", "secret")
    (tmp_path / "etc/a").chmod(0o640)
    kept.apply(root, plan(root, ("/etc/a", "b")))
    store = tmp_path / "var/lib/checkpoint-restore"
    assert {stat.S_IMODE(path.stat().st_mode) for path in [store, *store.rglob("*")]} == {0o700, 0o600}
    assert stat.S_IMODE((tmp_path / "etc/a").stat().st_mode) == 0o640


def test_bytes_that_are_no_text_survive(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    (tmp_path / "a").write_bytes(b"caf\xe9\r\n\0")
    kept.apply(root, plan(root, ("/a", (read(root, "/a") or "") + "more\n")))
    assert (tmp_path / "a").read_bytes() == b"caf\xe9\r\n\0more\n"
    kept.put_back(root, "crio")
    assert (tmp_path / "a").read_bytes() == b"caf\xe9\r\n\0"


def test_a_link_stays_a_link(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    write(root, "/real", "a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    kept.apply(root, plan(root, ("/link", "b")))
    assert (tmp_path / "link").is_symlink() and read(root, "/real") == "b"


def test_a_change_that_fails_in_the_middle_leaves_nothing(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    write(root, "/etc/a", "a")
    write(root, "/etc/file", "no directory")
    before = files(root)
    with pytest.raises(OSError, match="file"):
        kept.apply(root, plan(root, ("/etc/a", "changed"), ("/etc/file/b", "b")))
    assert files(root) == before


def test_no_unfinished_file_is_left_or_seen_in_a_drop_in_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "etc/crio/crio.conf.d"
    seen: list[list[str]] = []
    rename = os.rename

    def watched(source: str, target: str) -> None:
        seen.append(os.listdir(folder))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watched)
    kept.write(str(folder / "90-a.conf"), b"a", mode=0o644)
    assert seen == [[]]
    assert sorted(os.listdir(tmp_path / "etc/crio")) == ["crio.conf.d"]


def test_a_damaged_journal_is_said_so(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    write(root, f"{kept.FOLDER}/crio/{kept.JOURNAL}", "{")
    with pytest.raises(CheckpointError) as caught:
        kept.put_back(root, "crio")
    assert caught.value.code == "kept_unreadable"
