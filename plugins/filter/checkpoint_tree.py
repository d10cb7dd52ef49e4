# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checkpoint_tree."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.tree import render


def checkpoint_tree(inspection: t.Any) -> str:
    """See checkpoint_tree.yml."""
    if not isinstance(inspection, Mapping) or "identity" not in inspection:
        raise AnsibleFilterError("checkpoint_tree needs what checkpoint_inspect returned")
    return render(inspection)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checkpoint_tree": checkpoint_tree}
