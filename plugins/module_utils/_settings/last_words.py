# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of a component's log that says why it ended.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import re

TELLING = re.compile(r"level=fatal|level=\w+ msg=\"failed to load plugin|command failed|panic:|^containerd: |^criu: ")
"""How CRI-O 1.36.3, containerd 2.1.9, the kubelet 1.36.2, the Go runtime, containerd and CRIU 4.2.1 mark it."""

LONGEST = 1000


def last_words(log: str) -> str:
    """The last such line without its time and place in the code; the last line of all where there is none."""
    lines = [line.strip() for line in log.split("\n") if line.strip()]
    telling = [line for line in lines if TELLING.search(line)]
    words = (telling or lines or [""])[-1]
    values = dict(re.findall(r'\b(msg|err|error)="((?:[^"\\]|\\.)*)"', words))
    quoted = values.get("error") or values.get("err") or values.get("msg")
    return (re.sub(r"\\(.)", r"\1", quoted) if quoted else words)[:LONGEST]
