# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live progress, also through a real ansible-playbook."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.action.kubelet_checkpoint import (
    LINES_AT_ONCE,
    Follower,
    describe,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    archive,
    serving,
)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {
                "done": 3,
                "total": 40,
                "name": "shop/web-0/app",
                "node": "n1",
                "ok": True,
                "reused": False,
                "seconds": 0.214,
            },
            "[ 3/40] shop/web-0/app on n1  ok 0.21s",
        ),
        (
            {"done": 1, "total": 1, "name": "a/b/c", "node": "n1", "ok": True, "reused": True, "seconds": 1},
            "[1/1] a/b/c on n1  recent enough",
        ),
        (
            {
                "done": 9,
                "total": 10,
                "name": "a/b/c",
                "node": "n1",
                "ok": False,
                "code": "x",
                "reason": "R",
                "seconds": 1,
            },
            "[ 9/10] a/b/c on n1  x: R",
        ),
    ],
)
def test_lines(event: dict[str, t.Any], line: str) -> None:
    assert describe(event) == line


def event(number: int) -> str:
    return json.dumps(
        {"done": number, "total": 99, "name": "n", "node": "n", "ok": True, "reused": False, "seconds": 1}
    )


def test_shown_while_it_runs_and_whole_lines_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "progress"
    path.touch()
    shown: list[str] = []
    with Follower(str(path), shown.append), path.open("a", encoding="utf-8") as file:
        file.write(event(1) + "\n" + event(2)[:9])
        file.flush()
        deadline = time.monotonic() + 5
        while not shown and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(shown) == 1
        file.write(event(2)[9:] + "\n")
    assert [line[:7] for line in shown] == ["[ 1/99]", "[ 2/99]"]


def test_a_flood_is_cut(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "progress"
    path.write_text("".join(event(number) + "\n" for number in range(50)), encoding="utf-8")
    shown: list[str] = []
    with Follower(str(path), shown.append):
        pass
    assert len(shown) == LINES_AT_ONCE + 1
    assert shown[-1] == f"… and {50 - LINES_AT_ONCE} more"


def played(folder: pathlib.Path, url: str, *arguments: str, **task: t.Any) -> str:
    """What ansible-playbook shows of one task with three containers, one of which fails."""
    entries = [{"node": "n1", "namespace": "shop", "pod": "web-0", "container": name} for name in ("a", "b", "c")]
    options = {
        "host": url,
        "api_key": "token-0",
        "via": "apiserver",
        "targets": entries,
        "ignore_failures": True,
        **task.pop("options", {}),
    }
    module = {"checkpoint_restore.kubernetes.kubelet_checkpoint": options, "name": "Checkpoint", **task}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [module]}]
    (folder / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    program = shutil.which("ansible-playbook", path=os.path.dirname(sys.executable)) or "ansible-playbook"
    environ = {
        **os.environ,
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    command = [program, *arguments, str(folder / "play.yml")]
    finished = subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    # The folder of the progress file is gone.
    assert not list(folder.glob("local/**/progress"))
    return finished.stdout


def one_fails(asked: Asked) -> Say:
    return Say(404, "pod does not exist") if asked.path.endswith("/b") else archive(asked)


PROGRESS = re.compile(r"^\[\d/3\] shop/web-0/(\w) on n1  (ok \d\.\d\ds|pod_not_found: .*)$", re.MULTILINE)


def test_a_playbook_shows_a_line_for_each_container(tmp_path: pathlib.Path) -> None:
    with serving(one_fails) as there:
        shown = PROGRESS.findall(played(tmp_path, there.url))
    assert sorted(container for container, _outcome in shown) == ["a", "b", "c"]
    assert dict(shown)["b"] == "pod_not_found: There is no such pod there"


@pytest.mark.parametrize(
    ("arguments", "task"),
    [
        ([], {"options": {"progress": False}}),
        ([], {"options": {"progress": "no"}}),
        ([], {"no_log": True}),
        ([], {"async": 60, "poll": 1}),
        (["--check"], {}),
    ],
)
def test_and_is_silent_where_it_has_to_be(tmp_path: pathlib.Path, arguments: list[str], task: dict[str, t.Any]) -> None:
    with serving(one_fails) as there:
        shown = played(tmp_path, there.url, *arguments, **task)
        assert len(there.posts) == (0 if arguments else 3)
    assert "shop/web-0" not in shown
    assert "changed=1" in shown
