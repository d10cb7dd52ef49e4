# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's half says about archives and the node."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer import node

NAME = "checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(b"archive" * 300_000)
    path.chmod(0o600)
    os.utime(path, ns=(0, 1_795_253_880_412_345_678))
    return path


def code_of(path: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        node.describe_archive(path)
    assert caught.value.details["path"] == path
    return caught.value.code


def test_describes_an_archive(archive: Path) -> None:
    assert node.describe_archive(str(archive)) == {
        "path": str(archive),
        "size": 2_100_000,
        "mtime": "2026-11-21T09:38:00.412346Z",
        "mode": "0600",
        "owner": pwd.getpwuid(os.getuid()).pw_name,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }


def test_describes_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.tar").touch()
    assert node.describe_archive(str(tmp_path / "empty.tar"))["sha256"] == hashlib.sha256().hexdigest()


def test_refuses_what_is_no_archive(archive: Path) -> None:
    folder = archive.parent
    (folder / "link.tar").symlink_to(archive)
    (folder / "loop.tar").symlink_to("loop.tar")
    os.mkfifo(folder / "fifo.tar")
    assert code_of(str(folder / "link.tar")) == "archive_is_link"
    assert code_of(str(folder / "loop.tar")) == "archive_is_link"
    assert code_of(str(folder / "fifo.tar")) == "archive_not_a_file"
    assert code_of(str(folder)) == "archive_not_a_file"
    assert code_of(str(folder / "nothing.tar")) == "archive_missing"
    assert code_of(f"{archive}/inside.tar") == "archive_missing"
    assert code_of("relative.tar") == "path_invalid"
    assert code_of("/tmp/nul\0.tar") == "path_invalid"


def test_follows_a_link_in_the_folder_of_an_archive(archive: Path) -> None:
    """/var/lib/kubelet is a link on many nodes."""
    (archive.parent / "elsewhere").symlink_to(archive.parent)
    assert node.describe_archive(str(archive.parent / "elsewhere" / NAME))["size"] == 2_100_000


def test_unreadable_archive(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: t.Any) -> t.NoReturn:
        raise PermissionError(13, "Permission denied")  # as for a login without become

    monkeypatch.setattr(os, "open", refuse)
    assert code_of(str(archive)) == "archive_unreadable"


@pytest.mark.parametrize("change", ["grows", "rewritten in place"])
def test_an_archive_that_is_still_written_is_an_error(
    archive: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    plain = node.digest_of

    def meanwhile(stream: t.BinaryIO) -> tuple[str, int]:
        result = plain(stream)
        with archive.open("ab" if change == "grows" else "r+b") as writer:
            writer.write(b"more")
        return result

    monkeypatch.setattr(node, "digest_of", meanwhile)
    assert code_of(str(archive)) == "archive_changing"


def test_one_bad_archive_does_not_hide_the_others(archive: Path) -> None:
    described, failures = node.describe_archives(["/nowhere.tar", str(archive)])
    assert [entry["path"] for entry in described] == [str(archive)]
    assert [(failure["path"], failure["code"]) for failure in failures] == [("/nowhere.tar", "archive_missing")]


def criu(folder: Path, script: str) -> None:
    program = folder / "criu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo Version: 4.2.1", "4.2.1"),
        ("echo Version: 4.1.1; echo GitID: v4.1.1-3-gabc", "4.1.1"),
        ("echo nothing to see; exit 1", None),
    ],
)
def test_criu_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, version: str | None) -> None:
    criu(tmp_path, script)
    monkeypatch.setattr(node, "_SEARCH_PATH", str(tmp_path))
    assert node.node_facts()["criu_version"] == version


def test_facts_without_criu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_SEARCH_PATH", str(tmp_path))
    system = os.uname()
    assert node.node_facts() == {
        "hostname": system.nodename,
        "kernel": system.release,
        "machine": system.machine,
        "criu_version": None,
    }


def test_a_criu_that_hangs_does_not_hold_the_evidence_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    criu(tmp_path, "exec tail -f /dev/null")
    monkeypatch.setattr(node, "_SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(node, "_CRIU_SECONDS", 0.2)
    assert node.node_facts()["criu_version"] is None
