# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CRIU whose work nobody wants any more: one that gets on comes to its end, and one that hangs is killed.

It is played by a sleep that has CRIU's name and title; the real one is on the laboratory.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import patience
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.pages import discard
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Container

PID = os.getpid()
CONTAINER = Container("containerd", "container", "ab" * 32, "shop", "web-0", "7f", "web", "", "", pid=PID)


@pytest.fixture
def criu(tmp_path: pathlib.Path) -> t.Callable[[str], subprocess.Popen[bytes]]:
    """Starts a CRIU that takes so many seconds, and is waited for as by a runtime."""
    program = tmp_path / "criu"
    shutil.copy(str(shutil.which("sleep")), program)

    def start(seconds: str) -> subprocess.Popen[bytes]:
        made = subprocess.Popen([f"criu: dump --rpc -t {PID}", seconds], executable=program)
        while not patience._workers(CONTAINER):
            time.sleep(0.01)
        threading.Thread(target=made.wait).start()
        return made

    return start


def test_one_that_hangs_is_killed(
    criu: t.Callable[[str], subprocess.Popen[bytes]], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "QUIET", 0.1)
    hanging = criu("1000")
    patience.let_end(CONTAINER, str(tmp_path))
    assert hanging.wait() == -signal.SIGKILL


@pytest.mark.parametrize("by", ["pages", "log"])
def test_one_that_gets_on_is_not(
    criu: t.Callable[[str], subprocess.Popen[bytes]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    """However long it takes: it writes pages, or its log."""
    monkeypatch.setattr(patience, "QUIET", 0.1)
    (tmp_path / "work").mkdir()

    def drain(seconds: float) -> bool:
        time.sleep(seconds)
        if by == "log":
            with (tmp_path / patience.LOG).open("a") as log:
                log.write("it gets on\n")
        return by == "pages"

    working = criu("1")
    patience.let_end(CONTAINER, str(tmp_path), drain)
    assert working.wait() == 0


def test_without_anybody_nothing_is_waited_for(tmp_path: pathlib.Path) -> None:
    patience.let_end(CONTAINER, str(tmp_path))


def test_unwanted_pages_are_dropped(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pages-1.img")
    reading = os.open(tmp_path / "pages-1.img", os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(tmp_path / "pages-1.img", os.O_WRONLY | os.O_NONBLOCK)
    assert not discard([reading], 0)
    os.write(writing, b"memory")
    assert discard([reading], 0) and not discard([reading], 0)
    os.close(writing)
    assert not discard([reading], 0)
    os.close(reading)
