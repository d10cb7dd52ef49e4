# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures told with what the nodes know."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._causes import explained
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import failure

WHO = {"node": "n1", "namespace": "shop", "pod": "web-0", "container": "app"}
CAUSE = {
    "operation": "checkpoint",
    "code": "criu_tcp_established",
    "reason": "The container has an established TCP connection",
    "hint": "Put tcp-established into /etc/criu/runc.conf",
    "log": "/dump.log",
    "errors": ["x"],
}


def failed(code: str, **who: str) -> dict[str, t.Any]:
    return {**WHO, **who, **failure(code).as_dict()}


def look(item: dict[str, t.Any], **found: t.Any) -> dict[str, t.Any]:
    return {"item": item, **found}


def held(verdict: str, thawed: bool) -> list[dict[str, t.Any]]:
    return [{"verdict": verdict, "thawed": thawed}]


def test_the_cause_takes_the_place_of_the_hint() -> None:
    one = failed("criu_failed")
    (told,) = explained([one], [look(one, containers=[]), look(one, diagnoses=[CAUSE])])
    assert told["reason"] == "CRIU could not dump the container. The container has an established TCP connection"
    assert told["hint"] == CAUSE["hint"]
    assert told["workload"] == "runs"
    assert told["cause"] == {"code": "criu_tcp_established", "log": "/dump.log", "errors": ["x"]}


@pytest.mark.parametrize(
    ("containers", "workload", "said"),
    [
        ([], "runs", "; the container runs"),
        (held("stuck", True), "thawed", "; the container had been left frozen and runs again"),
        (held("stuck", False), "frozen", "; the container is frozen and could not be thawed"),
        (held("under_way", False), "under_way", "; the checkpoint is still under way"),
    ],
)
def test_what_became_of_the_container(containers: list[dict[str, t.Any]], workload: str, said: str) -> None:
    one = failed("deadline_exceeded")
    (told,) = explained([one], [look(one, containers=containers)])
    assert told["workload"] == workload and said in told["reason"]
    assert "may have been left frozen" not in told["reason"]


def test_where_nobody_could_look_the_kubelets_answer_stays() -> None:
    one = failed("deadline_exceeded")
    unreachable = look(one, unreachable=True, msg="no route to host")
    assert explained([one], [unreachable]) == [{**one, "workload": None, "cause": None}]


def test_each_failure_gets_its_own() -> None:
    one, other = failed("criu_failed"), failed("criu_failed", pod="web-1")
    told = explained([one, other], [look(other, diagnoses=[CAUSE]), look(one, diagnoses=[])])
    assert [entry["cause"] is None for entry in told] == [True, False]
    assert told[0]["reason"] == one["reason"]


def test_an_old_restore_explains_no_checkpoint() -> None:
    one = failed("criu_failed")
    (told,) = explained([one], [look(one, diagnoses=[{**CAUSE, "operation": "restore"}])])
    assert told["cause"] is None
