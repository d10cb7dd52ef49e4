# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own part of the preflight, and archives that were made to do harm."""

from __future__ import annotations

import json
import pathlib
import random
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import install, preflight_base
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight import (
    check_all,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu import fuzz
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import LEDGERS
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.crafted import (
    Made,
    checkpoint_folder,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._restore.preflights import (
    FACTS,
    archive,
    checks,
    node,
    pod,
    result,
    wanted,
)

NAMES = ("crio-runc-ledger", "containerd-2.1-ledger")
ROUNDS = 60


def front(folder: pathlib.Path, version: str = install.VERSION) -> dict[str, t.Any]:
    """Facts of a node whose handler is the restore runtime as it is installed."""
    program = folder / install.FRONT
    text = install.front("/usr/sbin/runc", "/usr/bin/python3", str(folder / install.ZIP))
    program.write_text(text.replace(install.VERSION, version))
    (folder / install.ZIP).write_bytes(b"zip")
    ours = {"name": "checkpoint-restore", "default": False, "path": str(program), "kind": "runc", "criu": None}
    return {"runtime": {"handlers": [FACTS["runtime"]["handlers"][0], ours]}}


def test_the_restore_runtime_as_it_is_installed(tmp_path: pathlib.Path) -> None:
    path = archive(NAMES[0], tmp_path)
    found = checks(path, node(facts=front(tmp_path)))
    assert result(found, "restore_runtime") == "passed"
    assert install.VERSION in found["restore_runtime"]["reason"]
    older = checks(path, node(facts=front(tmp_path, "0.9.0")))
    assert result(older, "restore_runtime") == "warning"
    assert "0.9.0" in older["restore_runtime"]["reason"]
    facts = front(tmp_path)
    (tmp_path / install.ZIP).unlink()
    assert result(checks(path, node(facts=facts)), "restore_runtime") == "failed"
    (tmp_path / install.FRONT).write_text("#!/bin/sh\nexec runc\n")
    assert result(checks(path, node(facts=facts)), "restore_runtime") == "failed"
    assert result(checks(path, node(facts=facts), handler="runc"), "restore_runtime") == "failed"


def test_this_machine_can_be_looked_at() -> None:
    found = preflight_base.look()
    assert found.facts["machine"]["architecture"]
    assert found.memory is None or found.memory > 0
    assert found.room is not None


def test_cpuinfo_and_meminfo() -> None:
    text = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu xsave\n\nprocessor\t: 1\nflags\t: fpu\n"
    assert preflight_base.cpu(text) == (["fpu", "xsave"], "GenuineIntel")
    assert preflight_base.cpu("Features\t: fp asimd\n") == ([], "")
    assert preflight_base.available("MemTotal: 10 kB\nMemAvailable:    2 kB\n") == 2048
    assert preflight_base.available("MemTotal: 10 kB\n") is None


@pytest.mark.parametrize("name", NAMES)
def test_mutated_archives_end_in_verdicts(tmp_path: pathlib.Path, name: str) -> None:
    assert name in LEDGERS
    members, random_, path = fuzz.load(name), random.Random(20261121), tmp_path / "mutated.tar"
    ends: set[str] = set()
    here = node()
    for _round in range(ROUNDS):
        path.write_bytes(fuzz.mutation(members, random_))
        path.chmod(0o600)
        outcome = check_all([str(path)], wanted(definition=pod()), here)
        json.dumps(outcome.checks).encode("utf-8")
        ends |= {check["name"] for check in outcome.failures}
    assert {"images", "restore_runtime", "security"} <= ends


@pytest.mark.parametrize(
    "spec",
    [
        [],
        {"process": [], "linux": "x", "mounts": {}},
        {"process": {"user": [], "terminal": "yes", "capabilities": 7}, "linux": {"maskedPaths": {"a": 1}}},
        {"mounts": [1, None, {"destination": 7, "options": "ro"}, {}], "linux": {"maskedPaths": [1, None]}},
        {"process": {"user": {"uid": "0", "gid": None, "additionalGids": ["x", 1.5, True]}}},
        {"annotations": {"io.kubernetes.container.name": ["x"]}},
    ],
)
def test_strange_documents(tmp_path: pathlib.Path, spec: t.Any) -> None:
    folder = checkpoint_folder(
        tmp_path / "made",
        Made(1),
        spec=spec,
        documents={"status.dump": {"labels": {"io.kubernetes.container.name": "app"}}},
    )
    (folder / "spec.dump").write_text(json.dumps(spec))
    found = check_all([str(folder)], wanted(definition=pod("app")), node()).checks
    assert "archive" in {check["name"] for check in found if check["result"] == "passed"}


def test_names_with_bytes_that_are_no_text(tmp_path: pathlib.Path) -> None:
    surrogate = b"/dev/\xff\xfe".decode("utf-8", "surrogateescape")
    folder = checkpoint_folder(
        tmp_path / "made",
        Made(1),
        mounts=[{"fstype": 0, "mnt_id": 2, "mountpoint": f".{surrogate}", "ext_key": surrogate}],
        documents={"status.dump": {"labels": {"io.kubernetes.container.name": "app"}}},
    )
    found = checks(folder, definition=pod("app"))
    assert result(found, "mounts") == "failed"
    json.dumps(found).encode("utf-8")


def test_reasons_stay_short(tmp_path: pathlib.Path) -> None:
    mounts = [
        {"fstype": 0, "mnt_id": index, "mountpoint": f"./{'x' * 200}{index}", "ext_key": f"/{'x' * 200}{index}"}
        for index in range(2000)
    ]
    folder = checkpoint_folder(
        tmp_path / "made",
        Made(1),
        mounts=mounts,
        documents={"status.dump": {"labels": {"io.kubernetes.container.name": "app"}}},
    )
    found = checks(folder, definition=pod("app"))
    assert "and 1995 more" in found["mounts"]["reason"]
    assert max(len(check["reason"]) for check in found.values()) <= 4000
