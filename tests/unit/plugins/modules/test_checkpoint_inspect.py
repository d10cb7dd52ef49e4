# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_inspect and checkpoint_info as modules: what they take and return, and that RETURN tells the truth."""

from __future__ import annotations

import ast
import inspect
import json
import pathlib
import types
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics import inspection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings_rules import RULES
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.redaction import MODES
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_info, checkpoint_inspect
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    REAL,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import (
    Outcome,
    outcome,
    undocumented,
    unseen,
)

LEDGER = str(FIXTURES / LEDGERS["crio-runc-ledger"])
Runner = t.Callable[..., Outcome]

NOT_RECORDED = {
    "sockets.carries_descriptors",
    *(
        f"files.descriptors.{key}"
        for key in (
            "frozen",
            "interface",
            "key_size",
            "map_id",
            "map_type",
            "marks",
            "max_entries",
            "pid",
            "value_size",
        )
    ),
}
"""Keys of descriptors that no recorded checkpoint has: BPF maps, fanotify, pidfd, tun, descriptors on their way."""


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    def runner(module: types.ModuleType, **options: t.Any) -> Outcome:
        return outcome(module, monkeypatch, capsys, **options)

    return runner


@pytest.mark.parametrize("name", sorted(REAL))
def test_inspection_is_as_documented(looked: Runner, name: str) -> None:
    result, warnings = looked(checkpoint_inspect, path=str(FIXTURES / REAL[name]), sections=["everything"])
    assert undocumented(result, checkpoint_inspect.RETURN, variable=True) == []
    assert result["changed"] is False
    assert warnings == []


def test_every_documented_key_of_an_inspection_is_returned(looked: Runner, tmp_path: pathlib.Path) -> None:
    results = [
        looked(checkpoint_inspect, path=str(FIXTURES / file), sections=["everything"]).result for file in REAL.values()
    ]
    results.append(looked(checkpoint_inspect, path=str(tmp_path)).result)
    (tmp_path / "config.dump").write_text("{}")
    results.append(looked(checkpoint_inspect, path=str(tmp_path)).result)
    assert unseen(results, checkpoint_inspect.RETURN) == NOT_RECORDED


def test_default_is_a_summary_with_processes_and_findings(looked: Runner) -> None:
    result = looked(checkpoint_inspect, path=LEDGER).result
    assert set(result) == {
        *("archive", "changed", "escaped", "findings", "identity", "notes", "processes", "summary"),
    }
    assert "planted-for-the-archive" not in json.dumps(result)


def test_check_mode_is_no_different(looked: Runner) -> None:
    normal = looked(checkpoint_inspect, path=LEDGER, sections=["everything"]).result
    assert looked(checkpoint_inspect, path=LEDGER, sections=["everything"], check=True).result == normal


def test_options_reach_the_inspection(looked: Runner) -> None:
    options = {"environment": "full", "pid": [1], "ports": ["8081"], "sections": ["processes"]}
    result = looked(checkpoint_inspect, path=LEDGER, **options).result
    assert "LEDGER_SECRET=planted-for-the-archive" in result["processes"][0]["environment"]
    assert len(result["processes"]) == 1
    assert "listener_undeclared" not in {found["id"] for found in result["findings"]}
    assert "findings" not in looked(checkpoint_inspect, path=LEDGER, findings=False).result


def test_notes_are_warnings_too(looked: Runner, tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.dump").write_text("{}")
    result, warnings = looked(checkpoint_inspect, path=str(tmp_path))
    assert [note["text"] for note in result["notes"]] == [text.split(" (")[0] for text in warnings]
    assert warnings


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"path": "/nonexistent"}, "archive_unreadable"),
        ({"path": __file__}, "archive_not_tar"),
        ({"path": LEDGER, "pid": [4711]}, "process_missing"),
        ({"path": LEDGER, "ports": ["http"]}, "invalid_option"),
        ({"path": LEDGER, "cluster_networks": ["everywhere"]}, "invalid_option"),
    ],
)
def test_failures_have_a_code_and_a_reason(looked: Runner, options: dict[str, t.Any], code: str) -> None:
    result = looked(checkpoint_inspect, **options).result
    assert (result["failed"], result["code"]) == (True, code)
    assert result["reason"].rstrip(".") in result["msg"]


def test_choices_are_those_of_the_code() -> None:
    assert [*inspection.SECTIONS, "everything"] == checkpoint_inspect.SECTIONS
    source = ast.dump(ast.parse(inspect.getsource(checkpoint_inspect.main)))
    assert all(f"'{mode}'" in source for mode in MODES)


def test_documentation_names_every_finding() -> None:
    missing = [rule.id for rule in RULES if f"V({rule.id})" not in checkpoint_inspect.RETURN]
    assert missing == []


def test_list_is_as_documented(looked: Runner, tmp_path: pathlib.Path) -> None:
    (tmp_path / "checkpoint-broken.tar").write_bytes(b"x" * 1024)
    cut = pathlib.Path(LEDGER).read_bytes()[:20000]
    (tmp_path / "checkpoint-cut.tar.xz").write_bytes(cut)
    result = looked(checkpoint_info, paths=[str(tmp_path), str(FIXTURES)]).result
    assert undocumented(result, checkpoint_info.RETURN) == []
    assert len([entry for entry in result["checkpoints"] if entry["readable"]]) > len(REAL)
    failed = looked(checkpoint_info, older_than="soon").result
    assert (failed["failed"], failed["code"]) == (True, "invalid_option")
    assert unseen([result, failed], checkpoint_info.RETURN) == set()


def test_list_with_filters(looked: Runner) -> None:
    options = {"paths": [str(FIXTURES)], "namespace": ["archive-helper"], "pod": ["ledger-c*"], "older_than": "1s"}
    result = looked(checkpoint_info, check=True, **options).result
    assert {entry["identity"]["pod"] for entry in result["checkpoints"]} == {"ledger-crio", "ledger-crun", "ledger-ctd"}
    assert looked(checkpoint_info, **options, newer_than="1s").result["checkpoints"] == []
