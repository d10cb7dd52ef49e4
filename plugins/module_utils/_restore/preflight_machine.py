# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive against this node: architecture, kernel, CRIU, control groups, OCI runtime, accelerators, disk, memory.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .. import _capabilities as table
from .._criu.names import FILE_SYSTEMS, named
from .._criu.wire import number, text
from .preflight_base import Node, Subject, Verdict, Wanted, failed, mapping, passed, skipped, some, warning
from .security import dumped_mounts, mount_point
from .unpack import MARGIN

MACHINES = {
    "amd64": "x86_64",
    "i386": "x86_64",
    "i686": "x86_64",
    "arm64": "aarch64",
    "armv7l": "arm",
    "armv6l": "arm",
    "ppc64le": "ppc64",
    "s390x": "s390",
    "mips64": "mips",
}
"""What uname(2) or a log calls a machine, where CRIU's images call it otherwise (images/core.proto, march)."""

CRIU_WITH_WIDE_COUNTS: table.Version = (4, 2, 0)
"""Since then the number of pages stands in another field, which older ones do not know: they would restore processes
without memory (criu criu/page-xfer.c, commit afb2e6c)."""

COMPRESSED = 3
"""img_version of images with compressed pages, of CRIU's development branch (pull request 2895)."""

CRIU_WITHOUT_COMPRESSION: table.Version = (4, 2, 99)
ENGINES = {"CRI-O": "cri-o", "containerd": "containerd"}
GPU_FILES = {"nvidia": ("/dev/nvidia",), "amd": ("/dev/kfd", "/dev/dri/")}
MAX_NAMES = 1000


def architecture(subject: Subject, node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    """By the processes' registers: what a log says is only a text."""
    machine = subject.checkpoint.machine
    own = str(node.machine.get("architecture") or "")
    if machine == "unknown":
        yield failed("architecture", "The images do not tell for which machine the processes are", "Checkpoint again")
    elif machine != MACHINES.get(own, own):
        yield failed(
            "architecture", f"The processes are for {machine}, this node is {own}", f"Choose a node with {machine}"
        )
    else:
        yield passed("architecture", f"The processes and this node are {machine}")


def kernel(subject: Subject, node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    before, here = subject.identity.kernel, node.machine.get("kernel")
    old, own = table.parse_version(before), table.parse_version(here)
    if old is None or own is None:
        yield skipped("kernel", "The archive does not tell the kernel of the dump")
    elif own[:2] < old[:2]:
        yield warning(
            "kernel",
            f"The dump was made with Linux {before}, this node has {here}: what the processes use may be missing here",
            f"Choose a node with Linux {old[0]}.{old[1]} or later",
        )
    else:
        yield passed("kernel", f"Linux {here} is not older than the dump's {before}")


def _wide_counts(subject: Subject) -> bool:
    for prefix in ("pagemap", "pagemap-shmem"):
        for identifier in subject.images.ids(prefix):
            for index, entry in enumerate(subject.images.each(prefix, identifier)):
                if index:
                    return "nr_pages" in entry.fields
    return False


def criu_version(subject: Subject, node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    before, here = subject.identity.criu_version, node.criu.get("version")
    old, own = table.parse_version(before), table.parse_version(here)
    if own is None:
        yield skipped("criu_version", "The version of this node's CRIU is not known")
        return
    wide = _wide_counts(subject)
    shown = f"CRIU {before}" if before else "CRIU 4.2 or later" if wide else "an unknown CRIU"
    if wide and own < CRIU_WITH_WIDE_COUNTS:
        yield failed(
            "criu_version",
            f"The dump was made by {shown}, this node has CRIU {here}, which cannot read its page tables",
            "Install CRIU 4.2 or later on this node",
        )
    elif number(subject.checkpoint.inventory_fields, "img_version") >= COMPRESSED and own < CRIU_WITHOUT_COMPRESSION:
        yield failed(
            "criu_version",
            f"The images are of version {COMPRESSED}, with compressed pages, which CRIU {here} cannot read",
            "Install the CRIU of the dump on this node",
        )
    elif old is not None and own[:2] < old[:2]:
        yield warning(
            "criu_version",
            f"The dump was made by {shown}, this node has CRIU {here}: older versions need not understand newer images",
            f"Install CRIU {old[0]}.{old[1]} or later on this node",
        )
    else:
        yield passed("criu_version", f"CRIU {here} reads what {shown} wrote")


def dumped_cgroup(subject: Subject) -> t.Optional[str]:
    """ "v1" or "v2", by the mounts of the dump, else by the controllers that it noted; None where neither tells."""
    kinds = {
        text(fields, "fsname") or named(number(fields, "fstype"), FILE_SYSTEMS)
        for fields in dumped_mounts(subject.images)
        if mount_point(fields).startswith("/sys/fs/cgroup")
    }
    if "cgroup" in kinds or "cgroup2" in kinds:
        return "v1" if "cgroup" in kinds else "v2"
    names = {name for found in subject.checkpoint.cgroups["controllers"] for name in found["names"]}
    if any(name and not name.startswith("name=") for name in names):
        return "v1"
    return "v2" if "" in names else None


def cgroup(subject: Subject, node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    """runc hands CRIU the mounts of hierarchies only on nodes that have them (libcontainer/criu_linux.go, v1.3.6)."""
    before, here = dumped_cgroup(subject), node.machine.get("cgroup")
    if before is None or here is None:
        yield skipped("cgroup", "It is not known which version of control groups the dump or this node has")
    elif before == "v1" and here == "v2":
        yield failed(
            "cgroup",
            "The container had hierarchies of control groups v1 mounted, this node has v2: CRIU finds no such mounts",
            "Choose a node with control groups v1",
        )
    elif before == "v2" and here != "v2":
        yield warning(
            "cgroup",
            f"The container had control groups v2, this node has {here}: what the process reads there may differ",
            "Choose a node with control groups v2",
        )
    else:
        yield passed("cgroup", f"The dump and this node have control groups {here}")


def dumped_runtime(subject: Subject) -> t.Optional[str]:
    """ "runc" or "crun": runc gives all masked files one key, crun each its path; None where nothing was masked."""
    for fields in dumped_mounts(subject.images):
        point, key = mount_point(fields), text(fields, "ext_key")
        if point.startswith("/proc/") and key:
            return "runc" if key == "/dev/null" else "crun" if key == point else None
    return None


def oci_runtime(subject: Subject, node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    handler = node.handler(wanted)
    if handler is None:
        yield skipped("oci_runtime", "This node has no such handler")
        return
    before, here = dumped_runtime(subject), handler.get("kind")
    if here not in table.CHECKPOINT_HANDLERS:
        yield failed(
            "oci_runtime",
            f"Behind the handler {handler['name']} is neither runc nor crun",
            "Use a handler with runc, or crun built with CRIU",
        )
    elif handler.get("criu") is False:
        yield failed(
            "oci_runtime", f"The crun behind the handler {handler['name']} has no CRIU", "Install CRIU's library"
        )
    elif wanted.method == "image" and before is not None and before != here:
        yield failed(
            "oci_runtime",
            f"The dump was made by {before}, this node's default handler is {here}: they name masked paths otherwise",
            "Use the restore runtime, which translates them, or a node with " + before,
        )
    else:
        yield passed("oci_runtime", f"{here} restores what {before or 'the runtime of the dump'} wrote")


def engine(subject: Subject, node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    """Neither container runtime restores an image with the other's archive; the restore runtime takes both."""
    before, here = subject.identity.engine, node.runtime.get("name")
    hint = "Use the restore runtime (method runtime)"
    if wanted.method == "runtime":
        if before in ENGINES:
            yield passed("engine", f"The restore runtime takes archives of {before}")
        else:
            yield warning("engine", f"The archive is one of {before}, which was not tried with the restore runtime")
    elif ENGINES.get(before or "") != here:
        yield failed("engine", f"The archive is one of {before}, this node runs {here}, which restores its own", hint)
    elif here == "containerd" and subject.archive.tree.file("status.dump") is None:
        yield failed("engine", "The archive has no status.dump, without which containerd restores no image", hint)
    else:
        yield passed("engine", f"The archive and this node are of {before}")


def gpu(subject: Subject, node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    """Source: criu criu/image.c (check_inventory_plugins), 4.2.1."""
    plugins = [str(name) for name in subject.checkpoint.inventory["plugins"]][:MAX_NAMES]
    lacking = sorted({name for name in plugins if f"{name}.so" not in (node.criu.get("plugins") or [])})
    paths = {path for path in (subject.checkpoint.files.path(found) for found in _regular(subject)) if path}
    used = {kind for kind, starts in GPU_FILES.items() if any(path.startswith(starts) for path in paths)}
    used |= {kind for kind, name in (("nvidia", "cuda"), ("amd", "amdgpu")) if any(name in found for found in plugins)}
    there = mapping(node.machine.get("gpu"))
    absent = sorted(kind for kind in used if not there.get(kind))
    if lacking:
        hint = "Install the plugins of CRIU that made the dump"
        yield failed("gpu", f"The dump needs CRIU's plugins {some(lacking)}, which this node does not have", hint)
    elif absent:
        hint = "Choose a node with the accelerators of the dump"
        yield failed("gpu", f"The processes use accelerators ({some(absent)}), and this node has none of them", hint)
    elif used and not plugins:
        hint = "Without its plugin CRIU does not restore what an accelerator holds"
        yield failed("gpu", f"The processes have device files of accelerators open ({some(sorted(used))})", hint)
    elif used:
        yield warning(
            "gpu", "The processes use accelerators; whether theirs and this node's are alike was not looked at"
        )
    else:
        yield passed("gpu", "The processes use no accelerator")


def _regular(subject: Subject) -> t.Iterator[int]:
    return (identifier for kind, identifier, _fields in subject.checkpoint.files.items() if kind == 1)


def disk(subjects: t.Sequence[Subject], node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    """Room for all archives at once, as the containers of a pod are restored side by side; counted as unpack() does."""
    room = node.room if wanted.method == "runtime" else mapping(node.facts.get("disks")).get("storage")
    free = mapping(room).get("free")
    total = sum(member.size for subject in subjects for member in subject.members.values()) + MARGIN
    if free is None:
        yield skipped("disk", "It is not known how much space is free")
        return
    where = mapping(room)["path"]
    if total > free:
        yield failed(
            "disk",
            f"Unpacking takes {total} bytes, {MARGIN >> 20} MiB to stay free included; {where} has {free} free",
            f"Make room on the file system of {where}, or choose another node",
        )
    else:
        yield passed("disk", f"Unpacking takes {total} bytes, {where} has {free} free")


def memory(subjects: t.Sequence[Subject], node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    total = sum(subject.page_bytes for subject in subjects)
    if node.memory is None:
        yield skipped("memory", "It is not known how much memory is available")
    elif total > node.memory:
        yield warning(
            "memory",
            f"The processes take {total} bytes of memory, this node has {node.memory} available",
            "Choose a node with more memory",
        )
    else:
        yield passed("memory", f"The processes take {total} bytes of memory, this node has {node.memory} available")
