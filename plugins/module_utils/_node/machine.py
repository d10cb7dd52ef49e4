# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel, control groups, operating system and accelerators of this node.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import gzip
import os
import typing as t

from .files import matches, read_text, under

KERNEL_OPTIONS = (
    "CONFIG_NAMESPACES",
    "CONFIG_UTS_NS",
    "CONFIG_IPC_NS",
    "CONFIG_PID_NS",
    "CONFIG_NET_NS",
    "CONFIG_CHECKPOINT_RESTORE",
    "CONFIG_FHANDLE",
    "CONFIG_EVENTFD",
    "CONFIG_EPOLL",
    "CONFIG_INOTIFY_USER",
    "CONFIG_UNIX_DIAG",
    "CONFIG_INET_DIAG",
    "CONFIG_INET_UDP_DIAG",
    "CONFIG_PACKET_DIAG",
    "CONFIG_NETLINK_DIAG",
    "CONFIG_TUN",
    "CONFIG_USERFAULTFD",
    "CONFIG_MEM_SOFT_DIRTY",
)
"""What CRIU asks of a kernel (criu.org, Linux kernel). The last three are for some workloads, lazy restore and
pre-dumps only."""

CONFIG_LIMIT = 4 * 1024 * 1024


def machine_facts(root: str = "/", uname: t.Optional[os.uname_result] = None) -> dict[str, t.Any]:
    """What checkpoint_node_info returns as ``machine``. ``root``: where the node's files are."""
    system = uname or os.uname()
    options, source = kernel_options(system.release, root)
    return {
        "kernel": system.release,
        "kernel_config": source,
        "kernel_options": options,
        "architecture": system.machine,
        "os": operating_system(root),
        "cgroup": cgroup_mode(read_text("/proc/self/mounts", root) or ""),
        "gpu": {
            "nvidia": matches("/dev/nvidia[0-9]*", root),
            "amd": matches("/dev/kfd", root),
        },
    }


def kernel_options(release: str, root: str = "/") -> tuple[dict[str, t.Optional[str]], t.Optional[str]]:
    """The options of KERNEL_OPTIONS as "y", "m" or "n", and the file that says so; all None where no file does."""
    for path in (
        "/proc/config.gz",
        f"/boot/config-{release}",
        f"/usr/lib/modules/{release}/config",
        f"/lib/modules/{release}/config",
    ):
        text = _kernel_config(under(root, path))
        if text is not None:
            lines = (line.partition("=") for line in text.splitlines() if line.startswith("CONFIG_"))
            found = {name: value for name, _equals, value in lines}
            # What depends on an option that is off is not listed at all.
            return {name: found.get(name, "n") for name in KERNEL_OPTIONS}, path
    return dict.fromkeys(KERNEL_OPTIONS), None


def _kernel_config(path: str) -> t.Optional[str]:
    try:
        with open(path, "rb") as plain, gzip.open(plain) if path.endswith(".gz") else plain as file:
            return file.read(CONFIG_LIMIT).decode(errors="replace")
    except (OSError, EOFError):
        return None


def cgroup_mode(mounts: str) -> t.Optional[str]:
    """V2, hybrid or v1, from /proc/mounts: "v2", "hybrid", "v1"; None without any."""
    kinds: dict[str, set[str]] = {"cgroup": set(), "cgroup2": set()}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] in kinds:
            kinds[fields[2]].add(fields[1])
    if kinds["cgroup"]:
        return "hybrid" if kinds["cgroup2"] else "v1"
    return "v2" if kinds["cgroup2"] else None


def operating_system(root: str = "/") -> dict[str, t.Optional[str]]:
    """``id``, ``version`` and ``name`` of os-release(5)."""
    text = read_text("/etc/os-release", root) or read_text("/usr/lib/os-release", root) or ""
    pairs = (line.partition("=") for line in text.splitlines())
    found = {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}
    return {"id": found.get("ID"), "version": found.get("VERSION_ID"), "name": found.get("PRETTY_NAME")}
