# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement with checkpointctl for what it shows. Where the two differ, the comparison below says how and why."""

from __future__ import annotations

import json
import lzma
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.files import Descriptor
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.process import Process
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
)

TYPES = {
    "REG": "file",
    "PIPE": "pipe",
    "INETSK": "inet_socket",
    "UNIXSK": "unix_socket",
    "MEMFD": "memfd",
    "EVENTFD": "eventfd",
    "SIGNALFD": "signalfd",
    "EVENTPOLL": "epoll",
}


@pytest.fixture(params=sorted(name for name in REAL if "runc-criu" not in name), name="both", scope="module")
def fixture_both(request: pytest.FixtureRequest) -> t.Iterator[tuple[Checkpoint, dict[str, t.Any]]]:
    with lzma.open(FIXTURES / f"{request.param}.checkpointctl.json.xz", "rt") as file:
        theirs = json.load(file)[0]
    with open_archive(FIXTURES / REAL[request.param]) as archive:
        yield Checkpoint(archive), theirs


def test_identity(both: tuple[Checkpoint, dict[str, t.Any]]) -> None:
    checkpoint, theirs = both
    ours = checkpoint.identity
    assert ours.container == theirs["container_name"]
    assert ours.image == theirs["image"]
    assert ours.container_id == theirs["id"]
    assert ours.runtime == theirs["runtime"]
    assert ours.engine == theirs["engine"]
    assert ours.namespace == theirs["metadata"].get("kubernetes_namespace")
    assert ours.pod == theirs["metadata"].get("pod_name")
    assert (ours.ip_addresses or [None])[0] == theirs.get("ip")
    # It gives whole seconds for some engines and all digits for others.
    assert (ours.created or "")[:19] == theirs["created"][:19]
    assert (ours.checkpointed or "")[:19] == theirs.get("checkpointed", "")[:19]


def test_sizes_and_statistics(both: tuple[Checkpoint, dict[str, t.Any]]) -> None:
    checkpoint, theirs = both
    images = checkpoint.archive.images("checkpoint")
    pages = sum(member.size for name, member in images.items() if name.startswith("pages-"))
    assert pages == theirs["checkpoint_size"]["memory_pages_size"]
    assert sum(member.size for member in images.values()) == theirs["checkpoint_size"]["total_size"]
    ours = checkpoint.statistics
    assert ours is not None
    for key, value in theirs["statistics"].items():
        assert ours[key + "_us" if key.endswith("_time") else key] == value


def compare(process: Process, theirs: dict[str, t.Any]) -> None:
    assert process.pid == theirs["pid"]
    assert process.name == theirs["command"]
    assert process.state == {"Alive": "running"}[theirs["task_state"]]
    arguments = process.arguments or []
    environment = dict(entry.split("=", 1) for entry in process.environment or [])
    if process.pages.layers[0].old_counts:
        # Version 1.6.0 reads zeros where CRIU up to 4.1.1 counted pages (the same fault as checkpointctl issue 221).
        assert not theirs["cmdline"].strip()
        assert "environment_variables" not in theirs
        assert arguments
        assert environment
    else:
        # It joins arguments with a blank behind each.
        assert "".join(part + " " for part in arguments) == theirs["cmdline"]
        assert environment == theirs["environment_variables"]
    children = theirs.get("children", [])
    assert len(process.children) == len(children)
    for child, their in zip(process.children, children):
        compare(child, their)


def test_processes(both: tuple[Checkpoint, dict[str, t.Any]]) -> None:
    checkpoint, theirs = both
    compare(checkpoint.roots[0], theirs["process_tree"])


def described(found: Descriptor) -> str:
    """A descriptor as checkpointctl prints it: deleted files look like any other, and most types are bare numbers."""
    if found.type == "file":
        return found.path.removesuffix(" (deleted)")
    if found.type == "pipe":
        return f"pipe[{found.details['pipe_id']}]"
    if found.type == "unix_socket":
        return f"unix[{found.details['inode']} ({found.details['peer_inode'] or 0}) {found.details['name'] or ''}]"
    name = next(name for name, type_ in TYPES.items() if type_ == found.type)
    return f"{name}.{found.file_id}"


def test_descriptors(both: tuple[Checkpoint, dict[str, t.Any]]) -> None:
    checkpoint, theirs = both
    for part in theirs["file_descriptors"]:
        process = checkpoint.by_pid[part["pid"]]
        files = {one["fd"]: one for one in part["open_files"]}
        assert files.pop("cwd")["path"] == process.folder
        assert files.pop("root")["path"] == process.root
        # It glues type and number.
        ours = {found.number: (found.type, described(found)) for found in process.descriptors}
        assert ours == {int(key.split()[1]): (TYPES[one["type"]], one["path"]) for key, one in files.items()}


def test_sockets(both: tuple[Checkpoint, dict[str, t.Any]]) -> None:
    checkpoint, theirs = both
    for part in theirs["sockets"]:
        process = checkpoint.by_pid[part["pid"]]
        theirs_inet = [one["data"] for one in part["open_sockets"] if "state" in one["data"]]
        ours = [found.details for found in process.descriptors if found.type == "inet_socket"]
        assert len(ours) == len(theirs_inet)
        for left, right in zip(ours, theirs_inet):
            assert left["protocol"].upper() == right["type"]
            assert left["state"].upper() == right["state"]
            assert (left["local_address"], left["local_port"]) == (right["src"], right["src_port"])
            assert (left["remote_address"], left["remote_port"]) == (right["dst"], right.get("dst_port", 0))
        # Of unix sockets it shows that there are some; their number is the same.
        unix = [one for one in part["open_sockets"] if one["data"]["type"] == "UNIX"]
        assert len(unix) == sum(found.type == "unix_socket" for found in process.descriptors)


def test_mounts_are_those_of_the_specification(both: tuple[Checkpoint, dict[str, t.Any]]) -> None:
    """Its mounts come from spec.dump; ours from the dump, which has them all and those that the runtime added."""
    checkpoint, theirs = both
    ours = {mount["mountpoint"] for mount in checkpoint.mounts}
    assert {mount["destination"] for mount in theirs["mounts"]} <= ours
