# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about what a container shares with others: ports, connections, namespaces and mounts of its node.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import posixpath
import typing as t

from .._criu.files import Descriptor
from .findings import METADATA_ADDRESSES, Piece, Scene, dictionary, items

HOST_NAMESPACES: dict[str, tuple[str, str]] = {
    "pid": ("pid", "high"),
    "net": ("network", "high"),
    "mount": ("mount", "high"),
    "ipc": ("ipc", "medium"),
    "uts": ("uts", "low"),
}
"""Kind in the images: kind in the specification, severity. Sharing user, cgroup and time namespaces is usual."""

RUNTIME_SOCKETS = (
    "containerd.sock",
    "cri-dockerd.sock",
    "crio.sock",
    "docker.sock",
    "dockershim.sock",
    "podman.sock",
)

RUNTIME_FOLDERS = ("/run/containerd", "/run/crio", "/run/podman")

VITAL_FOLDERS = frozenset(
    ("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr")
    + ("/var", "/var/lib", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet", "/var/run")
)
"""Folders of a node whose contents, or whose change, gives power over it."""

EPHEMERAL_PORT = 32768
"""From here on Linux chooses ports by itself (ip_local_port_range)."""


def peer(found: Descriptor) -> str:
    return endpoint(found.details.get("remote_address"), found.details.get("remote_port"))


def endpoint(address: t.Any, port: t.Any) -> str:
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def listeners(scene: Scene) -> t.Iterator[Piece]:
    seen: set[int] = set()
    for process in scene.processes:
        for found in process.descriptors:
            details = found.details
            if found.type != "inet_socket" or found.file_id in seen or not is_listener(found):
                continue
            seen.add(found.file_id)
            protocol, port = details["protocol"], details["local_port"]
            if (protocol, port) in scene.declared_ports:
                continue
            loopback = details["local_address"].startswith(("127.", "::1", "::ffff:127."))
            severity = "medium" if protocol == "tcp" and not loopback else "low"
            if protocol == "udp" and port >= EPHEMERAL_PORT:
                severity = "info"
            address = endpoint(details["local_address"], port)
            yield Piece(severity, f"{protocol}, descriptor {found.number}", process, address)


def is_listener(found: Descriptor) -> bool:
    """Whether an internet socket takes connections, or packets from anybody."""
    details = found.details
    if found.type != "inet_socket" or not details["local_port"]:
        return False
    if details["protocol"] in ("udp", "udplite"):
        return not details["remote_port"]
    return bool(details["state"] == "listen")


def connections(scene: Scene) -> t.Iterator[Piece]:
    seen: set[int] = set()
    for process in scene.processes:
        for found in process.descriptors:
            details = found.details
            if found.type != "inet_socket" or not details["remote_port"] or found.file_id in seen:
                continue
            seen.add(found.file_id)
            remote = details["remote_address"]
            if details["state"] == "listen" or scene.in_cluster(remote):
                continue
            severity = "high" if remote.removeprefix("::ffff:") in METADATA_ADDRESSES else "medium"
            detail = f"{details['protocol']} {details['state']}, from port {details['local_port']}"
            yield Piece(severity, f"{detail}, descriptor {found.number}", process, peer(found))


def host_namespaces(scene: Scene) -> t.Iterator[Piece]:
    node = scene.checkpoint.inventory_fields.get("root_ids")
    namespaces = items(scene.specified_linux.get("namespaces"))
    specified = [dictionary(entry).get("type") for entry in namespaces]
    keys = {"mount": "mnt_ns_id", "net": "net_ns_id", "pid": "pid_ns_id", "ipc": "ipc_ns_id", "uts": "uts_ns_id"}
    for kind, (name, severity) in HOST_NAMESPACES.items():
        theirs = node.get(keys[kind]) if isinstance(node, dict) else None
        shared = [process for process in scene.processes if theirs and process.namespaces.get(kind) == theirs]
        if shared:
            others = f" and {len(shared) - 1} more processes" if len(shared) > 1 else ""
            yield Piece(severity, f"Shares the node's {name} namespace{others}", shared[0])
        elif specified and name not in specified:
            yield Piece(severity, f"The specification gives no {name} namespace of its own")


def _from_host(scene: Scene, source: str) -> bool:
    """Whether a bind mount's source is the node's, not one that kubelet or engine made for this container."""
    identity = scene.identity
    own = {identity.container_id, identity.pod_id, identity.pod_uid} - {None, ""}
    parts = source.split("/")
    return own.isdisjoint(parts) and not ("volumes" in parts and parts[-1] == "_data")


def _binds(scene: Scene) -> t.Iterator[tuple[str, str, bool]]:
    """(source on the node, destination, read-only) of the bind mounts of the specification."""
    for mount in scene.specified_mounts:
        options = items(mount.get("options"))
        source, destination = mount.get("source"), mount.get("destination")
        bound = mount.get("type") == "bind" or "bind" in options or "rbind" in options
        if bound and isinstance(source, str) and isinstance(destination, str) and source.startswith("/"):
            yield posixpath.normpath(source), destination, "ro" in options


def _is_runtime_socket(path: str) -> bool:
    below = path[4:] if path.startswith("/var/run") else path
    return posixpath.basename(path) in RUNTIME_SOCKETS or below in RUNTIME_FOLDERS


def host_mounts(scene: Scene) -> t.Iterator[Piece]:
    for source, destination, read_only in _binds(scene):
        if not _from_host(scene, source) or _is_runtime_socket(source):
            continue
        vital = source in VITAL_FOLDERS or source.startswith(("/etc/", "/proc/", "/root/", "/sys/"))
        severity = "high" if vital and not read_only else "medium" if vital or not read_only else "low"
        yield Piece(severity, f"At {destination}, {'read-only' if read_only else 'writable'}", path=source)


def runtime_socket(scene: Scene) -> t.Iterator[Piece]:
    for source, destination, _read_only in _binds(scene):
        if _is_runtime_socket(source):
            yield Piece("high", f"At {destination}", path=source)
    for process in scene.processes:
        for found in process.descriptors:
            ends = [found.details.get("name"), *_peer_names(scene, found)] if found.type == "unix_socket" else []
            for name in ends:
                if name and posixpath.basename(name) in RUNTIME_SOCKETS:
                    yield Piece("high", f"Open as descriptor {found.number}", process, path=name)


def _peer_names(scene: Scene, found: Descriptor) -> list[t.Optional[str]]:
    """The names of the other ends; a server outside the container has no descriptor here, but its socket an entry."""
    inode = found.details.get("peer_inode")
    return [scene.socket_names.get(inode)] if inode else []
