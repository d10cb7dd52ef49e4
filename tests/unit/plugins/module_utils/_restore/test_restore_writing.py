# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore writes: the changes of the root file system, and the contents of volumes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import socket
import stat
import struct
import tarfile
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.rootfs import changes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import rootfs, volumes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpack import Opened
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.volumes import (
    Filling,
    content_of,
    empty_dir,
    require_open_files,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._restore.bundles import Case

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may take another root directory")
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
"""security.capability of a file with cap_net_raw=ep: linux/capability.h, vfs_cap_data of revision 2."""

ANYBODY = 2**32 - 1
ACL = struct.pack(
    "<I" + "HHI" * 5,
    *(2, 1, 6, ANYBODY, 2, 4, 1002, 4, 4, ANYBODY, 16, 4, ANYBODY, 32, 0, ANYBODY),
)
"""system.posix_acl_access that lets user 1002 read: linux/posix_acl_xattr.h."""

POD = "kubelet/pods/0a1b/volumes/kubernetes.io~empty-dir"


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: t.Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o755
    xattrs = more.pop("xattrs", {})
    info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in xattrs.items()}
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def packed(*entries: tuple[tarfile.TarInfo, bytes], mode: t.Any = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Root:
    """A root file system, and changes of it to be applied."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / "rootfs"
        (self.path / "etc/old").mkdir(parents=True)
        (self.path / "etc/old/a").write_text("a")
        (self.path / "etc/passwd").write_text("root")
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "canary").write_text("untouched")
        self.archive = folder / "archive.tar"

    def apply(self, *entries: tuple[tarfile.TarInfo, bytes], harmless: t.Collection[str] = ()) -> None:
        self.archive.write_bytes(packed(entry("config.dump", b"{}"), entry("rootfs-diff.tar", packed(*entries))))
        with open_archive(self.archive) as archive:
            rootfs.apply(rootfs.wanted(archive), str(self.path), harmless)

    def refuses(self, *entries: tuple[tarfile.TarInfo, bytes]) -> str:
        with pytest.raises(CheckpointError) as caught:
            self.apply(*entries)
        assert caught.value.code == "rootfs_refused"
        return caught.value.reason


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Root:
    return Root(tmp_path)


@needs_root
def test_extended_attributes_come_along(root: Root) -> None:
    xattrs = {
        "user.note": "kept",
        "security.capability": NET_RAW.decode(),
        "security.selinux": "system_u:object_r:x:s0",
        "trusted.note": "x",
    }
    root.apply(entry("etc/app", b"app", uid=1001, gid=7, mode=0o640, xattrs=xattrs))
    path = root.path / "etc/app"
    found = {name: os.getxattr(path, name) for name in os.listxattr(path) if name in xattrs}
    # Labels are the node's own.
    assert found == {"user.note": b"kept", "security.capability": NET_RAW}
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (1001, 7, 0o640)


@needs_root
def test_what_runs_with_more_rights_loses_them_where_that_is_asked_for(root: Root) -> None:
    both = [
        entry("su", b"su", mode=0o4755),
        entry("ping", b"ping", xattrs={"security.capability": NET_RAW.decode()}),
        entry("other", b"", mode=0o2755),
        entry("shared", kind=tarfile.DIRTYPE, mode=0o2775),
    ]
    root.archive.write_bytes(packed(entry("config.dump", b"{}"), entry("rootfs-diff.tar", packed(*both))))
    with open_archive(root.archive) as archive:
        assert rootfs.set_id_files(rootfs.wanted(archive)) == ["/other", "/ping", "/su"]
    root.apply(*both, harmless={"/su", "/ping"})
    modes = {name: stat.S_IMODE((root.path / name).stat().st_mode) for name in ("su", "ping", "other", "shared")}
    assert modes == {"su": 0o755, "ping": 0o755, "other": 0o2755, "shared": 0o2775}
    assert "security.capability" not in os.listxattr(root.path / "ping")


@needs_root
def test_marks_of_overlayfs(root: Root) -> None:
    opaque = {"trusted.overlay.opaque": "y"}
    root.apply(
        entry("etc/passwd", kind=tarfile.CHRTYPE),
        entry("etc/old/", kind=tarfile.DIRTYPE, xattrs=opaque),
        entry("etc/old/b", b"b"),
    )
    assert sorted(path.relative_to(root.path).as_posix() for path in root.path.rglob("*")) == [
        "etc",
        "etc/old",
        "etc/old/b",
    ]
    with open_archive(root.archive) as archive:
        assert (changes(archive).deleted, changes(archive).replaced) == (["/etc/passwd"], ["/etc/old"])
        assert [member.name for member in changes(archive).members] == ["etc/old", "etc/old/b"]


@needs_root
def test_an_opaque_folder_of_an_oci_layer_keeps_what_the_layer_has(root: Root) -> None:
    root.apply(entry("etc/old/b", b"b"), entry("etc/old/.wh..wh..opq"), entry("etc/.wh.passwd"))
    assert sorted(os.listdir(root.path / "etc")) == ["old"]
    assert os.listdir(root.path / "etc/old") == ["b"]


@needs_root
def test_links_do_not_lead_out(root: Root) -> None:
    # It is there in the container as well, else there would be nothing to follow.
    (root.path / str(root.outside)[1:]).mkdir(parents=True)
    root.apply(
        entry("out", kind=tarfile.SYMTYPE, linkname=str(root.outside)),
        entry("out/canary", b"gone"),
        entry("out/.wh.canary"),
    )
    assert (root.outside / "canary").read_text() == "untouched"
    assert os.listdir(root.outside) == ["canary"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (entry("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3), "a character device"),
        (entry("disk", kind=tarfile.BLKTYPE), "a block device"),
        (entry("../x", b"x"), "leads out"),
        (entry("../.wh.x"), "leads out"),
        (entry("a/.wh..."), "not a file or folder with a name"),
        (entry("d/", kind=tarfile.DIRTYPE, xattrs={"trusted.overlay.redirect": "/c"}), "redirect"),
        (entry("f", xattrs={"trusted.overlay.metacopy": ""}), "metacopy"),
        (entry("f", xattrs={"user.x": "x" * 70_000}), "Argument list too long"),
    ],
)
@needs_root
def test_changes_that_are_refused(root: Root, given: tuple[tarfile.TarInfo, bytes], reason: str) -> None:
    assert reason in root.refuses(given)


@needs_root
def test_changes_in_an_unpacked_archive(root: Root, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir(mode=0o700)
    (folder / "config.dump").write_text("{}")
    (folder / "rootfs-diff.tar").write_bytes(packed(entry("etc/new", b"new")))
    with contextlib.closing(Opened(str(folder))) as opened:
        rootfs.apply(rootfs.wanted(opened.archive), str(root.path), ())
    assert (root.path / "etc/new").read_text() == "new"


@pytest.fixture
def volume(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / POD / "cache"
    folder.mkdir(parents=True)
    return folder


def tar_of(folder: pathlib.Path, data: bytes) -> str:
    path = folder / "content.tar"
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def filled(path: str, volume: pathlib.Path, harmless: t.Collection[str] = ()) -> None:
    with contextlib.closing(Filling("/cache", content_of("/cache", path), str(volume))) as filling:
        filling.fill(harmless)


@needs_root
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_volume_from_a_tar(tmp_path: pathlib.Path, volume: pathlib.Path, mode: str) -> None:
    (volume / "kept").write_text("of an init container")
    members = [
        entry("./", kind=tarfile.DIRTYPE, mode=0o2770, uid=1001, gid=7),
        entry("./a/", kind=tarfile.DIRTYPE, mode=0o700),
        entry("./a/b", b"x" * 2_000_000, mode=0o600, uid=1001, gid=7, mtime=1_700_000_000),
        entry("./c", kind=tarfile.SYMTYPE, linkname="a/b"),
        entry("./d", kind=tarfile.LNKTYPE, linkname="./a/b"),
        entry("./e", kind=tarfile.FIFOTYPE),
        entry("./su", b"su", mode=0o4755),
    ]
    filled(tar_of(tmp_path, packed(*members, mode=mode)), volume, {"/cache/su"})
    assert sorted(os.listdir(volume)) == ["a", "c", "d", "e", "kept", "su"]
    assert stat.S_IMODE(volume.stat().st_mode) == 0o2770
    info = (volume / "a/b").stat()
    assert (info.st_size, info.st_uid, info.st_gid, info.st_mtime) == (2_000_000, 1001, 7, 1_700_000_000)
    assert os.readlink(volume / "c") == "a/b"
    assert (volume / "d").stat().st_ino == info.st_ino
    assert stat.S_ISFIFO((volume / "e").stat().st_mode)
    assert stat.S_IMODE((volume / "su").stat().st_mode) == 0o755


@needs_root
def test_a_volume_from_a_folder(tmp_path: pathlib.Path, volume: pathlib.Path) -> None:
    folder = tmp_path / "content"
    folder.mkdir(mode=0o700)
    (folder / "a").mkdir()
    (folder / "a/b").write_text("b")
    os.chown(folder / "a/b", 1001, 7)
    os.setxattr(folder / "a/b", "user.note", b"kept")
    os.setxattr(folder / "a/b", "system.posix_acl_access", ACL)
    (folder / "c").symlink_to("/etc/passwd")
    os.mkfifo(folder / "e")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))
        filled(str(folder), volume)
    assert sorted(os.listdir(volume)) == ["a", "c", "e"]
    assert (volume / "a/b").read_text() == "b"
    assert ((volume / "a/b").stat().st_uid, os.getxattr(volume / "a/b", "user.note")) == (1001, b"kept")
    assert os.getxattr(volume / "a/b", "system.posix_acl_access") == ACL
    assert os.readlink(volume / "c") == "/etc/passwd"
    folder.chmod(0o755)
    with pytest.raises(CheckpointError) as caught:
        filled(str(folder), volume)
    assert caught.value.code == "archive_untrusted"


@needs_root
def test_a_link_in_a_volume_does_not_lead_out(tmp_path: pathlib.Path, volume: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    # As a container that ran before could have left it.
    (volume / "a").symlink_to(outside)
    with pytest.raises(CheckpointError) as caught:
        filled(tar_of(tmp_path, packed(entry("a/b", b"x"))), volume)
    assert caught.value.code == "volume_refused"
    assert os.listdir(outside) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (packed(entry("../b")), "volume_refused"),
        (packed(entry("/b")), "volume_refused"),
        (packed(entry("disk", kind=tarfile.BLKTYPE)), "volume_refused"),
        (packed(entry("zero", kind=tarfile.CHRTYPE)), "volume_refused"),
        (packed(entry("b", b"x" * 5000))[:3000], "volume_refused"),
        (b"hello" * 1000, "archive_not_tar"),
    ],
)
def test_contents_that_are_refused(tmp_path: pathlib.Path, data: bytes, code: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        content_of("/cache", tar_of(tmp_path, data))
    assert caught.value.code == code


def test_contents_that_are_not_the_tickets(tmp_path: pathlib.Path, volume: pathlib.Path) -> None:
    path = tar_of(tmp_path, packed(entry("a", b"a")))
    assert content_of("/cache", path)["sha256"] == hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    with pytest.raises(CheckpointError) as caught:
        Filling("/cache", {"path": path, "sha256": "0" * 64}, str(volume))
    assert caught.value.code == "digest_wrong"
    os.chmod(path, 0o622)
    with pytest.raises(CheckpointError) as caught:
        content_of("/cache", path)
    assert caught.value.code == "archive_untrusted"


def mounted(case: Case, source: pathlib.Path, point: str = "/cache") -> t.Any:
    mount = {"destination": point, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}
    return case.bundle(mounts=[*case.spec["mounts"], mount])


def test_only_emptydir_volumes_are_filled(tmp_path: pathlib.Path, volume: pathlib.Path) -> None:
    case = Case("crio-runc-ledger", tmp_path)
    other = tmp_path / "kubelet/pods/0a1b/volumes/kubernetes.io~projected/token"
    other.mkdir(parents=True)
    assert empty_dir("/cache", mounted(case, volume)) == str(volume)
    link = volume.parent / "link"
    link.symlink_to(volume)
    for point, source in (("/data", volume), ("/cache", other), ("/cache", volume / ".."), ("/cache", link)):
        with pytest.raises(CheckpointError) as caught:
            empty_dir(point, mounted(case, source))
        assert caught.value.code == "volume_unknown"


def open_names(case: Case) -> set[str]:
    regular = (found.fields.get("reg") for found in case.images.each("files"))
    return {str(fields["name"]) for fields in regular if fields}


def test_open_files_that_are_missing_in_a_volume(tmp_path: pathlib.Path, volume: pathlib.Path) -> None:
    case = Case("crio-runc-ledger", tmp_path)
    names = {name for name in open_names(case) if name.startswith("/bin/")}
    assert names == {"/bin/ledger"}
    bundle = mounted(case, volume, "/bin")
    with pytest.raises(CheckpointError) as caught:
        require_open_files(case.images, bundle)
    assert caught.value.code == "files_missing"
    assert caught.value.details["files"] == sorted(names)
    for name in names:
        (volume / pathlib.Path(name).name).touch()
    require_open_files(case.images, bundle)


def test_a_file_that_was_deleted_while_open_is_not_missed(tmp_path: pathlib.Path, volume: pathlib.Path) -> None:
    case = Case("crio-runc-ledger", tmp_path)
    assert [name for name in open_names(case) if name.startswith("/tmp/ledger-")]
    require_open_files(case.images, mounted(case, volume, "/tmp"))


def test_the_list_of_missing_files_is_bounded(tmp_path: pathlib.Path) -> None:
    case = Case("runc-criu-4.2.1-nginx", tmp_path)
    (tmp_path / "nothing").mkdir()
    mounts = [
        {"destination": f"/{top}", "type": "bind", "source": str(tmp_path / "nothing"), "options": ["rbind"]}
        for top in {name.split("/")[1] for name in open_names(case)} - {"", "dev", "proc"}
    ]
    with pytest.raises(CheckpointError) as caught:
        require_open_files(case.images, case.bundle(mounts=mounts))
    assert len(caught.value.details["files"]) == volumes.SHOWN
    assert " more" in caught.value.reason
