# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made before a container is frozen: its memory goes through there."""

from __future__ import annotations

import os
import pathlib
import stat
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import checkpoint, steps
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.documents import Documents
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.dumping import Options
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.finding import Target
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.frozen import Records
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Container
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.freezer import Freezer
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Name

NAMES = ("shop", "web-0", "0d9b4bd1", "web")


@pytest.fixture
def everything_allowed() -> t.Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("everything_allowed")
@pytest.mark.parametrize("folder", [False, True])
def test_nobody_else_sees_what_is_dumped(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, folder: bool) -> None:
    monkeypatch.setattr(steps, "documents", lambda _container: Documents({}, ("container.log", "")))
    monkeypatch.setattr(steps, "prepare", lambda *_given: [])
    container = Container("containerd", "container", "ab" * 32, *NAMES, bundle="", work="", pid=os.getpid())
    target = Target(container, os.getpid(), "runc", "/run/runc", "/usr/bin", Freezer("/nowhere", 1))
    wishes = checkpoint.Wishes(
        Name("shop", "web-0", "web"),
        str(tmp_path / "made"),
        folder,
        None,
        1.0,
        "a test",
        Options(tcp_close=False, skip_in_flight=True, file_locks=True, ghost_limit=None),
        str(tmp_path),
    )
    dump = checkpoint._Dump(target, wishes, Records(str(tmp_path)), threading.Event())
    dump._steps.prepare(wishes.options)
    dump._output().close()
    open_to_others = {path.name for path in tmp_path.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert list(tmp_path.iterdir()) and not open_to_others - {"frozen"}
