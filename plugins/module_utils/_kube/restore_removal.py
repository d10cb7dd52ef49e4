# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored pod taken away again.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import threading
import typing as t

from .._common.deadline import Deadline
from .._common.durations import parse_duration
from .._common.errors import CheckpointError
from . import sandbox
from .api import ApiSession, Thing, pod_path
from .auth import api_server
from .failures import KubeError
from .restore_outcome import Outcome, described
from .restore_request import ANNOTATION, namespace_of
from .restore_wait import INTERVAL

Options = t.Mapping[str, t.Any]


class Removal:
    """The removal of a restored pod, and of what an isolated restore made around it."""

    def __init__(self, options: Options, stop: threading.Event) -> None:
        if not options["pod"]:
            raise CheckpointError(
                "invalid_option", "Which pod is to be removed is not said", hint="Give pod and namespace"
            )
        self._name = str(options["pod"])
        self._namespace = namespace_of(options, self._name)
        self._session = ApiSession(api_server(options))
        self._sandbox = sandbox.Sandbox(self._session, self._namespace) if options["isolated"] else None
        self._deadline = Deadline(parse_duration(options["timeout"], "timeout")) if options["wait"] else None
        self._stop = stop

    def run(self, check_mode: bool) -> Outcome:
        """Remove it, or in check mode tell what would be. Raises CheckpointError ``not_ours``."""
        pod = self._session.pod(self._namespace, self._name)
        if pod is not None and ANNOTATION not in (pod["metadata"].get("annotations") or {}):
            raise CheckpointError(
                "not_ours",
                f"The pod {self._namespace}/{self._name} was not restored by this collection",
                hint="Check namespace and pod; delete it by other means if it is the right one",
            )
        surroundings = self._sandbox.removable(self._name) if self._sandbox else []
        changed = pod is not None or bool(surroundings)
        if changed and not check_mode:
            self._remove(pod)
        before = [{"pod": f"{self._namespace}/{self._name}"}] if pod else []
        before += [{"object": path} for path in surroundings]
        result = {"changed": changed, "pod": described(pod or {}, self._namespace, None), "definition": {}}
        return Outcome({**result, "tickets": [], "containers": [], "checks": []}, before=before)

    def _remove(self, pod: Thing | None) -> None:
        if pod is not None:
            # The namespace of an isolated pod goes after it: it has to be gone by then.
            deadline = self._deadline or (Deadline(None) if self._sandbox else None)
            delete(self._session, pod, deadline, self._stop)
        if self._sandbox is not None:
            self._sandbox.remove(self._deadline, lambda: self._stop.wait(INTERVAL))


def delete(
    session: ApiSession, pod: Thing, deadline: Deadline | None, stop: threading.Event, grace: int | None = None
) -> None:
    """Delete exactly this pod, and wait until it is gone where there is a deadline.

    Raises CheckpointError ``removal_timeout`` if it is not by then.
    """
    metadata = pod["metadata"]
    path = pod_path(metadata["namespace"], metadata["name"])
    options: Thing = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": metadata["uid"]}}
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    try:
        session.delete(path, options)
    except KubeError as error:
        # By now there is another pod of that name.
        if error.details.get("http_status") != 409:
            raise
    while deadline is not None:
        found = session.pod(metadata["namespace"], metadata["name"])
        if found is None or found["metadata"]["uid"] != metadata["uid"]:
            return
        if deadline.expired or stop.is_set():
            reason = f"The pod {metadata['namespace']}/{metadata['name']} is deleted, but not gone yet"
            raise CheckpointError("removal_timeout", reason, hint="Look at the kubelet of its node")
        stop.wait(INTERVAL)
