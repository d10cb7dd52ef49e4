# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receipts: what a restore leaves behind, however it ends."""

from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import proof, receipt
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.attempt import (
    Attempt,
    claim,
    sweep,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.bundle import Bundle
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.command import Command
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.receipt import Receipts
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import (
    Name,
    Ticket,
    Tickets,
)

NAME = Name("shop", "web-0", "web")
ID = "c" * 64
SWEPT = CheckpointError("digest_wrong", "The archive is not the one", message="two\nlines")


@pytest.fixture
def base(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "store")


def ticket(**more: t.Any) -> Ticket:
    return Ticket(*NAME, archive="/srv/web.tar", sha256="a" * 64, expires=2_000_000_000, **more)


def attempt(base: str, **more: t.Any) -> Attempt:
    """An attempt that has claimed a ticket; its runtime is a program that does nothing."""
    Tickets(base).put(ticket(**more))
    bundle = pathlib.Path(base, "bundle")
    bundle.mkdir(exist_ok=True)
    keys = ("sandbox-namespace", "sandbox-name", "container-name")
    annotations = {f"io.kubernetes.cri.{key}": value for key, value in zip(keys, NAME)}
    annotations["io.kubernetes.cri.container-type"] = "container"
    config = {"annotations": annotations, "process": {}, "root": {"path": "rootfs"}}
    (bundle / "config.json").write_text(json.dumps(config))
    found = Attempt(ID, base)
    found.begin("/bin/true", Command([], "create", {}, [ID]), Bundle(str(bundle)))
    assert claim(found, NAME)
    return found


def left(base: str) -> dict[str, t.Any]:
    found = Receipts(base).get(NAME)
    assert found is not None
    return found.as_dict()


def test_of_a_restore_that_succeeded(base: str) -> None:
    attempt(base).succeeded()
    found = left(base)
    assert 0 <= found.pop("seconds") < 60
    assert time.strptime(found.pop("at"), "%Y-%m-%dT%H:%M:%SZ")
    assert found == {
        "version": 1,
        "namespace": "shop",
        "pod": "web-0",
        "container": "web",
        "container_id": ID,
        "archive": "/srv/web.tar",
        "sha256": "a" * 64,
        "outcome": "restored",
        "code": "",
        "reason": "",
    }
    path = Receipts(base).path(NAME)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(os.path.dirname(path)) == [NAME.file]


@pytest.mark.parametrize("on_failure", ["cold", "keep"])
def test_of_one_that_failed(base: str, on_failure: str) -> None:
    attempt(base, on_failure=on_failure).undo(SWEPT)
    found = left(base)
    assert (found["outcome"], found["code"]) == ("failed", "digest_wrong")
    assert found["reason"] == "The archive is not the one. Original message: two lines"
    assert (Tickets(base).get(NAME) is not None) == (on_failure == "keep")


def test_of_one_that_was_killed(base: str) -> None:
    attempt(base)._unlock()
    sweep(base)
    found = left(base)
    assert (found["outcome"], found["code"], found["seconds"]) == ("failed", "killed", None)
    assert os.listdir(os.path.join(base, "restores")) == []


def test_of_one_whose_ticket_cannot_be_read(base: str) -> None:
    found = attempt(base)
    pathlib.Path(found.ticket_path).write_text("{")
    found.undo(CheckpointError("ticket_invalid", "The ticket is not valid"))
    assert (left(base)["archive"], left(base)["sha256"], left(base)["code"]) == (None, None, "ticket_invalid")


def test_a_newer_ticket_has_no_receipt_of_the_older_one(base: str) -> None:
    found = attempt(base)
    Tickets(base).put(ticket())
    found.undo(SWEPT)
    assert Receipts(base).get(NAME) is None


def test_the_reason_is_bounded(base: str) -> None:
    attempt(base).undo(CheckpointError("excess", "ü" * 100_000))
    assert len(left(base)["reason"].encode()) <= receipt.MAX_SENTENCE


def test_old_ones_are_swept(base: str) -> None:
    attempt(base).undo(SWEPT)
    path = Receipts(base).path(NAME)
    for age, there in ((receipt.KEPT_SECONDS - 3600, True), (receipt.KEPT_SECONDS + 3600, False)):
        os.utime(path, (time.time() - age,) * 2)
        sweep(base)
        assert os.path.exists(path) == there


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 2}', '{"version": 1}', "[" * 10000])
def test_what_is_no_receipt_counts_as_none(base: str, text: str) -> None:
    attempt(base).undo(SWEPT)
    with open(Receipts(base).path(NAME), "w", encoding="ascii") as file:
        file.write(text)
    assert Receipts(base).get(NAME) is None


def refused(base: str, container_id: str = "", wait: float = 0) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        proof.used(NAME, container_id, wait, base=base)
    return caught.value


def test_proof_of_the_container(base: str) -> None:
    attempt(base).succeeded()
    for asked in ("", ID, f"containerd://{ID}", f"cri-o://{ID}"):
        outcome = proof.used(NAME, asked, 0, base=base)
        assert outcome.receipt is not None
        assert (outcome.changed, outcome.receipt["container_id"]) == (False, ID)
    error = refused(base, "containerd://" + "d" * 64)
    assert error.code == "another_container"
    assert error.details["receipt"]["container_id"] == ID


def test_no_proof(base: str) -> None:
    assert refused(base).code == "receipt_missing"
    Tickets(base).put(ticket())
    assert refused(base, wait=0.3).code == "not_restored"
    Tickets(base).put(Ticket(*NAME, archive="/srv/web.tar", sha256=None, expires=1))
    assert "it expired at 1970-01-01T00:00:01Z" in refused(base).reason
    attempt(base).undo(SWEPT)
    error = refused(base)
    assert (error.code, error.message) == ("restore_failed", left(base)["reason"])
    attempt(base, on_failure="keep").undo(SWEPT)
    # The ticket is there again, so that the next try may succeed.
    assert refused(base, wait=0.3).code == "restore_failed"


def test_it_waits_for_the_end(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = attempt(base)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            found.succeeded()

    monkeypatch.setattr(proof.time, "sleep", nap)
    assert proof.used(NAME, ID, 60, base=base).receipt is not None
    assert len(naps) == 3
