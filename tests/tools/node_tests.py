# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit tests of the code that runs on nodes, on Python 3.9 with the standard library alone (and pytest).

Node-side is every room of module_utils but those named here, of which a node has the table of failures alone: the tests
of checkpoint_diagnose import it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import environment
from labkit import errors, parts

CONTROLLER_ROOMS = ("_kube", "_move")
TESTS = Path("tests", "unit", "plugins", "module_utils")


def pytest_for(python: Path) -> Path:
    """A folder with the pytest that is pinned for Python 3.9."""
    wanted = environment.section(environment.LOCK, "node")
    folder = environment.cache() / f"node-{environment.digest(wanted)}"
    with environment.once(folder) as missing:
        if missing:
            arguments = ["--target", str(folder), "--python-version", "3.9", "--only-binary", ":all:", "--no-compile"]
            environment.pip(environment.ensure(), wanted, "install", *arguments)
    return folder


def main() -> int:
    try:
        python = parts.ensure_python39(environment.to_stderr)
        library = pytest_for(python)
    except (environment.ToolError, errors.LabError) as error:
        print(error)
        return 1
    # Code that the controller alone imports is not even compiled here: the tests import what they test.
    environ = {**os.environ, "PYTHONPATH": f"{library}{os.pathsep}{environment.collection_root()}"}
    ignored = [f"--ignore={TESTS / room}" for room in CONTROLLER_ROOMS]
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *ignored, str(TESTS), *sys.argv[1:]]
    return subprocess.run(command, cwd=environment.CHECKOUT, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
