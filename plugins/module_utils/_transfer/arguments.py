# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``checkpoint_fetch``, for its two halves: the action plugin here and the module on the node.

Private to this collection.
"""

from __future__ import annotations

import typing as t

ARGUMENT_SPEC: dict[str, t.Any] = {
    "archives": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"path": {"type": "str", "required": True}, "name": {"type": "str"}},
    },
    "destination": {"type": "path", "required": True},
    "ignore_failures": {"type": "bool", "default": False},
    "progress": {"type": "bool", "default": True},
    "stall_timeout": {"type": "int", "default": 60},
}
