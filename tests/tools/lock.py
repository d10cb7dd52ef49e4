# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pin every tool, with hashes: requirements.in -> requirements.lock (`make lock`; needs `uv` on PATH)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import environment

HEADER = """\
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Made by `make lock` from requirements.in. Do not edit.
"""
FIXED_PER_CORE = ("ansible-core", "pip")


def compiled(name: str, python: list[str], constraints: str = "") -> str:
    """The section ``name`` of requirements.in with every package, version and hash written out."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, limits = Path(folder, "requirements.in"), Path(folder, "constraints.txt")
        wanted.write_text(environment.section(environment.HERE / "requirements.in", name))
        limits.write_text(constraints)
        command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
        made = subprocess.run(
            [*command, *python, "--constraints", limits, wanted], stdout=subprocess.PIPE, text=True, check=True
        )
    return f"\n# [{name}]\n{made.stdout}"


def versions(section: str) -> str:
    """The section's packages without hashes, for use as constraints; not those that are fixed for each ansible-core."""
    lines = [line.rstrip(" \\") for line in section.splitlines() if line and line[0] not in " #"]
    return "\n".join(line for line in lines if line.split("==")[0] not in FIXED_PER_CORE)


def main() -> int:
    several = ["--universal", "--python-version", "3.11"]
    newest = compiled("newest", several)
    oldest = compiled("oldest", several, versions(newest))
    node = compiled("node", ["--python-version", "3.9", "--python-platform", "linux"])
    environment.LOCK.write_text(HEADER + newest + oldest + node)
    return 0


if __name__ == "__main__":
    sys.exit(main())
