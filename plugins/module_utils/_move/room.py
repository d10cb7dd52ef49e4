# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node has room for one more pod, as the scheduler will find.

Sources: kubernetes 1.36, pkg/scheduler/framework/plugins/noderesources (fit.go) and component-helpers/resource
(a pod asks for the sum of its containers, or for the largest init container where that is more; its overhead on top);
apimachinery 0.36, pkg/api/resource (quantities).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import collections
import decimal
import re
import typing as t

from .._kube.api import ApiSession, Thing
from .._kube.failures import KubeError
from .._kube.restore_request import Check

ENDED = ("Succeeded", "Failed")
QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?")
SUFFIXES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {f"{sign}i": 1024**power for power, sign in enumerate("KMGTPE", 1)}

Amounts = t.Mapping[str, decimal.Decimal]


def quantity(text: t.Any) -> decimal.Decimal:
    """The number that a quantity such as ``500m`` or ``2Gi`` stands for; zero for what is none."""
    match = QUANTITY.fullmatch(str(text))
    if not match:
        return decimal.Decimal(0)
    number, suffix = decimal.Decimal(match.group(1)), match.group(2) or ""
    if suffix in BINARY:
        return number * decimal.Decimal(BINARY[suffix])
    if suffix in SUFFIXES:
        return number * decimal.Decimal(10) ** SUFFIXES[suffix]
    exponent = int(suffix[1:]) if suffix else 0
    return number * decimal.Decimal(10) ** exponent


def requests(pod: Thing) -> Amounts:
    """What the pod asks its node for, one of ``pods`` included."""
    spec = pod["spec"]
    init = spec.get("initContainers") or []
    sidecars = [each for each in init if each.get("restartPolicy") == "Always"]
    total = _sum([*(spec.get("containers") or []), *sidecars])
    for each in init:
        for name, amount in _sum([each]).items():
            total[name] = max(total[name], amount)
    for name, amount in (spec.get("overhead") or {}).items():
        total[name] += quantity(amount)
    total["pods"] = decimal.Decimal(1)
    return total


def _sum(containers: t.Iterable[Thing]) -> collections.defaultdict[str, decimal.Decimal]:
    total: collections.defaultdict[str, decimal.Decimal] = collections.defaultdict(decimal.Decimal)
    for container in containers:
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] += quantity(amount)
    return total


def checks(session: ApiSession, pod: Thing, node: Thing) -> t.Iterator[Check]:
    """Whether the pod fits beside the pods that are there."""
    name = node["metadata"]["name"]
    try:
        there = session.pods(None, fields=[f"spec.nodeName={name}"])
    except KubeError as error:
        if error.code != "forbidden":
            raise
        yield Check("room", "warning", f"Whether there is room on {name} may not be seen: {error.message}")
        return
    used: collections.Counter[str] = collections.Counter()
    for each in there:
        if (each.get("status") or {}).get("phase") not in ENDED:
            used.update(t.cast("t.Mapping[str, int]", requests(each)))
    has = (node.get("status") or {}).get("allocatable") or {}
    lacking = [
        f"{resource} ({_written(amount)} wanted, {_written(quantity(has.get(resource, 0)) - used[resource])} left)"
        for resource, amount in sorted(requests(pod).items())
        if amount and used[resource] + amount > quantity(has.get(resource, 0))
    ]
    if lacking:
        reason = f"The node {name} has no room for the pod: {', '.join(lacking)}"
        yield Check("room", "failed", reason, "Choose another node, or free what it needs there")
    else:
        yield Check("room", "passed", f"The node {name} has room for the pod")


def _written(amount: decimal.Decimal) -> str:
    return f"{amount.normalize():f}" if amount else "0"
