# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What checkpoint_evidence cannot know by itself: where ansible-playbook was started, and the collection's version."""

from __future__ import annotations

import json
import os
import typing as t

import yaml
from ansible.plugins.action import ActionBase

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ActionModule(ActionBase):
    """Completes the arguments and runs the module."""

    TRANSFERS_FILES = False
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The module's result."""
        result = super().run(tmp, task_vars)
        arguments = {**self._task.args, "collection_version": _collection_version()}
        if arguments.get("destination"):
            # The module's own working directory is the playbook's, which is inside the collection.
            arguments["destination"] = os.path.abspath(os.path.expanduser(str(arguments["destination"])))
        module = "checkpoint_restore.kubernetes.checkpoint_evidence"
        return {**result, **self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)}


def _collection_version() -> str | None:
    """An installed collection has a MANIFEST.json, a checkout a galaxy.yml."""
    try:
        with open(os.path.join(COLLECTION, "MANIFEST.json"), encoding="utf-8") as file:
            return str(json.load(file)["collection_info"]["version"])
    except FileNotFoundError:
        with open(os.path.join(COLLECTION, "galaxy.yml"), encoding="utf-8") as file:
            return str(yaml.safe_load(file)["version"])
