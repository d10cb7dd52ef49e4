# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one step of `make test`: a line with its result and time, and everything it printed where it fails.

Of a step that is well, lines that begin with "note: " are shown, and with --last-line the last one.

python3 tests/tools/step.py [--last-line] NAME COMMAND ARGS...
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time

import environment


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a command in the project's environment, as a step of make test.")
    parser.add_argument("--last-line", action="store_true", help="show the last line of output also when all is well")
    parser.add_argument("name")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    try:
        environ = environment.environ()
    except environment.ToolError as error:
        print(f"FAILED           {options.name}: {error}", flush=True)
        return 1
    began = time.monotonic()
    done = subprocess.run(
        options.command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    took = f"{time.monotonic() - began:6.1f} s"
    lines = done.stdout.rstrip().split("\n")
    if done.returncode:
        shown = [*lines, f"FAILED {took}  {options.name}: exit code {done.returncode} of {shlex.join(options.command)}"]
    else:
        notes = [line for line in lines if line.startswith("note: ")] + (lines[-1:] if options.last_line else [])
        shown = [f"ok     {took}  {options.name}", *notes]
    # At once, because steps may run side by side.
    print("\n".join(shown), flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
