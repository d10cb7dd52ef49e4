# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what runs on one node can go on at another: what both told (see _agent/look.py) side by side.

The same is asked of an archive and a node, with reasons and sources, in _restore/preflight_cpu.py,
preflight_machine.py and preflight_process.py.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import collections
import typing as t

from .. import _capabilities as table
from .._kube.restore_request import Check
from .._restore.preflight_base import some
from .._restore.preflight_cpu import WORDS, XFEATURES
from .._restore.preflight_machine import CRIU_WITH_WIDE_COUNTS, GPU_FILES
from .._restore.unpack import MARGIN

Item = dict[str, t.Any]

INSTRUCTIONS = frozenset(XFEATURES.values()) | {name for word in WORDS.values() for name in word.values()}
"""What of the flags in /proc/cpuinfo a program may have chosen its code by."""

RATE = 100 << 20
"""Bytes in a second: about what a network of 1 Gbit/s carries."""

BASE_SECONDS = 0.5
"""For what a dump takes whatever its size."""

PREPARE = "Run the role checkpoint_restore.kubernetes.restore_runtime on the node"


class Ends(t.NamedTuple):
    """The names of both nodes, and what they told."""

    here: str
    there: str
    source: Item
    target: Item

    @property
    def containers(self) -> dict[str, Item]:
        """By name, what the source told of each."""
        return dict(self.source["containers"])

    def total(self, *names: str) -> int:
        """Bytes of these of all containers."""
        return sum(int(found[name]) for found in self.containers.values() for name in names)

    @property
    def absent(self) -> list[str]:
        """The containers whose images the target does not have."""
        return sorted(name for name, found in self.target["images"].items() if found is None)


def checks(ends: Ends, *, connections: str, copied: bool = False) -> list[Check]:
    """All but the images and the time.

    ``connections``: what becomes of established ones, ``refuse``, ``close`` or ``keep``. ``copied``: the processes run
    on beside their copy.
    """
    found = [*_told(ends)]
    for check in (_criu_version, _oci_runtime, _kernel, _cgroup, _cpu, _disk, _memory, _terminal, _devices):
        found += check(ends)
    return [*found, *_connections(ends, connections, copied=copied)]


def _told(ends: Ends) -> t.Iterator[Check]:
    """What each node said of itself alone."""
    yield from told_by(ends.here, "source_", ends.source)
    yield from told_by(ends.there, "", ends.target)


def told_by(node: str, prefix: str, told: Item) -> t.Iterator[Check]:
    """What a node said of itself alone. ``prefix``: of the checks' names."""
    for verdict in told["checks"]:
        result, hint = verdict["result"], verdict["hint"]
        if verdict["name"] == "restore_runtime" and result == "warning":
            # One that does not understand a ticket uses it up, and the replacement starts from its image.
            result, hint = "failed", PREPARE
        yield Check(prefix + verdict["name"], result, f"{node}: {verdict['reason']}", hint)


def _criu_version(ends: Ends) -> t.Iterator[Check]:
    before, after = (told["criu"]["version"] for told in (ends.source, ends.target))
    old, new = table.parse_version(before), table.parse_version(after)
    if old is None or new is None:
        return
    reason = f"CRIU {before} of {ends.here} dumps, CRIU {after} of {ends.there} restores"
    hint = f"Install CRIU {old[0]}.{old[1]} or later on {ends.there}"
    if old >= CRIU_WITH_WIDE_COUNTS > new:
        yield Check("criu_version", "failed", f"{reason}, which cannot read its page tables", hint)
    elif new[:2] < old[:2]:
        yield Check("criu_version", "warning", f"{reason}: older ones need not understand newer images", hint)
    else:
        yield Check("criu_version", "passed", reason)


def _oci_runtime(ends: Ends) -> t.Iterator[Check]:
    handler = ends.target["handler"]
    if handler is None:
        return
    kind = handler.get("kind")
    before = sorted({str(found["runtime"]) for found in ends.containers.values()})
    if kind not in table.CHECKPOINT_HANDLERS:
        reason = f"Behind the handler {handler['name']} of {ends.there} is neither runc nor crun"
        yield Check("oci_runtime", "failed", reason, PREPARE)
    elif handler.get("criu") is False:
        reason = f"The crun behind the handler {handler['name']} of {ends.there} has no CRIU"
        yield Check("oci_runtime", "failed", reason, "Install CRIU's library")
    else:
        yield Check("oci_runtime", "passed", f"{kind} {handler.get('version')} restores what {', '.join(before)} dumps")


def _kernel(ends: Ends) -> t.Iterator[Check]:
    before, after = (told["machine"]["kernel"] for told in (ends.source, ends.target))
    old, new = table.parse_version(before), table.parse_version(after)
    if old is None or new is None:
        return
    reason = f"{ends.here} has Linux {before}, {ends.there} has {after}"
    if new[:2] < old[:2]:
        hint = f"Choose a node with Linux {old[0]}.{old[1]} or later"
        yield Check("kernel", "warning", f"{reason}: what the processes use may be missing there", hint)
    else:
        yield Check("kernel", "passed", reason)


def _cgroup(ends: Ends) -> t.Iterator[Check]:
    before, after = (told["machine"]["cgroup"] for told in (ends.source, ends.target))
    if before is None or after is None:
        return
    reason = f"{ends.here} has control groups {before}, {ends.there} has {after}"
    if before != "v2" and after == "v2":
        reason += ": CRIU does not find there what the containers have mounted"
        yield Check("cgroup", "failed", reason, "Choose a node with control groups v1")
    elif before == "v2" and after != "v2":
        reason += ": what the processes read there may differ"
        yield Check("cgroup", "warning", reason, "Choose a node with control groups v2")
    else:
        yield Check("cgroup", "passed", reason)


def _cpu(ends: Ends) -> t.Iterator[Check]:
    before, after = (frozenset(told["flags"]) for told in (ends.source, ends.target))
    if not before or not after:
        return
    missing = sorted((before - after) & INSTRUCTIONS)
    hint = f"Choose a node with a processor like that of {ends.here}"
    if "xsave" in before - after:
        reason = f"The processes have an xsave area, and the processor of {ends.there} has no xsave"
        yield Check("cpu", "failed", reason, hint)
    elif missing:
        reason = (
            f"The processor of {ends.there} lacks {some(missing)}: CRIU restores all the same, and a program that uses "
            "it is ended by SIGILL"
        )
        yield Check("cpu", "warning", reason, hint)
    else:
        yield Check("cpu", "passed", f"The processor of {ends.there} has the instructions of that of {ends.here}")


def _disk(ends: Ends) -> t.Iterator[Check]:
    """The images; beside them, while they are still there, what is unpacked from them."""
    needed: t.Mapping[str, int] = {
        "images": ends.total("memory", "rootfs", "volumes"),
        "storage": ends.total("rootfs"),
        "volumes": ends.total("volumes"),
    }
    total: collections.Counter[t.Any] = collections.Counter()
    rooms: Item = {}
    for name, room in ends.target["rooms"].items():
        if room["free"] is not None:
            rooms.setdefault(room["device"], room)
            total[room["device"]] += needed[name]
    lacking = [
        f"{room['path']} ({total[device] + MARGIN} bytes wanted, {room['free']} free)"
        for device, room in rooms.items()
        if total[device] + MARGIN > room["free"]
    ]
    if lacking:
        reason = f"There is no room on {ends.there} in {', '.join(lacking)}, {MARGIN >> 20} MiB to stay free included"
        yield Check("disk", "failed", reason, "Make room on that file system, or choose another node")
    else:
        yield Check("disk", "passed", f"{ends.there} has room for {needed['images']} bytes of images")


def _memory(ends: Ends) -> t.Iterator[Check]:
    needed, available = ends.total("memory"), ends.target["memory"]
    if available is None:
        return
    reason = f"The processes take {needed} bytes of memory, {ends.there} has {available} available"
    if needed > available:
        yield Check("memory", "warning", reason, "Choose a node with more memory")
    else:
        yield Check("memory", "passed", reason)


def _terminal(ends: Ends) -> t.Iterator[Check]:
    found = sorted(name for name, told in ends.containers.items() if told["terminal"])
    if found:
        reason = f"A container with a terminal cannot be restored: {', '.join(found)}"
        yield Check("terminal", "failed", reason, "Take tty out of what the pod is made from")


def _devices(ends: Ends) -> t.Iterator[Check]:
    opened = sorted({path for told in ends.containers.values() for path in told["devices"]})
    used = {kind for kind, starts in GPU_FILES.items() if any(path.startswith(starts) for path in opened)}
    plugins = {"nvidia": "cuda_plugin.so", "amd": "amdgpu_plugin.so"}
    both = ((ends.here, ends.source), (ends.there, ends.target))
    lacking = sorted({f"{plugins[kind]} on {n}" for n, told in both for kind in used if not _has(told, plugins[kind])})
    absent = sorted(kind for kind in used if not (ends.target["machine"]["gpu"] or {}).get(kind))
    others = [path for path in opened if not any(path.startswith(s) for kind in used for s in GPU_FILES[kind])]
    if lacking:
        reason = f"The processes use accelerators, and CRIU lacks {', '.join(lacking)}"
        yield Check("gpu", "failed", reason, "Without its plugin CRIU does not dump what an accelerator holds")
    elif absent:
        reason = f"The processes use accelerators ({', '.join(absent)}), and {ends.there} has none of them"
        yield Check("gpu", "failed", reason, "Choose a node with the same accelerators")
    elif used:
        reason = "The processes use accelerators; whether those of both nodes are alike was not looked at"
        yield Check("gpu", "warning", reason)
    if others:
        reason = f"The processes have device files open, which CRIU may refuse to dump: {some(others)}"
        yield Check("devices", "warning", reason, "Have the program close them before the move")


def _has(told: Item, plugin: str) -> bool:
    return plugin in told["criu"]["plugins"]


def _connections(ends: Ends, wanted: str, *, copied: bool) -> t.Iterator[Check]:
    found, out = (
        sorted({text for told in ends.containers.values() for text in told[name]})
        for name in ("connections", "connections_out")
    )
    inside = [text for text in found if text not in out]
    if not found:
        yield Check("connections", "passed", "The processes have no established TCP connection")
        return
    reason = f"The processes have {len(found)} established TCP connections"
    what = "the copy will see closed" if copied else "will be closed"
    if wanted == "refuse":
        hint = "Close them, or set tcp_established to close"
        yield Check("connections", "failed", f"{reason}, which are not to be closed: {some(found)}", hint)
    elif wanted == "keep" and out:
        text = f"{reason}, {len(out)} of them to somewhere outside their container, which cannot be kept: {some(out)}"
        yield Check("connections", "failed", text, "Close them, or set tcp_established to close")
    elif wanted == "keep":
        yield Check("connections", "passed", f"{reason}, all within their container, which are kept: {some(found)}")
    elif inside:
        text = f"{reason}, which {what}, {len(inside)} of them within their container, so that nobody else reconnects: "
        hint = "If the program does not bear that, set tcp_established to keep, where none leads elsewhere"
        yield Check("connections", "warning", f"{text}{some(inside)}", hint)
    else:
        yield Check("connections", "passed", f"{reason}, which {what}: {some(found)}")


def images(ends: Ends, has: t.Mapping[str, str | None]) -> t.Iterator[Check]:
    """Whether the processes go on in the images that they began in. ``has``: by container, the ID on the target."""
    pairs = {name: (ends.source["images"].get(name), found) for name, found in sorted(has.items())}
    differing = [
        f"{name} runs in {before[:12]}, {ends.there} has {found[:12]}"
        for name, (before, found) in pairs.items()
        if before and found and before != found
    ]
    if differing:
        shown = ", ".join(differing)
        reason = f"Images of the same name are not the same on both nodes: {shown}"
        yield Check("image", "failed", reason, "Give the pod its images by their digests")
    elif None not in has.values():
        yield Check("image", "passed", f"{ends.there} has the images that the processes run in")


class Estimate(t.NamedTuple):
    """``bytes``: what is to be sent while the containers are frozen; ``seconds``: how long that may take."""

    bytes: int
    seconds: float


def estimate(ends: Ends) -> Estimate:
    """How long the containers will be frozen."""
    total = ends.total("memory", "rootfs", "volumes")
    return Estimate(total, round(BASE_SECONDS + total / RATE, 1))


def time(ends: Ends, frozen: float, limited_by: str) -> Check:
    """The time against the one that there is. ``frozen``: seconds; ``limited_by``: by what, for people."""
    needed = estimate(ends)
    reason = (
        f"The containers may be frozen for {frozen:g} s ({limited_by}). To send {needed.bytes >> 20} MiB takes about "
        f"{needed.seconds:g} s at {RATE >> 20} MiB/s"
    )
    if needed.seconds <= frozen:
        return Check("frozen_time", "passed", reason)
    return Check(
        "frozen_time",
        "warning",
        f"{reason}: if that is true, the move will be undone",
        "Give the probe a longer period or a higher threshold, or frozen_limit a longer time",
    )
