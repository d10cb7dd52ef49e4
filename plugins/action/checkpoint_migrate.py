# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of checkpoint_migrate: it drives the agents of both nodes and the API from the controller, in one process.

Every task of Ansible costs half a second, and a container is frozen meanwhile.
"""

from __future__ import annotations

import secrets
import typing as t

from ansible.module_utils.basic import env_fallback
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.checkpoint_restore.kubernetes.plugins.action.checkpoint_receive import made_identity
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.auth import api_server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import agents, arguments, many
from ansible_collections.checkpoint_restore.kubernetes.plugins.plugin_utils.logins import Login

IDENTITY_SECONDS = 3600.0
display = Display()


class ActionModule(ActionBase):
    """Pods to another node."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The documented result."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, self._options = self.validate_argument_spec(
            {**argument_spec.auth_options(env_fallback), **arguments.SPEC}
        )
        self._hosts = (task_vars or {}).get("hostvars", {})
        try:
            session = ApiSession(api_server(self._options))
            with stop_requested() as stop:
                site = many.Site(
                    log_in=self._agent,
                    reachable=self._login,
                    identity=lambda: made_identity(IDENTITY_SECONDS),
                    show=self._show,
                    warn=display.warning,
                    stop=stop,
                )
                result.update(many.Moves(session, self._options, site).run(check=self._task.check_mode))
        except CheckpointError as error:
            result.update(failed=True, msg=str(error), **error.as_dict())
        result.setdefault("changed", False)
        return result

    def _login(self, node: str) -> Login:
        if node not in self._hosts:
            raise CheckpointError(
                "host_unknown", f"The node {node} is not in the inventory", hint="Add it, by its name in Kubernetes"
            )
        return Login(node, self._hosts[node], self._play_context, become=self._options["become"])

    def _agent(self, node: str, role: agents.Role) -> agents.Agent:
        login = self._login(node)
        marker = secrets.token_hex(16)
        command, prompt = login.command(agents.script(marker, role, login.python))
        return agents.Agent(command, marker, node, prompt=prompt, tell=lambda what: self._progress(node, what))

    def _progress(self, node: str, what: dict[str, t.Any]) -> None:
        if "bytes" in what:
            self._show(node, f"{what['bytes'] >> 20} MiB sent")

    def _show(self, name: str, text: str) -> None:
        if not self._task.no_log:
            display.display(f"{name}: {text}")
