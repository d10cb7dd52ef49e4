# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pathlib
import tarfile
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive import folder
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import (
    open_archive,
    open_nested,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.notes import MAX_NOTES, Notes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.rootfs import changes, nested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import (
    header,
    made,
    member,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
)

CONTENT = {
    "config.dump": b'{"id": "abc"}',
    "spec.dump": b"{}",
    "checkpoint/inventory.img": b"inventory",
    "checkpoint/pages-1.img": b"P" * 9000,
}


def unpack(folder_: pathlib.Path) -> pathlib.Path:
    for name, data in CONTENT.items():
        path = folder_ / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder_


def check(path: pathlib.Path, form: str, compression: t.Optional[str] = None) -> None:
    with open_archive(path) as archive:
        assert (archive.form, archive.compression) == (form, compression)
        assert archive.identity.container_id == "abc"
        assert archive.image_folder() == "checkpoint"
        pages = archive.images("checkpoint")["pages-1.img"]
        assert pages.read(8990, 100) == b"P" * 10
        assert b"".join(bytes(part) for part in pages.chunks()) == CONTENT["checkpoint/pages-1.img"]
        assert archive.notes.as_list() == []
        archive.require_checkpoint()


def test_plain_tar(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a:b.tar"
    path.write_bytes(made(CONTENT))
    check(path, "tar")
    with open_archive(path) as archive:
        pages = archive.tree.file("checkpoint/pages-1.img")
        assert pages is not None
        view = pages.map(0, 4)
        assert view is not None
        assert bytes(view) == b"PPPP"


def test_folder(tmp_path: pathlib.Path) -> None:
    check(unpack(tmp_path), "directory")


def blob(root: pathlib.Path, data: bytes) -> dict[str, t.Any]:
    digest = hashlib.sha256(data).hexdigest()
    (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (root / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def layout(root: pathlib.Path, layer: bytes, *, nested_index: bool = False) -> pathlib.Path:
    """An OCI image layout as checkpoint_image and buildah make it."""
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "layers": [blob(root, layer)],
            "annotations": {"org.criu.checkpoint.container.name": "ledger"},
        }
    ).encode()
    index: dict[str, t.Any] = {"schemaVersion": 2, "manifests": [blob(root, manifest)]}
    if nested_index:
        index = {"schemaVersion": 2, "manifests": [blob(root, json.dumps(index).encode())]}
    index["annotations"] = {"outer": "yes"}
    (root / "index.json").write_text(json.dumps(index))
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return root


def tarred(root: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    with tarfile.open(path, "w") as archive:
        for found in sorted(root.rglob("*")):
            archive.add(found, found.relative_to(root), recursive=False)
    return path


@pytest.mark.parametrize("nested_index", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_oci_image(tmp_path: pathlib.Path, nested_index: bool, packed: bool) -> None:
    layer = gzip.compress(made(CONTENT)) if packed else made(CONTENT)
    root = layout(tmp_path / "image", layer, nested_index=nested_index)
    compression = "gzip" if packed else None
    check(root, "oci-layout", compression)
    check(tarred(root, tmp_path / "image.tar"), "image-archive", compression)
    with open_archive(root) as archive:
        assert archive.annotations == {"outer": "yes", "org.criu.checkpoint.container.name": "ledger"}


def test_docker_archive(tmp_path: pathlib.Path) -> None:
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [], "Layers": ["layer.tar"]}]).encode()
    path = tmp_path / "image.tar"
    path.write_bytes(made({"manifest.json": manifest, "layer.tar": made(CONTENT)}))
    check(path, "image-archive")


@pytest.mark.parametrize(
    "files",
    [
        {"oci-layout": b"{}"},
        {"oci-layout": b"{}", "index.json": b"not json"},
        {"oci-layout": b"{}", "index.json": b"[]"},
        {"oci-layout": b"{}", "index.json": b"[" * 100_000},
        {"oci-layout": b"{}", "index.json": b'{"manifests": [{}]}'},
        {"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": "sha256:../../x"}]}'},
        {"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": "sha256:abc"}]}'},
        {"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": "a:b"}]}', "blobs/a/b": b'{"layers": []}'},
        {
            "oci-layout": b"{}",
            "index.json": b'{"manifests": [{"digest": "a:b"}]}',
            "blobs/a/b": b'{"manifests": [{"digest": "a:b"}]}',
        },
        {"manifest.json": b"[]"},
        {"manifest.json": b'[{"Layers": [7]}]'},
    ],
)
def test_images_that_hold_no_checkpoint(tmp_path: pathlib.Path, files: dict[str, bytes]) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(made(files))
    with pytest.raises(CheckpointError) as caught:
        open_archive(path)
    assert caught.value.code == "image_unreadable"
    assert caught.value.details["path"] == str(path)


def test_what_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path / "missing", fifo, "/dev/null", "nul\0name"):
        with pytest.raises(CheckpointError) as caught:
            open_archive(path)
        assert caught.value.code == "archive_unreadable"


def test_no_descriptor_is_left(tmp_path: pathlib.Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"no archive")
    good = tmp_path / "good.tar"
    good.write_bytes(made(CONTENT))
    packed = tmp_path / "good.tar.gz"
    packed.write_bytes(gzip.compress(made(CONTENT)))
    before = len(os.listdir("/proc/self/fd"))
    for _again in range(3):
        with pytest.raises(CheckpointError):
            open_archive(broken)
        for path in (good, packed, FIXTURES / "podman-5.4-ledger.tar.gz"):
            with open_archive(path) as archive:
                archive.members[-1].map()
    assert len(os.listdir("/proc/self/fd")) == before


def test_not_a_checkpoint(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "other.tar"
    path.write_bytes(made({"readme": b"hello"}))
    with open_archive(path) as archive, pytest.raises(CheckpointError) as caught:
        archive.require_checkpoint()
    assert caught.value.code == "not_a_checkpoint"


def test_links_of_a_folder_are_not_followed(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    inside = unpack(tmp_path / "inside")
    (inside / "config.dump").unlink()
    (inside / "config.dump").symlink_to(outside / "secret")
    (inside / "far").symlink_to(outside, target_is_directory=True)
    with open_archive(inside) as archive:
        names = {found.name: found.kind for found in archive.members}
        assert names["config.dump"] == names["far"] == "symlink"
        assert "far/secret" not in names
        assert archive.tree.file("config.dump") is None
        assert archive.documents.get("config.dump") is None


def test_a_file_that_became_a_link_is_refused(tmp_path: pathlib.Path) -> None:
    inside = unpack(tmp_path)
    with open_archive(inside) as archive:
        found = archive.tree.file("config.dump")
        assert found is not None
        (inside / "config.dump").unlink()
        (inside / "config.dump").symlink_to("/etc/passwd")
        with pytest.raises(CheckpointError):
            found.read()


def test_deep_and_unreadable_folders(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack(tmp_path)
    deep = tmp_path
    for _level in range(6):
        deep = deep / "d"
    deep.mkdir(parents=True)
    monkeypatch.setattr(folder, "MAX_DEPTH", 3)
    with open_archive(tmp_path) as archive:
        assert archive.notes.codes() == {"folder_too_deep"}


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[" * 100_000, b'"text"', b"[1, 2]", b"null", b""])
def test_documents_that_are_damaged(tmp_path: pathlib.Path, data: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(made({**CONTENT, "config.dump": data, "spec.dump": data, "status.dump": data}))
    with open_archive(path) as archive:
        assert archive.identity.container is None
        assert archive.documents.object("config.dump") == {}


def test_a_document_without_end(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(member(b"a", b"") + header(b"config.dump", 1 << 40))
    with open_archive(path) as archive:
        assert archive.documents.get("config.dump") is None
        assert "document_too_large" in archive.notes.codes()


def test_nested_archives(tmp_path: pathlib.Path) -> None:
    inner = made({"etc/passwd": b"root", "tmp/new": b"n" * 5000})
    layer = made({"etc/.wh.motd": b"", "opt/.wh..wh..opq": b"", "opt/tool": b"x", ".wh.gone": b""})
    for packed in (False, True):
        path = tmp_path / "a.tar"
        path.write_bytes(
            made(
                {
                    **CONTENT,
                    "rootfs-diff.tar": gzip.compress(layer) if packed else layer,
                    "deleted.files": b'["/etc/hosts.allow", 5]',
                    "devshm-checkpoint.tar": inner,
                    "volumes/data.tar": inner,
                }
            )
        )
        with open_archive(path) as archive:
            found = changes(archive)
            assert [file.name for file in found.members] == ["opt/tool"]
            assert found.deleted == ["/etc/hosts.allow", "/etc/motd", "/gone"]
            assert found.replaced == ["/opt"]
            places = {place: [file.name for file in tree.members] for place, tree in nested(archive)}
            assert places["/dev/shm"] == places["volume data"] == ["etc/passwd", "tmp/new"]
            volume = archive.tree.file("volumes/data.tar")
            assert volume is not None
            file = open_nested(volume, archive.notes).file("tmp/new")
            assert file is not None
            assert file.read() == b"n" * 5000


def test_a_nested_archive_that_is_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(made({**CONTENT, "rootfs-diff.tar": b"rubbish"}))
    with open_archive(path) as archive:
        assert changes(archive).as_dict() == {"written": [], "deleted": [], "replaced_folders": []}
        assert archive.notes.codes() == {"nested_unreadable"}


def test_notes_are_bounded() -> None:
    notes = Notes()
    for number in range(MAX_NOTES + 50):
        notes.add("code", str(number))
        notes.add("code", str(number))
    assert len(notes.as_list()) == MAX_NOTES + 1
    assert notes.as_list()[-1]["text"] == "100 more notes are not shown."


def test_opening_reads_headers_only(tmp_path: pathlib.Path) -> None:
    """An archive of which only the headers are there (a sparse file of 64 GiB) opens at once and maps nothing."""
    path = tmp_path / "big.tar"
    size = 64 << 30
    with open(path, "wb") as file:
        file.write(header(b"checkpoint/pages-1.img", b"\x80" + size.to_bytes(11, "big")))
        file.seek(size, io.SEEK_CUR)
        file.write(made({"config.dump": b'{"id": "abc"}'}))
    with open_archive(path) as archive:
        assert archive.identity.container_id == "abc"
        assert archive.members[0].complete


def test_identity_of_the_fixtures() -> None:
    for name, file in REAL.items():
        with open_archive(FIXTURES / file) as archive:
            found = archive.identity
        if name.startswith("runc-criu"):
            assert (found.engine, found.criu_version) == (None, name.split("-")[2])
            continue
        assert found.container == ("counter" if "counter" in name else "ledger")
        assert found.image_name in ("registry.lab:5000/ledger:1", "registry.lab:5000/counter:1", "localhost/ledger:1")
        assert found.created is not None
        assert found.container_id is not None
        assert len(found.container_id) == 64
        if "podman" in name:
            assert (found.engine, found.runtime, found.namespace, found.node) == ("Podman", "runc", None, None)
            continue
        crio = "crio" in name
        assert found.engine == ("CRI-O" if crio else "containerd")
        assert found.engine_version == (None if crio else "2.1 or later")
        assert found.runtime == ("crun" if "crun" in name else "runc" if crio else "io.containerd.runc.v2")
        assert found.namespace == "archive-helper"
        assert found.pod is not None
        assert found.pod.startswith("counter-" if "counter" in name else "ledger-")
        assert found.pod_uid is not None
        assert len(found.pod_uid) == 36
        assert (found.node, found.criu_version, found.architecture) == (
            "crio-a" if crio else "ctd-a",
            "4.2.1",
            "x86_64",
        )
        assert found.kernel == "6.18.44-fc-v509"
        assert found.image == found.image_name
        assert found.image_digest is not None
        assert found.checkpointed is not None
        assert found.checkpointed > found.created
        assert found.attempt == 0
        assert bool(found.ip_addresses) == crio
