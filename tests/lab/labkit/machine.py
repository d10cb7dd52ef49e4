# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's own packages: what building the parts, running the lab and its tests need."""

from __future__ import annotations

import os
import shutil

from .errors import LabError
from .run import Say, run

PACKAGES = (
    # building the parts
    "ca-certificates",
    "curl",
    "debian-archive-keyring",
    "gcc",
    "libc6-dev",
    "libseccomp-dev",
    "mmdebstrap",
    "pkg-config",
    "python3-venv",
    # running the lab
    "iproute2",
    "openssh-client",
    "openssl",
    "procps",
    "util-linux",
    # the project's tests and tools
    "git",
    "make",
    "shellcheck",
)


def ensure_packages(say: Say) -> None:
    """Install what is missing. Raises LabError where that can't be done here."""
    for tool in ("apt-get", "dpkg-query"):
        if not shutil.which(tool):
            raise LabError(f"The lab needs Debian or a relative of it: there is no {tool} here.")
    installed = _installed()
    missing = [name for name in PACKAGES if name not in installed]
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError(f"Packages are missing and only root can install them: {' '.join(missing)}")
    say(f"installing with apt-get: {' '.join(missing)}")
    apt_get("update")
    apt_get("install", "--yes", "--no-install-recommends", *missing)


def apt_get(*arguments: str) -> None:
    """The machine's own apt-get; waits for another one that is at work."""
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *arguments], env=environment)


def _installed() -> set[str]:
    # Its status is 1 where it doesn't know one of the names.
    shown = run(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *PACKAGES], check=False)
    return {name for name, state in (line.split() for line in shown.stdout.splitlines()) if state == "installed"}
