# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_search as a module: what it returns, what it writes, what it refuses."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.patterns_sets import SETS
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_image
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_search as module
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    facts,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Registry,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import (
    run,
    undocumented,
)

NAME = "crio-runc-ledger"
PATH = str(FIXTURES / LEDGERS[NAME])
Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture(name="search")
def fixture_search(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return functools.partial(run, module, monkeypatch, capsys, path=PATH)


def test_result_is_as_documented(search: Call, tmp_path: pathlib.Path) -> None:
    result = search(
        literals=["ledger"],
        hex=["7f 45 4c 46"],
        regexes=["heap-[a-z]+"],
        sets=list(SETS),
        limit=1000,
        export={"dest": str(tmp_path / "heap"), "pid": 1, "area": "[heap]"},
    )
    assert undocumented(result, module.RETURN) == []
    assert {hit["place"] for hit in result["hits"]} >= {"memory", "memfd", "pipe", "socket_queue", "specification"}
    assert result["changed"] is True


def test_check_mode_searches_and_writes_nothing(search: Call, tmp_path: pathlib.Path) -> None:
    options = {"literals": ["ledger"], "export": {"dest": str(tmp_path / "heap"), "pid": 1, "area": "[heap]"}}
    planned = search(check=True, **options)
    assert list(tmp_path.iterdir()) == []
    assert undocumented(planned, module.RETURN) == []
    done = search(**options)
    assert {**done["exported"], "sha256": None} == planned["exported"]
    assert done["hits"] == planned["hits"]


def test_nothing_changes_without_an_export(search: Call) -> None:
    assert search(literals=["ledger"])["changed"] is False


def test_export_alone_searches_nothing(search: Call, tmp_path: pathlib.Path) -> None:
    result = search(export={"dest": str(tmp_path / "f"), "file": f"{facts(NAME)['deleted']['path']} (deleted)"})
    assert (tmp_path / "f").read_text() == facts(NAME)["deleted"]["text"]
    assert (result["hits"], result["searched"]["bytes"]) == ([], 0)


def test_a_file_that_is_there_is_kept(search: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").write_text("precious")
    result = search(export={"dest": str(tmp_path / "x"), "pid": 1, "area": "[heap]"})
    assert (result["failed"], result["code"]) == (True, "destination_exists")
    assert (tmp_path / "x").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"path": "/nowhere", "literals": ["x"]}, "archive_unreadable"),
        ({"path": __file__, "literals": ["x"]}, "archive_not_tar"),
        ({"regexes": ["("]}, "regex_invalid"),
        ({"literals": ["x"], "pid": [99]}, "process_missing"),
    ],
)
def test_refusals_have_a_code(search: Call, options: dict[str, t.Any], code: str) -> None:
    result = search(**options)
    assert (result["failed"], result["code"]) == (True, code)
    assert set(yaml.safe_load(module.RETURN)) >= {"code", "reason", "hint", "message"}
    assert f"V({code})" in yaml.safe_load(module.RETURN)["code"]["description"][0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sets": ["nothing"]},
        {"export": {"dest": "/tmp/x"}},
        {"export": {"dest": "/tmp/x", "start": "0x1"}},
        {"export": {"dest": "/tmp/x", "pid": 1, "area": "[heap]", "file": "x"}},
    ],
)
def test_options_that_make_no_sense(search: Call, options: dict[str, t.Any]) -> None:
    assert search(**options)["failed"] is True


def test_sets_are_those_that_there_are() -> None:
    assert list(SETS) == module.SETS == yaml.safe_load(module.DOCUMENTATION)["options"]["sets"]["choices"]


def test_an_image_is_searched_in_its_registry(
    search: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Registry() as registry:
        name = f"{registry.address}/a/b:1"
        run(checkpoint_image, monkeypatch, capsys, path=PATH, name=name, plain_http=True)
        found = search(path=f"docker://{name}", plain_http=True, literals=["ledger"])
        assert found["hits"] == search(literals=["ledger"])["hits"] != []
        registry.manifests.clear()
        assert search(path=f"docker://{name}", plain_http=True, literals=["ledger"])["code"] == "image_missing"
