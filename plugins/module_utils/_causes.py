# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of checkpoints, told with what was found out about them on their nodes.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from ._kube.failures import PERHAPS_FROZEN

Item = dict[str, t.Any]

# What became of the container: by the verdict of checkpoint_guard, and whether it could thaw.
WORKLOADS = {
    "runs": "the container runs",
    "thawed": "the container had been left frozen and runs again",
    "frozen": "the container is frozen and could not be thawed",
    "under_way": "the checkpoint is still under way, and the container may be frozen until it ends",
}


def explained(failures: t.Iterable[Item], looks: t.Iterable[Item]) -> list[Item]:
    """The failures, each with ``workload`` and ``cause``, and with a reason and hint that say what is known now.

    ``looks``: results of checkpoint_guard and checkpoint_diagnose that were run for one failure each, with that failure
    as ``item``. ``workload``: a key of ``WORKLOADS``, None where nobody looked. ``cause``: ``code``, ``log`` and
    ``errors`` of the diagnosis, or None.
    """
    found: dict[tuple[t.Any, ...], Item] = {}
    for look in looks:
        if isinstance(look.get("item"), dict):
            found.setdefault(_who(look["item"]), {}).update(
                {key: look[key] for key in ("containers", "diagnoses") if isinstance(look.get(key), list)}
            )
    return [_explained(failure, found.get(_who(failure), {})) for failure in failures]


def _explained(failure: Item, look: Item) -> Item:
    workload = _workload(look["containers"]) if "containers" in look else None
    of_checkpoints = [one for one in look.get("diagnoses") or [] if one.get("operation") == "checkpoint"]
    cause = of_checkpoints[-1] if of_checkpoints else None
    told = {**failure, "workload": workload, "cause": None}
    reason = str(failure["reason"]).replace(PERHAPS_FROZEN, "")
    if workload is not None and (workload != "runs" or reason != failure["reason"]):
        told["reason"] = f"{reason}; {WORKLOADS[workload]}"
        told["hint"] = "Give a larger timeout" if failure["code"] == "deadline_exceeded" else failure["hint"]
    if cause is not None:
        told["cause"] = {key: cause.get(key) for key in ("code", "log", "errors")}
        told["reason"] += f". {str(cause['reason']).replace(PERHAPS_FROZEN, '')}"
        told["hint"] = cause["hint"]
    return told


def _workload(containers: t.Sequence[Item]) -> str:
    """The worst that is true of the containers that the guard found; it does not list those that simply run."""
    if any(one["verdict"] == "under_way" for one in containers):
        return "under_way"
    if any(not one["thawed"] for one in containers):
        return "frozen"
    return "thawed" if containers else "runs"


def _who(failure: Item) -> tuple[t.Any, ...]:
    return tuple(failure.get(key) for key in ("node", "namespace", "pod", "container"))
