# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of checkpoint_migrate: it drives the agents of both nodes and the API from the controller, in one process.

Every task of Ansible costs half a second, and a container is frozen meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import (
    agents,
    arguments,
    moving,
    state,
    ways,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.plugin_utils.logins import Login

IDENTITY_SECONDS = 3600.0
display = Display()


class ActionModule(ActionBase):
    """One pod to another node."""

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
        self._name = f"{self._options['namespace']}/{self._options['pod']}"
        try:
            session = ApiSession(api_server(self._options))
            with stop_requested() as stop:
                result.update(self._taken_up(session, stop) or self._moved(session, stop))
        except CheckpointError as error:
            result.update(failed=True, msg=str(error), **error.as_dict())
        result.setdefault("changed", bool(result.get("outcome")))
        return result

    def _moved(self, session: ApiSession, stop: threading.Event) -> dict[str, t.Any]:
        """A new move."""
        options = self._options
        where = {"runtime_class": options["runtime_class"], "order": options["order"]}
        try:
            plan = plans.make(session, options["namespace"], options["pod"], options["node"], **where)
        except CheckpointError as error:
            if error.code == "already_there":
                return {"changed": False, "outcome": None}
            raise
        wishes = arguments.wishes(options, plan)
        told = {
            "way": plan.way,
            "source": plan.node,
            "node": plan.target,
            "frozen_limit": wishes.frozen,
            "checks": [dataclasses.asdict(check) for check in plan.checks],
        }
        for check in plan.checks:
            if check.result == "warning":
                display.warning(". ".join(filter(None, (check.reason, check.hint))))
        if self._task.check_mode:
            return {**told, "changed": True, "outcome": None}
        with contextlib.ExitStack() as stack:
            both = self._agents(stack, plan)
            begun = ways.begin(session, plan, state.directory())
            stack.callback(begun[1].close)
            move = moving.Move(session, plan, begun, both, wishes, stop, self._show)
            return {**told, **move.run(made_identity(IDENTITY_SECONDS))}

    def _taken_up(self, session: ApiSession, stop: threading.Event) -> dict[str, t.Any] | None:
        """A move of this pod that was begun and has not ended: gone on with, or undone, which is no result."""
        for number in [] if self._task.check_mode else state.unfinished(state.directory()):
            try:
                begun = ways.resume(session, number, state.directory())
            except CheckpointError as error:
                # Of this pod or of another: two moves of one pod are kept apart by their Lease.
                if error.code == "state_in_use":
                    continue
                raise
            with contextlib.closing(begun[1]), contextlib.ExitStack() as stack:
                plan = plans.from_facts(begun[1].facts)
                if (plan.namespace, plan.pod) != (self._options["namespace"], self._options["pod"]):
                    continue
                self._show(f"Takes up the move {number}, which was begun and has not ended")
                wishes = arguments.wishes(self._options, plan)
                both = self._agents(stack, plan)
                result = moving.Move(session, plan, begun, both, wishes, stop, self._show).again()
                if result["outcome"] == "moved":
                    return {**result, "source": plan.node, "node": plan.target}
        return None

    def _agents(self, stack: contextlib.ExitStack, plan: plans.Plan) -> tuple[agents.Agent, agents.Agent]:
        """Those of the source and of the target."""
        source = stack.enter_context(self._agent(plan.node, "source"))
        return source, stack.enter_context(self._agent(plan.target, "target"))

    def _agent(self, node: str, role: agents.Role) -> agents.Agent:
        if node not in self._hosts:
            raise CheckpointError(
                "host_unknown", f"The node {node} is not in the inventory", hint="Add it, by its name in Kubernetes"
            )
        login = Login(node, self._hosts[node], self._play_context, become=self._options["become"])
        marker = secrets.token_hex(16)
        command, prompt = login.command(agents.script(marker, role, login.python))
        return agents.Agent(command, marker, node, prompt=prompt, tell=lambda what: self._progress(node, what))

    def _progress(self, node: str, what: dict[str, t.Any]) -> None:
        if "bytes" in what:
            self._show(f"{what['bytes'] >> 20} MiB from {node}")

    def _show(self, text: str) -> None:
        if not self._task.no_log:
            display.display(f"{self._name}: {text}")
