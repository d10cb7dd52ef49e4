# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRIU as this node has it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import re
import typing as t

from .files import matches, under
from .programs import Completed, run, which

TIMEOUT_S = 5.0
PLUGIN_DIRECTORIES = ("/usr/lib/criu", "/usr/lib64/criu", "/usr/lib/*-linux-gnu/criu", "/usr/local/lib/criu")
"""Where distributions put CRIU's plugins (criu Makefile.install, PLUGINDIR below LIBDIR)."""
CONFIGURATION = ("/etc/criu/default.conf", "/etc/criu/runc.conf", "/etc/criu/crun.conf")

Run = t.Callable[..., Completed]


def criu_facts(path: t.Optional[str] = None, root: str = "/", runner: Run = run) -> dict[str, t.Any]:
    """What checkpoint_node_info returns as ``criu``. ``path``: the PATH of the program that will look for it."""
    directories = sorted({found for place in PLUGIN_DIRECTORIES for found in matches(place, root)})
    plugins = sorted(os.path.basename(file) for place in directories for file in matches(f"{place}/*.so", root))
    program = which("criu", path)
    facts: dict[str, t.Any] = {
        "path": program,
        "version": None,
        "check": None,
        "features": {"mem_dirty_track": None},
        "plugin_directories": directories,
        "plugins": plugins,
        "configuration": [name for name in CONFIGURATION if os.path.exists(under(root, name))],
    }
    if program is None:
        return facts
    shown = runner([program, "--version"], TIMEOUT_S)
    version = re.search(r"^Version: (\S+)", shown.stdout, re.MULTILINE)
    checked = runner([program, "check"], TIMEOUT_S)
    tracked = runner([program, "check", "--feature", "mem_dirty_track"], TIMEOUT_S)
    facts["version"] = version.group(1) if version else None
    facts["check"] = {"ok": checked.ok, "message": "" if checked.ok else complaint(checked)}
    facts["features"] = {"mem_dirty_track": tracked.ok}
    return facts


def complaint(checked: Completed) -> str:
    """The first error line of ``criu check``, without the place in CRIU's source."""
    lines = [line.strip() for line in (checked.stderr + checked.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error")]
    chosen = (errors or lines or [f"ended with {checked.returncode}"])[0]
    return re.sub(r"^Error\s+\([^)]*\):\s*", "", chosen)
