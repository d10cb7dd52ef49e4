# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores whose container runtime or kubelet died before the start: another container is created in their place."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
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
OTHER = Name("shop", "web-1", "web")


@pytest.fixture
def base(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "store")


def begun(base: str, on_failure: str) -> Attempt:
    """An attempt that has claimed a ticket; its runtime is a program that does nothing, and says that all is well."""
    ticket = Ticket(*NAME, archive="/srv/web.tar", sha256="a" * 64, expires=2_000_000_000, on_failure=on_failure)
    Tickets(base).put(ticket)
    bundle = pathlib.Path(base, "bundle")
    bundle.mkdir()
    keys = ("sandbox-namespace", "sandbox-name", "container-name")
    annotations = {f"io.kubernetes.cri.{key}": value for key, value in zip(keys, NAME)}
    annotations["io.kubernetes.cri.container-type"] = "container"
    config = {"annotations": annotations, "process": {}, "root": {"path": "rootfs"}}
    (bundle / "config.json").write_text(json.dumps(config))
    found = Attempt("0123456789abcdef", base)
    found.begin("/bin/true", Command([], "create", {}, [found.container]), Bundle(str(bundle)))
    assert claim(found, NAME)
    return found


def is_there(base: str) -> bool:
    return Tickets(base).get(NAME) is not None


@pytest.mark.parametrize("on_failure", ["cold", "keep"])
def test_one_that_waits_for_its_start(base: str, on_failure: str) -> None:
    attempt = begun(base, on_failure)
    attempt.succeeded()
    sweep(base, OTHER)
    sweep(base)
    assert attempt.waits and not is_there(base)
    sweep(base, NAME)
    assert not attempt.exists
    assert is_there(base) == (on_failure == "keep")
    receipt = Receipts(base).get(NAME)
    assert receipt is not None and (receipt.outcome, receipt.code) == ("failed", "killed")


@pytest.mark.parametrize("on_failure", ["cold", "keep"])
def test_one_at_work(base: str, on_failure: str) -> None:
    attempt = begun(base, on_failure)
    sweep(base, OTHER)
    assert attempt.exists
    newer = threading.Thread(target=sweep, args=(base, NAME))
    newer.start()
    until = time.monotonic() + 30
    while not os.path.exists(f"{attempt.folder}/given-up"):
        assert time.monotonic() < until
        time.sleep(0.01)
    with pytest.raises(CheckpointError) as caught:
        attempt.succeeded()
    assert caught.value.code == "given_up"
    # It lets go of what it has restored, and only then the other goes on.
    assert newer.is_alive()
    attempt.undo(caught.value)
    newer.join(30)
    assert not newer.is_alive() and not attempt.exists
    assert is_there(base) == (on_failure == "keep")


@pytest.mark.parametrize("on_failure", ["cold", "keep"])
def test_one_that_is_deleted_before_its_start(base: str, on_failure: str) -> None:
    attempt = begun(base, on_failure)
    attempt.succeeded()
    attempt.delete()
    assert not attempt.exists
    assert is_there(base) == (on_failure == "keep")


def test_one_that_is_started_has_used_up_its_ticket(base: str) -> None:
    attempt = begun(base, "keep")
    attempt.succeeded()
    attempt.forget()
    sweep(base, NAME)
    assert not attempt.exists and not is_there(base)
    receipt = Receipts(base).get(NAME)
    assert receipt is not None and receipt.outcome == "restored"
