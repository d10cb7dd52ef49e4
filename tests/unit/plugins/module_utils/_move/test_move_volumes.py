# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contents of emptyDir volumes: which go with which container, and that they come out as they went in."""

from __future__ import annotations

import os
import pathlib
import socket
import threading
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import difference
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.limits import Limits
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import volumes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.volumes import (
    Filling,
    content_of,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import serving
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    CLASS,
    Api,
    pod,
)


def container(name: str, *mounts: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "image": "web", "volumeMounts": list(mounts), **more}


def mount(name: str, path: str, **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "mountPath": path, **more}


EMPTY = [{"name": "cache", "emptyDir": {}}, {"name": "run", "emptyDir": {"medium": "Memory"}}]


def test_a_volume_goes_with_the_first_container_that_is_made() -> None:
    made = pod(
        containers=[container("app", mount("cache", "/cache/"), mount("run", "/run/app"), mount("conf", "/etc/app"))],
        initContainers=[
            container("once", mount("run", "/run")),
            container("proxy", mount("run", "/run", readOnly=True), restartPolicy="Always"),
        ],
        volumes=[*EMPTY, {"name": "conf", "configMap": {"name": "conf"}}],
    )
    assert volumes.carried(made) == {"proxy": ["/run"], "app": ["/cache"]}
    assert volumes.lost(made) == []


def test_a_part_of_a_volume_is_enough_only_beside_the_whole() -> None:
    part = mount("cache", "/a", subPath="a")
    alone = pod(containers=[container("app", part)], volumes=EMPTY)
    assert (volumes.carried(alone), volumes.lost(alone)) == ({}, ["cache"])
    both = pod(containers=[container("app", part), container("b", mount("cache", "/b"))], volumes=EMPTY)
    assert (volumes.carried(both), volumes.lost(both)) == ({"b": ["/b"]}, [])
    with serving(Api(alone)) as running, pytest.raises(CheckpointError) as refused:
        plans.make(ApiSession(Server(url=running.url)), "shop", "web-0", "n2", runtime_class=CLASS)
    failed = [check["name"] for check in refused.value.details["checks"] if check["result"] == "failed"]
    assert failed == ["empty_dir"]


def fill(tar: pathlib.Path, folder: pathlib.Path) -> None:
    """As the restore runtime fills the new volume."""
    tar.chmod(0o600)
    filling = Filling("/data", content_of("/data", str(tar)), str(folder))
    filling.fill(())
    filling.close()


def tree(folder: pathlib.Path) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content: t.Any = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (oct(info.st_mode), info.st_uid, info.st_nlink, content)
    return found


def test_the_contents_come_out_as_they_went_in(tmp_path: pathlib.Path) -> None:
    old, new, tar = tmp_path / "old", tmp_path / "new", tmp_path / "volume-0.tar"
    (old / "deep/deeper").mkdir(parents=True)
    new.mkdir()
    (old / "deep/deeper/pages").write_bytes(os.urandom(100_000))
    (old / "secret").write_text("key")
    (old / "secret").chmod(0o600)
    os.link(old / "secret", old / "deep/same")
    (old / "out").symlink_to("/etc/passwd")
    (old / "deep/here").symlink_to("deeper")
    os.mkfifo(old / "queue", 0o622)
    (old / "deep").chmod(0o1770)
    old.chmod(0o2777)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(old / "socket"))
        with tar.open("wb") as file:
            difference.write_folder(str(old), file, Limits(time.monotonic() + 20, threading.Event()))
    fill(tar, new)
    wanted = tree(old)
    wanted.pop("socket")
    assert tree(new) == wanted and new.stat().st_mode == old.stat().st_mode


def test_a_volume_with_nothing_in_it(tmp_path: pathlib.Path) -> None:
    old, new, tar = tmp_path / "old", tmp_path / "new", tmp_path / "volume-0.tar"
    old.mkdir()
    new.mkdir()
    with tar.open("wb") as file:
        difference.write_folder(str(old), file, Limits(time.monotonic() + 20, threading.Event()))
    fill(tar, new)
    assert tree(new) == {}


def test_reading_it_ends_when_the_time_is_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "tar").open("wb") as file, pytest.raises(CheckpointError) as late:
        difference.write_folder(str(tmp_path), file, Limits(time.monotonic() - 1, threading.Event()))
    assert late.value.code == "timeout"
