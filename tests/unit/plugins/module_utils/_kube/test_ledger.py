# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import ledger as tested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.ledger import Ledger

KEY = ("10.0.0.1", "shop", "web-0", "app")


def never() -> bool:
    return False


@pytest.fixture
def ledger(tmp_path: pathlib.Path) -> Ledger:
    made = Ledger(str(tmp_path / "state" / "records"))
    made.prepare()
    return made


def test_what_was_taken_is_there_for_the_next_one_and_for_nobody_else(ledger: Ledger) -> None:
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None and entry.taken == {}
        entry.touch({"path": "/a.tar"})
    with Ledger(ledger.directory).hold(*KEY, give_up=never) as entry:
        assert entry is not None and entry.taken == {"path": "/a.tar"}
    assert ledger.peek(*KEY).taken == {"path": "/a.tar"}
    assert ledger.peek("10.0.0.1", "shop", "web-0", "other").taken == {}


def test_nobody_else_can_read_it(ledger: Ledger) -> None:
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None
        entry.touch()
    assert stat.S_IMODE(os.stat(ledger.directory).st_mode) == 0o700
    (name,) = os.listdir(ledger.directory)
    assert stat.S_IMODE(os.stat(os.path.join(ledger.directory, name)).st_mode) == 0o600
    assert "web" not in name


def test_peek_writes_nothing(tmp_path: pathlib.Path) -> None:
    assert Ledger(str(tmp_path / "none")).peek(*KEY).taken == {}
    assert list(tmp_path.iterdir()) == []


def test_the_next_turn_is_a_second_after_the_last(ledger: Ledger) -> None:
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None
        entry.wait_for_turn()
        entry.touch()
        last = time.time()
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None
        entry.wait_for_turn()
        assert 0.95 <= time.time() - last < 30


def test_a_clock_set_back_delays_by_a_second_at_most(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None
        monkeypatch.setattr(time, "time", lambda: 4e9)
        entry.touch()
        monkeypatch.undo()
        began = time.monotonic()
        entry.wait_for_turn()
        assert time.monotonic() - began < 30


def test_two_threads_of_one_process_take_turns(ledger: Ledger) -> None:
    inside: list[str] = []

    def work(name: str) -> None:
        with ledger.hold(*KEY, give_up=never):
            inside.append(f"+{name}")
            time.sleep(0.05)
            inside.append(f"-{name}")

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(inside[at][1:] == inside[at + 1][1:] for at in (0, 2, 4))


HOLD = """
import sys, time
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.ledger import Ledger
with Ledger(sys.argv[1]).hold(*sys.argv[2:], give_up=lambda: False) as entry:
    print("held", flush=True)
    sys.stdin.read()
    entry.touch()
"""


def test_another_process_waits_and_gives_up_when_told(ledger: Ledger) -> None:
    command = [sys.executable, "-c", HOLD, ledger.directory, *KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline() == "held\n"
        patience = iter([False, False, True])
        with ledger.hold(*KEY, give_up=lambda: next(patience)) as entry:
            assert entry is None
        touched = time.time()
        other.stdin.close()
        with ledger.hold(*KEY, give_up=never) as entry:
            assert entry is not None
            entry.wait_for_turn()
            assert time.time() - touched > 0.95
    assert other.returncode == 0


def test_where_it_cannot_write_it_says_so_and_serialises_in_this_process(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    ledger = Ledger(str(tmp_path / "file" / "records"))
    ledger.prepare()
    assert "cannot be used" in ledger.warning
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None
        entry.touch({"path": "/a.tar"})
        with ledger.hold(*KEY, give_up=lambda: True) as second:
            assert second is None
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None and entry.taken == {"path": "/a.tar"}
    ledger.prune()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 99, "taken": {"path": "/x"}}', '{"format": 1, "taken": 3}']
)
def test_a_damaged_record_is_no_record(ledger: Ledger, content: str) -> None:
    with ledger.hold(*KEY, give_up=never) as entry:
        assert entry is not None
        entry.touch({"path": "/a.tar"})
    (name,) = os.listdir(ledger.directory)
    pathlib.Path(ledger.directory, name).write_text(content, encoding="utf-8")
    assert ledger.peek(*KEY).taken == {}


def test_a_week_later_it_is_gone_but_not_while_somebody_holds_it(ledger: Ledger) -> None:
    other = ("10.0.0.1", "shop", "web-1", "app")
    for key in (KEY, other):
        with ledger.hold(*key, give_up=never) as entry:
            assert entry is not None
            entry.touch()
    old = time.time() - tested.KEEP - 1
    with ledger.hold(*KEY, give_up=never):
        for name in os.listdir(ledger.directory):
            os.utime(os.path.join(ledger.directory, name), (old, old))
        ledger.prune()
        assert len(os.listdir(ledger.directory)) == 1
    ledger.prune()
    assert os.listdir(ledger.directory) == []


def test_a_file_removed_while_waiting_for_it_is_made_anew(ledger: Ledger) -> None:
    """Otherwise two could hold two files of the same name."""
    entered = threading.Event()

    def second() -> None:
        with Ledger(ledger.directory).hold(*KEY, give_up=never) as entry:
            assert entry is not None
            entry.touch()
            entered.set()

    with ledger.hold(*KEY, give_up=never):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        (name,) = os.listdir(ledger.directory)
        os.unlink(os.path.join(ledger.directory, name))
    thread.join()
    assert entered.is_set()
    assert os.listdir(ledger.directory) == [name]


def test_the_default_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert tested.default_directory() == "/state/checkpoint_restore.kubernetes"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert tested.default_directory() == "/home/x/.local/state/checkpoint_restore.kubernetes"
