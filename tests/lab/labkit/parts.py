# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything the laboratory is made of, built once and found again.

``ensure`` is all that others call: it makes what is missing and says where everything is.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
import time
import typing as t

from . import debian, golang, machine, programs
from .cache import Cache, Recipe
from .run import Say

__all__ = ["Parts", "Say", "digest_of", "ensure", "ensure_python39"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """Where the parts are: absolute paths into the cache. Nothing there may be changed."""

    kubernetes: pathlib.Path
    """Directory: kubelet, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl."""
    crio: pathlib.Path
    pinns: pathlib.Path
    containerd: pathlib.Path
    """Directory: containerd, containerd-shim-runc-v2, ctr."""
    crictl: pathlib.Path
    infra: pathlib.Path
    """Directory: etcd, docker-registry."""
    root: pathlib.Path
    """The nodes' root: Debian with systemd and without criu, mirror, host keys and identity."""
    debs: pathlib.Path
    """A flat repository for apt, with criu."""
    nolimit: pathlib.Path
    """The library for /etc/ld.so.preload of nodes on a machine without CAP_SYS_RESOURCE."""
    workloads: pathlib.Path
    """Directory: pause, counter, ledger, hog, chatty; static."""
    versions: dict[str, str]
    """What is in the parts, by name of the program or the Debian package."""


def ensure(say: Say) -> Parts:
    """Build what isn't in the cache yet, and return where everything is.

    Takes about seven minutes on two cores the first time and well under a second from then on. Raises LabError, one
    line for the reader, where something the building needs isn't there: root, packages, room on the disk, network.
    """
    machine.ensure_packages(say)
    cache = Cache()
    programs_recipe, root, infra = programs.recipe(), debian.root_recipe(), debian.infra_recipe()
    criu = debian.criu_recipe(cache, root)
    families = {family.name: golang.recipe(family, cache) for family in golang.FAMILIES}
    # What fails quickly comes first.
    recipes = [programs_recipe, root, infra, criu, *families.values()]
    _build_missing(cache, recipes, say)

    versions: dict[str, str] = {}
    for recipe in recipes:
        cache.touch(recipe)
        versions.update(cache.versions(recipe))
    own = cache.tree(programs_recipe)
    old_criu = not debian.criu_is_new_enough(versions["criu"])
    return Parts(
        kubernetes=cache.tree(families["kubernetes"]),
        crio=cache.tree(families["crio"]) / "crio",
        pinns=cache.tree(families["crio"]) / "pinns",
        containerd=cache.tree(families["containerd"]),
        crictl=cache.tree(families["cri-tools"]) / "crictl",
        infra=cache.tree(infra) / "usr" / "bin",
        root=cache.tree(root),
        debs=cache.tree(criu),
        nolimit=own / ("nolimit-old-criu.so" if old_criu else "nolimit.so"),
        workloads=own / "workloads",
        versions=versions,
    )


def ensure_python39(say: Say) -> pathlib.Path:
    """A Python 3.9, the oldest that node-side code has to run on; for tests."""
    machine.ensure_packages(say)
    cache, recipe = Cache(), debian.python39_recipe()
    _build_missing(cache, [recipe], say)
    cache.touch(recipe)
    return cache.tree(recipe) / "usr" / "bin" / "python3.9"


def _build_missing(cache: Cache, recipes: t.Sequence[Recipe], say: Say) -> None:
    missing = [recipe for recipe in recipes if not cache.has(recipe)]
    if not missing:
        return
    cache.require_room(missing)
    for number, recipe in enumerate(missing, 1):
        step = f"[{number}/{len(missing)}]"
        say(f"{step} {recipe.title}")
        started = time.monotonic()
        cache.build(recipe, functools.partial(_say_step, say, step))
        say(f"{step} {recipe.name}: done in {time.monotonic() - started:.0f} s")


def _say_step(say: Say, step: str, text: str) -> None:
    say(f"{step} {text}")


def digest_of(paths: t.Iterable[pathlib.Path]) -> str:
    """Over names and contents of files."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]
