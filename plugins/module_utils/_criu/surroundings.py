# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes live in: mounts, namespaces, network devices, control groups, file locks; and the dump's statistics.

Sources: criu images/mnt.proto, utsns.proto, timens.proto, userns.proto, netdev.proto, ns.proto, cgroup.proto,
file-lock.proto, stats.proto, inventory.proto; criu/mount.c, criu/net.c, criu/cgroup.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .images import Images
from .names import (
    DEVICE_TYPES,
    FILE_SYSTEMS,
    LOCK_KINDS,
    LOCK_TYPES,
    LSM_TYPES,
    MOUNT_FLAGS,
    bits,
    named,
)
from .wire import Fields, number, text

MAX_DEPTH = 32


def device(value: int) -> str:
    """A device number as major:minor; images hold the kernel's own form, 12 and 20 bits (criu/include/util.h, kdev)."""
    return f"{value >> 20}:{value & 0xFFFFF}"


def device_of_stat(value: int) -> str:
    """The same of a number as stat(2) has it, which tty images hold (linux/kdev_t.h, new_decode_dev)."""
    return f"{value >> 8 & 0xFFF}:{value & 0xFF | value >> 12 & 0xFFF00}"


def mount(fields: Fields, namespace: int) -> dict[str, t.Any]:
    kind = number(fields, "fstype")
    point = text(fields, "mountpoint")
    if point.startswith("./") or point == ".":
        point = point[1:] or "/"
    return {
        "namespace_id": namespace,
        "mount_id": number(fields, "mnt_id"),
        "parent_id": number(fields, "parent_mnt_id"),
        "mountpoint": point,
        "root": text(fields, "root"),
        "source": text(fields, "source"),
        # Bind mounts of the host's files have no type that CRIU would know; their name stands apart.
        "filesystem": text(fields, "fsname") or named(kind, FILE_SYSTEMS),
        "flags": bits(number(fields, "flags") & ~MOUNT_PROPAGATION, MOUNT_FLAGS),
        "superblock_flags": bits(number(fields, "sb_flags") & ~MOUNT_PROPAGATION, MOUNT_FLAGS),
        "options": text(fields, "options"),
        "device": device(number(fields, "root_dev")),
        "external": text(fields, "ext_key") or None,
        "bind": bool(fields.get("ext_mount")) or bool(text(fields, "ext_key")),
        "deleted": bool(fields.get("deleted")),
        "shared_id": number(fields, "shared_id") or None,
        "master_id": number(fields, "master_id") or None,
    }


MOUNT_PROPAGATION = 0xF0000 | 1 << 16
"""MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE and MS_SHARED, which the two IDs tell better."""


def mounts(images: Images) -> list[dict[str, t.Any]]:
    """The mounts of all mount namespaces as they were dumped, in the order of the images."""
    return [
        mount(entry.fields, int(identifier) if identifier.isdigit() else 0)
        for identifier in images.ids("mountpoints")
        for entry in images.each("mountpoints", identifier)
    ]


def _times(fields: t.Any) -> t.Optional[str]:
    if not isinstance(fields, dict):
        return None
    return f"{number(fields, 'tv_sec')}.{number(fields, 'tv_nsec'):09d}"


def _extents(fields: t.Any) -> list[dict[str, int]]:
    return [
        {"inside": number(extent, "first"), "outside": number(extent, "lower_first"), "count": number(extent, "count")}
        for extent in fields or []
    ]


def _each(images: Images, prefix: str) -> t.Iterator[tuple[int, Fields]]:
    for identifier in images.ids(prefix):
        for entry in images.each(prefix, identifier):
            yield int(identifier) if identifier.isdigit() else 0, entry.fields


def namespaces(images: Images) -> dict[str, t.Any]:
    """What was dumped of each namespace, by kind; a namespace that was left outside has its key as "external"."""
    return {
        "uts": [
            {"id": found, "hostname": text(fields, "nodename"), "domain": text(fields, "domainname")}
            for found, fields in _each(images, "utsns")
        ],
        "time": [
            {"id": found, "monotonic": _times(fields.get("monotonic")), "boottime": _times(fields.get("boottime"))}
            for found, fields in _each(images, "timens")
        ],
        "user": [
            {"id": found, "uid_map": _extents(fields.get("uid_map")), "gid_map": _extents(fields.get("gid_map"))}
            for found, fields in _each(images, "userns")
        ],
        "pid": [{"id": found, "external": text(fields, "ext_key") or None} for found, fields in _each(images, "pidns")],
        "net": [{"id": found, "external": text(fields, "ext_key") or None} for found, fields in _each(images, "netns")],
    }


def network_devices(images: Images) -> list[dict[str, t.Any]]:
    """Network devices; none in Kubernetes, where the pod's network namespace stays outside of the dump."""
    return [
        {
            "namespace_id": found,
            "index": number(fields, "ifindex"),
            "name": text(fields, "name"),
            "type": named(number(fields, "type"), DEVICE_TYPES),
            "mtu": number(fields, "mtu"),
            "up": bool(number(fields, "flags") & 1),
            "address": ":".join(f"{byte:02x}" for byte in fields.get("address", b"")) or None,
            "peer_index": fields.get("peer_ifindex"),
        }
        for found, fields in _each(images, "netdev")
    ]


def _folders(entries: t.Any, parent: str, depth: int) -> t.Iterator[dict[str, t.Any]]:
    for entry in entries or []:
        path = f"{parent}/{text(entry, 'dir_name').strip('/')}"
        yield {
            "path": path,
            "properties": {text(prop, "name"): text(prop, "value") for prop in entry.get("properties", [])},
        }
        if depth < MAX_DEPTH:
            yield from _folders(entry.get("children"), path, depth + 1)


def cgroups(images: Images) -> dict[str, t.Any]:
    """Sets: which groups tasks are in, by the ID that processes name. Controllers: the groups and their settings."""
    fields = images.one("cgroup")
    return {
        "sets": {
            number(found, "id"): [
                {"controller": text(member, "name"), "path": text(member, "path")} for member in found.get("ctls", [])
            ]
            for found in fields.get("sets", [])
        },
        "controllers": [
            {
                "names": list(found.get("cnames", [])),
                "groups": list(_folders(found.get("dirs"), "", 0)),
            }
            for found in fields.get("controllers", [])
        ],
    }


def _profiles(entries: t.Any, parent: str, depth: int) -> t.Iterator[dict[str, t.Any]]:
    for entry in entries or []:
        name = f"{parent}{text(entry, 'name')}"
        yield {"namespace": name, "policies": [text(policy, "name") for policy in entry.get("policies", [])]}
        if depth < MAX_DEPTH:
            yield from _profiles(entry.get("namespaces"), f"{name}//", depth + 1)


def apparmor(images: Images) -> list[dict[str, t.Any]]:
    """AppArmor namespaces that were dumped, with the names of their policies."""
    return list(_profiles(images.one("apparmor").get("namespaces"), "", 0))


def locks(images: Images) -> list[dict[str, t.Any]]:
    """File locks by process and descriptor; "length" is None where the lock reaches to the end of the file."""
    return [
        {
            "kind": named(number(entry.fields, "flag"), LOCK_KINDS),
            "type": named(number(entry.fields, "type") & 3, LOCK_TYPES),
            "pid": number(entry.fields, "pid"),
            "fd": number(entry.fields, "fd"),
            "start": number(entry.fields, "start"),
            "length": number(entry.fields, "len") or None,
        }
        for entry in images.each("filelocks")
    ]


STATISTICS: tuple[str, ...] = (
    "freezing_time",
    "frozen_time",
    "memdump_time",
    "memwrite_time",
    "pages_scanned",
    "pages_skipped_parent",
    "pages_written",
    "pages_lazy",
    "page_pipes",
    "page_pipe_bufs",
    "irmap_resolve",
    "shpages_scanned",
    "shpages_skipped_parent",
    "shpages_written",
)


def statistics(fields: Fields) -> t.Optional[dict[str, t.Optional[int]]]:
    """The statistics of the dump; times in microseconds. None where there are none."""
    dump = fields.get("dump")
    if not isinstance(dump, dict):
        return None
    return {name + ("_us" if name.endswith("_time") else ""): dump.get(name) for name in STATISTICS}


def inventory(images: Images) -> dict[str, t.Any]:
    """What the dump says about itself."""
    fields = images.one("inventory", expected=True)
    version = number(fields, "img_version")
    plugins = fields.get("plugins_entry")
    return {
        "image_version": version or None,
        "lsm": named(number(fields, "lsmtype"), LSM_TYPES) if "lsmtype" in fields else None,
        "pre_dump": images.parent is not None,
        "run_id": text(fields, "dump_criu_run_id") or None,
        "tcp_close": bool(fields.get("tcp_close")),
        "plugins": plugins.get("plugins", []) if isinstance(plugins, dict) else [],
        "compression": number(fields, "compress") or None,
        "dump_uptime": fields.get("dump_uptime"),
    }
