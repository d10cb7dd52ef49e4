# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_image as a module: what it takes and returns, and that no password shows."""

from __future__ import annotations

import json
import pathlib
import re
import types
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import (
    checkpoint_image,
    checkpoint_info,
    checkpoint_inspect,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    archive,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Behaviour,
    Registry,
    basic,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented

USER = ("pusher", "s3cret-password")
Module = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Module:
    def call(**options: t.Any) -> dict[str, t.Any]:
        result = run(checkpoint_image, monkeypatch, capsys, **options)
        assert USER[1] not in json.dumps(result)
        return result

    return call


@pytest.mark.parametrize("check", [False, True])
def test_results_are_as_documented(module: Module, tmp_path: pathlib.Path, check: bool) -> None:
    options = {"path": str(archive(tmp_path)), "name": "example.com/a:1", "layout": str(tmp_path / "layout")}
    result = module(check=check, **options)
    result.pop("diff")
    assert result["changed"] and undocumented(result, checkpoint_image.RETURN) == []


def credentials(folder: pathlib.Path, registry: Registry, how: str) -> dict[str, t.Any]:
    auths = json.dumps({"auths": {registry.address: {"auth": basic(USER).split()[1]}}})
    (folder / "auth.json").write_text(auths)
    return {
        "password": {"username": USER[0], "password": USER[1]},
        "authfile": {"authfile": str(folder / "auth.json")},
        "text": {"pull_secret": auths},
        "dictionary": {"pull_secret": json.loads(auths)},
    }[how]


@pytest.mark.parametrize("how", ["password", "authfile", "text", "dictionary"])
def test_credentials(module: Module, tmp_path: pathlib.Path, how: str) -> None:
    with Registry(Behaviour(user=USER)) as registry:
        given = credentials(tmp_path, registry, how)
        options = {"path": str(archive(tmp_path)), "name": f"{registry.address}/a/b:1", "plain_http": True}
        assert module(**options, **given)["changed"]
        again = module(**options, **given)
        assert not again["changed"] and again["reference"].startswith(f"{registry.address}/a/b@sha256:")
        assert module(**options)["code"] == "unauthorized"


def test_failures_have_a_documented_code(module: Module, tmp_path: pathlib.Path) -> None:
    result = module(path=str(tmp_path / "none.tar"), name="example.com/a:1", layout=str(tmp_path / "layout"))
    assert result["failed"] and result["code"] == "archive_unreadable" and result["path"].endswith("none.tar")
    documented = set(yaml.safe_load(checkpoint_image.RETURN))
    assert {"code", "reason", "hint", "message", "path"} <= documented & set(result)


def test_every_code_is_documented() -> None:
    room = pathlib.Path(checkpoint_image.__file__).parents[1] / "module_utils" / "_oci"
    # What reads an image in a registry belongs to checkpoint_inspect and checkpoint_info.
    text = "".join(path.read_text() for path in room.glob("*.py") if path.name != "remote.py")
    raised = set(re.findall(r'(?:CheckpointError\(\s*|code, hint = )"([a-z_]+)"', text))
    assert len(raised) > 20 and "registry_busy" in raised
    documentation = " ".join(yaml.safe_load(checkpoint_image.RETURN)["code"]["description"])
    assert {code for code in raised if f"V({code})" not in documentation} == set()


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "/a", "file": "/b"},
        {"username": "a"},
        {"username": "a", "password": "b", "authfile": "/c"},
        {"compression": "lz4"},
    ],
)
def test_options_that_exclude_one_another(module: Module, options: dict[str, t.Any]) -> None:
    assert module(path="/archive.tar", name="example.com/a:1", **options)["failed"]


@pytest.mark.parametrize(
    ("reader", "option"), [(checkpoint_inspect, "path"), (checkpoint_info, "paths")], ids=["inspect", "info"]
)
def test_an_image_is_read_in_its_registry(
    module: Module,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
    reader: types.ModuleType,
    option: str,
) -> None:
    with Registry(Behaviour(user=USER)) as registry:
        name = f"{registry.address}/a/b:1"
        given = {"username": USER[0], "password": USER[1], "plain_http": True}
        module(path=str(archive(tmp_path)), name=name, **given)
        read = run(reader, monkeypatch, capsys, **{option: f"docker://{name}"}, **given)
        assert undocumented(read, reader.RETURN) == []
        entry = read if option == "path" else {"archive": read["checkpoints"][0], **read["checkpoints"][0]}
        assert entry["identity"]["pod"] == "web-0"
        assert (entry["archive"]["path"], entry["archive"]["format"]) == (f"docker://{name}", "registry")
        refused = run(reader, monkeypatch, capsys, **{option: f"docker://{name}"}, plain_http=True)
        assert (refused if option == "path" else refused["checkpoints"][0])["code"] == "unauthorized"
