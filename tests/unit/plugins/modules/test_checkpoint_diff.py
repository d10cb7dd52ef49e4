# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_diff as a module."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_diff as module
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_image
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Registry,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import (
    run,
    undocumented,
)

Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture(name="compare")
def fixture_compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return functools.partial(run, module, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("crio-runc-ledger", "containerd-2.1-ledger"),
        ("crio-runc-counter", "podman-5.4-ledger"),
        ("runc-criu-4.1.1-planted", "runc-criu-4.2.1-planted"),
        ("crio-runc-ledger", "crio-runc-ledger"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_result_is_as_documented(compare: Call, before: str, after: str, check: bool) -> None:
    result = compare(check=check, before=str(FIXTURES / REAL[before]), after=str(FIXTURES / REAL[after]))
    assert undocumented(result, module.RETURN) == []
    assert result["changed"] is False
    assert (result["summary"] == ["Nothing is different"]) == (before == after)


def test_refusals_have_a_code(compare: Call, tmp_path: pathlib.Path) -> None:
    good = str(FIXTURES / REAL["crio-runc-ledger"])
    assert compare(before=good, after=str(tmp_path / "none"))["code"] == "archive_unreadable"
    assert compare(before=str(tmp_path), after=good)["code"] == "not_a_checkpoint"


def test_images_are_compared_in_their_registry(
    compare: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = (str(FIXTURES / REAL[name]) for name in ("crio-runc-ledger", "containerd-2.1-ledger"))
    with Registry() as registry:
        name = f"{registry.address}/a/b:1"
        run(checkpoint_image, monkeypatch, capsys, path=after, name=name, plain_http=True)
        found = compare(before=before, after=f"docker://{name}", plain_http=True)
        assert found["summary"] == compare(before=before, after=after)["summary"]
        registry.manifests.clear()
        assert compare(before=f"docker://{name}", after=after, plain_http=True)["code"] == "image_missing"
