# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fixed part of what fuzz.py does at length."""

from __future__ import annotations

import pathlib

from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu import fuzz


def test_mutations_end_well(tmp_path: pathlib.Path) -> None:
    ends = fuzz.run(150, 20261121, tmp_path, print)
    assert ends["read"] > 120
