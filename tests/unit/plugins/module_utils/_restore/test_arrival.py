# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that are unpacked while they arrive: whole or not at all, whatever comes."""

from __future__ import annotations

import bz2
import fcntl
import gzip
import hashlib
import io
import lzma
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import arrival
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.arrival import (
    Arrived,
    arrive,
    arrived,
    sweep,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpack import Opened
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import (
    END,
    header,
    made,
    member,
    padded,
    pax,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    members,
)

HEAD = b"".join(member(name.encode(), data) for name, data in members(b"pages").items())


class Trickle(io.RawIOBase):
    """A stream that gives less than it is asked for, and may break."""

    def __init__(self, data: bytes, seed: int, broken: t.Optional[BaseException] = None) -> None:
        self._data = io.BytesIO(data)
        self._random = random.Random(seed)
        self._broken = broken

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(self._random.randint(1, max(1, min(size, 70_000))))
        if not data and self._broken is not None:
            raise self._broken
        return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def received(folder: pathlib.Path, data: bytes, **wanted: t.Any) -> Arrived:
    options = {"sha256": sha256(data), "size": len(data), **wanted}
    return arrive(io.BytesIO(data), str(folder / "here"), **options)


def refused(folder: pathlib.Path, data: bytes, **wanted: t.Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as failed:
        received(folder, data, **wanted)
    assert os.listdir(folder) == []
    return failed.value


def zstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd program here")
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_what_arrives_is_the_archive_unpacked(tmp_path: pathlib.Path, pack: t.Callable[[bytes], bytes]) -> None:
    content = members(os.urandom(3 << 20) + bytes(5 << 20) + b"end")
    data = pack(made({"checkpoint/": b"", **content}))
    path = str(tmp_path / "here")
    assert arrive(Trickle(data, len(data)), path, sha256=sha256(data), size=len(data)) == (
        path,
        sha256(data),
        len(data),
    )
    assert os.listdir(tmp_path) == ["here"]
    assert {name: (tmp_path / "here" / name).read_bytes() for name in content} == content
    for place in [tmp_path / "here", *(tmp_path / "here").rglob("*")]:
        assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600)
    with open_archive(path) as archive:
        assert archive.form == "directory" and archive.identity.pod == "web-0" and len(archive.notes) == 0
    opened = Opened(path)
    assert opened.unpacked and opened.archive.image_folder() == "checkpoint"
    opened.close()


def test_pages_of_zeros_take_no_room(tmp_path: pathlib.Path) -> None:
    received(tmp_path, made(members(bytes(16 << 20))))
    info = (tmp_path / "here" / "checkpoint" / "pages-1.img").stat()
    assert info.st_size == 16 << 20
    assert info.st_blocks * 512 < 4 << 20


def test_the_folder_tells_what_it_was_made_of(tmp_path: pathlib.Path) -> None:
    try:
        os.setxattr(tmp_path, arrival.MARK, b"x")
    except OSError:
        pytest.skip("no attributes of users on this file system")
    data = made(members(b"pages"))
    assert arrived(received(tmp_path, data, sha256=None, size=None).path) == sha256(data)
    assert arrived(str(tmp_path / "none")) is None


def test_duplicates_count_as_with_tar(tmp_path: pathlib.Path) -> None:
    received(tmp_path, HEAD + member(b"./config.dump", b"{}") + END)
    assert (tmp_path / "here" / "config.dump").read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        (member(b"../out", b"x"), "archive_unsafe"),
        (member(b"/etc/out", b"x"), "archive_unsafe"),
        (member(b"checkpoint/../../out", b"x"), "archive_unsafe"),
        (member(b"a/b/c", b"x"), "archive_unsafe"),
        (member(b"a name", b"x"), "archive_unsafe"),
        (member(b"new\nline", b"x"), "archive_unsafe"),
        (member(b"", b"x"), "archive_unsafe"),
        (pax(path="n" * 300) + member(b"short", b"x"), "archive_unsafe"),
        (member(b"long", b"../" * 100, b"L") + member(b"short", b"x"), "archive_unsafe"),
        (member(b"link", b"", b"2", link=b"/etc/shadow"), "archive_unsafe"),
        (member(b"checkpoint/core-1.img", b"", b"1", link=b"config.dump"), "archive_unsafe"),
        (member(b"device", b"", b"4"), "archive_unsafe"),
        (member(b"pipe", b"", b"6"), "archive_unsafe"),
        (member(b"what", b"x", b"Z"), "archive_unsafe"),
        (member(b"a/b/", b"", b"5"), "archive_unsafe"),
        (member(b"config.dump/x", b"x"), "archive_unsafe"),
        (member(b"config.dump/", b"", b"5"), "archive_unsafe"),
        (member(b"checkpoint", b"x"), "archive_unsafe"),
        (
            pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9")
            + member(b"sparse", padded(b"1\n0\n1\n") + b"x"),
            "archive_unsafe",
        ),
        (member(b"checkpoint/parent", b"", b"2", link=b"../pre-checkpoint"), "incremental"),
        (header(b"checkpoint/pages-9.img", b"\x80" + (1 << 60).to_bytes(11, "big")), "no_space"),
        (header(b"checkpoint/pages-9.img", b"\xff" * 12), "archive_damaged"),
        (b"\xff" * 512, "archive_damaged"),
        (pax(path="a" * 10)[:700], "archive_truncated"),
        (header(b"checkpoint/pages-9.img", 5000) + b"x" * 1000, "archive_truncated"),
    ],
)
def test_members_that_no_checkpoint_has(tmp_path: pathlib.Path, hostile: bytes, code: str) -> None:
    assert refused(tmp_path, HEAD + hostile + (END if code == "archive_unsafe" else b"")).code == code


@pytest.mark.parametrize(
    "names", [["config.dump"], ["spec.dump"], ["checkpoint/inventory.img", "checkpoint/pages-1.img"]]
)
def test_what_is_no_checkpoint(tmp_path: pathlib.Path, names: list[str]) -> None:
    rest = {name: data for name, data in members(b"pages").items() if name not in names}
    assert refused(tmp_path, made(rest)).code == "not_a_checkpoint"


@pytest.mark.parametrize("data", [b"", b"no tar", END, bytes(4 << 20), os.urandom(4096)])
def test_what_is_no_archive(tmp_path: pathlib.Path, data: bytes) -> None:
    assert refused(tmp_path, data).code == "archive_not_tar"


def test_an_archive_that_is_not_the_one(tmp_path: pathlib.Path) -> None:
    data = made(members(os.urandom(2 << 20)))
    error = refused(tmp_path, data, sha256="0" * 64)
    assert (error.code, error.details["found"]) == ("digest_wrong", sha256(data))
    # Behind the end mark, where tar itself no longer looks.
    assert refused(tmp_path, data + b"x", sha256=sha256(data), size=None).code == "digest_wrong"
    assert refused(tmp_path, data, size=len(data) - 1).code == "too_large"
    assert refused(tmp_path, data, size=1).code == "too_large"
    assert refused(tmp_path, data, size=len(data) + 1).code == "archive_truncated"
    assert refused(tmp_path, data, size=1 << 60).code == "no_space"
    assert refused(tmp_path, HEAD).code == "archive_truncated"


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_compressed_archives_that_are_damaged(tmp_path: pathlib.Path, pack: t.Callable[[bytes], bytes]) -> None:
    data = pack(made(members(os.urandom(3 << 20))))
    for cut in (10, len(data) // 2, len(data) - 3):
        assert refused(tmp_path, data[:cut], sha256=None).code in ("archive_damaged", "archive_not_tar")
        assert refused(tmp_path, data[:cut], sha256=None, size=len(data)).code != "digest_wrong"
    for place in (len(data) // 2, len(data) - 6):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert refused(tmp_path, damaged, sha256=None).code in ("archive_damaged", "archive_truncated")
    assert refused(tmp_path, data, size=len(data) - 1).code == "too_large"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_a_stream_that_breaks(tmp_path: pathlib.Path, pack: t.Callable[[bytes], bytes]) -> None:
    data = pack(made(members(os.urandom(3 << 20))))
    errors = [ConnectionResetError("gone"), CheckpointError("connection_lost", "gone")]
    # For the zstd program another thread reads, and only the main one is interrupted.
    for error in errors if pack is zstd else [*errors, KeyboardInterrupt()]:
        for cut in (0, 1000, len(data) // 2, len(data)):
            with pytest.raises(type(error)) as failed:
                arrive(Trickle(data[:cut], cut, error), str(tmp_path / "here"), sha256=None, size=None)
            assert failed.value is error
            assert os.listdir(tmp_path) == []


def test_places_that_are_taken(tmp_path: pathlib.Path) -> None:
    data = made(members(b"pages"))
    place = tmp_path / "here"
    for take, leave in ((place.mkdir, place.rmdir), (place.touch, place.unlink)):
        take()
        with pytest.raises(CheckpointError) as failed:
            received(tmp_path, data)
        assert failed.value.code == "destination_exists" and os.listdir(tmp_path) == ["here"]
        leave()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError) as failed:
        received(tmp_path, data)
    assert failed.value.code == "destination_exists"
    with pytest.raises(CheckpointError) as failed:
        arrive(io.BytesIO(data), str(tmp_path / "none" / "here"), sha256=None, size=None)
    assert failed.value.code == "destination_refused"


def test_what_a_killed_run_left_is_swept(tmp_path: pathlib.Path) -> None:
    left, running, other = (tmp_path / f".here.{digit * 16}" for digit in "abx")
    for folder in (left, running, other):
        (folder / "checkpoint").mkdir(parents=True)
    descriptor = os.open(running, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    sweep(str(tmp_path / "here"))
    os.close(descriptor)
    assert not left.exists() and running.exists() and other.exists()


def test_a_run_that_is_killed_leaves_nothing_to_the_next(tmp_path: pathlib.Path) -> None:
    data = made(members(os.urandom(3 << 20)))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(writing)
            with open(reading, "rb", buffering=0) as stream:
                arrive(stream, str(tmp_path / "here"), sha256=None, size=None)
        finally:
            os._exit(0)
    os.close(reading)
    # More than it reads at a time, and then nothing: it waits within a file.
    with open(writing, "wb", buffering=0) as stream:
        stream.write(data[: 2 << 20])
        while not list(tmp_path.glob(".here.*/checkpoint/pages-1.img")):
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert [name for name in os.listdir(tmp_path) if name.startswith(".here.")]
    received(tmp_path, data)
    assert os.listdir(tmp_path) == ["here"]


def test_the_disk_fills_up(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_anything: t.Any) -> int:
        raise OSError(28, "No space left on device")

    data = made(members(os.urandom(100_000)))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert refused(tmp_path, data).code == "no_space"
    with monkeypatch.context() as patched:
        patched.setattr(arrival, "_close", full)
        assert refused(tmp_path, data).code == "no_space"
