# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of the kernel and of CRIU, by name.

Sources are named at each table; the kernel's are those of include/uapi, 6.18.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t


def _words(prefix: str, text: str) -> tuple[str, ...]:
    return tuple(prefix + word for word in text.split())


CAPABILITIES: tuple[str, ...] = _words(
    "CAP_",
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE",
)
"""linux/capability.h, by bit."""

SECUREBITS: tuple[str, ...] = (
    "noroot",
    "noroot_locked",
    "no_setuid_fixup",
    "no_setuid_fixup_locked",
    "keep_caps",
    "keep_caps_locked",
    "no_cap_ambient_raise",
    "no_cap_ambient_raise_locked",
)
"""linux/securebits.h, by bit."""

SIGNALS: tuple[str, ...] = _words(
    "SIG",
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU "
    "URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS",
)
"""asm-generic/signal.h, from 1 on."""

RLIMITS: tuple[str, ...] = _words(
    "RLIMIT_", "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
)
"""asm-generic/resource.h, by index."""

TASK_STATES: dict[int, str] = {1: "running", 2: "zombie", 3: "stopped", 6: "zombie"}
"""criu compel/include/uapi/task-state.h. 2 is "dead" there, but what CRIU writes so are zombies (criu/cr-dump.c,
dump_one_zombie): nothing else that is dead can be dumped."""

MACHINES: dict[int, str] = {
    0: "unknown",
    1: "x86_64",
    2: "arm",
    3: "aarch64",
    4: "ppc64",
    5: "s390",
    6: "mips",
    7: "loongarch64",
    8: "riscv64",
}
"""criu images/core.proto, core_entry.march."""

SCHEDULERS: dict[int, str] = {
    0: "other",
    1: "fifo",
    2: "round_robin",
    3: "batch",
    5: "idle",
    6: "deadline",
    7: "ext",
}
"""linux/sched.h."""

SECCOMP_MODES: dict[int, str] = {0: "disabled", 1: "strict", 2: "filter"}

SECCOMP_FLAGS: tuple[str, ...] = ("tsync", "log", "spec_allow", "new_listener", "tsync_esrch", "wait_killable_recv")
"""linux/seccomp.h, by bit."""

LSM_TYPES: dict[int, str] = {0: "none", 1: "selinux", 2: "apparmor"}
"""criu images/inventory.proto."""

AREA_STATUS: dict[int, str] = {
    0: "regular",
    1: "stack",
    2: "vsyscall",
    3: "vdso",
    5: "heap",
    6: "file_private",
    7: "file_shared",
    8: "anonymous_shared",
    9: "anonymous_private",
    10: "sysv_ipc",
    11: "socket",
    12: "vvar",
    13: "aio",
    14: "memfd",
    15: "shadow_stack",
    16: "guard",
    17: "uprobes",
    27: "plugin",
}
"""criu criu/include/image.h, by bit."""

MAP_FLAGS: dict[int, str] = {
    0x00008: "droppable",
    0x00020: "anonymous",
    0x00100: "grows_down",
    0x02000: "locked",
    0x04000: "no_reserve",
    0x08000: "populate",
    0x20000: "stack",
    0x40000: "hugetlb",
    0x80000: "sync",
    0x100000: "fixed_noreplace",
}
"""asm-generic/mman.h; the lowest two bits are shared and private."""

MADVISE: dict[int, str] = {
    1: "random",
    2: "sequential",
    10: "dont_fork",
    12: "mergeable",
    14: "huge_page",
    15: "no_huge_page",
    16: "dont_dump",
    18: "wipe_on_fork",
}
"""asm-generic/mman-common.h; CRIU writes a mask with these bits (criu/proc_parse.c)."""

DESCRIPTOR_TYPES: dict[int, str] = {
    0: "unknown",
    1: "file",
    2: "pipe",
    3: "fifo",
    4: "inet_socket",
    5: "unix_socket",
    6: "eventfd",
    7: "epoll",
    8: "inotify",
    9: "signalfd",
    10: "packet_socket",
    11: "tty",
    12: "fanotify",
    13: "netlink_socket",
    14: "namespace",
    15: "tun",
    16: "external",
    17: "timerfd",
    18: "memfd",
    19: "bpf_map",
    20: "pidfd",
}
"""criu images/fdinfo.proto, fd_types."""

OPEN_FLAGS: dict[int, str] = {
    0o100: "create",
    0o200: "exclusive",
    0o400: "no_ctty",
    0o1000: "truncate",
    0o2000: "append",
    0o4000: "nonblock",
    0o10000: "dsync",
    0o20000: "async",
    0o40000: "direct",
    0o100000: "large_file",
    0o200000: "directory",
    0o400000: "no_follow",
    0o1000000: "no_atime",
    0o2000000: "cloexec",
    0o4000000: "sync",
    0o10000000: "path",
    0o20000000: "tmpfile",
}
"""asm-generic/fcntl.h; aarch64 and others give direct, large_file, directory and no_follow other bits."""

OPEN_FLAGS_ARM: dict[int, str] = {
    **OPEN_FLAGS,
    0o40000: "directory",
    0o100000: "no_follow",
    0o200000: "direct",
    0o400000: "large_file",
}
"""arch/arm64 and arch/arm asm/fcntl.h; ppc64 has the same."""

SOCKET_FAMILIES: dict[int, str] = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet"}
SOCKET_TYPES: dict[int, str] = {1: "stream", 2: "datagram", 3: "raw", 4: "rdm", 5: "seqpacket", 6: "dccp", 10: "packet"}
"""linux/socket.h, linux/net.h."""

PROTOCOLS: dict[int, str] = {
    0: "ip",
    1: "icmp",
    6: "tcp",
    17: "udp",
    58: "icmpv6",
    132: "sctp",
    136: "udplite",
    255: "raw",
    262: "mptcp",
}
"""linux/in.h."""

TCP_STATES: dict[int, str] = {
    1: "established",
    2: "syn_sent",
    3: "syn_recv",
    4: "fin_wait1",
    5: "fin_wait2",
    6: "time_wait",
    7: "close",
    8: "close_wait",
    9: "last_ack",
    10: "listen",
    11: "closing",
}
"""net/tcp_states.h; the kernel uses them for unix sockets too."""

NETLINK_STATES: dict[int, str] = {0: "unconnected", 1: "connected", 7: "unconnected"}
"""linux/netlink.h; a socket that never was connected has the state of a new one, TCP_CLOSE (net/core/sock.c)."""

NETLINK_PROTOCOLS: dict[int, str] = {
    0: "route",
    2: "usersock",
    3: "firewall",
    4: "sock_diag",
    5: "nflog",
    6: "xfrm",
    7: "selinux",
    8: "iscsi",
    9: "audit",
    10: "fib_lookup",
    11: "connector",
    12: "netfilter",
    15: "kobject_uevent",
    16: "generic",
    20: "rdma",
    21: "crypto",
}
"""linux/netlink.h."""

SHUTDOWN: dict[int, str] = {0: "none", 1: "read", 2: "write", 3: "both"}

SEALS: dict[int, str] = {1: "seal", 2: "shrink", 4: "grow", 8: "write", 16: "future_write", 32: "exec"}
"""linux/fcntl.h, F_SEAL_*."""

EPOLL_EVENTS: dict[int, str] = {
    0x001: "in",
    0x002: "pri",
    0x004: "out",
    0x008: "err",
    0x010: "hup",
    0x040: "rdnorm",
    0x080: "rdband",
    0x100: "wrnorm",
    0x200: "wrband",
    0x400: "msg",
    0x2000: "rdhup",
    1 << 28: "exclusive",
    1 << 29: "wakeup",
    1 << 30: "oneshot",
    1 << 31: "edge",
}
"""linux/eventpoll.h."""

INOTIFY_EVENTS: dict[int, str] = {
    0x001: "access",
    0x002: "modify",
    0x004: "attrib",
    0x008: "close_write",
    0x010: "close_nowrite",
    0x020: "open",
    0x040: "moved_from",
    0x080: "moved_to",
    0x100: "create",
    0x200: "delete",
    0x400: "delete_self",
    0x800: "move_self",
    0x01000000: "only_dir",
    0x02000000: "dont_follow",
    0x04000000: "excl_unlink",
    0x40000000: "is_dir",
    0x80000000: "oneshot",
}
"""linux/inotify.h."""

CLOCKS: dict[int, str] = {
    0: "realtime",
    1: "monotonic",
    2: "process_cputime",
    3: "thread_cputime",
    4: "monotonic_raw",
    7: "boottime",
    8: "realtime_alarm",
    9: "boottime_alarm",
    11: "tai",
}
"""linux/time.h."""

TTY_TYPES: dict[int, str] = {
    0: "unknown",
    1: "pty",
    2: "console",
    3: "vt",
    4: "current",
    5: "external",
    6: "serial",
}
"""criu images/tty.proto."""

NAMESPACE_FLAGS: dict[int, str] = {
    0x00000080: "time",
    0x00020000: "mount",
    0x02000000: "cgroup",
    0x04000000: "uts",
    0x08000000: "ipc",
    0x10000000: "user",
    0x20000000: "pid",
    0x40000000: "net",
}
"""linux/sched.h, CLONE_NEW*."""

FILE_SYSTEMS: dict[int, str] = {
    0: "unsupported",
    1: "proc",
    2: "sysfs",
    3: "devtmpfs",
    4: "binfmt_misc",
    5: "tmpfs",
    6: "devpts",
    7: "simfs",
    8: "pstore",
    9: "securityfs",
    10: "fusectl",
    11: "debugfs",
    12: "cgroup",
    13: "aufs",
    14: "mqueue",
    15: "fuse",
    16: "auto",
    17: "overlay",
    18: "autofs",
    19: "tracefs",
    23: "cgroup2",
}
"""criu images/mnt.proto, fstype."""

MOUNT_FLAGS: dict[int, str] = {
    1: "ro",
    2: "nosuid",
    4: "nodev",
    8: "noexec",
    16: "sync",
    64: "mandlock",
    128: "dirsync",
    256: "nosymfollow",
    1024: "noatime",
    2048: "nodiratime",
    1 << 21: "relatime",
    1 << 24: "strictatime",
    1 << 25: "lazytime",
}
"""linux/mount.h, MS_*."""

DEVICE_TYPES: dict[int, str] = {
    1: "loopback",
    2: "veth",
    3: "tun",
    4: "external",
    5: "venet",
    6: "bridge",
    7: "macvlan",
    8: "sit",
}
"""criu images/netdev.proto, nd_type."""

LOCK_KINDS: dict[int, str] = {1: "posix", 2: "flock", 4: "open_file_description", 8: "lease"}
LOCK_TYPES: dict[int, str] = {0: "read", 1: "write", 2: "unlock"}
"""criu criu/include/file-lock.h; linux fcntl.h."""


def bits(value: int, table: dict[int, str]) -> list[str]:
    """The names of the bits that are set; bits without a name as hexadecimal."""
    found = [name for bit, name in sorted(table.items()) if value & bit]
    rest = value & ~sum(table)
    return [*found, hex(rest)] if rest else found


def bit_numbers(value: int, names: t.Sequence[str]) -> list[str]:
    """The names of the bits that are set, for a table by bit number; others as "bit N"."""
    return [
        names[number] if number < len(names) else f"bit {number}"
        for number in range(value.bit_length())
        if value >> number & 1
    ]


def named(value: int, table: dict[int, str]) -> str:
    return table.get(value, str(value))


def signal_name(number: int) -> str:
    if 1 <= number <= len(SIGNALS):
        return SIGNALS[number - 1]
    return f"SIGRTMIN+{number - 34}" if 34 <= number <= 64 else f"SIG{number}"


def signal_set(mask: int) -> list[str]:
    """The signals of a 64-bit mask."""
    return [signal_name(number + 1) for number in range(64) if mask >> number & 1]
