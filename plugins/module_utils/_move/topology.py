# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the rules about pods beside pods let a pod go to a node: affinity, anti-affinity and spread.

Only what is required is looked at, as the scheduler does. Sources: kubernetes 1.36, pkg/scheduler/framework/plugins/
{interpodaffinity,podtopologyspread}.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._kube import node_selection
from .._kube.api import ApiSession, Thing
from .._kube.failures import KubeError
from .._kube.restore_request import Check

ENDED = ("Succeeded", "Failed")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def checks(session: ApiSession, pod: Thing, node: Thing, *, stays: bool) -> t.Iterator[Check]:
    """The rules of the pod, and of others against it. ``stays``: it is still where it is when its like comes."""
    try:
        pods = [each for each in session.pods(None) if _counts(each)]
        nodes = {str(each["metadata"]["name"]): each for each in session.nodes()}
    except KubeError as error:
        if error.code != "forbidden":
            raise
        reason = f"Whether affinity and spread allow the node may not be seen: {error.message}"
        yield Check("topology", "warning", reason)
        return
    others = [each for each in pods if stays or each["metadata"]["uid"] != pod["metadata"]["uid"]]
    around = _Around(pod, node, others, nodes)
    broken = [*around.affinity(), *around.spread()]
    if broken:
        yield Check("topology", "failed", f"The node does not fit: {'; '.join(broken)}", "Choose another node")
    else:
        yield Check("topology", "passed", "Affinity and spread allow the node")


def _counts(pod: Thing) -> bool:
    return bool(
        pod["spec"].get("nodeName")
        and (pod.get("status") or {}).get("phase") not in ENDED
        and not pod["metadata"].get("deletionTimestamp")
    )


class _Around:
    """The target node, with the pods and nodes around it."""

    def __init__(self, pod: Thing, node: Thing, others: t.Sequence[Thing], nodes: t.Mapping[str, Thing]) -> None:
        self._pod = pod
        self._node = node
        self._others = others
        self._nodes = nodes

    def affinity(self) -> t.Iterator[str]:
        for term in _terms(self._pod, "podAntiAffinity"):
            found = self._beside(term, self._pod)
            if found:
                yield f"by the pod's anti-affinity not beside {found[0]}"
        for other in self._others:
            for term in _terms(other, "podAntiAffinity"):
                if self._same_place(other, term["topologyKey"]) and _fits(term, other, self._pod):
                    yield f"by its anti-affinity {_name(other)} wants no such pod beside it"
        for term in _terms(self._pod, "podAffinity"):
            # The first of its kind may go anywhere.
            alone = _fits(term, self._pod, self._pod) and not any(_fits(term, self._pod, each) for each in self._others)
            if not self._beside(term, self._pod) and not alone:
                yield f"by the pod's affinity only beside others, which are not there ({term['topologyKey']})"

    def _beside(self, term: Thing, holder: Thing) -> list[str]:
        return [
            _name(other)
            for other in self._others
            if self._same_place(other, term["topologyKey"]) and _fits(term, holder, other)
        ]

    def _same_place(self, other: Thing, key: str) -> bool:
        here = node_selection.labels(self._node).get(key)
        there = self._nodes.get(other["spec"]["nodeName"])
        return there is not None and here is not None and node_selection.labels(there).get(key) == here

    def spread(self) -> t.Iterator[str]:
        for rule in self._pod["spec"].get("topologySpreadConstraints") or []:
            if rule.get("whenUnsatisfiable") != "DoNotSchedule":
                continue
            key = rule["topologyKey"]
            here = node_selection.labels(self._node).get(key)
            if here is None:
                yield f"it has no label {key}, by which the pod is spread"
                continue
            counts = self._counts(rule, key)
            least = 0 if len(counts) < rule.get("minDomains", 1) else min(counts.values(), default=0)
            if counts.get(here, 0) + 1 - least > rule["maxSkew"]:
                yield f"too many such pods would be in {here} ({key}, maxSkew {rule['maxSkew']})"

    def _counts(self, rule: Thing, key: str) -> dict[str, int]:
        """Pods that fit the rule, by domain, of the nodes that the pod might be on."""
        spec = self._pod["spec"]
        honours_taints = rule.get("nodeTaintsPolicy") == "Honor"
        counts: dict[str, int] = {}
        for node in self._nodes.values():
            domain = node_selection.labels(node).get(key)
            wanted = rule.get("nodeAffinityPolicy") == "Ignore" or _may_run_on(spec, node)
            kept_away = honours_taints and node_selection.untolerated(node, spec.get("tolerations") or [])
            if domain is not None and wanted and not kept_away:
                counts.setdefault(domain, 0)
        same = {
            name: (self._pod["metadata"].get("labels") or {}).get(name) for name in rule.get("matchLabelKeys") or []
        }
        for other in self._others:
            labels = other["metadata"].get("labels") or {}
            node = self._nodes.get(other["spec"]["nodeName"], {"metadata": {}})
            domain = node_selection.labels(node).get(key)
            if (
                domain in counts
                and other["metadata"]["namespace"] == self._pod["metadata"]["namespace"]
                and selects(rule.get("labelSelector"), labels)
                and all(labels.get(name) == value for name, value in same.items())
            ):
                counts[domain] += 1
        return counts


def _may_run_on(spec: Thing, node: Thing) -> bool:
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    terms = affinity.get("nodeSelectorTerms")
    return terms is None or node_selection.fits_terms(node, terms)


def _terms(pod: Thing, kind: str) -> list[Thing]:
    return ((pod["spec"].get("affinity") or {}).get(kind) or {}).get(REQUIRED) or []


def _name(pod: Thing) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _fits(term: Thing, holder: Thing, other: Thing) -> bool:
    """Whether a term of ``holder`` means ``other``. A namespaceSelector is taken to select every namespace."""
    own = holder["metadata"]["namespace"]
    namespaces = term.get("namespaces") or ([] if "namespaceSelector" in term else [own])
    anywhere = term.get("namespaceSelector") is not None
    place = anywhere or other["metadata"]["namespace"] in namespaces
    return place and selects(term.get("labelSelector"), other["metadata"].get("labels") or {})


def selects(selector: Thing | None, labels: t.Mapping[str, str]) -> bool:
    """Whether a LabelSelector fits; none fits nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _holds(labels, each) for each in selector.get("matchExpressions") or []
    )


def _holds(labels: t.Mapping[str, str], expression: Thing) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]
