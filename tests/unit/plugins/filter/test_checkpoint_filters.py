# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters on an inspection: the tree, and a site's own findings."""

from __future__ import annotations

import builtins
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.filter.checkpoint_findings import (
    FilterModule as Findings,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.filter.checkpoint_tree import FilterModule as Tree
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.inspection import Wishes, inspect
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    facts,
)

NAME = "crio-crun-ledger"
Data = dict[str, t.Any]

checkpoint_findings = Findings().filters()["checkpoint_findings"]
checkpoint_tree = Tree().filters()["checkpoint_tree"]


@pytest.fixture(scope="module")
def inspection() -> Data:
    return inspect(str(FIXTURES / LEDGERS[NAME]), Wishes(sections=("summary", "processes", "files")))


def rule(expression: str, **changed: t.Any) -> Data:
    return {"id": "ours", "severity": "high", "text": "One of ours.", "expression": expression, **changed}


def test_tree(inspection: Data) -> None:
    assert checkpoint_tree(inspection).splitlines()[2] == "ledger"
    assert checkpoint_tree({**inspection, "changed": False, "failed": False}) == checkpoint_tree(inspection)


@pytest.mark.parametrize("given", [None, "text", {}, {"checkpoints": []}])
def test_what_is_no_inspection(given: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="checkpoint_inspect"):
        checkpoint_tree(given)
    with pytest.raises(AnsibleFilterError, match="checkpoint_inspect"):
        checkpoint_findings(given, [])


def test_rule_that_finds_processes(inspection: Data) -> None:
    found = checkpoint_findings(inspection, [rule("processes[?name=='ledger-leaf']")])
    assert [one["id"] for one in found] == ["ours", *[one["id"] for one in inspection["findings"]]]
    assert found[0]["severity"] == "high"
    piece = found[0]["evidence"][0]
    assert (piece["pid"], piece["process"], piece["detail"]) == (facts(NAME)["leaf"], "ledger-leaf", "/bin/ledger")


def test_rules_take_their_place_by_severity(inspection: Data) -> None:
    found = checkpoint_findings(inspection, [rule("summary.processes > `3`", severity="info")])
    assert found[-1]["id"] == "lsm_off" or found[-1]["id"] == "ours"
    ours = next(one for one in found if one["id"] == "ours")
    assert ours["evidence"] == [{"pid": None, "process": None, "address": None, "path": None, "detail": "true"}]


def test_evidence_that_is_shaped_by_the_expression(inspection: Data) -> None:
    expression = "files[].descriptors[?deleted].{path: path, detail: join(' ', ['descriptor', to_string(fd)])}[]"
    piece = checkpoint_findings(inspection, [rule(expression)])[0]["evidence"][0]
    assert piece["path"] == facts(NAME)["deleted"]["path"] + " (deleted)"
    assert piece["detail"] == f"descriptor {facts(NAME)['deleted']['fd']}"


def test_evidence_that_is_text(inspection: Data) -> None:
    found = checkpoint_findings(inspection, [rule("summary.listeners[].local_address")])
    assert [piece["detail"] for piece in found[0]["evidence"]] == ["0.0.0.0"]


@pytest.mark.parametrize(
    "expression", ["nothing.there", "processes[?name=='x']", "summary.processes > `99`", "''", "`{}`"]
)
def test_rules_that_find_nothing(inspection: Data, expression: str) -> None:
    assert checkpoint_findings(inspection, [rule(expression)]) == inspection["findings"]


def test_inspection_without_findings(inspection: Data) -> None:
    without = {key: value for key, value in inspection.items() if key != "findings"}
    assert [one["id"] for one in checkpoint_findings(without, [rule("summary")])] == ["ours"]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([rule("processes[?")], "'ours' has an expression that cannot be evaluated"),
        ([rule("no_such_function(@)")], "cannot be evaluated"),
        ([rule("length(summary.processes)")], "cannot be evaluated"),
        ([rule("a"), rule("b")], "'ours' has the id of another finding"),
        ([rule("a", id="reverse_shell")], "has the id of another finding"),
        ([rule("a", id="Not Good")], "lowercase"),
        ([rule("a", severity="worst")], "none of high, medium, low, info"),
        ([rule("a", query="b")], "keys that are not known: query"),
        ([rule("")], "'ours' has no expression"),
        ([{"severity": "low"}], "number 1 has no id"),
        (["text"], "number 1 is not a dictionary"),
        ("text", "are a list"),
        ({"a": "b"}, "are a list"),
    ],
)
def test_rules_that_are_wrong(inspection: Data, rules: t.Any, said: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        checkpoint_findings(inspection, rules)
    assert said in str(caught.value)


def test_missing_library_is_told(monkeypatch: pytest.MonkeyPatch, inspection: Data) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: t.Any, **options: t.Any) -> t.Any:
        if name == "jmespath":
            raise ImportError("No module named 'jmespath'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(AnsibleFilterError, match="needs the Python library jmespath on the controller"):
        checkpoint_findings(inspection, [rule("summary")])
