# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores whose container runtime or kubelet died before the start or at it: another container is created in their
place, or nobody asks for them any more."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import runtime, sweeping
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.attempt import (
    START_SECONDS,
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
    """An attempt that has claimed a ticket; its runtime is as in ``has_status``, or answers nothing."""
    ticket = Ticket(*NAME, archive="/srv/web.tar", sha256="a" * 64, expires=2_000_000_000, on_failure=on_failure)
    Tickets(base).put(ticket)
    program = pathlib.Path(base, "runc")
    program.write_text(f'#!/bin/sh\necho "$@" >> {base}/called\n[ -e {base}/status ] || exit 0\n. {base}/status\n')
    program.chmod(0o700)
    bundle = pathlib.Path(base, "bundle")
    bundle.mkdir()
    keys = ("sandbox-namespace", "sandbox-name", "container-name")
    annotations = {f"io.kubernetes.cri.{key}": value for key, value in zip(keys, NAME)}
    annotations["io.kubernetes.cri.container-type"] = "container"
    config = {"annotations": annotations, "process": {}, "root": {"path": "rootfs"}}
    (bundle / "config.json").write_text(json.dumps(config))
    found = Attempt("0123456789abcdef", base)
    found.begin(f"{base}/runc", Command([], "create", {}, [found.container]), Bundle(str(bundle)))
    assert claim(found, NAME)
    return found


def has_status(base: str, status: str) -> None:
    """What the runtime says of the container, with no status as runc 1.1.15 does of one that it does not know."""
    said = f"echo '{json.dumps({'status': status})}'" if status else "echo container does not exist >&2; exit 1"
    pathlib.Path(base, "status").write_text(f"case $1 in state) {said} ;; esac\n")


def calls(base: str) -> list[str]:
    return [line.split()[0] for line in pathlib.Path(base, "called").read_text().splitlines()]


def has_waited(attempt: Attempt, seconds: float) -> None:
    since = time.time() - seconds
    os.utime(f"{attempt.folder}/waiting", (since, since))


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


@pytest.mark.parametrize("on_failure", ["cold", "keep"])
@pytest.mark.parametrize("status", ["paused", "stopped"])
def test_one_that_nobody_has_started(base: str, status: str, on_failure: str) -> None:
    attempt = begun(base, on_failure)
    attempt.succeeded()
    has_status(base, status)
    has_waited(attempt, START_SECONDS - 10)
    sweep(base)
    assert attempt.waits
    has_waited(attempt, START_SECONDS + 1)
    sweep(base, OTHER)
    assert not attempt.exists
    assert calls(base)[-1] == "delete"
    assert is_there(base) == (on_failure == "keep")


def test_one_that_the_runtime_knows_no_more_as_after_a_reboot(base: str) -> None:
    attempt = begun(base, "keep")
    attempt.succeeded()
    has_status(base, "")
    sweep(base)
    assert not attempt.exists and is_there(base)


def test_one_of_which_the_runtime_says_nothing_is_left_alone(base: str) -> None:
    attempt = begun(base, "keep")
    attempt.succeeded()
    has_waited(attempt, 10 * START_SECONDS)
    pathlib.Path(base, "runc").unlink()
    sweep(base)
    assert attempt.waits


@pytest.mark.parametrize("on_failure", ["cold", "keep"])
def test_one_whose_start_was_killed_after_it_went_on(base: str, on_failure: str) -> None:
    attempt = begun(base, on_failure)
    attempt.succeeded()
    has_status(base, "running")
    with pytest.raises(KeyboardInterrupt), attempt.starting():
        raise KeyboardInterrupt
    assert attempt.waits
    has_waited(attempt, 10 * START_SECONDS)
    command = Command([], "kill", {}, [attempt.container, "TERM"])
    # It gets the signal that it was sent, and is not ended as one that waits would be.
    assert runtime.handle(f"{base}/runc", command, base) is None
    sweep(base)
    assert not attempt.exists and not is_there(base)
    assert "delete" not in calls(base)
    receipt = Receipts(base).get(NAME)
    assert receipt is not None and receipt.outcome == "restored"


def test_one_whose_start_was_killed_is_no_reason_for_another_restore(base: str) -> None:
    attempt = begun(base, "keep")
    attempt.succeeded()
    with pytest.raises(KeyboardInterrupt), attempt.starting():
        raise KeyboardInterrupt
    attempt.delete()
    assert not attempt.exists and not is_there(base)


def test_one_that_cannot_be_started_keeps_its_ticket(base: str) -> None:
    attempt = begun(base, "keep")
    attempt.succeeded()
    with pytest.raises(CheckpointError), attempt.starting():
        raise CheckpointError("start_failed", "The restored process could not be resumed")
    assert attempt.waits
    attempt.delete()
    assert not attempt.exists and is_there(base)


def test_the_features_are_answered_at_once_and_what_is_left_goes(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = begun(base, "keep")
    # The process that is started has the attempt's lock, as it has all of this one: let go of it.
    attempt._unlock()
    monkeypatch.setattr(sweeping, "PAUSE", 0.01)
    assert runtime.handle(f"{base}/runc", Command([], "features", {}, []), base) is None
    until = time.monotonic() + 30
    while os.listdir(f"{base}/restores"):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert is_there(base)


def test_nothing_is_started_where_nothing_is_left(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process was started"))
    sweeping.sweep_in_background(base)
    os.makedirs(f"{base}/restores")
    sweeping.sweep_in_background(base)
