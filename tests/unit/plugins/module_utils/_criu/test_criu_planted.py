# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of every kind of object, dumped by runc with CRIU 4.2.1 and 4.1.1: tests/fixtures/planted.py is the program,
and its own list of descriptors the truth."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import (
    Archive,
    open_archive,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.files import Descriptor
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    PLANTED,
    facts,
)


class Planted:
    def __init__(self, name: str, archive: Archive) -> None:
        self.checkpoint = Checkpoint(archive)
        self.facts = facts(name)
        self.process = self.checkpoint.by_pid[1]
        self.payloads = {
            (payload.kind, payload.name): b"".join(bytes(data) for unused_offset, data in payload.chunks())
            for payload in self.checkpoint.payloads()
        }

    def __getitem__(self, name: str) -> Descriptor:
        return self.numbered(self.facts[name])

    def numbered(self, number: int) -> Descriptor:
        return next(found for found in self.process.descriptors if found.number == number)

    def content(self, kind: str) -> list[bytes]:
        return [data for (found, unused_name), data in self.payloads.items() if found == kind]


@pytest.fixture(params=sorted(PLANTED), name="planted", scope="module")
def fixture_planted(request: pytest.FixtureRequest) -> t.Iterator[Planted]:
    with open_archive(FIXTURES / PLANTED[request.param]) as archive:
        yield Planted(request.param, archive)


def test_nothing_is_odd(planted: Planted) -> None:
    assert planted.checkpoint.warnings == []


def test_command_line_keeps_its_arguments_apart(planted: Planted) -> None:
    assert planted.process.arguments == ["python3", "-S", "/planted.py", "/facts.json", "an argument", "--empty", ""]


def test_environment(planted: Planted) -> None:
    environment = planted.process.environment or []
    assert "SECRET_TOKEN=ENV-secret-token" in environment
    assert "MULTI=line one\nline two" in environment


def test_executable_and_folders(planted: Planted) -> None:
    child = planted.checkpoint.by_pid[planted.facts["child"]]
    assert planted.process.executable == planted.facts["exe"]
    assert (planted.process.folder, planted.process.root, planted.process.umask) == ("/", "/", 0o022)
    assert (child.folder, child.umask) == ("/tmp/d", 0o077)


def test_threads_by_name(planted: Planted) -> None:
    assert [thread.name for thread in planted.process.threads] == ["python3", "planted-one", "planted-two"]
    assert {thread.seccomp.mode for thread in planted.process.threads if thread.seccomp} == {"filter"}


def test_child_with_other_credentials(planted: Planted) -> None:
    child = planted.checkpoint.by_pid[planted.facts["child"]]
    found = child.leader.credentials
    assert found is not None
    assert (found.uid, found.euid, found.suid, found.gid, found.groups) == (1000, 1000, 1000, 1001, [7, 8])
    assert found.no_new_privs
    assert found.capabilities["effective"] == []
    assert "CAP_NET_RAW" in found.capabilities["bounding"]
    assert (child.session, child.group) == (child.pid, child.pid)
    first = planted.process.leader.credentials
    assert first is not None
    assert not first.no_new_privs
    assert first.capabilities["effective"] == [
        "CAP_CHOWN",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
    ]


def test_zombie(planted: Planted) -> None:
    zombie = planted.checkpoint.by_pid[planted.facts["zombie"]]
    assert (zombie.state, zombie.exit_code, zombie.exit_signal) == ("zombie", 7, None)
    assert zombie.descriptors == []
    assert zombie.arguments is None


def test_files(planted: Planted) -> None:
    regular, append = planted["reg"], planted["append"]
    assert (regular.path, regular.access, regular.details["position"]) == ("/tmp/d/regular.txt", "rw", 8)
    assert (append.path, append.access) == ("/tmp/d/append.log", "w")
    assert "append" in append.flags
    assert planted["dup"].file_id == regular.file_id


def test_deleted_file(planted: Planted) -> None:
    assert planted["ghost"].path == "/tmp/d/ghost.txt (deleted)"
    assert planted.content("deleted_file") == [b"GHOST-deleted content " * 10]


def test_pipe_and_fifo(planted: Planted) -> None:
    assert planted.content("pipe") == [b"PIPE-content in the pipe"]
    assert planted.payloads["fifo", "/tmp/d/fifo"] == b"FIFO-content"
    assert (planted["fifo"].path, planted["fifo"].access) == ("/tmp/d/fifo", "rw")
    read, write = planted.facts["pipe"]
    child = planted.facts["child"]
    assert planted.checkpoint.peer(planted.numbered(read)) == [(1, write), (child, write)]


def test_unix_sockets(planted: Planted) -> None:
    listener, abstract = planted["unix_listen"], planted["unix_abstract"]
    assert (listener.details["name"], listener.details["state"], listener.details["backlog"]) == (
        "/tmp/d/listen.sock",
        "listen",
        5,
    )
    assert (abstract.details["name"], abstract.details["socket_type"]) == ("@abstract-name", "datagram")
    assert sorted(planted.content("socket_queue")) == [b"UNIXQ-datagram", b"UNIXQ-stream data"]
    left, right = planted.facts["socketpair"]
    assert (1, right) in planted.checkpoint.peer(planted.numbered(left))


def test_tcp(planted: Planted) -> None:
    listener, listener6 = planted["tcp_listen"].details, planted["tcp6_listen"].details
    assert (listener["local_address"], listener["local_port"], listener["backlog"]) == ("127.0.0.1", 8080, 7)
    assert listener["options"]["reuse_address"]
    assert (listener6["family"], listener6["local_address"], listener6["local_port"]) == ("inet6", "::1", 8081)
    client, server = (planted.numbered(number).details for number in planted.facts["tcp"])
    assert client["state"] == server["state"] == "established"
    assert (client["remote_address"], client["remote_port"]) == ("127.0.0.1", 8080)
    assert (server["remote_port"], client["receive_queue"]) == (client["local_port"], len("TCPQ-server to client"))
    assert sorted(planted.content("tcp_received")) == [b"TCPQ-client to server", b"TCPQ-server to client"]


def test_other_sockets(planted: Planted) -> None:
    assert (planted["udp"].details["protocol"], planted["udp"].details["local_port"]) == ("udp", 5353)
    assert planted["udp_connected"].details["remote_port"] == 9999
    assert (planted["raw"].details["socket_type"], planted["raw"].details["protocol"]) == ("raw", "icmp")
    assert (planted["netlink"].type, planted["netlink"].details["protocol"]) == ("netlink_socket", "route")
    assert planted["netlink"].details["state"] == "unconnected"
    assert (planted["packet"].type, planted["packet"].details["protocol"]) == ("packet_socket", "0x0003")


def test_event_descriptors(planted: Planted) -> None:
    assert planted["eventfd"].details["counter"] == 42
    watches = {watch["fd"]: watch["events"] for watch in planted["epoll"].details["watches"]}
    assert sorted(watches) == sorted([planted.facts["pipe"][0], planted.facts["eventfd"]])
    assert "edge" in watches[planted.facts["eventfd"]]
    assert planted["signalfd"].details["signals"] == ["SIGUSR2"]
    timer = planted["timerfd"].details
    assert (timer["clock"], timer["interval_ns"]) == ("monotonic", 7_000_000_500)
    assert 0 < timer["remaining_ns"] <= 3600 * 10**9
    watch = planted["inotify"].details["watches"][0]
    assert (watch["path"], watch["events"]) == ("/tmp/d", ["create", "delete"])


def test_memfd_and_its_mappings(planted: Planted) -> None:
    memfd = planted["memfd"]
    assert (memfd.details["name"], memfd.details["seals"]) == ("planted-memfd", ["shrink"])
    assert planted.payloads["memfd", "/memfd:planted-memfd"] == b"MEMFD-content of the memfd"
    areas = [area for area in planted.process.areas if area.name == "/memfd:planted-memfd (deleted)"]
    contents = {area.permissions: planted.process.memory.read(area.start, 10) for area in areas}
    assert contents == {"rw-s": b"MEMFD-cont", "rw-p": b"PRIV!-cont"}


def test_shared_memory(planted: Planted) -> None:
    areas = [area for area in planted.process.areas if area.name.startswith("/memfd:/dev/zero")]
    assert any(planted.process.memory.read(area.start, 21) == b"SHARED-anonymous page" for area in areas)
    assert planted.content("sysv_shared_memory")[0].startswith(b"SYSV-shm content\0")
    assert planted.payloads["tmpfs_file", "/dev/shm/posix-shm"].startswith(b"POSIXSHM-content..")


def test_system_v(planted: Planted) -> None:
    ipc = planted.checkpoint.ipc
    assert [found["key"] for found in ipc["shared_memory"]] == ["0x1234"]
    assert [(found["key"], found["messages"]) for found in ipc["message_queues"]] == [("0x5678", 1)]
    assert [found["values"] for found in ipc["semaphores"]] == [[0, 5, 0]]
    assert planted.content("sysv_message") == [b"SYSV-message"]


def test_locks(planted: Planted) -> None:
    assert sorted((lock["kind"], lock["fd"], lock["start"], lock["length"]) for lock in planted.checkpoint.locks) == [
        ("flock", planted.facts["flock"], 0, None),
        ("posix", planted.facts["posix_lock"], 20, 10),
    ]


def test_memory(planted: Planted) -> None:
    memory = planted.process.memory
    area = memory.find(planted.facts["rwx"])
    assert area is not None
    assert (area.permissions, area.kind) == ("rwxp", "anonymous")
    assert memory.read(planted.facts["rwx"], 11) == b"\x90\x90\xc3RWX-code"
    assert area in list(memory.select(permissions="wx"))
    # Twice: the object as it was written, and as text in two pages behind one another.
    whole = b"".join(
        bytes(piece.data) for found in memory.areas for piece in memory.dumped(found) if piece.data is not None
    )
    assert planted.facts["border"].encode() in whole
    assert [area.kind for area in memory.areas].count("stack") == 1
    assert [area.kind for area in memory.areas].count("heap") == 1


def test_timers_and_signals(planted: Planted) -> None:
    timers, signals = planted.process.timers, planted.process.signals
    assert timers["real"]["interval_us"] == 5_000_000
    assert [(timer["clock"], timer["interval_ns"]) for timer in timers["posix"]] == [("monotonic", 2 * 10**9)]
    assert "SIGHUP" in signals["ignored"]
    assert "SIGTERM" in signals["caught"]
    assert [(found["signal"], found["pid"]) for found in signals["pending"]] == [("SIGUSR1", 1)]
    assert planted.process.leader.blocked_signals == ["SIGUSR1", "SIGUSR2"]


def test_terminal(planted: Planted) -> None:
    master, slave = (planted.numbered(number) for number in planted.facts["pty"])
    assert (master.type, slave.path, slave.details["terminal"]) == ("tty", "/dev/pts/0", "pty")
    assert (master.details["device"], slave.details["device"]) == ("5:2", "136:0")
    assert sorted(planted.content("terminal")) == [b"PTY-typed\n", b"PTY-typed\r\n"]


def test_namespace_descriptor(planted: Planted) -> None:
    assert planted["nsfd"].type == "namespace"
    assert planted["nsfd"].path.startswith("uts:[")
    assert planted.checkpoint.hostname == "planted-host"
