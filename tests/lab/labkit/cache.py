# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that are built once and kept outside the checkout.

A part lives in ``<cache>/parts/<name>-<digest>``: the directory ``tree`` with what was built, and ``versions.json``.
The digest is over everything that the part is made from, so another pin is another directory. A part appears under its
name by a rename after everything in it is on the disk: what an interrupted build leaves is never taken for a part.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import time
import typing as t

from .errors import LabError
from .run import Say

# Another checkout may use another digest of a part: that one is kept until nobody has asked for it for so long.
KEEP_DAYS = 7


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one part is made.

    ``inputs`` (plain data) and the contents of ``files`` are what goes in: they make the digest. ``build`` fills an
    empty directory and returns the versions of what it put there. ``megabytes`` is the room that building it takes.
    """

    name: str
    title: str
    inputs: t.Mapping[str, t.Any]
    build: t.Callable[[pathlib.Path, Say], dict[str, str]]
    files: tuple[pathlib.Path, ...] = ()
    megabytes: int = 10

    @property
    def digest(self) -> str:
        whole = hashlib.sha256(json.dumps([self.name, platform.machine(), self.inputs], sort_keys=True).encode())
        for path in self.files:
            whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()[:16]


class Cache:
    """The directory that holds the parts."""

    def __init__(self, directory: t.Optional[pathlib.Path] = None) -> None:
        """``directory`` is ``$XDG_CACHE_HOME/checkpoint-restore-lab`` where it isn't given."""
        if directory is None:
            home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
            directory = pathlib.Path(home) / "checkpoint-restore-lab"
        self.directory = directory.absolute() / "parts"

    def _path(self, recipe: Recipe) -> pathlib.Path:
        return self.directory / f"{recipe.name}-{recipe.digest}"

    def tree(self, recipe: Recipe) -> pathlib.Path:
        """Where the part is, or will be."""
        return self._path(recipe) / "tree"

    def has(self, recipe: Recipe) -> bool:
        return self._path(recipe).is_dir()

    def versions(self, recipe: Recipe) -> dict[str, str]:
        return t.cast("dict[str, str]", json.loads((self._path(recipe) / "versions.json").read_text()))

    def touch(self, recipe: Recipe) -> None:
        """Remember that the part was asked for now."""
        os.utime(self._path(recipe))

    def build(self, recipe: Recipe, say: Say) -> None:
        """Make the part unless it is there. Two runs at the same time make it once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._lock(recipe.name, say):
            if self.has(recipe):
                return
            for remains in self.directory.glob(f".building-{recipe.name}-*"):
                _remove(remains)
            # A new name each time: a program that outlived a killed run may still write to the old one.
            room = self.directory / f".building-{recipe.name}-{time.time_ns()}"
            try:
                (room / "tree").mkdir(parents=True)
                versions = recipe.build(room / "tree", say)
                (room / "versions.json").write_text(json.dumps(versions, indent=1, sort_keys=True) + "\n")
                # A power cut after the rename must not leave empty files under the part's name.
                os.sync()
                room.rename(self._path(recipe))
            finally:
                _remove(room)
            self._prune(recipe)

    @contextlib.contextmanager
    def _lock(self, name: str, say: Say) -> t.Iterator[None]:
        with open(self.directory / f".lock-{name}", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another run that builds {name}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prune(self, recipe: Recipe) -> None:
        """Remove the part's other digests that nobody asked for lately and no process uses."""
        others = re.compile(re.escape(recipe.name) + r"-[0-9a-f]{16}")
        for path in self.directory.iterdir():
            if path == self._path(recipe) or not others.fullmatch(path.name):
                continue
            if path.stat().st_mtime < time.time() - KEEP_DAYS * 86400 and not _in_use(path):
                _remove(path)

    def require_room(self, missing: t.Sequence[Recipe]) -> None:
        """Raise LabError where the disk is too small for what is still to be built."""
        needed = sum(recipe.megabytes for recipe in missing)
        place = self.directory
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free >> 20
        if free < needed:
            names = ", ".join(recipe.name for recipe in missing)
            raise LabError(f"Building {names} takes about {needed} MB of disk; {place} has {free} MB free.")


def _in_use(path: pathlib.Path) -> bool:
    """Whether a process runs a program from there or has something mounted from there."""
    wanted = os.fsencode(path) + b"/"
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in os.fsencode(os.readlink(process / "exe")) or wanted in (process / "mountinfo").read_bytes():
                return True
    return False


def _remove(path: pathlib.Path) -> None:
    """Remove a directory of the cache, but nothing that is mounted in it.

    A program that outlived a killed run may still be writing there: the next build removes what is left.
    """
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], stderr=subprocess.DEVNULL, check=False)
