# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two checkpoints of one process compared: attributes, capabilities, environment, descriptors.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._criu.files import Descriptor
from .._criu.process import Process
from . import redaction
from .diff_matching import pair, steady
from .diff_memory import memory

Changes = dict[str, t.Any]

UNSTEADY = frozenset(
    (
        "build_id",
        "inode",
        "mount_id",
        "namespace_id",
        "options",
        "path",
        "peer_inode",
        "pipe_id",
        "remaining_ns",
        "shared_memory_id",
        "watches",
    )
)
"""Details of descriptors that are different in every container, or at any time, and mean nothing by themselves."""


def differences(before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """(name, before, after) of each value that is not the same; by name."""
    names = sorted({*before, *after})
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    ]


def describe(process: Process) -> dict[str, t.Any]:
    """A process that is in one checkpoint alone."""
    alive = process.alive
    return {
        "pid": process.pid,
        "ppid": process.ppid,
        "name": process.name,
        "state": process.state,
        "executable": process.executable if alive else None,
        "arguments": redaction.arguments(process.arguments, "redacted") if alive else None,
        "files": [item.as_dict() for item in process.descriptors if not _is_socket(item)],
        "sockets": [item.as_dict() for item in process.descriptors if _is_socket(item)],
    }


def compare(before: Process, after: Process) -> Changes:
    """Everything that is different, and ``changed``: whether anything is."""
    areas, pages = memory(before, after)
    found: Changes = {
        "attributes": attributes(before, after),
        "capabilities": capabilities(before, after),
        "environment": environment(_environment(before), _environment(after)),
        "files": descriptors(before, after, sockets=False),
        "sockets": descriptors(before, after, sockets=True),
        "areas": areas,
        "pages": pages,
    }
    lists = ("environment", "files", "sockets", "areas")
    changed = bool(found["attributes"] or found["capabilities"] or pages["areas"])
    changed = changed or any(found[name][what] for name in lists for what in ("added", "removed", "changed"))
    return {
        "pid": after.pid,
        "pid_before": before.pid,
        "name": after.name,
        "executable": after.executable if after.alive else None,
        "changed": changed,
        **found,
    }


def _environment(process: Process) -> list[str]:
    return (process.environment or []) if process.alive else []


def _attributes(process: Process) -> dict[str, t.Any]:
    found = process.as_dict()
    names = (
        "name",
        "state",
        "exit_code",
        "executable",
        "arguments",
        "cwd",
        "root",
        "umask",
        "dumpable",
        "login_uid",
        "oom_score_adj",
        "child_subreaper",
        "limits",
    )
    chosen: dict[str, t.Any] = {name: found[name] for name in names}
    credentials = process.leader.credentials
    if credentials is not None:
        for name in ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid", "groups", "securebits"):
            chosen[name] = getattr(credentials, name)
        chosen["no_new_privs"] = credentials.no_new_privs
        chosen["lsm_profile"] = credentials.lsm_profile
    seccomp = process.leader.seccomp
    chosen["seccomp"] = seccomp.mode if seccomp is not None else None
    chosen["seccomp_filters"] = len(seccomp.filters) if seccomp is not None else 0
    chosen["threads"] = sorted(thread.name for thread in process.threads)
    return chosen


def attributes(before: Process, after: Process) -> list[dict[str, t.Any]]:
    found = differences(_attributes(before), _attributes(after))
    for change in found:
        if change["name"] == "arguments":
            change["before"] = redaction.arguments(change["before"], "redacted")
            change["after"] = redaction.arguments(change["after"], "redacted")
    return found


def capabilities(before: Process, after: Process) -> list[dict[str, t.Any]]:
    """(set, added, removed) of each set of capabilities that is not the same."""
    left = before.leader.credentials.capabilities if before.leader.credentials is not None else {}
    right = after.leader.credentials.capabilities if after.leader.credentials is not None else {}
    return [
        {
            "set": name,
            "added": sorted(set(right.get(name, [])) - set(left.get(name, []))),
            "removed": sorted(set(left.get(name, [])) - set(right.get(name, []))),
        }
        for name in sorted({*left, *right})
        if set(left.get(name, [])) != set(right.get(name, []))
    ]


def environment(before: list[str], after: list[str]) -> Changes:
    """Variables by name. Secret values are masked, after they were compared."""

    def read(entries: list[str]) -> dict[str, str]:
        return {entry.partition("=")[0]: entry for entry in entries}

    def value(entry: str) -> str:
        return redaction.variable(entry).partition("=")[2]

    left, right = read(before), read(after)
    return {
        "added": [{"name": name, "value": value(right[name])} for name in sorted(right.keys() - left.keys())],
        "removed": [{"name": name, "value": value(left[name])} for name in sorted(left.keys() - right.keys())],
        "changed": [
            {"name": name, "before": value(left[name]), "after": value(right[name])}
            for name in sorted(left.keys() & right.keys())
            if left[name] != right[name]
        ],
    }


def _is_socket(item: Descriptor) -> bool:
    return item.type.endswith("_socket")


def _same(item: Descriptor) -> tuple[t.Any, ...]:
    """What makes it the same file or socket, whatever its number."""
    details = item.details
    if item.type == "inet_socket":
        ends = ("local_address", "local_port", "remote_address", "remote_port")
        return (item.type, details["protocol"], details["state"], *(details[name] for name in ends))
    if item.type == "unix_socket":
        return (item.type, details["socket_type"], details["state"], details["name"])
    return (item.type, steady(item.path), item.access)


def _to_same_server(item: Descriptor) -> t.Optional[t.Hashable]:
    """A connection to the same server from another port."""
    details = item.details
    if item.type != "inet_socket" or not details["remote_port"]:
        return None
    return (details["protocol"], details["state"], details["remote_address"], details["remote_port"])


def descriptors(before: Process, after: Process, *, sockets: bool) -> Changes:
    pairs, gone, new = pair(
        [item for item in before.descriptors if _is_socket(item) is sockets],
        [item for item in after.descriptors if _is_socket(item) is sockets],
        [lambda item: (item.number, _same(item)), _same, _to_same_server],
    )
    changed = []
    for one, other in sorted(pairs, key=lambda both: both[1].number):
        left = {name: value for name, value in one.as_dict().items() if name not in UNSTEADY}
        right = {name: value for name, value in other.as_dict().items() if name not in UNSTEADY}
        found = differences(left, right)
        if found:
            changed.append({"fd": other.number, "type": other.type, "path": other.path, "changes": found})
    return {
        "added": [item.as_dict() for item in new],
        "removed": [item.as_dict() for item in gone],
        "changed": changed,
    }
