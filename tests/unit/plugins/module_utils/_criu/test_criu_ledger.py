# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the lab's ledger says it holds is found in its checkpoints: by CRI-O with runc and with crun, by
containerd and by Podman. The truth is what the program itself printed before it was checkpointed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.files import Descriptor
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.process import Process
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    facts,
)


class Ledger:
    """One checkpoint and what the program said."""

    def __init__(self, name: str) -> None:
        self.archive = open_archive(FIXTURES / LEDGERS[name])
        self.checkpoint = Checkpoint(self.archive)
        self.facts = facts(name)

    @property
    def first(self) -> Process:
        return self.checkpoint.by_pid[self.facts["pid"]]

    def descriptor(self, number: int) -> Descriptor:
        return next(found for found in self.first.descriptors if found.number == number)

    def payload(self, kind: str) -> bytes:
        found = [payload for payload in self.checkpoint.payloads() if payload.kind == kind]
        assert len(found) == 1, kind
        return b"".join(bytes(data) for unused_offset, data in found[0].chunks())


@pytest.fixture(params=sorted(LEDGERS), name="ledger", scope="module")
def fixture_ledger(request: pytest.FixtureRequest) -> t.Iterator[Ledger]:
    ledger = Ledger(request.param)
    yield ledger
    ledger.archive.close()


def test_nothing_is_odd(ledger: Ledger) -> None:
    assert ledger.checkpoint.warnings == []


def test_process_tree(ledger: Ledger) -> None:
    said = ledger.facts
    assert [root.pid for root in ledger.checkpoint.roots] == [1]
    assert {process.pid: process.ppid for process in ledger.checkpoint.processes} == {
        1: 0,
        said["threads"]["pid"]: 1,
        said["middle"]: 1,
        said["leaf"]: said["middle"],
    }
    names = {process.pid: process.name for process in ledger.checkpoint.processes}
    assert names[said["middle"]] == "ledger-middle"
    assert names[said["leaf"]] == "ledger-leaf"
    assert {process.state for process in ledger.checkpoint.processes} == {"running"}
    assert {process.executable for process in ledger.checkpoint.processes} == {"/bin/ledger"}


def test_threads(ledger: Ledger) -> None:
    process = ledger.checkpoint.by_pid[ledger.facts["threads"]["pid"]]
    assert sorted(thread.tid for thread in process.threads) == sorted(ledger.facts["threads"]["tids"])
    assert all(thread.credentials is not None and thread.instruction_pointer for thread in process.threads)


def test_command_line_and_environment(ledger: Ledger) -> None:
    assert ledger.first.arguments == ["/bin/ledger"]
    said = ledger.facts["environment"]
    assert f"{said['name']}={said['text']}" in (ledger.first.environment or [])


def test_listener(ledger: Ledger) -> None:
    found = ledger.descriptor(ledger.facts["listener"]["fd"])
    assert found.type == "inet_socket"
    assert found.details["state"] == "listen"
    assert found.details["local_address"] == "0.0.0.0"
    assert found.details["local_port"] == ledger.facts["listener"]["port"]


def test_deleted_file(ledger: Ledger) -> None:
    said = ledger.facts["deleted"]
    found = ledger.descriptor(said["fd"])
    assert found.path == f"{said['path']} (deleted)"
    assert found.details["deleted"]
    assert found.details["remap"] == "ghost"
    assert found.details["size"] == len(said["text"])
    assert ledger.payload("deleted_file") == said["text"].encode()


def test_memfd(ledger: Ledger) -> None:
    said = ledger.facts["memfd"]
    found = ledger.descriptor(said["fd"])
    assert found.type == "memfd"
    assert found.details["name"] == said["name"]
    assert ledger.payload("memfd") == said["text"].encode()


def test_pipe(ledger: Ledger) -> None:
    said = ledger.facts["pipe"]
    end = ledger.descriptor(said["read_fd"])
    assert (end.type, end.access, end.details["queued"]) == ("pipe", "r", len(said["text"]))
    assert ledger.checkpoint.peer(end) == [(1, said["write_fd"])]
    assert ledger.payload("pipe") == said["text"].encode()


def test_socket_pair(ledger: Ledger) -> None:
    said = ledger.facts["socketpair"]
    left, right = (ledger.descriptor(number) for number in said["fds"])
    assert ledger.checkpoint.peer(left) == [(1, right.number)]
    assert ledger.checkpoint.peer(right) == [(1, left.number)]
    unread = ledger.descriptor(said["unread_at"])
    assert unread.details["receive_queue"] == len(said["text"])
    assert ledger.payload("socket_queue") == said["text"].encode()


def test_event_descriptors(ledger: Ledger) -> None:
    said = ledger.facts
    assert ledger.descriptor(said["eventfd"]["fd"]).details["counter"] == said["eventfd"]["value"]
    assert ledger.descriptor(said["signalfd"]["fd"]).details["signals"] == ["SIGINT", "SIGTERM", "SIGCHLD"]
    watches = ledger.descriptor(said["epoll"]["fd"]).details["watches"]
    assert sorted(watch["fd"] for watch in watches) == sorted(said["epoll"]["watches"])


def test_shared_memory(ledger: Ledger) -> None:
    said = ledger.facts["shared"]
    address = int(said["address"], 16)
    for pid in said["pids"]:
        memory = ledger.checkpoint.by_pid[pid].memory
        area = memory.find(address)
        assert area is not None
        assert (area.kind, area.permissions) == ("sysv_ipc", "rw-s")
        assert memory.read(address, len(said["text"])) == said["text"].encode()
    segment = ledger.checkpoint.ipc["shared_memory"][0]
    assert (segment["id"], segment["size"]) == (said["id"], said["size"])
    assert ledger.payload("sysv_shared_memory").startswith(said["text"].encode())


def test_secret_on_the_heap(ledger: Ledger) -> None:
    said = ledger.facts["heap"]
    secret = bytes.fromhex(said["hex"])
    assert len(secret) == said["length"]
    address = int(said["address"], 16)
    assert ledger.first.memory.read(address, len(secret)) == secret
    area = ledger.first.memory.find(address)
    assert area is not None
    assert area.kind == "heap"
    copies = sum(
        bytes(piece.data).count(secret)
        for found in ledger.first.areas
        for piece in ledger.first.memory.dumped(found)
        if piece.data is not None
    )
    assert copies == 1


def test_namespaces_and_surroundings(ledger: Ledger) -> None:
    assert ledger.checkpoint.hostname
    assert any(mount["mountpoint"] == "/" for mount in ledger.checkpoint.mounts)
    assert ledger.checkpoint.statistics is not None
    assert (ledger.checkpoint.statistics["pages_written"] or 0) > 0
    assert all(ledger.checkpoint.cgroups["sets"].values()) and ledger.checkpoint.cgroups["sets"]
    assert ledger.checkpoint.inventory["image_version"] == 2


def test_credentials(ledger: Ledger) -> None:
    found = ledger.first.leader.credentials
    assert found is not None
    assert (found.uid, found.gid) == (0, 0)
    allowed = ledger.archive.documents.object("spec.dump")["process"]["capabilities"]["effective"]
    assert sorted(found.capabilities["effective"]) == sorted(allowed)
