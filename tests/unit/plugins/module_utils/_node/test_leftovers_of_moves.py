# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of moves that wait for nobody are told of: what somebody may use now, and what is young, is not."""

from __future__ import annotations

import os
import pathlib
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import leftovers
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Selection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Ticket, Tickets
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    members,
)

NUMBER = "000000000001"
ALL = Selection()


class Place:
    def __init__(self, base: pathlib.Path) -> None:
        self.base = base
        self.folder = base / "moves" / NUMBER
        for name, data in members(b"pages").items():
            path = self.folder / "app" / name
            if name == "checkpoint":
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self.age(2 * leftovers.MOVE_SECONDS)

    def age(self, seconds: float) -> None:
        """Nothing in it has changed for so long."""
        at = time.time() - seconds
        for path in (self.folder, *self.folder.rglob("*")):
            os.utime(path, (at, at))

    def ticket(self, seconds: float) -> Ticket:
        """One that is good for so long."""
        expires = int(time.time() + seconds)
        ticket = Ticket("shop", "web-0", "app", str(self.folder / "app"), None, expires, on_failure="keep")
        Tickets(str(self.base)).put(ticket)
        return ticket

    def told(self, selection: Selection = ALL) -> list[str]:
        return [item["path"] for item in leftovers.of_moves(str(self.base), selection)]


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def test_what_nobody_came_back_for(place: Place) -> None:
    (found,) = leftovers.of_moves(str(place.base), ALL)
    assert (found["path"], found["kind"], found["move"]) == (str(place.folder / "app"), "directory", NUMBER)
    assert found["size"] == sum(path.stat().st_size for path in place.folder.rglob("*") if path.is_file())
    assert (found["namespace"], found["pod"], found["container"]) == ("shop", "web-0", "web")
    named = Selection([found["namespace"]], [found["pod"]], [found["container"]])
    assert place.told(named) == place.told() and place.told(Selection([], ["another"], [])) == []


def test_what_is_young(place: Place) -> None:
    place.age(leftovers.MOVE_SECONDS - 600)
    assert place.told() == []


def test_what_a_ticket_is_good_for(place: Place) -> None:
    place.ticket(600)
    assert place.told() == []
    place.ticket(-600)
    assert len(place.told()) == 1, "an expired one helps nobody"


@pytest.mark.parametrize("name", leftovers.CLAIMED)
def test_what_is_claimed(place: Place, name: str) -> None:
    folder = place.base / "restores" / "0123456789ab"
    folder.mkdir(parents=True)
    assert Tickets(str(place.base)).claim(place.ticket(-600).name, str(folder / name))
    assert place.told() == []


def test_what_holds_nothing_and_what_is_no_move(place: Place) -> None:
    moves = place.base / "moves"
    for name in ("000000000002", "notes", ".0123456789ab.token"):
        (moves / name).mkdir()
        os.utime(moves / name, (0, 0))
    (moves / "000000000003").symlink_to(place.folder)
    (place.base / "tickets").mkdir()
    (place.base / "tickets" / "damaged.json").write_text("{")
    assert place.told() == [str(place.folder / "app"), str(moves / "000000000002")]
    assert leftovers.of_moves(str(place.base / "nowhere"), ALL) == []
