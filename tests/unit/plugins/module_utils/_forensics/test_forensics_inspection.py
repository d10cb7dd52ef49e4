# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the recorded checkpoints: what was planted in them is in the result, in its place."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.inspection import (
    SECTIONS,
    Wishes,
    inspect,
    inspected,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.redaction import MASK
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.search import Query, search
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.tree import (
    printable,
    quoted,
    render,
    size,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    OLDER,
    REAL,
    facts,
    unescape,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.crafted import (
    Made,
    checkpoint_folder,
)

ALL = Wishes(sections=("everything",))
SECRET = "planted-for-the-archive"
Data = dict[str, t.Any]


@pytest.fixture(scope="module", params=sorted(LEDGERS))
def ledger(request: pytest.FixtureRequest) -> tuple[Data, Data]:
    """(what the program said about itself, the inspection)"""
    name = t.cast("str", request.param)
    return facts(name), inspect(str(FIXTURES / LEDGERS[name]), ALL)


def at(entries: list[Data], **wanted: t.Any) -> Data:
    """The one entry that has these values."""
    found = [entry for entry in entries if all(entry[key] == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, found)
    return found[0]


def descriptor(inspection: Data, pid: int, number: int) -> Data:
    return at(at(inspection["files"], pid=pid)["descriptors"], fd=number)


def test_everything_is_every_section(ledger: tuple[Data, Data]) -> None:
    assert set(SECTIONS) <= set(ledger[1])
    assert {"archive", "identity", "surroundings", "findings", "notes", "escaped"} <= set(ledger[1])
    assert ledger[1]["notes"] == []
    assert json.loads(json.dumps(ledger[1])) == ledger[1]


def test_processes(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    processes = inspection["processes"]
    assert [process["pid"] for process in processes] == sorted(
        [planted["pid"], planted["threads"]["pid"], planted["middle"], planted["leaf"]]
    )
    assert at(processes, pid=planted["leaf"])["ppid"] == planted["middle"]
    assert at(processes, pid=planted["middle"])["children"] == [planted["leaf"]]
    threads = at(processes, pid=planted["threads"]["pid"])["threads"]
    assert [thread["tid"] for thread in threads] == planted["threads"]["tids"]
    assert at(processes, pid=1)["arguments"] == ["/bin/ledger"]


def test_environment_is_redacted_unless_asked_for(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    assert planted["environment"]["text"] == SECRET
    assert f"LEDGER_SECRET={MASK}" in inspection["processes"][0]["environment"]
    assert f"LEDGER_SECRET={MASK}" in inspection["specification"]["spec"]["process"]["env"]
    sections = {key: value for key, value in inspection.items() if key != "logs"}
    assert SECRET not in json.dumps(sections)


@pytest.mark.parametrize("name", sorted(LEDGERS))
def test_environment_in_full_and_by_name(name: str) -> None:
    path = str(FIXTURES / LEDGERS[name])
    full = inspect(path, Wishes(sections=("processes", "specification"), environment="full"))
    assert f"LEDGER_SECRET={SECRET}" in full["processes"][0]["environment"]
    assert f"LEDGER_SECRET={SECRET}" in full["specification"]["spec"]["process"]["env"]
    names = inspect(path, Wishes(sections=("processes", "specification"), environment="names"))
    assert "LEDGER_SECRET" in names["processes"][0]["environment"]
    assert SECRET not in json.dumps(names)


def test_files(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    deleted = descriptor(inspection, 1, planted["deleted"]["fd"])
    assert (deleted["path"], deleted["deleted"]) == (planted["deleted"]["path"] + " (deleted)", True)
    assert deleted["size"] == len(planted["deleted"]["text"])
    memfd = descriptor(inspection, 1, planted["memfd"]["fd"])
    assert (memfd["type"], memfd["name"]) == ("memfd", planted["memfd"]["name"])
    pipe = descriptor(inspection, 1, planted["pipe"]["read_fd"])
    assert pipe["peers"] == [{"pid": 1, "fd": planted["pipe"]["write_fd"]}]
    assert pipe["queued"] == len(planted["pipe"]["text"])
    assert descriptor(inspection, 1, planted["eventfd"]["fd"])["counter"] == planted["eventfd"]["value"]
    epoll = descriptor(inspection, 1, planted["epoll"]["fd"])
    assert sorted(watch["fd"] for watch in epoll["watches"]) == sorted(planted["epoll"]["watches"])
    assert at(inspection["files"], pid=1)["executable"] == "/bin/ledger"


def test_sockets(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    listener = at(inspection["sockets"], pid=1, fd=planted["listener"]["fd"])
    assert (listener["state"], listener["local_port"]) == ("listen", planted["listener"]["port"])
    left, right = planted["socketpair"]["fds"]
    assert at(inspection["sockets"], pid=1, fd=left)["peers"] == [{"pid": 1, "fd": right}]
    unread = at(inspection["sockets"], pid=1, fd=planted["socketpair"]["unread_at"])
    assert unread["receive_queue"] == len(planted["socketpair"]["text"])


def test_summary(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    summary = inspection["summary"]
    assert (summary["processes"], summary["threads"], summary["zombies"]) == (4, 6, 0)
    assert [(one["pid"], one["local_port"]) for one in summary["listeners"]] == [(1, planted["listener"]["port"])]
    assert summary["connections"] == []
    assert summary["memory_size"] > 0
    assert summary["mounts"] == len(inspection["mounts"])


def test_memory(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    areas = at(inspection["memory"]["processes"], pid=1)["areas"]
    shared = at(areas, start=planted["shared"]["address"])
    assert (shared["kind"], shared["permissions"]) == ("sysv_ipc", "rw-s")
    assert at(areas, kind="heap")["pages"]["present"] > 0
    kinds = {content["kind"] for content in inspection["memory"]["contents"]}
    assert {"deleted_file", "memfd", "pipe", "socket_queue", "sysv_shared_memory"} <= kinds


def test_mounts_are_sorted_and_have_their_sources(ledger: tuple[Data, Data]) -> None:
    mounts = ledger[1]["mounts"]
    assert [mount["mountpoint"] for mount in mounts] == sorted(mount["mountpoint"] for mount in mounts)
    hosts = at(mounts, mountpoint="/etc/hosts")
    assert hosts["specified_source"].endswith("hosts")


def test_statistics_and_logs(ledger: tuple[Data, Data]) -> None:
    inspection = ledger[1]
    assert inspection["statistics"]["pages_written"] > 60
    names = [log["name"] for log in inspection["logs"]]
    assert ("dump.log" in names) == (inspection["identity"]["engine"] != "Podman")
    container = inspection["logs"][-1]
    assert container["whole"]
    assert "listener" in "".join(container["lines"])
    if "dump.log" in names:
        assert not at(inspection["logs"], name="dump.log")["whole"]
        assert len(at(inspection["logs"], name="dump.log")["lines"]) == 200


def test_findings(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    found = inspection["findings"]
    assert [one["severity"] for one in found] == ["medium", "low", "low", "low", "info"]
    listener = at(found, id="listener_undeclared")["evidence"]
    assert [(one["pid"], one["address"]) for one in listener] == [(1, f"0.0.0.0:{planted['listener']['port']}")]
    assert at(found, id="deleted_files")["evidence"][0]["path"] == planted["deleted"]["path"]
    assert at(found, id="credentials_environment")["evidence"][0]["detail"].startswith("LEDGER_SECRET ")


@pytest.mark.parametrize("name", ["runc-criu-4.1.1-planted", "runc-criu-4.2.1-planted"])
def test_findings_of_another_program(name: str) -> None:
    inspection = inspect(str(FIXTURES / REAL[name]), Wishes(sections=("summary",)))
    ids = [one["id"] for one in inspection["findings"]]
    assert "memory_writable_executable" in ids
    assert "seccomp_off" not in ids
    assert at(inspection["findings"], id="user_changed")["evidence"][0]["pid"] == 6
    assert inspection["summary"]["zombies"] == 1
    assert len(inspection["summary"]["connections"]) == 3


@pytest.mark.parametrize("name", sorted(set(REAL) - set(LEDGERS)))
def test_ordinary_programs_have_no_grave_findings(name: str) -> None:
    """nginx and redis with clients, a Go program, and what was made for the fixtures."""
    inspection = inspect(str(FIXTURES / REAL[name]), Wishes(sections=("summary",)))
    assert [one for one in inspection["findings"] if one["severity"] == "high"] == []
    assert {one["id"] for one in inspection["findings"]} <= {
        *("credentials_environment", "deleted_files", "listener_undeclared", "lsm_off"),
        *("memory_writable_executable", "seccomp_off", "user_changed"),
    }


def test_sections_that_were_not_asked_for_are_not_there() -> None:
    inspection = inspect(str(FIXTURES / LEDGERS["crio-crun-ledger"]), Wishes(sections=("network",), findings=False))
    assert set(inspection) == {"archive", "identity", "network", "notes", "escaped"}
    assert inspection["network"]["ip_addresses"] == inspection["identity"]["ip_addresses"]


def test_one_process() -> None:
    planted = facts("crio-crun-ledger")
    wishes = Wishes(sections=("everything",), pids=(planted["leaf"],))
    inspection = inspect(str(FIXTURES / LEDGERS["crio-crun-ledger"]), wishes)
    assert [one["pid"] for one in inspection["processes"]] == [planted["leaf"]]
    assert [one["pid"] for one in inspection["files"]] == [planted["leaf"]]
    assert [one["pid"] for one in inspection["memory"]["processes"]] == [planted["leaf"]]
    pids = {piece["pid"] for one in inspection["findings"] for piece in one["evidence"]}
    assert pids <= {planted["leaf"], None}


def test_process_that_is_not_there() -> None:
    with pytest.raises(CheckpointError) as caught:
        inspect(str(FIXTURES / LEDGERS["crio-crun-ledger"]), Wishes(pids=(4711,)))
    assert caught.value.code == "process_missing"
    assert caught.value.details["pids"]


def test_archive_of_containerd_2_0() -> None:
    """No status, no statistics, no logs: what it has is all there, what it has not is null or empty."""
    found = inspect(str(FIXTURES / OLDER["containerd-2.0-ledger"]), ALL)
    identity = found["identity"]
    assert (identity["engine"], identity["engine_version"]) == ("containerd", "2.0")
    assert (identity["namespace"], identity["pod"], identity["container"]) == ("node-ledger", "ledger", "app")
    assert identity["image"] == "registry.lab:5000/ledger:1" and identity["image_id"].startswith("sha256:5713c24c")
    assert identity["checkpointed"] == "2026-11-21T13:31:51.226078Z"
    unknown = ("node", "kernel", "criu_version", "image_digest")
    assert {identity[key] for key in unknown} == {None}
    assert (found["statistics"], found["logs"], found["notes"]) == ({}, [], [])
    names = ["ledger", "ledger-threads", "ledger-middle", "ledger-leaf"]
    assert [process["name"] for process in found["processes"]] == names
    assert [len(process["threads"]) for process in found["processes"]] == [1, 3, 1, 1]
    assert [listener["local_port"] for listener in found["summary"]["listeners"]] == [8081]
    texts = (
        ("deleted_file", "ledger: this file has no name any more"),
        ("memfd", "ledger: this file never had a name"),
        ("pipe", "ledger: nobody has read this"),
        ("socket_queue", "ledger: this message is under way"),
        ("sysv_shared_memory", "ledger: two processes see this"),
    )
    with open_archive(FIXTURES / OLDER["containerd-2.0-ledger"]) as archive:
        hits = search(Checkpoint(archive), Query(literals=[text for _place, text in texts]))["hits"]
    assert set(texts) <= {(hit["place"], hit["pattern"]) for hit in hits}


def test_archive_without_images(tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.dump").write_text('{"id": "abc", "name": "web"}')
    inspection = inspect(str(tmp_path), ALL)
    assert inspection["identity"]["container"] == "web"
    assert inspection["processes"] == []
    assert "images_missing" in {note["code"] for note in inspection["notes"]}


def test_one_missing_image_leaves_the_rest(tmp_path: pathlib.Path) -> None:
    folder = checkpoint_folder(tmp_path / "made", Made(1), Made(7, 1))
    (folder / "checkpoint" / "files.img").unlink()
    inspection = inspect(str(folder), ALL)
    assert [process["pid"] for process in inspection["processes"]] == [1, 7]
    assert "files.img" in {note["where"] for note in inspection["notes"]}


def test_bytes_that_are_not_text_are_escaped_and_told(tmp_path: pathlib.Path) -> None:
    odd = b"odd\xff\\name".decode("utf-8", "surrogateescape")
    folder = checkpoint_folder(tmp_path / "made", Made(1, files=[(3, "reg", {"name": f"/{odd}", "flags": 0})]))
    inspection = inspect(str(folder), Wishes(sections=("files",)))
    path = inspection["files"][0]["descriptors"][0]["path"]
    assert path == "/odd\\xff\\\\name"
    assert unescape(path) == b"/odd\xff\\name"
    assert inspection["escaped"] == ["files[0].descriptors[0].path"]


def test_nothing_is_written(tmp_path: pathlib.Path) -> None:
    folder = checkpoint_folder(tmp_path / "made", Made(1))
    before = sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    inspect(str(folder), ALL)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_the_same_twice() -> None:
    path = str(FIXTURES / REAL["runc-criu-4.2.1-planted"])
    assert json.dumps(inspect(path, ALL)) == json.dumps(inspect(path, ALL))


def test_tree_has_all_that_was_asked_for(ledger: tuple[Data, Data]) -> None:
    planted, inspection = ledger
    text = render(inspection)
    lines = text.splitlines()
    assert lines[2] == "ledger"
    assert f"├── Engine: {inspection['identity']['engine']}" in lines
    leaf = next(line for line in lines if line.lstrip("│├└─ ").startswith(f"[{planted['leaf']}]  "))
    middle = next(line for line in lines if line.lstrip("│├└─ ").startswith(f"[{planted['middle']}]  "))
    assert leaf.index("[") == middle.index("[") + 4
    assert f"[TCP {planted['listener']['fd']}]  0.0.0.0:{planted['listener']['port']} (listen)" in text
    assert f"[REG {planted['deleted']['fd']}]  {planted['deleted']['path']} (deleted)" in text
    for heading in ("CRIU dump statistics", "Process tree", "Overview of mounts", "Environment variables", "Findings"):
        assert any(line.endswith(heading) for line in lines), heading
    assert SECRET not in text


def test_tree_of_the_least(tmp_path: pathlib.Path) -> None:
    folder = checkpoint_folder(tmp_path / "made", Made(1))
    text = render(inspect(str(folder), Wishes(sections=(), findings=False)))
    assert text.splitlines()[2:] == ["container", "├── Architecture: x86_64", text.splitlines()[-1]]


@pytest.mark.parametrize("spec", [[], "x", {"annotations": [None]}, {"annotations": "x"}, {"annotations": {"a": [1]}}])
def test_tree_of_a_specification_that_makes_no_sense(spec: t.Any) -> None:
    identity = {"container": "web", "pod": "web-0", "namespace": "shop"}
    text = render({"archive": {}, "identity": identity, "specification": {"spec": spec}})
    assert "Pod name: web-0" in text


def test_tree_obeys_no_name(tmp_path: pathlib.Path) -> None:
    made = Made(1, name="evil\x1b[2J", arguments=["/bin/sh", "-c", "echo\n'hi'"])
    text = render(inspect(str(checkpoint_folder(tmp_path / "made", made)), ALL))
    assert "\x1b" not in text
    assert "evil\\x1b[2J" in text
    assert "[1]  /bin/sh -c 'echo\\n'\\''hi'\\'''" in text


def test_tree_of_a_thousand_generations(tmp_path: pathlib.Path) -> None:
    family = [Made(pid, pid - 1) for pid in range(1, 1200)]
    text = render(inspect(str(checkpoint_folder(tmp_path / "made", *family)), Wishes(findings=False)))
    assert "[1199]  program" in text


@pytest.mark.parametrize(("number", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")])
def test_sizes(number: int, shown: str) -> None:
    assert size(number) == shown


def test_texts_of_the_tree() -> None:
    assert printable("ä\t\u202e") == "ä\\t\\u202e"
    assert quoted("") == "''"
    assert quoted("a b") == "'a b'"
    assert quoted("/bin/sh") == "/bin/sh"


def test_an_open_checkpoint_can_be_inspected() -> None:
    with open_archive(FIXTURES / LEDGERS["crio-crun-ledger"]) as archive:
        assert inspected(Checkpoint(archive), Wishes(sections=("summary",)))["summary"]["processes"] == 4
