# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook restore: a pod comes back on another node and counts on, or nothing is left of the try."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import typing as t

import pytest
from restore_support import counts
from support import LAB, SOME_NODES, Cluster, Controller, kubectl, node_run

pytestmark = pytest.mark.usefixtures("restore_runtime")

CRIO, CTD = SOME_NODES
STORE = "/var/lib/checkpoint-restore"
STRICT = {
    "name": "app",
    "securityContext": {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False},
}


class Source(t.NamedTuple):
    """A pod that counted, and its archive: on which node, and how far it had come before and after."""

    node: str
    pod: str
    archive: str
    before: int
    after: int


@pytest.fixture(scope="module")
def sources(cluster: Cluster) -> dict[str, Source]:
    found = {}
    for node in (CRIO, CTD):
        name = f"source-{node}"
        cluster.apply(cluster.pod(name, node))
        cluster.says(name, "count 3")
        before = counts(cluster, name)[-1]
        path = f"/api/v1/nodes/{node}/proxy/checkpoint/{cluster.namespace}/{name}/app"
        archive = json.loads(kubectl("create", "--raw", path, "--filename=-", document={}))["items"][0]
        found[node] = Source(node, name, archive, before, counts(cluster, name)[-1])
    return found


def left(node: str, namespace: str) -> str:
    """Tickets for the namespace, and copies of its archives, whole or not."""
    places = " ".join(f"{STORE}/{name}" for name in ("archives", "tickets"))
    return node_run(node, f"find {places} -name '*{namespace}*' 2>/dev/null; true")


def names(cluster: Cluster) -> set[str]:
    return set(kubectl("get", "pods", "--namespace", cluster.namespace, "--output=name").split())


@pytest.mark.parametrize(("source", "target"), [pytest.param(CRIO, CTD, marks=pytest.mark.every_core), (CTD, CRIO)])
def test_a_pod_comes_back_on_a_node(
    cluster: Cluster, controller: Controller, sources: dict[str, Source], source: str, target: str
) -> None:
    taken = sources[source]
    name = f"again-{source}-{target}"
    variables = {"archive": taken.archive, "archive_host": source, "node": target, "pod": name, "security": "clamp"}

    done = controller.playbook("restore", **variables)
    assert done.returncode == 0, controller.output
    assert "By the controller" not in controller.output
    cluster.says(name, "count")
    assert "listening" not in cluster.logs(name)
    assert taken.before < counts(cluster, name)[0] <= taken.after + 1
    status = cluster.get(name)["status"]["containerStatuses"][0]
    assert (status["restartCount"], status["ready"]) == (0, True)
    assert left(target, cluster.namespace) == ""
    cluster.delete(name)


def test_it_foretells_what_it_does_and_does_it_once(
    cluster: Cluster, controller: Controller, sources: dict[str, Source]
) -> None:
    name = "once"
    variables = {"archive": sources[CTD].archive, "node": CTD, "pod": name}
    there = names(cluster)

    done = controller.playbook("restore", "--check", "--diff", **variables)
    assert done.returncode == 0, controller.output
    assert f'"name": "{name}"' in controller.output
    assert names(cluster) == there

    assert controller.playbook("restore", **variables).returncode == 0, controller.output
    uid = cluster.get(name)["metadata"]["uid"]
    done = controller.playbook("restore", **variables)
    assert done.returncode == 0, controller.output
    assert re.findall(r"changed=(\d+)", controller.output) == ["0"], controller.output
    assert cluster.get(name)["metadata"]["uid"] == uid
    cluster.delete(name)


def test_an_archive_of_the_controller_and_a_pod_that_is_gone(
    cluster: Cluster, controller: Controller, sources: dict[str, Source], tmp_path: pathlib.Path
) -> None:
    taken = sources[CTD]
    kept = cluster.get(taken.pod)
    archive = tmp_path / f"kept-{cluster.namespace}.tar"
    with archive.open("wb") as file:
        subprocess.run([str(LAB / "lab"), "exec", CTD, "cat", taken.archive], stdout=file, check=True)
    cluster.delete(taken.pod)

    variables = {"archive": str(archive), "archive_host": "localhost", "node": CTD, "source_definition": kept}
    done = controller.playbook("restore", **variables)
    assert done.returncode == 0, controller.output
    assert "By the controller" not in controller.output
    cluster.says(taken.pod, "count")
    assert counts(cluster, taken.pod)[0] > taken.before
    assert cluster.get(taken.pod)["metadata"]["labels"] == kept["metadata"]["labels"]
    assert archive.exists()
    assert left(CTD, cluster.namespace) == ""


def test_what_is_refused_leaves_nothing(cluster: Cluster, controller: Controller, sources: dict[str, Source]) -> None:
    taken = sources[CRIO]
    there = names(cluster)
    patch = {"spec": {"containers": [STRICT]}}
    variables = {"archive": taken.archive, "archive_host": CRIO, "node": CTD, "pod": "refused", "patch": patch}

    done = controller.playbook("restore", **variables)
    assert done.returncode != 0
    assert "capability:CAP_CHOWN" in controller.output
    assert names(cluster) == there
    assert left(CTD, cluster.namespace) == ""


def test_what_is_no_archive_is_a_sentence(cluster: Cluster, controller: Controller) -> None:
    done = controller.playbook("restore", archive="/etc/hostname", node=CTD)
    assert done.returncode != 0
    assert "/etc/hostname: " in controller.output
    assert left(CTD, cluster.namespace) == ""
