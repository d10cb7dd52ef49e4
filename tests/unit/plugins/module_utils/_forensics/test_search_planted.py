# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that was planted is found, and where it is: one by one, in real checkpoints."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.search import Query, search
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    LEDGERS,
    PLANTED,
    facts,
)

Hit = dict[str, t.Any]


class Found:
    """What a search for one text finds in one recorded checkpoint."""

    def __init__(self, name: str, archive: str) -> None:
        self.facts = facts(name)
        self._path = FIXTURES / archive

    def __call__(self, place: str, **query: t.Any) -> list[Hit]:
        with open_archive(self._path) as archive:
            result = search(Checkpoint(archive), Query(**query))
        assert result["notes"] == []
        assert all(pattern["hits"] == pattern["shown"] for pattern in result["patterns"])
        return [hit for hit in result["hits"] if hit["place"] == place]


@pytest.fixture(params=sorted(LEDGERS), name="ledger")
def fixture_ledger(request: pytest.FixtureRequest) -> Found:
    return Found(request.param, LEDGERS[request.param])


@pytest.fixture(params=sorted(PLANTED), name="planted")
def fixture_planted(request: pytest.FixtureRequest) -> Found:
    return Found(request.param, PLANTED[request.param])


def holders(hit: Hit) -> set[tuple[int, t.Optional[int]]]:
    return {(holder["pid"], holder["fd"]) for holder in hit["held_by"]}


def test_secret_in_the_environment(ledger: Found) -> None:
    name, text = ledger.facts["environment"]["name"], ledger.facts["environment"]["text"]
    hits = ledger("memory", literals=[f"{name}={text}"])
    stacks = [hit for hit in hits if hit["area"]["kind"] == "stack"]
    pids = {ledger.facts["pid"], ledger.facts["threads"]["pid"], ledger.facts["middle"], ledger.facts["leaf"]}
    assert {hit["pid"] for hit in stacks} == pids
    assert all(hit["area"]["start"] <= hit["address"] < hit["area"]["end"] for hit in stacks)


def test_secret_in_the_specification(ledger: Found) -> None:
    hits = ledger("specification", literals=[ledger.facts["environment"]["text"]])
    assert "spec.dump" in {hit["file"] for hit in hits}


def test_secret_in_the_heap(ledger: Found) -> None:
    known = ledger.facts["heap"]
    hits = ledger("memory", hex=[known["hex"]])
    assert {(hit["pid"], hit["address"]) for hit in hits} == {(ledger.facts["pid"], known["address"])}
    assert {(hit["area"]["name"], hit["size"], hit["encoding"]) for hit in hits} == {
        ("[heap]", known["length"], "bytes")
    }


def test_secret_in_the_heap_by_a_regular_expression(ledger: Found) -> None:
    known = ledger.facts["heap"]
    hits = ledger("memory", regexes=["heap-secret-[0-9a-f]{32}"])
    assert [(hit["address"], hit["match"]) for hit in hits] == [
        (known["address"], bytes.fromhex(known["hex"]).decode("ascii"))
    ]


def test_deleted_file(ledger: Found) -> None:
    known = ledger.facts["deleted"]
    (hit,) = ledger("deleted_file", literals=[known["text"]])
    assert (hit["file"], hit["offset"]) == (f"{known['path']} (deleted)", 0)
    assert (ledger.facts["pid"], known["fd"]) in holders(hit)


def test_memfd(ledger: Found) -> None:
    known = ledger.facts["memfd"]
    (hit,) = ledger("memfd", literals=[known["text"]])
    assert (hit["file"], hit["offset"]) == (f"/memfd:{known['name']}", 0)
    assert (ledger.facts["pid"], known["fd"]) in holders(hit)


def test_pipe(ledger: Found) -> None:
    known = ledger.facts["pipe"]
    (hit,) = ledger("pipe", literals=[known["text"]])
    assert {(ledger.facts["pid"], known["read_fd"]), (ledger.facts["pid"], known["write_fd"])} <= holders(hit)


def test_socket_queue(ledger: Found) -> None:
    known = ledger.facts["socketpair"]
    (hit,) = ledger("socket_queue", literals=[known["text"]])
    assert holders(hit) == {(ledger.facts["pid"], known["unread_at"])}


def test_shared_memory(ledger: Found) -> None:
    known = ledger.facts["shared"]
    (hit,) = ledger("sysv_shared_memory", literals=[known["text"]])
    mapped = {holder["pid"]: holder["address"] for holder in hit["held_by"]}
    assert {mapped[pid] for pid in known["pids"]} == {known["address"]}


def test_shared_memory_is_searched_once(ledger: Found) -> None:
    assert not [
        hit for hit in ledger("memory", literals=[ledger.facts["shared"]["text"]]) if hit["area"]["kind"] == "sysv_ipc"
    ]


def test_only_what_belongs_to_a_process(ledger: Found) -> None:
    text, leaf = ledger.facts["pipe"]["text"], ledger.facts["leaf"]
    assert ledger("pipe", literals=[text], pids=[ledger.facts["pid"]])
    assert not ledger("pipe", literals=[text], pids=[leaf])
    assert {hit["pid"] for hit in ledger("memory", literals=["LEDGER_SECRET"], pids=[leaf])} == {leaf}
    assert not ledger("specification", literals=["LEDGER_SECRET"], pids=[leaf])


def test_log_of_the_container() -> None:
    found = Found("crio-runc-ledger", LEDGERS["crio-runc-ledger"])
    hits = found("log", literals=[found.facts["deleted"]["path"]])
    assert "io.kubernetes.cri-o.LogPath" in {hit["file"] for hit in hits}


def test_names_in_the_difference_of_the_root_file_system() -> None:
    found = Found("containerd-2.1-ledger", LEDGERS["containerd-2.1-ledger"])
    (hit,) = found("file_names", literals=["/etc/hostname"])
    assert hit["file"] == "names in /"


def test_across_a_border_of_pages(planted: Found) -> None:
    hits = planted("memory", literals=[planted.facts["border"]])
    crossing = [hit for hit in hits if int(hit["address"], 16) % 4096 == 4088]
    assert {hit["pid"] for hit in crossing} == {planted.facts["pid"], planted.facts["child"]}


def test_executable_memory(planted: Found) -> None:
    hits = planted("memory", hex=["90 90 c3 52 57 58", "52:57:58:2d"])
    found = {(hit["pattern"], hit["address"], hit["area"]["permissions"]) for hit in hits if hit["pid"] == 1}
    assert ("90 90 c3 52 57 58", f"{planted.facts['rwx']:#x}", "rwxp") in found
    assert ("52:57:58:2d", f"{planted.facts['rwx'] + 3:#x}", "rwxp") in found


@pytest.mark.parametrize(
    ("place", "text", "fds"),
    [
        ("deleted_file", "GHOST-deleted content", ["ghost"]),
        ("pipe", "PIPE-content in the pipe", ["pipe"]),
        ("fifo", "FIFO-content", ["fifo"]),
        ("memfd", "MEMFD-content of the memfd", ["memfd"]),
        ("sysv_shared_memory", "SYSV-shm content", []),
        ("sysv_message", "SYSV-message", []),
        ("terminal", "PTY-typed", []),
        ("tmpfs_file", "POSIXSHM-content", []),
    ],
)
def test_each_kind_of_place(planted: Found, place: str, text: str, fds: list[str]) -> None:
    hits = planted(place, literals=[text])
    assert hits
    for name in fds:
        known = planted.facts[name]
        wanted = {(1, number) for number in (known if isinstance(known, list) else [known])}
        assert all(wanted <= holders(hit) for hit in hits)


def test_stream_of_a_unix_socket(planted: Found) -> None:
    (hit,) = planted("socket_queue", literals=["UNIXQ-stream data"])
    assert (1, planted.facts["socketpair"][1]) in holders(hit)


def test_datagram_of_a_unix_socket(planted: Found) -> None:
    (hit,) = planted("socket_queue", literals=["UNIXQ-datagram"])
    assert (1, planted.facts["unix_abstract"]) in holders(hit)


def test_queues_of_both_ends_of_a_tcp_connection(planted: Found) -> None:
    client, server = planted.facts["tcp"]
    (to_server,) = planted("tcp_received", literals=["TCPQ-client to server"])
    (to_client,) = planted("tcp_received", literals=["TCPQ-server to client"])
    assert (1, server) in holders(to_server)
    assert (1, client) in holders(to_client)


def test_set_of_credentials_finds_the_secret_in_the_environment(planted: Found) -> None:
    hits = planted("memory", sets=["credentials"], pids=[1])
    assert ("assignment", "SECRET_TOKEN=ENV-secret-token") in {(hit["pattern"], hit["match"]) for hit in hits}


def test_set_of_addresses_finds_the_api_server() -> None:
    found = Found("crio-runc-ledger", LEDGERS["crio-runc-ledger"])
    assert "10.96.0.1" in {hit["match"] for hit in found("memory", sets=["ip_addresses"])}
    assert "tcp://10.96.0.1:443" in {hit["match"] for hit in found("memory", sets=["urls"])}
