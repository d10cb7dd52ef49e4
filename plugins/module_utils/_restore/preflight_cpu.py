# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the processor of this node can go on with what another one began.

CRIU does not compare processors unless it is told to (--cpu-cap with "image", which no container runtime asks for): it
refuses only where a dump has an xsave area and the processor has no xsave. A program that found an instruction set at
its start uses it after the restore as well, and is ended by SIGILL where it is missing; nobody can see in the images
whether it does, so that is a warning.

Sources: criu criu/include/cr_options.h (CPU_CAP_DEFAULT, CPU_CAP_IMAGE), criu/arch/x86/cpu.c,
criu/arch/x86/crtools.c (valid_xsave_frame), criu/cr-restore.c, images/cpuinfo.proto, 4.2.1; Linux
arch/x86/include/asm/cpufeatures.h and fpu/types.h (enum xfeature), 6.12.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import typing as t

from .._criu.wire import Fields, number
from .preflight_base import Node, Subject, Verdict, Wanted, failed, passed, skipped, some, warning

LOG_HEAD = 1 << 14
XFEATURES: t.Mapping[int, str] = {
    2: "avx",
    3: "mpx",
    4: "mpx",
    5: "avx512f",
    6: "avx512f",
    7: "avx512f",
    9: "pku",
    17: "amx_tile",
    18: "amx_tile",
}
"""Parts of the xsave area that are more than SSE, by what /proc/cpuinfo calls the feature."""

WORDS: t.Mapping[int, t.Mapping[int, str]] = {
    4: {
        0: "pni",
        1: "pclmulqdq",
        9: "ssse3",
        12: "fma",
        13: "cx16",
        19: "sse4_1",
        20: "sse4_2",
        22: "movbe",
        23: "popcnt",
        25: "aes",
        26: "xsave",
        28: "avx",
        29: "f16c",
        30: "rdrand",
    },
    6: {5: "abm", 6: "sse4a", 11: "xop", 16: "fma4", 21: "tbm"},
    9: {
        0: "fsgsbase",
        3: "bmi1",
        5: "avx2",
        8: "bmi2",
        9: "erms",
        11: "rtm",
        16: "avx512f",
        17: "avx512dq",
        18: "rdseed",
        19: "adx",
        21: "avx512ifma",
        23: "clflushopt",
        28: "avx512cd",
        29: "sha_ni",
        30: "avx512bw",
        31: "avx512vl",
    },
}
"""Bits of ``capability`` in cpuinfo.img: word and bit as in Linux, the name as in /proc/cpuinfo."""

VENDORS = {1: "GenuineIntel", 2: "AuthenticAMD"}


class Dumped(t.NamedTuple):
    """What the archive tells of the processor: flags it had or that were in use, its vendor, and whether the processes
    have an xsave area."""

    flags: frozenset[str]
    vendor: str
    xsave: bool


def _of_mask(mask: int) -> set[str]:
    return {name for bit, name in XFEATURES.items() if mask >> bit & 1}


def _cpuinfo(fields: Fields) -> tuple[set[str], str]:
    """From cpuinfo.img, which only a dump with --cpu-cap has."""
    flags: set[str] = set()
    vendor = ""
    for entry in fields.get("x86_entry", [])[:1]:
        vendor = VENDORS.get(number(entry, "vendor_id"), "")
        flags |= _of_mask(number(entry, "xfeatures_mask"))
        for index, word in enumerate(entry.get("capability", [])):
            flags |= {name for bit, name in WORDS.get(index, {}).items() if word >> bit & 1}
    return flags, vendor


def dumped(subject: Subject) -> Dumped:
    """The processor of the dump, from cpuinfo.img, the head of dump.log and the registers of all threads."""
    flags, vendor = _cpuinfo(subject.images.one("cpuinfo"))
    log = subject.archive.tree.file("dump.log")
    head = log.read(0, LOG_HEAD).decode("utf-8", "replace") if log is not None else ""
    mask = re.search(r"xfeatures_mask 0x([0-9a-f]{1,16})\b", head)
    flags |= _of_mask(int(mask.group(1), 16)) if mask else set()
    named = re.search(r"x86_vendor_id (\S{1,12})", head)
    vendor = vendor or (named.group(1) if named else "")
    xsave = False
    for identifier in subject.images.ids("core"):
        area = subject.images.one("core", identifier).get("thread_info", {}).get("fpregs", {}).get("xsave")
        if area is not None:
            xsave = True
            flags |= _of_mask(number(area, "xstate_bv"))
    return Dumped(frozenset(flags), vendor, xsave)


def cpu(subject: Subject, node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    if subject.checkpoint.machine != "x86_64" or not node.flags:
        yield skipped("cpu", "The images do not tell the features of processors other than x86_64's")
        return
    found = dumped(subject)
    missing = sorted(found.flags - node.flags)
    if found.xsave and "xsave" not in node.flags:
        yield failed(
            "cpu",
            "The processes have an xsave area, and this node's processor has no xsave",
            "Choose a node with a processor like the one of the dump",
        )
    elif missing:
        yield warning(
            "cpu",
            f"The processor of the dump has {some(missing)}, this node's has not; CRIU restores all the same, and a "
            "program that uses it is ended by SIGILL",
            "Choose a node with a processor like the one of the dump",
        )
    elif found.vendor and node.vendor and found.vendor != node.vendor:
        yield warning(
            "cpu",
            f"The dump was made on a processor of {found.vendor}, this node's is of {node.vendor}; a program may have "
            "chosen instructions that only the former has",
            "Choose a node with a processor like the one of the dump",
        )
    elif found.flags or found.vendor:
        yield passed("cpu", "This node's processor has what the archive tells of that of the dump")
    else:
        yield passed("cpu", "The archive tells nothing of the processor of the dump that this node's lacks")
