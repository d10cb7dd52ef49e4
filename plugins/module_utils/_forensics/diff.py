# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two checkpoints of the same workload compared, across restarts, nodes and container IDs.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from .._archive.archive import Archive
from .._archive.members import Member
from .._archive.rootfs import changes
from .._criu.checkpoint import Checkpoint
from .._criu.clean import clean
from .._criu.payloads import Data
from .diff_matching import match, pair, steady
from .diff_process import compare, describe, differences
from .diff_summary import summary

CONTAINERS_OWN = frozenset(("cgroup", "cgroup2", "overlay", "aufs"))
"""File systems whose root, source and options name the container or its layers."""

_MESSAGE = re.compile(r"/[0-9a-f]{8}$")


def diff(before: Checkpoint, after: Checkpoint) -> dict[str, t.Any]:
    """Everything that is different, in words and as data; the same two archives always give the same."""
    pairs, gone, new = match(before, after)
    compared = [compare(one, other) for one, other in pairs]
    result: dict[str, t.Any] = {
        "before": before.identity.as_dict(),
        "after": after.identity.as_dict(),
        "identity": differences(before.identity.as_dict(), after.identity.as_dict()),
        "processes": {
            "added": [describe(process) for process in new],
            "removed": [describe(process) for process in gone],
            "changed": [found for found in compared if found["changed"]],
            "same": sum(1 for found in compared if not found["changed"]),
        },
        "mounts": mounts(before, after),
        "contents": contents(before, after),
        "rootfs": rootfs(before.archive, after.archive),
    }
    for found in result["processes"]["changed"]:
        del found["changed"]
    escaped: list[str] = []
    cleaned: dict[str, t.Any] = clean(result, "", escaped)
    notes = [
        {"archive": which, **note}
        for which, checkpoint in (("before", before), ("after", after))
        for note in clean(checkpoint.warnings)
    ]
    told = summary(cleaned)
    return {"summary": told, **cleaned, "notes": notes, "escaped": escaped}


def _changes(before: dict[str, dict[str, t.Any]], after: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    """Added, removed and changed entries of two tables by name."""
    changed = []
    for name in sorted(before.keys() & after.keys()):
        found = differences(before[name], after[name])
        if found:
            changed.append({"name": name, "changes": found})
    return {
        "added": [{"name": name, **after[name]} for name in sorted(after.keys() - before.keys())],
        "removed": [{"name": name, **before[name]} for name in sorted(before.keys() - after.keys())],
        "changed": changed,
    }


def mounts(before: Checkpoint, after: Checkpoint) -> dict[str, t.Any]:
    """Mounts by where they are; several at one place get a number. What a node or a pod's UID decides is left out."""

    def read(checkpoint: Checkpoint) -> dict[str, dict[str, t.Any]]:
        found: dict[str, dict[str, t.Any]] = {}
        for mount in sorted(checkpoint.mounts, key=lambda item: (item["mountpoint"], item["mount_id"])):
            name, number = mount["mountpoint"], 1
            while name in found:
                number += 1
                name = f"{mount['mountpoint']} ({number})"
            own = mount["filesystem"] in CONTAINERS_OWN
            outside = own or mount["external"] is not None
            found[name] = {
                "filesystem": mount["filesystem"],
                "flags": mount["flags"],
                "superblock_flags": mount["superblock_flags"],
                "external": mount["external"],
                "root": None if own else _within_pod(mount["root"]),
                "source": None if outside else mount["source"],
                "options": None if outside else mount["options"],
            }
        return found

    return _changes(read(before), read(after))


def _within_pod(root: str) -> str:
    """The root of a bind mount from the pod's folder on; where kubelets keep pods is up to the node, and the file for a
    termination message has a random name there."""
    place = root.find("/pods/")
    return _MESSAGE.sub("/<id>", steady(root[place:] if place >= 0 else root))


def _digest(chunks: t.Iterable[Data]) -> str:
    digest = hashlib.sha256()
    for data in chunks:
        digest.update(data)
    return digest.hexdigest()


def contents(before: Checkpoint, after: Checkpoint) -> dict[str, t.Any]:
    """What pipes, sockets, memfds, deleted files and the like hold."""

    def read(checkpoint: Checkpoint) -> list[dict[str, t.Any]]:
        return [
            {
                "kind": payload.kind,
                "name": payload.name,
                "size": payload.size,
                "sha256": _digest(data for _offset, data in payload.chunks()),
            }
            for payload in checkpoint.payloads()
        ]

    pairs, gone, new = pair(
        read(before),
        read(after),
        [
            lambda item: (item["kind"], item["name"], item["sha256"]),
            lambda item: (item["kind"], steady(item["name"]), item["sha256"]),
            lambda item: (item["kind"], steady(item["name"])),
        ],
    )
    changed = [
        {"kind": other["kind"], "name": other["name"], "changes": differences(_held(one), _held(other))}
        for one, other in pairs
        if one["sha256"] != other["sha256"] or one["size"] != other["size"]
    ]
    return {"added": new, "removed": gone, "changed": changed}


def _held(item: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"size": item["size"], "sha256": item["sha256"]}


def rootfs(before: Archive, after: Archive) -> dict[str, t.Any]:
    """Files written or deleted since the image, compared by kind, owner, mode and content."""
    left, right = changes(before), changes(after)
    tables = []
    for found in (left, right):
        # In the order in which they lie: a compressed difference is read once.
        listed = {member.name: member for member in (found.tree.members if found.tree is not None else [])}
        written = {member.name for member in found.members}
        tables.append({f"/{name}": _file(member) for name, member in listed.items() if name in written})
    return {
        **_changes(tables[0], tables[1]),
        "deleted": {
            "added": sorted(set(right.deleted) - set(left.deleted)),
            "removed": sorted(set(left.deleted) - set(right.deleted)),
        },
    }


def _file(member: Member) -> dict[str, t.Any]:
    return {
        "kind": member.kind,
        "size": member.size,
        "mode": f"{member.mode:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "link": member.link or None,
        "sha256": _digest(member.chunks()) if member.kind == "file" else None,
    }
