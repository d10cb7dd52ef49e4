# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be changed on many nodes, told so that a person reads it in one go: nodes with the same plan together.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

Plan = t.Mapping[str, t.Any]


def plan_lines(plans: t.Sequence[Plan]) -> list[str]:
    """Lines for a person, of plans ``{node, changes: [{component, path, action, what}], restart: [unit], reasons}``.

    ``reasons`` say why the node cannot checkpoint now; without any it can.
    """
    together: dict[tuple[str, ...], list[str]] = {}
    for plan in plans:
        together.setdefault(tuple(_one(plan)), []).append(str(plan["node"]))
    # Most to do first, then by name: the same plans always give the same text.
    lines = []
    for steps, names in sorted(together.items(), key=lambda item: (-len(item[0]), sorted(item[1]))):
        lines.append(f"{', '.join(sorted(names))}:")
        lines += [f"  {step}" for step in steps]
    return lines


def _one(plan: Plan) -> t.Iterator[str]:
    for reason in plan.get("reasons") or []:
        yield f"cannot checkpoint now: {reason}"
    changes = plan.get("changes") or []
    for change in changes:
        where = f" {change['path']}" if change.get("path") else ""
        yield f"{change['component']}: {change['action']}{where}: {change['what']}"
    restart = plan.get("restart") or []
    if restart:
        yield f"restart {', '.join(restart)}; running containers go on"
    if not changes and not restart:
        yield "nothing to change"
