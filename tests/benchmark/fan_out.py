# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forty containers on four nodes: one call of kubelet_checkpoint against a loop of single ones, and against the ideal.

Prints a table. The ideal is the longest single checkpoint of the run times the rounds that the limit per node makes
necessary. Needs the laboratory (`make lab`); `make bench` runs it.
"""

from __future__ import annotations

import math
import pathlib
import sys
import tempfile
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from support import LAB, Cluster, Controller, lab, node_run

NODES = ("crio-a", "crio-b", "ctd-a", "ctd-b")
PODS = 40


def one_call(controller: Controller, namespace: str, per_node: int) -> tuple[float, list[float]]:
    """Wall time of the task alone, by the clock inside the play, and the duration of each checkpoint."""
    began = time.monotonic()
    result = controller.task(
        "kubelet_checkpoint",
        namespace=namespace,
        label_selectors=["app=counter"],
        max_concurrent=PODS,
        max_concurrent_per_node=per_node,
        progress=False,
    )
    wall = time.monotonic() - began
    assert len(result["checkpoints"]) == PODS, result
    return wall, [item["duration"] for item in result["checkpoints"]]


def loop(controller: Controller, namespace: str, pods: list[str]) -> float:
    began = time.monotonic()
    keywords: dict[str, t.Any] = {"loop": [[name] for name in pods]}
    result = controller.task(
        "kubelet_checkpoint", keywords=keywords, namespace=namespace, pod="{{ item }}", progress=False
    )
    wall = time.monotonic() - began
    assert len(result["results"]) == len(pods) and not result.get("failed"), result
    return wall


def overhead(controller: Controller) -> float:
    """What ansible-playbook takes for a play that does nothing: start, one task, one copy."""
    began = time.monotonic()
    controller.task("kubelet_checkpoint", namespace="nowhere", pod=["nobody"], allow_empty=True, check=True)
    return time.monotonic() - began


def main() -> None:
    lab("run", "ansible-playbook", str(LAB / "prepare.yml"))
    with tempfile.TemporaryDirectory() as directory, Cluster("bench-fan-out") as cluster:
        controller = Controller(pathlib.Path(directory))
        pods = {f"counter-{number:02}": NODES[number % len(NODES)] for number in range(PODS)}
        cluster.apply(*(cluster.pod(name, node) for name, node in pods.items()))
        empty = overhead(controller)
        rows: list[tuple[str, float, t.Optional[float], t.Optional[float]]] = []
        for per_node in (1, 2, 4, 10):
            wall, durations = one_call(controller, cluster.namespace, per_node)
            rounds = math.ceil(PODS / len(NODES) / per_node)
            rows.append((f"one call, {per_node} per node", wall, max(durations) * rounds, max(durations)))
        rows.append(("loop of 40 tasks", loop(controller, cluster.namespace, sorted(pods)), None, None))
        best = min(row[1] for row in rows)
        print(f"| {PODS} containers on {len(NODES)} nodes | wall s | ideal s | longest single s | against the best |")
        print("|---|---|---|---|---|")
        for name, wall, ideal, longest in rows:
            cells = ["" if value is None else f"{value:.2f}" for value in (wall, ideal, longest)]
            print(f"| {name} | {' | '.join(cells)} | {wall / best:.1f} |")
        print(f"\nIn each wall time: {empty:.2f} s of ansible-playbook and selection, without a checkpoint.")
        for node in NODES:
            node_run(node, "rm -f /var/lib/kubelet/checkpoints/checkpoint-counter-*_bench-fan-out-*")


if __name__ == "__main__":
    main()
