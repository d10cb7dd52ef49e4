# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts and files: what is in them, that they stay the same, and that nothing is left of what failed."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import pathlib
import resource
import shutil
import tarfile
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.listing import listing
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci import compressors
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.local import ImageFile, Layout
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.make import Wish, make_image
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import (
    header,
    member,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    NAME,
    PAGES,
    archive,
    make,
)

AVAILABLE = ["none", "gzip", *(["zstd"] if shutil.which("zstd") else [])]
Kind = t.Callable[[pathlib.Path], t.Union[Layout, ImageFile]]


def layout(folder: pathlib.Path) -> Layout:
    return Layout(str(folder / "layout"), NAME)


def image_file(folder: pathlib.Path) -> ImageFile:
    return ImageFile(str(folder / "image.tar"), NAME)


def tree(folder: pathlib.Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def blobs(folder: pathlib.Path) -> dict[str, bytes]:
    """Of the layout or the file in the folder, by digest; each has the digest that it is named by."""
    if (folder / "layout").exists():
        found = {path.name: path.read_bytes() for path in (folder / "layout" / "blobs" / "sha256").iterdir()}
    else:
        with tarfile.open(folder / "image.tar") as tar:
            files = {name: tar.extractfile(name) for name in tar.getnames() if name.startswith("blobs/")}
            found = {os.path.basename(name): file.read() for name, file in files.items() if file is not None}
    for digest, content in found.items():
        assert hashlib.sha256(content).hexdigest() == digest
    return {f"sha256:{digest}": content for digest, content in found.items()}


def run(path: pathlib.Path, place: t.Union[Layout, ImageFile], compression: str = "none", check: bool = False) -> t.Any:
    with place:
        return make(path, place, compression, check)


@pytest.mark.parametrize("kind", [layout, image_file])
@pytest.mark.parametrize("compression", AVAILABLE)
def test_the_archive_comes_back_byte_for_byte(tmp_path: pathlib.Path, kind: Kind, compression: str) -> None:
    source = archive(tmp_path)
    result = run(source, kind(tmp_path), compression)
    found = blobs(tmp_path)
    manifest = json.loads(found[result["digest"]])
    config = json.loads(found[manifest["config"]["digest"]])
    layer = found[manifest["layers"][0]["digest"]]
    assert manifest["layers"] == [result["layer"]] and len(layer) == result["layer"]["size"]
    assert result["layer"]["mediaType"].endswith(".tar" if compression == "none" else f".tar+{compression}")
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"]
    assert (config["architecture"], config["created"]) == ("arm64", "2026-11-21T09:18:00.500000Z")
    if compression == "gzip":
        assert gzip.decompress(layer) == source.read_bytes()
    path = tmp_path / ("layout" if kind is layout else "image.tar")
    with open_archive(path) as read:
        assert read.compression == (None if compression == "none" else compression)
        assert read.identity.pod == "web-0" and read.annotations == {**read.annotations, **result["annotations"]}
        assert read.images("checkpoint")["pages-1.img"].read() == PAGES


def test_annotations(tmp_path: pathlib.Path) -> None:
    assert run(archive(tmp_path), layout(tmp_path))["annotations"] == {
        "io.kubernetes.cri-o.annotations.checkpoint.name": "web",
        "org.criu.checkpoint.container.name": "web",
        "org.criu.checkpoint.criu.version": "4.2.1",
        "org.criu.checkpoint.engine.name": "CRI-O",
        "org.criu.checkpoint.host.arch": "aarch64",
        "org.criu.checkpoint.host.kernel": "6.18.0",
        "org.criu.checkpoint.pod.name": "web-0",
        "org.criu.checkpoint.pod.namespace": "shop",
        "org.criu.checkpoint.pod.uid": "7a57262d-fc12-4138-bd39-b10314267ee5",
        "org.criu.checkpoint.rootfsImageID": "cc" * 32,
        "org.criu.checkpoint.rootfsImageUserRequested": "example.com/web:1",
        "org.criu.checkpoint.runtime.name": "runc",
    }


@pytest.mark.parametrize("name", ["crio-crun-ledger", "containerd-2.1-ledger", "podman-5.4-ledger"])
def test_recorded_archives_of_each_engine(tmp_path: pathlib.Path, name: str) -> None:
    result = run(FIXTURES / REAL[name], layout(tmp_path))
    engine = {"crio": "CRI-O", "cont": "containerd", "podm": "Podman"}[name[:4]]
    assert result["annotations"]["org.criu.checkpoint.engine.name"] == engine
    assert result["architecture"] == "amd64"
    assert result["created"].startswith("20")
    (entry,) = listing([str(tmp_path / "layout")])
    assert entry["readable"] and entry["format"] == "oci-layout" and entry["identity"]["engine"] == engine


@pytest.mark.parametrize("kind", [layout, image_file])
@pytest.mark.parametrize("compression", AVAILABLE)
def test_a_second_run_changes_nothing(tmp_path: pathlib.Path, kind: Kind, compression: str) -> None:
    source = archive(tmp_path)
    first = run(source, kind(tmp_path), compression)
    before = tree(tmp_path)
    second = run(source, kind(tmp_path), compression)
    assert first["changed"] and not second["changed"]
    assert second["bytes_sent"] == 0 and second["diff"]["before"] == second["diff"]["after"]
    assert tree(tmp_path) == before
    assert {key: first[key] for key in ("digest", "layer", "annotations", "archive_sha256")} == {
        key: second[key] for key in ("digest", "layer", "annotations", "archive_sha256")
    }


@pytest.mark.parametrize("compression", AVAILABLE)
def test_the_same_archive_gives_the_same_image_elsewhere(tmp_path: pathlib.Path, compression: str) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    one = archive(tmp_path / "one")
    two = tmp_path / "two" / "other-name.tar"
    shutil.copyfile(one, two)
    os.utime(two, (1, 1))
    assert (
        run(one, layout(tmp_path / "one"), compression)["digest"]
        == run(two, image_file(tmp_path), compression)["digest"]
    )


@pytest.mark.parametrize("kind", [layout, image_file])
def test_check_mode_writes_nothing_and_tells_what_a_run_tells(tmp_path: pathlib.Path, kind: Kind) -> None:
    source = archive(tmp_path)
    told = run(source, kind(tmp_path), check=True)
    assert told["changed"] and told["digest"] is None and os.listdir(tmp_path) == ["archive.tar"]
    done = run(source, kind(tmp_path))
    assert set(told) == set(done) and told["annotations"] == done["annotations"]
    assert not run(source, kind(tmp_path), check=True)["changed"]


def test_a_layout_takes_another_image_under_the_same_name(tmp_path: pathlib.Path) -> None:
    first = run(archive(tmp_path), layout(tmp_path))
    second = run(archive(tmp_path, b"other pages" * 500), layout(tmp_path))
    assert second["changed"] and second["replaced"] == first["digest"]
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [second["digest"], first["digest"]]
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == str(NAME)
    assert not index["manifests"][1]["annotations"]
    assert first["digest"] in blobs(tmp_path)


def test_a_file_is_never_overwritten(tmp_path: pathlib.Path) -> None:
    run(archive(tmp_path), image_file(tmp_path))
    before = (tmp_path / "image.tar").read_bytes()
    source = archive(tmp_path, b"other pages" * 500)
    for check in (True, False):
        with pytest.raises(CheckpointError) as refused:
            run(source, image_file(tmp_path), check=check)
        assert refused.value.code == "destination_exists"
    assert (tmp_path / "image.tar").read_bytes() == before and len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"", b"something else" * 100])
def test_a_file_that_is_something_else_stays(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        run(archive(tmp_path), image_file(tmp_path))
    assert refused.value.code == "destination_exists"
    assert (tmp_path / "image.tar").read_bytes() == content


def test_a_blob_that_rotted_is_written_again(tmp_path: pathlib.Path) -> None:
    source = archive(tmp_path)
    result = run(source, layout(tmp_path))
    blob = tmp_path / "layout" / "blobs" / "sha256" / result["archive_sha256"]
    content = bytearray(blob.read_bytes())
    content[5000] ^= 1
    blob.write_bytes(content)
    assert run(source, layout(tmp_path))["changed"]
    assert blob.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("files", [{"notes.txt": "mine"}, {"oci-layout": "{}", "index.json": "no JSON"}])
def test_folders_that_hold_something_else(tmp_path: pathlib.Path, files: dict[str, str]) -> None:
    (tmp_path / "layout").mkdir()
    for name, text in files.items():
        (tmp_path / "layout" / name).write_text(text)
    before = tree(tmp_path / "layout")
    with pytest.raises(CheckpointError) as refused:
        run(archive(tmp_path), layout(tmp_path))
    assert refused.value.code == "destination_in_use" and tree(tmp_path / "layout") == before


def test_two_runs_on_one_layout(tmp_path: pathlib.Path) -> None:
    (tmp_path / "layout").mkdir()
    other = os.open(tmp_path / "layout", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CheckpointError) as refused:
            run(archive(tmp_path), layout(tmp_path))
        assert refused.value.code == "destination_busy"
    finally:
        os.close(other)
    assert not tree(tmp_path / "layout")


@pytest.fixture
def small_files() -> t.Iterator[None]:
    """No file may grow beyond 1 MiB: the kernel refuses the write in the middle of the layer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", [layout, image_file])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: pathlib.Path, kind: Kind, compression: str, request: pytest.FixtureRequest
) -> None:
    source = archive(tmp_path, os.urandom(3 << 20))
    request.getfixturevalue("small_files")
    with pytest.raises(CheckpointError) as failed:
        run(source, kind(tmp_path), compression)
    assert failed.value.code == "destination_full"
    assert os.listdir(tmp_path) == ["archive.tar"]


def test_a_failure_leaves_the_images_that_were_there(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    run(archive(tmp_path), layout(tmp_path))
    before = tree(tmp_path / "layout")
    source = archive(tmp_path, os.urandom(3 << 20))
    request.getfixturevalue("small_files")
    with pytest.raises(CheckpointError):
        run(source, layout(tmp_path))
    assert tree(tmp_path / "layout") == before


@pytest.mark.parametrize("kind", [layout, image_file])
def test_an_archive_that_changes_meanwhile(tmp_path: pathlib.Path, kind: Kind) -> None:
    source = archive(tmp_path)

    class Meddler(threading.Event):
        """Asked before each piece is read: appends to the archive."""

        def is_set(self) -> bool:
            with source.open("ab") as file:
                file.write(bytes(512))
            return False

    with kind(tmp_path) as place, pytest.raises(CheckpointError) as failed:
        make_image(Wish(str(source), NAME), place, Meddler())
    assert failed.value.code == "archive_changing"
    assert os.listdir(tmp_path) == ["archive.tar"]


def test_a_wish_to_stop(tmp_path: pathlib.Path) -> None:
    stop = threading.Event()
    stop.set()
    with layout(tmp_path) as place, pytest.raises(CheckpointError) as failed:
        make_image(Wish(str(archive(tmp_path)), NAME), place, stop)
    assert failed.value.code == "interrupted" and os.listdir(tmp_path) == ["archive.tar"]


HOSTILE = {
    "a name upwards": member(b"../../etc/cron.d/x", b"x"),
    "an absolute name": member(b"/etc/cron.d/x", b"x"),
    "a device": header(b"checkpoint/sda", flag=b"4"),
    "a character device": header(b"checkpoint/mem", flag=b"3"),
    "a pipe": header(b"checkpoint/fifo", flag=b"6"),
    "a hard link": header(b"checkpoint/passwd", flag=b"1", link=b"/etc/passwd"),
    "a link to the root": header(b"checkpoint/out", flag=b"2", link=b"/etc"),
    "a link upwards": header(b"checkpoint/out", flag=b"2", link=b"../../etc"),
    "a whiteout": member(b"checkpoint/.wh.pages-1.img"),
    "an opaque folder": member(b".wh..wh..opq"),
}


@pytest.mark.parametrize("what", list(HOSTILE))
def test_hostile_archives(tmp_path: pathlib.Path, what: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        run(archive(tmp_path, extra=HOSTILE[what]), layout(tmp_path))
    assert refused.value.code == "archive_unsafe"
    assert os.listdir(tmp_path) == ["archive.tar"]


def test_the_link_that_podman_writes(tmp_path: pathlib.Path) -> None:
    extra = header(b"checkpoint/parent", flag=b"2", link=b"../pre-checkpoint")
    assert run(archive(tmp_path, extra=extra), layout(tmp_path))["changed"]


@pytest.mark.parametrize("cut", [700, 5000, 2_000_000])
def test_archives_that_are_cut_short(tmp_path: pathlib.Path, cut: int) -> None:
    source = archive(tmp_path)
    source.write_bytes(source.read_bytes()[:cut])
    with pytest.raises(CheckpointError) as refused:
        run(source, layout(tmp_path))
    assert refused.value.code in ("archive_damaged", "not_a_checkpoint")
    assert os.listdir(tmp_path) == ["archive.tar"]


def test_a_compressed_archive_with_wrong_bytes(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "archive.tar.gz"
    packed = bytearray(gzip.compress(archive(tmp_path, os.urandom(3 << 20)).read_bytes(), 1))
    packed[-6] ^= 1
    source.write_bytes(packed)
    with pytest.raises(CheckpointError) as refused:
        run(source, layout(tmp_path))
    assert refused.value.code == "archive_damaged" and not (tmp_path / "layout").exists()


def test_an_unpacked_archive(tmp_path: pathlib.Path) -> None:
    with tarfile.open(archive(tmp_path)) as tar:
        tar.extractall(tmp_path / "unpacked")
    with pytest.raises(CheckpointError) as refused:
        run(tmp_path / "unpacked", layout(tmp_path))
    assert refused.value.code == "archive_folder"


def test_an_image_of_an_image(tmp_path: pathlib.Path) -> None:
    first = run(archive(tmp_path), layout(tmp_path), "gzip")
    again = run(tmp_path / "layout", image_file(tmp_path))
    assert again["archive_sha256"] == first["archive_sha256"]
    assert again["layer"]["digest"] == f"sha256:{first['archive_sha256']}"


def test_no_zstd_on_the_machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compressors, "_library", lambda _name: None)
    with pytest.raises(CheckpointError) as refused:
        run(archive(tmp_path), layout(tmp_path), "zstd")
    assert refused.value.code == "zstd_missing" and os.listdir(tmp_path) == ["archive.tar"]


def test_a_zstd_program_that_fails(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "zstd"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(compressors, "_library", lambda _name: None)
    with pytest.raises(CheckpointError) as failed:
        run(archive(tmp_path), layout(tmp_path), "zstd")
    assert failed.value.code == "compression_failed" and failed.value.message == "out of luck"
    assert not (tmp_path / "layout").exists()
