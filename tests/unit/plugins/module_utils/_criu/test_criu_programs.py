# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that were not written for tests: nginx, redis and a Go program, each with a live connection."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.process import Process
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    PROGRAMS,
)


def opened(name: str) -> t.Iterator[Checkpoint]:
    with open_archive(FIXTURES / PROGRAMS[f"runc-criu-4.2.1-{name}"]) as archive:
        yield Checkpoint(archive)


@pytest.fixture(name="nginx")
def fixture_nginx() -> t.Iterator[Checkpoint]:
    yield from opened("nginx")


@pytest.fixture(name="redis")
def fixture_redis() -> t.Iterator[Checkpoint]:
    yield from opened("redis")


@pytest.fixture(name="go")
def fixture_go() -> t.Iterator[Checkpoint]:
    yield from opened("go")


def holds(process: Process, text: bytes) -> bool:
    """Whether the private memory of a process has a text."""
    pieces = process.pages.read(0, 1 << 64)
    return any(piece.data is not None and text in bytes(piece.data) for piece in pieces)


def connections(process: Process) -> list[tuple[str, int, int]]:
    return [
        (found.details["state"], found.details["local_port"], found.details["remote_port"])
        for found in process.descriptors
        if found.type == "inet_socket"
    ]


def test_nginx(nginx: Checkpoint) -> None:
    master = next(one for one in nginx.processes if one.name == "nginx" and one.children)
    assert [child.arguments for child in master.children] == [["nginx: worker process"]] * 2
    # The title is longer than the arguments were: it goes on over the environment, which nginx has copied elsewhere.
    assert master.arguments == ["nginx: master process nginx -g daemon off;"]
    assert [one.environment for one in (master, *master.children)] == [None] * 3
    assert master.executable == "/usr/sbin/nginx"
    busy = [child for child in master.children if any(state == "established" for state, *_ports in connections(child))]
    assert len(busy) == 1
    # It ends the header's name with a zero where the colon was.
    assert holds(busy[0], b"nginx-live-client")
    client = nginx.roots[0]
    (state, port, remote), *others = connections(client)
    assert (state, remote, others) == ("established", 80, [])
    assert ("established", 80, port) in connections(busy[0])
    names = {payload.name for payload in nginx.payloads()}
    assert "/run/nginx.pid" in names
    credentials = busy[0].leader.credentials
    assert credentials is not None
    assert credentials.uid != 0
    assert nginx.warnings == []


def test_redis(redis: Checkpoint) -> None:
    server = next(one for one in redis.processes if one.name == "redis-server")
    assert server.arguments == ["redis-server *:6390"]
    assert {"bio_close_file", "bio_aof", "bio_lazy_free"} <= {thread.name for thread in server.threads}
    assert holds(server, b"REDIS-planted-value")
    assert ("listen", 6390, 0) in connections(server)
    answers = [payload for payload in redis.payloads() if payload.kind == "tcp_received"]
    assert b"".join(bytes(data) for unused_at, data in answers[0].chunks()).startswith(b"*3\r\n$9\r\nsubscribe\r\n")
    assert redis.warnings == []


def test_go(go: Checkpoint) -> None:
    (process,) = go.processes
    assert len(process.threads) >= 4
    assert holds(process, b"GO-heap-secret-1")
    assert sorted(state for state, *_ports in connections(process)) == ["established", "established", "listen"]
    answers = [payload for payload in go.payloads() if payload.kind == "tcp_received"]
    assert b"GO-heap-secret-1" in b"".join(bytes(data) for unused_at, data in answers[0].chunks())
    assert go.warnings == []
