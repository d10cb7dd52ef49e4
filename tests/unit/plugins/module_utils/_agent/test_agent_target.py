# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's half on the target: images by a real channel, real tickets; what is left when the controller is gone.

The restore itself is run on the laboratory.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent import stream
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent.target import Target
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import difference, output
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.limits import Limits
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import receipt
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Name, Tickets
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpack import Opened
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.channel import Identity
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.door import connect
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    members,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._transfer.identities import (
    identity,
)

HERE = "127.0.0.1"
NUMBER = "000000000001"
NAMES = ["app", "side-car"]
APP = Name("shop", "web-0", "app")


class Place:
    """A target whose images have arrived."""

    def __init__(self, base: pathlib.Path) -> None:
        self.base = base
        self.folder = base / "moves" / NUMBER
        self.tickets = Tickets(str(base))
        self.target = self.made()

    def made(self) -> Target:
        made = Target(threading.Event(), lambda **_what: None, base=str(self.base))
        self.before = made.name(NUMBER, "shop", "web-0", NAMES)
        return made

    def fill(self, end: bool = True) -> stream.Landed:
        offer = self.target.open(identity(), HERE, 0, 20)
        sending = threading.Thread(target=self._send, args=(offer, end))
        sending.start()
        try:
            return stream.Landed(**self.target.receive(10))
        finally:
            sending.join()

    def _send(self, offer: dict[str, t.Any], end: bool) -> None:
        line = connect(offer["addresses"], offer["port"], Identity(identity()), Deadline(20))
        with contextlib.closing(line):
            sending = stream.Sending(line)
            for container in NAMES:
                sending.folder = container
                with sending.member("volume-0.tar") as file:
                    difference.write_folder(
                        str(self.base / "moves"), file, Limits(time.monotonic() + 20, threading.Event())
                    )
                for name, data in members(b"pages").items():
                    if not name.endswith("/") and name != "checkpoint":
                        output.add(sending, name, data)
            if end:
                sending.end()

    def left(self) -> tuple[list[str], list[str]]:
        """The tickets and the images that are there."""
        there = sorted(os.listdir(self.tickets.folder)) if os.path.isdir(self.tickets.folder) else []
        return there, sorted(os.listdir(self.folder)) if self.folder.exists() else []


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def tickets() -> list[str]:
    return sorted(Name("shop", "web-0", name).file for name in NAMES)


def test_what_arrives_is_what_a_ticket_takes(place: Place) -> None:
    landed = place.fill()
    assert landed.files == 2 * (1 + len([name for name in members(b"pages") if name != "checkpoint"]))
    opened = Opened(str(place.folder / "app"))
    assert opened.unpacked
    opened.archive.require_checkpoint()
    opened.close()
    place.target.leave(20, "clamp", ["seccomp", "capability:CAP_NET_RAW"], {"app": ["/data"]})
    ticket = place.tickets.get(APP)
    assert ticket is not None and ticket.archive == str(place.folder / "app")
    assert (ticket.on_failure, ticket.security, ticket.sha256) == ("keep", "clamp", None)
    assert ticket.volumes["/data"]["path"] == str(place.folder / "app/volume-0.tar")
    assert ticket.accept == ("capability:CAP_NET_RAW", "seccomp")
    assert place.target.renew(1000, "refuse", [], {}) == {"tickets": NAMES}
    renewed = place.tickets.get(APP)
    assert renewed is not None and renewed.expires > ticket.expires + 900
    assert (renewed.security, renewed.accept, renewed.volumes) == ("refuse", (), ticket.volumes)


def test_a_dump_that_breaks_off_leaves_nothing(place: Place) -> None:
    with pytest.raises(CheckpointError) as failed:
        place.fill(end=False)
    assert failed.value.code == "connection_lost" and place.left() == ([], [])
    place.target.close()
    assert not place.folder.exists()


def test_a_controller_that_is_gone_before_it_is_held_leaves_nothing(place: Place) -> None:
    place.fill()
    place.target.leave(20, "refuse", [], {})
    assert place.left() == (tickets(), NAMES)
    place.target.close()
    assert place.left() == ([], []) and not place.folder.exists()


def test_what_is_held_stays(place: Place) -> None:
    place.fill()
    place.target.leave(20, "refuse", [], {})
    place.target.hold()
    place.target.close()
    assert place.left() == (tickets(), NAMES)
    place.target = place.made()
    assert place.before == {"images": NAMES, "tickets": NAMES}
    # What it found there is not its own to undo, whoever it was that failed.
    place.target.close()
    assert place.left() == (tickets(), NAMES)


def test_a_claimed_ticket_keeps_the_images(place: Place) -> None:
    place.fill()
    place.target.leave(20, "refuse", [], {})
    assert place.tickets.claim(APP, str(place.base / "claimed"))
    assert place.target.take_back() == {"taken": ["side-car"], "claimed": ["app"]}
    place.target.close()
    assert place.left() == ([], NAMES)


def test_tickets_that_are_taken_back_are_nobodys(place: Place) -> None:
    place.fill()
    place.target.leave(20, "refuse", [], {})
    place.target.hold()
    assert place.target.take_back() == {"taken": NAMES, "claimed": []}
    assert place.target.take_back() == {"taken": [], "claimed": []}
    place.target.close()
    assert not place.folder.exists(), "held no more"


def test_of_tickets_that_cannot_all_be_left_none_is(place: Place) -> None:
    place.fill()
    os.rename(place.folder / "side-car", place.folder / "elsewhere")
    with pytest.raises(CheckpointError) as failed:
        place.target.leave(20, "refuse", [], {})
    assert failed.value.code == "archive_missing" and place.left()[0] == []


def test_the_proof_is_of_these_containers(place: Place) -> None:
    place.fill()
    place.target.leave(20, "refuse", [], {})
    with pytest.raises(CheckpointError) as failed:
        place.target.prove({"app": "containerd://1", "side-car": "containerd://2"}, 0)
    assert failed.value.code == "not_restored"
    for number, container in enumerate(NAMES, 1):
        name = Name("shop", "web-0", container)
        assert place.tickets.withdraw(name)
        receipt.Receipts(str(place.base)).put(receipt.receipt(name, str(number), None, 0.1))
    found = place.target.prove({"app": "containerd://1", "side-car": "containerd://2"}, 0)["receipts"]
    assert {name: entry["outcome"] for name, entry in found.items()} == dict.fromkeys(NAMES, "restored")
    with pytest.raises(CheckpointError) as failed:
        place.target.prove({"app": "containerd://1", "side-car": "containerd://3"}, 0)
    assert failed.value.code == "another_container"


def test_a_door_that_nobody_came_to_is_closed(place: Place) -> None:
    offer = place.target.open(identity(), HERE, 0, 20)
    place.target.close()
    with pytest.raises(CheckpointError) as failed:
        connect(offer["addresses"], offer["port"], Identity(identity()), Deadline(5))
    assert failed.value.code == "target_unreachable" and not place.folder.exists()


@pytest.mark.parametrize(("number", "names"), [("../../etc", ["app"]), (NUMBER, [".."]), (NUMBER, ["a/b"]), ("", [])])
def test_no_name_leads_elsewhere(tmp_path: pathlib.Path, number: str, names: list[str]) -> None:
    made = Target(threading.Event(), lambda **_what: None, base=str(tmp_path))
    with pytest.raises(CheckpointError) as failed:
        made.name(number, "shop", "web-0", names)
    assert failed.value.code == "invalid_option"


def test_pending_tickets_become_real_ones_when_the_images_are_there(place: Place) -> None:
    place.target.pend(20)
    waited = place.tickets.get(APP)
    assert waited is not None and waited.pending and place.left()[0] == tickets()
    place.fill()
    assert place.target.renew(1000, "clamp", ["seccomp"], {"app": ["/data"]}) == {"tickets": NAMES}
    ticket = place.tickets.get(APP)
    assert ticket is not None and not ticket.pending and ticket.expires > waited.expires + 900
    assert (ticket.security, ticket.accept, list(ticket.volumes)) == ("clamp", ("seccomp",), ["/data"])
    place.target.close()
    assert place.left() == ([], [])


def test_renewed_tickets_may_be_for_one_pod_alone(place: Place) -> None:
    place.target.pend(20)
    place.fill()
    assert place.target.renew(0, "clamp", [], {}) == {"tickets": NAMES}
    place.target.pend(20)
    assert place.target.renew(1000, "clamp", [], {}, uid="one") == {"tickets": NAMES}
    ticket = place.tickets.get(APP)
    assert ticket is not None and ticket.pod_uid == "one"
    assert place.target.renew(1000, "clamp", [], {}, uid="other") == {"tickets": NAMES}
    ticket = place.tickets.get(APP)
    assert ticket is not None and ticket.pod_uid == "other"
    place.target.close()


def test_what_arrived_is_sent_on_as_it_is_and_stays(place: Place, tmp_path: pathlib.Path) -> None:
    place.fill()
    (place.folder / "app" / "link").symlink_to("/etc/shadow")
    other = Place(tmp_path / "other")
    offer = other.target.open(identity(), HERE, 0, 20)
    sent: list[dict[str, t.Any]] = []

    def send() -> None:
        place.target.connect(identity=identity(), seconds=20, idle=10, **offer)
        sent.append(place.target.send())
        place.target.hang_up()

    sending = threading.Thread(target=send)
    sending.start()
    landed = other.target.receive(10)
    sending.join()
    assert [landed] == sent and landed["bytes"] > 0

    def files(folder: pathlib.Path) -> dict[str, bytes]:
        plain = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(folder)): path.read_bytes() for path in plain}

    assert files(other.folder) == files(place.folder) and len(files(other.folder)) == landed["files"]


@pytest.mark.parametrize(("missing", "code"), [("line", "wrong_order"), ("images", "images_missing")])
def test_without_a_line_or_images_nothing_is_sent(place: Place, missing: str, code: str) -> None:
    place.fill()
    if missing == "images":
        place.target._line = t.cast("t.Any", object())
        os.rename(place.folder / "side-car", place.folder / "elsewhere")
    with pytest.raises(CheckpointError) as failed:
        place.target.send()
    assert failed.value.code == code
    place.target._line = None


def test_who_is_stopped_sends_no_more(place: Place, tmp_path: pathlib.Path) -> None:
    place.fill()
    other = Place(tmp_path / "other")
    offer = other.target.open(identity(), HERE, 0, 20)
    place.target._stop.set()
    codes: list[str] = []

    def send() -> None:
        place.target.connect(identity=identity(), seconds=20, idle=10, **offer)
        try:
            place.target.send()
        except CheckpointError as error:
            codes.append(error.code)
        place.target.hang_up()

    sending = threading.Thread(target=send)
    sending.start()
    with pytest.raises(CheckpointError) as failed:
        other.target.receive(10)
    sending.join()
    assert codes == ["interrupted"] and failed.value.code == "connection_lost" and other.left() == ([], [])
