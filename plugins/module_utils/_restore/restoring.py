# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the node's own OCI runtime: short calls, and the restore itself, which must neither hang nor fill the disk.

Sources: runc 1.1.15 and 1.3.6 (restore.go), crun 1.21 (crun.1, src/restore.c); criu criu/config.c, 4.2.1 (default
options of $HOME/.criu/default.conf, read by criu swrk too).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time

from .._common.errors import CheckpointError
from .._node.programs import NOT_FOUND, TIMED_OUT, Completed, run
from .._node.runtime_log import last_error, tail
from .command import Command

SHORT = 20.0
"""Seconds for calls that do next to nothing."""

RESTORE_SECONDS = 100.0
"""The kubelet gives a runtime two minutes (runtimeRequestTimeout); the reason has to reach it before it gives up."""

RUNNING, PAUSED, STOPPED, UNKNOWN = "running", "paused", "stopped", "unknown"
"""Words of runc and crun for a container, and ours for one that they do not know."""

LOG_BYTES = 64 << 20
PAUSE = 0.02

HARMLESS = "rlimit: Can't setup RLIMIT_NOFILE for self"
"""CRIU says it as an error where it may not raise its own limit, and goes on (seen with 4.2.1)."""

CRIU_ERROR = re.compile(r"Error \(([^)]*)\): (.*)")


class Runtime:
    """runc or crun, called with the global options of the call that this is about."""

    def __init__(self, program: str, command: Command) -> None:
        self.program = program
        self._command = command
        self._globals = command.globals_for_own_use()

    def kind(self) -> str:
        """ "runc" or "crun": they differ in what they call things in images."""
        words = self.call("--version").stdout.split()
        return "crun" if words[:1] == ["crun"] else "runc"

    def call(self, *words: str) -> Completed:
        return run([self.program, *self._globals, *words], SHORT, path=os.environ.get("PATH"))

    def status(self, container: str) -> str:
        """The runtime's word for a container's status, UNKNOWN where it knows none, empty where it did not answer."""
        done = self.call("state", container)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            if done.ok:
                return str(json.loads(done.stdout)["status"])
        return "" if done.ok or done.returncode in (NOT_FOUND, TIMED_OUT) else UNKNOWN

    def restore(self, images: str, work: str, kind: str, *, keep_connections: bool) -> None:
        """Restore, with the standard streams and the options that the caller gave for the create.

        ``keep_connections``: the runtimes tell CRIU either way, whatever its configuration says.
        Raises CheckpointError restore_failed or restore_endless, with what the runtime and CRIU said.
        """
        options = self._command.options
        passed = [f"{name}={options[name]}" for name in ("--pid-file", "--console-socket") if name in options]
        passed += ["--no-pivot"] if "--no-pivot" in options and kind == "runc" else []
        passed += ["--no-subreaper"] if kind == "runc" else []
        passed += ["--tcp-established"] if keep_connections else []
        log = os.path.join(work, "runtime.log")
        words = [
            # It ends with us. A CRIU that fails leaves a mount behind, which goes with a namespace of its own.
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave"),
            *(self.program, *self._globals),
            *("--log", log, "--log-format", "json", "restore", "--detach", "--file-locks"),
            *("--bundle", options.get("--bundle", "."), "--image-path", images, "--work-path", work),
            *(*passed, self._command.container),
        ]
        # The standard streams become those of the restored process, so the runtime's own words are read from its log.
        process = subprocess.Popen(words, env={**os.environ, "HOME": work})
        reason = _wait(process, os.path.join(work, "restore.log"))
        if process.returncode != 0 or reason:
            said = explain(work)
            code = "restore_endless" if reason else "restore_failed"
            raise CheckpointError(code, reason or f"CRIU could not restore the process: {said}", message=said)


def _wait(process: subprocess.Popen[bytes], log: str) -> str:
    """Wait for the end; why it was ended, empty if it ended by itself."""
    until = time.monotonic() + RESTORE_SECONDS
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PAUSE)
            return ""
        size = os.stat(log).st_size if os.path.exists(log) else 0
        reason = ""
        if size > LOG_BYTES:
            reason = (
                f"CRIU wrote a log of more than {LOG_BYTES >> 20} MiB and was ended, as if it went round in circles"
            )
        elif time.monotonic() > until:
            reason = f"The restore took more than {RESTORE_SECONDS:.0f} seconds and was ended"
        if reason:
            process.kill()
            process.wait()
            return reason


def explain(work: str) -> str:
    """What went wrong, from CRIU's log where it wrote one, else from the runtime's."""
    errors = CRIU_ERROR.findall(tail(os.path.join(work, "restore.log")))
    told = [text.strip() for _place, text in errors if not text.startswith(HARMLESS)]
    if told:
        return "; ".join(dict.fromkeys(told[:3]))
    return last_error(os.path.join(work, "runtime.log")) or "the runtime said nothing"
