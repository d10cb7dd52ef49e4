# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore gives back.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .api import Thing


@dataclasses.dataclass
class Outcome:
    """What was done, or in check mode would be: results for a module, and the objects before and after."""

    result: dict[str, t.Any]
    before: list[Thing] = dataclasses.field(default_factory=list)
    after: list[Thing] = dataclasses.field(default_factory=list)


def described(pod: Thing, namespace: str, node: str | None) -> dict[str, t.Any]:
    """The pod's place in results; what is not known is ``None``."""
    metadata = pod.get("metadata") or {}
    where = (pod.get("spec") or {}).get("nodeName") or node
    return {"namespace": namespace, "name": metadata.get("name"), "uid": metadata.get("uid"), "node": where}
