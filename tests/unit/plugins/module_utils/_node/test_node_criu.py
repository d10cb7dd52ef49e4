# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRIU by what it says: recorded from CRIU 4.2.1 on Linux 6.18, "check --all" for a check that fails."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import criu
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.programs import Completed

WARNING = "Warn  (criu/cr-check.c:824): Dirty tracking is OFF. Memory snapshot will not work.\n"
AUTOFS = "Error (criu/cr-check.c:1007): failed to mount autofs: Invalid argument\n"
SOME_MISSING = "Looks good but some kernel features are missing\nwhich, depending on your process tree, may cause\n"


def facts(tmp_path: pathlib.Path, check: Completed, tracking: Completed) -> dict[str, t.Any]:
    program = tmp_path / "criu"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    answers = {
        ("--version",): Completed(0, "Version: 4.2.1\n", ""),
        ("check",): check,
        ("check", "--feature", "mem_dirty_track"): tracking,
    }

    def runner(argv: t.Sequence[str], _timeout: float) -> Completed:
        assert argv[0] == str(program)
        return answers[tuple(argv[1:])]

    return criu.criu_facts(str(tmp_path), str(tmp_path), runner)


def test_criu_that_is_content(tmp_path: pathlib.Path) -> None:
    found = facts(tmp_path, Completed(0, "Looks good.\n", ""), Completed(1, "", WARNING))

    assert found["path"] == str(tmp_path / "criu") and found["version"] == "4.2.1"
    assert found["check"] == {"ok": True, "message": ""}
    assert found["features"] == {"mem_dirty_track": False}


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (Completed(1, SOME_MISSING, WARNING + AUTOFS), "failed to mount autofs: Invalid argument"),
        (Completed(1, SOME_MISSING, ""), "Looks good but some kernel features are missing"),
        (Completed(1, "", ""), "ended with 1"),
    ],
)
def test_criu_that_complains(tmp_path: pathlib.Path, check: Completed, message: str) -> None:
    assert facts(tmp_path, check, Completed(0, "", ""))["check"] == {"ok": False, "message": message}


def test_no_criu_at_all(tmp_path: pathlib.Path) -> None:
    found = criu.criu_facts(str(tmp_path), str(tmp_path))

    assert found["path"] is None and found["check"] is None and found["features"] == {"mem_dirty_track": None}


def test_plugins_and_configuration(tmp_path: pathlib.Path) -> None:
    plugins = tmp_path / "usr" / "lib" / "criu"
    plugins.mkdir(parents=True)
    for name in ("cuda_plugin.so", "README"):
        (plugins / name).touch()
    (tmp_path / "etc" / "criu").mkdir(parents=True)
    (tmp_path / "etc" / "criu" / "runc.conf").write_text("tcp-close\n")
    found = criu.criu_facts(str(tmp_path), str(tmp_path))

    assert found["plugins"] == ["cuda_plugin.so"] and found["configuration"] == ["/etc/criu/runc.conf"]
    assert found["plugin_directories"] == ["/usr/lib/criu"]
