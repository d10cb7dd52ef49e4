# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A move that meets a fault, at each of its steps: the workload goes on, once, with its state, and nothing is left.

The controller stops itself when a step stands in its state file. Then the fault is made, and it goes on or is killed.
Meanwhile a client counts: every answer, wherever it comes from, has to be higher than the one before.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import time
import types
import typing as t

import pytest
from fault_kinds import OfKind
from fault_support import (
    CRIU,
    CUT,
    DISK,
    FORWARD,
    KUBELET,
    MOVED,
    MOVES,
    PARTLY,
    UNDONE,
    Fault,
    Scene,
    agent,
    how,
    kill,
    scenes,
)
from restore_support import CRIO, CTD
from support import Cluster, Controller

pytestmark = pytest.mark.usefixtures("restore_runtime")


@pytest.fixture
def scene(cluster: Cluster, controller: Controller) -> t.Iterator[t.Callable[..., Scene]]:
    with scenes(cluster, controller) as made:
        yield made


@pytest.mark.parametrize(("source", "target"), [(CRIO, CTD), (CTD, CRIO)])
@pytest.mark.parametrize("step", ["planned", "prepared", "freezing", "given_up", "replaced", "running"])
def test_the_controller_is_killed(scene: t.Callable[..., Scene], source: str, target: str, step: str) -> None:
    made = scene(f"killed-{step.replace('_', '-')}", source, target)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(made.migrate, step)
        kill(made.stopped(running))
        assert running.result() == {}
    result = made.migrate()
    assert result.get("outcome") == "moved", (result, made.controller.output)
    made.ended()


STREAM = "stream"


@pytest.fixture
def of_kind(cluster: Cluster, controller: Controller) -> t.Iterator[t.Callable[..., OfKind]]:
    with contextlib.ExitStack() as stack:

        def made(*given: str) -> OfKind:
            found = OfKind(cluster, controller, *given)
            stack.callback(found.stack.close)
            return found

        yield made


WAYS = {"StatefulSet": {}, "Deployment": {"order": "replacement_first"}}


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("step", ["freezing", "given_up", "replaced"])
@pytest.mark.parametrize("who", ["controller", "source"])
def test_a_pod_of_a_controller(of_kind: t.Callable[..., OfKind], kind: str, step: str, who: str) -> None:
    """Its replacement is made by that, after the pod is told to end or before it is frozen."""
    source = CRIO if kind == "Deployment" else CTD
    made = of_kind(kind, f"{who}-{step.replace('_', '-')}-{kind.lower()}", source)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(made.migrate, step, **WAYS[kind])
        pid = made.stopped(running)
        if who == "controller":
            kill(pid)
            assert running.result() == {}
        else:
            made.on("source").run(agent("source").make)
            os.kill(pid, signal.SIGCONT)
    result = running.result()
    if not result or how(result) != MOVED:
        result = made.migrate(**WAYS[kind])
    if who == "source":
        # Where it was killed last, nobody saw the pod end.
        assert all("were not seen to end" in each for each in result.pop("warnings", []))
    made.goes_on_at(made.target, result)


class Row(t.NamedTuple):
    """``step``: of the state file, or STREAM for the middle of a long dump. ``first``: how the first run may end: the
    pod goes on where it was, and perhaps something is left of the move; only forward is left to go; or the move comes
    off all the same. ``again_after``: seconds until it is run again."""

    step: str
    where: str
    fault: Fault
    first: tuple[str, ...]
    options: t.Mapping[str, str] = types.MappingProxyType({})
    again_after: float = 0.0


SHORT = {"frozen_limit": "12s", "timeout": "25s"}
ROWS = {
    "target-kubelet-before": Row("prepared", "target", KUBELET, (FORWARD,), {"timeout": "20s"}),
    "target-kubelet-after": Row("given_up", "target", KUBELET, (FORWARD,), {"timeout": "20s"}),
    "source-kubelet-before": Row("prepared", "source", KUBELET, (MOVED,), {"timeout": "20s"}),
    "source-kubelet-after": Row("given_up", "source", KUBELET, (MOVED,), {"timeout": "20s"}),
    "source-agent-prepared": Row("prepared", "source", agent("source"), (PARTLY,)),
    "target-agent-prepared": Row("prepared", "target", agent("target"), (PARTLY,)),
    "source-agent-stream": Row(STREAM, "source", agent("source"), (PARTLY,)),
    "target-agent-stream": Row(STREAM, "target", agent("target"), (PARTLY,)),
    "source-agent-given": Row("given_up", "source", agent("source"), (PARTLY,)),
    "target-agent-given": Row("given_up", "target", agent("target"), (FORWARD, PARTLY)),
    "source-agent-replaced": Row("replaced", "source", agent("source"), (MOVED,)),
    "target-agent-replaced": Row("replaced", "target", agent("target"), (FORWARD, MOVED)),
    "target-disk": Row("prepared", "target", DISK, (UNDONE,)),
    "source-disk": Row("prepared", "source", DISK, (UNDONE,)),
    "target-criu": Row("prepared", "target", CRIU, (FORWARD,), {"timeout": "30s"}),
    # By then the kubelet tries so rarely that the second run is the first to come.
    "target-criu-for-long": Row("prepared", "target", CRIU, (FORWARD,), {"timeout": "30s"}, again_after=75.0),
    "target-cut-stream": Row(STREAM, "target", CUT, (PARTLY,), SHORT),
    "source-cut-stream": Row(STREAM, "source", CUT, (PARTLY,), SHORT),
    "target-cut-given": Row("given_up", "target", CUT, (PARTLY, FORWARD), SHORT),
    "source-cut-given": Row("given_up", "source", CUT, (PARTLY,), SHORT),
    "target-cut-replaced": Row("replaced", "target", CUT, (FORWARD,), SHORT),
    "source-cut-replaced": Row("replaced", "source", CUT, (FORWARD, MOVED), SHORT),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_fault(scene: t.Callable[..., Scene], name: str) -> None:
    row = ROWS[name]
    # Both ways in turn.
    source, target = (CRIO, CTD) if list(ROWS).index(name) % 2 else (CTD, CRIO)
    made = scene(name, source, target, big=row.step == STREAM)
    shell = made.on(row.where)
    with contextlib.ExitStack() as stack:
        shell.run(row.fault.before)
        stack.callback(shell.run, row.fault.unmake)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(made.migrate, "freezing" if row.step == STREAM else row.step, **row.options)
            pid = made.stopped(running)
            if row.step == STREAM:
                os.kill(pid, signal.SIGCONT)
                enough = f'while [ "$(du -sm {MOVES} | cut -f1)" -lt 100 ]; do sleep 0.02; done'
                made.on("target").run(enough)
            shell.run(row.fault.make)
            os.kill(pid, signal.SIGCONT)
            result = running.result()
        told = {key: result.get(key) for key in ("outcome", "code", "undone", "problems", "warnings", "msg", "seconds")}
        print(f"{name}: after {time.monotonic() - begun:.1f} s {json.dumps(told, indent=1)}")
        ended = how(result)
        if ended in (UNDONE, PARTLY) and (row.where, row.fault) != ("source", CUT):
            made.goes_on_where_it_was()
        time.sleep(row.again_after)
    begun = time.monotonic()
    if ended != MOVED:
        again = made.migrate()
        told = {key: again.get(key) for key in ("outcome", "code", "undone", "problems", "warnings", "msg", "seconds")}
        print(f"{name}: again after {time.monotonic() - begun:.1f} s {json.dumps(told, indent=1)}")
        assert again.get("outcome") == "moved", (again, made.controller.output)
    made.ended()
    assert ended in row.first, result
