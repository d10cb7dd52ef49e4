# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection, install it in a clean place, delete all but the working parts, and use it.

That a collection works with meta, playbooks, plugins and roles alone is a rule of Ansible's community package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing as t
from pathlib import Path

import environment

NAME = "checkpoint_restore.kubernetes"
WORKING_PARTS = {"meta", "playbooks", "plugins", "roles"}
SHIPPED = WORKING_PARTS | {
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "COPYING",
    "FILES.json",
    "LICENSES",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "extensions",
    "requirements.txt",
    "tests/config.yml",
}
# The folders of plugins with documentation of their own, and what ansible-doc calls them.
DOCUMENTED = {"inventory": "inventory", "modules": "module"}


class PackageError(Exception):
    """What is wrong with the package."""


def run(command: list[str], **options: t.Any) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise PackageError(f"{' '.join(command)}:\n{done.stdout}")
    return str(done.stdout)


def check_contents(tarball: Path) -> None:
    """The tarball has what users need, and nothing of what only developers have."""
    with tarfile.open(tarball) as archive:
        files = {member.name for member in archive if not member.isdir()}
    shipped = {name for name in files if any(name == part or name.startswith(f"{part}/") for part in SHIPPED)}
    if files - shipped:
        raise PackageError(f"not to be shipped, see build_ignore in galaxy.yml: {sorted(files - shipped)}")
    known = environment.known_files()
    strange = files - known - {"FILES.json", "MANIFEST.json"}
    if strange:
        raise PackageError(f"in the tarball, but unknown to git: {sorted(strange)}")
    missing = {name for name in known if name.split("/")[0] in WORKING_PARTS} - files
    if missing:
        raise PackageError(f"missing in the tarball: {sorted(missing)}")


def strip(installed: Path) -> None:
    for entry in installed.iterdir():
        if entry.name not in WORKING_PARTS:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def use(installed: Path, options: dict[str, t.Any]) -> int:
    """Read each plugin's documentation and parse each playbook; says how many there were."""
    used = 0
    for folder, kind in DOCUMENTED.items():
        names = [f"{NAME}.{path.stem}" for path in sorted((installed / "plugins" / folder).glob("*.py"))]
        if names:
            run(["ansible-doc", "--type", kind, "--json", *names], **options)
            used += len(names)
    for playbook in sorted((installed / "playbooks").glob("*.yml")):
        if not playbook.name.endswith(".meta.yml"):
            run(["ansible-playbook", "--syntax-check", f"{NAME}.{playbook.stem}"], **options)
            used += 1
    return used


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="package-") as folder:
        environ = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": folder, "PYTHONPATH": "", "ANSIBLE_DEVEL_WARNING": "0"}
        options = {"cwd": folder, "env": environ}
        try:
            run(
                ["ansible-galaxy", "collection", "build", "--output-path", folder, str(environment.CHECKOUT)], **options
            )
            [tarball] = Path(folder).glob("*.tar.gz")
            check_contents(tarball)
            run(["ansible-galaxy", "collection", "install", "--offline", "-p", folder, str(tarball)], **options)
            run(["ansible-galaxy", "collection", "verify", "--offline", NAME], **options)
            installed = Path(folder) / environment.COLLECTION
            strip(installed)
            used = use(installed, options)
        except PackageError as error:
            print(error)
            return 1
    print(f"{tarball.name}: {used} plugins and playbooks work from the installed collection")
    return 0


if __name__ == "__main__":
    sys.exit(main())
