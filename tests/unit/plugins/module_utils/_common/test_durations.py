# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.durations import parse_duration
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), (" 250MS ", 0.25)],
)
def test_what_people_write(text: str | int, seconds: float) -> None:
    assert parse_duration(text, "timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "-5s", "5 minutes", "m", "1h 30", "inf", "nan", None, "1e3"])
def test_anything_else_is_a_sentence_that_names_the_option(text: str | None) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_duration(text, "deadline")
    assert caught.value.code == "invalid_option"
    assert "deadline" in caught.value.reason
    assert "1h30m" in caught.value.hint


def test_no_time_at_all_where_that_has_a_meaning() -> None:
    assert parse_duration("0s", "wait", zero=True) == parse_duration(0, "wait", zero=True) == 0
    with pytest.raises(CheckpointError):
        parse_duration("-1", "wait", zero=True)
