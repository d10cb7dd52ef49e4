# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RuntimeClass of the restore runtime: what a pod names, and which nodes have the handler.

Source: kubernetes 1.36, node.k8s.io/v1 (staging/src/k8s.io/api/node/v1/types.go): the handler cannot be changed.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .access_objects import MANAGER, MANAGER_LABEL, is_ours
from .api import ApiSession, Thing
from .auth import api_server

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
ENDED = ("Succeeded", "Failed")
SHOWN = 5


def run(params: t.Mapping[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Bring the RuntimeClass into the state that is asked for. Raises CheckpointError.

    Codes of its own: ``in_use`` while pods of the class run, ``not_ours`` for one that somebody else made.
    """
    session = ApiSession(api_server(params))
    name = params["name"]
    path = f"{CLASSES}/{name}"
    before = session.get(path)
    if before is not None and not is_ours(before):
        raise CheckpointError(
            "not_ours",
            f"There is a RuntimeClass {name} that this collection did not make",
            hint="Choose another name, or delete it",
        )
    after = _wanted(params) if params["state"] == "present" else None
    changed = _compared(before) != _compared(after)
    if changed and before is not None and (after is None or after["handler"] != before["handler"]):
        _require_unused(session, name)
    if changed and not check_mode:
        _apply(session, path, before, after)
    return {"changed": changed, "diff": {"before": _compared(before), "after": _compared(after)}}


def _wanted(params: t.Mapping[str, t.Any]) -> Thing:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": params["name"], "labels": {MANAGER_LABEL: MANAGER}},
        "handler": params["handler"] or params["name"],
        "scheduling": {"nodeSelector": params["node_selector"]},
    }


def _compared(thing: t.Optional[Thing]) -> Thing:
    if thing is None:
        return {}
    selector = (thing.get("scheduling") or {}).get("nodeSelector") or {}
    return {"name": thing["metadata"]["name"], "handler": thing["handler"], "node_selector": selector}


def _require_unused(session: ApiSession, name: str) -> None:
    pods = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in session.pods(None)
        if pod["spec"].get("runtimeClassName") == name and pod.get("status", {}).get("phase") not in ENDED
    ]
    if pods:
        shown = ", ".join(pods[:SHOWN]) + (" and more" if len(pods) > SHOWN else "")
        raise CheckpointError(
            "in_use",
            f"Pods of the RuntimeClass {name} are there: {shown}",
            hint="Delete them first, or move them to another class",
            pods=pods,
        )


def _apply(session: ApiSession, path: str, before: t.Optional[Thing], after: t.Optional[Thing]) -> None:
    if before is not None and (after is None or after["handler"] != before["handler"]):
        uid = {"preconditions": {"uid": before["metadata"]["uid"]}}
        session.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", **uid})
        before = None
    if after is None:
        return
    if before is None:
        session.create(CLASSES, after)
    else:
        session.replace(path, {**before, "scheduling": {**(before.get("scheduling") or {}), **after["scheduling"]}})
