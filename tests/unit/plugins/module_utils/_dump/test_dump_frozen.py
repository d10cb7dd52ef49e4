# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers frozen on purpose: a real process, stopped by signals where a container has a freezer."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import ending, frozen, switch
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.frozen import (
    DUMPING,
    FROZEN,
    WRITING,
    Frozen,
    Records,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import guard, processes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.dumps import Watch
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Name

ID = "0123456789ab" * 5 + "cdef"
NAME = Name("shop", "web-0", "web")


class Freezer:
    """What stops a process, and lets it go on. ``path``: of its cgroup."""

    def __init__(self, pid: int, path: pathlib.Path) -> None:
        self.pid = pid
        self.path = str(path)
        path.mkdir(exist_ok=True)
        (path / "cgroup.procs").write_text(f"{pid}\n")

    def state(self) -> str:
        return "frozen" if stopped(self.pid) else "thawed"

    def thaw(self, _seconds: float) -> bool:
        os.kill(self.pid, signal.SIGCONT)
        return True


def stopped(pid: int) -> bool:
    return processes.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] == ["T"]


def wait_until(condition: t.Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def process() -> t.Iterator[subprocess.Popen[bytes]]:
    """Stopped, as if frozen."""
    made = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(1)"])
    os.kill(made.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(made.pid))
    yield made
    made.kill()
    made.wait()


@pytest.fixture
def records(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes]) -> Records:
    monkeypatch.setattr(frozen, "freezer_of", lambda pid, _uid: Freezer(pid, tmp_path / "cgroup"))
    monkeypatch.setattr(ending, "look_up", lambda _name: None)
    monkeypatch.setattr(switch, "INTERVAL", 0.05)
    return Records(str(tmp_path))


def record(process: subprocess.Popen[bytes], phase: str, seconds: float = 3600, **more: t.Any) -> Frozen:
    found = processes.look_up(process.pid)
    assert found is not None
    made = Frozen(
        token="a",
        owner="a test",
        namespace=NAME.namespace,
        pod=NAME.pod,
        pod_uid="7f",
        container=NAME.container,
        container_id=ID,
        engine="containerd",
        pid=process.pid,
        started=found.started,
        boot=frozen.boot(),
        phase=phase,
        since="2026-11-21T09:18:00Z",
        deadline="2026-11-21T09:19:00Z",
        until=frozen.now() + seconds,
    )
    return dataclasses.replace(made, **more)


def test_a_record_is_roots_alone_and_read_as_written(records: Records, process: subprocess.Popen[bytes]) -> None:
    made = record(process, DUMPING, temporary=("/a", "/b"))
    records.put(made)
    path = records.path(ID)
    assert records.get(ID) == made and records.all() == [made]
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(records.folder).st_mode & 0o777 == 0o700
    os.chmod(path, 0o622)
    assert records.get(ID) is None, "others could have written what is to be removed"
    records.remove(ID)
    records.remove(ID)
    assert records.all() == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"token": 1}', "\xff", "[" * 100000])
def test_what_is_no_record_is_none(records: Records, text: str) -> None:
    os.makedirs(records.folder)
    with open(records.path(ID), "w", encoding="latin-1") as file:
        file.write(text)
    assert records.get(ID) is None and records.all() == []


def test_no_path_leads_out(records: Records) -> None:
    with pytest.raises(CheckpointError):
        records.get("../../etc/passwd")


def test_one_at_a_time(records: Records) -> None:
    assert not records.held(ID)
    with records.lock(ID):
        assert records.held(ID)
        with pytest.raises(CheckpointError) as raised, records.lock(ID):
            raise AssertionError("two have the lock")
    assert raised.value.code == "checkpoint_under_way"
    assert not records.held(ID) and os.listdir(records.folder) == []


def test_a_process_of_the_same_number_is_another_one(records: Records, process: subprocess.Popen[bytes]) -> None:
    made = record(process, FROZEN)
    assert made.lives
    assert not dataclasses.replace(made, started=made.started + 1).lives
    assert not dataclasses.replace(made, boot="another").lives


def test_what_is_undone(records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path) -> None:
    """A dump that was killed: thawed, and nothing left; one whose container ran again already is not touched."""
    folder, file = tmp_path / "images", tmp_path / ".new"
    folder.mkdir()
    (folder / "pages-1.img").write_bytes(b"memory")
    file.write_bytes(b"archive")
    made = record(process, WRITING, temporary=(str(folder), str(file), str(tmp_path / "never made")))
    records.put(made)
    assert records.undo(made)
    assert stopped(process.pid) and not folder.exists() and not file.exists() and records.get(ID) is None
    made = record(process, DUMPING)
    records.put(made)
    assert records.undo(made)
    wait_until(lambda: not stopped(process.pid))


def test_the_switch_thaws_when_the_module_is_killed(records: Records, process: subprocess.Popen[bytes]) -> None:
    made = record(process, DUMPING)
    records.put(made)
    os.close(switch.start(made, records))
    wait_until(lambda: not stopped(process.pid) and records.get(ID) is None)


def test_the_switch_thaws_at_the_deadline_without_anybody(records: Records, process: subprocess.Popen[bytes]) -> None:
    made = record(process, FROZEN, 1)
    records.put(made)
    os.close(switch.start(made, records))
    wait_until(lambda: records.get(ID) is None)
    wait_until(lambda: not stopped(process.pid))
    assert made.expired


def test_the_switch_leaves_alone_what_is_not_its_own(
    records: Records, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another record took its place, or somebody else ended it."""
    other = record(process, FROZEN, token="b")
    records.put(other)
    reading, writing = os.pipe()
    os.close(writing)
    switch.watch(reading, record(process, DUMPING), records)
    assert stopped(process.pid) and records.get(ID) == other
    records.remove(ID)
    switch.watch(reading, record(process, DUMPING), records)
    os.close(reading)
    assert stopped(process.pid)


def test_the_switch_keeps_nothing_of_the_module_open(records: Records, process: subprocess.Popen[bytes]) -> None:
    """Whoever reads the module's output sees its end."""
    made = record(process, FROZEN, 20)
    records.put(made)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    alive = switch.start(made, records)
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    os.close(alive)
    records.remove(ID)


def test_resumed_once(records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path) -> None:
    records.put(record(process, FROZEN))
    assert ending.resume(NAME, check=True, base=str(tmp_path))["changed"] and stopped(process.pid)
    first = ending.resume(NAME, check=False, base=str(tmp_path))
    wait_until(lambda: not stopped(process.pid))
    assert first["changed"] and first["container_id"] == ID and not first["frozen"]
    assert not ending.resume(NAME, check=False, base=str(tmp_path))["changed"]


def test_ended_only_once_a_signal_waits(
    records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path
) -> None:
    records.put(record(process, FROZEN))
    # This comes by itself, of a child that has ended, and of a timer.
    process.send_signal(signal.SIGCHLD)
    process.send_signal(signal.SIGALRM)
    with pytest.raises(CheckpointError) as raised:
        ending.end(NAME, 0.1, check=False, base=str(tmp_path))
    assert raised.value.code == "not_stopping" and stopped(process.pid) and records.get(ID) is not None
    # What the kubelet has the runtime send.
    process.send_signal(signal.SIGTERM)
    assert ending.end(NAME, 10, check=False, base=str(tmp_path))["changed"]
    assert process.wait() == -signal.SIGKILL and records.get(ID) is None
    assert not ending.end(NAME, 10, check=False, base=str(tmp_path))["changed"]


def test_what_is_over_is_not_ended(records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path) -> None:
    records.put(record(process, FROZEN, -1))
    process.send_signal(signal.SIGTERM)
    with pytest.raises(CheckpointError) as raised:
        ending.end(NAME, 10, check=False, base=str(tmp_path))
    assert raised.value.code == "not_frozen" and process.poll() is None


def test_what_nobody_froze_is_not_ended(
    records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "look_up", lambda _name: record(process, FROZEN).as_container())
    with pytest.raises(CheckpointError) as raised:
        ending.end(NAME, 10, check=False, base=str(tmp_path))
    assert raised.value.code == "not_frozen"


@pytest.mark.parametrize(
    ("phase", "seconds", "held", "verdict"),
    [
        (FROZEN, 60, False, "on_purpose"),
        (FROZEN, -1, False, "abandoned"),
        (DUMPING, 60, True, "under_way"),
        (DUMPING, 60, False, "abandoned"),
        (DUMPING, -1, True, "abandoned"),
    ],
)
def test_what_the_guard_says_of_it(
    process: subprocess.Popen[bytes], phase: str, seconds: float, held: bool, verdict: str
) -> None:
    made = record(process, phase, seconds)
    one = guard._Held(made.as_container(), None, "frozen", Watch(), made, held)
    assert guard._verdict(one, 60)[0] == verdict


@pytest.mark.parametrize("held", [False, True])
def test_what_the_guard_undoes(records: Records, process: subprocess.Popen[bytes], held: bool) -> None:
    """Whoever is at work and does not come to its end is not waited for."""
    made = record(process, DUMPING, -1)
    records.put(made)
    with records.lock(ID) if held else contextlib.nullcontext():
        guard._forget(made, records)
        wait_until(lambda: not stopped(process.pid))
    assert os.listdir(records.folder) == []


def test_what_is_swept(records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path) -> None:
    """Of containers that are gone; what lives and what somebody works on stays."""
    images = tmp_path / "images"
    images.mkdir()
    living = record(process, FROZEN)
    gone = record(process, DUMPING, container_id="ab" * 32, started=1, temporary=(str(images),))
    for one in (living, gone):
        records.put(one)
    pathlib.Path(records.folder, f"{'cd' * 32}.lock").touch()
    pathlib.Path(records.folder, "something else").touch()
    with records.lock("ef" * 32):
        records.sweep()
        assert sorted(os.listdir(records.folder)) == [f"{ID}.json", f"{'ef' * 32}.lock", "something else"]
    assert not images.exists() and stopped(process.pid)


def test_one_that_was_given_never_runs_on_and_is_killed_when_the_kubelet_stops_it(
    records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path
) -> None:
    made = record(process, FROZEN, 1)
    records.put(made)
    os.close(switch.start(made, records))
    ending.give(NAME, base=str(tmp_path))
    wait_until(lambda: made.expired)
    time.sleep(0.3)
    given = records.get(ID)
    assert given is not None and given.given and stopped(process.pid)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == -signal.SIGKILL
    wait_until(lambda: records.get(ID) is None)


def test_one_that_was_given_for_a_while_runs_on_after_it(
    records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path
) -> None:
    made = record(process, FROZEN, 60)
    records.put(made)
    ending.give(NAME, base=str(tmp_path))
    ending.give(NAME, 0.5, base=str(tmp_path))
    os.close(switch.start(made, records))
    wait_until(lambda: not stopped(process.pid))
    wait_until(lambda: records.get(ID) is None)


def test_what_runs_on_cannot_be_given_any_more(
    records: Records, process: subprocess.Popen[bytes], tmp_path: pathlib.Path
) -> None:
    records.put(record(process, DUMPING))
    with pytest.raises(CheckpointError) as refused:
        ending.give(NAME, base=str(tmp_path))
    assert refused.value.code == "not_frozen"
