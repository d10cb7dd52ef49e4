# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent that is told nothing, and whose login nobody holds any more."""

from __future__ import annotations

import json
import os
import pathlib
import threading

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent import loop


def test_one_that_is_told_nothing_finds_out_that_nobody_is_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BEAT_SECONDS", 0.02)
    hearing, speaking = os.pipe()
    listening, saying = os.pipe()
    agent = loop.Agent("target", hearing, saying, base=str(tmp_path))
    running = threading.Thread(target=agent.run)
    running.start()
    with os.fdopen(listening, "rb") as heard:
        assert json.loads(heard.readline()) == {"id": 0, "tell": {}}
        os.write(speaking, b'{"id": 7, "do": "hold", "with": {}}\n')
        answers = [json.loads(heard.readline()) for _beat in range(20)]
        assert {"id": 7, "ok": {}} in answers
    # Its input stays open, as that of a login whose other end was cut off.
    running.join(30)
    assert not running.is_alive()
    for descriptor in (hearing, speaking, saying):
        os.close(descriptor)
