# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checkpoint_plan."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._plan import plan_lines


def checkpoint_plan(plans: t.Any) -> list[str]:
    """See checkpoint_plan.yml."""
    if not isinstance(plans, list) or not all(isinstance(plan, Mapping) and "node" in plan for plan in plans):
        raise AnsibleFilterError("checkpoint_plan needs a list of dictionaries, each with a node")
    return plan_lines(plans)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checkpoint_plan": checkpoint_plan}
