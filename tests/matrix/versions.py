# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of CRI-O and containerd that the matrix runs, compiled from their Go modules like the laboratory's own.

One directory of ``parts`` per version. What the laboratory runs anyway is taken from there.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import typing as t

LAB = pathlib.Path(__file__).resolve().parents[1] / "lab"
sys.path.insert(0, str(LAB))
# ruff: noqa: E402
from labkit import golang
from labkit.cache import Cache

PINS = pathlib.Path(__file__).resolve().parent / "parts"
STOCK = {"cri-o": golang.CRIO, "containerd": golang.CONTAINERD}
PROGRAMS = {"cri-o": ("crio",), "containerd": ("containerd", "containerd-shim-runc-v2", "ctr")}


@dataclasses.dataclass(frozen=True)
class Pinned(golang.Family):
    """A family whose go.mod lies here."""

    pins: str = ""

    @property
    def directory(self) -> pathlib.Path:
        return PINS / self.pins


def names() -> list[tuple[str, str]]:
    """Runtime and version of everything in the matrix, by version."""
    pinned = {(name, family.version) for name, family in STOCK.items()}
    for directory in PINS.iterdir():
        runtime, _dash, version = directory.name.rpartition("-")
        pinned.add(({"crio": "cri-o"}.get(runtime, runtime), version))
    return sorted(pinned, key=lambda pair: (pair[0], [int(number) for number in pair[1].split(".")]))


def family(name: str, version: str) -> golang.Family:
    stock = STOCK[name]
    if version == stock.version:
        return stock
    given = {field.name: getattr(stock, field.name) for field in dataclasses.fields(stock)}
    if name == "containerd" and version.startswith("1."):
        # Before 2.0 the module's path had no version in it.
        module = stock.module.removesuffix("/v2")
        given.update(module=module, stamps={f"{module}/version.Version": "v{version}"})
    return Pinned(**given, pins=f"{stock.name}-{version}")


def programs(name: str, version: str, say: t.Callable[[str], None]) -> list[pathlib.Path]:
    """The programs of a version, compiled where the cache lacks them."""
    cache = Cache()
    recipe = golang.recipe(family(name, version), cache)
    if not cache.has(recipe):
        say(recipe.title)
        cache.build(recipe, say)
    cache.touch(recipe)
    return [cache.tree(recipe) / program for program in PROGRAMS[name]]


if __name__ == "__main__":
    for pair in names():
        print(*pair, *programs(*pair, lambda text: print(text, flush=True)))
