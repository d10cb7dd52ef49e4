# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The freezer by its files, as the kernel's documentation describes them; the laboratory's tests run that of v1."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import freezer
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.freezer import Freezer, freezer_of

UID = "68ab57d2-bd1b-4281-aa15-a73d08b822e3"


@pytest.fixture
def unified(tmp_path: pathlib.Path) -> pathlib.Path:
    """A container's cgroup of v2 as the systemd driver names it, thawed, in a thawed pod's."""
    pod = tmp_path / "kubepods.slice" / f"kubepods-pod{UID.replace('-', '_')}.slice"
    own = pod / "cri-containerd-abc.scope"
    own.mkdir(parents=True)
    for group in (pod, own):
        (group / "cgroup.freeze").write_text("0\n")
        (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    return own


def freeze(group: pathlib.Path, events: bool = True) -> None:
    (group / "cgroup.freeze").write_text("1\n")
    if events:
        (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")


def test_the_states_of_v2(unified: pathlib.Path) -> None:
    one = Freezer(str(unified), 2, UID)
    assert one.state() == "thawed" and one.held_by() == []
    freeze(unified, events=False)
    assert one.state() == "freezing"
    freeze(unified)
    assert one.state() == "frozen" and one.held_by() == [str(unified)]
    assert Freezer(str(unified / "nowhere"), 2).state() == "gone"


def test_a_pod_that_holds_its_container_is_thawed_too(unified: pathlib.Path) -> None:
    """The kernel reports a container frozen that only its pod's cgroup holds."""
    freeze(unified.parent)
    (unified / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    one = Freezer(str(unified), 2, UID)
    assert one.held_by() == [str(unified.parent)]
    assert not one.thaw(0)
    assert (unified.parent / "cgroup.freeze").read_text() == "0"
    (unified / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    assert one.thaw(0)


def test_without_the_pods_cgroup_nothing_above_is_touched(unified: pathlib.Path) -> None:
    freeze(unified.parent)
    assert Freezer(str(unified), 2, "another-uid").held_by() == []


@pytest.mark.parametrize(
    ("cgroup", "mounts", "version"),
    [
        ("0::/kubepods.slice/x.scope\n", "30 1 0:9 / {root} rw - cgroup2 cgroup2 rw\n", 2),
        (
            "4:freezer:/kubepods.slice/x.scope\n0::/\n",
            "30 1 0:8 / /nowhere rw - cgroup cgroup rw,memory\n31 1 0:9 / {root} rw - cgroup cgroup rw,freezer\n",
            1,
        ),
        # A cgroup file system of which only a part is mounted, as in a container.
        ("0::/part/kubepods.slice/x.scope\n", "30 1 0:9 /part {root} rw - cgroup2 cgroup2 rw\n", 2),
    ],
)
def test_it_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, mounts: str, version: int
) -> None:
    own = tmp_path / "kubepods.slice" / "x.scope"
    own.mkdir(parents=True)
    (own / (freezer.STATE if version == 1 else freezer.FREEZE)).write_text("")
    answers = {"/proc/7/cgroup": cgroup, freezer.MOUNTINFO: mounts.format(root=tmp_path)}
    real: t.Callable[..., str] = freezer.processes.read
    monkeypatch.setattr(freezer.processes, "read", lambda path, most=65536: answers.get(path) or real(path, most))
    found = freezer_of(7)
    assert found is not None and (found.path, found.version) == (str(own), version)


def test_the_root_cgroup_has_no_freezer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezer.processes, "read", lambda path, most=65536: "0::/\n" if "cgroup" in path else "")
    assert freezer_of(7) is None
