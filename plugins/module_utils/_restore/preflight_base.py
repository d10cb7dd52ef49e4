# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight looks at: one archive, this node, and the pod that is to be; and what a check says.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import functools
import os
import re
import typing as t

from .._archive.archive import Archive
from .._archive.identity import Identity
from .._archive.members import Member
from .._common.errors import CheckpointError
from .._criu.checkpoint import Checkpoint
from .._criu.images import Images
from .._node.facts import disk, node_facts
from .._node.files import read_text
from .._node.programs import run
from .ticket import BASE
from .unpack import Opened

Facts = dict[str, t.Any]
PASSED, WARNING, FAILED, SKIPPED = "passed", "warning", "failed", "skipped"
IMAGES = re.compile(r"\.img$")
CRIO_SECONDS = 5.0
SHOWN = 5


class Verdict(t.NamedTuple):
    """What one check says: its name, one of passed, warning, failed and skipped, why, and what to do."""

    name: str
    result: str
    reason: str
    hint: str = ""


def passed(name: str, reason: str) -> Verdict:
    return Verdict(name, PASSED, reason)


def warning(name: str, reason: str, hint: str = "") -> Verdict:
    return Verdict(name, WARNING, reason, hint)


def failed(name: str, reason: str, hint: str = "") -> Verdict:
    return Verdict(name, FAILED, reason, hint)


def skipped(name: str, reason: str) -> Verdict:
    return Verdict(name, SKIPPED, reason)


def some(items: t.Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def mapping(value: t.Any) -> dict[str, t.Any]:
    """The value if it is a JSON object, else an empty one: documents of an archive may hold anything."""
    return value if isinstance(value, dict) else {}


def objects(value: t.Any) -> list[dict[str, t.Any]]:
    """The objects in a JSON array; none where it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: t.Any) -> list[str]:
    """The strings in a JSON array; none where it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


class Wanted(t.NamedTuple):
    """What is to be done: ``method`` is "runtime" or "image"; ``security`` and ``accept`` as a ticket has them."""

    method: str
    handler: str
    definition: dict[str, t.Any]
    security: str
    accept: tuple[str, ...]


class InRegistry:
    """An archive in an image that the container runtime will fetch: whoever may push it there is trusted already."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def close(self) -> None:
        self.archive.close()


Opener = t.Callable[[str], t.Union[Opened, InRegistry]]


class Subject:
    """One archive that may be restored. Raises what Opened raises, and CheckpointError not_a_checkpoint."""

    def __init__(self, path: str, opener: Opener = Opened) -> None:
        self.path = path
        self.opened = opener(path)
        try:
            self.checkpoint = Checkpoint(self.archive)
            if self.archive.image_folder() is None:
                raise CheckpointError("not_a_checkpoint", "The archive has no images of CRIU")
        except BaseException:
            self.opened.close()
            raise

    def close(self) -> None:
        self.opened.close()

    @property
    def archive(self) -> Archive:
        return self.opened.archive

    @property
    def images(self) -> Images:
        return self.checkpoint.images

    @property
    def identity(self) -> Identity:
        return self.checkpoint.identity

    @property
    def container(self) -> str:
        return self.identity.container or ""

    @functools.cached_property
    def members(self) -> dict[str, Member]:
        """The images by name, pages included."""
        found = self.archive.images(self.archive.image_folder() or "")
        return {name: member for name, member in found.items() if member.kind == "file" and IMAGES.search(name)}

    @property
    def page_bytes(self) -> int:
        """Bytes of memory that a restore fills."""
        return sum(member.size for name, member in self.members.items() if name.startswith("pages-"))

    @functools.cached_property
    def spec(self) -> dict[str, t.Any]:
        """The configuration that the container was dumped with (OCI runtime-spec), as far as it is an object."""
        return self.archive.documents.object("spec.dump")


class Node:
    """This node: the facts of checkpoint_node_info and what else the checks need of it.

    ``flags`` and ``vendor`` are those of /proc/cpuinfo. ``memory``: bytes available, None where not known. ``room``:
    the disk that the restore runtime unpacks on. ``crio_capabilities``: what CRI-O grants by default, None for its own.
    """

    def __init__(
        self,
        facts: Facts,
        *,
        flags: t.Collection[str] = (),
        vendor: str = "",
        memory: t.Optional[int] = None,
        room: t.Optional[Facts] = None,
        crio_capabilities: t.Optional[list[str]] = None,
    ) -> None:
        self.facts = facts
        self.flags = frozenset(flags)
        self.vendor = vendor
        self.memory = memory
        self.room = room
        self.crio_capabilities = crio_capabilities

    @property
    def runtime(self) -> Facts:
        return mapping(self.facts.get("runtime"))

    @property
    def criu(self) -> Facts:
        return mapping(self.facts.get("criu"))

    @property
    def machine(self) -> Facts:
        return mapping(self.facts.get("machine"))

    def handler(self, wanted: Wanted) -> t.Optional[Facts]:
        """The runtime handler that restores; None where the node does not have it."""
        handlers = objects(self.runtime.get("handlers"))
        if wanted.method == "image":
            return next((found for found in handlers if found.get("default")), None)
        return next((found for found in handlers if found.get("name") == wanted.handler), None)


def cpu(text: str) -> tuple[list[str], str]:
    """The flags and the vendor of the first processor in /proc/cpuinfo; empty where it has none."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found.get("flags", "").split(), found.get("vendor_id", "")


def available(text: str) -> t.Optional[int]:
    """Bytes of memory that /proc/meminfo calls available."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) << 10 if found else None


def look(base: str = BASE) -> Node:
    """This node as it is now."""
    facts = node_facts()
    flags, vendor = cpu(read_text("/proc/cpuinfo") or "")
    return Node(
        facts,
        flags=flags,
        vendor=vendor,
        memory=available(read_text("/proc/meminfo") or ""),
        room=disk(os.path.join(base, "restores")),
        crio_capabilities=_crio_capabilities(mapping(facts.get("runtime"))),
    )


def _crio_capabilities(runtime: Facts) -> t.Optional[list[str]]:
    """default_capabilities of CRI-O as it is in force (cri-o pkg/config/config.go, v1.36.3)."""
    if runtime.get("name") != "cri-o" or not runtime.get("path"):
        return None
    shown = run([runtime["path"], "status", "--socket", runtime.get("socket") or "", "config"], CRIO_SECONDS).stdout
    found = re.search(r"^\s*default_capabilities = \[([^\]]*)\]", shown, re.MULTILINE)
    return re.findall(r'"([A-Z_]+)"', found.group(1)) if found else None
