# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's half on the source: all containers or none, and who runs on when the controller is gone.

The processes are real and stopped by signals, as if frozen; how they are dumped is run on the laboratory.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import types
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent import source, stream
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent.source import Source
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump import ending, frozen, output
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.frozen import (
    FROZEN,
    Frozen,
    Records,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.steps import name_of_volume
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import processes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Name
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.channel import Identity
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.door import Door
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._transfer.identities import (
    identity,
)

NAMES = ["app", "side-car"]
HERE = "127.0.0.1"
OPTIONS = {"tcp_close": True, "skip_in_flight": True, "file_locks": True, "ghost_limit": None}
PREPARE: dict[str, t.Any] = {
    "namespace": "shop",
    "pod": "web-0",
    "number": "000000000001",
    "timeout": 20.0,
    "volumes": {"app": ["/data"]},
}


def identifier(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


class Pod:
    """Two containers, each one process."""

    def __init__(self, base: pathlib.Path) -> None:
        self.base = base
        self.records = Records(str(base))
        self.log: list[str] = []
        self.fails = ""
        command = [sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]
        self.processes = {name: subprocess.Popen(command) for name in NAMES}

    def freeze(self, name: str) -> None:
        os.kill(self.processes[name].pid, signal.SIGSTOP)
        wait_until(lambda: self.stopped(name))

    def stopped(self, name: str) -> bool:
        text = processes.read(f"/proc/{self.processes[name].pid}/stat")
        return text.rpartition(")")[2].split()[:1] == ["T"]

    def keep(self, name: str, seconds: float) -> None:
        """Write down that it is frozen on purpose."""
        found = processes.look_up(self.processes[name].pid)
        assert found is not None
        self.records.put(
            Frozen(
                token=name,
                owner="a test",
                namespace="shop",
                pod="web-0",
                pod_uid="7f",
                container=name,
                container_id=identifier(name),
                engine="containerd",
                pid=found.pid,
                started=found.started,
                boot=frozen.boot(),
                phase=FROZEN,
                since="2026-11-21T09:18:00Z",
                deadline="2026-11-21T09:19:00Z",
                until=frozen.now() + seconds,
            )
        )

    def frozen(self, seconds: float = 60) -> Source:
        """The source of a pod that is dumped and frozen."""
        for name in NAMES:
            self.freeze(name)
            self.keep(name, seconds)
        made = self.source()
        made.name("shop", "web-0", NAMES)
        return made

    def source(self) -> Source:
        return Source(threading.Event(), lambda **_what: None, base=str(self.base))

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


class Freezer:
    def __init__(self, pid: int, path: pathlib.Path) -> None:
        self._pid = pid
        self.path = str(path)
        path.mkdir(exist_ok=True)
        (path / "cgroup.procs").write_text(f"{pid}\n")

    def thaw(self, _seconds: float) -> bool:
        os.kill(self._pid, signal.SIGCONT)
        return True


def wait_until(condition: t.Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def pod(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Pod]:
    monkeypatch.setattr(frozen, "freezer_of", lambda pid, _uid: Freezer(pid, tmp_path / str(pid)))
    monkeypatch.setattr(ending, "look_up", lambda _name: None)
    made = Pod(tmp_path)
    yield made
    made.end()


def code(work: t.Callable[..., t.Any], *arguments: t.Any, **named: t.Any) -> str:
    with pytest.raises(CheckpointError) as failed:
        work(*arguments, **named)
    return failed.value.code


def test_a_controller_that_is_gone_lets_all_run_on(pod: Pod) -> None:
    pod.frozen().close()
    wait_until(lambda: not any(map(pod.stopped, NAMES)))
    assert pod.records.all() == []


def test_what_is_held_stays_frozen_as_long_as_its_time(pod: Pod) -> None:
    made = pod.frozen()
    assert 50 < made.hold(3)["left"] <= 60
    made.close()
    assert all(map(pod.stopped, NAMES)) and [one.given for one in pod.records.all()] == [False, False]


@pytest.mark.parametrize("gone", ["time", "one"])
def test_what_has_no_time_left_cannot_be_held(pod: Pod, gone: str) -> None:
    made = pod.frozen(2 if gone == "time" else 60)
    if gone == "one":
        pod.records.remove(identifier("app"))
    assert code(made.hold, 3) == "not_frozen"
    made.close()
    assert pod.records.all() == [] and not pod.stopped("side-car")


def test_what_was_given_stays_frozen_and_is_killed_when_the_kubelet_stops_it(pod: Pod) -> None:
    made = pod.frozen()
    made.hold(3)
    made.give()
    assert [one.given for one in pod.records.all()] == [True, True]
    assert code(made.end, 0.1) == "not_stopping"
    made.close()
    assert all(map(pod.stopped, NAMES))
    for process in pod.processes.values():
        os.kill(process.pid, signal.SIGTERM)
    made.end(5)
    assert [process.wait(20) for process in pod.processes.values()] == [-signal.SIGKILL] * 2
    assert pod.records.all() == []


def test_the_end_of_another_run_lets_nothing_run_on_that_was_given(pod: Pod) -> None:
    first = pod.frozen()
    first.hold(3)
    first.give()
    first.close()
    again = pod.source()
    again.name("shop", "web-0", NAMES)
    again.close()
    assert all(map(pod.stopped, NAMES)) and [one.given for one in pod.records.all()] == [True, True]


def test_another_run_lets_run_on_what_is_still_frozen(pod: Pod) -> None:
    pod.frozen().hold(3)
    again = pod.source()
    again.name("shop", "web-0", NAMES)
    again.resume()
    wait_until(lambda: not any(map(pod.stopped, NAMES)))
    again.resume()


class Steps:
    """The steps of a dump, as far as they are not the container's."""

    pod: t.ClassVar[Pod]

    def __init__(self, target: t.Any, _records: Records, **_options: t.Any) -> None:
        self.target = target
        self._name = target.container.name

    def _did(self, what: str) -> None:
        self.pod.log.append(f"{what} {self._name}")
        if self.pod.fails == self.pod.log[-1]:
            raise CheckpointError("some_code", "It failed")

    def prepare(self, _options: t.Any, points: list[str]) -> None:
        self._points = points
        self._did("prepare")

    def pages(self, _made: t.Any) -> t.Any:
        return types.SimpleNamespace(close=lambda: None)

    def guard(self, _pages: t.Any) -> int:
        return os.open(os.devnull, os.O_RDONLY)

    def freeze(self, _limits: t.Any) -> None:
        self.pod.freeze(self._name)
        self._did("freeze")

    def write_back(self, _limits: t.Any) -> None:
        """What is written to volumes, before and after the freeze."""

    def dump(self, _pages: t.Any, limits: t.Any) -> None:
        limits.check()
        self._did("dump")

    def changes(self, _made: t.Any, _limits: t.Any) -> None:
        self._did("changes")

    def rest(self, made: t.Any) -> None:
        output.add(made, "config.dump", self._name.encode())
        self._did("rest")

    def volumes(self, made: t.Any, _limits: t.Any) -> None:
        for number, point in enumerate(self._points):
            output.add(made, name_of_volume(number), point.encode())

    def keep(self, seconds: float) -> None:
        self.pod.keep(self._name, seconds)
        self._did("keep")

    def undo(self) -> None:
        os.kill(self.pod.processes[self._name].pid, signal.SIGCONT)
        self.pod.records.remove(identifier(self._name))
        self._did("undo")


@pytest.fixture
def dumped(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """A pod whose dump is a script."""

    def find(name: Name) -> t.Any:
        container = types.SimpleNamespace(id=identifier(name.container), name=name.container, engine="containerd")
        return types.SimpleNamespace(container=container)

    Steps.pod = pod
    monkeypatch.setattr(source, "find", find)
    monkeypatch.setattr(source, "require_dumpable", lambda *_arguments, **_named: None)
    monkeypatch.setattr(source, "Steps", Steps)
    return pod


def prepared(pod: Pod) -> Source:
    made = pod.source()
    ids = {name: identifier(name) for name in NAMES}
    options = {**OPTIONS, "checkpoint_directory": "/var/lib/kubelet/checkpoints"}
    assert made.prepare(containers=ids, options=options, **PREPARE) == {"engines": ["containerd"]}
    return made


@contextlib.contextmanager
def taking(made: Source, folder: pathlib.Path) -> t.Iterator[list[t.Any]]:
    """The other end of the line; what became of it."""
    known, came = Identity(identity()), []

    def take() -> None:
        try:
            with contextlib.closing(door.admit(Deadline(20), Deadline(20))) as line:
                came.append(stream.receive(line, str(folder), NAMES))
        except CheckpointError as error:
            came.append(error.code)

    with contextlib.closing(Door(HERE, 0, known)) as door:
        thread = threading.Thread(target=take)
        thread.start()
        made.connect([HERE], door.port, identity(), 20, 10)
        yield came
        thread.join()


def test_all_are_frozen_before_one_is_dumped_and_stay_so(dumped: Pod, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    made = prepared(dumped)
    with taking(made, place) as came:
        result = made.dump(10, 60)
    assert (result["bytes"], result["files"]) == (len("appside-car/data"), 3) and came == [stream.Landed(3, 16)]
    assert (place / "side-car/config.dump").read_text() == "side-car"
    assert (place / "app/volume-0.tar").read_text() == "/data" and not (place / "side-car/volume-0.tar").exists()
    steps = ["prepare", "freeze", "dump", ("changes", "rest"), "keep"]
    wanted = []
    for step in steps:
        for name in NAMES:
            wanted += [f"{each} {name}" for each in ([step] if isinstance(step, str) else step)]
    assert dumped.log == wanted
    assert all(map(dumped.stopped, NAMES)) and 50 < made.hold(3)["left"] <= 60
    assert not [one for one in NAMES if dumped.records.held(identifier(one))]


@pytest.mark.parametrize("step", ["freeze", "dump", "changes", "rest", "keep"])
@pytest.mark.parametrize("name", NAMES)
def test_all_run_on_where_one_fails(dumped: Pod, tmp_path: pathlib.Path, step: str, name: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    made = prepared(dumped)
    dumped.fails = f"{step} {name}"
    with taking(made, place) as came:
        assert code(made.dump, 10, 60) == "some_code"
    wait_until(lambda: not any(map(dumped.stopped, NAMES)))
    assert dumped.log[-2:] == ["undo app", "undo side-car"] and dumped.records.all() == []
    # With everything sent, the target has it; the controller has that removed.
    assert came == ([stream.Landed(3, 16)] if step == "keep" else ["connection_lost"])
    assert not [one for one in NAMES if dumped.records.held(identifier(one))]


def test_who_is_told_to_stop_lets_all_run_on(dumped: Pod, tmp_path: pathlib.Path) -> None:
    made = prepared(dumped)
    made._stop.set()
    with taking(made, tmp_path):
        assert code(made.dump, 10, 60) == "interrupted"
    wait_until(lambda: not any(map(dumped.stopped, NAMES)))


def test_another_container_of_the_name_is_not_dumped(dumped: Pod) -> None:
    made = dumped.source()
    ids = {"app": identifier("app"), "side-car": identifier("other")}
    options = {**OPTIONS, "checkpoint_directory": "/var/lib/kubelet/checkpoints"}
    assert code(made.prepare, containers=ids, options=options, **PREPARE) == "container_changed"
    assert dumped.log == ["prepare app", "undo app"] and not dumped.records.held(identifier("app"))


def test_nothing_is_dumped_without_a_line(dumped: Pod) -> None:
    assert code(prepared(dumped).dump, 10, 60) == "wrong_order"
    assert not any(map(dumped.stopped, NAMES))
