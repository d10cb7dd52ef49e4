# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd's own client, which comes with it.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import typing as t

from .programs import NOT_FOUND, run

PROGRAMS = (("ctr",), ("k3s", "ctr"))
SECONDS = 30


class Told(t.NamedTuple):
    """What it wrote, and what went wrong, empty if nothing did."""

    stdout: str
    problem: str


def ctr(address: t.Optional[str], *arguments: str) -> Told:
    """Ask containerd at this socket about what belongs to Kubernetes."""
    for program in PROGRAMS:
        done = run([*program, *(("--address", address) if address else ()), "-n", "k8s.io", *arguments], SECONDS)
        if done.returncode != NOT_FOUND:
            return Told(done.stdout, (done.stderr or str(done.returncode)).strip() if done.returncode else "")
    return Told("", "There is no program ctr")
