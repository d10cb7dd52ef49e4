# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a log of CRIU: its error lines, and the cause that they mean.

``CAUSES`` is the only place that knows the causes. Each says in ``seen`` where its text was seen: run on the lab, or in
a source file of CRIU; the messages of those were also found in the program of that version.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import os
import re
import typing as t

LARGEST = 8 << 20
"""Bytes of a log that are read: half of it from its beginning, half from its end."""

MOST_LINES = 20
LONGEST_LINE = 300

# A line: "(00.059284) Error (criu/sk-inet.c:200): inet: Connected TCP socket, …".
_ERROR = re.compile(r"^\(\d+\.\d+\)\s+(?:\d+: )?Error \(([^)]*)\): ?(.*)$")
_VERSION = re.compile(r"\bVersion: (\S+)")
_DONE = re.compile(r"(?:Dumping|Restore) finished successfully")
# Every log has the first where CRIU lacks CAP_SYS_RESOURCE, and CRIU itself says so of the second.
_HARMLESS = re.compile(r"rlimit: Can't setup RLIMIT_NOFILE for self|This is not fatal|Warn ")

CONFIGURATION = {
    "runc": "/etc/criu/runc.conf",
    "crun": "/etc/criu/crun.conf (/etc/criu/default.conf where crun is old)",
    None: "/etc/criu/runc.conf or crun.conf",
}


class Cause(t.NamedTuple):
    """A cause as a person reads it. ``{conf}`` in ``hint`` stands for CRIU's configuration file for the runtime."""

    code: str
    pattern: str
    reason: str
    hint: str
    seen: str


class Finding(t.NamedTuple):
    """What a log says. ``errors``: its error lines without the harmless ones, bounded; ``version``: CRIU's."""

    code: str
    reason: str
    hint: str
    errors: list[str]
    version: t.Optional[str]


# Of one line the first cause that fits counts, so what is special stands above what is general.
CAUSES: tuple[Cause, ...] = (
    Cause(
        "criu_tcp_established",
        r"Connected TCP socket, consider using",
        "The container has an established TCP connection",
        "Put tcp-established into {conf} to keep connections, or tcp-close to have them closed by the restore",
        "lab, runc under CRI-O 1.36.3 and containerd 2.1.9; CRIU 4.2.1 criu/sk-inet.c",
    ),
    Cause(
        "criu_tcp_in_flight",
        r"inet: In-flight connection",
        "A client was just connecting to the container, and the connection was not accepted yet",
        "Try again, or put skip-in-flight into {conf}",
        "lab, runc under containerd 2.1.9; CRIU 4.2.1 criu/sk-inet.c",
    ),
    Cause(
        "criu_mptcp",
        r"GODEBUG=multipathtcp=0|Unsupported proto 262\b",
        "The container has a multipath TCP socket, which CRIU cannot dump",
        "Of a Go program, set GODEBUG=multipathtcp=0 in the container's environment",
        "CRIU 4.2.1 criu/sk-inet.c",
    ),
    Cause(
        "criu_unix_external",
        r"External socket is used|name-less external socket|External socket found in image|half of stream unix",
        "The container has a Unix socket whose other end is outside of it",
        "Have the program close it, or put ext-unix-sk into {conf}; the peer must be there again at the restore",
        "CRIU 4.2.1 criu/sk-unix.c",
    ),
    Cause(
        "criu_socket_option",
        r"sockets: Can't get \d+:\d+ opt: Operation not supported",
        "CRIU is too old for this kernel: it asks a socket for an option that the kernel refuses since 6.16",
        "Install CRIU 4.2 or later",
        "laboratory reference, CRIU 4.1.1 on Linux 6.18",
    ),
    Cause(
        "criu_socket_unsupported",
        r"Unsupported socket (?:family|type)|Unsupported proto \d|Only stream, dgram and raw"
        r"|Only stream/dgram/seqpacket|Control messages in queue, not supported"
        r"|Can't dump corked dgram socket|packet: Multiple MC|netlink: Groups",
        "The container has a socket of a kind that CRIU cannot dump",
        "See which in the quoted line, and have the program close it before the checkpoint",
        "CRIU 4.2.1 criu/sk-inet.c, sk-unix.c, sk-queue.c, sk-packet.c, sk-netlink.c",
    ),
    Cause(
        "criu_file_locks",
        r"file locks are hold by dumping tasks",
        "A process of the container holds a file lock",
        "Put file-locks into {conf}",
        "CRIU 4.2.1 criu/file-lock.c",
    ),
    Cause(
        "criu_ghost_too_large",
        r"Can't dump ghost file .* increase limit",
        "A deleted file that a process still has open is larger than CRIU's limit",
        "Put a larger ghost-limit into {conf}, for example ghost-limit 64M",
        "CRIU 4.2.1 criu/files-reg.c",
    ),
    Cause(
        "criu_link_remap",
        r"Use link-remap option",
        "A file that a process has open was deleted under that name, and exists under another one",
        "Put link-remap into {conf}",
        "CRIU 4.2.1 criu/files-reg.c",
    ),
    Cause(
        "criu_file_changed",
        r"has bad (?:size|mode|build-ID)|Can't open file .* on restore|Can't find regfile",
        "A file that a process had open or mapped is missing or another one where it is restored",
        "Restore into a container of the same image (compare digests), with the volumes' contents as they were",
        "lab, runc restores; CRIU 4.2.1 criu/files-reg.c",
    ),
    Cause(
        "criu_mount_missing",
        r"mnt: No mapping for",
        "The container to be restored has not the same mounts as the one that was dumped",
        "Give the pod the same volume mounts; runc's and crun's archives do not mix under the kubelet",
        "lab, runc 1.1.15 and crun 1.21; CRIU 4.2.1 criu/mount.c",
    ),
    Cause(
        "criu_mount_external",
        r"autodetected external mount|unreachable sharing|fuse mount but not external|[Ff]ailed to copy sharing"
        r"|Can't copy sharing|mnt: FS mnt .* unsupported",
        "The container has a mount that reaches outside of it, or of a kind that CRIU cannot describe",
        "See which in the quoted line; avoid mount propagation other than None, and mounts made inside the container",
        "lab (sharing); CRIU 4.2.1 criu/mount.c, mount-v2.c",
    ),
    Cause(
        "criu_terminal",
        r"Consider using --shell-job|\btty: ",
        "The container has a terminal",
        "Do not give the container a terminal (tty: false)",
        "CRIU 4.2.1 criu/tty.c",
    ),
    Cause(
        "criu_device",
        r"Unsupported mapping found|Can't dump file \d+ of that type",
        "A process has something open or mapped that CRIU cannot dump, such as a device, io_uring or a GPU",
        "See what in the quoted line; for a GPU, CRIU needs its plugin",
        "CRIU 4.2.1 criu/proc_parse.c, files.c",
    ),
    Cause(
        "criu_lsm",
        r"\bLSM specified but|[Aa]pparmor|\baa (?:policy|namespace)|[Ss]elinux|lsm profile",
        "The security module's profile (AppArmor or SELinux) of the container could not be dumped or set",
        "Load the same profile on the node, or run the container unconfined",
        "CRIU 4.2.1 criu/lsm.c, apparmor.c, pie/restorer.c",
    ),
    Cause(
        "criu_vdso",
        r"\bvdso: |Compatible mode without vdso|support for mremapping special mappings",
        "CRIU does not get along with the vDSO of this kernel",
        "Install a later CRIU, and restore on the same processor architecture and a kernel of the same age or newer",
        "CRIU 4.2.1 criu/vdso.c, pie/parasite-vdso.c",
    ),
    Cause(
        "criu_cpu",
        r"\bcpu: |FPU feature required",
        "The processor lacks something that the dumped processes were using",
        "Restore on a node whose processor has the same features",
        "CRIU 4.2.1 criu/arch/x86/cpu.c",
    ),
    Cause(
        "criu_cgroup",
        r"\bcg(?:-prop)?: ",
        "CRIU could not read or restore the container's cgroups",
        "Put manage-cgroups=ignore into {conf}, the runtime makes them itself",
        "CRIU 4.2.1 criu/cgroup.c",
    ),
    Cause(
        "criu_seccomp",
        r"\bseccomp\b",
        "The seccomp filter of a process could not be dumped or restored",
        "The kernel needs CONFIG_CHECKPOINT_RESTORE and CONFIG_SECCOMP_FILTER, and CRIU all capabilities",
        "CRIU 4.2.1 criu/seccomp.c",
    ),
    Cause(
        "criu_kernel",
        r"Tracking memory is not available|\bkcmp\b|Time namespaces are not supported|UFFD is not supported"
        r"|/map_files is inaccessible|diag socket|not supported by kernel|[Kk]ernel (?:doesn't|does not) support"
        r"|PR_SET_MM\w* is not supported",
        "The kernel of the node lacks an option that CRIU needs",
        "See what criu check --all says on the node; CONFIG_CHECKPOINT_RESTORE is the first to look for",
        "CRIU 4.2.1 criu/cr-check.c, kerndat.c",
    ),
    Cause(
        "criu_nested",
        r"Can't dump nested \w+ namespace|Nested mount namespaces are not supported",
        "A process in the container made a namespace of its own",
        "Containers that run containers cannot be checkpointed",
        "CRIU 4.2.1 criu/namespaces.c, mount.c",
    ),
    Cause(
        "criu_32_bit",
        r"running in 32-bit mode|with LDT descriptors",
        "The container runs a 32-bit program",
        "Only 64-bit programs can be checkpointed here",
        "CRIU 4.2.1 compel/arch/x86/src/lib/infect.c",
    ),
    Cause(
        "criu_uprobes",
        r"--allow-uprobes",
        "A tracer on the node has uprobes in a program of the container",
        "Stop the tracing, or put allow-uprobes into {conf}",
        "CRIU 4.2.1 criu/proc_parse.c",
    ),
    Cause(
        "criu_traced",
        r"Unseizable non-zombie|SEIZE \d+: |Can't dump the \d+ thread with a pending SIGTRAP|in unexpected state",
        "A process of the container could not be stopped: a debugger holds it, or it is stopped already",
        "End the debugger or tracer, or continue the stopped process",
        "CRIU 4.2.1 compel/src/lib/infect.c",
    ),
    Cause(
        "criu_pid_taken",
        r"Can't fork for \d+: File exists",
        "A process ID that is to be restored is taken",
        "Restore into a container of its own, not beside other processes",
        "CRIU 4.2.1 criu/cr-restore.c",
    ),
    Cause(
        "criu_address_taken",
        r"Can't bind inet socket|Can't bind socket: Address|Address already in use|Cannot assign requested address",
        "An address or port of a restored socket is not there, or is taken",
        "The pod has another address: with tcp-close in {conf} established connections are not restored",
        "lab, restores into another pod; CRIU 4.2.1 criu/sk-inet.c",
    ),
    Cause(
        "criu_disk_full",
        r"No space left on device|Disk quota exceeded",
        "There is no room for CRIU's images",
        "Free space under the runtime's directories and, with containerd, where it keeps temporary files",
        "CRIU 4.2.1, the text of ENOSPC",
    ),
    Cause(
        "criu_permission",
        r"Operation not permitted|Permission denied|Unable to (?:restore capabilities|drop capability|raise ambient)"
        r"|reports more capabilities",
        "CRIU lacks a right or capability on the node",
        "Run the runtime as root with all capabilities, outside of another container",
        "lab, rlimits without CAP_SYS_RESOURCE; CRIU 4.2.1 criu/pie/restorer.c",
    ),
)


def read_log(path: str) -> str:
    """A log as text, the middle of a very large one left out. Raises OSError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= LARGEST:
            return file.read(LARGEST).decode("utf-8", "backslashreplace")
        beginning = file.read(LARGEST // 2)
        file.seek(size - LARGEST // 2)
        return (beginning + b"\n" + file.read(LARGEST // 2)).decode("utf-8", "backslashreplace")


def explain(text: str, runtime: t.Optional[str] = None) -> t.Optional[Finding]:
    """The cause of the failure that a log ends with; None for a log without a failure.

    ``runtime``: "runc" or "crun", for the name of the configuration file in the hint.
    """
    lines = text.splitlines()
    errors = [line for line in lines if _ERROR.match(line) and not _HARMLESS.search(line)]
    version = _VERSION.search(text)
    rest = (_bounded(errors), version.group(1) if version else None)
    for line in errors:
        for cause in CAUSES:
            if re.search(cause.pattern, line):
                conf = CONFIGURATION.get(runtime, CONFIGURATION[None])
                return Finding(cause.code, cause.reason, cause.hint.format(conf=conf), *rest)
    if errors:
        # The first is the cause, the later ones are its consequences.
        return Finding("criu_unknown_cause", f"CRIU says: {_short(errors[0])}", "Read CRIU's log", *rest)
    if not lines or any(_DONE.search(line) for line in lines):
        return None
    return Finding(
        "criu_unfinished",
        f"CRIU came to no end. The last it wrote is: {_short(lines[-1])}",
        "A process that is stopped or held by a debugger keeps CRIU waiting; a large container needs a longer timeout",
        _bounded(lines[-3:]),
        rest[1],
    )


def _short(line: str) -> str:
    found = _ERROR.match(line)
    text = found.group(2) if found else re.sub(r"^\(\d+\.\d+\)\s*", "", line)
    return text.strip()[:LONGEST_LINE].rstrip(".")


def _bounded(lines: t.Sequence[str]) -> list[str]:
    """The first lines and the last one, each cut to a bearable length."""
    kept = [*lines[: MOST_LINES - 1], lines[-1]] if len(lines) > MOST_LINES else list(lines)
    return [line[:LONGEST_LINE] for line in kept]
