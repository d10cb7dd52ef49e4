# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of archives: what is found, what the filters leave, and what is said about what cannot be read."""

from __future__ import annotations

import lzma
import os
import pathlib
import shutil
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics import listing
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.listing import Filters
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.crafted import (
    Made,
    checkpoint_folder,
    tar_of,
)

CRIO = FIXTURES / LEDGERS["crio-runc-ledger"]
CONTAINERD = FIXTURES / LEDGERS["containerd-2.1-ledger"]
PODMAN = FIXTURES / LEDGERS["podman-5.4-ledger"]
CHECKPOINTED = 1795255006.681464
"""When CRIO was made: 2026-11-21T09:56:46.681464Z."""


def names(entries: list[listing.Data]) -> list[str]:
    return [pathlib.Path(entry["path"]).name for entry in entries]


@pytest.fixture
def node(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with three archives, one that is none, one unpacked, and what does not count."""
    for path in (CRIO, CONTAINERD, PODMAN):
        (tmp_path / f"checkpoint-{path.name}").symlink_to(path)
    (tmp_path / "checkpoint-broken.tar").write_bytes(b"not a tar at all" * 100)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "checkpoint-below.tar").write_bytes(b"")
    checkpoint_folder(tmp_path / "unpacked", Made(1))
    return tmp_path


def test_folder(node: pathlib.Path) -> None:
    entries = listing.listing([str(node)])
    assert names(entries) == [
        "checkpoint-broken.tar",
        "checkpoint-containerd-2.1-ledger.tar.xz",
        "checkpoint-crio-runc-ledger.tar.xz",
        "checkpoint-podman-5.4-ledger.tar.gz",
        "unpacked",
    ]
    assert [entry["readable"] for entry in entries] == [False, True, True, True, True]


def test_entry_of_an_archive(node: pathlib.Path) -> None:
    entry = listing.listing([str(node / f"checkpoint-{CRIO.name}")])[0]
    assert (entry["format"], entry["compression"], entry["size"]) == ("tar", "xz", CRIO.stat().st_size)
    assert (entry["code"], entry["reason"], entry["notes"]) == (None, None, [])
    identity = entry["identity"]
    assert (identity["namespace"], identity["pod"], identity["container"]) == (
        "archive-helper",
        "ledger-crio",
        "ledger",
    )
    assert identity["checkpointed"] == "2026-11-21T09:56:46.681464Z"


def test_unreadable_archive_is_an_entry_with_a_reason(node: pathlib.Path) -> None:
    entry = listing.listing([str(node / "checkpoint-broken.tar")])[0]
    assert (entry["readable"], entry["code"], entry["size"]) == (False, "archive_not_tar", 1600)
    assert entry["reason"]
    assert set(entry["identity"]) == set(listing.Identity().as_dict())


def test_archive_that_is_no_checkpoint(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.tar").write_bytes(tar_of({"README": (b"hello", 0o644)}))
    entry = listing.listing([str(tmp_path)])[0]
    assert (entry["readable"], entry["code"]) == (False, "not_a_checkpoint")


def test_archive_that_is_not_there() -> None:
    entry = listing.listing(["/nonexistent/checkpoint.tar"])[0]
    assert (entry["readable"], entry["code"], entry["size"]) == (False, "archive_unreadable", None)
    assert "No such file" in entry["message"]


def test_archive_that_is_cut_short(tmp_path: pathlib.Path) -> None:
    whole = lzma.decompress(CRIO.read_bytes())
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    entry = listing.listing([str(tmp_path)])[0]
    assert entry["notes"] or not entry["readable"]


def test_names_that_are_no_text_are_escaped_and_told(tmp_path: pathlib.Path) -> None:
    shutil.copy(CONTAINERD, os.fsencode(tmp_path) + b"/checkpoint-\xff.tar.xz")
    entry = listing.listing([str(tmp_path)])[0]
    assert entry["readable"]
    assert entry["path"].endswith("/checkpoint-\\xff.tar.xz")
    assert entry["escaped"] == ["path"]


def test_pattern_and_names_that_meet_are_listed_once(node: pathlib.Path) -> None:
    entries = listing.listing([str(node / "checkpoint-*ledger*"), str(node), str(node / f"checkpoint-{CRIO.name}")])
    assert len(entries) == 5
    assert listing.listing([str(node / "nothing-*")]) == []


def test_name_with_brackets_is_a_name(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "checkpoint-[1].tar.xz"
    path.symlink_to(CRIO)
    assert listing.listing([str(path)])[0]["readable"]


def test_kubelets_folder_need_not_exist(monkeypatch: pytest.MonkeyPatch, node: pathlib.Path) -> None:
    monkeypatch.setattr(listing, "KUBELET_FOLDER", str(node / "none"))
    assert listing.listing() == []
    monkeypatch.setattr(listing, "KUBELET_FOLDER", str(node))
    assert len(listing.listing()) == 5


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(namespaces=["archive-*"]), 2),
        (Filters(namespaces=["shop"]), 0),
        (Filters(pods=["ledger-crio"]), 1),
        (Filters(pods=["ledger-crio", "ledger-ctd"]), 2),
        (Filters(containers=["ledger"]), 3),
        (Filters(images=["registry.lab:5000/*"]), 2),
        (Filters(images=["sha256:51bfb7ea*"]), 2),
        (Filters(images=["localhost/ledger:?"]), 1),
        (Filters(namespaces=["archive-helper"], containers=["other"]), 0),
    ],
)
def test_filters_by_what_is_inside(node: pathlib.Path, filters: Filters, found: int) -> None:
    entries = listing.listing([str(node)], filters)
    # What cannot be read stays: nobody can tell what it is.
    assert [entry["readable"] for entry in entries].count(False) == 1
    assert len(entries) == found + 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(older_than=60), True),
        (Filters(older_than=60.5), False),
        (Filters(newer_than=60), True),
        (Filters(newer_than=59.5), False),
        (Filters(older_than=30, newer_than=90), True),
    ],
)
def test_filters_by_age(filters: Filters, found: bool) -> None:
    assert bool(listing.listing([str(CRIO)], filters, CHECKPOINTED + 60)) is found


def test_age_of_the_file_where_none_is_recorded(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "checkpoint.tar.gz"
    path.write_bytes(PODMAN.read_bytes())
    os.utime(path, (1_000_000, 1_000_000))
    assert listing.listing([str(path)], Filters(older_than=100), 1_000_150)
    assert not listing.listing([str(path)], Filters(older_than=100), 1_000_050)


def test_folder_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    def refused(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    entry = listing.listing([str(tmp_path)])[0]
    assert (entry["readable"], entry["code"]) == (False, "folder_unreadable")
    assert "Permission denied" in entry["message"]


def test_a_thousand_archives_take_less_than_a_second_beyond_their_headers(tmp_path: pathlib.Path) -> None:
    first = tmp_path / "checkpoint-0.tar"
    first.write_bytes(lzma.decompress(CRIO.read_bytes()))
    paths = [str(first)]
    for number in range(1, 1000):
        os.link(first, tmp_path / f"checkpoint-{number}.tar")
        paths.append(str(tmp_path / f"checkpoint-{number}.tar"))
    begun = time.process_time()
    for path in paths:
        with open_archive(path) as archive:
            assert archive.identity.pod == "ledger-crio"
    headers = time.process_time() - begun
    begun = time.process_time()
    assert len(listing.listing([str(tmp_path)])) == 1000
    assert time.process_time() - begun - headers < 1.0
