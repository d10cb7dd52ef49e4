# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the manifest takes from inside an archive, on archives that real runtimes wrote."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._evidence import Incident
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._inside import (
    Item,
    declared_ports,
    in_words,
    look_inside,
)

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
CRIO = FIXTURES / "crio-runc-counter.tar.bz2"
OF_CRIO = {
    "namespace": "archive-helper",
    "pod": "counter-crio",
    "pod_uid": "5e91c66d-6900-4a08-8c6b-c2d6dbb7afe7",
    "container": "counter",
    "container_id": "0fc0946e6be46f3c55b5d399fe0199cd975482dcdba337bd39fef388f6de10cb",
}


def test_processes_listeners_and_findings() -> None:
    inside = look_inside(str(CRIO), OF_CRIO)
    assert [process["name"] for process in inside["processes"]] == ["counter"]
    assert [listener["local_port"] for listener in inside["listeners"]] == [8080]
    assert "listener_undeclared" in [finding["id"] for finding in inside["findings"]]
    assert inside["identity"]["engine"] == "CRI-O"
    assert in_words(inside).startswith("processes: 1 (counter); listening: tcp 8080; findings: ")


def test_no_environment_goes_into_a_manifest() -> None:
    inside = look_inside(str(FIXTURES / "containerd-2.1-ledger.tar.xz"), {})
    facts = json.loads((FIXTURES / "containerd-2.1-ledger.facts.json").read_text())
    assert facts["environment"]["text"] not in json.dumps(inside)


def undeclared(inside: Item) -> list[str]:
    found = [finding for finding in inside["findings"] if finding["id"] == "listener_undeclared"]
    return [evidence["address"] for finding in found for evidence in finding["evidence"]]


def pod_file(folder: Path, **spec: t.Any) -> str:
    path = folder / "pod.json"
    path.write_text(json.dumps({"kind": "Pod", "metadata": {"name": "counter-crio"}, "spec": spec}))
    return str(path)


PORTS = [{"name": "counter", "containerPort": 8080, "protocol": "TCP"}]


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "counter", "ports": PORTS}]},
        {"containers": [{"name": "counter"}, {"name": "proxy", "ports": PORTS}]},
        {"containers": [{"name": "counter"}], "initContainers": [{"name": "sidecar", "ports": PORTS}]},
    ],
)
def test_a_port_may_be_declared_by_any_container_of_the_pod(tmp_path: Path, spec: Item) -> None:
    assert undeclared(look_inside(str(CRIO), OF_CRIO)) == ["0.0.0.0:8080"]
    assert undeclared(look_inside(str(CRIO), OF_CRIO, pod_file(tmp_path, **spec))) == []


@pytest.mark.parametrize("ports", [None, [], [{"containerPort": 8081}], [{"containerPort": 8080, "protocol": "UDP"}]])
def test_other_ports_of_the_pod_do_not_count(tmp_path: Path, ports: t.Any) -> None:
    pod = pod_file(tmp_path, containers=[{"name": "counter", "ports": ports}, {"name": "proxy"}])
    assert undeclared(look_inside(str(CRIO), OF_CRIO, pod)) == ["0.0.0.0:8080"]


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"spec": {"containers": [1]}}', '{"spec": {}}'])
def test_without_a_pod_that_can_be_read_the_archive_tells_the_ports(tmp_path: Path, content: str) -> None:
    (tmp_path / "pod.json").write_text(content)
    assert declared_ports(str(tmp_path / "pod.json")) is None
    assert declared_ports(str(tmp_path / "missing.json")) is None
    assert look_inside(str(CRIO), OF_CRIO, str(tmp_path / "pod.json"))["processes"]


@pytest.mark.parametrize("key", sorted(OF_CRIO))
def test_an_archive_of_another_container_is_refused(key: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        look_inside(str(CRIO), {**OF_CRIO, key: "another"})
    assert refused.value.code == "identity_mismatch"
    assert f"{key}: asked for another, inside {OF_CRIO[key]}" in refused.value.message


def test_what_was_not_known_or_not_recorded_is_not_compared() -> None:
    assert look_inside(str(CRIO), {**OF_CRIO, "pod_uid": None, "container_id": None})
    assert look_inside(
        str(FIXTURES / "podman-5.4-ledger.tar.gz"), {**OF_CRIO, "container": "ledger", "container_id": None}
    )


def collected(folder: Path, asked: Item, *pods: Item) -> Incident:
    """An incident with the archive of CRIO, fetched for the container that was asked for; pods as they were kept."""
    incident = Incident.new(str(folder))
    facts = {"ansible_version": "2.19.14", "collection_version": "1", "api_server": "https://api:6443", "selection": {}}
    incident.begin_run(1_795_253_880.0, facts, [])
    incident.save()
    incident.keep_objects(1_795_253_881.0, pods, {})
    node = {"node": "crio-a", "node_address": "10.77.0.11", "runtime": "cri-o", "runtime_version": "1.36.3"}
    taken = {**asked, **node, "image": "", "image_id": "", "path": "/c/a.tar", "started": None, "duration": 1.0}
    incident.add_checkpoints([taken], [])
    ((archive,),) = [incident.awaited()[0]["archives"]]
    here = folder / "archives" / archive["name"]
    shutil.copy(CRIO, here)
    fetched = {"destination": str(here), "size": 1, "node_sha256": incident._digest(f"archives/{archive['name']}")}
    incident.add_transfers([{"archives": [{**fetched, "mtime": None, "fetched": None}], "node": {}}])
    incident.verify()
    incident.end_run(1_795_253_890.0)
    incident.save()
    return incident


def test_a_mismatch_makes_the_incident_incomplete(tmp_path: Path) -> None:
    incident = collected(tmp_path / "case", {**OF_CRIO, "pod": "web-0"})
    assert not incident.complete
    manifest = json.loads((tmp_path / "case" / "manifest.json").read_text())
    assert [failure["code"] for failure in manifest["runs"][-1]["failures"]] == ["identity_mismatch"]
    (archive,) = manifest["archives"]
    assert not archive["verified"]
    assert Path(archive["file"]).name not in (tmp_path / "case" / "SHA256SUMS").read_text()
    assert "identity_mismatch" in "\n".join(incident.summary())


def test_the_ports_of_an_incident_are_those_of_the_pod_that_was_kept(tmp_path: Path) -> None:
    metadata = {"namespace": OF_CRIO["namespace"], "name": OF_CRIO["pod"], "uid": OF_CRIO["pod_uid"]}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "counter"}, {"name": "proxy", "ports": PORTS}]}}
    (archive,) = collected(tmp_path / "case", OF_CRIO, pod).archives
    assert archive["verified"] and undeclared(archive["inside"]) == []
    (archive,) = collected(tmp_path / "other", OF_CRIO).archives
    assert archive["verified"] and undeclared(archive["inside"]) == ["0.0.0.0:8080"]
