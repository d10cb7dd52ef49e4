# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two nodes tell side by side. Two that are alike, as the laboratory's tell it, and one thing that differs."""

from __future__ import annotations

import copy
import re
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.restore_request import Check
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import both_ends
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    OFFERED,
    TOLD,
)

Thing = dict[str, t.Any]
GIB = 1 << 30


def changed(thing: Thing, path: str, value: t.Any) -> None:
    *folders, last = path.split(".")
    for folder in folders:
        thing = thing[folder]
    thing[last] = value


def ends(**changes: t.Any) -> both_ends.Ends:
    """Keys are ``source__PATH`` and ``target__PATH``."""
    source, target = copy.deepcopy(TOLD), copy.deepcopy(OFFERED)
    for key, value in changes.items():
        which, _underscores, path = key.partition("__")
        changed(source if which == "source" else target, path.replace("__", "."), value)
    return both_ends.Ends("n1", "n2", source, target)


def of(found: t.Iterable[Check], result: str) -> set[str]:
    return {check.name for check in found if check.result == result}


def test_two_that_are_alike() -> None:
    found = both_ends.checks(ends(), connections="refuse")
    names = ["cgroup", "connections", "cpu", "criu", "criu_version", "disk", "handler", "kernel", "memory"]
    names += ["oci_runtime", "restore_runtime", "source_criu"]
    assert sorted(check.name for check in found) == names and of(found, "passed") == set(names)


@pytest.mark.parametrize(
    ("changes", "check", "result", "said"),
    [
        ({"target__criu__version": "4.1"}, "criu_version", "failed", "page tables"),
        ({"source__criu__version": "4.1", "target__criu__version": "4.0"}, "criu_version", "warning", "4.1 of n1"),
        ({"target__criu__version": None}, "criu_version", None, ""),
        ({"target__machine__kernel": "5.15.1"}, "kernel", "warning", "5.15.1"),
        ({"target__machine__kernel": "6.18.99"}, "kernel", "passed", "6.18.99"),
        ({"source__machine__cgroup": "hybrid"}, "cgroup", "failed", "hybrid"),
        ({"target__machine__cgroup": "v1"}, "cgroup", "warning", "v1"),
        ({"target__flags": ["avx", "fpu", "xsave"]}, "cpu", "warning", "avx2"),
        ({"target__flags": ["avx", "avx2", "xsave"]}, "cpu", "passed", ""),
        ({"target__flags": ["avx", "avx2", "fpu"]}, "cpu", "failed", "xsave"),
        ({"target__flags": []}, "cpu", None, ""),
        ({"target__handler__kind": "other"}, "oci_runtime", "failed", "neither"),
        ({"target__handler__kind": "crun", "target__handler__criu": False}, "oci_runtime", "failed", "no CRIU"),
        ({"target__handler": None}, "oci_runtime", None, ""),
        ({"target__memory": 100}, "memory", "warning", "100 available"),
        ({"target__memory": None}, "memory", None, ""),
        ({"source__containers__app__terminal": True}, "terminal", "failed", "app"),
        ({"source__containers__app__devices": ["/dev/kvm"]}, "devices", "warning", "/dev/kvm"),
        ({"source__containers__app__devices": ["/dev/nvidia0"]}, "gpu", "failed", "cuda_plugin.so on n1"),
    ],
)
def test_one_thing_that_differs(changes: Thing, check: str, result: str | None, said: str) -> None:
    found = both_ends.checks(ends(**changes), connections="refuse")
    named = [each for each in found if each.name == check]
    if result is None:
        assert named == []
        return
    assert [each.result for each in named] == [result] and said in named[0].reason
    assert result == "passed" or named[0].hint
    assert of(found, "passed") == {each.name for each in found} - ({check} if result != "passed" else set())


def test_an_accelerator_that_both_have() -> None:
    changes: Thing = {"source__containers__app__devices": ["/dev/nvidia0"]}
    changes["source__criu__plugins"] = changes["target__criu__plugins"] = ["cuda_plugin.so"]
    assert of(both_ends.checks(ends(**changes), connections="refuse"), "failed") == {"gpu"}
    changes["target__machine__gpu"] = {"nvidia": ["/dev/nvidia0"], "amd": []}
    assert of(both_ends.checks(ends(**changes), connections="refuse"), "warning") == {"gpu"}


OUT, INSIDE = "10.0.0.1:8080 to 10.0.0.2:40000", "127.0.0.1:7070 to 127.0.0.1:40000"


@pytest.mark.parametrize(
    ("there", "out", "wanted", "result", "words"),
    [
        ([OUT], [OUT], "refuse", "failed", "not to be closed"),
        ([OUT], [OUT], "close", "passed", "will be closed"),
        ([OUT, INSIDE], [OUT], "close", "warning", "1 of them within their container"),
        ([OUT, INSIDE], [OUT], "keep", "failed", f"1 of them to somewhere outside their container, .*: {OUT}$"),
        ([INSIDE], [], "keep", "passed", f"which are kept: {INSIDE}$"),
        ([], [], "keep", "passed", "no established"),
    ],
)
def test_established_connections(there: list[str], out: list[str], wanted: str, result: str, words: str) -> None:
    told = ends(source__containers__app__connections=there, source__containers__app__connections_out=out)
    check = next(each for each in both_ends.checks(told, connections=wanted) if each.name == "connections")
    assert check.result == result and re.search(words, check.reason)


@pytest.mark.parametrize(
    ("result", "hint"),
    [("failed", "Install it"), ("warning", "the role")],
)
def test_a_restore_runtime_of_another_version_fails_as_well(result: str, hint: str) -> None:
    told = [{"name": "restore_runtime", "result": result, "reason": "It is old", "hint": "Install it"}]
    found = both_ends.checks(ends(target__checks=told), connections="refuse")
    check = next(each for each in found if each.name == "restore_runtime")
    assert (check.result, check.reason) == ("failed", "n2: It is old") and hint in check.hint


def test_room_is_counted_by_file_system() -> None:
    """Images of 3 GiB, of which 1 GiB is unpacked into the storage and 1 GiB into volumes."""
    rooms: Thing = {
        name: {"path": f"/{name}", "free": 10 * GIB, "device": number}
        for number, name in enumerate(("images", "storage", "volumes"))
    }
    changes = {f"source__containers__app__{name}": GIB for name in ("memory", "rootfs", "volumes")}
    limits = {"images": 3 * GIB, "storage": GIB, "volumes": GIB}
    for name, needed in limits.items():
        for more, expected in ((0, {"disk"}), (64 << 20, set())):
            given = {**rooms, name: {**rooms[name], "free": needed + more}}
            found = both_ends.checks(ends(**changes, target__rooms=given), connections="refuse")
            assert of(found, "failed") == expected, (name, more)
    for free, expected in ((5 * GIB, {"disk"}), (5 * GIB + (64 << 20), set())):
        given = {name: {**room, "device": 1, "free": free} for name, room in rooms.items()}
        found = both_ends.checks(ends(**changes, target__rooms=given), connections="refuse")
        assert of(found, "failed") == expected


def test_images() -> None:
    both = ends()
    assert of(both_ends.images(both, {"app": "a" * 64}), "passed") == {"image"}
    assert of(both_ends.images(both, {"app": "a" * 64, "init": "c" * 64}), "passed") == {"image"}
    assert of(both_ends.images(both, {"app": "b" * 64}), "failed") == {"image"}
    assert list(both_ends.images(both, {"app": None})) == [] and ends(target__images={"app": None}).absent == ["app"]
    unknown = ends(source__images={"app": None})
    assert of(both_ends.images(unknown, {"app": "b" * 64}), "passed") == {"image"}


def test_the_time_against_what_there_is() -> None:
    both = ends(source__containers__app__memory=2000 << 20, source__containers__app__rootfs=0)
    assert both_ends.estimate(both) == (2000 << 20, 20.5)
    assert both_ends.time(both, 21.0, "frozen_limit").result == "passed"
    check = both_ends.time(both, 20.0, "frozen_limit; its probes allow 21 s")
    assert check.result == "warning" and "20 s (frozen_limit; its probes allow 21 s)" in check.reason
    assert "2000 MiB takes about 20.5 s" in check.reason and "higher threshold" in check.hint
