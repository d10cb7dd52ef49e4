# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of CRIU in the files that runc and crun have it read.

runc names /etc/criu/runc.conf to CRIU (runc docs/checkpoint-restore.md, v1.1.15). crun names /etc/criu/crun.conf, or
runc.conf where there is no crun.conf (crun src/libcrun/criu.c); releases without that, such as 1.21 (their program does
not hold the path), leave CRIU with /etc/criu/default.conf, which holds for whatever else uses CRIU, too.

A line is an option of criu(8) without its dashes and a value; a comment takes a line of its own (tried with 4.2.1).

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import re
import typing as t

from .._capabilities import CRIU_MINIMUM, CRIU_WITH_PASSCRED, KERNEL_WITH_PASSCRED, parse_version
from .._common.errors import CheckpointError
from .._node.files import under
from .changes import OURS, Plan, change, conflict, read, without_ours
from .marks import appended, below_mark

COMPONENT = "criu"
RUNC = "/etc/criu/runc.conf"
CRUN = "/etc/criu/crun.conf"
DEFAULT = "/etc/criu/default.conf"
FILES = (RUNC, CRUN, DEFAULT)

Settings = t.Mapping[str, t.Any]


def options(settings: Settings) -> list[str]:
    """The lines for what is asked for. Raises CheckpointError ``invalid_option``.

    ``settings``: ``tcp_established``, ``tcp_close``, ``skip_in_flight``, ``file_locks`` (true or false),
    ``ghost_limit`` (bytes, or with K, M or G), ``log_level`` (0 to 4), ``extra`` (further lines).
    """
    if settings.get("tcp_established") and settings.get("tcp_close"):
        raise CheckpointError(
            "invalid_option",
            "tcp_established and tcp_close contradict each other",
            hint="tcp_established keeps the connections for a restore at the same address, tcp_close gives them up",
        )
    lines = [
        name.replace("_", "-")
        for name in ("tcp_established", "tcp_close", "skip_in_flight", "file_locks")
        if settings.get(name)
    ]
    limit = settings.get("ghost_limit")
    if limit not in (None, ""):
        # CRIU takes what is no size for 0 (tried with 4.2.1).
        if not re.fullmatch(r"[1-9]\d*[KMG]?", str(limit)):
            raise CheckpointError("invalid_option", f"ghost_limit {limit!r} is no size", hint="For example 4M")
        lines.append(f"ghost-limit {limit}")
    level = settings.get("log_level")
    if level not in (None, ""):
        if str(level) not in ("0", "1", "2", "3", "4"):
            raise CheckpointError("invalid_option", f"log_level {level!r} is not one of 0, 1, 2, 3 and 4")
        lines.append(f"verbosity {level}")
    for line in settings.get("extra") or []:
        if not re.fullmatch(r"[a-z][a-z-]*([ =]\S.*)?", str(line)):
            raise CheckpointError(
                "invalid_option", f"{line!r} is no option of CRIU", hint="Write it without dashes in front"
            )
        if name_of(line) not in map(name_of, lines):
            lines.append(str(line))
    return lines


def check_version(criu: t.Optional[str], kernel: t.Optional[str]) -> None:
    """Raises CheckpointError ``not_supported`` for a CRIU that no runtime takes, or that fails with this kernel."""
    number, release = parse_version(criu), parse_version(kernel)
    hint = "Give the node a repository with CRIU 4.2 or later, for example that of a later release"
    if number is not None and number < CRIU_MINIMUM:
        raise CheckpointError("not_supported", f"CRIU {criu} is too old for every container runtime", hint=hint)
    if number is not None and release is not None and release >= KERNEL_WITH_PASSCRED and number < CRIU_WITH_PASSCRED:
        reason = f"CRIU {criu} cannot checkpoint anything with a socket on Linux {kernel}"
        raise CheckpointError("not_supported", reason, hint=hint)


def name_of(line: str) -> str:
    return re.split(r"[\s=]", line.strip(), maxsplit=1)[0]


CONTRARY = {
    "tcp-established": ("tcp-close", "no-tcp-established"),
    "tcp-close": ("tcp-established", "no-tcp-close"),
    "skip-in-flight": ("no-skip-in-flight",),
    "file-locks": ("no-file-locks",),
}


def plan(root: str, settings: Settings, versions: t.Mapping[str, t.Any], state: str) -> Plan:
    """What to change. ``versions``: ``crun_reads``, the file that the node's crun names, None without crun; ``kernel``;
    ``criu``, the version that is installed.

    No restart: CRIU reads its files at each checkpoint. ``settings`` may have ``version``, that of the package which is
    going to be installed. Raises CheckpointError: ``invalid_option``, ``not_supported``, ``conflicting_setting``,
    ``unreadable_configuration``.
    """
    if state == "present":
        check_version(settings.get("version") or versions.get("criu"), versions.get("kernel"))
    lines = options(settings) if state == "present" else []
    wanted: dict[str, list[str]] = {}
    warnings: tuple[str, ...] = ()
    if lines:
        wanted[RUNC] = lines
        reads = versions.get("crun_reads")
        if reads == DEFAULT:
            wanted[DEFAULT] = lines
            warnings = (f"The node's crun reads only {DEFAULT}: the options hold for every use of CRIU on the node.",)
        elif reads == CRUN and without_ours(read(root, CRUN)) is not None:
            wanted[CRUN] = lines
    changes: tuple[t.Any, ...] = ()
    for path in FILES:
        before = read(root, path)
        theirs = without_ours(before)
        missing = _missing(path, theirs or "", wanted.get(path, []))
        after = appended(theirs or "", "".join(map(below_mark, missing))) if missing else theirs
        changes += change(path, before, after, ", ".join(missing) or OURS)
    return Plan(COMPONENT, changes, (), warnings)


def _missing(path: str, text: str, lines: t.Sequence[str]) -> list[str]:
    """The lines that the file has not yet. Raises CheckpointError where it contradicts them."""
    there = [line.strip() for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]
    for line in lines:
        for other in there:
            same_option = name_of(other) == name_of(line) and _plain(other) != _plain(line)
            if same_option or name_of(other) in CONTRARY.get(name_of(line), ()):
                raise conflict(path, other, line)
    return [line for line in lines if _plain(line) not in map(_plain, there)]


def _plain(line: str) -> str:
    return " ".join(re.split(r"[\s=]+", line.strip(), maxsplit=1))


def crun_reads(program: t.Optional[str], root: str = "/") -> t.Optional[str]:
    """Which file this crun names to CRIU: the path stands in the program, where it does so at all."""
    if program is None:
        return None
    try:
        with open(under(root, program), "rb") as file:
            return CRUN if CRUN.encode() in file.read() else DEFAULT
    except OSError:
        return None
