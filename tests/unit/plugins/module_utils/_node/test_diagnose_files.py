# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which logs count, and what the runtime's own lines say where there is none. The lines are those of real runtimes."""

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import diagnose as module
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Container, Selection

ID = "2fa1d6cac8135892569519dbfea1db042b1685330457992846a1b0e07563cb12"
TCP = "(00.059284) Error (criu/sk-inet.c:200): inet: Connected TCP socket, consider using --tcp-established option.\n"
# containerd 2.1.9 on the laboratory: a full disk, and what it writes after a checkpoint that went well.
FULL = (
    f'time="2026-11-21T13:13:23Z" level=error msg="CheckpointContainer failed, error" error="rpc error: code = Unknown '
    f'desc = checkpointing container \\"{ID}\\" failed: write /x.tar: no space left on device"'
)
HARMLESS = (
    f'time="2026-11-21T13:13:21Z" level=error msg="Failed to handle event name:\\"containerd.io/checkpoint/{ID}:1\\"" '
    f'error="get image id: unexpected media type application/vnd.containerd.container.criu.checkpoint.criu.tar"'
)
# containerd 2.1.9 on the laboratory, when the kubelet's time was over: it removes its folder with CRIU's log.
GIVEN_UP = FULL.replace("write /x.tar: no space left on device", "context deadline exceeded")
NO_COPY = (
    f'time="2026-11-21T17:35:10Z" level=error msg="failed to copy dump.log to criu-dump.log" error="open /var/lib/'
    f'containerd/io.containerd.grpc.v1.cri/containers/{ID}/ctrd-checkpoint/dump.log: no such file or directory"'
)
EVERYTHING = Selection()


@pytest.fixture
def container(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    """The only container of a node."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "work").mkdir()
    one = Container(
        engine="containerd",
        kind="container",
        id=ID,
        namespace="shop",
        pod="web-0",
        pod_uid="",
        name="app",
        bundle=str(tmp_path / "bundle"),
        work=str(tmp_path / "work"),
        runtime="runc",
    )
    monkeypatch.setattr(module.containers, "containers", lambda: [one])
    return one


@pytest.fixture
def said(tmp_path: pathlib.Path) -> t.Callable[..., str]:
    """Makes the runtime's log."""

    def write(*lines: str) -> str:
        (tmp_path / "containerd.log").write_text("".join(f"{line}\n" for line in lines))
        return str(tmp_path / "containerd.log")

    return write


def test_the_log_written_last_counts(container: Container, said: t.Callable[..., str]) -> None:
    old, new = pathlib.Path(container.bundle, "criu-dump.log"), pathlib.Path(container.work, "dump.log")
    old.write_text("(00.1) Error (criu/x.c:1): Something old\n")
    new.write_text(TCP)
    os.utime(old, (time.time() - 60, time.time() - 60))
    (found,) = module.diagnose(EVERYTHING, 600, runtime_log=said())
    assert (found["code"], found["log"]) == ("criu_tcp_established", str(new))
    os.utime(new, (time.time() - 900, time.time() - 900))
    (found,) = module.diagnose(EVERYTHING, 600, runtime_log=said())
    assert found["reason"] == "CRIU says: Something old"


def test_without_a_log_of_criu_the_runtimes_line_tells(container: Container, said: t.Callable[..., str]) -> None:
    (found,) = module.diagnose(EVERYTHING, 600, runtime_log=said(HARMLESS, FULL))
    assert (found["code"], found["runtime_log"]) == ("disk_full", [FULL])
    (found,) = module.diagnose(EVERYTHING, 600, runtime_log=said(GIVEN_UP, NO_COPY))
    assert (found["code"], found["runtime_log"]) == ("deadline_exceeded", [GIVEN_UP])
    assert module.diagnose(EVERYTHING, 600, runtime_log=said(HARMLESS)) == []
    assert module.diagnose(EVERYTHING, 600, runtime_log=said(FULL.replace(ID, "0" * 64))) == []
    assert module.diagnose(Selection(pods=["db-*"]), 600, runtime_log=said(FULL)) == []


def test_a_named_log_is_explained_alone(container: Container, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "some.log"
    log.write_text(TCP)
    (found,) = module.diagnose(EVERYTHING, 1, log=str(log))
    assert (found["code"], found["pod"], found["operation"]) == ("criu_tcp_established", None, "checkpoint")
    with pytest.raises(CheckpointError) as failed:
        module.diagnose(EVERYTHING, 1, log=str(tmp_path / "nowhere"))
    assert failed.value.code == "log_unreadable"
