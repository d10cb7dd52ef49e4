# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an archive lands: whole or not at all, never over something else."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import stat
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer import files, landing
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.node import BLOCK_BYTES

CONTENT = os.urandom(3 * BLOCK_BYTES + 12_345)


class Origin:
    """An archive on a node, and how often and from where it was read."""

    def __init__(self, content: bytes = CONTENT, cut_at: int | None = None) -> None:
        self.content = content
        self.cut_at = cut_at
        self.offsets: list[int] = []
        self.closed = 0

    def __call__(self, offset: int) -> t.Generator[bytes, None, None]:
        self.offsets.append(offset)
        try:
            for start in range(offset, len(self.content), 50_000):
                block = self.content[start : start + 50_000]
                if self.cut_at is not None and start + len(block) > self.cut_at:
                    yield block[: self.cut_at - start]
                    raise CheckpointError("transfer_cut", "The connection broke during the transfer")
                yield block
        finally:
            self.closed += 1


def wanted(content: bytes = CONTENT, name: str = "a.tar") -> landing.Wanted:
    return landing.Wanted("/node/a.tar", name, len(content), hashlib.sha256(content).hexdigest())


def receive(folder: Path, origin: Origin, what: landing.Wanted | None = None) -> landing.Receipt:
    return landing.receive(str(folder), what or wanted(), origin, lambda _done: None)


def fails(folder: Path, origin: Origin, what: landing.Wanted | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        receive(folder, origin, what)
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence" / "archives"


def test_arrives(folder: Path) -> None:
    seen: list[int] = []
    receipt = landing.receive(str(folder), wanted(), Origin(), seen.append)
    assert (receipt.changed, receipt.resumed_from) == (True, None)
    assert receipt.duration is not None
    assert (folder / "a.tar").read_bytes() == CONTENT
    assert names(folder) == ["a.tar"]
    assert stat.S_IMODE((folder / "a.tar").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert seen[-1] == len(CONTENT)
    assert seen == sorted(seen)


def test_an_empty_archive_arrives(folder: Path) -> None:
    assert receive(folder, Origin(b""), wanted(b"")).changed
    assert (folder / "a.tar").read_bytes() == b""


def test_is_not_fetched_twice(folder: Path) -> None:
    receive(folder, Origin())
    again = Origin()
    assert receive(folder, again) == landing.Receipt(changed=False)
    assert again.offsets == []


def test_never_overwrites(folder: Path) -> None:
    receive(folder, Origin())
    other = os.urandom(len(CONTENT))
    assert fails(folder, Origin(other), wanted(other)).code == "destination_exists"
    assert (folder / "a.tar").read_bytes() == CONTENT
    assert names(folder) == ["a.tar"]


@pytest.mark.parametrize("what", ["link to nothing", "link to a file", "directory", "fifo"])
def test_refuses_a_name_that_something_else_has(folder: Path, what: str) -> None:
    folder.mkdir(parents=True)
    target, victim = folder / "a.tar", folder.parent / "victim"
    if what == "directory":
        target.mkdir()
    elif what == "fifo":
        os.mkfifo(target)
    else:
        if what == "link to a file":
            victim.write_text("precious")
        target.symlink_to(victim)
    origin = Origin()
    assert fails(folder, origin).code == "destination_exists"
    assert origin.offsets == []
    assert not victim.exists() or victim.read_text() == "precious"


def test_a_link_under_the_partial_name_is_not_followed(folder: Path) -> None:
    folder.mkdir(parents=True)
    victim = folder.parent / "victim"
    victim.write_text("precious")
    (folder / "a.tar.partial").symlink_to(victim)
    assert fails(folder, Origin()).code == "destination_unsafe"
    assert victim.read_text() == "precious"


def test_a_partial_name_that_is_another_name_of_a_file_is_not_written(folder: Path) -> None:
    folder.mkdir(parents=True)
    victim = folder.parent / "victim"
    victim.write_text("precious")
    os.link(victim, folder / "a.tar.partial")
    assert fails(folder, Origin()).code == "destination_unsafe"
    assert victim.read_text() == "precious"


def test_a_cut_leaves_nothing_under_the_final_name_and_is_continued(folder: Path) -> None:
    assert fails(folder, Origin(cut_at=2 * BLOCK_BYTES + 777)).code == "transfer_cut"
    assert names(folder) == ["a.tar.partial"]
    assert stat.S_IMODE((folder / "a.tar.partial").stat().st_mode) == 0o600
    again = Origin()
    assert receive(folder, again).resumed_from == 2 * BLOCK_BYTES
    assert again.offsets == [2 * BLOCK_BYTES]
    assert (folder / "a.tar").read_bytes() == CONTENT
    assert names(folder) == ["a.tar"]


def test_an_end_that_comes_too_early_is_a_cut(folder: Path) -> None:
    short = Origin(CONTENT[:-1])
    assert fails(folder, short).code == "transfer_cut"
    assert names(folder) == ["a.tar.partial"]


def test_a_complete_partial_file_only_gets_its_name(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a.tar.partial").write_bytes(CONTENT)
    origin = Origin()
    assert receive(folder, origin).resumed_from == len(CONTENT)
    assert origin.offsets == []
    assert names(folder) == ["a.tar"]


@pytest.mark.parametrize("size", [BLOCK_BYTES, len(CONTENT), len(CONTENT) + 1])
def test_a_partial_file_of_something_else_is_started_over_once(folder: Path, size: int) -> None:
    folder.mkdir(parents=True)
    (folder / "a.tar.partial").write_bytes(os.urandom(size))
    origin = Origin()
    assert receive(folder, origin).resumed_from is None
    assert origin.offsets[-1] == 0
    assert len(origin.offsets) <= 2
    assert (folder / "a.tar").read_bytes() == CONTENT
    assert names(folder) == ["a.tar"]


def test_a_wrong_digest_leaves_nothing(folder: Path) -> None:
    damaged = Origin(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    error = fails(folder, damaged)
    assert error.code == "digest_mismatch"
    assert wanted().sha256 in error.message
    assert damaged.offsets == [0]
    assert names(folder) == []


def test_an_archive_that_grew_is_an_error(folder: Path) -> None:
    endless = Origin(CONTENT + CONTENT)
    assert fails(folder, endless).code == "archive_changing"
    assert endless.closed == 1
    assert names(folder) == []


def test_the_source_is_closed_when_the_writing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int, _data: t.Any) -> t.NoReturn:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", broken)
    origin = Origin()
    error = fails(folder, origin)
    assert (error.code, error.message) == ("destination_refused", "[Errno 5] Input/output error")
    assert origin.closed == 1


def test_a_disk_that_fills_up_keeps_no_partial_file(folder: Path) -> None:
    """The limit on file sizes stands for the disk: the kernel refuses the write in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * BLOCK_BYTES, hard))
    try:
        error = fails(folder, Origin())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.code == "destination_full"
    assert names(folder) == []
    assert receive(folder, Origin()).resumed_from is None


def test_a_disk_without_room_is_noticed_before_the_transfer(folder: Path) -> None:
    huge = landing.Wanted("/node/a.tar", "a.tar", 1 << 60, "0" * 64)
    origin = Origin()
    error = fails(folder, origin, huge)
    assert error.code == "destination_full"
    assert str(1 << 60) in error.reason
    assert origin.offsets == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert fails(tmp_path / "file" / "archives", Origin()).code == "destination_refused"


def test_two_runs_do_not_write_into_one_file(folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / "a.tar.partial").open("wb") as other:
        other.write(CONTENT[:BLOCK_BYTES])
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        assert fails(folder, Origin()).code == "destination_busy"
    assert (folder / "a.tar.partial").read_bytes() == CONTENT[:BLOCK_BYTES]
    assert receive(folder, Origin()).resumed_from == BLOCK_BYTES


@pytest.mark.parametrize("third", [False, True])
def test_a_second_run_cannot_take_over_a_file_that_was_just_given_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, third: bool
) -> None:
    """Between opening the partial file and locking it, another run completes it, and a third may begin a new one."""
    folder.mkdir(parents=True)
    partial = folder / "a.tar.partial"
    partial.write_bytes(CONTENT)
    plain = fcntl.flock

    def meanwhile(descriptor: int, operation: int) -> None:
        partial.rename(folder / "a.tar")
        if third:
            partial.write_bytes(b"begun")
        plain(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    assert fails(folder, Origin()).code == "destination_busy"
    assert (folder / "a.tar").read_bytes() == CONTENT


@pytest.mark.parametrize("same", [True, False])
def test_a_file_that_appears_during_the_transfer_is_not_overwritten(folder: Path, same: bool) -> None:
    appeared = CONTENT if same else b"something else"

    def appear(done: int) -> None:
        if done == len(CONTENT):
            (folder / "a.tar").write_bytes(appeared)

    if same:
        assert landing.receive(str(folder), wanted(), Origin(), appear).changed is False
    else:
        with pytest.raises(CheckpointError, match="never overwritten"):
            landing.receive(str(folder), wanted(), Origin(), appear)
    assert (folder / "a.tar").read_bytes() == appeared
    assert ("a.tar.partial" in names(folder)) is not same


def test_a_run_that_died_between_the_two_names_is_tidied_up(folder: Path) -> None:
    receive(folder, Origin())
    os.link(folder / "a.tar", folder / "a.tar.partial")
    assert receive(folder, Origin()).changed is False
    assert names(folder) == ["a.tar"]


def test_a_stranger_beside_a_complete_archive_is_left_alone(folder: Path) -> None:
    receive(folder, Origin())
    (folder / "a.tar.partial").write_bytes(b"stranger")
    assert receive(folder, Origin()).changed is False
    assert (folder / "a.tar.partial").read_bytes() == b"stranger"


def test_two_runs_at_the_same_time(folder: Path) -> None:
    outcomes: list[str] = []

    def run() -> None:
        try:
            outcomes.append(f"changed {receive(folder, Origin()).changed}")
        except CheckpointError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=run) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("changed True") == 1
    assert set(outcomes) <= {"changed True", "changed False", "destination_busy"}
    assert (folder / "a.tar").read_bytes() == CONTENT
    assert names(folder) == ["a.tar"]


def test_without_hard_links_renames_and_still_overwrites_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: t.Any, **_options: t.Any) -> t.NoReturn:
        raise PermissionError(1, "Operation not permitted")  # what link() says on FAT

    monkeypatch.setattr(os, "link", refuse)
    receive(folder, Origin())
    assert (folder / "a.tar").read_bytes() == CONTENT
    (folder / "other").write_text("other")
    with pytest.raises(FileExistsError):
        files.move_to_free_name(str(folder / "other"), str(folder / "a.tar"))
    assert (folder / "a.tar").read_bytes() == CONTENT


def test_is_here_writes_nothing(folder: Path) -> None:
    assert landing.is_here(str(folder), wanted()) is False
    assert not folder.exists()
    receive(folder, Origin())
    assert landing.is_here(str(folder), wanted()) is True


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/k/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar", "checkpoint-web-0_shop-web-2026-11-21T09-18-00Z.tar"),
        ("/k/..hidden", "hidden"),
        ("/k/-rf.tar", "rf.tar"),
        ("/k/a b\nc.tar", "a-b-c.tar"),
        ("/k/x\u202e.tar", "x-.tar"),
    ],
)
def test_an_archives_own_name_is_made_harmless(path: str, name: str) -> None:
    assert landing.local_name(path) == name


@pytest.mark.parametrize(
    "name",
    ["../a.tar", "/etc/passwd", "a/b.tar", ".hidden", "-rf", "a b", "a:b.tar", "a.tar.partial", "x" * 201, "a\n"],
)
def test_a_name_that_was_asked_for_is_refused_rather_than_bent(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        landing.local_name("/k/a.tar", name)
    assert caught.value.code == "name_unsafe"


@pytest.mark.parametrize("path", ["/k/...", "/k/", "/k/\u202e", "/k/" + "x" * 250])
def test_an_archive_whose_name_leaves_nothing_harmless_needs_one(path: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        landing.local_name(path)
    assert caught.value.code == "name_unsafe"
    assert landing.local_name(path, "mine.tar") == "mine.tar"
