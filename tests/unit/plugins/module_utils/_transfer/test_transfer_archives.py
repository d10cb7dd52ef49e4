# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives through the channel, the target in a process of its own: whole there, or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import signal
import stat
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer import (
    background,
    channel,
    receiving,
    sending,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.channel import Identity, Line
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.door import connect
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.sending import Offer, Sent
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import archive
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._transfer.identities import (
    identity,
)

HERE = "127.0.0.1"


class Target:
    """A folder for what arrives, and the archive that is meant."""

    def __init__(self, folder: pathlib.Path, source: pathlib.Path) -> None:
        self.folder = folder
        self.source = source
        self.data = source.read_bytes()
        self.destination = folder / "here"
        self.checksum = hashlib.sha256(self.data).hexdigest()

    @property
    def door(self) -> pathlib.Path:
        return self.folder / ".here.door"

    def open(self, seconds: float = 30, **wanted: t.Any) -> Offer:
        options = {"checksum": self.checksum, "size": len(self.data), **wanted}
        what = receiving.wanted(str(self.destination), options["checksum"], options["size"])
        offer = receiving.open_door(what, identity(), address=HERE, port=0, seconds=seconds)
        return Offer(**offer, identity=identity(), **options)

    def send(self, offer: Offer) -> Sent:
        return sending.send(str(self.source), offer)

    def refuses(self, offer: Offer) -> CheckpointError:
        with pytest.raises(CheckpointError) as failed:
            self.send(offer)
        return failed.value

    def line(self, offer: Offer) -> Line:
        return connect(offer.addresses, offer.port, Identity(offer.identity), Deadline(20))

    def closed(self) -> None:
        """Wait until what waits or receives has ended."""
        until = time.monotonic() + 20
        while self.door.exists():
            assert time.monotonic() < until, "it goes on for ever"
            time.sleep(0.02)

    def arriving(self) -> pathlib.Path:
        """The folder under its temporary name, once there is one."""
        until = time.monotonic() + 20
        while not (found := [path for path in self.folder.glob(".here.*") if path.is_dir()]):
            assert time.monotonic() < until, "nothing arrives"
            time.sleep(0.02)
        return found[0]

    def left(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture
def target(tmp_path: pathlib.Path) -> t.Iterator[Target]:
    folder, source = tmp_path / "target", tmp_path / "source"
    folder.mkdir()
    source.mkdir()
    made = Target(folder, archive(source, os.urandom(3 << 20)))
    yield made
    receiving.close_door(str(made.destination), check=False)


def test_an_archive_arrives_unpacked_and_is_roots_alone(target: Target) -> None:
    sent = target.send(target.open())
    assert sent[:3] == (str(target.destination), target.checksum, len(target.data))
    with open_archive(str(target.source)) as before, open_archive(str(target.destination)) as after:
        assert {m.name: m.read() for m in after.members if m.kind == "file"} == {
            m.name: m.read() for m in before.members if m.kind == "file"
        }
    for path in (target.destination, *target.destination.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    target.closed()
    assert target.left() == ["here"]
    assert receiving.wanted(str(target.destination), target.checksum, 1).is_there
    assert not receiving.close_door(str(target.destination), check=False)


def test_a_folder_that_is_missing_is_made_for_root_alone(target: Target) -> None:
    target.destination = target.folder / "deep" / "deeper" / "here"
    assert target.send(target.open()).destination == str(target.destination)
    for path in (target.destination.parent, target.destination.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("wanted", "said", "code"),
    [
        ({}, lambda data: data + b"x", "too_large"),
        ({}, lambda data: data[:-5000], "archive_truncated"),
        ({}, lambda data: data[:200_000] + b"x" + data[200_001:], "digest_wrong"),
        ({"checksum": "sha256:" + "0" * 64}, lambda data: data, "digest_wrong"),
        ({"size": 1000}, lambda data: data, "too_large"),
        ({"size": 4000}, lambda data: b"hello" * 800, "archive_not_tar"),
    ],
    ids=["more", "less", "changed", "another", "larger", "no-archive"],
)
def test_what_is_not_meant_is_refused(
    target: Target, wanted: dict[str, t.Any], said: t.Callable[[bytes], bytes], code: str
) -> None:
    offer = target.open(**wanted)
    data = said(target.data)
    with contextlib.closing(target.line(offer)) as line:
        for start in range(0, len(data), channel.FRAME_BYTES):
            if line.stirs():
                break
            line.say(data[start : start + channel.FRAME_BYTES])
        else:
            line.end()
        with pytest.raises(CheckpointError) as failed:
            sending._answer(line)
    assert failed.value.code == code
    target.closed()
    assert target.left() == []


def test_what_the_target_refuses_is_passed_on(target: Target) -> None:
    target.source.write_bytes(b"hello" * 400_000)
    offer = target.open(size=2_000_000, checksum=hashlib.sha256(b"hello" * 400_000).hexdigest())
    refused = target.refuses(offer)
    assert refused.code == "archive_not_tar"
    assert refused.reason
    target.closed()
    assert target.left() == []


def test_a_sender_that_is_gone_leaves_nothing(target: Target) -> None:
    offer = target.open()
    line = target.line(offer)
    line.say(target.data[:1_000_000])
    target.arriving()
    line.close()
    target.closed()
    assert target.left() == []


def test_a_sender_that_is_gone_at_the_very_end_leaves_nothing(target: Target) -> None:
    offer = target.open()
    line = target.line(offer)
    for start in range(0, len(target.data), channel.FRAME_BYTES):
        line.say(target.data[start : start + channel.FRAME_BYTES])
    line.end()
    line.close()
    target.closed()
    assert target.left() == []


def test_a_sender_that_falls_silent_leaves_nothing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "IDLE_SECONDS", 0.3)
    offer = target.open()
    with contextlib.closing(target.line(offer)) as line:
        line.say(target.data[:1_000_000])
        target.closed()
        with pytest.raises(CheckpointError, match="silent"):
            sending._answer(line)
    assert target.left() == []


def test_nobody_comes(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "ADMIT_SECONDS", 0.3)
    offer = target.open()
    target.closed()
    assert target.left() == []
    assert target.refuses(offer).code == "target_unreachable"


def test_the_deadline_ends_a_transfer(target: Target) -> None:
    offer = target.open(seconds=1)
    with contextlib.closing(target.line(offer)) as line:
        until = time.monotonic() + 20
        sent = 0
        # Never silent, and never done.
        while not line.stirs():
            assert time.monotonic() < until
            line.say(target.data[sent : sent + 10])
            sent += 10
            time.sleep(0.02)
        with pytest.raises(CheckpointError) as failed:
            sending._answer(line)
    assert failed.value.code == "offer_expired"
    target.closed()
    assert target.left() == []
    assert target.refuses(offer._replace(expires=int(time.time()))).code == "offer_expired"


def test_a_door_is_closed(target: Target) -> None:
    offer = target.open()
    destination = str(target.destination)
    assert receiving.close_door(destination, check=True)
    assert target.door.exists()
    assert receiving.close_door(destination, check=False)
    assert target.left() == []
    assert not receiving.close_door(destination, check=False)
    assert target.refuses(offer).code == "target_unreachable"


def test_a_transfer_is_ended_by_closing_the_door(target: Target) -> None:
    offer = target.open()
    with contextlib.closing(target.line(offer)) as line:
        line.say(target.data[:1_000_000])
        target.arriving()
        assert receiving.close_door(str(target.destination), check=False)
        with pytest.raises(CheckpointError) as failed:
            sending._answer(line)
    assert failed.value.code == "connection_lost"
    assert target.left() == []


def test_what_a_killed_receiver_left_is_removed(target: Target) -> None:
    offer = target.open()
    with contextlib.closing(target.line(offer)) as line:
        line.say(target.data[:1_000_000])
        left = target.arriving()
        os.kill(int(target.door.read_text()), signal.SIGKILL)
        with pytest.raises(CheckpointError) as failed:
            sending._answer(line)
    assert failed.value.code == "connection_lost"
    assert left.exists()
    assert receiving.close_door(str(target.destination), check=False)
    assert target.left() == []


def test_what_a_killed_receiver_left_is_no_obstacle(target: Target) -> None:
    target.open()
    killed = int(target.door.read_text())
    os.kill(killed, signal.SIGKILL)
    with contextlib.suppress(FileNotFoundError):
        while pathlib.Path(f"/proc/{killed}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
    assert target.send(target.open()).sha256 == target.checksum


def test_one_that_does_not_end_is_killed(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "ENDING_SECONDS", 0.5)
    target.open()
    number = int(target.door.read_text())
    os.kill(number, signal.SIGSTOP)
    assert receiving.close_door(str(target.destination), check=False)
    assert target.left() == []


def test_two_for_one_folder_and_a_folder_that_is_there(target: Target) -> None:
    target.open()
    with pytest.raises(CheckpointError) as failed:
        target.open()
    assert failed.value.code == "destination_busy"
    receiving.close_door(str(target.destination), check=False)
    target.destination.mkdir()
    with pytest.raises(CheckpointError) as failed:
        target.open()
    assert failed.value.code == "destination_exists"
    assert target.left() == ["here"]


def test_a_door_that_somebody_else_may_write_to(target: Target) -> None:
    target.door.write_text("1")
    target.door.chmod(0o666)
    for work in (target.open, lambda: receiving.close_door(str(target.destination), check=False)):
        with pytest.raises(CheckpointError) as failed:
            work()
        assert failed.value.code == "claim_untrusted"
    target.door.unlink()


def test_another_archive_than_the_one_that_was_offered(target: Target) -> None:
    assert target.refuses(target.open(size=7)).code == "size_wrong"
    receiving.close_door(str(target.destination), check=False)
    offer = target.open()
    target.source.write_bytes(target.data[:-1] + b"x")
    assert target.refuses(offer).code == "digest_wrong"
    target.closed()
    assert target.left() == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("relative", "path_invalid"),
        ("/nowhere/a.tar", "archive_missing"),
        ("/dev", "archive_not_a_file"),
        ("/proc/self/exe", "archive_is_link"),
    ],
)
def test_what_cannot_be_sent(path: str, code: str) -> None:
    offer = Offer([HERE], 1, identity(), "0" * 64, 10, int(time.time()) + 60)
    for work in (sending.send, sending.check):
        with pytest.raises(CheckpointError) as failed:
            work(path, offer)
        assert failed.value.code == code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"destination": "here"}, "invalid_option"),
        ({"destination": "/"}, "invalid_option"),
        ({"checksum": "md5:1"}, "invalid_option"),
        ({"size": 0}, "invalid_option"),
        ({"size": 1 << 60}, "no_space"),
        ({"address": "the other one"}, "invalid_option"),
        ({"address": "192.0.2.7"}, "listen_failed"),
        ({"port": 65536}, "invalid_option"),
        ({"identity": "none"}, "identity_invalid"),
        ({"destination": "/proc/none/here"}, "destination_refused"),
    ],
)
def test_doors_that_are_not_opened(tmp_path: pathlib.Path, given: dict[str, t.Any], code: str) -> None:
    options = {
        "destination": str(tmp_path / "here"),
        "checksum": "0" * 64,
        "size": 10_000,
        "address": HERE,
        "port": 0,
        "identity": identity(),
        **given,
    }
    with pytest.raises(CheckpointError) as failed:
        receiving.open_door(
            receiving.wanted(options["destination"], options["checksum"], options["size"]),
            options["identity"],
            address=options["address"],
            port=options["port"],
            seconds=10,
        )
    assert failed.value.code == code
    assert os.listdir(tmp_path) == []
