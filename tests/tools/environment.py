# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment that the project's tools run in. It lies outside the checkout and is made when it is first needed.

    python3 tests/tools/environment.py                  say where it is
    python3 tests/tools/environment.py COMMAND ARGS     run a command in it

There are two, with the same versions of everything but ansible-core: ANSIBLE_CORE=newest (default) and =oldest.
Standard library only, because this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
# The laboratory knows what a machine needs.
sys.path.insert(0, str(CHECKOUT / "tests" / "lab"))

LOCK = HERE / "requirements.lock"
COLLECTION = Path("ansible_collections", "checkpoint_restore", "kubernetes")
CORES = ("newest", "oldest")
STAMP = ".complete"
KEEP_DAYS = 7
# What ansible-core 2.19 runs on; Debian 12 has the first, Debian 13 the last.
PYTHONS = ((3, 11), (3, 12), (3, 13))

Say = t.Callable[[str], None]


class ToolError(Exception):
    """Something that the person at the keyboard has to do first, in one line."""


def to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cache() -> Path:
    """The folder for everything that may be made again; shared by all checkouts of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "checkpoint-restore-lab")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def section(path: Path, name: str) -> str:
    """The lines below ``# [name]`` in requirements.in or requirements.lock, up to the next such line."""
    _head, found, rest = path.read_text().partition(f"\n# [{name}]\n")
    if not found:
        raise ToolError(f"{path} has no section [{name}].")
    return rest.partition("\n# [")[0]


def core() -> str:
    name = os.environ.get("ANSIBLE_CORE") or CORES[0]
    if name not in CORES:
        raise ToolError(f"ANSIBLE_CORE is {name!r}, but must be one of: {', '.join(CORES)}.")
    return name


def python() -> str:
    """A Python that the tools run on: this one, also when it is a virtual environment's, or another on PATH."""
    if sys.version_info[:2] in PYTHONS:
        return os.path.realpath(sys.executable)
    for major, minor in PYTHONS:
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return os.path.realpath(found)
    wanted = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    raise ToolError(f"The tools need Python {wanted}; python3 is {sys.version.split()[0]}, and there is no other.")


def machine_packages(say: Say) -> None:
    """Install the packages of the machine's own distribution that the project needs, or say that somebody has to."""
    from labkit import errors, machine

    with locked(cache() / "machine.lock"):
        try:
            machine.ensure_packages(say)
        except errors.LabError as error:
            raise ToolError(str(error)) from error


@contextlib.contextmanager
def locked(path: Path) -> t.Iterator[None]:
    """One process at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def once(folder: Path) -> t.Iterator[bool]:
    """Have ``folder`` completely or not at all: yields whether to make it; a stamp, written last, says it is whole."""
    stamp = folder / STAMP
    if stamp.exists():
        yield False
        return
    with locked(Path(f"{folder}.lock")):
        if stamp.exists():
            yield False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield True
        stamp.touch()


def pip(venv: Path, requirements: str, *arguments: str) -> None:
    """Have the pip of ``venv`` install exactly ``requirements``, with hashes and without looking for anything else."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write(requirements)
        listed.flush()
        command = [str(venv / "bin" / "python"), "-m", "pip", *arguments, "--require-hashes", "--no-deps", "--quiet"]
        quiet = ["--disable-pip-version-check", "--progress-bar", "off", "--requirement", listed.name]
        done = subprocess.run([*command, *quiet], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ToolError(f"pip {arguments[0]} failed:\n{done.stderr.strip()}")


def ensure(say: Say = to_stderr) -> Path:
    """The virtual environment for this ANSIBLE_CORE, made if it is not there (half a minute; a glance otherwise)."""
    name, base = core(), python()
    wanted = section(LOCK, name)
    venv = cache() / f"venv-{digest(name, wanted, base)}"
    with once(venv) as missing:
        if missing:
            if subprocess.run([base, "-c", "import ensurepip"], stderr=subprocess.DEVNULL, check=False).returncode:
                machine_packages(say)
            say(f"making the tools' environment with the {name} ansible-core (about half a minute)")
            subprocess.run([base, "-m", "venv", venv], check=True)
            pip(venv, wanted, "install", "--no-compile")
            prune()
    (venv / STAMP).touch()
    return venv


def prune() -> None:
    """Remove virtual environments for other versions of the lock that no checkout asked for lately."""
    for stamp in cache().glob(f"venv-*/{STAMP}"):
        if stamp.stat().st_mtime < time.time() - KEEP_DAYS * 86400:
            shutil.rmtree(stamp.parent)


def known_files() -> set[str]:
    """Every file that git has or would add, by its path in the checkout."""
    command = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")[:-1]
    return {name for name in listed if os.path.lexists(CHECKOUT / name)}


def collection_root() -> Path:
    """The folder for ANSIBLE_COLLECTIONS_PATH: a symbolic link at the collection's path leads to this checkout."""
    root = cache() / f"collections-{digest(str(CHECKOUT))}"
    link = root / COLLECTION
    if not link.is_symlink() or link.resolve() != CHECKOUT:
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f"{link.name}.{os.getpid()}")
        fresh.symlink_to(CHECKOUT)
        fresh.replace(link)
    return root


def variables(venv: Path) -> dict[str, str]:
    """What a command needs in its process environment to find the tools and the collection, and nothing else's."""
    root = str(collection_root())
    return {
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(venv),
        "PYTHONPATH": root,
        "ANSIBLE_COLLECTIONS_PATH": root,
        "ANSIBLE_CORE": core(),
    }


def environ(say: Say = to_stderr) -> dict[str, str]:
    """The whole process environment for a command."""
    return {**os.environ, **variables(ensure(say))}


def main(command: list[str]) -> int:
    try:
        values = environ()
    except ToolError as error:
        to_stderr(f"environment: {error}")
        return 1
    if not command:
        print(values["VIRTUAL_ENV"])
        return 0
    os.execvpe(command[0], command, values)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
