# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of migrate share: a move, who a process is, and what a move may have left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import typing as t
import urllib.request

from restore_support import CRIO, CTD, STORE, counts
from support import LAB, REGISTRY, Cluster, Controller, kubectl, node_run, wait_until

HOSTNAME = "kubernetes.io/hostname"
LABEL = "checkpoint-restore.io/move"


def migrate(controller: Controller, cluster: Cluster, pod: str, to: str, **options: t.Any) -> dict[str, t.Any]:
    """One move that has to come off; the module's result."""
    result = controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=pod, node=to, **options)
    assert result.get("outcome") == "moved", (result, controller.output)
    # Ansible leaves out a list of none.
    assert not result.get("warnings"), result["warnings"]
    assert len(result["receipts"]) == len(cluster.get(result["pod"])["spec"]["containers"])
    return result


def term(*nodes: str) -> dict[str, t.Any]:
    """Of a node affinity: one of these."""
    return {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": list(nodes)}]}


def workload(cluster: Cluster, kind: str, name: str, affinity: dict[str, t.Any], **spec: t.Any) -> dict[str, t.Any]:
    """A controller of pods of counter, by the label ``name``. ``container`` in ``spec``: more of that."""
    template = {
        "terminationGracePeriodSeconds": 1,
        "affinity": {"nodeAffinity": affinity},
        "containers": [{"name": "app", "image": f"{REGISTRY}/counter:1", **spec.pop("container", {})}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            "selector": {"matchLabels": {"name": name}},
            "template": {"metadata": {"labels": {"name": name}}, "spec": template},
            **spec,
        },
    }


def failed(result: dict[str, t.Any]) -> list[str]:
    """The checks because of which a pod is not moved."""
    assert result["code"] == "preflight_failed", result
    return [check["name"] for check in result["checks"] if check["result"] == "failed"]


def ask(cluster: Cluster, name: str, port: int = 8080) -> dict[str, t.Any]:
    """What a counter answers at a port."""
    address = cluster.get(name)["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=10) as answer:
        return dict(json.load(answer))


def counts_on(cluster: Cluster, name: str, more_than: int) -> None:
    """A restored counter's log begins after the last number of before, and has every number since."""
    wait_until(f"{name} to count on", lambda: len(counts(cluster, name)) > 1)
    seen = counts(cluster, name)
    assert seen[0] > more_than and seen == list(range(seen[0], seen[0] + len(seen)))


def left(cluster: Cluster, nodes: t.Sequence[str] = (CRIO, CTD)) -> list[str]:
    """What moves may have left on nodes and in the cluster: files, mounts, processes; policies, Leases, marks."""
    files = f"find {STORE}/moves {STORE}/tickets {STORE}/frozen -mindepth 1 2>/dev/null"
    mounts = "awk '$2 ~ /criu|checkpoint-restore/' /proc/self/mounts"
    # The letter in brackets keeps the search from finding itself.
    processes = "ps -eo comm=,args= | grep -E '[c]heckpoint_restore_agent|[c]heckpoint-thaw|/[c]riu |^[c]riu '"
    found = [node_run(node, f"{files}; {mounts}; {processes}; true") for node in nodes]
    kinds = "mutatingadmissionpolicies,mutatingadmissionpolicybindings"
    things = json.loads(kubectl("get", kinds, f"--selector={LABEL}", "--output=json"))["items"]
    # Moves in other namespaces are somebody else's.
    own = f"'{cluster.namespace}'"
    others = {each["metadata"]["name"] for each in things if "policyName" not in each["spec"] and own not in str(each)}
    found += [each["metadata"]["name"] for each in things if each["metadata"]["name"] not in others]
    found.append(kubectl("get", "leases", "--namespace", cluster.namespace, f"--selector={LABEL}", "--output=name"))
    return [line for text in found for line in text.splitlines()]


def nothing_left(cluster: Cluster, nodes: t.Sequence[str] = (CRIO, CTD)) -> None:
    """Nothing but what ends by itself in a moment."""
    wait_until("all of the move to be gone", lambda: left(cluster, nodes) == [], 20)


class Watch:
    """Every change of objects of a namespace, as a line of a Go template, while it is open."""

    NEXT = '{{"\\n"}}'

    def __init__(self, cluster: Cluster, what: str, selector: str, template: str, see: t.Callable[[str], None]) -> None:
        # The template is given what a watch of the API gives: type and object.
        options = [
            "--watch",
            "--output-watch-events",
            f"--selector={selector}",
            f"--output=go-template={template}{self.NEXT}",
        ]
        command = [str(LAB / "lab"), "kubectl", "get", what, "--namespace", cluster.namespace, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._thread = threading.Thread(target=self._follow, args=[see])

    def _follow(self, see: t.Callable[[str], None]) -> None:
        for line in t.cast("t.IO[str]", self._process.stdout):
            see(line)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        ended = self._process.poll()
        if ended is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        self._thread.join()
        assert ended is None, "the watch ended before what it was to see"
