# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints of the same program by several engines compared, and small ones that a test makes."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.diff import diff
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.diff_matching import pair, steady
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
    facts,
    image,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.made import (
    ANONYMOUS,
    BASE,
    PAGE,
    write_checkpoint,
)

Result = dict[str, t.Any]


def compared(before: pathlib.Path, after: pathlib.Path) -> Result:
    with open_archive(before) as one, open_archive(after) as other:
        return diff(Checkpoint(one), Checkpoint(other))


def recorded(before: str, after: str) -> Result:
    return compared(FIXTURES / REAL[before], FIXTURES / REAL[after])


def changed(result: Result) -> dict[int, Result]:
    return {process["pid"]: process for process in result["processes"]["changed"]}


@pytest.mark.parametrize("name", sorted(REAL))
def test_nothing_is_different_about_the_same(name: str) -> None:
    result = recorded(name, name)
    assert result["summary"] == ["Nothing is different"]
    assert (result["identity"], result["processes"]["changed"], result["notes"]) == ([], [], [])
    with open_archive(FIXTURES / REAL[name]) as archive:
        assert result["processes"]["same"] == len(Checkpoint(archive).processes)


def test_the_same_twice() -> None:
    results = [json.dumps(recorded("crio-runc-ledger", "containerd-2.1-ledger")) for unused in range(2)]
    assert results[0] == results[1]


def test_processes_match_across_containers_whatever_their_pids() -> None:
    result = recorded("crio-runc-ledger", "crio-crun-ledger")
    before, after = facts("crio-runc-ledger"), facts("crio-crun-ledger")
    found = {pid: process["pid_before"] for pid, process in changed(result).items()}
    assert found == {
        after["pid"]: before["pid"],
        after["threads"]["pid"]: before["threads"]["pid"],
        after["middle"]: before["middle"],
        after["leaf"]: before["leaf"],
    }
    assert (result["processes"]["added"], result["processes"]["removed"]) == ([], [])


def test_deleted_files_and_what_they_hold() -> None:
    result = recorded("crio-runc-ledger", "crio-crun-ledger")
    before, after = (facts(name)["deleted"]["path"] + " (deleted)" for name in ("crio-runc-ledger", "crio-crun-ledger"))
    files = changed(result)[1]["files"]
    assert [item["path"] for item in files["removed"]] == [before]
    assert [item["path"] for item in files["added"]] == [after]
    assert (before, "deleted_file") in {(item["name"], item["kind"]) for item in result["contents"]["removed"]}


def test_another_engine_gives_other_capabilities_and_mounts() -> None:
    result = recorded("crio-runc-ledger", "containerd-2.1-ledger")
    sets = {item["set"]: item for item in changed(result)[1]["capabilities"]}
    assert "CAP_NET_RAW" in sets["effective"]["added"]
    assert all(item["removed"] == [] for item in sets.values())
    assert [item["name"] for item in result["mounts"]["removed"]] == ["/run/.containerenv"]
    assert {item["name"]: (item["before"], item["after"]) for item in result["identity"]}["node"] == ("crio-a", "ctd-a")
    assert "/etc/mtab" in {item["name"] for item in result["rootfs"]["removed"]}
    assert any("gained CAP_AUDIT_WRITE" in line for line in result["summary"])


def test_another_version_of_a_program_is_the_same_process() -> None:
    result = recorded("runc-criu-4.1.1-planted", "runc-criu-4.2.1-planted")
    found = {
        pid: {item["name"]: item["after"] for item in process["attributes"]} for pid, process in changed(result).items()
    }
    assert {pid: names["executable"] for pid, names in found.items()} == {
        1: "/usr/bin/python3.14",
        6: "/usr/bin/python3.14",
    }


def test_another_program_as_the_first_process() -> None:
    result = recorded("crio-runc-ledger", "crio-runc-counter")
    known = facts("crio-runc-ledger")
    gone = {process["pid"] for process in result["processes"]["removed"]}
    assert gone == {known["threads"]["pid"], known["middle"], known["leaf"]}
    assert {"name", "executable"} <= {item["name"] for item in changed(result)[1]["attributes"]}
    sockets = changed(result)[1]["sockets"]
    assert known["listener"]["port"] in {item.get("local_port") for item in sockets["removed"]}


def filled(*letters: bytes) -> bytes:
    return b"".join(letter * PAGE for letter in letters)


def test_pages(tmp_path: pathlib.Path) -> None:
    before = write_checkpoint(
        tmp_path / "a", {1: [(BASE, filled(b"a", b"b", b"c", b"d")), (BASE + 8 * PAGE, filled(b"e"))]}
    )
    after = write_checkpoint(
        tmp_path / "b", {1: [(BASE, filled(b"a", b"X", b"Y", b"d", b"n")), (BASE + 8 * PAGE, b"")]}
    )
    (process,) = compared(before, after)["processes"]["changed"]
    pages = process["pages"]
    assert [pages[name] for name in ("same", "changed", "added", "gone")] == [2, 2, 1, 1]
    (area,) = pages["areas"]
    assert area["ranges"] == [
        {"what": "changed", "address": f"{BASE + PAGE:#x}", "pages": 2},
        {"what": "added", "address": f"{BASE + 4 * PAGE:#x}", "pages": 1},
        {"what": "gone", "address": f"{BASE + 8 * PAGE:#x}", "pages": 1},
    ]


def test_many_ranges_of_pages_are_counted(tmp_path: pathlib.Path) -> None:
    before = write_checkpoint(tmp_path / "a", {1: [(BASE, filled(*[b"a", b"b"] * 40))]})
    after = write_checkpoint(tmp_path / "b", {1: [(BASE, filled(*[b"a", b"X"] * 40))]})
    (area,) = compared(before, after)["processes"]["changed"][0]["pages"]["areas"]
    assert (area["changed"], len(area["ranges"]), area["more_ranges"]) == (40, 16, 24)
    assert {item["pages"] for item in area["ranges"]} == {1}


def with_environment(*entries: bytes) -> tuple[bytes, bytes]:
    """Pages and mm image of a process with an environment."""
    content = b"\0".join(entries) + b"\0"
    mm = {"mm_env_start": BASE, "mm_env_end": BASE + len(content)}
    return content.ljust(PAGE, b"\0"), image("mm", {**mm, "vmas": [{"start": BASE, "end": BASE + PAGE, **ANONYMOUS}]})


def test_environment_with_secrets_compared_but_not_shown(tmp_path: pathlib.Path) -> None:
    folders = []
    for name, entries in (
        ("a", [b"PATH=/bin", b"DB_PASSWORD=first-secret", b"GONE=1"]),
        ("b", [b"PATH=/sbin", b"DB_PASSWORD=second-secret", b"API_TOKEN=third-secret"]),
    ):
        page, mm = with_environment(*entries)
        folders.append(write_checkpoint(tmp_path / name, {1: [(BASE, page)]}, {"checkpoint/mm-1.img": mm}))
    result = compared(*folders)
    environment = changed(result)[1]["environment"]
    assert environment["added"] == [{"name": "API_TOKEN", "value": "********"}]
    assert environment["removed"] == [{"name": "GONE", "value": "1"}]
    assert environment["changed"] == [
        {"name": "DB_PASSWORD", "before": "********", "after": "********"},
        {"name": "PATH", "before": "/bin", "after": "/sbin"},
    ]
    assert "secret" not in json.dumps(result)


def test_within_one_container_the_pid_counts(tmp_path: pathlib.Path) -> None:
    """Of two workers alike the first ended, and another one came: the second is still the second."""
    same = {"config.dump": b'{"id": "%s"}' % (b"c" * 64)}
    before = write_checkpoint(tmp_path / "a", {pid: [(BASE, filled(b"%d" % pid))] for pid in (1, 2, 3)}, same)
    after = write_checkpoint(tmp_path / "b", {pid: [(BASE, filled(b"%d" % pid))] for pid in (1, 3, 4)}, same)
    result = compared(before, after)
    assert result["processes"]["same"] == 2
    assert [process["pid"] for process in result["processes"]["added"]] == [4]
    assert [process["pid"] for process in result["processes"]["removed"]] == [2]


def test_pairs_by_the_first_key_that_fits() -> None:
    pairs, left, right = pair(
        ["a1", "a2", "b1", "c1"], ["b2", "a2", "a3", "d1"], [lambda text: text, lambda text: text[0]]
    )
    assert (sorted(pairs), left, right) == ([("a1", "a3"), ("a2", "a2"), ("b1", "b2")], ["c1"], ["d1"])


def test_steady_names() -> None:
    assert steady("pipe:[123]") == "pipe:[]"
    assert steady(f"/x/{'0af' * 21}b/y") == "/x/<id>/y"
    assert steady("/pods/9ed12730-af74-4e7d-bc33-162f7d53633a/v") == "/pods/<id>/v"
