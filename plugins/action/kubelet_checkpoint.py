# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module, and shows what it has finished while it runs.

A module cannot speak before its end, so it writes a line of JSON per finished container to a file, which this follows.
That needs a file both can reach: a local connection without privilege escalation.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import typing as t

from ansible import constants as C
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

INTERVAL = 0.3
LINES_AT_ONCE = 10


class ActionModule(ActionBase):
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        if not self._wants_progress(arguments):
            result.update(self._call(arguments, task_vars))
            return result
        folder = tempfile.mkdtemp(dir=C.DEFAULT_LOCAL_TMP)
        try:
            path = os.path.join(folder, "progress")
            with open(path, "xb"):
                pass
            with Follower(path, Display().display):
                result.update(self._call({**arguments, "progress_file": path}, task_vars))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return result

    def _wants_progress(self, arguments: dict[str, t.Any]) -> bool:
        return bool(
            boolean(arguments.get("progress", True), strict=False)
            and not arguments.get("progress_file")
            and not self._task.no_log
            and not self._task.async_val
            and not self._task.check_mode
            and self._connection.transport == "local"
            and not self._connection.become
        )

    def _call(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        returned: dict[str, t.Any] = self._execute_module(
            module_name="checkpoint_restore.kubernetes.kubelet_checkpoint",
            module_args=arguments,
            task_vars=task_vars,
            wrap_async=self._task.async_val,
        )
        return returned


class Follower:
    """Reads the progress file in a thread of its own and shows what is new, a few lines at a time."""

    def __init__(self, path: str, show: t.Callable[[str], t.Any]) -> None:
        self._path = path
        self._show = show
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        with open(self._path, encoding="utf-8") as file:
            rest = ""
            while True:
                ended = self._ended.wait(INTERVAL)
                # What was written before the end was seen is still read, and a line not yet whole waits.
                *lines, rest = (rest + file.read()).split("\n")
                for line in lines[:LINES_AT_ONCE]:
                    self._show(describe(json.loads(line)))
                if len(lines) > LINES_AT_ONCE:
                    self._show(f"… and {len(lines) - LINES_AT_ONCE} more")
                if ended:
                    return


def describe(event: dict[str, t.Any]) -> str:
    """One finished container as a line, for example ``[ 3/40] shop/web-0/app on crio-a  ok 0.21s``."""
    total = str(event["total"])
    if not event["ok"]:
        outcome = f"{event['code']}: {event['reason']}"
    elif event["reused"]:
        outcome = "recent enough"
    else:
        outcome = f"ok {event['seconds']:.2f}s"
    return f"[{event['done']:>{len(total)}}/{total}] {event['name']} on {event['node']}  {outcome}"
