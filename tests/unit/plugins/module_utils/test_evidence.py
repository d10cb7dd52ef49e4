# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of an incident: what is in it after each step, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils import _evidence
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._evidence import Incident

NOW = 1_795_253_880.5
LATER = NOW + 60
FACTS = {"ansible_version": "2.19.14", "collection_version": "1.0.0", "api_server": "https://api:6443", "selection": {}}
SECRET = "hunter2"
INSIDE = {"identity": {}, "processes": [], "listeners": [], "findings": [], "notes": []}
Item = dict[str, t.Any]


@pytest.fixture(autouse=True)
def nothing_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about bytes and books: what real archives hold is for test_inside."""
    monkeypatch.setattr(_evidence, "look_inside", lambda _path, _asked, _pod: INSIDE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "case-42"


def pod(name: str, uid: str = "") -> Item:
    """As the API server gives it, with a secret that must not leave its file."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "uid": uid or f"uid-{name}"},
        "spec": {"containers": [{"name": "web", "env": [{"name": "PASSWORD", "value": SECRET}]}]},
        "status": {"phase": "Running", "message": "naïve ✓"},
    }


NODE = {"status": {"nodeInfo": {"kubeletVersion": "v1.36.2", "kernelVersion": "6.18.0", "architecture": "amd64"}}}


def target(name: str, node: str = "crio-a", **changes: t.Any) -> Item:
    return {
        "node": node,
        "node_address": "10.77.0.11",
        "namespace": "shop",
        "pod": name,
        "pod_uid": f"uid-{name}",
        "container": "web",
        "container_id": f"id-{name}",
        "image": "registry/counter:1",
        "image_id": "registry/counter@sha256:0",
        "runtime": "cri-o",
        "runtime_version": "1.36.3",
        "labels": {},
        **changes,
    }


def checkpoint(name: str, node: str = "crio-a", **changes: t.Any) -> Item:
    taken = {"started": "2026-11-21T09:38:01.123Z", "duration": 0.5, "attempts": 1, "reused": False}
    return {**target(name, node), **taken, "path": f"/var/lib/kubelet/checkpoints/{name}.tar", **changes}


def not_taken(name: str, code: str = "criu_failed", **changes: t.Any) -> Item:
    error = {"code": code, "reason": "CRIU could not dump the container", "hint": "Read its log", "message": "errno 0"}
    return {**target(name), **error, "phase": "checkpoint", "retryable": False, **changes}


def opened(folder: Path, names: t.Sequence[str] = ("web-0", "web-1"), failures: t.Sequence[Item] = ()) -> Incident:
    incident = Incident.new(str(folder))
    incident.begin_run(NOW, FACTS, failures)
    incident.save()
    incident.keep_objects(NOW, [pod(name) for name in names], {"crio-a": NODE})
    incident.save()
    return Incident.existing(str(folder))


def transfer(incident: Incident, *, damaged: str = "", missing: str = "") -> Item:
    """Put the awaited archives into the folder, and say what checkpoint_fetch would have said."""
    result: Item = {"archives": [], "failures": [], "node": {"kernel": "6.18.1", "criu_version": "4.2.1"}}
    result["node"].update(clock_offset=0.25, clock_offset_error=0.5)
    for node in incident.awaited():
        for archive in node["archives"]:
            content = f"memory of {archive['path']}".encode()
            where = Path(incident.folder, "archives", archive["name"])
            if archive["name"] == missing:
                error = {"code": "transfer_cut", "reason": "The connection broke", "hint": "", "message": ""}
                result["failures"].append({"path": archive["path"], "name": archive["name"], **error})
                continue
            where.write_bytes(b"damage" if archive["name"] == damaged else content)
            result["archives"].append(
                {
                    "path": archive["path"],
                    "destination": str(where),
                    "size": len(content),
                    "node_sha256": hashlib.sha256(content).hexdigest(),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "mtime": "2026-11-21T09:38:02.000000Z",
                    "fetched": "2026-11-21T09:38:10.000000Z",
                }
            )
    return result


def close(incident: Incident, *transfers: Item) -> Incident:
    incident.add_transfers(transfers)
    incident.verify()
    incident.end_run(LATER)
    incident.save()
    return Incident.existing(incident.folder)


def collect(folder: Path, **faults: str) -> Incident:
    """A whole run over two pods."""
    incident = opened(folder)
    incident.add_checkpoints([checkpoint("web-0"), checkpoint("web-1")], [])
    incident.save()
    return close(incident, transfer(incident, **faults))


def manifest(folder: Path) -> Item:
    return t.cast("Item", json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def failures(incident: Incident) -> list[tuple[str, str, str]]:
    return [(failure["stage"], failure["pod"] or "", failure["code"]) for failure in incident.run["failures"]]


WEB_0 = "crio-a_shop_web-0_web_20261121T093801Z.tar"
WEB_1 = "crio-a_shop_web-1_web_20261121T093801Z.tar"


def test_a_whole_run(folder: Path) -> None:
    incident = collect(folder)
    assert incident.complete
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "SHA256SUMS",
        f"archives/{WEB_0}",
        f"archives/{WEB_1}",
        "manifest.json",
        "pods/shop_web-0_20261121T093800Z.json",
        "pods/shop_web-1_20261121T093800Z.json",
    ]
    for path in folder.rglob("*"):
        if path.is_dir() or path.parent.name != "archives":
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_the_manifest_of_a_whole_run(folder: Path) -> None:
    collect(folder)
    written = manifest(folder)
    digest = hashlib.sha256(b"memory of /var/lib/kubelet/checkpoints/web-0.tar").hexdigest()
    assert (written["schema"], written["schema_version"]) == ("checkpoint_restore.kubernetes/incident", 1)
    assert (written["incident"], written["complete"]) == ("case-42", True)
    assert written["nodes"]["crio-a"]["kubelet_version"] == "v1.36.2"
    assert written["archives"][0] == {
        "node": "crio-a",
        "node_address": "10.77.0.11",
        "namespace": "shop",
        "pod": "web-0",
        "pod_uid": "uid-web-0",
        "container": "web",
        "container_id": "id-web-0",
        "image": "registry/counter:1",
        "image_id": "registry/counter@sha256:0",
        "runtime": "cri-o",
        "runtime_version": "1.36.3",
        "started": "2026-11-21T09:38:01.123Z",
        "duration": 0.5,
        "kubelet_version": "v1.36.2",
        "kernel_version": "6.18.1",
        "criu_version": "4.2.1",
        "pod_object": "pods/shop_web-0_20261121T093800Z.json",
        "path_on_node": "/var/lib/kubelet/checkpoints/web-0.tar",
        "file": f"archives/{WEB_0}",
        "size": 48,
        "sha256_on_node": digest,
        "sha256": digest,
        "verified": True,
        "lost": False,
        "inside": INSIDE,
        "written": "2026-11-21T09:38:02.000000Z",
        "fetched": "2026-11-21T09:38:10.000000Z",
        "node_clock_offset": 0.25,
        "node_clock_offset_error": 0.5,
    }
    (run,) = written["runs"]
    assert (run["began"], run["ended"]) == ("2026-11-21T09:38:00.500000Z", "2026-11-21T09:39:00.500000Z")
    assert set(run["by"]) >= {"user", "host"}
    assert run["failures"] == []


def test_sha256sum_accepts_the_sums(folder: Path) -> None:
    collect(folder)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 5


def test_the_pods_are_kept_as_the_api_server_gave_them(folder: Path) -> None:
    collect(folder)
    assert json.loads((folder / "pods" / "shop_web-0_20261121T093800Z.json").read_text(encoding="utf-8")) == pod(
        "web-0"
    )


def test_the_secrets_of_a_pod_are_in_its_own_file_only(folder: Path) -> None:
    incident = collect(folder)
    assert SECRET in (folder / "pods" / "shop_web-0_20261121T093800Z.json").read_text()
    assert SECRET not in (folder / "manifest.json").read_text()
    assert SECRET not in str(incident.summary())
    assert SECRET not in str(incident.awaited())


def test_the_summary_of_a_whole_run(folder: Path) -> None:
    lines = collect(folder).summary()
    assert lines[0] == "Incident case-42: complete, 2 of 2 archives collected and verified"
    assert f"Folder: {folder}" in lines
    assert "NOT COLLECTED:" not in lines
    assert "  crio-a:/var/lib/kubelet/checkpoints/web-1.tar" in lines


def test_what_was_not_collected_is_said_loudly(folder: Path) -> None:
    gone = not_taken("web-9", "pod_not_found", node=None, container=None)
    incident = opened(folder, failures=[gone])
    incident.add_checkpoints([checkpoint("web-0"), checkpoint("web-1")], [not_taken("web-2")])
    incident = close(incident, transfer(incident, missing=WEB_1))
    assert not incident.complete
    assert failures(incident) == [
        ("select", "web-9", "pod_not_found"),
        ("transfer", "web-1", "transfer_cut"),
        ("checkpoint", "web-2", "criu_failed"),
    ]
    lines = incident.summary()
    assert lines[0] == "Incident case-42: INCOMPLETE, 1 of 4 archives collected and verified"
    assert "NOT COLLECTED:" in lines
    assert (
        "  shop/web-2/web on crio-a: criu_failed: CRIU could not dump the container. Read its log. "
        "Original message: errno 0"
    ) in lines
    assert manifest(folder)["complete"] is False
    assert WEB_1 not in (folder / "SHA256SUMS").read_text()


def test_an_archive_that_is_not_what_the_node_had(folder: Path) -> None:
    incident = collect(folder, damaged=WEB_0)
    assert failures(incident) == [("verify", "web-0", "archive_altered")]
    assert WEB_0 not in (folder / "SHA256SUMS").read_text()
    assert [archive["verified"] for archive in incident.archives] == [False, True]


def test_an_archive_that_was_altered_since_is_found_by_the_next_run(folder: Path) -> None:
    incident = collect(folder)
    (folder / "archives" / WEB_1).write_bytes(b"tampered with")
    incident.begin_run(LATER, FACTS, [])
    assert failures(close(incident)) == [("verify", "web-1", "archive_altered")]


def test_an_archive_that_is_a_link_is_refused(folder: Path) -> None:
    incident = collect(folder)
    (folder / "archives" / WEB_1).rename(folder / "elsewhere")
    (folder / "archives" / WEB_1).symlink_to(folder / "elsewhere")
    with pytest.raises(CheckpointError) as caught:
        incident.verify()
    assert caught.value.code == "destination_unsafe"


def test_nodes_that_were_never_asked_leave_their_archives_awaited(folder: Path) -> None:
    """The second play died, or a node's result is missing."""
    incident = opened(folder)
    incident.add_checkpoints([checkpoint("web-0")], [])
    assert failures(close(incident, {})) == [("verify", "web-0", "not_fetched")]


def test_an_empty_incident_is_not_complete(folder: Path) -> None:
    assert not close(opened(folder, [])).complete


def test_a_run_that_was_cut_off_after_the_checkpoint_is_continued(folder: Path) -> None:
    incident = opened(folder)
    incident.add_checkpoints([checkpoint("web-0"), checkpoint("web-1", "ctd-a")], [])
    incident.save()
    found = Incident.existing(str(folder))
    assert not found.lacks(target("web-0"))
    found.begin_run(LATER, FACTS, [])
    found.save()
    assert found.awaited() == [
        {
            "node": "crio-a",
            "node_address": "10.77.0.11",
            "archives": [{"path": "/var/lib/kubelet/checkpoints/web-0.tar", "name": WEB_0}],
        },
        {
            "node": "ctd-a",
            "node_address": "10.77.0.11",
            "archives": [
                {
                    "path": "/var/lib/kubelet/checkpoints/web-1.tar",
                    "name": "ctd-a_shop_web-1_web_20261121T093801Z.tar",
                }
            ],
        },
    ]
    done = close(found, transfer(found))
    assert done.complete
    assert done.awaited() == []
    assert [run["ended"] for run in done.manifest["runs"]] == [None, "2026-11-21T09:39:00.500000Z"]


def test_only_what_is_missing_is_wanted_again(folder: Path) -> None:
    incident = collect(folder)
    assert not incident.lacks(target("web-0"))
    assert incident.lacks(target("web-2"))
    assert incident.lacks(target("web-0", container_id="id-after-a-restart"))
    assert incident.lacks(target("web-0", pod_uid="another pod of that name"))


def test_a_checkpoint_that_is_known_is_not_added_again(folder: Path) -> None:
    incident = collect(folder)
    incident.begin_run(LATER, FACTS, [])
    incident.add_checkpoints([checkpoint("web-0")], [])
    assert len(incident.archives) == 2


def test_a_later_checkpoint_of_a_pod_refers_to_its_later_object(folder: Path) -> None:
    incident = collect(folder)
    incident.begin_run(LATER, FACTS, [])
    incident.keep_objects(LATER, [pod("web-0")], {})
    incident.add_checkpoints([checkpoint("web-0", path="/later.tar", started="2026-11-21T09:39:01.000Z")], [])
    assert [archive["pod_object"] for archive in incident.archives if archive["pod"] == "web-0"] == [
        "pods/shop_web-0_20261121T093800Z.json",
        "pods/shop_web-0_20261121T093900Z.json",
    ]


def test_an_archive_that_vanished_from_its_node_can_be_replaced(folder: Path) -> None:
    incident = opened(folder)
    incident.add_checkpoints([checkpoint("web-0")], [])
    error = {"code": "archive_missing", "reason": "It does not exist", "hint": "", "message": ""}
    gone = {"archives": [], "node": {}, "failures": [{"path": "/x", "name": WEB_0, **error}]}
    incident = close(incident, gone)
    assert failures(incident) == [("transfer", "web-0", "archive_missing")]
    assert "Kept on the nodes as well:" not in incident.summary()
    assert incident.lacks(target("web-0"))
    assert [archive["name"] for archive in incident.awaited()[0]["archives"]] == [WEB_0]
    incident.begin_run(LATER, FACTS, [])
    incident.add_checkpoints([checkpoint("web-0", path="/later.tar", started="2026-11-21T09:39:01.000Z")], [])
    fetched = transfer(incident, missing=WEB_0)
    fetched["failures"][0]["code"] = "archive_missing"
    incident = close(incident, fetched)
    assert incident.complete
    assert incident.awaited() == []
    assert incident.summary()[0].endswith("complete, 1 of 1 archives collected and verified")


def test_two_archives_never_get_one_name(folder: Path) -> None:
    incident = opened(folder)
    long = "x" * 80
    incident.add_checkpoints([checkpoint(f"{long}{number}", path=f"/{number}.tar") for number in range(3)], [])
    names = [Path(archive["file"]).name for archive in incident.archives]
    assert len(set(names)) == 3
    assert max(len(name) for name in names) <= 200


@pytest.mark.parametrize("started", [None, "", "2026-11-21T09:38:01Z", "2026-11-21T09:38:01.123456Z"])
def test_the_name_of_an_archive_is_harmless(folder: Path, started: str | None) -> None:
    incident = opened(folder)
    incident.add_checkpoints([checkpoint("web-0", "../../node:1", started=started)], [])
    (archive,) = incident.archives
    assert archive["file"].startswith("archives/..-..-node-1_shop_web-0_web_")
    assert ":" not in archive["file"]
    assert archive["file"].count("/") == 1


def test_a_container_that_is_nowhere_is_told_once(folder: Path) -> None:
    nowhere = not_taken("web-0", "container_not_found", node=None, container="nope")
    incident = opened(folder, failures=[{**nowhere, "pod": None}])
    incident.add_checkpoints([], [nowhere])
    assert failures(incident) == [("select", "", "container_not_found")]


def test_what_was_only_foreseen_in_check_mode_is_no_archive(folder: Path) -> None:
    incident = opened(folder)
    incident.add_checkpoints([checkpoint("web-0", path=None, started=None, duration=None)], [])
    assert incident.archives == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"schema": "another"}',
        '{"schema": "checkpoint_restore.kubernetes/incident", "schema_version": 2}',
    ],
)
def test_refuses_a_folder_that_is_not_an_incident(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        Incident.find(str(folder))
    assert caught.value.code == "destination_in_use"
    assert (folder / "manifest.json").read_text() == content


def test_refuses_a_folder_with_other_things(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(CheckpointError) as caught:
        Incident.find(str(folder))
    assert caught.value.code == "destination_in_use"


def test_refuses_a_file_in_place_of_the_folder(folder: Path) -> None:
    folder.touch()
    with pytest.raises(CheckpointError) as caught:
        Incident.find(str(folder))
    assert caught.value.code == "destination_refused"


def test_takes_an_empty_folder_or_none(folder: Path) -> None:
    assert Incident.find(str(folder)) is None
    folder.mkdir()
    assert Incident.find(str(folder)) is None
    with pytest.raises(CheckpointError) as caught:
        Incident.existing(str(folder))
    assert caught.value.code == "incident_missing"


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ".hidden", "-x", "", "x" * 101, "a b", "a\n"])
def test_names_of_incidents(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        _evidence.incident_folder("/evidence", name)
    assert caught.value.code == "incident_name_unsafe"


def test_the_folder_of_an_incident() -> None:
    assert _evidence.incident_folder("/evidence", f"{_evidence.stamp(NOW)}-shop") == "/evidence/20261121T093800Z-shop"


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    incident = collect(folder)
    before = (folder / "manifest.json").read_text()

    def refuse(_descriptor: int) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_evidence.os, "fsync", refuse)
    with pytest.raises(CheckpointError) as caught:
        incident.save()
    assert caught.value.code == "destination_full"
    assert (folder / "manifest.json").read_text() == before
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "archives", "manifest.json", "pods"]


def test_objects_are_never_written_over(folder: Path) -> None:
    incident = collect(folder)
    incident.keep_objects(NOW, [pod("web-0", "other")], {})
    kept = folder / "pods" / "shop_web-0_20261121T093800Z.json"
    assert json.loads(kept.read_text(encoding="utf-8")) == pod("web-0")
    assert json.loads(kept.with_stem(f"{kept.stem}-2").read_text(encoding="utf-8")) == pod("web-0", "other")
    (folder / "pods" / "shop_web-0_20261121T093900Z.json").write_text("a stranger")
    with pytest.raises(CheckpointError) as caught:
        incident.keep_objects(LATER, [pod("web-0")], {})
    assert caught.value.code == "destination_refused"
    assert (folder / "pods" / "shop_web-0_20261121T093900Z.json").read_text() == "a stranger"
