# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test sanity from a flat checkout, all tests, with the ansible-core of the environment it is run in.

ansible-test wants a real path ending in ansible_collections/NAMESPACE/NAME, where a symbolic link is refused (seen with
2.17.14 and 2.19.14), so it works on a copy of the files that git knows or would add.
"""

from __future__ import annotations

import ast
import configparser
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import environment
from labkit import errors, parts

# Puts pip into ansible-test's own environments, from a wheel. Otherwise ansible-test downloads a script for this, which
# may be put there by hand, it says (`bootstrap` in its _util/target/setup/requirements.py, 2.17.14 and 2.19.14).
BOOTSTRAP = """\
import runpy
import sys
sys.path.insert(0, {wheel!r})
sys.argv = ["pip", "install"] + [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def home(venv: Path) -> Path:
    """A home for ansible-test, which keeps its environments there: with the pip that it asks for, and pip's settings.

    The settings are those in force here, since ansible-test hides the variables that may hold them from pip.
    """
    folder = environment.cache() / f"sanity-{environment.core()}"
    locked = environment.section(environment.LOCK, environment.core())
    [(requirement, version)] = re.findall(r"^(pip==([\w.]+)[^\n]*\n(?: +--hash[^\n]*\n)+)", locked, re.MULTILINE)
    wheels = folder / f"pip-{version}"
    wheels.parent.mkdir(exist_ok=True)
    with environment.once(wheels) as missing:
        if missing:
            environment.pip(venv, requirement, "download", "--dest", str(wheels))
    script = BOOTSTRAP.format(wheel=str(wheels / f"pip-{version}-py3-none-any.whl"))
    write(folder / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py", script)
    command = [str(venv / "bin" / "python"), "-m", "pip", "config", "list"]
    settings = configparser.RawConfigParser()
    for line in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        # global.timeout='60', or :env:.timeout='60' for PIP_TIMEOUT, which wins and is listed first.
        name, _equals, value = line.partition("=")
        section, _dot, option = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if not settings.has_section(section):
            settings.add_section(section)
        if not settings.has_option(section, option):
            settings.set(section, option, ast.literal_eval(value))
    settings.read_dict({"global": {"quiet": "1"}})
    settings_text = io.StringIO()
    settings.write(settings_text)
    write(folder / ".config" / "pip" / "pip.conf", settings_text.getvalue())
    return folder


def write(path: Path, text: str) -> None:
    """Write a file that another run may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def copy(target: Path) -> None:
    """Copy what would be committed now, uncommitted changes included."""
    for name in environment.known_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(environment.CHECKOUT / name, target / name, follow_symlinks=False)


def main() -> int:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    newest = environment.core() == "newest"
    if not newest and sys.version_info >= (3, 13):
        print(f"note: left out: the ansible-test of ansible-core 2.17 knows Python 3.12 at most, and this is {here}")
        return 0
    runs = [["--python", here, *sys.argv[1:]]]
    environ = environment.environ()
    try:
        environment.machine_packages(environment.to_stderr)
        environ["HOME"] = str(home(Path(environ["VIRTUAL_ENV"])))
        if newest and not sys.argv[1:]:
            environ["PATH"] += f"{os.pathsep}{parts.ensure_python39(environment.to_stderr).parent}"
            runs.append(["--python", "3.9", "--test", "compile", "--test", "import"])
    except (environment.ToolError, errors.LabError) as error:
        print(error)
        return 1
    with tempfile.TemporaryDirectory(prefix="sanity-") as folder:
        target = Path(folder) / environment.COLLECTION
        copy(target)
        environ.update(ANSIBLE_COLLECTIONS_PATH=folder, PYTHONPATH="")
        command = ["ansible-test", "sanity", "--color", "no"]
        failed = [
            run for run in runs if subprocess.run([*command, *run], cwd=target, env=environ, check=False).returncode
        ]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
