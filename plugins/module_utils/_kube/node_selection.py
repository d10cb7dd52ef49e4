# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of nodes against what selects nodes.

Source: kubernetes 1.36, staging/src/k8s.io/component-helpers/scheduling/corev1 (nodeaffinity, toleration).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .api import Thing

NO_NEW_PODS = ("NoSchedule", "NoExecute")
# Set by Kubernetes itself for what Ready and unschedulable say as well.
CONDITION_TAINTS = frozenset(f"node.kubernetes.io/{name}" for name in ("not-ready", "unreachable", "unschedulable"))


def labels(node: Thing) -> dict[str, str]:
    """The node's labels."""
    return dict(node["metadata"].get("labels") or {})


def lacks(node: Thing, selector: t.Mapping[str, str]) -> list[str]:
    """The labels of a ``nodeSelector`` that the node has not, ``name=value`` each."""
    there = labels(node)
    return [f"{name}={value}" for name, value in sorted(selector.items()) if there.get(name) != value]


def fits_terms(node: Thing, terms: t.Sequence[Thing]) -> bool:
    """Whether one of the ``nodeSelectorTerms`` fits the node; an empty term fits none."""
    return any(_fits(node, term) for term in terms)


def _fits(node: Thing, term: Thing) -> bool:
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    name = {"metadata.name": node["metadata"]["name"]}
    return bool(expressions or fields) and all(
        [*(_holds(labels(node), each) for each in expressions), *(_holds(name, each) for each in fields)]
    )


def _holds(there: t.Mapping[str, str], expression: Thing) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    value = there.get(key)
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    try:
        left, right = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else operator == "Lt" and left < right


def untolerated(node: Thing, tolerations: t.Sequence[Thing]) -> list[str]:
    """The taints that keep a pod with these tolerations away, as kubectl writes them."""
    found = []
    for taint in node.get("spec", {}).get("taints") or []:
        if taint.get("effect") not in NO_NEW_PODS or taint["key"] in CONDITION_TAINTS:
            continue
        if not any(_tolerates(each, taint) for each in tolerations):
            value = f"={taint['value']}" if taint.get("value") else ""
            found.append(f"{taint['key']}{value}:{taint['effect']}")
    return found


def _tolerates(toleration: Thing, taint: Thing) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))
