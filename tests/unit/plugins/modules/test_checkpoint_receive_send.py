# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_receive and checkpoint_send as modules: what they return, say beforehand, and refuse."""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
import typing as t

import pytest
from ansible.module_utils import basic
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.receiving import close_door
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_receive, checkpoint_send
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import archive
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._transfer.identities import (
    identity,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented

Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the modules write to the system's log."""
    lines: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _module, text, **_more: lines.append(str(text)))
    return lines


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return archive(folder)


@pytest.fixture
def destination(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    path = tmp_path / "target" / "here"
    yield path
    close_door(str(path), check=False)


@pytest.fixture
def receive(
    destination: pathlib.Path,
    source: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Runner:
    def call(**given: t.Any) -> dict[str, t.Any]:
        meant = {"checksum": hashlib.sha256(source.read_bytes()).hexdigest(), "size": source.stat().st_size}
        options = {"destination": str(destination), "address": "127.0.0.1", "identity": identity(), **meant, **given}
        return run(checkpoint_receive, monkeypatch, capsys, **options)

    return call


@pytest.fixture
def send(source: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    def call(offer: dict[str, t.Any], **given: t.Any) -> dict[str, t.Any]:
        # The action plugin adds the identity.
        options = {"path": str(source), "offer": {**offer, "identity": identity()}, **given}
        return run(checkpoint_send, monkeypatch, capsys, **options)

    return call


def test_what_they_return(
    receive: Runner, send: Runner, destination: pathlib.Path, source: pathlib.Path, logged: list[str]
) -> None:
    received = receive()
    assert received["changed"], received
    sent = send(received["offer"])
    assert len(logged) == 2
    key = base64.b64decode(identity()).decode().splitlines()[-2]
    for text in (*logged, str(received), str(sent)):
        assert identity() not in text
        assert key not in text
    assert sent["changed"], sent
    assert undocumented(sent, checkpoint_send.RETURN) == []
    assert (sent["destination"], sent["size"]) == (str(destination), source.stat().st_size)
    with_identity = {**received, "offer": {**received["offer"], "identity": identity()}}
    assert undocumented(with_identity, checkpoint_receive.RETURN) == []

    again = receive()
    assert (again["changed"], again["offer"]) == (False, {})
    other = receive(checksum="0" * 64)
    assert other["code"] == "destination_exists"
    assert undocumented(other, checkpoint_receive.RETURN) == ["destination is missing", "offer is missing"]


def test_check_mode_opens_nothing_and_connects_to_nothing(
    receive: Runner, send: Runner, destination: pathlib.Path
) -> None:
    foreseen = receive(check=True)
    assert (foreseen["changed"], foreseen["offer"]) == (True, {})
    assert not destination.parent.exists()
    assert receive(check=True, address="nowhere")["code"] == "invalid_option"
    offer = receive()["offer"]
    assert send(offer, check=True)["changed"]
    assert send({**offer, "size": 7}, check=True)["code"] == "size_wrong"
    assert receive(check=True, state="absent")["changed"]
    assert send(offer)["changed"]


def test_the_door_is_closed_once(receive: Runner, send: Runner, destination: pathlib.Path) -> None:
    offer = receive()["offer"]
    assert receive(state="absent")["changed"]
    assert not receive(state="absent")["changed"]
    assert os.listdir(destination.parent) == []
    refused = send(offer)
    assert refused["code"] == "target_unreachable"
    assert refused["msg"].startswith("The target cannot be reached")
    assert undocumented(refused, checkpoint_send.RETURN) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"expires_in": "soon"}, "expires_in"),
        ({"size": 0}, "size"),
        ({"checksum": "1"}, "checksum"),
        ({"destination": "relative"}, "destination"),
        ({"identity": None}, "certificate"),
    ],
)
def test_options_that_make_no_sense(receive: Runner, given: dict[str, t.Any], text: str) -> None:
    result = receive(**given)
    assert result["failed"]
    assert text in result["msg"]
