# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workloads as plain processes of this machine: what the lab's tests rely on when they ask them in a pod."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zlib

import pytest
from labkit import programs


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    tree = tmp_path_factory.mktemp("programs")
    programs.recipe().build(tree, print)
    return tree


@pytest.fixture
def start(built):
    """Starts a workload; all are gone after the test."""
    running = []

    def call(name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [built / "workloads" / name, *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}))
        return running[-1]

    yield call
    for process in running:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(5)


def proc(pid: int, name: str) -> str:
    return pathlib.Path(f"/proc/{pid}/{name}").read_text()


def test_nothing_is_dynamic(built):
    for program in (built / "workloads").iterdir():
        # PT_INTERP, the request for a dynamic loader, names it by its path.
        assert b"/ld-linux" not in program.read_bytes()[:4096], program.name


def test_pause_ends_on_sigterm(start):
    process = start("pause")
    time.sleep(0.1)
    assert process.poll() is None
    assert end(process) == 0


class Counter:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(process.stdout.readline().split()[-1])

    def ask(self, path: str = "/", data: bytes | None = None) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=5) as answer:
            return json.load(answer)


def test_counter_counts_by_itself(start):
    before = time.time()
    counter = Counter(start("counter", "0", "50"))
    lines = [counter.process.stdout.readline() for _time in range(4)]
    assert lines == [f"count {n}\n" for n in range(1, 5)]
    seen = counter.ask()
    assert seen["count"] >= 4
    assert seen["pid"] == counter.process.pid
    assert seen["uid"] == os.getuid()
    assert int(before) <= seen["since"] <= time.time()
    assert end(counter.process) == 0


def test_counter_counts_every_acknowledged_addition_once(start):
    counter = Counter(start("counter", "0", "0"))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _n: counter.ask("/add", b"x" * 100)["count"], range(300)))
    assert sorted(answers) == list(range(1, 301))
    assert counter.ask()["count"] == 300


def test_counter_outlives_bad_clients(start):
    counter = Counter(start("counter", "0", "0"))
    silent = socket.create_connection(("127.0.0.1", counter.port))
    slow = socket.create_connection(("127.0.0.1", counter.port))
    slow.sendall(b"GET / HT")
    with socket.create_connection(("127.0.0.1", counter.port)) as garbage:
        garbage.sendall(b"\x00\xff" * 4000)
        assert garbage.recv(100).startswith(b"HTTP/1.1 400 ")
    for path, status in (("/no", 404), ("/addition", 404)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            counter.ask(path)
        assert refused.value.code == status
    began = time.monotonic()
    assert counter.ask()["count"] == 0
    assert time.monotonic() - began < 0.5
    # Nobody may hold a connection for long: a checkpoint fails on it.
    for client in (silent, slow):
        client.settimeout(3)
        assert client.recv(100) == b""
        client.close()
    assert len(os.listdir(f"/proc/{counter.process.pid}/fd")) <= 4 + len(inherited())


def inherited() -> list[int]:
    """Descriptors that every child of this process gets."""
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _is_inheritable(fd)]


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


@pytest.mark.parametrize(("mode", "ratio"), [("random", 0.9), ("zero", 0.0), ("text", 0.05)])
def test_hog_holds_what_it_says(start, mode, ratio):
    process = start("hog", MIB="32", MODE=mode)
    assert process.stdout.readline() == "ready 32\n"
    assert int(re.search(r"RssAnon:\s+(\d+)", proc(process.pid, "status")).group(1)) >= 32 << 10
    regions = [
        re.match(r"(\w+)-(\w+) rw-p 00000000 00:00 0\s*$", line) for line in proc(process.pid, "maps").splitlines()
    ]
    begin, size = max(
        ((int(m[1], 16), int(m[2], 16) - int(m[1], 16)) for m in regions if m), key=lambda region: region[1]
    )
    with open(f"/proc/{process.pid}/mem", "rb") as memory:
        memory.seek(begin + (size // 2 & ~4095))
        sample = memory.read(1 << 20)
    assert ratio <= len(zlib.compress(sample, 1)) / len(sample) <= max(1.01 * (ratio > 0.5), 0.25 * (ratio > 0), 0.01)
    assert end(process) == 0


@pytest.mark.parametrize("arguments", [("x",), ("0",), ("8", "other")])
def test_hog_refuses_nonsense(start, arguments):
    assert start("hog", *arguments).wait(5) == 2


def test_chatty_has_an_established_connection(start):
    process = start("chatty")
    assert [process.stdout.readline() for _time in range(2)] == ["exchange 1\n", "exchange 2\n"]
    links = [os.readlink(path) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()]
    own = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in proc(process.pid, "net/tcp").splitlines()[1:]]
    established = "01"
    assert [row[3] for row in rows if row[9] in own] == [established, established]
    assert end(process) == 0


@pytest.fixture
def ledger(start):
    process = start("ledger", "0", LEDGER_SECRET='the "pod\'s" secret')
    planted = json.loads(process.stdout.readline())
    assert planted["pid"] == process.pid
    yield process, planted
    assert end(process) == 0


def test_ledger_tree_is_as_told(ledger):
    _process, planted = ledger
    threads = planted["threads"]
    assert sorted(map(int, os.listdir(f"/proc/{threads['pid']}/task"))) == sorted(threads["tids"])
    assert len(set(threads["tids"])) == 3
    family = {
        planted["threads"]["pid"]: planted["pid"],
        planted["middle"]: planted["pid"],
        planted["leaf"]: planted["middle"],
    }
    assert {pid: int(re.search(r"PPid:\s+(\d+)", proc(pid, "status")).group(1)) for pid in family} == family
    names = [proc(pid, "comm").strip() for pid in (planted["pid"], *family)]
    assert names == ["ledger", "ledger-threads", "ledger-middle", "ledger-leaf"]


def test_ledger_descriptors_are_as_told(ledger):
    process, planted = ledger

    def link(fd: int) -> str:
        return os.readlink(f"/proc/{process.pid}/fd/{fd}")

    def content(fd: int) -> str:
        return proc(process.pid, f"fd/{fd}")

    assert link(planted["deleted"]["fd"]) == f"{planted['deleted']['path']} (deleted)"
    assert content(planted["deleted"]["fd"]) == planted["deleted"]["text"]
    assert link(planted["memfd"]["fd"]) == f"/memfd:{planted['memfd']['name']} (deleted)"
    assert content(planted["memfd"]["fd"]) == planted["memfd"]["text"]
    assert link(planted["pipe"]["read_fd"]) == link(planted["pipe"]["write_fd"])
    with open(f"/proc/{process.pid}/fd/{planted['pipe']['read_fd']}", "rb", buffering=0) as pipe:
        assert pipe.read(200).decode() == planted["pipe"]["text"]
    for fd in (*planted["socketpair"]["fds"], planted["listener"]["fd"]):
        assert link(fd).startswith("socket:")
    assert link(planted["eventfd"]["fd"]) == "anon_inode:[eventfd]"
    assert f"eventfd-count: {planted['eventfd']['value']:>16x}" in proc(
        process.pid, f"fdinfo/{planted['eventfd']['fd']}"
    )
    assert link(planted["signalfd"]["fd"]) == "anon_inode:[signalfd]"
    watched = re.findall(r"tfd:\s+(\d+)", proc(process.pid, f"fdinfo/{planted['epoll']['fd']}"))
    assert sorted(map(int, watched)) == sorted(planted["epoll"]["watches"])


def test_ledger_memory_is_as_told(ledger):
    process, planted = ledger

    def read(pid: int, address: str, size: int) -> bytes:
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(int(address, 16))
            return memory.read(size)

    secret = bytes.fromhex(planted["heap"]["hex"])
    assert len(secret) == planted["heap"]["length"]
    assert secret.startswith(b"heap-secret-")
    assert read(process.pid, planted["heap"]["address"], len(secret)) == secret
    start_of_heap = re.search(r"^(\w+)-(\w+) .*\[heap\]$", proc(process.pid, "maps"), re.MULTILINE)
    assert int(start_of_heap[1], 16) <= int(planted["heap"]["address"], 16) < int(start_of_heap[2], 16)
    assert f"LEDGER_SECRET={planted['environment']['text']}\0" in proc(process.pid, "environ")
    assert planted["environment"]["text"] == 'the "pod\'s" secret'
    shared = planted["shared"]
    text = shared["text"].encode()
    assert [read(pid, shared["address"], len(text)) for pid in shared["pids"]] == [text, text]
    inode = f" 00:01 {shared['id']} "
    assert all(
        re.search(r"SYSV\w+ \(deleted\)$", proc(pid, "maps"), re.MULTILINE) and inode in proc(pid, "maps")
        for pid in shared["pids"]
    )


def test_ledger_number_grows_and_is_served(ledger):
    _process, planted = ledger
    numbers = []
    for _time in range(2):
        with socket.create_connection(("127.0.0.1", planted["listener"]["port"]), timeout=5) as connection:
            numbers.append(int(connection.recv(100)))
        time.sleep(0.3)
    assert numbers[0] < numbers[1]


def test_ledger_takes_its_processes_and_segment_along(start):
    process = start("ledger", "0")
    planted = json.loads(process.stdout.readline())
    assert planted["environment"]["text"] is None
    assert end(process) == 0
    others = [planted["threads"]["pid"], planted["middle"], planted["leaf"]]
    deadline = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{pid}") for pid in others) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in others if os.path.exists(f"/proc/{pid}")]
    segments = pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    assert planted["shared"]["id"] not in [int(line.split()[1]) for line in segments]


def test_ledger_does_not_outlive_a_lost_process(start):
    process = start("ledger", "0")
    os.kill(json.loads(process.stdout.readline())["leaf"], signal.SIGKILL)
    assert process.wait(5) == 1


# The number of prlimit64 by architecture, for asking without libc's own function for it.
PRLIMIT64 = {"x86_64": 302, "aarch64": 261}
ASK = """
import ctypes, resource, sys
pid, number = map(int, sys.argv[1:])
print(*resource.prlimit(pid, resource.RLIMIT_NOFILE))
answer = (ctypes.c_uint64 * 2)()
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(number, pid, resource.RLIMIT_NOFILE, None, answer):
    raise OSError(ctypes.get_errno(), "syscall")
print(*answer)
"""


def test_nolimit_tells_the_limits_of_another_users_process(built):
    """The kernel refuses that to root without CAP_SYS_RESOURCE; where it doesn't, the answers are the kernel's own."""
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    shell = ["sh", "-c", "ulimit -Sn 123; ulimit -Hn 456; echo ready; read line"]
    limited = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **other)
    try:
        assert limited.stdout.readline() == "ready\n"
        command = ["python3", "-c", ASK, str(limited.pid), str(PRLIMIT64[platform.machine()])]
        for library in programs.LIBRARIES:
            environment = {**os.environ, "LD_PRELOAD": str(built / library)}
            answered = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            assert answered.stdout == "123 456\n123 456\n"
    finally:
        limited.communicate()
