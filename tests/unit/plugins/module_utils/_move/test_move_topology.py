# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Affinity, anti-affinity, spread and room, as the scheduler judges them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import room, topology
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import node, pod

Thing = dict[str, t.Any]

NODES = [node("n1"), node("n2"), node("n3")]
WEB = {"matchLabels": {"app": "web"}}


class Session:
    """What is asked of an ApiSession here."""

    def __init__(self, *pods: Thing) -> None:
        self._pods = pods

    def pods(self, namespace: t.Optional[str]) -> list[Thing]:
        assert namespace is None
        return list(self._pods)

    def nodes(self) -> list[Thing]:
        return NODES


def told(moving: Thing, *others: Thing, target: str = "n2", stays: bool = False) -> str:
    where = next(each for each in NODES if each["metadata"]["name"] == target)
    session: t.Any = Session(moving, *others)
    (check,) = topology.checks(session, moving, where, stays=stays)
    assert (check.result == "failed") == bool(check.hint)
    return check.reason if check.result == "failed" else ""


def with_affinity(kind: str, name: str = "web-0", node_name: str = "n1", **term: t.Any) -> Thing:
    made = {"labelSelector": WEB, "topologyKey": "kubernetes.io/hostname", **term}
    return pod(name, node_name, affinity={kind: {"requiredDuringSchedulingIgnoredDuringExecution": [made]}})


def spread(max_skew: int = 1, **rule: t.Any) -> Thing:
    made = {"labelSelector": WEB, "topologyKey": "zone", "maxSkew": max_skew, "whenUnsatisfiable": "DoNotSchedule"}
    return pod("web-0", topologySpreadConstraints=[{**made, **rule}])


def test_the_pods_own_anti_affinity() -> None:
    moving = with_affinity("podAntiAffinity")
    assert told(moving) == ""
    assert "shop/web-1" in told(moving, pod("web-1", "n2"))
    assert told(moving, pod("web-1", "n3")) == ""
    elsewhere = pod("web-1", "n2")
    elsewhere["metadata"]["namespace"] = "other"
    assert told(moving, elsewhere) == ""
    assert "other/web-1" in told(with_affinity("podAntiAffinity", namespaceSelector={}), elsewhere)
    ended = {**pod("web-1", "n2"), "status": {"phase": "Succeeded"}}
    assert told(moving, ended) == ""


def test_the_anti_affinity_of_a_pod_that_is_there() -> None:
    assert "shop/lonely" in told(pod(), with_affinity("podAntiAffinity", "lonely", "n2"))
    assert told(pod(), with_affinity("podAntiAffinity", "lonely", "n3")) == ""


def test_a_wider_domain_holds_the_old_pod_itself() -> None:
    for each in NODES:
        each["metadata"]["labels"]["region"] = "one"
    moving = with_affinity("podAntiAffinity", topologyKey="region")
    assert told(moving) == ""
    assert "shop/web-0" in told(moving, stays=True)


def test_affinity() -> None:
    cache = {"matchLabels": {"app": "cache"}}
    moving = with_affinity("podAffinity", labelSelector=cache)
    beside = pod("cache-0", "n2")
    beside["metadata"]["labels"] = {"app": "cache"}
    assert "kubernetes.io/hostname" in told(moving)
    assert told(moving, beside) == ""
    # The only one of its kind may go anywhere.
    assert told(with_affinity("podAffinity")) == ""


def test_spread() -> None:
    assert told(spread()) == ""
    # n2 and n3 have one each, n1 loses its only one.
    assert "maxSkew 1" in told(spread(), pod("web-1", "n2"), pod("web-2", "n3"))
    assert told(spread(2), pod("web-1", "n2"), pod("web-2", "n3")) == ""
    assert told(spread(whenUnsatisfiable="ScheduleAnyway"), pod("web-1", "n2")) == ""
    assert told(spread(), pod("web-1", "n2"), pod("web-2", "n3"), pod("web-3", "n1")) == ""
    assert "no label rack" in told(spread(topologyKey="rack"))


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"operator": "In", "values": ["web"]}, True),
        ({"operator": "NotIn", "values": ["web"]}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "DoesNotExist"}, False),
    ],
)
def test_selectors(expression: Thing, fits: bool) -> None:
    assert topology.selects({"matchExpressions": [{"key": "app", **expression}]}, {"app": "web"}) is fits
    assert not topology.selects(None, {"app": "web"})
    assert topology.selects({}, {})


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2Gi", 2 * 1024**3), ("1e3", 1000), ("1.5k", 1500), ("3", 3), (7, 7), ("12E", 12 * 10**18)],
)
def test_quantities(text: t.Any, number: t.Any) -> None:
    assert room.quantity(text) == room.decimal.Decimal(number)
    assert room.quantity("a lot") == 0


def test_what_a_pod_asks_for() -> None:
    def asking(name: str, cpu: str, **more: t.Any) -> Thing:
        return {"name": name, "resources": {"requests": {"cpu": cpu}}, **more}

    made = pod(
        containers=[asking("app", "500m"), asking("log", "250m")],
        initContainers=[asking("init", "2"), asking("proxy", "250m", restartPolicy="Always")],
        overhead={"cpu": "100m"},
    )
    assert room.requests(made) == {"cpu": room.decimal.Decimal("2.1"), "pods": 1}
