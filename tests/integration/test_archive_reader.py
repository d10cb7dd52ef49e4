# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive reader on nodes, on archives that were just taken: what ledger planted is found there."""

from __future__ import annotations

import json
import typing as t

import pytest
from support import Cluster, Controller, node_run

NODES = ("crio-a", "ctd-a")
SECRET = "planted-by-the-integration-test"


@pytest.fixture(scope="module")
def taken(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, t.Any]]:
    """Two archives of each ledger, and what it says that it planted. The archives are removed in the end."""
    environment = [{"name": "LEDGER_SECRET", "value": SECRET}]
    cluster.apply(*(cluster.pod(f"ledger-{node}", node, "ledger", env=environment) for node in NODES))
    controller = Controller(tmp_path_factory.mktemp("taken"))
    found: dict[str, t.Any] = {}
    for node in NODES:
        cluster.says(f"ledger-{node}", '"listener"')
        selection = {"namespace": cluster.namespace, "pod": [f"ledger-{node}"]}
        results = [controller.task("kubelet_checkpoint", **selection) for _take in (1, 2)]
        paths = [result["checkpoints"][0]["path"] for result in results]
        found[node] = {"paths": paths, "planted": json.loads(cluster.logs(f"ledger-{node}").splitlines()[0])}
    yield found
    for node in NODES:
        node_run(node, "rm " + " ".join(f"'{path}'" for path in found[node]["paths"]))


@pytest.mark.every_core
@pytest.mark.parametrize("node", NODES)
def test_info_and_inspect_on_the_node(
    taken: dict[str, t.Any], cluster: Cluster, controller: Controller, node: str
) -> None:
    ops = {"vars": {"ansible_user": "ops"}, "become": True}
    path, planted = taken[node]["paths"][0], taken[node]["planted"]
    listed = controller.task("checkpoint_info", on=node, keywords=ops, namespace=[cluster.namespace])
    assert path in [item["path"] for item in listed["checkpoints"]], listed
    assert all(item["readable"] for item in listed["checkpoints"])
    seen = controller.task(
        "checkpoint_inspect", on=node, keywords=ops, path=path, sections=["summary", "processes", "files"]
    )
    assert not seen["failed"] and not seen["changed"]
    assert seen["identity"]["pod"] == f"ledger-{node}"
    pids = {process["pid"]: process for process in seen["processes"]}
    assert set(pids) == {planted["pid"], planted["threads"]["pid"], planted["middle"], planted["leaf"]}
    assert SECRET not in json.dumps(seen)
    first = next(item for item in seen["files"] if item["pid"] == planted["pid"])
    descriptors = {item["fd"]: item["type"] for item in first["descriptors"]}
    assert descriptors[planted["listener"]["fd"]] == "inet_socket"
    assert descriptors[planted["memfd"]["fd"]] == "memfd"
    assert descriptors[planted["eventfd"]["fd"]] == "eventfd"
    assert descriptors[planted["epoll"]["fd"]] == "epoll"
    assert "deleted_files" in [finding["id"] for finding in seen["findings"]]


@pytest.mark.parametrize("node", NODES)
def test_everything_planted_is_found(taken: dict[str, t.Any], controller: Controller, node: str) -> None:
    path, planted = taken[node]["paths"][0], taken[node]["planted"]
    texts = {name: planted[name]["text"].strip() for name in ("deleted", "memfd", "pipe", "socketpair", "shared")}
    texts["heap"] = bytes.fromhex(planted["heap"]["hex"]).decode()
    texts["environment"] = SECRET
    searched = controller.task(
        "checkpoint_search", on=node, keywords={"become": True}, path=path, literals=sorted(texts.values())
    )
    assert not searched["failed"], searched
    places: dict[str, set[str]] = {}
    for hit in searched["hits"]:
        places.setdefault(hit["pattern"], set()).add(hit["place"])
    assert "deleted_file" in places[texts["deleted"]]
    assert "memfd" in places[texts["memfd"]]
    assert "pipe" in places[texts["pipe"]]
    assert "socket_queue" in places[texts["socketpair"]]
    assert {"shared_memory", "sysv_shared_memory"} & places[texts["shared"]]
    assert "memory" in places[texts["heap"]] and "memory" in places[texts["environment"]]


@pytest.mark.parametrize("node", NODES)
def test_two_checkpoints_of_one_container(taken: dict[str, t.Any], controller: Controller, node: str) -> None:
    before, after = taken[node]["paths"]
    compared = controller.task("checkpoint_diff", on=node, keywords={"become": True}, before=before, after=after)
    assert not compared["failed"] and not compared["changed"], compared
    assert compared["summary"] and compared["before"]["container_id"] == compared["after"]["container_id"]
