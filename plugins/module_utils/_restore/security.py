# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the dumped processes hold, compared with what the new pod grants.

CRIU restores what was dumped, whatever the pod says: ids, capabilities, no_new_privs, seccomp, mounts. So each of them
is compared before the restore. What is more than the pod grants is an excess with a name; some can be taken away
(clamp.py), the others refuse the restore unless the ticket accepts them by name.

This is no sandbox: what open descriptors and memory can do is not looked at. Trust comes from the ticket.

Sources: criu images/core.proto, creds.proto, mnt.proto; criu/cr-restore.c, criu/mount.c, 4.2.1; OCI runtime-spec 1.2;
capabilities(7), "Transformation of capabilities during execve()".

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import typing as t

from .._common.errors import CheckpointError
from .._criu.images import Images
from .._criu.names import FILE_SYSTEMS, named
from .._criu.tasks import Credentials, SeccompFilters, Thread, thread
from .._criu.wire import Fields, number, text
from .bundle import Bundle

MS_RDONLY = 1
SET_ID = "set_id:"

FOREIGN_IMAGES = (
    "autofs",
    "binfmt-misc",
    "bpfmap-data",
    "bpfmap-file",
    "ifaddr",
    "ip6tables",
    "iptables",
    "netdev",
    "netns-ct",
    "netns-exp",
    "nftables",
    "route",
    "route6",
    "rule",
    "tunfile",
    "userns",
)
"""Images that no dump of a Kubernetes container has, and whose restore would reach beyond the container."""

DEAD = (2, 6)
"""task_state of zombies: they have no threads that could do anything."""

ALWAYS = ("/etc/group", "/etc/hostname", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf", "/run/.containerenv")
"""Files that runtimes mount by themselves, one this and the other that; see repairs.py. The accounts are CRI-O's, for a
user that the image does not know."""


class Excess(t.NamedTuple):
    """``name`` is what a ticket may accept; ``clamp`` says whether it can be taken away."""

    name: str
    text: str
    clamp: bool = False


class Granted:
    """What the pod grants a process of the container."""

    def __init__(self, bundle: Bundle) -> None:
        user = bundle.process.get("user") or {}
        sets = bundle.process.get("capabilities") or {}
        self.uid = int(user.get("uid", 0))
        self.gid = int(user.get("gid", 0))
        self.groups = {self.gid, *user.get("additionalGids", ())}
        self.bounding = frozenset(sets.get("bounding") or ())
        self.no_new_privs = bool(bundle.process.get("noNewPrivileges"))
        self.seccomp = bool(bundle.linux.get("seccomp"))
        effective = frozenset(sets.get("effective") or ())
        # A root process may become anybody with these two; others would need a set-user-ID program.
        self.any_uid = self.uid == 0 and "CAP_SETUID" in effective
        self.any_gid = self.uid == 0 and "CAP_SETGID" in effective
        # Without a way to gain rights, execve() leaves a process of another user nothing but its ambient set.
        limited = self.uid != 0 and self.no_new_privs
        self.permitted = frozenset(sets.get("ambient") or ()) if limited else self.bounding


def threads(images: Images) -> t.Iterator[Thread]:
    """Every thread that will run. Raises CheckpointError images_damaged where one cannot be judged."""
    filters = SeccompFilters(images)
    seen = False
    for entry in images.each("pstree", expected=True):
        pid = number(entry.fields, "pid")
        core = images.one("core", pid)
        if number(core.get("tc", {}), "task_state") in DEAD:
            continue
        leader = thread(pid, core, filters, {})
        for tid in entry.fields.get("threads") or [pid]:
            found = leader if tid == pid else thread(tid, images.one("core", tid), filters, {}, leader)
            if found.credentials is None:
                raise CheckpointError(
                    "images_damaged", f"The image core-{tid}.img is missing or damaged: it has no credentials"
                )
            seen = True
            yield found
    if not seen:
        raise CheckpointError("images_damaged", "The images hold no process")


def _ids(who: str, held: Credentials, granted: Granted) -> t.Iterator[Excess]:
    for name in ("uid", "euid", "suid", "fsuid"):
        value = getattr(held, name)
        if value != granted.uid and not granted.any_uid:
            yield Excess(f"uid:{value}", f"{who} runs as user {value}, the pod as {granted.uid}")
    groups = {held.gid, held.egid, held.sgid, held.fsgid, *held.groups}
    if not granted.any_gid:
        for value in sorted(groups - granted.groups):
            yield Excess(f"gid:{value}", f"{who} is in group {value}, the pod is not")


def _rights(who: str, found: Thread, held: Credentials, granted: Granted) -> t.Iterator[Excess]:
    for kind, names in sorted(held.capabilities.items()):
        allowed = granted.permitted if kind in ("effective", "permitted", "ambient") else granted.bounding
        for name in sorted(set(names) - allowed):
            yield Excess(f"capability:{name}", f"{who} has {name}, which the pod does not grant", True)
    if granted.no_new_privs and not held.no_new_privs:
        yield Excess("no_new_privs", f"{who} may gain privileges, which the pod forbids", True)
    if granted.seccomp and (found.seccomp is None or found.seccomp.mode not in ("filter", "strict")):
        yield Excess("seccomp", f"{who} has no seccomp filter, the pod asks for one")
    if (found.scheduler not in ("other", "batch", "idle") or found.nice < 0) and "CAP_SYS_NICE" not in granted.bounding:
        yield Excess("scheduling", f"{who} has a priority that the pod could not give itself")


def _process_excesses(images: Images, granted: Granted) -> t.Iterator[Excess]:
    for found in threads(images):
        held = found.credentials
        if held is not None:
            who = f"{found.name} ({found.tid})"
            yield from _ids(who, held, granted)
            yield from _rights(who, found, held, granted)


def dumped_mounts(images: Images) -> t.Iterator[Fields]:
    for identifier in images.ids("mountpoints"):
        for entry in images.each("mountpoints", identifier):
            yield entry.fields


def point_of(written: str) -> str:
    """A mount point as the images have it ("./etc/hosts" or "/etc/hosts") as a path in the container."""
    return "/" + written.removeprefix(".").lstrip("/")


def mount_point(fields: Fields) -> str:
    """Where a dumped mount is in the container."""
    return point_of(text(fields, "mountpoint"))


def must_be_read_only(bundle: Bundle) -> t.Callable[[str, str], bool]:
    """A function that tells of a mount point and the type of what was there whether the pod wants it read-only."""
    wanted = {mount.path: mount for mount in bundle.mounts if mount.read_only}
    paths = {*bundle.paths("readonlyPaths")}

    def tell(point: str, kind: str) -> bool:
        if point == "/":
            return bundle.read_only_root
        mount = wanted.get(point)
        if mount is None and point.startswith("/sys/fs/cgroup/"):
            mount = wanted.get("/sys/fs/cgroup")
        # On cgroup v1 the folder that holds the hierarchies is a tmpfs, which runtimes leave writable.
        if mount is not None and not (mount.type == "cgroup" and kind == "tmpfs"):
            return True
        return point in paths

    return tell


def mask_patterns(images: Images, bundle: Bundle) -> dict[bool, int]:
    """The mnt_id of a dumped mask that another can be made after: of a folder's (True) and of a file's (False).

    A mask is /dev/null over a file, or an empty read-only tmpfs over a folder: runc 1.1.15 to 1.4.0
    libcontainer/rootfs_linux.go (maskPath), crun 1.21 src/libcrun/linux.c (do_masked_or_readonly_path).
    """
    masked = {*(bundle.linux.get("maskedPaths") or ())}
    found: dict[bool, int] = {}
    for fields in dumped_mounts(images):
        external = bool(text(fields, "ext_key"))
        kind = named(number(fields, "fstype"), FILE_SYSTEMS)
        if mount_point(fields) in masked and external and text(fields, "root").endswith("/null"):
            found[False] = number(fields, "mnt_id")
        elif mount_point(fields) in masked and not external and kind == "tmpfs":
            found[True] = number(fields, "mnt_id")
    return found


def _mount_excesses(images: Images, bundle: Bundle) -> t.Iterator[Excess]:
    mounts = {mount.path: mount for mount in bundle.mounts}
    covered = {*(bundle.linux.get("maskedPaths") or ()), *(bundle.linux.get("readonlyPaths") or ())}
    read_only = must_be_read_only(bundle)
    there: set[str] = set()
    for fields in dumped_mounts(images):
        point = mount_point(fields)
        kind = text(fields, "fsname") or named(number(fields, "fstype"), FILE_SYSTEMS)
        external = bool(text(fields, "ext_key"))
        writable = not number(fields, "flags") & MS_RDONLY
        there.add(point)
        if read_only(point, kind) and writable:
            yield Excess(f"writable:{point}", f"{point} is writable, and read-only in the pod", True)
        if point == "/" or point in ALWAYS or point.startswith("/sys/fs/cgroup/"):
            continue
        mount = mounts.get(point)
        if mount is not None:
            # A pod's cgroup is one of the second version where the node has that.
            alike = (mount.type, "tmpfs", "cgroup2") if mount.type == "cgroup" else (mount.type, "tmpfs")
            same = external if mount.type in ("bind", "") else kind in alike
            if not same and not external:
                yield Excess(f"mount:{point}", f"{point} is a mount of {kind}, and of {mount.type} in the pod")
        elif not (point in covered and (external or kind in ("tmpfs", "proc", "sysfs"))):
            yield Excess(f"mount:{point}", f"{point} is a mount of {kind} that the pod does not have")
    patterns = mask_patterns(images, bundle)
    for path in bundle.paths("maskedPaths"):
        if path not in there:
            can_be_added = os.path.isdir(path) in patterns
            yield Excess(f"masked:{path}", f"{path} can be read, which the pod masks", can_be_added)
    for path in bundle.paths("readonlyPaths"):
        if path not in there:
            yield Excess(f"writable:{path}", f"{path} is writable, and read-only in the pod")


def _foreign(images: Images) -> t.Iterator[Excess]:
    for prefix in FOREIGN_IMAGES:
        if images.ids(prefix):
            yield Excess(f"image:{prefix}", f"The images hold {prefix}, which is none of a container's")
    for identifier in images.ids("netns"):
        if not text(images.one("netns", identifier), "ext_key"):
            yield Excess("network", "The processes bring a network namespace of their own")


def set_id_excesses(paths: t.Iterable[str], bundle: Bundle) -> list[Excess]:
    """Files that come along and run with more rights than whoever starts them: a way up for all users but root."""
    if Granted(bundle).uid == 0:
        return []
    text_ = "runs with more rights than whoever starts it, and the pod does not run as root"
    return [Excess(f"{SET_ID}{path}", f"{path} {text_}", True) for path in paths]


def excesses(images: Images, bundle: Bundle) -> list[Excess]:
    """All that the images hold more than the pod grants, each name once."""
    granted = Granted(bundle)
    found: dict[str, Excess] = {}
    for part in (_process_excesses(images, granted), _mount_excesses(images, bundle), _foreign(images)):
        for excess in part:
            found.setdefault(excess.name, excess)
    return list(found.values())


def judge(found: t.Sequence[Excess], security: str, accept: t.Collection[str]) -> list[Excess]:
    """The excesses that have to be taken away. Raises CheckpointError excess where one cannot or must not be."""
    left = [excess for excess in found if excess.name not in accept]
    refused = [excess for excess in left if security != "clamp" or not excess.clamp]
    if refused:
        names = "; ".join(f"{excess.text} [{excess.name}]" for excess in refused)
        hint = "Give the pod what the process had"
        if any(excess.clamp for excess in refused):
            hint += ", or leave a ticket with security clamp, which takes away what can be taken away"
        raise CheckpointError(
            "excess",
            f"The process holds more than its new pod grants: {names}",
            hint=hint,
            excesses=[excess.name for excess in refused],
        )
    return left
