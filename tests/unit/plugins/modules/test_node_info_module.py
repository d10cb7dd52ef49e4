# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_node_info on this machine, whatever it is."""

from __future__ import annotations

import os

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_node_info
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented


@pytest.mark.parametrize("check", [False, True])
def test_any_machine_has_facts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool
) -> None:
    found = run(checkpoint_node_info, monkeypatch, capsys, check=check)

    assert undocumented(found, checkpoint_node_info.RETURN) == []
    assert found["changed"] is False
    assert found["machine"]["kernel"] == os.uname().release
    assert {name: type(entry["reasons"]) for name, entry in found["capabilities"].items()} == {
        "checkpoint": list,
        "restore_by_image": list,
    }
