# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads of a plan."""

from __future__ import annotations

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._plan import plan_lines

PACKAGE = {"component": "criu", "path": None, "action": "create", "what": "package criu"}
FILE = {"component": "crio", "path": "/etc/crio/crio.conf.d/10-x.conf", "action": "change", "what": "restore off"}


def test_nodes_with_the_same_plan_stand_together_and_most_to_do_comes_first() -> None:
    lines = plan_lines(
        [
            {"node": "c", "changes": [], "restart": []},
            {"node": "b", "changes": [PACKAGE, FILE], "restart": ["crio"], "reasons": ["CRIU is not installed"]},
            {"node": "a", "changes": [PACKAGE, FILE], "restart": ["crio"], "reasons": ["CRIU is not installed"]},
        ]
    )

    assert lines == [
        "a, b:",
        "  cannot checkpoint now: CRIU is not installed",
        "  criu: create: package criu",
        "  crio: change /etc/crio/crio.conf.d/10-x.conf: restore off",
        "  restart crio; running containers go on",
        "c:",
        "  nothing to change",
    ]


def test_the_order_of_the_nodes_does_not_matter() -> None:
    plans = [{"node": name, "changes": [FILE] if name < "c" else []} for name in "dbca"]

    assert plan_lines(plans) == plan_lines(plans[::-1])
