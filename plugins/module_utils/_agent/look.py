# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ends of a move tell before anything is frozen: what the containers have, and what the target offers.

Nothing is judged here that needs both ends, see _move/both_ends.py; nothing is changed.

Sources: Linux Documentation/filesystems/proc.rst (smaps_rollup), proc_net_tcp.rst; criu criu/sk-inet.c (states of TCP
that are dumped as connections), 4.2.1.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import typing as t

from .._common.errors import CheckpointError
from .._criu import sockets
from .._dump.checkpoint import require_dumpable
from .._dump.finding import Target, find
from .._dump.frozen import Records
from .._dump.steps import overlay
from .._node import cri, processes
from .._node.facts import disk
from .._restore import preflight_node
from .._restore.bundle import Bundle
from .._restore.preflight_base import SKIPPED, Node, Verdict, Wanted, mapping
from .._restore.preflight_base import look as look_at_node
from .._restore.ticket import Name
from .._restore.volumes import empty_dir

CRI_SECONDS = 5.0
MEMORY = re.compile(r"^(?:Pss_Anon|Pss_Shmem|SwapPss|Private_Hugetlb):\s+(\d+) kB$", re.MULTILINE)
OLDER_MEMORY = re.compile(r"^(?:RssAnon|RssShmem|VmSwap|HugetlbPages):\s+(\d+) kB$", re.MULTILINE)
CONNECTED = {1, 2, 4, 5, 8, 9, 11}
"""TCP_ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING (Linux include/net/tcp_states.h)."""

ORDINARY = re.compile(r"/dev/(null|zero|full|u?random|tty|ptmx|console|pts/.+|shm/.+|mqueue/.+|net/tun)( \(deleted\))?")
"""Devices that CRIU knows, and files."""

MOST = 100
Item = dict[str, t.Any]


def source(
    namespace: str,
    pod: str,
    containers: dict[str, str],
    volumes: dict[str, list[str]],
    images: dict[str, str],
    checkpoint_directory: str,
    base: str,
) -> Item:
    """What there is to be moved. ``containers``: IDs by names; ``volumes``: as _agent/source.py has them; ``images``:
    by container, what the pod's status calls its image; ``checkpoint_directory``: where the kubelet has archives
    written.

    Raises CheckpointError ``container_changed``, and what keeps a container from being dumped.
    """
    node = look_at_node(base)
    return {
        **_node(node, preflight_node.criu(node, _wanted("", {}))),
        "containers": {
            name: _container(Name(namespace, pod, name), wanted, volumes.get(name, []), checkpoint_directory, base)
            for name, wanted in containers.items()
        },
        "images": images_of(images, _socket(node)),
    }


def target(handler: str, definition: Item, images: dict[str, str], base: str) -> Item:
    """What the node offers. ``handler``: of the restore runtime; ``definition``: the pod; ``images``: by container."""
    node, wanted = look_at_node(base), _wanted(handler, definition)
    checks = (preflight_node.criu, preflight_node.handler, preflight_node.restore_runtime, preflight_node.host_paths)
    places = {
        "images": os.path.join(base, "moves"),
        "storage": mapping(mapping(node.facts.get("disks")).get("storage")).get("path"),
        "volumes": mapping(node.facts.get("kubelet")).get("root_directory"),
    }
    return {
        **_node(node, (verdict for check in checks for verdict in check(node, wanted))),
        "handler": node.handler(wanted),
        "memory": node.memory,
        "rooms": {name: _room(path) for name, path in places.items() if path},
        "images": images_of(images, _socket(node)),
        "socket": _socket(node),
    }


def images_of(images: dict[str, str], path: str) -> dict[str, t.Optional[str]]:
    """By container, the ID of the image that this node has, or None. ``path``: of its container runtime's socket."""
    return {name: cri.image_id(path, reference, CRI_SECONDS) for name, reference in images.items()}


def _wanted(handler: str, definition: Item) -> Wanted:
    return Wanted(method="runtime", handler=handler, definition=definition, security="", accept=())


def _node(node: Node, verdicts: t.Iterable[Verdict]) -> Item:
    return {
        "machine": {name: node.machine.get(name) for name in ("architecture", "kernel", "cgroup", "gpu")},
        "criu": {"version": node.criu.get("version"), "plugins": node.criu.get("plugins") or []},
        "runtime": {name: node.runtime.get(name) for name in ("name", "version")},
        "flags": sorted(node.flags),
        "checks": [verdict._asdict() for verdict in verdicts if verdict.result != SKIPPED],
    }


def _socket(node: Node) -> str:
    return str(node.runtime.get("socket") or "")


def _room(path: str) -> Item:
    """Bytes that are free at a path, and which file system it is."""
    existing = path
    while existing != "/" and not os.path.exists(existing):
        existing = os.path.dirname(existing)
    return {"path": path, "free": mapping(disk(path)).get("free"), "device": os.stat(existing).st_dev}


def _container(name: Name, wanted: str, volumes: t.Sequence[str], checkpoints: str, base: str) -> Item:
    found = find(name)
    container = found.container
    if container.id != wanted:
        raise CheckpointError(
            "container_changed", f"The container {name.container} was started anew meanwhile", hint="Run it again"
        )
    require_dumpable(found, Records(base), checkpoints, check=True)
    bundle = Bundle(container.bundle)
    pids = _pids(found.freezer.path)
    opened = _opened(pids)
    connections, leading_out = _connections(found, opened)
    return {
        "engine": container.engine,
        "runtime": container.runtime,
        "program": found.program,
        "processes": len(pids),
        "memory": sum(_memory(pid) for pid in pids),
        "rootfs": size(overlay(found).upper),
        "volumes": sum(size(empty_dir(point, bundle)) for point in volumes),
        "terminal": mapping(bundle.config.get("process")).get("terminal") is True,
        "devices": sorted(path for path in opened if path.startswith("/dev/") and not ORDINARY.fullmatch(path))[:MOST],
        "connections": connections,
        "connections_out": leading_out,
    }


def require_within(found: Target) -> None:
    """Raises CheckpointError ``connections_outside`` where a connection of the container is not one with itself."""
    leading_out = _connections(found, _opened(_pids(found.freezer.path)))[1]
    if leading_out:
        raise CheckpointError(
            "connections_outside",
            f"The container {found.container.name} has got TCP connections meanwhile that lead out of it: "
            f"{', '.join(leading_out[:3])}",
            hint="Run it again, or set tcp_established to close",
        )


def _opened(pids: t.Iterable[int]) -> set[str]:
    return {path for pid in pids for path in processes.open_files(pid)}


def _pids(cgroup: str) -> list[int]:
    """The processes of a cgroup and of those below it."""
    found: set[int] = set()
    for folder, _folders, names in os.walk(cgroup):
        if "cgroup.procs" in names:
            found |= {int(word) for word in processes.read(os.path.join(folder, "cgroup.procs")).split()}
    return sorted(found - {0})


def _memory(pid: int) -> int:
    """Bytes of memory that CRIU has to write, pages that several processes share counted once among them."""
    folder = os.path.join(processes.PROC, str(pid))
    rolled = processes.read(os.path.join(folder, "smaps_rollup"))
    # Linux before 5.3 does not tell there what of it is of files.
    known = "Pss_Anon:" in rolled
    found = (MEMORY if known else OLDER_MEMORY).findall(rolled if known else processes.read(f"{folder}/status"))
    return sum(int(number) for number in found) << 10


def size(folder: str) -> int:
    """Bytes of all files below a folder, each counted once."""
    seen: dict[tuple[int, int], int] = {}
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                info = os.lstat(os.path.join(parent, name))
                seen[(info.st_dev, info.st_ino)] = info.st_size
    return sum(seen.values())


def _connections(found: Target, opened: t.Collection[str]) -> tuple[list[str], list[str]]:
    """Connections of TCP that processes of the container have, and those of them with an end that is elsewhere.

    Those that nobody has accepted yet are nobody's.
    """
    said: dict[str, tuple[sockets.End, sockets.End]] = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        table = processes.read(os.path.join(processes.PROC, str(found.pid), "net", name), 8 << 20)
        for line in table.splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and int(fields[3], 16) in CONNECTED and f"socket:[{fields[9]}]" in opened:
                one, other = _end(fields[1], family), _end(fields[2], family)
                said[f"{_shown(one)} to {_shown(other)}"] = (one, other)
    inside = set(sockets.within(list(said.values())))
    return sorted(said)[:MOST], sorted(text for text, ends in said.items() if ends not in inside)[:MOST]


def _end(text: str, family: int) -> sockets.End:
    words, _colon, port = text.partition(":")
    # Each word as a number of this machine, as in CRIU's images.
    numbers = [int(words[place : place + 8], 16) for place in range(0, len(words), 8)]
    return sockets.end(numbers, family, int(port, 16))


def _shown(end: sockets.End) -> str:
    return f"{f'[{end[0]}]' if ':' in end[0] else end[0]}:{end[1]}"
