# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is dumped, through a real channel on the loopback: the same files, or none at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent import stream
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import output
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.channel import Identity, Line
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.door import Door, connect
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._transfer.identities import (
    identity,
)

HERE = "127.0.0.1"


@contextlib.contextmanager
def lines() -> t.Iterator[tuple[Line, Line]]:
    """Both ends of a channel: of who sends, of who takes."""
    known = Identity(identity())
    with contextlib.closing(Door(HERE, 0, known)) as door:
        ends: list[Line] = []
        waiting = threading.Thread(target=lambda: ends.append(door.admit(Deadline(20), Deadline(20))))
        waiting.start()
        sending = connect([HERE], door.port, known, Deadline(20))
        waiting.join()
    with contextlib.closing(sending), contextlib.closing(ends[0]):
        yield sending, ends[0]


def taken(folder: pathlib.Path, send: t.Callable[[Line], None], *containers: str) -> stream.Landed:
    with lines() as (sending, taking):
        thread = threading.Thread(target=send, args=(sending,))
        thread.start()
        try:
            return stream.receive(taking, str(folder), containers or ("app",))
        finally:
            taking.close()
            thread.join()


def raw(data: bytes) -> t.Callable[[Line], None]:
    def send(line: Line) -> None:
        with contextlib.suppress(CheckpointError):
            line.say(data)
            line.end()

    return send


def test_what_is_sent_arrives(tmp_path: pathlib.Path) -> None:
    pages = os.urandom((5 << 20) + 12_345)
    small = {f"checkpoint/core-{number}.img": os.urandom(number) for number in range(40)}

    def send(line: Line) -> None:
        sending = stream.Sending(line)
        sending.folder = "app"
        with sending.member("checkpoint/pages-1.img") as file:
            for start in range(0, len(pages), 1 << 20):
                file.write(memoryview(pages)[start : start + (1 << 20)])
        for name, content in small.items():
            output.add(sending, name, content)  # type: ignore[arg-type]
        sending.folder = "side-car"
        output.add(sending, "config.dump", b"{}")  # type: ignore[arg-type]
        sending.end()

    landed = taken(tmp_path, send, "app", "side-car")
    assert landed == stream.Landed(42, len(pages) + sum(map(len, small.values())) + 2)
    assert (tmp_path / "app/checkpoint/pages-1.img").read_bytes() == pages
    assert {name: (tmp_path / "app" / name).read_bytes() for name in small} == small
    assert (tmp_path / "side-car/config.dump").read_bytes() == b"{}"
    for folder, _folders, names in os.walk(tmp_path / "app"):
        assert os.stat(folder).st_mode & 0o777 == 0o700
        assert {os.stat(os.path.join(folder, name)).st_mode & 0o777 for name in names} <= {0o600}
    assert sorted(os.listdir(tmp_path)) == ["app", "side-car"]


def named(name: bytes) -> bytes:
    return b"N" + len(name).to_bytes(2, "big") + name


@pytest.mark.parametrize(
    "data",
    [
        named(b"app/../../etc/passwd"),
        named(b"app/checkpoint/../x"),
        named(b"app/.."),
        named(b"app"),
        named(b"app/"),
        named(b"app/other/x"),
        named(b"app/checkpoint/x/y"),
        named(b"other/config.dump"),
        named(b"/app/x"),
        named("app/ä".encode()),
        named(b"app/checkpoint"),
        named(b"app/x") + b"E" + (0).to_bytes(8, "big") + named(b"app/x"),
        named(b"app/x") + b"D\xff\xff\xff\xff",
        named(b"app/x") + b"D\0\0\0\5abc",
        named(b"app/x") + b"D\0\0\0\3abcE" + (4).to_bytes(8, "big"),
        named(b"app/x") + b"Z\0\0\0\1",
        b"Z\0\0\0\1",
        b"Z\0\0\0\0more",
        b"Q",
        b"",
    ],
)
def test_what_is_no_dump_leaves_nothing(tmp_path: pathlib.Path, data: bytes) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(CheckpointError) as refused:
        taken(place, raw(data))
    assert refused.value.code in ("stream_wrong", "destination_refused")
    assert os.listdir(place) == [] and os.listdir(tmp_path) == ["place"]


def test_a_line_that_is_cut_leaves_nothing(tmp_path: pathlib.Path) -> None:
    def send(line: Line) -> None:
        sending = stream.Sending(line)
        sending.folder = "app"
        with sending.member("checkpoint/pages-1.img") as file:
            file.write(bytes(3 << 20))
        line.close()

    with pytest.raises(CheckpointError) as refused:
        taken(tmp_path, send)
    assert refused.value.code == "connection_lost" and os.listdir(tmp_path) == []


def test_what_is_there_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "app").mkdir()
    with pytest.raises(CheckpointError) as refused:
        taken(tmp_path, lambda line: stream.Sending(line).end())
    assert refused.value.code == "destination_exists" and os.listdir(tmp_path) == ["app"]
