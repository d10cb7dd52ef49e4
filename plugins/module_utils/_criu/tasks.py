# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads and what belongs to them: credentials, seccomp, scheduling, signals, timers, limits.

Sources: criu images/core.proto, creds.proto, seccomp.proto, sa.proto, siginfo.proto, timer.proto, rlimit.proto;
criu/cr-dump.c, criu/seccomp.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import struct
import typing as t

from .images import Images
from .names import (
    CAPABILITIES,
    CLOCKS,
    RLIMITS,
    SCHEDULERS,
    SECCOMP_FLAGS,
    SECCOMP_MODES,
    SECUREBITS,
    bit_numbers,
    named,
    signal_name,
    signal_set,
)
from .wire import Fields, number, text

INFINITY = (1 << 64) - 1

CAPABILITY_SETS: dict[str, str] = {
    "effective": "cap_eff",
    "permitted": "cap_prm",
    "inheritable": "cap_inh",
    "bounding": "cap_bnd",
    "ambient": "cap_amb",
}

SIGACTION_SIGNALS = [number for number in range(1, 65) if number not in (9, 19)]
"""The signals of sigactions in their order: SIGKILL and SIGSTOP cannot be caught (criu/cr-dump.c)."""

PLACES: dict[str, tuple[str, str, str]] = {
    "thread_info": ("gpregs", "ip", "sp"),
    "ti_arm": ("gpregs", "pc", "sp"),
    "ti_aarch64": ("gpregs", "pc", "sp"),
    "ti_ppc64": ("gpregs", "nip", "gpr.1"),
    "ti_s390": ("gpregs", "psw_addr", "gprs.15"),
    "ti_mips": ("gpregs", "cp0_epc", "r29"),
    "ti_loongarch64": ("gpregs", "pc", "regs.3"),
    "ti_riscv64": ("gpregs", "pc", "sp"),
}
"""Where each architecture keeps the instruction and the stack pointer; a number behind a point is an index."""

MAX_FILTERS = 1 << 12


@dataclasses.dataclass(frozen=True)
class Credentials:
    uid: int
    gid: int
    euid: int
    egid: int
    suid: int
    sgid: int
    fsuid: int
    fsgid: int
    groups: list[int]
    capabilities: dict[str, list[str]]
    securebits: list[str]
    no_new_privs: bool
    lsm_profile: t.Optional[str]

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Seccomp:
    """``filters``: the filters that apply, the one added last first, each with its number of instructions."""

    mode: str
    filters: list[dict[str, t.Any]]

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Thread:
    tid: int
    name: str
    credentials: t.Optional[Credentials]
    seccomp: t.Optional[Seccomp]
    scheduler: str
    nice: int
    priority: int
    blocked_signals: list[str]
    pending_signals: list[dict[str, t.Any]]
    parent_death_signal: t.Optional[str]
    instruction_pointer: t.Optional[int]
    stack_pointer: t.Optional[int]

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "tid": self.tid,
            "name": self.name,
            "credentials": self.credentials.as_dict() if self.credentials is not None else None,
            "seccomp": self.seccomp.as_dict() if self.seccomp is not None else None,
            "scheduler": self.scheduler,
            "nice": self.nice,
            "priority": self.priority,
            "blocked_signals": self.blocked_signals,
            "pending_signals": self.pending_signals,
            "parent_death_signal": self.parent_death_signal,
            "instruction_pointer": None if self.instruction_pointer is None else f"{self.instruction_pointer:#x}",
            "stack_pointer": None if self.stack_pointer is None else f"{self.stack_pointer:#x}",
        }


def capability_mask(words: t.Any) -> int:
    """The 64-bit mask from two 32-bit words, the low one first."""
    if not isinstance(words, list):
        return 0
    return sum((word & 0xFFFFFFFF) << 32 * index for index, word in enumerate(words[:2]))


def credentials(fields: Fields) -> t.Optional[Credentials]:
    """From a creds_entry; None where there is none."""
    if not fields:
        return None
    return Credentials(
        **{name: number(fields, name) for name in ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid")},
        groups=list(fields.get("groups", [])),
        capabilities={
            name: bit_numbers(capability_mask(fields.get(key)), CAPABILITIES) for name, key in CAPABILITY_SETS.items()
        },
        securebits=bit_numbers(number(fields, "secbits"), SECUREBITS),
        no_new_privs=bool(number(fields, "no_new_privs")),
        lsm_profile=text(fields, "lsm_profile") or None,
    )


class SeccompFilters:
    """The filters of all threads: seccomp.img, in which each filter names the one added before it."""

    def __init__(self, images: Images) -> None:
        self.filters: list[Fields] = []
        for entry in images.each("seccomp"):
            self.filters += entry.fields.get("seccomp_filters", [])
        self._chains: dict[int, list[dict[str, t.Any]]] = {}

    def chain(self, index: t.Optional[int]) -> list[dict[str, t.Any]]:
        """The filters from one on, backwards; a loop ends the chain."""
        if index is None:
            return []
        if index not in self._chains:
            self._chains[index] = self._chain(index)
        return self._chains[index]

    def _chain(self, index: t.Optional[int]) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = []
        seen: set[int] = set()
        while index is not None and 0 <= index < len(self.filters) and index not in seen and len(seen) < MAX_FILTERS:
            seen.add(index)
            fields = self.filters[index]
            found.append(
                {
                    "index": index,
                    "instructions": len(fields.get("filter", b"")) // 8,
                    "flags": bit_numbers(number(fields, "flags"), SECCOMP_FLAGS),
                }
            )
            index = fields.get("prev")
        return found


def _queue(fields: t.Any) -> list[dict[str, t.Any]]:
    """Signals that wait: siginfo_t of the kernel, 128 bytes (asm-generic/siginfo.h)."""
    found: list[dict[str, t.Any]] = []
    for entry in fields.get("signals", []) if isinstance(fields, dict) else []:
        raw = entry.get("siginfo", b"")
        if len(raw) < 24:
            continue
        signo, _errno, code, _pad, pid, uid = struct.unpack_from("<iiiiiI", raw)
        sent = code <= 0
        found.append(
            {
                "signal": signal_name(signo),
                "code": code,
                "pid": pid if sent else None,
                "uid": uid if sent else None,
            }
        )
    return found


def _register(info: Fields, group: str, name: str) -> t.Optional[int]:
    registers = info.get(group)
    if not isinstance(registers, dict):
        return None
    key, _point, index = name.partition(".")
    value = registers.get(key)
    if index and isinstance(value, list):
        value = value[int(index)] if int(index) < len(value) else None
    return value if isinstance(value, int) else None


def _seccomp(core: Fields, filters: SeccompFilters, leader: t.Optional[Thread]) -> t.Optional[Seccomp]:
    """What applies to a thread. Where all threads of a process have the same filters, CRIU writes them for the leader
    alone, with the flag "tsync" (criu/seccomp.c, try_use_tsync)."""
    if not core:
        return None
    own, task = core.get("thread_core", {}), core.get("tc", {})
    mode = own.get("seccomp_mode", task.get("old_seccomp_mode"))
    shared = leader.seccomp if leader is not None and mode is None else None
    if shared is not None and any("tsync" in found["flags"] for found in shared.filters):
        return shared
    index = own.get("seccomp_filter", task.get("old_seccomp_filter"))
    return Seccomp(named(mode or 0, SECCOMP_MODES), filters.chain(index) if mode == 2 else [])


def thread(
    tid: int, core: Fields, filters: SeccompFilters, old_creds: Fields, leader: t.Optional[Thread] = None
) -> Thread:
    """A thread from its core image; ``old_creds`` are those of creds-PID.img, as they were before CRIU 2.0."""
    own = core.get("thread_core", {})
    task = core.get("tc", {})
    found = credentials(own.get("creds") or old_creds)
    place = next((key for key in PLACES if isinstance(core.get(key), dict)), None)
    pointers: list[t.Optional[int]] = [None, None]
    if place is not None:
        group, *names = PLACES[place]
        pointers = [_register(core[place], group, name) for name in names]
    death = number(own, "pdeath_sig")
    return Thread(
        tid=tid,
        name=text(own, "comm") or text(task, "comm"),
        credentials=found,
        seccomp=_seccomp(core, filters, leader),
        scheduler=named(number(own, "sched_policy"), SCHEDULERS),
        nice=number(own, "sched_nice"),
        priority=number(own, "sched_prio"),
        blocked_signals=signal_set(number(own, "blk_sigset", number(task, "blk_sigset"))),
        pending_signals=_queue(own.get("signals_p")),
        parent_death_signal=signal_name(death) if death else None,
        instruction_pointer=pointers[0],
        stack_pointer=pointers[1],
    )


def limits(task: Fields, images: Images, pid: int) -> dict[str, dict[str, t.Optional[int]]]:
    """Resource limits by name, None for no limit."""
    entries = task.get("rlimits", {}).get("rlimits") or [entry.fields for entry in images.each("rlimit", pid)]
    return {
        RLIMITS[index] if index < len(RLIMITS) else f"RLIMIT_{index}": {
            "soft": None if number(entry, "cur") == INFINITY else number(entry, "cur"),
            "hard": None if number(entry, "max") == INFINITY else number(entry, "max"),
        }
        for index, entry in enumerate(entries[:64])
    }


def signals(task: Fields, images: Images, pid: int) -> dict[str, t.Any]:
    """What the process does with signals, and which wait for it as a whole."""
    actions = task.get("sigactions") or [entry.fields for entry in images.each("sigacts", pid)]
    ignored: list[str] = []
    caught: list[str] = []
    for signo, action in zip(SIGACTION_SIGNALS, actions):
        handler = number(action, "sigaction")
        if handler == 1:
            ignored.append(signal_name(signo))
        elif handler:
            caught.append(signal_name(signo))
    return {"ignored": ignored, "caught": caught, "pending": _queue(task.get("signals_s"))}


def _interval(fields: t.Any) -> t.Optional[dict[str, int]]:
    if not isinstance(fields, dict):
        return None
    left = number(fields, "vsec") * 1_000_000 + number(fields, "vusec")
    every = number(fields, "isec") * 1_000_000 + number(fields, "iusec")
    return {"remaining_us": left, "interval_us": every} if left or every else None


def timers(task: Fields, images: Images, pid: int) -> dict[str, t.Any]:
    """Interval timers that run, and POSIX timers."""
    found = task.get("timers", {})
    old = [entry.fields for entry in images.each("itimers", pid)] if not found else []
    names = ("real", "virt", "prof")
    intervals = {
        name: _interval(found.get(name, old[index] if index < len(old) else None)) for index, name in enumerate(names)
    }
    posix = found.get("posix") or [entry.fields for entry in images.each("posix-timers", pid)]
    return {
        **{name: value for name, value in intervals.items() if value is not None},
        "posix": [
            {
                "id": number(timer, "it_id"),
                "clock": named(number(timer, "clock_id"), CLOCKS),
                "signal": signal_name(number(timer, "si_signo")),
                "remaining_ns": number(timer, "vsec") * 10**9 + number(timer, "vnsec"),
                "interval_ns": number(timer, "isec") * 10**9 + number(timer, "insec"),
                "overrun": number(timer, "overrun"),
            }
            for timer in posix
        ],
    }
