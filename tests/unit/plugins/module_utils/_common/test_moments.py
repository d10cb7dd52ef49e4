# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.moments import utc


@pytest.mark.parametrize(
    ("precision", "text"),
    [
        ("seconds", "2026-11-21T09:18:00Z"),
        ("milliseconds", "2026-11-21T09:18:00.875Z"),
        ("microseconds", "2026-11-21T09:18:00.875500Z"),
    ],
)
def test_what_is_beyond_the_precision_is_cut_off(precision: str, text: str) -> None:
    assert utc(1795252680.8755, precision) == text


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e30])
def test_what_no_calendar_has_is_the_beginning(seconds: float) -> None:
    assert utc(seconds) == "1970-01-01T00:00:00Z"
