# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checkpoint_causes."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._causes import explained


def checkpoint_causes(failures: t.Any, looks: t.Any) -> list[dict[str, t.Any]]:
    """See checkpoint_causes.yml."""
    for given, key in ((failures, "code"), (looks, "item")):
        if not isinstance(given, list) or not all(isinstance(one, Mapping) and key in one for one in given):
            raise AnsibleFilterError(f"checkpoint_causes needs lists of dictionaries, each with {key}")
    return explained(failures, looks)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checkpoint_causes": checkpoint_causes}
