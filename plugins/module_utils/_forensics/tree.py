# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inspection as the text tree that people know from ``checkpointctl inspect``.

The headings are those of checkpointctl 1.5 (internal/tree.go), with what it does not know added below them.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import posixpath
import typing as t
from collections.abc import Mapping

Data = t.Mapping[str, t.Any]

IDENTITY: tuple[tuple[str, str], ...] = (
    ("Image", "image"),
    ("ID", "container_id"),
    ("Runtime", "runtime"),
    ("Created", "created"),
    ("Checkpointed", "checkpointed"),
    ("Engine", "engine"),
    ("Node", "node"),
    ("Kernel", "kernel"),
    ("CRIU", "criu_version"),
    ("Architecture", "architecture"),
)

STATISTICS: tuple[tuple[str, str, str], ...] = (
    ("Freezing time", "freezing_time_us", " us"),
    ("Frozen time", "frozen_time_us", " us"),
    ("Memdump time", "memdump_time_us", " us"),
    ("Memwrite time", "memwrite_time_us", " us"),
    ("Pages scanned", "pages_scanned", ""),
    ("Pages written", "pages_written", ""),
)

TYPES: dict[str, str] = {
    "file": "REG",
    "inet_socket": "INETSK",
    "unix_socket": "UNIXSK",
    "packet_socket": "PACKETSK",
    "netlink_socket": "NETLINKSK",
    "epoll": "EVENTPOLL",
}
"""How checkpointctl calls descriptors, where that is not the same in capitals."""


class Branch:
    """A line with lines below it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.branches: list[Branch] = []

    def add(self, text: str) -> Branch:
        branch = Branch(text)
        self.branches.append(branch)
        return branch

    def lines(self) -> t.Iterator[str]:
        """Without recursion: a hostile process tree may be as deep as it is long."""
        yield printable(self.text)
        stack: list[tuple[str, t.Iterator[tuple[bool, Branch]]]] = [("", _with_last(self.branches))]
        while stack:
            indent, branches = stack[-1]
            following = next(branches, None)
            if following is None:
                stack.pop()
                continue
            last, branch = following
            yield indent + ("└── " if last else "├── ") + printable(branch.text)
            stack.append((indent + ("    " if last else "│   "), _with_last(branch.branches)))


def _with_last(branches: list[Branch]) -> t.Iterator[tuple[bool, Branch]]:
    for index, branch in enumerate(branches):
        yield index == len(branches) - 1, branch


def printable(text: str) -> str:
    """Without anything that a terminal would obey: names in a checkpoint are chosen by who runs in it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def size(number: t.Any) -> str:
    """Bytes as people read them."""
    value = float(number or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def render(inspection: Data) -> str:
    """The sections that the inspection has, as text."""
    archive: Data = inspection.get("archive") or {}
    identity: Data = inspection.get("identity") or {}
    root = Branch(str(identity.get("container") or "container"))
    for label, key in IDENTITY:
        if identity.get(key):
            root.add(f"{label}: {identity[key]}")
    for address in identity.get("ip_addresses") or []:
        root.add(f"IP: {address}")
    _sizes(root.add(f"Checkpoint size: {size(archive.get('size'))}"), inspection.get("summary") or {})
    for add in (_statistics, _metadata, _processes, _sockets_alone, _mounts, _rootfs, _findings):
        add(root, inspection)
    return "\n".join([printable(str(archive.get("path"))), "", *root.lines()])


def _sizes(branch: Branch, summary: Data) -> None:
    if summary.get("memory_size"):
        branch.add(f"Memory pages size: {size(summary['memory_size'])}")
    if summary.get("rootfs_changes_size"):
        branch.add(f"Root FS diff size: {size(summary['rootfs_changes_size'])}")


def _statistics(root: Branch, inspection: Data) -> None:
    statistics = inspection.get("statistics")
    if statistics:
        branch = root.add("CRIU dump statistics")
        for label, key, unit in STATISTICS:
            branch.add(f"{label}: {statistics.get(key) or 0}{unit}")


def _metadata(root: Branch, inspection: Data) -> None:
    identity: Data = inspection.get("identity") or {}
    if not identity.get("pod"):
        return
    branch = root.add("Metadata")
    branch.add(f"Pod name: {identity['pod']}")
    branch.add(f"Kubernetes namespace: {identity.get('namespace')}")
    spec = (inspection.get("specification") or {}).get("spec")
    annotations = spec.get("annotations") if isinstance(spec, Mapping) else None
    if annotations and isinstance(annotations, Mapping):
        below = branch.add("Annotations")
        for key in sorted(annotations):
            below.add(f"{key}: {annotations[key]}")


def _processes(root: Branch, inspection: Data) -> None:
    processes = inspection.get("processes")
    if not processes:
        return
    files = {entry["pid"]: entry for entry in inspection.get("files") or []}
    sockets: dict[t.Any, list[Data]] = {}
    for socket in inspection.get("sockets") or []:
        sockets.setdefault(socket["pid"], []).append(socket)
    branches: dict[t.Any, Branch] = {}
    top = root.add("Process tree")
    for process in processes:
        branch = branches[process["pid"]] = Branch(f"[{process['pid']}]  {_title(process)}")
        environment = process.get("environment")
        if environment:
            below = branch.add("Environment variables")
            for entry in environment:
                below.add(entry)
        if process["pid"] in files:
            _files(branch.add("Open files"), files[process["pid"]])
        if process["pid"] in sockets:
            _sockets(branch.add("Open sockets"), sockets[process["pid"]])
    for process in processes:
        parent = branches.get(process["ppid"])
        own = branches[process["pid"]]
        (parent if parent is not None and parent is not own else top).branches.append(own)


def _title(process: Data) -> str:
    """The command line, the name where it says something else, and what is not as usual."""
    arguments, name = process.get("arguments") or [], str(process["name"])
    remarks = [name] if arguments and posixpath.basename(arguments[0]) != name else []
    remarks += [process["state"]] if process["state"] != "running" else []
    remark = f"  ({', '.join(remarks)})" if remarks else ""
    return (" ".join(quoted(argument) for argument in arguments) or name) + remark


def quoted(argument: str) -> str:
    """An argument so that its borders can be seen."""
    return argument if argument and not set(argument) & set(" \t\n\"'") else "'" + argument.replace("'", "'\\''") + "'"


def _files(branch: Branch, files: Data) -> None:
    for descriptor in files["descriptors"]:
        kind = TYPES.get(descriptor["type"], descriptor["type"].upper())
        branch.add(f"[{kind} {descriptor['fd']}]  {descriptor['path']}")
    for name in ("cwd", "root", "executable"):
        if files.get(name):
            branch.add(f"[{'exe' if name == 'executable' else name}]  {files[name]}")


def _sockets(branch: Branch, sockets: t.Sequence[Data]) -> None:
    for socket in sockets:
        branch.add(f"[{_protocol(socket)} {socket['fd']}]  {_ends(socket)}")


def _protocol(socket: Data) -> str:
    if socket["type"] == "inet_socket":
        return str(socket.get("protocol")).upper() + ("6" if socket.get("family") == "inet6" else "")
    if socket["type"] == "unix_socket":
        return f"UNIX ({str(socket.get('socket_type')).upper()})"
    return str(socket["type"]).split("_", maxsplit=1)[0].upper()


def _ends(socket: Data) -> str:
    if socket["type"] == "inet_socket":
        local = _endpoint(socket["local_address"], socket["local_port"])
        queues = ", ".join(
            f"{label} {socket[key]} bytes"
            for label, key in (("unread", "receive_queue"), ("unsent", "send_queue"))
            if socket.get(key)
        )
        remote = f" -> {_endpoint(socket['remote_address'], socket['remote_port'])}" if socket["remote_port"] else ""
        return f"{local}{remote} ({socket['state']}{', ' + queues if queues else ''})"
    if socket["type"] == "unix_socket":
        peers = ", ".join(f"{peer['pid']}/{peer['fd']}" for peer in socket.get("peers") or [])
        name = socket.get("name") or socket.get("peer_name") or "@"
        return f"{name} ({socket.get('state')})" + (f" -> {peers}" if peers else "")
    return str(socket.get("protocol"))


def _endpoint(address: t.Any, port: t.Any) -> str:
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _sockets_alone(root: Branch, inspection: Data) -> None:
    """Sockets where the processes are not shown: the listeners of the summary."""
    listeners = (inspection.get("summary") or {}).get("listeners")
    if listeners and not inspection.get("sockets"):
        branch = root.add("Listening sockets")
        for entry in listeners:
            end = _endpoint(entry["local_address"], entry["local_port"])
            branch.add(f"{entry['protocol']} {end}  [{entry['pid']}] {entry['process']}")


def _mounts(root: Branch, inspection: Data) -> None:
    mounts = inspection.get("mounts")
    if mounts:
        branch = root.add("Overview of mounts")
        for mount in mounts:
            below = branch.add(f"Destination: {mount['mountpoint']}")
            below.add(f"Type: {mount.get('specified_type') or mount['filesystem']}")
            below.add(f"Source: {mount.get('specified_source') or mount['source']}")


def _rootfs(root: Branch, inspection: Data) -> None:
    changes = inspection.get("rootfs_changes") or {}
    if changes.get("written") or changes.get("deleted"):
        branch = root.add("Changes of the root file system")
        for entry in changes.get("written") or []:
            branch.add(f"{entry['name']} ({entry['kind']}, mode {entry['mode']}, {size(entry['size'])})")
        for path in changes.get("deleted") or []:
            branch.add(f"{path} (deleted)")


def _findings(root: Branch, inspection: Data) -> None:
    findings = inspection.get("findings")
    if findings:
        branch = root.add("Findings")
        for found in findings:
            below = branch.add(f"{found['severity'].upper()}  {found['id']} ({found['count']})")
            for piece in found["evidence"]:
                who = f"[{piece['pid']}] {piece['process']}  " if piece.get("pid") is not None else ""
                where = "  ".join(str(piece[key]) for key in ("path", "address") if piece.get(key))
                below.add(f"{who}{piece['detail']}{'  ' + where if where else ''}")
