# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own small C programs: the workloads, and the library that nodes without CAP_SYS_RESOURCE preload."""

from __future__ import annotations

import pathlib

from .cache import Recipe
from .run import Say, run

SOURCES = pathlib.Path(__file__).resolve().parent.parent
WORKLOADS = ("pause", "counter", "ledger", "hog", "chatty")

COMPILE = ("gcc", "-O2", "-Wall", "-Wextra", "-Werror")
STATIC = ("-static", "-pthread")
# By the name of the library: the second is for a criu that the first alone doesn't help.
LIBRARIES = {"nolimit.so": (), "nolimit-old-criu.so": ("-DCRIU_BEFORE_4_2",)}


def workload_source(name: str) -> pathlib.Path:
    return SOURCES / "workloads" / f"{name}.c"


def recipe() -> Recipe:
    library = SOURCES / "nolimit.c"

    def build(tree: pathlib.Path, _say: Say) -> dict[str, str]:
        (tree / "workloads").mkdir()
        for name in WORKLOADS:
            run([*COMPILE, *STATIC, "-o", tree / "workloads" / name, workload_source(name)])
        for name, flags in LIBRARIES.items():
            run([*COMPILE, "-shared", "-fPIC", *flags, "-o", tree / name, library])
        return {}

    inputs = {"compile": COMPILE, "static": STATIC, "libraries": LIBRARIES}
    files = (library, *(workload_source(name) for name in WORKLOADS))
    return Recipe("programs", "workloads: compiling the lab's own programs", inputs, build, files)
