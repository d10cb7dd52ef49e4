# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""runtime_checkpoint as a module, where no container runs: what it refuses, and what it does not change."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import checkpoint, ending
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import runtime_checkpoint
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented

Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """With files of frozen containers in a folder of the test's own."""
    for function in (checkpoint.checkpoint, ending.resume, ending.end):
        replaced = functools.partial(function, base=str(tmp_path / "store"))
        monkeypatch.setattr(runtime_checkpoint, function.__name__, replaced)

    def call(**given: t.Any) -> dict[str, t.Any]:
        options = {"namespace": "no-such", "pod": "web-0", "container": "web", **given}
        return run(runtime_checkpoint, monkeypatch, capsys, **options)

    return call


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"destination": "/tmp/a.tar"}, "container_not_found"),
        ({"destination": "/tmp/a.tar", "timeout": "soon"}, "invalid_option"),
        ({"destination": "/tmp/a.tar", "deadline": "0"}, "invalid_option"),
        ({"destination": "/tmp/a.tar", "ghost_limit": "much"}, "invalid_option"),
        ({"destination": "/tmp/a.tar", "check": True}, "container_not_found"),
    ],
)
def test_what_is_refused(module: Runner, tmp_path: pathlib.Path, given: dict[str, t.Any], code: str) -> None:
    result = module(**given)
    assert result["failed"] and result["code"] == code and result["hint"]
    assert undocumented({**result, "frozen": False}, runtime_checkpoint.RETURN) == []
    assert not list(tmp_path.iterdir())


def test_a_destination_is_needed(module: Runner) -> None:
    assert "destination" in module()["msg"]


@pytest.mark.parametrize("state", ["resumed", "ended"])
def test_where_nothing_is_frozen_nothing_changes(module: Runner, tmp_path: pathlib.Path, state: str) -> None:
    result = module(state=state)
    assert not result["changed"] and not result["frozen"]
    assert undocumented(result, runtime_checkpoint.RETURN) == []
    assert not list(tmp_path.iterdir())
