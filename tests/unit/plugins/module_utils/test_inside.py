# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the manifest takes from inside an archive, on archives that real runtimes wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._evidence import Incident
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._inside import in_words, look_inside

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


def test_a_mismatch_makes_the_incident_incomplete(tmp_path: Path) -> None:
    incident = Incident.new(str(tmp_path / "case"))
    facts = {"ansible_version": "2.19.14", "collection_version": "1", "api_server": "https://api:6443", "selection": {}}
    incident.begin_run(1_795_253_880.0, facts, [])
    incident.save()
    asked = {**OF_CRIO, "pod": "web-0", "node": "crio-a", "node_address": "10.77.0.11", "image": "", "image_id": ""}
    taken = {
        **asked,
        "runtime": "cri-o",
        "runtime_version": "1.36.3",
        "path": "/c/a.tar",
        "started": None,
        "duration": 1.0,
    }
    incident.add_checkpoints([taken], [])
    ((archive,),) = [incident.awaited()[0]["archives"]]
    here = tmp_path / "case" / "archives" / archive["name"]
    shutil.copy(CRIO, here)
    fetched = {"destination": str(here), "size": 1, "node_sha256": incident._digest(f"archives/{archive['name']}")}
    incident.add_transfers([{"archives": [{**fetched, "mtime": None, "fetched": None}], "node": {}}])
    incident.verify()
    incident.end_run(1_795_253_890.0)
    incident.save()
    assert not incident.complete
    manifest = json.loads((tmp_path / "case" / "manifest.json").read_text())
    assert [failure["code"] for failure in manifest["runs"][-1]["failures"]] == ["identity_mismatch"]
    assert not manifest["archives"][0]["verified"]
    assert archive["name"] not in (tmp_path / "case" / "SHA256SUMS").read_text()
    assert "identity_mismatch" in "\n".join(incident.summary())
