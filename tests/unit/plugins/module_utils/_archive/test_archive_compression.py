# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import pathlib
import random
import shutil
import typing as t
import zlib

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive import compression, source
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.source import (
    MemorySource,
    StreamSource,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import made
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import FIXTURES

PACK: dict[str, t.Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
MEMBERS = {
    "config.dump": b"{}",
    "checkpoint/pages-1.img": random.Random(1).randbytes(3 << 20),
    "checkpoint/inventory.img": b"small",
    "checkpoint/pages-2.img": random.Random(2).randbytes(2 << 20),
}


def stream(name: str, data: bytes) -> StreamSource:
    opened, found = compression.opened(MemorySource(data))
    assert found == name
    assert isinstance(opened, StreamSource)
    return opened


def everything(opened: StreamSource) -> bytes:
    return b"".join(bytes(part) for part in opened.chunks(0, 1 << 40))


@pytest.mark.parametrize("name", sorted(PACK))
def test_reads_what_was_packed(name: str) -> None:
    data = random.Random(3).randbytes(300_000) + bytes(3_000_000) + b"end"
    opened = stream(name, PACK[name](data))
    assert everything(opened) == data
    assert opened.read_at(100, 50) == data[100:150]
    assert opened.read_at(len(data) - 3, 100) == b"end"
    assert opened.read_at(len(data), 100) == b""


@pytest.mark.parametrize("name", sorted(PACK))
def test_streams_behind_one_another(name: str) -> None:
    """As pigz, pbzip2 and ``cat`` make them, with padding of zeros between and behind."""
    packed = PACK[name](b"one ") + PACK[name](b"two ") + bytes(512) + PACK[name](b"three") + bytes(100)
    assert everything(stream(name, packed)) == b"one two three"


@pytest.mark.parametrize("name", sorted(PACK))
def test_bytes_behind_the_stream_are_not_its_own(name: str) -> None:
    assert everything(stream(name, PACK[name](b"data") + b"rubbish")) == b"data"


@pytest.mark.parametrize("name", sorted(PACK))
def test_cut_short_gives_the_members_up_to_there(name: str, tmp_path: pathlib.Path) -> None:
    # bzip2 gives nothing before a whole block of 900 kB is there.
    pages = random.Random(1).randbytes(1_200_000 if name == "bzip2" else 150_000)
    packed = PACK[name](made({"config.dump": b"{}", "pages-1.img": pages, "pages-2.img": pages[::-1]}))
    path = tmp_path / "cut.tar"
    for share in (0.4, 0.7, 0.99):
        path.write_bytes(packed[: int(len(packed) * share)])
        with open_archive(path) as archive:
            assert archive.notes.codes() == {"archive_cut"}
            assert archive.members[0].read() == b"{}"
            found = archive.tree.file("pages-1.img")
            assert found is not None
            assert not archive.members[-1].complete or share > 0.9
            assert found.read(0, 1000) == pages[:1000]


@pytest.mark.parametrize("name", sorted(PACK))
def test_damage_is_an_error_or_a_warning(name: str, tmp_path: pathlib.Path) -> None:
    packed = PACK[name](made({"a": b"1" * 5000, "b": random.Random(5).randbytes(5000)}))
    random_ = random.Random(11)
    path = tmp_path / "damaged.tar"
    for _round in range(150):
        data = bytearray(packed)
        data[random_.randrange(6, len(data))] ^= 1 << random_.randrange(8)
        path.write_bytes(data)
        try:
            archive = open_archive(path)
        except CheckpointError as error:
            found = error.code
        else:
            found = "opened"
            archive.close()
        assert found in ("opened", "archive_not_tar", "archive_damaged")


def test_members_are_kept_and_prefetched(tmp_path: pathlib.Path) -> None:
    """Small members cost no further pass; large ones one each time; prefetched ranges one together."""
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(made(MEMBERS), 1))
    with open_archive(path) as archive:
        opened = archive.tree.source
        assert isinstance(opened, StreamSource)
        assert (archive.compression, archive.sequential, opened.passes) == ("gzip", True, 1)
        first = archive.tree.file("checkpoint/pages-1.img")
        second = archive.tree.file("checkpoint/pages-2.img")
        small = archive.tree.file("checkpoint/inventory.img")
        assert first is not None
        assert second is not None
        assert small is not None
        assert small.read() == b"small"
        assert archive.documents.get("config.dump") == {}
        assert opened.passes == 1
        archive.tree.prefetch([(second, 5, 10), (first, 1000, 4096), (second, 1 << 30, 4)])
        assert opened.passes == 2
        for _again in range(3):
            assert second.read(5, 10) == MEMBERS[second.name][5:15]
            assert first.read(1100, 100) == MEMBERS[first.name][1100:1200]
        assert opened.passes == 2
        assert first.read() == MEMBERS[first.name]
        assert second.read() == MEMBERS[second.name]
        assert opened.passes == 3
        assert first.map() is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = stream("gzip", gzip.compress(bytes(100_000)))
    monkeypatch.setattr(StreamSource, "KEEP_BYTES", 50_000)
    assert opened.keep(0, 40_000)
    assert not opened.keep(40_000, 20_000)
    assert opened.read_at(40_000, 20_000) == bytes(20_000)


def test_a_bomb_ends_the_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(source, "BOMB_FLOOR", 1 << 20)
    monkeypatch.setattr(source, "MAX_RATIO", 100)
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(made({"small": b"1", "pages": bytes(20 << 20)}), 9))
    with open_archive(path) as archive:
        assert "unpacks to more than" in archive.notes.as_list()[0]["text"]
        assert not archive.members[-1].complete


def test_xz_that_wants_too_much_memory() -> None:
    """A dictionary of 1.5 GiB stands in the header of a few bytes."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]
    packed = bytearray(lzma.compress(b"data" * 100, filters=filters))
    opened = stream("xz", bytes(packed))
    assert everything(opened) == b"data" * 100
    # 40 stands for a dictionary of 4 GiB in the filter's properties; the header's own sum is set right.
    end = 12 + (packed[12] + 1) * 4 - 4
    packed[packed.index(b"\x21\x01", 12) + 2] = 40
    packed[end : end + 4] = zlib.crc32(packed[12:end]).to_bytes(4, "little")
    bad = stream("xz", bytes(packed))
    assert everything(bad) == b""
    assert bad.broken is not None
    assert "emory" in bad.broken.message


def test_zstd_by_whatever_the_machine_has() -> None:
    """Podman's own archive is zstd. Where nothing reads it the error says what to install."""
    path = FIXTURES / "podman-5.4-ledger.tar.zst"
    if any_zstd():
        with open_archive(path) as archive:
            assert (archive.compression, archive.identity.engine) == ("zstd", "Podman")
            assert archive.notes.as_list() == []
    else:
        with pytest.raises(CheckpointError) as caught:
            open_archive(path)
        assert caught.value.code == "zstd_missing"


def any_zstd() -> bool:
    return shutil.which("zstd") is not None or any(map(importable, ("compression.zstd", "zstandard")))


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def test_nothing_reads_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> t.Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(shutil, "which", lambda unused_name: None)
    with pytest.raises(CheckpointError, match="zstd") as caught:
        open_archive(FIXTURES / "podman-5.4-ledger.tar.zst")
    assert caught.value.code == "zstd_missing"
    assert "zstandard" in caught.value.hint


def test_zstd_program_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """What the program says is in the note; its processes and pipes are gone afterwards."""

    def missing(name: str) -> t.Any:
        raise ImportError(name)

    program = tmp_path / "zstd"
    program.write_text("#!/bin/sh\necho 'zstd: /*stdin*\\: unsupported format' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(shutil, "which", lambda unused_name: str(program))
    with pytest.raises(CheckpointError) as caught:
        open_archive(FIXTURES / "podman-5.4-ledger.tar.zst")
    assert "unsupported format" in str(caught.value)


def test_detect() -> None:
    assert compression.detect(b"\x50\x2a\x4d\x18\0\0") == "zstd"
    assert compression.detect(b"ustar") is None
    assert compression.detect(b"") is None
