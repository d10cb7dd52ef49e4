# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint in sections, as JSON-clean data: what checkpoint_inspect returns.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._archive.archive import Archive, open_archive
from .._archive.members import Member
from .._common.errors import CheckpointError
from .._criu.checkpoint import Checkpoint
from .._criu.clean import clean
from .._criu.files import Descriptor
from .._criu.names import TCP_STATES, named
from .._criu.process import Process
from . import redaction
from .archive_facts import described
from .findings import Scene, collect, dictionary
from .findings_outside import is_listener
from .findings_rules import RULES

LOGS: tuple[str, ...] = ("dump.log", "io.kubernetes.cri-o.LogPath", "container.log", "ctr.log")
"""CRIU's own log, and the copies of the container's log by CRI-O, containerd and Podman."""

LOG_BYTES = 64 << 10
LOG_LINES = 200

DOCUMENTS: dict[str, str] = {
    "spec": "spec.dump",
    "config": "config.dump",
    "status": "status.dump",
    "runtime_status": "status",
    "bind_mounts": "bind.mounts",
    "network_status": "network.status",
    "descriptors": "checkpoint/descriptors.json",
}

SOCKETS: tuple[str, ...] = ("inet_socket", "unix_socket", "packet_socket", "netlink_socket")

Data = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What to return. ``sections``: names of SECTIONS, or "everything". ``pids``: these processes alone.
    ``ports`` and ``cluster_networks``: see findings.Scene."""

    sections: t.Sequence[str] = ("summary", "processes")
    pids: t.Sequence[int] = ()
    environment: str = "redacted"
    findings: bool = True
    ports: t.Optional[t.Sequence[str]] = None
    cluster_networks: t.Optional[t.Sequence[str]] = None


class Inspection:
    """An open checkpoint and what is wanted of it."""

    def __init__(self, checkpoint: Checkpoint, wishes: Wishes) -> None:
        self.checkpoint = checkpoint
        self.archive: Archive = checkpoint.archive
        self.wishes = wishes
        self.scene = Scene(checkpoint, wishes.ports, wishes.cluster_networks)

    @property
    def processes(self) -> list[Process]:
        """Those that are wanted. Raises CheckpointError process_missing for a PID that is not there."""
        known = self.checkpoint.by_pid
        for pid in self.wishes.pids:
            if pid not in known:
                raise CheckpointError(
                    "process_missing",
                    f"The checkpoint has no process {pid}",
                    hint=f"It has {', '.join(str(found) for found in sorted(known)[:50]) or 'none'}",
                    pids=sorted(known),
                )
        wanted = set(self.wishes.pids) or set(known)
        return [process for process in self.checkpoint.processes if process.pid in wanted]

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if process.alive]


def summary(inspection: Inspection) -> Data:
    checkpoint, archive = inspection.checkpoint, inspection.archive
    processes = inspection.processes
    pages = sum(found.size for name, found in images(archive).items() if name.startswith("pages-"))
    rootfs = archive.tree.file("rootfs-diff.tar")
    return {
        "hostname": checkpoint.hostname,
        "processes": len(processes),
        "threads": sum(len(process.threads) for process in processes if process.alive),
        "zombies": sum(process.state == "zombie" for process in processes),
        "descriptors": sum(len(process.descriptors) for process in inspection.living),
        "mounts": len(checkpoint.mounts),
        "memory_size": pages,
        "rootfs_changes_size": rootfs.size if rootfs is not None else 0,
        "listeners": [shown for shown, found in _internet(inspection) if is_listener(found)],
        "connections": [
            shown for shown, found in _internet(inspection) if found.details["remote_port"] and not is_listener(found)
        ],
        "images": checkpoint.inventory,
    }


def images(archive: Archive) -> dict[str, Member]:
    """The members that are CRIU's images, by file name."""
    folder = archive.image_folder()
    return archive.images(folder) if folder is not None else {}


def _internet(inspection: Inspection) -> t.Iterator[tuple[Data, Descriptor]]:
    """The internet sockets, each once, under the first process that holds it."""
    seen: set[int] = set()
    for process in inspection.living:
        for found in process.descriptors:
            if found.type != "inet_socket" or found.file_id in seen:
                continue
            seen.add(found.file_id)
            keys = ("protocol", "state", "local_address", "local_port", "remote_address", "remote_port")
            shown = {key: found.details[key] for key in keys}
            yield {"pid": process.pid, "process": process.name, "fd": found.number, **shown}, found


def processes(inspection: Inspection) -> list[Data]:
    mode = inspection.wishes.environment
    return [
        {
            **process.as_dict(),
            "children": sorted(child.pid for child in process.children),
            "arguments": redaction.arguments(process.arguments if process.alive else None, mode),
            "environment": redaction.environment(process.environment if process.alive else None, mode),
        }
        for process in inspection.processes
    ]


def _ends(ends: list[tuple[int, int]]) -> list[Data]:
    return [{"pid": pid, "fd": number} for pid, number in sorted(ends)]


def _brief(found: Descriptor) -> Data:
    """A descriptor; what there is to say about a socket stands in its own section."""
    return (dataclasses.replace(found, details={}) if found.type in SOCKETS else found).as_dict()


def files(inspection: Inspection) -> list[Data]:
    checkpoint = inspection.checkpoint
    return [
        {
            "pid": process.pid,
            "process": process.name,
            "executable": process.executable,
            "cwd": process.folder,
            "root": process.root,
            "descriptors": [{**_brief(found), "peers": _ends(checkpoint.peer(found))} for found in process.descriptors],
            "locks": [lock for lock in checkpoint.locks if lock["pid"] == process.pid],
        }
        for process in inspection.living
    ]


def sockets(inspection: Inspection) -> list[Data]:
    names = inspection.scene.socket_names
    shown: list[Data] = []
    for process in inspection.living:
        for found in process.descriptors:
            if found.type not in SOCKETS:
                continue
            more: Data = {"peers": _ends(inspection.checkpoint.peer(found))}
            if found.type == "unix_socket":
                more["peer_name"] = names.get(found.details.get("peer_inode") or -1)
            if found.type == "netlink_socket":
                more["state"] = named(found.details["state"], TCP_STATES)
            shown.append({"pid": process.pid, "process": process.name, **found.as_dict(), **more})
    return shown


def mounts(inspection: Inspection) -> list[Data]:
    """As dumped, each with the source that the specification has for it."""
    specified = {str(mount.get("destination")): mount for mount in inspection.scene.specified_mounts}
    shown = []
    for mount in inspection.checkpoint.mounts:
        asked = specified.get(mount["mountpoint"], {})
        source = asked.get("source")
        shown.append(
            {
                **mount,
                "specified_type": asked.get("type") if isinstance(asked.get("type"), str) else None,
                "specified_source": source if isinstance(source, str) else None,
            }
        )
    return sorted(shown, key=lambda mount: (mount["namespace_id"], mount["mountpoint"], mount["mount_id"]))


def memory(inspection: Inspection) -> Data:
    """Areas and how much of them was dumped; and everything else with bytes, of all processes."""
    return {
        "processes": [_address_space(process) for process in inspection.living],
        "contents": [payload.as_dict() for payload in inspection.checkpoint.payloads()],
        "ipc": inspection.checkpoint.ipc,
    }


def _address_space(process: Process) -> Data:
    areas = [{**area.as_dict(), "pages": process.memory.counts(area)} for area in process.memory.areas]
    return {
        "pid": process.pid,
        "process": process.name,
        "page_size": process.memory.page_size,
        "size": sum(area.size for area in process.memory.areas),
        "dumped_size": sum(area["pages"].get("present", 0) for area in areas) * process.memory.page_size,
        "shared_size": sum(area.size for area in process.memory.areas if area.shared),
        "areas": areas,
    }


def network(inspection: Inspection) -> Data:
    checkpoint = inspection.checkpoint
    return {
        "hostname": checkpoint.hostname,
        "ip_addresses": checkpoint.identity.ip_addresses,
        "devices": checkpoint.network_devices,
        "namespaces": checkpoint.namespaces["net"],
        "engine": dictionary(inspection.archive.documents.get("network.status")),
    }


def statistics(inspection: Inspection) -> Data:
    return inspection.checkpoint.statistics or {}


def rootfs_changes(inspection: Inspection) -> Data:
    return inspection.scene.rootfs.as_dict()


def logs(inspection: Inspection) -> list[Data]:
    found = (inspection.archive.tree.file(name) for name in LOGS)
    return [_log(member, inspection.wishes.environment) for member in found if member is not None]


def _log(member: Member, mode: str) -> Data:
    """The end of a log, in whole lines."""
    start = max(0, member.available - LOG_BYTES)
    raw = member.read(start).decode("utf-8", "surrogateescape")
    lines = raw.splitlines()
    lines = lines[1:] if start and len(lines) > 1 else lines
    shown = lines[-LOG_LINES:]
    return {
        "name": member.name,
        "size": member.size,
        "whole": not start and len(shown) == len(lines),
        "lines": shown if mode == "full" else [redaction.text(line) for line in shown],
    }


def specification(inspection: Inspection) -> Data:
    documents, mode = inspection.archive.documents, inspection.wishes.environment
    return {name: redaction.document(documents.get(member), mode) for name, member in DOCUMENTS.items()}


def surroundings(inspection: Inspection) -> Data:
    """What the processes live in beside mounts and network."""
    return {"namespaces": inspection.checkpoint.namespaces, "cgroups": inspection.checkpoint.cgroups}


SECTIONS: dict[str, t.Callable[[Inspection], t.Any]] = {
    "summary": summary,
    "processes": processes,
    "files": files,
    "sockets": sockets,
    "mounts": mounts,
    "memory": memory,
    "network": network,
    "statistics": statistics,
    "rootfs_changes": rootfs_changes,
    "logs": logs,
    "specification": specification,
}


def inspected(checkpoint: Checkpoint, wishes: Wishes) -> Data:
    """The sections that are wanted, the identity, the findings, and what was odd; JSON-clean.

    ``notes``: what is missing or damaged, {"code", "text", "where"}. ``escaped``: the places of texts with bytes that
    are not UTF-8, which stand there as ``\\xNN`` with backslashes doubled.
    Raises CheckpointError process_missing, invalid_option.
    """
    inspection = Inspection(checkpoint, wishes)
    everything = "everything" in wishes.sections
    result: Data = {"archive": described(checkpoint.archive), "identity": checkpoint.identity.as_dict()}
    wanted = [process.pid for process in inspection.processes]
    for name, section in SECTIONS.items():
        if everything or name in wishes.sections:
            result[name] = section(inspection)
    if everything:
        result["surroundings"] = surroundings(inspection)
    if wishes.findings:
        result["findings"] = collect(inspection.scene, RULES, wanted if wishes.pids else ())
    escaped: list[str] = []
    shown: Data = clean(result, "", escaped)
    shown["notes"] = clean(checkpoint.warnings)
    shown["escaped"] = escaped
    return shown


def inspect(path: str, wishes: t.Optional[Wishes] = None, opened: t.Callable[[str], Archive] = open_archive) -> Data:
    """Open an archive and look into it. Raises CheckpointError as open_archive() and inspected() do."""
    with opened(path) as archive:
        return inspected(Checkpoint(archive), wishes or Wishes())
