# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes of a root file system: from an upper directory made as overlayfs leaves one, in the engines' forms."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import threading
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.rootfs import (
    RootfsChanges,
    changes,
    is_whiteout,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import difference, output, rootfs
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.limits import Limits
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.output import ArchiveOutput
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.rootfs import Overlay

LIMITS = Limits(time.monotonic() + 3600, threading.Event())
ANNOTATION = {"containerd": "io.kubernetes.cri.container-type", "cri-o": "io.kubernetes.cri-o.ContainerType"}
BOTH = pytest.mark.parametrize("engine", ["containerd", "cri-o"])


@pytest.fixture
def overlay(tmp_path: pathlib.Path) -> Overlay:
    """The upper directory, and what the container sees; overlayfs is not mounted."""
    upper, merged, lower = (tmp_path / name for name in ("upper", "merged", "lower"))
    for folder in (upper, merged):
        (folder / "etc").mkdir(parents=True)
        (folder / "data").mkdir()
        (folder / "new").mkdir()
        (folder / "new" / "inner").mkdir()
        (folder / "etc" / "hosts").write_text("a mount point")
        os.symlink("/proc/mounts", folder / "etc" / "mtab")
    # With metacopy, the upper file has no content: it is read where the container sees it.
    (upper / "etc" / "changed").write_text("")
    (merged / "etc" / "changed").write_text("changed at run time")
    (merged / "etc" / "changed").chmod(0o4750)
    (merged / "data" / "from the volume").write_text("not a change")
    (merged / "new" / "inner" / "added").write_text("added")
    (upper / "new" / "inner" / "added").write_text("added")
    os.link(upper / "new" / "inner" / "added", upper / "new" / "link")
    os.link(merged / "new" / "inner" / "added", merged / "new" / "link")
    (lower / "new" / "inner").mkdir(parents=True)
    (lower / "new" / "old").write_text("hidden")
    (lower / "new" / "inner" / "older").write_text("hidden")
    try:
        os.mknod(upper / "etc" / "gone", 0o020000, os.makedev(0, 0))
        os.setxattr(upper / "new", "user.overlay.opaque", b"y")
        os.setxattr(merged / "etc" / "changed", "user.note", b"\xff\x00kept")
    except OSError as error:
        pytest.skip(f"devices or attributes cannot be made here: {error}")
    return Overlay(str(merged), str(upper), [str(lower)], frozenset(("data", "etc/hosts")))


def written(tmp_path: pathlib.Path, overlay: Overlay, engine: str) -> RootfsChanges:
    made = ArchiveOutput(str(tmp_path / ".new"))
    output.add(made, "spec.dump", b'{"annotations": {"%s": "container"}}' % ANNOTATION[engine].encode())
    assert difference.write(overlay, engine, made, LIMITS)
    made.publish(str(tmp_path / "a.tar"))
    made.close()
    with open_archive(str(tmp_path / "a.tar")) as archive:
        found = changes(archive)
        assert found.tree is not None and not list(archive.notes)
        for member in found.tree.members:
            # Read while the archive is open.
            member.link = member.link or (member.read().decode() if member.kind == "file" else "")
    return found


@BOTH
def test_everything_changed_is_there_and_mounts_are_not(tmp_path: pathlib.Path, overlay: Overlay, engine: str) -> None:
    found = written(tmp_path, overlay, engine)
    assert found.tree is not None
    there = {member.name: (member.kind, member.link) for member in found.tree.members if not is_whiteout(member)}
    assert there == {
        "etc": ("directory", ""),
        "etc/changed": ("file", "changed at run time"),
        "etc/mtab": ("symlink", "/proc/mounts"),
        "new": ("directory", ""),
        "new/inner": ("directory", ""),
        "new/inner/added": ("file", "added"),
        "new/link": ("hardlink", "new/inner/added"),
    }
    changed = found.tree.file("etc/changed")
    assert changed is not None and changed.mode == 0o4750 and changed.xattrs["user.note"] == b"\xff\x00kept"


@BOTH
def test_what_is_gone_is_gone_in_the_form_of_the_engine(tmp_path: pathlib.Path, overlay: Overlay, engine: str) -> None:
    found = written(tmp_path, overlay, engine)
    if engine == "containerd":
        assert found.deleted == ["/etc/gone"] and found.replaced == ["/new", "/new/inner"]
    else:
        assert found.deleted == ["/etc/gone", "/new/inner/older", "/new/old"] and not found.replaced


def test_a_renamed_folder_is_read_where_the_container_sees_it(tmp_path: pathlib.Path, overlay: Overlay) -> None:
    upper, merged = pathlib.Path(overlay.upper), pathlib.Path(overlay.root)
    for folder in (upper, merged):
        (folder / "renamed").mkdir()
    os.setxattr(upper / "renamed", "user.overlay.redirect", b"/was")
    (merged / "renamed" / "inside").write_text("only the lower directory has it")
    found = written(tmp_path, overlay, "containerd")
    assert found.tree is not None and "/renamed" in found.replaced
    assert found.tree.file("renamed/inside") is not None


def test_without_changes_cri_o_writes_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "upper").mkdir()
    made = ArchiveOutput(str(tmp_path / ".new"))
    empty = Overlay(str(tmp_path), str(tmp_path / "upper"), [], frozenset())
    assert difference.write(empty, "cri-o", made, LIMITS) == 0
    made.publish(str(tmp_path / "a.tar"))
    made.close()
    with open_archive(str(tmp_path / "a.tar")) as archive:
        assert [member.name for member in archive.members] == ["checkpoint"]


@pytest.mark.parametrize(("seconds", "stopped", "code"), [(-1, False, "timeout"), (60, True, "interrupted")])
def test_it_ends_when_there_is_no_more_time(
    tmp_path: pathlib.Path, overlay: Overlay, seconds: int, stopped: bool, code: str
) -> None:
    stop = threading.Event()
    if stopped:
        stop.set()
    with contextlib.closing(ArchiveOutput(str(tmp_path / ".new"))) as made, pytest.raises(CheckpointError) as raised:
        difference.write(overlay, "cri-o", made, Limits(time.monotonic() + seconds, stop))
    assert raised.value.code == code


MOUNTINFO = """\
1 0 0:31 / / rw,relatime - overlay overlay rw,lowerdir=l/AB:l/CD,upperdir={upper},workdir=f0/work
2 1 0:5 / /proc rw - proc proc rw
3 1 8:1 /pods/x /srv/with\\040blank rw - ext4 /dev/vda rw
"""


@pytest.mark.parametrize("relative", [False, True])
def test_the_overlay_is_found_in_mountinfo(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    """As CRI-O's look: lower directories, and with many of them the upper one, relative to the folder of all."""
    storage = tmp_path / "overlay"
    (storage / "f0" / "diff").mkdir(parents=True)
    bundle = tmp_path / "userdata"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps({"root": {"path": f"{storage}/f0/merged"}}))
    (tmp_path / "7").mkdir()
    upper = "f0/diff" if relative else f"{storage}/f0/diff"
    (tmp_path / "7" / "mountinfo").write_text(MOUNTINFO.format(upper=upper))
    monkeypatch.setattr(rootfs.processes, "PROC", str(tmp_path))
    found = rootfs.overlay_of(7, rootfs.storage_of(str(bundle)))
    assert found.upper == f"{storage}/f0/diff" and found.lower == [f"{storage}/l/AB", f"{storage}/l/CD"]
    assert found.mounts == {"proc", "srv/with blank"}


@pytest.mark.parametrize(
    "mount", ["ext4 /dev/vda rw", "overlay overlay rw,lowerdir=/l", "overlay overlay rw,upperdir=/gone"]
)
def test_another_root_file_system_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, mount: str
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "mountinfo").write_text(f"1 0 8:1 / / rw - {mount}\n")
    monkeypatch.setattr(rootfs.processes, "PROC", str(tmp_path))
    with pytest.raises(CheckpointError) as raised:
        rootfs.overlay_of(7, "")
    assert raised.value.code == "rootfs_unsupported"
