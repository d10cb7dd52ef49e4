# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose checkpoint a process works on. The command lines are those of the laboratory, shortened."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import dumps, processes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Container
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.processes import Process

ID = "2fa1d6cac8135892569519dbfea1db042b1685330457992846a1b0e07563cb12"
INIT = Process(1, 0, "systemd", ("/lib/systemd/systemd",), 1, "/proc/1")
CRIO = Process(357, 1, "crio", ("/usr/local/bin/crio",), 2, "/proc/357")
SHIM = Process(641, 1, "containerd-shim", ("/usr/local/bin/containerd-shim-runc-v2", "-id", ID), 3, "/proc/641")
RUNC = Process(808, 357, "runc", ("runc", "--root", "/run/runc", "checkpoint", "--leave-running", ID), 4, "/proc/808")
CONTAINER = Container("cri-o", "container", ID, "shop", "web-0", "", "app", "/bundle", "/work", pid=690)


def criu(parent: int, *command: str) -> Process:
    return Process(764, parent, "criu", command, 5, "/proc/764")


def found(*table: Process) -> list[tuple[str, str, bool]]:
    return [(name, one.action, one.orphaned) for name, one in dumps.workers(table, [CONTAINER])]


def test_a_dump_under_its_runtime() -> None:
    assert found(INIT, CRIO, RUNC, criu(808, "criu: dump --rpc -t 690")) == [
        (ID, "checkpoint", False),
        (ID, "dump", False),
    ]


def test_a_dump_that_was_left_to_the_shim() -> None:
    assert found(INIT, SHIM, criu(641, "criu: dump --rpc -t 690")) == [(ID, "dump", True)]
    assert found(INIT, SHIM, criu(1, "criu: dump --rpc -t 690")) == [(ID, "dump", True)]


def test_criu_before_it_knows_what_to_do_belongs_to_its_runtime() -> None:
    assert found(INIT, CRIO, RUNC, criu(808, "/usr/sbin/criu", "swrk", "7"))[1:] == [(ID, "swrk", False)]


def test_by_the_files_it_has_open(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [f"/sys/fs/cgroup/freezer/kubepods/podx/{ID}/freezer.state"]
    monkeypatch.setattr(processes, "open_files", lambda pid: opened)
    assert found(INIT, SHIM, criu(641, "criu: dump --rpc -t 99")) == [(ID, "dump", True)]


@pytest.mark.parametrize(
    "command",
    [
        ("criu", "page-server", "--port", "1"),
        ("criu", "lazy-pages"),
        ("/usr/sbin/criu", "--version"),
        ("criu: dump --rpc -t 691",),
    ],
)
def test_others_are_nobodys(command: tuple[str, ...]) -> None:
    assert found(INIT, SHIM, criu(641, *command)) == []


def test_a_process_is_told_from_a_later_one_of_the_same_id() -> None:
    own = processes.look_up(os.getpid())
    assert own is not None and processes.alive(own) and own.age < 3600
    another = own._replace(started=own.started - 1)
    assert not processes.alive(another) and not processes.kill(another)


def test_a_file_is_seen_open_until_who_has_it_is_killed(tmp_path: pathlib.Path) -> None:
    path, link = tmp_path / "archive", tmp_path / "other-name"
    path.write_text("x")
    os.link(path, link)
    with path.open() as file:
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=file)
    process = processes.look_up(sleeper.pid)
    try:
        assert process is not None and process.parent == os.getpid()
        assert processes.open_elsewhere([str(link), str(tmp_path / "nowhere")]) == {str(link)}
        assert processes.kill(process)
        assert sleeper.wait(30) == -9
    finally:
        sleeper.kill()
        sleeper.wait()
    assert not processes.kill(process)
    # Whatever else looks at files on this machine may have it open for a moment.
    until = time.monotonic() + 30
    while processes.open_elsewhere([str(link)]) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes.open_elsewhere([str(link)]) == set()
