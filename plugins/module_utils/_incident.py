# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One incident from its opening to its end: what is selected in the cluster, and what is written into its folder.

Private to this collection. Each function takes the folder, the options of ``checkpoint_evidence`` and whether it is
check mode, in which nothing is written, and returns that module's results.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from ._common.errors import CheckpointError
from ._evidence import Incident
from ._kube import auth
from ._kube.api import ApiSession
from ._kube.failures import KubeError, failure
from ._kube.targets import Missed, Query, select

Options = t.Mapping[str, t.Any]


def open_incident(folder: str, options: Options, check_mode: bool) -> dict[str, t.Any]:
    """Select, then keep the objects of the pods that have still to be checkpointed."""
    now = time.time()
    found = Incident.find(folder)
    incident = found or Incident.new(folder)
    session = ApiSession(auth.api_server(options))
    selection = {option: options[option] for option in ("namespace", "label_selectors", "field_selectors")}
    query = Query(**selection, pods=options["pod"], nodes=options["node"], containers=options["container"])
    targets, missed, warnings = select(session, query, need_address=False)
    if not targets and found is None:
        raise _nothing_to_collect(missed)
    wanted = [target for target in targets if incident.lacks(target.identity())]
    pods = sorted({str(target.pod) for target in wanted})
    if not check_mode:
        facts = {
            "ansible_version": options["ansible_version"],
            "collection_version": options["collection_version"],
            "api_server": session.server.url,
            "selection": {**selection, **{option: options[option] for option in ("pod", "node", "container")}},
        }
        incident.begin_run(now, facts, [{**miss.target.identity(), **miss.failure.as_dict()} for miss in missed])
        incident.save()
        objects = [session.pod(options["namespace"], pod) for pod in pods]
        incident.keep_objects(now, [pod for pod in objects if pod], _nodes_of(session, wanted))
        incident.save()
    return {"changed": found is None or bool(pods), "pods": pods, "warnings": warnings}


def record(folder: str, options: Options, check_mode: bool) -> dict[str, t.Any]:
    """Note what lies on the nodes, and tell what has to be fetched."""
    if check_mode:
        found = Incident.find(folder)
        return {"changed": bool(options["checkpoints"]), "nodes": found.awaited() if found else []}
    incident = Incident.existing(folder)
    before = len(incident.archives)
    incident.add_checkpoints(options["checkpoints"], options["failures"])
    incident.save()
    return {"changed": len(incident.archives) > before, "nodes": incident.awaited()}


def close(folder: str, options: Options, check_mode: bool) -> dict[str, t.Any]:
    """Verify, and finish the manifest."""
    if check_mode:
        return {"changed": True, "complete": True, "summary": ["Check mode: nothing was collected or written"]}
    incident = Incident.existing(folder)
    incident.explain(options["failures"])
    incident.add_transfers(options["transfers"])
    incident.verify()
    incident.end_run(time.time())
    incident.save()
    return {"changed": True, "complete": incident.complete, "summary": incident.summary()}


def _nothing_to_collect(missed: t.Sequence[Missed]) -> CheckpointError:
    """Why, with the names that were asked for."""
    if not missed:
        return failure("no_match", hint="Check namespace, names and selectors")
    first = missed[0].failure
    alike = [miss.target for miss in missed if miss.failure.code == first.code]
    names = ["/".join(filter(None, (target.namespace, target.pod, target.container))) for target in alike]
    return failure(first.code, reason=f"{first.reason}: {', '.join(filter(None, names))}", message=first.message)


def _nodes_of(session: ApiSession, targets: t.Iterable[t.Any]) -> dict[str, t.Any]:
    """The nodes' objects, or as many of them as may be read: what they tell is good to know, not needed."""
    nodes = {}
    with contextlib.suppress(KubeError):
        for name in sorted({str(target.node) for target in targets}):
            nodes[name] = session.node(name) or {}
    return nodes
