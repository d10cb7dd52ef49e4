# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Established TCP connections of a pod that is moved: those within a container go on if that is asked for."""

from __future__ import annotations

import pathlib
import re
import socket
import subprocess
import typing as t

import pytest
from labkit import images
from migrate_support import failed, migrate, nothing_left
from support import SOME_NODES, Cluster, Controller, kubectl

pytestmark = pytest.mark.usefixtures("restore_runtime")

CRIO, CTD = SOME_NODES


def exchanges(cluster: Cluster, name: str) -> list[int]:
    """What went from one end of the connection to the other and back."""
    return [int(number) for number in re.findall(r"^exchange (\d+)$", cluster.logs(name), re.MULTILINE)]


def goes_on(cluster: Cluster, name: str) -> None:
    """The process ends as soon as its connection does; it counts on, and was never started anew."""
    last = exchanges(cluster, name)[-1]
    cluster.says(name, f"exchange {last + 2}")
    seen = exchanges(cluster, name)
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert cluster.get(name)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_connection_of_a_process_with_itself_goes_on(cluster: Cluster, controller: Controller) -> None:
    cluster.apply(cluster.pod("talks", CRIO, "chatty"))
    cluster.says("talks", "exchange 2")
    for target in (CTD, CRIO):
        before = exchanges(cluster, "talks")[-1]
        result = migrate(controller, cluster, "talks", target, tcp_established="keep")
        (check,) = (each for each in result["checks"] if each["name"] == "connections")
        assert check["result"] == "passed" and "which are kept: 127.0.0.1:" in check["reason"]
        cluster.says("talks", "exchange")
        assert exchanges(cluster, "talks")[0] > before
        goes_on(cluster, "talks")
    # The one of a process that is dumped and runs on is not touched, and neither is that of its copy.
    options = {"strategy": "copy", "tcp_established": "keep"}
    copied = controller.task("checkpoint_migrate", namespace=cluster.namespace, pod="talks", node=CTD, **options)
    assert copied.get("outcome") == "copied", (copied, controller.output)
    cluster.says(copied["pod"], "exchange")
    goes_on(cluster, copied["pod"])
    goes_on(cluster, "talks")
    nothing_left(cluster)
    cluster.delete("talks", copied["pod"])


def test_one_that_leads_elsewhere_is_refused_before_anything_is_frozen(
    cluster: Cluster, controller: Controller, facts: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    source = pathlib.Path(__file__).with_name("talker.c")
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", tmp_path / "talker", source], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    files = {"/talker": tmp_path / "talker"}
    digest = images.push(facts["registry"], "it-connected", "1", files, entrypoint=["/talker"], **where)
    pod = cluster.pod("served", CRIO)
    pod["spec"]["containers"][0]["image"] = f"{facts['registry']}/it-connected@{digest}"
    cluster.apply(pod)
    before = cluster.get("served")
    arguments: dict[str, t.Any] = {"namespace": cluster.namespace, "pod": "served", "node": CTD}
    with socket.create_connection((before["status"]["podIP"], 7070), timeout=10) as client:
        client.sendall(b"+")
        assert client.recv(100)
        result = controller.task("checkpoint_migrate", **arguments, tcp_established="keep")
        assert failed(result) == ["connections"] and "outside their container" in str(result["checks"]), result
        client.sendall(b"+")
        assert client.recv(100), "it was not touched"
    assert cluster.get("served")["metadata"]["uid"] == before["metadata"]["uid"]
    cluster.delete("served")


def test_one_within_is_warned_of_where_it_is_closed(cluster: Cluster, controller: Controller) -> None:
    cluster.apply(cluster.pod("told", CRIO, "chatty"))
    cluster.says("told", "exchange 2")
    arguments: dict[str, t.Any] = {"namespace": cluster.namespace, "pod": "told", "node": CTD}
    result = controller.task("checkpoint_migrate", check=True, **arguments)
    (check,) = (each for each in result["checks"] if each["name"] == "connections")
    assert check["result"] == "warning" and "2 of them within their container" in check["reason"], result
    assert "tcp_established to keep" in check["hint"]
    kubectl("delete", "pod", "told", "--namespace", cluster.namespace, "--now")
