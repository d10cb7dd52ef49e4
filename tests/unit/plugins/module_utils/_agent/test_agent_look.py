# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of processes, here of real ones of this machine; containers are looked at on the laboratory."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import types
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent import look
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import processes

MIB = 1 << 20
# Three fourths of the memory are shared with the child, which counts them once.
HOLDER = """
import mmap, os, sys
private = bytearray(os.urandom(16 << 20))
shared = mmap.mmap(-1, 48 << 20)
shared.write(os.urandom(48 << 20))
child = os.fork()
if child:
    print(child, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder() -> t.Iterator[list[int]]:
    """Two processes that have 64 MiB together."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(t.cast("t.IO[str]", process.stdout).readline())
        yield [process.pid, child]


def test_shared_memory_counts_once(holder: list[int]) -> None:
    total = sum(look._memory(pid) for pid in holder)
    assert 64 * MIB <= total < 96 * MIB


def test_an_older_kernel_tells_less(holder: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: str, most: int = 1 << 16) -> str:
        return "Rss: 5 kB\nSwapPss: 0 kB\n" if path.endswith("smaps_rollup") else whole(path, most)

    whole = processes.read
    monkeypatch.setattr(processes, "read", read)
    assert 64 * MIB <= look._memory(holder[0]) < 96 * MIB


def test_a_process_that_is_gone_has_none() -> None:
    assert look._memory(1 << 30) == 0


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connections(family: socket.AddressFamily, address: str) -> None:
    target = t.cast("t.Any", types.SimpleNamespace(pid=os.getpid()))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(family))
        server.bind((address, 0))
        server.listen(2)
        port = server.getsockname()[1]
        client = stack.enter_context(socket.create_connection((address, port)))
        # Nobody has accepted it yet.
        stack.enter_context(socket.create_connection((address, port)))
        accepted = stack.enter_context(server.accept()[0])
        shown = f"[{address}]" if ":" in address else address
        found, out = look._connections(target, processes.open_files(os.getpid()))
        theirs = f"{shown}:{client.getsockname()[1]} to {shown}:{port}"
        assert theirs in found and f"{shown}:{port} to {shown}:{client.getsockname()[1]}" in found
        assert len([text for text in found if f":{port}" in text]) == 3
        # The end that nobody has accepted is nobody's, so that the other one leads out.
        (leading_out,) = [text for text in out if f":{port}" in text]
        assert leading_out in found and leading_out != theirs
        accepted.close()
        assert look._connections(target, []) == ([], [])


def test_a_container_with_connections_to_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    target = t.cast(
        "t.Any",
        types.SimpleNamespace(
            pid=os.getpid(),
            freezer=types.SimpleNamespace(path="/nowhere"),
            container=types.SimpleNamespace(name="app"),
        ),
    )
    # A server of both families, which sees IPv4 addresses as IPv6.
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as accepted:
            ends = {f"socket:[{os.fstat(each.fileno()).st_ino}]" for each in (client, accepted)}
            monkeypatch.setattr(look, "_opened", lambda _pids: ends)
            look.require_within(target)
            ends.pop()
            with pytest.raises(CheckpointError) as caught:
                look.require_within(target)
            assert caught.value.code == "connections_outside" and f"127.0.0.1:{port}" in caught.value.reason


def test_files_are_counted_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * 1000)
    os.link(tmp_path / "folder" / "file", tmp_path / "again")
    os.truncate(tmp_path / "folder" / "file", 5000)
    (tmp_path / "link").symlink_to("nowhere")
    assert look.size(str(tmp_path)) == 5000 + len("nowhere")
    assert look.size(str(tmp_path / "none")) == 0


@pytest.mark.parametrize("path", ["/dev/null", "/dev/pts/0", "/dev/shm/x (deleted)", "/dev/urandom", "/dev/net/tun"])
def test_devices_that_criu_knows(path: str) -> None:
    assert look.ORDINARY.fullmatch(path)


@pytest.mark.parametrize("path", ["/dev/nvidia0", "/dev/kvm", "/dev/dri/card0", "/dev/fuse"])
def test_devices_that_it_does_not_know(path: str) -> None:
    assert not look.ORDINARY.fullmatch(path)


def test_a_place_that_is_not_there_yet(tmp_path: pathlib.Path) -> None:
    found = look._room(str(tmp_path / "moves" / "none"))
    assert found["device"] == tmp_path.stat().st_dev and found["free"] > 0 and found["path"].endswith("none")
