# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of CRIU's images: which file, which magic number, which message, and what follows each entry.

Source: criu criu/image-desc.c, criu/include/magic.h, lib/pycriu/images/images.py, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

IMG_COMMON = 0x54564319
IMG_SERVICE = 0x55105940
INVENTORY = 0x58313116


class ImageType(t.NamedTuple):
    """``prefix`` of the file's name (``prefix[-ID].img``), the name that crit gives the type, its magic number,
    the message of its entries, and the name of what follows an entry (see extras.py), empty for nothing."""

    prefix: str
    name: str
    magic: int
    message: str
    extra: str = ""


IMAGE_TYPES: tuple[ImageType, ...] = (
    ImageType("inventory", "INVENTORY", INVENTORY, "inventory_entry"),
    ImageType("pstree", "PSTREE", 0x50273030, "pstree_entry"),
    ImageType("core", "CORE", 0x55053847, "core_entry"),
    ImageType("ids", "IDS", 0x54432030, "task_kobj_ids_entry"),
    ImageType("mm", "MM", 0x57492820, "mm_entry"),
    ImageType("vmas", "VMAS", 0x54123737, "vma_entry"),
    ImageType("creds", "CREDS", 0x54023547, "creds_entry"),
    ImageType("fs", "FS", 0x51403912, "fs_entry"),
    ImageType("fdinfo", "FDINFO", 0x56213732, "fdinfo_entry"),
    ImageType("files", "FILES", 0x56303138, "file_entry"),
    ImageType("reg-files", "REG_FILES", 0x50363636, "reg_file_entry"),
    ImageType("ext-files", "EXT_FILES", 0x59255641, "ext_file_entry"),
    ImageType("ns-files", "NS_FILES", 0x61394011, "ns_file_entry"),
    ImageType("pipes", "PIPES", 0x56513555, "pipe_entry"),
    ImageType("pipes-data", "PIPES_DATA", 0x56453709, "pipe_data_entry", "bytes"),
    ImageType("fifo", "FIFO", 0x58364939, "fifo_entry"),
    ImageType("fifo-data", "FIFO_DATA", 0x59333054, "pipe_data_entry", "bytes"),
    ImageType("unixsk", "UNIXSK", 0x54373943, "unix_sk_entry"),
    ImageType("inetsk", "INETSK", 0x56443851, "inet_sk_entry"),
    ImageType("packetsk", "PACKETSK", 0x60454618, "packet_sock_entry"),
    ImageType("netlinksk", "NETLINK_SK", 0x58005614, "netlink_sk_entry"),
    ImageType("sk-queues", "SK_QUEUES", 0x56264026, "sk_packet_entry", "length"),
    ImageType("tcp-stream", "TCP_STREAM", 0x51465506, "tcp_stream_entry", "tcp"),
    ImageType("tty", "TTY_FILES", 0x59433025, "tty_file_entry"),
    ImageType("tty-info", "TTY_INFO", 0x59453036, "tty_info_entry"),
    ImageType("tty-data", "TTY_DATA", 0x59413026, "tty_data_entry"),
    ImageType("eventfd", "EVENTFD_FILE", 0x44523722, "eventfd_file_entry"),
    ImageType("eventpoll", "EVENTPOLL_FILE", 0x45023858, "eventpoll_file_entry"),
    ImageType("eventpoll-tfd", "EVENTPOLL_TFD", 0x44433746, "eventpoll_tfd_entry"),
    ImageType("signalfd", "SIGNALFD", 0x57323820, "signalfd_entry"),
    ImageType("timerfd", "TIMERFD", 0x50493712, "timerfd_entry"),
    ImageType("inotify", "INOTIFY_FILE", 0x48424431, "inotify_file_entry"),
    ImageType("inotify-wd", "INOTIFY_WD", 0x54562009, "inotify_wd_entry"),
    ImageType("fanotify", "FANOTIFY_FILE", 0x55096122, "fanotify_file_entry"),
    ImageType("fanotify-mark", "FANOTIFY_MARK", 0x56506035, "fanotify_mark_entry"),
    ImageType("tunfile", "TUNFILE", 0x57143751, "tunfile_entry"),
    ImageType("memfd", "MEMFD_INODE", 0x48453499, "memfd_inode_entry"),
    ImageType("pidfd", "PIDFD", 0x54435556, "pidfd_entry"),
    ImageType("bpfmap-file", "BPFMAP_FILE", 0x57506142, "bpfmap_file_entry"),
    ImageType("bpfmap-data", "BPFMAP_DATA", 0x64324033, "bpfmap_data_entry", "bpfmap"),
    ImageType("remap-fpath", "REMAP_FPATH", 0x59133954, "remap_file_path_entry"),
    ImageType("ghost-file", "GHOST_FILE", 0x52583605, "ghost_file_entry", "ghost"),
    ImageType("mountpoints", "MNTS", 0x55563928, "mnt_entry"),
    ImageType("utsns", "UTSNS", 0x54473203, "utsns_entry"),
    ImageType("timens", "TIMENS", 0x43114433, "timens_entry"),
    ImageType("pidns", "PIDNS", 0x61157326, "pidns_entry"),
    ImageType("userns", "USERNS", 0x55474906, "userns_entry"),
    ImageType("netns", "NETNS", 0x55933752, "netns_entry"),
    ImageType("netdev", "NETDEV", 0x57373951, "net_device_entry"),
    ImageType("cgroup", "CGROUP", 0x59383330, "cgroup_entry"),
    ImageType("seccomp", "SECCOMP", 0x64413049, "seccomp_entry"),
    ImageType("apparmor", "APPARMOR", 0x59423047, "apparmor_entry"),
    ImageType("filelocks", "FILE_LOCKS", 0x54323616, "file_lock_entry"),
    ImageType("sigacts", "SIGACT", 0x55344201, "sa_entry"),
    ImageType("signal-p", "SIGNAL", 0x59255647, "siginfo_entry"),
    ImageType("signal-s", "SIGNAL", 0x59255647, "siginfo_entry"),
    ImageType("rlimit", "RLIMIT", 0x57113925, "rlimit_entry"),
    ImageType("itimers", "ITIMERS", 0x57464056, "itimer_entry"),
    ImageType("posix-timers", "POSIX_TIMERS", 0x52603957, "posix_timer_entry"),
    ImageType("ipcns-var", "IPC_VAR", 0x53115007, "ipc_var_entry"),
    ImageType("ipcns-shm", "IPCNS_SHM", 0x46283044, "ipc_shm_entry", "shm"),
    ImageType("ipcns-msg", "IPCNS_MSG", 0x55453737, "ipc_msg_entry", "msg"),
    ImageType("ipcns-sem", "IPCNS_SEM", 0x59573019, "ipc_sem_entry", "sem"),
    ImageType("pagemap", "PAGEMAP", 0x56084025, "pagemap_entry", "head"),
    ImageType("pagemap-shmem", "PAGEMAP", 0x56084025, "pagemap_entry", "head"),
    ImageType("autofs", "AUTOFS", 0x49353943, "autofs_entry"),
    ImageType("binfmt-misc", "BINFMT_MISC", 0x67343323, "binfmt_misc_entry"),
    ImageType("cpuinfo", "CPUINFO", 0x61404013, "cpuinfo_entry"),
    ImageType("stats", "STATS", 0x57093306, "stats_entry"),
    ImageType("irmap-cache", "IRMAP_CACHE", 0x57004059, "irmap_cache_entry"),
)

RAW_PREFIXES = frozenset(
    {
        "pages",
        "pages-shmem",
        "ifaddr",
        "route",
        "route6",
        "rule",
        "iptables",
        "ip6tables",
        "nftables",
        "netns-ct",
        "netns-exp",
        "tmpfs",
        "tmpfs-dev",
    }
)
"""Images without framing: memory pages, netlink dumps, text for iptables, and tar files of tmpfs mounts."""

BY_PREFIX: dict[str, ImageType] = {kind.prefix: kind for kind in IMAGE_TYPES}


def split_name(file_name: str) -> tuple[str, str]:
    """(prefix, ID) of an image's file name: "pagemap-shmem-5.img" is ("pagemap-shmem", "5").

    The prefix is empty for a name that is not an image's, and the whole stem for an unknown type.
    """
    if not file_name.endswith(".img"):
        return "", ""
    stem = file_name[: -len(".img")]
    for suffix in (".tar.gz", ".tar"):
        stem = stem.removesuffix(suffix)
    parts = stem.split("-")
    for count in range(len(parts), 0, -1):
        prefix = "-".join(parts[:count])
        if prefix in BY_PREFIX or prefix in RAW_PREFIXES:
            return prefix, "-".join(parts[count:])
    return stem, ""
