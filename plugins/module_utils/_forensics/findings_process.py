# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about processes: their programs, memory, files, rights and credentials.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import posixpath
import typing as t

from .._criu.files import Descriptor
from .._criu.memory import Area
from .._criu.process import Process
from .._criu.tasks import Credentials
from . import redaction
from .findings import Piece, Scene, dictionary, items
from .findings_outside import peer

DELETED = " (deleted)"

MEMFD = "/memfd:"

_BASE = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID")

_MORE = (*_BASE, "AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT")

DEFAULT_CAPABILITIES: dict[str, frozenset[str]] = {
    "CRI-O": frozenset(f"CAP_{name}" for name in _BASE),
    "containerd": frozenset(f"CAP_{name}" for name in _MORE),
    "Podman": frozenset(f"CAP_{name}" for name in (*_BASE, "SETFCAP", "SYS_CHROOT")),
}
"""What a container gets if it does not ask (seen on the lab: CRI-O 1.36.3, containerd 2.1.9, Podman 5.4.2)."""

OTHER_CAPABILITIES = DEFAULT_CAPABILITIES["containerd"]
"""For archives whose engine is not known: the largest of these sets, which is that of Docker, too."""

MIGHTY_CAPABILITIES = frozenset(
    f"CAP_{name}"
    for name in (
        "BPF",
        "DAC_READ_SEARCH",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "NET_ADMIN",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYSLOG",
    )
)
"""Those with which a container can get at the node (capabilities(7))."""

KERNEL_AREAS = frozenset(("vdso", "vsyscall", "uprobes", "guard"))
"""Executable memory that the kernel puts there by itself."""

PROGRAM_FOLDERS = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/")

LIBRARY_FOLDERS = ("/lib/", "/lib32/", "/lib64/", "/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/local/lib/")

PRELOAD_VARIABLES = ("LD_PRELOAD", "LD_AUDIT")

PRELOAD_FILE = "/etc/ld.so.preload"

STANDARD_STREAMS = (0, 1, 2)


def _name(path: t.Optional[str]) -> str:
    """A path without the remark that it is gone."""
    return (path or "").removesuffix(DELETED)


def _area(process: Process, area: Area) -> tuple[str, Process, str, t.Optional[str]]:
    """Everything of a piece but its severity."""
    detail = f"{area.permissions} {area.kind}, {area.size} bytes"
    return detail, process, f"{area.start:#x}-{area.end:#x}", area.name or None


def executable_deleted(scene: Scene) -> t.Iterator[Piece]:
    for process in scene.processes:
        path = process.executable or ""
        if path.endswith(DELETED) and not path.startswith(MEMFD):
            yield Piece("high", "The program's file was deleted while it runs", process, path=_name(path))


def executable_memfd(scene: Scene) -> t.Iterator[Piece]:
    for process in scene.processes:
        path = process.executable or ""
        if path.startswith(MEMFD):
            yield Piece("high", "The program runs from memory and never was a file", process, path=_name(path))


def executable_not_in_image(scene: Scene) -> t.Iterator[Piece]:
    for process in scene.processes:
        path = _name(process.executable)
        if not path or path.startswith(MEMFD):
            continue
        mount = scene.mount_of(path)
        if path in scene.written:
            yield Piece("high", "The program was added or changed after the image was made", process, path=path)
        elif mount is not None and mount["mountpoint"] != "/":
            where = f"{mount['mountpoint']} ({mount['filesystem']})"
            severity = "high" if mount["filesystem"] == "tmpfs" else "medium"
            yield Piece(severity, f"The program lies on the mount {where}", process, path=path)


def memory_writable_executable(scene: Scene) -> t.Iterator[Piece]:
    for process in scene.processes:
        for area in process.memory.select(permissions="wx"):
            yield Piece("medium", *_area(process, area))


def memory_anonymous_executable(scene: Scene) -> t.Iterator[Piece]:
    for process in scene.processes:
        for area in process.memory.select(permissions="x"):
            backed = area.kind == "file" and not _name(area.name).startswith(MEMFD)
            if backed or area.kind in KERNEL_AREAS or "w" in area.permissions:
                continue
            severity = "medium" if area.kind == "anonymous" else "high"
            yield Piece(severity, *_area(process, area))


def deleted_files(scene: Scene) -> t.Iterator[Piece]:
    seen: set[int] = set()
    for process in scene.processes:
        for found in process.descriptors:
            if found.type == "file" and found.details.get("deleted") and found.file_id not in seen:
                seen.add(found.file_id)
                size = found.details.get("size")
                kept = (
                    f"{size} bytes, kept in the checkpoint" if found.details.get("remap") == "ghost" else "still linked"
                )
                yield Piece("low", f"Open as descriptor {found.number}, {kept}", process, path=_name(found.path))
        mapped = process.memory.select(kinds=("file",), name=lambda name: name.endswith(DELETED))
        program = process.executable
        for name in sorted({area.name for area in mapped if area.name != program}):
            if not name.startswith((MEMFD, "/dev/zero", "/SYSV")):
                yield Piece("medium", "Mapped into memory", process, path=_name(name))


def _credentials(process: Process) -> t.Iterator[tuple[Credentials, str]]:
    """Those of the process, and of the threads that have others; each with a remark which thread it is."""
    first: t.Optional[Credentials] = None
    for thread in process.threads:
        if thread.credentials is not None and thread.credentials != first:
            yield thread.credentials, "" if thread.tid == process.pid else f" (thread {thread.tid})"
        first = first or thread.credentials


def capabilities(scene: Scene) -> t.Iterator[Piece]:
    usual = DEFAULT_CAPABILITIES.get(scene.identity.engine or "", OTHER_CAPABILITIES)
    asked = scene.specified_process.get("capabilities")
    granted = [name for names in dictionary(asked).values() for name in items(names)]
    for process in scene.processes:
        for own, where in _credentials(process):
            held = {name for kind in ("effective", "permitted", "ambient") for name in own.capabilities[kind]}
            beyond = sorted(held - usual)
            if not beyond:
                continue
            stolen = isinstance(asked, dict) and not all(name in granted for name in beyond)
            mighty = not MIGHTY_CAPABILITIES.isdisjoint(beyond)
            remark = ", not all of them in the specification" if stolen else ""
            yield Piece("high" if stolen or mighty else "medium", ", ".join(beyond) + remark + where, process)


def user_changed(scene: Scene) -> t.Iterator[Piece]:
    user = scene.specified_process.get("user")
    asked = dictionary(user).get("uid") or 0
    if not isinstance(user, dict) or not isinstance(asked, int):
        return
    for process in scene.processes:
        for own, where in _credentials(process):
            if {own.uid, own.euid, own.suid, own.fsuid} == {asked}:
                continue
            ids = f"real {own.uid}, effective {own.euid}, saved {own.suid}; the specification has {asked}"
            risen = asked != 0 and 0 in (own.uid, own.euid, own.suid, own.fsuid)
            severity = "high" if risen else "info" if asked == 0 else "medium"
            yield Piece(severity, f"User IDs: {ids}{where}", process)


def reverse_shell(scene: Scene) -> t.Iterator[Piece]:
    roots = {root.pid: root for root in scene.checkpoint.roots}
    for process in scene.processes:
        streams = [found for found in process.descriptors if found.number in STANDARD_STREAMS]
        connected = [found for found in streams if found.type == "inet_socket" and found.details["remote_port"]]
        parent = roots.get(process.ppid)
        if connected:
            numbers = ", ".join(str(found.number) for found in connected)
            detail = f"Standard streams {numbers} are a network connection"
            yield Piece("high", detail, process, peer(connected[0]), _name(process.executable))
        elif parent is not None and process.session != parent.session:
            yield from _orphan(process, parent, streams)


def _orphan(process: Process, parent: Process, streams: list[Descriptor]) -> t.Iterator[Piece]:
    """A process in a session of its own below PID 1, which a terminal or a socket still talks to."""
    inherited = {(found.type, found.file_id) for found in parent.descriptors}
    for kind, severity in (("tty", "high"), ("unix_socket", "medium")):
        own = [found for found in streams if found.type == kind and (kind, found.file_id) not in inherited]
        if own:
            numbers = ", ".join(str(found.number) for found in own)
            detail = f"A session of its own below PID {parent.pid}; standard streams {numbers} are a {kind}"
            yield Piece(severity, detail, process, path=own[0].path)
            return


def preload(scene: Scene) -> t.Iterator[Piece]:
    specified = scene.specified_process.get("env")
    for process in scene.processes:
        for entry in process.environment or []:
            name, _equals, value = entry.partition("=")
            if name in PRELOAD_VARIABLES and value:
                added = isinstance(specified, list) and entry not in specified
                remark = " (not in the specification)" if added else ""
                yield Piece("high" if added else "medium", f"{name}{remark}", process, path=value)
    if PRELOAD_FILE in scene.written:
        yield Piece("high", "Every program of the container loads what this file names", path=PRELOAD_FILE)


def executable_added(scene: Scene) -> t.Iterator[Piece]:
    for member in scene.rootfs.members:
        path = "/" + member.name
        if member.kind not in ("file", "hardlink", "symlink"):
            continue
        runs = member.kind == "file" and bool(member.mode & 0o111)
        library = path.startswith(LIBRARY_FOLDERS) and ".so" in posixpath.basename(path)
        if not (runs or library or path.startswith(PROGRAM_FOLDERS)):
            continue
        special = member.kind == "file" and bool(member.mode & 0o6000) and runs
        remark = ", runs with the rights of its owner or group" if special else ""
        detail = f"{member.kind}, mode {member.mode & 0o7777:04o}, owner {member.uid}{remark}"
        yield Piece("high" if special else "medium", detail, path=path)


def _by_secret(scene: Scene, secrets_of: t.Callable[[Process], list[str]]) -> t.Iterator[Piece]:
    """One piece for each secret; processes that have inherited it stand beside the first."""
    holders: dict[str, list[Process]] = {}
    for process in scene.processes:
        for name in dict.fromkeys(secrets_of(process)):
            holders.setdefault(name, []).append(process)
    for name, found in holders.items():
        others = ", ".join(str(process.pid) for process in found[1:])
        yield Piece("low", f"{name} (also in {others})" if others else name, found[0])


def credentials_environment(scene: Scene) -> t.Iterator[Piece]:
    return _by_secret(scene, lambda process: redaction.secret_variables(process.environment))


def credentials_arguments(scene: Scene) -> t.Iterator[Piece]:
    for piece in _by_secret(scene, lambda process: redaction.secret_arguments(process.arguments)):
        yield Piece("medium", piece.detail, piece.process)


def seccomp_off(scene: Scene) -> t.Iterator[Piece]:
    asked = bool(scene.specified_linux.get("seccomp"))
    for process in scene.processes:
        free = [thread.tid for thread in process.threads if thread.seccomp and thread.seccomp.mode == "disabled"]
        if free:
            remark = "although the specification has a filter" if asked else "and the specification asks for none"
            where = "" if process.pid in free else f" (threads {', '.join(str(tid) for tid in free)})"
            yield Piece("high" if asked else "low", f"No seccomp filter, {remark}{where}", process)


def lsm_off(scene: Scene) -> t.Iterator[Piece]:
    asked = scene.specified_process.get("apparmorProfile") or scene.specified_process.get("selinuxLabel")
    asked = "" if asked == "unconfined" else asked
    node = scene.checkpoint.inventory.get("lsm")
    for process in scene.processes:
        own = process.leader.credentials
        if own is None or (own.lsm_profile and "unconfined" not in own.lsm_profile):
            continue
        if asked:
            yield Piece("high", f"No profile, although the specification has {asked}", process)
        elif node not in (None, "none"):
            yield Piece("medium", f"Not confined, although the node has {node}", process)
    if node == "none" and not asked:
        yield Piece("info", "The node has neither AppArmor nor SELinux that CRIU knows of")
