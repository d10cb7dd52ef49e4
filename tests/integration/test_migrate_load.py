# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A counter that is moved again and again while a client adds to it as fast as it can: nothing is lost or done twice.

``MIGRATIONS`` (100) moves one after the other, round the ``MIGRATION_NODES`` (four of the laboratory's).
"""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import socket
import statistics
import threading
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import state as state_files
from migrate_support import HOSTNAME, Watch, ask, nothing_left
from support import REGISTRY, Cluster, Controller, node_run, wait_until

MIGRATIONS = int(os.environ.get("MIGRATIONS", "100"))
NODES = os.environ.get("MIGRATION_NODES", "crio-a,crio-b,ctd-a,ctd-b").split(",")
# In one run of ansible-playbook, right after each other.
AT_ONCE = 10
POD = "counter-0"
REQUEST = b"POST /add HTTP/1.1\r\n\r\n"


class Endpoint:
    """Where the Service's one pod is, as its EndpointSlice says: what kube-proxy and DNS go by."""

    TEMPLATE = "{{range .object.endpoints}}{{if .conditions.ready}}{{index .addresses 0}}{{end}}{{end}}"

    def __init__(self, cluster: Cluster, service: str) -> None:
        self.address = ""
        selector = f"kubernetes.io/service-name={service}"
        self.watch = Watch(cluster, "endpointslices", selector, self.TEMPLATE, self._see)

    def _see(self, line: str) -> None:
        # For a moment there is none that is Ready.
        self.address = line.strip() or self.address


class Client(threading.Thread):
    """Adds one after the other, each on a connection of its own, and sees that every answer fits those before it.

    ``interruptions``: for each change of address, both of them, and the seconds from the last answer of the one to the
    first of the other. ``wrong``: answers that show that something was lost or done twice. ``unanswered``: how many
    requests were sent whose answer never came; each of them may have been counted or not.
    """

    PATIENCE = 0.02

    def __init__(self, endpoint: Endpoint, count: int) -> None:
        super().__init__()
        self.interruptions: list[tuple[str, str, float]] = []
        self.wrong: list[str] = []
        self.answered = 0
        self.unanswered = 0
        self.least = self.most = count
        self._endpoint = endpoint
        self._last = ("", time.monotonic())
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.is_set():
            address = self._endpoint.address
            with contextlib.suppress(OSError):
                self._add(address)

    def close(self) -> None:
        self._end.set()
        self.join()

    def _add(self, address: str) -> None:
        with socket.create_connection((address, 8080), timeout=self.PATIENCE) as connection:
            # From here on it may be counted, whether its answer comes or not.
            self.most += 1
            connection.sendall(REQUEST)
            answer = self._answer(connection, address)
        if answer is None:
            self.unanswered += 1
            return
        now = time.monotonic()
        if not self.least < answer <= self.most:
            self.wrong.append(f"{answer} of {address}, which had to be above {self.least}, and at most {self.most}")
        if self._last[0] not in ("", address):
            self.interruptions.append((self._last[0], address, now - self._last[1]))
        self.least = self.most = answer
        self.answered += 1
        self._last = (address, now)

    def _answer(self, connection: socket.socket, address: str) -> int | None:
        """The number; none once the pod is elsewhere."""
        text = b""
        while address == self._endpoint.address and not self._end.is_set():
            try:
                data = connection.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                return None
            text += data
            if not data:
                return int(text.partition(b'"count": ')[2].partition(b",")[0]) if text.endswith(b"}\n") else None
        return None


@pytest.fixture(scope="module")
def restorable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The restore runtime on all the nodes."""
    controller = Controller(tmp_path_factory.mktemp("restorable"))
    wanted = {"nodes": ",".join(NODES), "batch": len(NODES), "probe": False, "restore_runtime": True}
    assert controller.playbook("prepare_nodes", **wanted).returncode == 0, controller.output


@pytest.fixture
def counter(cluster: Cluster) -> str:
    """A StatefulSet's one counter, which counts requests alone, behind a Service; the node that it is on."""
    names = {"name": "counter", "namespace": cluster.namespace}
    terms = [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": NODES}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    container = {"name": "app", "image": f"{REGISTRY}/counter:1", "args": ["8080", "0"]}
    pod = {"terminationGracePeriodSeconds": 1, "affinity": affinity, "containers": [container]}
    template = {"metadata": {"labels": {"name": "counter"}}, "spec": pod}
    selector = {"name": "counter"}
    service = {"selector": selector, "ports": [{"port": 8080}]}
    spec = {"serviceName": "counter", "selector": {"matchLabels": selector}, "template": template}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": names, "spec": service},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": names, "spec": spec},
    )
    cluster.says(POD, "listening")
    return str(cluster.get(POD)["spec"]["nodeName"])


@pytest.mark.usefixtures("restorable")
def test_every_acknowledged_increment_is_there_once(cluster: Cluster, controller: Controller, counter: str) -> None:
    process = {name: ask(cluster, POD)[name] for name in ("since", "pid")}
    results: list[dict[str, t.Any]] = []
    with contextlib.ExitStack() as stack:
        endpoint = Endpoint(cluster, "counter")
        stack.enter_context(endpoint.watch)
        wait_until("an endpoint", lambda: endpoint.address != "")
        client = Client(endpoint, 0)
        client.start()
        stack.callback(client.close)
        while len(results) < MIGRATIONS:
            results += moved(cluster, controller, counter, range(len(results), min(len(results) + AT_ONCE, MIGRATIONS)))
            assert client.wrong == []
    assert client.wrong == [] and client.answered > 0
    now = ask(cluster, POD)
    assert client.least <= now["count"] <= client.most and {name: now[name] for name in process} == process
    assert len(client.interruptions) == MIGRATIONS
    report(client, results)
    for node in set(NODES) - {results[-1]["node"]}:
        running = f"crictl pods --namespace {cluster.namespace} --state ready --quiet"
        assert node_run(node, running) == ""
    nothing_left(cluster, NODES)
    folder = pathlib.Path(os.environ["XDG_STATE_HOME"], "checkpoint_restore.kubernetes", "moves")
    assert folder.is_dir() and state_files.unfinished(str(folder)) == []


def moved(cluster: Cluster, controller: Controller, start: str, numbers: range) -> list[dict[str, t.Any]]:
    """The results of so many moves, one node on at a time."""
    first = NODES.index(start) + 1
    nodes = [NODES[(first + number) % len(NODES)] for number in numbers]
    arguments = {"namespace": cluster.namespace, "pod": POD, "node": "{{ item }}"}
    outcome = controller.task("checkpoint_migrate", keywords={"loop": nodes}, **arguments)
    results: list[dict[str, t.Any]] = outcome["results"]
    wrong = [(node, result) for node, result in zip(nodes, results) if result.get("outcome") != "moved"]
    assert not wrong, (wrong, controller.output)
    warnings = [text for result in results for text in result.get("warnings", [])]
    assert warnings == []
    return results


def report(client: Client, results: t.Sequence[dict[str, t.Any]]) -> None:
    """The figures, for people: nothing here decides about the test."""
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"\n{len(results)} moves, {client.answered} increments, {client.unanswered} unanswered; load {load}")
    ways = collections.defaultdict(list)
    for result, (*_addresses, seconds) in zip(results, client.interruptions):
        kinds = [result[key].partition("-")[0] for key in ("source", "node")]
        ways[" -> ".join(kinds)].append((seconds, result["down_seconds"], result["seconds"]["total"]))
    ways["all"] = [figures for each in list(ways.values()) for figures in each]
    for name, figures in ways.items():
        columns = list(zip(*figures))
        shown = [f"{statistics.median(column):.2f} / {max(column):.2f}" for column in columns]
        print(f"{name:13} interruption {shown[0]}, frozen to Ready {shown[1]}, move {shown[2]} s (median / longest)")
