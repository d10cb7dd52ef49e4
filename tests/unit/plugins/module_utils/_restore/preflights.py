# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that could restore everything, to be changed in one point by each test, and what the preflight says there."""

from __future__ import annotations

import copy
import pathlib
import shutil
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight import (
    check_all,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight_base import (
    Node,
    Wanted,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    OLDER,
    REAL,
)

FLAGS = ("fpu", "fxsr", "xsave", "avx", "avx2", "avx512f", "mpx", "pku", "amx_tile")
FACTS: dict[str, t.Any] = {
    "machine": {
        "kernel": "6.18.44",
        "kernel_options": {"CONFIG_CHECKPOINT_RESTORE": "y"},
        "architecture": "x86_64",
        "cgroup": "hybrid",
        "gpu": {"nvidia": [], "amd": []},
    },
    "criu": {"path": "/usr/sbin/criu", "version": "4.2.1", "check": {"ok": True, "message": ""}, "plugins": []},
    "runtime": {
        "name": "containerd",
        "version": "2.1.9",
        "running": True,
        "restart_needed": False,
        "handlers": [
            {"name": "runc", "default": True, "path": "/usr/sbin/runc", "kind": "runc", "criu": None},
            {"name": "checkpoint-restore", "default": False, "path": "/opt/front", "kind": "runc", "criu": None},
        ],
        "checkpoint": {"kind": "always", "on": True},
        "restore_by_image": {"kind": "always", "on": True},
        "advisories": [],
    },
    "disks": {"storage": {"path": "/var/lib/containerd", "free": 1 << 40}},
}
Checks = dict[str, dict[str, t.Any]]


def node(*, facts: t.Optional[dict[str, dict[str, t.Any]]] = None, **more: t.Any) -> Node:
    """The node, with some of its facts replaced: {"criu": {"version": "4.1.1"}}."""
    mine = copy.deepcopy(FACTS)
    for part, changed in (facts or {}).items():
        mine[part].update(changed)
    given = {
        "flags": FLAGS,
        "vendor": "AuthenticAMD",
        "memory": 1 << 40,
        "room": {"path": "/var/lib/checkpoint-restore", "free": 1 << 40},
        **more,
    }
    return Node(mine, **given)


def archive(name: str, folder: pathlib.Path) -> pathlib.Path:
    """A recorded archive as a file that is its owner's alone."""
    path = folder / f"{name}.tar"
    shutil.copy(FIXTURES / {**REAL, **OLDER}[name], path)
    path.chmod(0o600)
    return path


def pod(name: str = "ledger", **spec: t.Any) -> dict[str, t.Any]:
    """A pod document with one container; ``container``: more of its keys."""
    container = {"name": name, **spec.pop("container", {})}
    return {"kind": "Pod", "spec": {"containers": [container], **spec}}


def wanted(**given: t.Any) -> Wanted:
    return Wanted(
        **{
            "method": "runtime",
            "handler": "checkpoint-restore",
            "definition": {},
            "security": "refuse",
            "accept": (),
            **given,
        }
    )


def checks(path: pathlib.Path, here: t.Optional[Node] = None, **given: t.Any) -> Checks:
    """What every check says of an archive, by name."""
    found = check_all([str(path)], wanted(**given), here or node()).checks
    assert len({check["name"] for check in found}) == len(found)
    return {check["name"]: check for check in found}


def result(found: Checks, name: str) -> str:
    return str(found[name]["result"])
