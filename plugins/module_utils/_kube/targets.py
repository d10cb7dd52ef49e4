# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a user selects to the containers that are meant.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import fnmatch
import typing as t

from . import nodes
from .api import ApiSession, Thing
from .failures import KubeError, failure


@dataclasses.dataclass(frozen=True)
class Target:
    """One container. What is not known, for example of explicit targets, is ``None``."""

    node: str | None = None
    node_address: str | None = None
    namespace: str | None = None
    pod: str | None = None
    pod_uid: str | None = None
    container: str | None = None
    container_id: str | None = None
    image: str | None = None
    image_id: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    kubelet_port: int | None = None

    @property
    def order(self) -> tuple[str, ...]:
        """Sorts results: node, namespace, pod, container."""
        return tuple(part or "" for part in (self.node, self.namespace, self.pod, self.container))

    @property
    def name(self) -> str:
        """``namespace/pod/container`` for a person."""
        return "/".join(part or "?" for part in (self.namespace, self.pod, self.container))

    def identity(self) -> dict[str, t.Any]:
        """The part of a result that says which container."""
        fields = dataclasses.asdict(self)
        del fields["kubelet_port"]
        return fields


@dataclasses.dataclass(frozen=True)
class Missed:
    """Something that was named and is not there, or cannot be checkpointed."""

    target: Target
    failure: KubeError


@dataclasses.dataclass(frozen=True)
class Query:
    """What is asked for. ``containers`` are names or patterns; ``labels`` the pod labels wanted in results."""

    namespace: str | None = None
    pods: t.Sequence[str] = ()
    label_selectors: t.Sequence[str] = ()
    field_selectors: t.Sequence[str] = ()
    nodes: t.Sequence[str] = ()
    containers: t.Sequence[str] = ()
    labels: t.Sequence[str] = ()

    @property
    def filtered(self) -> bool:
        """Whether a pod that was named may be left out on purpose."""
        return bool(self.label_selectors or self.field_selectors or self.nodes)


def explicit(entries: t.Sequence[t.Mapping[str, str]], *, through_api: bool) -> list[Target]:
    """Targets that a user wrote down. Without an API server ``node`` is an address or a name that resolves."""
    return sorted(
        (
            Target(
                node=entry["node"],
                node_address=None if through_api else entry["node"],
                namespace=entry["namespace"],
                pod=entry["pod"],
                container=entry["container"],
            )
            for entry in entries
        ),
        key=lambda target: target.order,
    )


def select(session: ApiSession, query: Query, *, need_address: bool) -> tuple[list[Target], list[Missed], list[str]]:
    """The running containers that ``query`` means, what was named and missed, and warnings, each sorted.

    A pod or container that was named exactly and is not there, or does not run, is missed. What only a selector or a
    pattern would have matched is left out in silence: a finished container must not fail a nightly job. Init and
    ephemeral containers take part only when named exactly.
    """
    pods, missed = _pods(session, query)
    chosen: list[tuple[Thing, Thing, Thing]] = []
    for pod in pods:
        of_pod, missed_of_pod = _containers(pod, query)
        chosen += [(pod, spec, status) for spec, status in of_pod]
        missed += missed_of_pod
    missed += _never_seen(pods, query)
    of_name, warnings = _nodes(session, {str(pod["spec"]["nodeName"]) for pod, _spec, _status in chosen})
    targets = []
    for pod, spec, status in chosen:
        target = _target(pod, spec, status, of_name.get(pod["spec"]["nodeName"]), query.labels)
        if target.node_address or not need_address:
            targets.append(target)
        else:
            missed.append(Missed(target, failure("node_address_unknown")))
    targets.sort(key=lambda target: target.order)
    missed.sort(key=lambda miss: miss.target.order)
    return targets, missed, warnings


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _pods(session: ApiSession, query: Query) -> tuple[list[Thing], list[Missed]]:
    """The pods that ``query`` means, and the nodes and pods that were named and are not there."""
    missed: list[Missed] = []
    if query.pods and query.namespace is not None and not query.filtered:
        # One by one, which needs only the right to get pods.
        found = [session.pod(query.namespace, name) for name in dict.fromkeys(query.pods)]
        pods = [pod for pod in found if pod is not None]
    else:
        pods = []
        each: t.Iterable[str | None] = dict.fromkeys(query.nodes) or [None]
        for node in each:
            fields = [*query.field_selectors, *([f"spec.nodeName={node}"] if node else [])]
            of_node = session.pods(query.namespace, labels=query.label_selectors, fields=fields)
            if node and not of_node and session.node(node) is None:
                missed.append(Missed(Target(node=node), failure("node_not_found")))
            pods += [pod for pod in of_node if not query.pods or pod["metadata"]["name"] in query.pods]
    there = {pod["metadata"]["name"] for pod in pods}
    if not query.filtered:
        absent = [name for name in dict.fromkeys(query.pods) if name not in there]
        missed += [Missed(Target(namespace=query.namespace, pod=name), failure("pod_not_found")) for name in absent]
    return pods, missed


def _containers(pod: Thing, query: Query) -> tuple[list[tuple[Thing, Thing]], list[Missed]]:
    """The running containers of one pod that are meant, as (spec, status), and the named ones that do not run."""
    exact = {name for name in query.containers if not _is_pattern(name)}
    patterns = [name for name in query.containers if _is_pattern(name)]
    running, idle, idle_exact = [], [], []
    for kind, always in (("containers", True), ("initContainers", False), ("ephemeralContainers", False)):
        status_kind = {"containers": "container", "initContainers": "initContainer"}.get(kind, "ephemeralContainer")
        statuses = {status["name"]: status for status in pod.get("status", {}).get(f"{status_kind}Statuses") or []}
        for spec in pod["spec"].get(kind) or []:
            name = spec["name"]
            by_pattern = always and (not query.containers or any(fnmatch.fnmatchcase(name, p) for p in patterns))
            if name not in exact and not by_pattern:
                continue
            status = statuses.get(name, {})
            if "running" in (status.get("state") or {}) and pod["spec"].get("nodeName"):
                running.append((spec, status))
            else:
                idle.append((spec, status))
                if name in exact:
                    idle_exact.append((spec, status))
    if pod["metadata"]["name"] not in query.pods:
        return running, []
    # The pod was named. With containers named as well, each of those has to run; without, at least one has to.
    not_running = idle_exact or ([] if running else idle)
    return running, [
        Missed(
            _target(pod, spec, status, None, query.labels),
            failure("container_not_running", phase="select", message=_state(status)),
        )
        for spec, status in not_running
    ]


def _never_seen(pods: t.Sequence[Thing], query: Query) -> list[Missed]:
    """Container names, given exactly, that no selected pod has."""
    if not pods:
        return []
    known = {
        spec["name"]
        for pod in pods
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for spec in pod["spec"].get(kind) or []
    }
    pod = query.pods[0] if len(query.pods) == 1 else None
    return [
        Missed(Target(namespace=query.namespace, pod=pod, container=name), failure("container_not_found"))
        for name in dict.fromkeys(query.containers)
        if not _is_pattern(name) and name not in known
    ]


def _state(status: Thing) -> str:
    """A container's state as text, for example ``terminated: Completed``."""
    for state, details in (status.get("state") or {}).items():
        return f"{state}: {(details or {}).get('reason') or 'no reason given'}"
    return "no status yet"


def _nodes(session: ApiSession, names: t.AbstractSet[str]) -> tuple[dict[str, Thing], list[str]]:
    """The nodes' objects. Without the right to read nodes the pods' own ``hostIP`` has to do."""
    if not names:
        return {}, []
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        try:
            found = dict(zip(sorted(names), pool.map(session.node, sorted(names))))
        except KubeError as error:
            if error.code != "forbidden":
                raise
            return {}, ["Nodes cannot be read (get on nodes is forbidden): runtime_version stays unknown"]
    return {name: node for name, node in found.items() if node is not None}, []


def _target(pod: Thing, spec: Thing, status: Thing, node: Thing | None, labels: t.Sequence[str]) -> Target:
    runtime, _separator, container_id = str(status.get("containerID") or "").rpartition("://")
    metadata = pod["metadata"]
    known = nodes.runtime(node) if node is not None else (None, None)
    return Target(
        node=pod["spec"].get("nodeName"),
        node_address=(nodes.address(node) if node is not None else None) or pod.get("status", {}).get("hostIP"),
        namespace=metadata["namespace"],
        pod=metadata["name"],
        pod_uid=metadata["uid"],
        container=spec["name"],
        container_id=container_id or None,
        image=spec.get("image"),
        image_id=status.get("imageID") or None,
        runtime=known[0] or runtime or None,
        runtime_version=known[1],
        labels={name: value for name, value in (metadata.get("labels") or {}).items() if name in labels},
        kubelet_port=nodes.kubelet_port(node) if node is not None else None,
    )
