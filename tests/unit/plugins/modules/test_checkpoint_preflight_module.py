# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_preflight as a module: what it takes and returns, and that RETURN tells the truth."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import preflight
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight_base import (
    Node,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_image, checkpoint_preflight
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Registry,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._restore import preflights
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented

Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The module on a node that lacks nothing but the restore runtime's programs."""

    def look() -> Node:
        return preflights.node()

    monkeypatch.setattr(preflight, "look", look)

    def call(**given: t.Any) -> dict[str, t.Any]:
        return run(checkpoint_preflight, monkeypatch, capsys, **given)

    return call


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> str:
    return str(preflights.archive("containerd-2.1-ledger", tmp_path))


@pytest.mark.parametrize("check", [False, True])
def test_what_passes(module: Runner, archive: str, check: bool) -> None:
    found = module(archives=[archive], method="image", definition=preflights.pod(), check=check)
    assert undocumented(found, checkpoint_preflight.RETURN) == []
    assert (found["changed"], found["able"], found.get("failed", False)) == (False, True, False)
    assert {entry["result"] for entry in found["checks"]} == {"passed"}


def test_what_fails(module: Runner, archive: str) -> None:
    found = module(archives=[archive, "/nowhere/web.tar"])
    assert (found["failed"], found["code"], found["able"]) == (True, "preflight_failed", False)
    assert "2 checks failed" in found["reason"]
    assert "/nowhere/web.tar" in found["reason"]
    assert "restore_runtime: " in found["msg"]
    assert found["checks"]
    assert undocumented(found, checkpoint_preflight.RETURN) == []


def test_failures_can_be_ignored(module: Runner, archive: str) -> None:
    found = module(archives=archive, ignore_failures=True)
    assert not found.get("failed")
    assert not found["able"]
    assert [entry["name"] for entry in found["checks"] if entry["result"] == "failed"] == ["restore_runtime"]


def test_a_definition_that_is_no_pod(module: Runner, archive: str) -> None:
    found = module(archives=[archive], definition={"kind": "Service"}, ignore_failures=True)
    assert (found["failed"], found["code"], found["checks"]) == (True, "invalid_option", [])


def test_nothing_is_written(module: Runner, archive: str, tmp_path: pathlib.Path) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    module(archives=[archive], definition=preflights.pod(), security="clamp")
    assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_the_documentation_names_every_check(module: Runner, archive: str) -> None:
    given = {"archives": [archive], "definition": preflights.pod(), "ignore_failures": True}
    names = {entry["name"] for method in ("runtime", "image") for entry in module(method=method, **given)["checks"]}
    assert {name for name in names if f"V({name})" not in checkpoint_preflight.RETURN} == set()


def test_an_image_in_its_registry(
    module: Runner, archive: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Registry() as registry:
        name = f"{registry.address}/a/b:1"
        run(checkpoint_image, monkeypatch, capsys, path=archive, name=name, plain_http=True)
        given = {"archives": [f"docker://{name}"], "definition": preflights.pod(), "plain_http": True}
        assert module(method="image", **given)["able"]
        # Restored by the restore runtime are files and folders of the node.
        assert "docker:" in module(method="runtime", **given)["reason"]
        registry.manifests.clear()
        assert "is not in the registry" in module(method="image", **given)["reason"]
