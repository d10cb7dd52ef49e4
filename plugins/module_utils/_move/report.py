# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each pod that was to be moved: for machines a list, for people a table.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.errors import CheckpointError
from .._kube.api import Thing
from .passage import Wishes
from .plan import Plan

Item = dict[str, t.Any]

FROZEN_STEPS = {"moved": ("dump", "ticket", "replace"), "copied": ("dump", "resume")}
"""By outcome, the steps during which the source's containers are frozen: until they are told to end, see moving.py, or
run on, see copying.py."""

HEAD = ("POD", "FROM", "TO", "WAY", "FROZEN", "READY AFTER", "MOVED", "LOST")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclasses.dataclass
class One:
    """A pod that was chosen: its plan, or why there is none.

    ``outcome``: as it is returned. ``told``: what is known of its plan; ``result``: what the move of it gave.
    """

    pod: Thing
    plan: Plan | None = None
    error: CheckpointError | None = None
    outcome: str | None = None
    told: Item = dataclasses.field(default_factory=dict)
    result: Item = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """``namespace/pod``."""
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    @property
    def names(self) -> set[str]:
        """The same of it and of its replacement."""
        of_replacement = {f"{self.plan.namespace}/{self.plan.replacement}"} if self.plan else set()
        return {self.name} | of_replacement

    @property
    def is_changed(self) -> bool:
        """Whether something is not as it was; also where it failed when it could not be undone any more."""
        return self.outcome in FROZEN_STEPS or (self.error is not None and self.error.details.get("undone") is False)

    @property
    def order(self) -> tuple[str, str]:
        """By node, so that its agents can be kept, then by name."""
        return (str(self.pod["spec"].get("nodeName") or ""), self.name)


def told(plan: Plan, wishes: Wishes) -> Item:
    """What is known before it is moved."""
    return {
        "way": plan.way,
        "source": plan.node,
        "node": plan.target,
        "by_image": plan.images is not None,
        "frozen_limit": wishes.frozen if plan.images is None else None,
        "checks": [dataclasses.asdict(check) for check in plan.checks],
    }


def warnings(one: One) -> t.Iterator[str]:
    """What a person should know before it is moved."""
    for check in one.plan.checks if one.plan else ():
        if check.result == "warning":
            yield ". ".join(filter(None, (check.reason, check.hint)))


def result(ones: list[One], *, single: bool, check: bool) -> Item:
    """The result of the task, see the module's RETURN. ``single``: one pod was asked for by its name."""
    made: Item = {
        "changed": any(one.is_changed or (check and one.outcome is None) for one in ones),
        "moves": [_entry(one) for one in ones],
        "table": table(ones),
    }
    if single:
        one = ones[0]
        made.update({**one.told, **_measured(one), "outcome": one.outcome})
    failed = [one for one in ones if one.outcome == "failed" and one.error]
    if failed:
        error = t.cast("CheckpointError", failed[0].error)
        text = str(error) if single else f"{_counted(ones)}. The first that failed, {failed[0].name}: {error}"
        made.update(error.as_dict(), failed=True, msg=text)
    return made


def _counted(ones: list[One]) -> str:
    meant = [one for one in ones if one.outcome not in ("skipped", "there")]
    done = [one for one in meant if one.outcome in FROZEN_STEPS]
    return f"{len(done)} of {len(meant)} pods were {_verb(ones)}"


def _verb(ones: t.Iterable[One]) -> str:
    return "copied" if any(one.told.get("way") == "copy" for one in ones) else "moved"


def _measured(one: One) -> Item:
    """What the move gave, and what follows from it."""
    if not one.result:
        return {}
    seconds = one.result["seconds"]
    frozen = FROZEN_STEPS[str(one.outcome)]
    known = all(name in seconds for name in frozen)
    return {
        **one.result,
        "frozen_seconds": round(sum(seconds[name] for name in frozen), 3) if known else None,
        # Frozen from the dump on until it ends: nothing is done that is not in the images. Or it runs on.
        "lost_seconds": one.result.get("lost_seconds", 0.0),
    }


def _entry(one: One) -> Item:
    measured = _measured(one)
    names = ("seconds", "frozen_seconds", "down_seconds", "lost_seconds", "bytes", "verified")
    error = one.error.as_dict() if one.error else {}
    return {
        "namespace": one.pod["metadata"]["namespace"],
        "pod": one.pod["metadata"]["name"],
        "outcome": one.outcome,
        "replacement": measured.get("pod"),
        **{name: one.told.get(name) for name in ("way", "by_image", "source", "node")},
        **{name: measured.get(name) for name in names},
        "warnings": measured.get("warnings", []),
        **{name: error.get(name, "") for name in ("code", "reason", "hint", "message")},
        **{name: error.get(name) for name in ("undone", "state_file")},
    }


def table(ones: list[One]) -> list[str]:
    """A line for each pod, below a head; columns are as wide as what is in them."""
    rows = [HEAD, *(_row(one) for one in ones)]
    # What is said of a pod that was not moved comes last in its line and makes no column wide.
    widths = [max(len(row[column]) for row in rows if len(row) > column + 1) for column in range(len(HEAD) - 1)]
    return ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in rows]


def _row(one: One) -> tuple[str, ...]:
    measured = _measured(one)
    where = tuple(str(one.told.get(name) or "-") for name in ("source", "node"))
    if one.outcome not in FROZEN_STEPS:
        return (one.name, *where, _said(one))
    way = str(measured["way"])
    way += ", by image" if one.told.get("by_image") else ""
    lost = "?" if measured["lost_seconds"] is None else f"{measured['lost_seconds']:g} s"
    down = "-" if one.outcome == "copied" else _seconds(measured["down_seconds"])
    times = (_seconds(measured["frozen_seconds"]), down)
    return (one.name, *where, way, *times, _size(measured.get("bytes")), lost)


def _said(one: One) -> str:
    """Why it was not moved."""
    if one.outcome is None:
        return f"would be {_verb([one])}: {one.told['way']}"
    reason = one.error.reason if one.error else ""
    return {"there": "is there already"}.get(one.outcome, f"{one.outcome}: {reason}")


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f} s"


def _size(count: int | None) -> str:
    if count is None:
        return "?"
    size, unit = float(count), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{count} B"
