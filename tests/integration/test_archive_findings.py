# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding on running containers: one that was broken into, and one that was given too much of its node."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings_rules import RULES
from labkit import images, topology
from support import Cluster, Controller, node_run

NODES = ("crio-a", "ctd-a")
SOURCE = pathlib.Path(__file__).resolve().with_name("intruder.c")
PASSWORD = "planted-in-the-environment"
PATHS = {"crio": "/run/crio", "containerd": "/run/containerd"}

Findings = dict[str, list[dict[str, t.Any]]]


@pytest.fixture(scope="module")
def intruder(facts: dict[str, t.Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the image of intruder.c, tag 1."""
    program = tmp_path_factory.mktemp("intruder") / "intruder"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-s", "-o", program, SOURCE], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    files = {"/bin/intruder": program}
    images.push(facts["registry"], "it-intruder", "1", files, entrypoint=["/bin/intruder"], **where)
    return "it-intruder"


def broken_into(cluster: Cluster, node: str, image: str) -> dict[str, t.Any]:
    environment = [{"name": "DB_PASSWORD", "value": PASSWORD}]
    ports = [{"containerPort": 80}]
    return cluster.pod(f"intruder-{node}", node, image, env=environment, ports=ports)


def given_too_much(cluster: Cluster, node: str) -> dict[str, t.Any]:
    """The node's network and IPC, its /etc, the folder of its runtime's socket, and a capability."""
    folders = {"etc": "/etc", "runtime": PATHS[topology.named(node).runtime]}
    mounts = [{"name": name, "mountPath": f"/node/{name}"} for name in folders]
    pod = cluster.pod(
        f"owner-{node}",
        node,
        "pause",
        volumeMounts=mounts,
        securityContext={"capabilities": {"add": ["SYS_PTRACE"]}},
    )
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in folders.items()]
    pod["spec"].update(volumes=volumes, hostNetwork=True, hostIPC=True)
    return pod


def inspected(cluster: Cluster, controller: Controller, node: str, pod: str) -> Findings:
    """The findings by their ID, from an archive that was just taken; it is removed again."""
    taken = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[pod])
    assert not taken["failed"], taken
    path = taken["checkpoints"][0]["path"]
    seen = controller.task("checkpoint_inspect", on=node, keywords={"become": True}, path=path, sections=["summary"])
    node_run(node, f"rm '{path}'")
    assert not seen["failed"], seen
    found: Findings = {}
    for finding in seen["findings"]:
        found.setdefault(finding["id"], []).extend({**one, **finding} for one in finding["evidence"])
    return found


def pieces(found: Findings, identifier: str, **wanted: t.Any) -> list[dict[str, t.Any]]:
    return [one for one in found.get(identifier, []) if all(one[key] == value for key, value in wanted.items())]


@pytest.fixture(scope="module", params=NODES)
def both(
    request: pytest.FixtureRequest, cluster: Cluster, intruder: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Findings, dict[str, int], Findings]:
    """What is found in the first, its PIDs by what they do, and what is found in the second."""
    node = request.param
    controller = Controller(tmp_path_factory.mktemp("findings"))
    cluster.apply(broken_into(cluster, node, intruder), given_too_much(cluster, node))
    cluster.says(f"intruder-{node}", '"password"')
    pids = json.loads(cluster.logs(f"intruder-{node}").splitlines()[0])
    first, second = (inspected(cluster, controller, node, f"{name}-{node}") for name in ("intruder", "owner"))
    return first, pids, second


def test_what_an_intruder_left(both: tuple[Findings, dict[str, int], Findings]) -> None:
    found, pids, _second = both
    init = pids["init"]
    for identifier, wanted in (
        ("executable_memfd", {"pid": pids["memfd"], "path": "/memfd:payload", "severity": "high"}),
        ("executable_deleted", {"pid": pids["deleted"], "path": "/tmp/gone", "severity": "high"}),
        ("executable_not_in_image", {"pid": pids["added"], "path": "/usr/bin/added", "severity": "high"}),
        ("executable_added", {"path": "/usr/bin/added", "severity": "high"}),
        ("deleted_files", {"pid": init, "path": "/tmp/deleted"}),
        ("memory_writable_executable", {"pid": init}),
        ("memory_anonymous_executable", {"pid": init}),
        ("user_changed", {"pid": pids["user"], "severity": "info"}),
        ("reverse_shell", {"pid": pids["network"], "address": "203.0.113.7:4444", "severity": "high"}),
        ("reverse_shell", {"pid": pids["socket"], "severity": "medium"}),
        ("connection_outside", {"address": "203.0.113.7:4444"}),
        ("listener_undeclared", {"pid": init, "address": "0.0.0.0:4444", "severity": "medium"}),
        ("preload", {"pid": pids["preload"], "path": "/tmp/hidden.so", "severity": "high"}),
        ("credentials_environment", {"pid": init}),
        ("credentials_arguments", {"pid": pids["password"]}),
        ("seccomp_off", {"pid": init, "severity": "low"}),
    ):
        assert pieces(found, identifier, **wanted), (identifier, wanted, found.get(identifier))
    assert "DB_PASSWORD" in pieces(found, "credentials_environment", pid=init)[0]["detail"]
    shown = json.dumps(found)
    assert PASSWORD not in shown and "planted-on-the-command-line" not in shown
    assert not {"host_namespace", "host_mount", "runtime_socket", "capabilities"} & set(found)


def test_what_a_pod_was_given(both: tuple[Findings, dict[str, int], Findings]) -> None:
    _first, _pids, found = both
    assert pieces(found, "capabilities", severity="high")[0]["detail"] == "CAP_SYS_PTRACE"
    assert pieces(found, "host_mount", path="/etc", severity="high", detail="At /node/etc, writable")
    assert any(one["path"] in PATHS.values() for one in pieces(found, "runtime_socket", severity="high"))
    told = " ".join(one["detail"] for one in found["host_namespace"])
    assert "network namespace" in told and "ipc namespace" in told
    assert not {"executable_memfd", "executable_deleted", "reverse_shell", "listener_undeclared"} & set(found)


def test_no_finding_was_left_out(both: tuple[Findings, dict[str, int], Findings]) -> None:
    first, _pids, second = both
    assert {rule.id for rule in RULES} == set(first) | set(second)
