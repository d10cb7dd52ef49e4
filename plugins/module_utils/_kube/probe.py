# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this node in order, and can it checkpoint? Asked of the cluster, and of the kubelet itself.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import functools
import threading
import time
import typing as t

from .._common.deadline import Deadline
from . import auth, nodes
from .api import ApiSession, Thing, pod_path
from .failures import KubeError, duration, failure
from .kubelet import KubeletClient
from .own_pod import own_pod

INTERVAL = 0.5
DELETIONS = 5
# A pod of this name cannot be: a name must begin and end with a letter or digit.
IMPOSSIBLE_POD = "-"
CONTAINER = "probe"
# The pod ends by itself where nobody comes back to delete it.
LONGEST_LIFE = 600
# What a kubelet that is just coming up looks like.
COMING_UP = ("kubelet_unreachable", "connection_lost", "authorizer_unreachable", "apiserver_unreachable")
NEVER_RUNS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError")

Options = t.Mapping[str, t.Any]


def run(options: Options, *, check_mode: bool, stop: threading.Event) -> dict[str, t.Any]:
    """The result of M(checkpoint_probe) for its ``options``.

    Raises a failure of the table: ``node_not_found``, ``node_not_ready``, ``probe_pod_not_running``, and everything
    that asking a kubelet can end with. ``stop`` ends the waiting; the pod is deleted all the same.
    """
    return _Probe(options, stop).result(checkpoint=options["checkpoint"] and not check_mode)


def gate_of(client: KubeletClient, url: str) -> str:
    """``on`` or ``off``: whether the kubelet serves checkpoints, without taking one.

    A kubelet with the feature gate looks for the pod and does not find it; without the gate there is no such path
    (kubernetes 1.36.2, pkg/kubelet/server/server.go). Raises what else it answers.
    """
    try:
        client.checkpoint(url)
    except KubeError as refused:
        if refused.code == "pod_not_found":
            return "on"
        if refused.code == "feature_gate_off":
            return "off"
        raise
    raise failure("checkpoint_failed", reason="The kubelet claims to have checkpointed a pod that cannot exist")


class _Probe:
    def __init__(self, options: Options, stop: threading.Event) -> None:
        self._node_name = str(options["node"])
        self._namespace = str(options["namespace"])
        self._image = str(options["image"])
        self._wait = duration(options, "wait")
        self._stop = stop
        api = functools.lru_cache(maxsize=None)(lambda: auth.api_server(options))
        self._api = ApiSession(api())
        through_api = options["via"] == "apiserver"
        self._client = KubeletClient(
            api() if through_api else auth.kubelet_server(options, api),
            through_api=through_api,
            port=options.get("kubelet_port"),
            timeout=duration(options, "timeout"),
        )

    def result(self, *, checkpoint: bool) -> dict[str, t.Any]:
        node, gate = self._in_order()
        runtime, runtime_version = nodes.runtime(node)
        if checkpoint and gate == "off":
            raise failure("feature_gate_off")
        taken = self._checkpoint(node) if checkpoint else None
        return {
            "changed": taken is not None,
            "node": self._node_name,
            "ready": True,
            "gate": gate,
            "runtime": runtime,
            "runtime_version": runtime_version,
            "kubelet_version": nodes.variables(node)["k8s_node_kubelet_version"] or None,
            "checkpoint": taken,
        }

    def _in_order(self) -> tuple[Thing, str]:
        """The node, Ready, and its kubelet's feature gate; waits for both."""
        deadline = Deadline(self._wait)
        while True:
            try:
                node = self._api.node(self._node_name)
                if node is None:
                    raise failure("node_not_found", message=f'nodes "{self._node_name}" not found')
                if not nodes.is_ready(node):
                    raise failure("node_not_ready", message=_why_not_ready(node))
                return node, gate_of(self._client, self._url(node, (self._namespace, IMPOSSIBLE_POD, CONTAINER)))
            except KubeError as error:
                if error.code not in (*COMING_UP, "node_not_ready") or deadline.expired or self._stop.is_set():
                    raise
            self._stop.wait(INTERVAL)

    def _url(self, node: Thing, path: t.Sequence[str]) -> str:
        return self._client.url(self._node_name, nodes.address(node), nodes.kubelet_port(node), path)

    def _checkpoint(self, node: Thing) -> dict[str, t.Any]:
        """Checkpoint a container of a pod of our own; the pod is gone afterwards, whatever happens."""
        made = self._api.create(pod_path(self._namespace), pod(self._node_name, self._image))
        name = str(made["metadata"]["name"])
        try:
            self._running(name)
            began = time.monotonic()
            path = self._client.checkpoint(self._url(node, (self._namespace, name, CONTAINER)))
            seconds = round(time.monotonic() - began, 3)
            return {
                "namespace": self._namespace,
                "pod": name,
                "container": CONTAINER,
                "path": path,
                "duration": seconds,
            }
        finally:
            self._delete(pod_path(self._namespace, name))

    def _delete(self, path: str) -> None:
        """Delete the pod, more than once where that fails; it would end by itself, but stay as an object."""
        error = self._deletion(path)
        for _attempt in range(DELETIONS):
            if error is None:
                return
            time.sleep(INTERVAL)
            error = self._deletion(path)
        if error is not None:
            error.hint = f"Delete the pod {path.rpartition('/')[2]} of namespace {self._namespace} by hand"
            raise error

    def _deletion(self, path: str) -> KubeError | None:
        try:
            self._api.delete(path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        except KubeError as error:
            return error
        return None

    def _running(self, name: str) -> None:
        deadline = Deadline(self._wait)
        while True:
            found = self._api.pod(self._namespace, name) or {}
            status: Thing = (found.get("status", {}).get("containerStatuses") or [{}])[0]
            state = status.get("state", {})
            if "running" in state:
                return
            why = state.get("waiting", {}) or state.get("terminated", {})
            text = " ".join(str(part) for part in (why.get("reason"), why.get("message")) if part)
            hopeless = not found or "terminated" in state or why.get("reason") in NEVER_RUNS
            if hopeless or deadline.expired or self._stop.is_set():
                raise failure("probe_pod_not_running", message=text or str(found.get("status", {}).get("phase") or ""))
            self._stop.wait(INTERVAL)


def pod(node: str, image: str) -> Thing:
    """The pod of a probe: bound to the node."""
    containers = [{"name": CONTAINER, "image": image}]
    anywhere = [{"operator": "Exists"}]
    return own_pod("checkpoint-probe-", containers, LONGEST_LIFE, nodeName=node, tolerations=anywhere)


def _why_not_ready(node: Thing) -> str:
    conditions = node.get("status", {}).get("conditions") or []
    return "; ".join(str(entry.get("message") or "") for entry in conditions if entry.get("type") == "Ready")
