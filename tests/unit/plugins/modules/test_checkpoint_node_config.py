# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module checkpoint_node_config on the machine that runs the tests, which it must not change."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings import criu
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_node_config
from documented import run, undocumented

Asked = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> t.Iterator[Asked]:
    """The module's result in check mode, with other paths than the machine's own for CRIU's options."""
    for name in ("RUNC", "CRUN", "DEFAULT"):
        monkeypatch.setattr(criu, name, str(tmp_path / name))
    monkeypatch.setattr(criu, "FILES", tuple(str(tmp_path / name) for name in ("RUNC", "CRUN", "DEFAULT")))

    def ask(**given: t.Any) -> dict[str, t.Any]:
        return run(checkpoint_node_config, monkeypatch, capsys, check=True, **given)

    yield ask
    assert not os.listdir(tmp_path)


def test_the_result_is_as_documented(asked: Asked) -> None:
    settings = {"file_locks": True, "version": "4.2.1", "packages": ["libcriu2", "criu"]}
    result = asked(component="criu", settings=settings)
    assert (
        undocumented({key: value for key, value in result.items() if key != "diff"}, checkpoint_node_config.RETURN)
        == []
    )
    assert result["changed"] is True
    assert [entry["what"] for entry in result["changes"]][:2] == ["package criu 4.2.1", "package libcriu2 4.2.1"]
    assert result["changes"][2]["action"] == "create" and result["changes"][2]["what"] == "file-locks"
    assert result["diff"][0]["after"] == "# checkpoint_restore.kubernetes\nfile-locks\n"


@pytest.mark.parametrize("state", ["absent", "reverted", "confirmed"])
def test_nothing_set_is_nothing_taken_back(asked: Asked, state: str) -> None:
    result = asked(component="criu", state=state)
    assert result["changed"] is False and result["changes"] == []
    assert (
        undocumented({key: value for key, value in result.items() if key != "diff"}, checkpoint_node_config.RETURN)
        == []
    )


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"tcp_close": True, "tcp_established": True}, "invalid_option"),
        ({"made_up": True}, "invalid_option"),
        ({"version": "3.15"}, "not_supported"),
    ],
)
def test_a_failure_is_as_documented(asked: Asked, settings: dict[str, t.Any], code: str) -> None:
    result = asked(component="criu", settings=settings)
    assert result["failed"] is True and result["code"] == code
    failure = {key: value for key, value in result.items() if key not in ("exception", "failed", "invocation")}
    assert [text for text in undocumented(failure, checkpoint_node_config.RETURN) if "missing" not in text] == []
