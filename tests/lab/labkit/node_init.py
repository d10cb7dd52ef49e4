# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as process 1 of a node's new namespaces: builds the node's root, enters it and becomes systemd.

Takes the path of a JSON file: name, lower (list of overlay layers), upper, work, merged, init_pid, cgroups (files to
join), binds (list of [source, target, read-only]), v2 (bool). Everything it mounts is in the node's own mount namespace
and ends with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import stat
import subprocess
import sys
import typing as t
import uuid

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 1, 32, 4096, 16384, 1 << 20, 2
CLONE_NEWCGROUP = 0x02000000
LIBC = ctypes.CDLL(None, use_errno=True)

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "kmsg": (1, 11)}
DEVICES |= {"tty": (5, 0), "fuse": (10, 229), "net/tun": (10, 200)}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "ptmx": "pts/ptmx",
    "console": "null",
}

SYSTEMD = "/lib/systemd/systemd"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container": "lab"}
# systemd 257 wants to be told twice that the hybrid layout is meant.
ENVIRONMENT_V1 = {
    "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1",
    "SYSTEMD_PROC_CMDLINE": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0"
    " SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
}


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: t.Union[str, pathlib.Path], kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = [text.encode() or None for text in (source, str(target), kind)]
    check(LIBC.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {source} on {target}")


def bind(source: str, target: t.Union[str, pathlib.Path], read_only: bool = False) -> None:
    mount(source, target, flags=MS_BIND)
    if read_only:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def make_devices(dev: pathlib.Path) -> None:
    mount("tmpfs", dev, "tmpfs", data="mode=755")
    for name in ("pts", "shm", "mqueue", "net"):
        (dev / name).mkdir()
    for name, (major, minor) in DEVICES.items():
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(dev / name, 0o666)
    for name, target in LINKS.items():
        (dev / name).symlink_to(target)
    mount("devpts", dev / "pts", "devpts", data="newinstance,ptmxmode=0666,mode=620,gid=5")
    mount("tmpfs", dev / "shm", "tmpfs", data="mode=1777")
    mount("mqueue", dev / "mqueue", "mqueue")


def mount_cgroups(root: pathlib.Path) -> None:
    """Each v1 hierarchy that is in use, and the unified tree beside them, seen from the node's cgroup namespace."""
    top = root / "sys/fs/cgroup"
    mount("tmpfs", top, "tmpfs", data="mode=755")
    lines = [
        line.split() for line in pathlib.Path("/proc/cgroups").read_text().splitlines() if not line.startswith("#")
    ]
    options = {name: name for name, hierarchy, _count, _enabled in lines if hierarchy != "0"}
    for name, option in {**options, "systemd": "none,name=systemd"}.items():
        (top / name).mkdir()
        mount("cgroup", top / name, "cgroup", data=option)
    (top / "unified").mkdir()
    mount("cgroup2", top / "unified", "cgroup2")
    # A controller without a v1 hierarchy (hugetlb) is said to be off, or the runtimes look for it.
    shown = [
        "\t".join([name, hierarchy, count, "0" if hierarchy == "0" else on]) for name, hierarchy, count, on in lines
    ]
    (root / "run/proc-cgroups").write_text("\n".join(["#subsys_name\thierarchy\tnum_cgroups\tenabled", *shown]) + "\n")
    bind(str(root / "run/proc-cgroups"), root / "proc/cgroups")


def build(node: dict[str, t.Any]) -> pathlib.Path:
    root = pathlib.Path(node["merged"])
    lower = ":".join(node["lower"])
    mount("overlay", root, "overlay", data=f"lowerdir={lower},upperdir={node['upper']},workdir={node['work']}")
    mount("proc", root / "proc", "proc")
    mount("sysfs", root / "sys", "sysfs")
    make_devices(root / "dev")
    mount("tmpfs", root / "run", "tmpfs", data="mode=755")
    (root / "run/lock").mkdir()
    for source, target, read_only in node["binds"]:
        bind(source, root / target, read_only)
    if node["v2"]:
        mount("cgroup2", root / "sys/fs/cgroup", "cgroup2")
    else:
        mount_cgroups(root)
    # The machine's boot_id never changes; a node's does, or ansible.builtin.reboot waits in vain.
    (root / "run/boot_id").write_text(f"{uuid.uuid4()}\n")
    bind(str(root / "run/boot_id"), root / "proc/sys/kernel/random/boot_id")
    return root


def main() -> None:
    node = json.loads(pathlib.Path(sys.argv[1]).read_text())
    # /proc is still the machine's: this is the number by which the machine knows this process.
    pid = pathlib.Path("/proc/self/stat").read_text().split()[0]
    for path in node["cgroups"]:
        pathlib.Path(path).write_text("0")
    check(LIBC.unshare(CLONE_NEWCGROUP), "unshare the cgroup namespace")
    temporary = pathlib.Path(node["init_pid"] + ".new")
    temporary.write_text(pid)
    temporary.rename(node["init_pid"])
    root = build(node)
    os.chdir(root)
    (root / ".machine").mkdir(exist_ok=True)
    subprocess.run(["pivot_root", ".", ".machine"], check=True)
    os.chdir("/")
    check(LIBC.umount2(b"/.machine", MNT_DETACH), "leave the machine's root")
    os.rmdir("/.machine")
    mount("none", "/", flags=MS_REC | MS_SHARED)
    name = node["name"].encode()
    check(LIBC.sethostname(name, len(name)), "sethostname")
    os.execve(SYSTEMD, [SYSTEMD], {**ENVIRONMENT, **({} if node["v2"] else ENVIRONMENT_V1)})


if __name__ == "__main__":
    main()
