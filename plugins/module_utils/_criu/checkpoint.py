# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint as a whole: processes, files, mounts and everything else, read from an archive when asked for.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import copy
import functools
import typing as t

from .._archive.archive import Archive
from .._archive.identity import Identity
from .._archive.members import Member
from . import ipc, surroundings
from .files import Descriptor, Files
from .images import KNOWN_VERSIONS, Images, stats
from .memory import SharedMemory
from .names import MACHINES, named
from .payloads import Payload, payloads
from .process import Process, Shared, tree
from .tasks import SeccompFilters
from .wire import Fields, number

MAX_PARENTS = 16


class Checkpoint:
    """What is inside an archive. Nothing raises for damaged images: ``warnings`` says what is missing.

    Raises CheckpointError not_a_checkpoint where the archive has neither images nor config.dump.
    """

    def __init__(self, archive: Archive) -> None:
        archive.require_checkpoint()
        self.archive = archive
        self.notes = archive.notes
        folder = archive.image_folder()
        if folder is None:
            self.notes.add("images_missing", "The archive has no CRIU images")
        self.images = Images(archive.images(folder) if folder is not None else {}, self.notes, self._parent(folder, 0))
        version = number(self.inventory_fields, "img_version")
        if version and version not in KNOWN_VERSIONS:
            text = f"The images have version {version}, which is newer than what is known here"
            self.notes.add("newer_images", text, "inventory.img")

    def _parent(self, folder: t.Optional[str], depth: int) -> t.Optional[Images]:
        """The images behind the link "parent": a folder beside this one (Podman's pre-checkpoint)."""
        if folder is None or depth >= MAX_PARENTS:
            return None
        link = self.archive.tree.get(f"{folder}/parent" if folder else "parent")
        if link is None or link.kind not in ("symlink", "directory"):
            return None
        # Only a folder of this archive counts, whatever else the link may say.
        name = link.name if link.kind == "directory" else link.link.strip("/").split("/")[-1]
        if name == folder or not self.archive.tree.under(name):
            self.notes.add(
                "parent_images_missing", "The images of the dump before this one are not in the archive", link.name
            )
            return None
        return Images(self.archive.images(name), self.notes, self._parent(name, depth + 1))

    @property
    def warnings(self) -> list[dict[str, str]]:
        return self.notes.as_list()

    @functools.cached_property
    def identity(self) -> Identity:
        """The archive's identity; where its log is missing, the architecture is that of the processes."""
        found = self.archive.identity
        if found.architecture is None and self.machine != "unknown":
            found = copy.copy(found)
            found.architecture = self.machine
        return found

    @functools.cached_property
    def inventory_fields(self) -> Fields:
        return self.images.one("inventory")

    @property
    def inventory(self) -> dict[str, t.Any]:
        return surroundings.inventory(self.images)

    @functools.cached_property
    def machine(self) -> str:
        """The architecture, from the first core image."""
        for pid in self.images.ids("core"):
            return named(number(self.images.one("core", pid), "mtype"), MACHINES)
        return "unknown"

    @functools.cached_property
    def files(self) -> Files:
        arm = self.machine in ("arm", "aarch64", "ppc64")
        return Files(self.images, arm=arm, big_endian=self.machine == "s390")

    @functools.cached_property
    def shared_memory(self) -> SharedMemory:
        return SharedMemory(self.images)

    @functools.cached_property
    def _tree(self) -> tuple[list[Process], dict[int, Process]]:
        shared = Shared(self.images, self.files, self.shared_memory, SeccompFilters(self.images))
        roots, found = tree(self.images, shared)
        if self.archive.sequential:
            wanted = [place for process in found.values() if process.alive for place in process.text_locations()]
            self.archive.tree.prefetch(wanted)
        return roots, found

    @property
    def roots(self) -> list[Process]:
        """The processes without a parent in the checkpoint: one, unless the images are damaged."""
        return self._tree[0]

    @property
    def by_pid(self) -> dict[int, Process]:
        return self._tree[1]

    @property
    def processes(self) -> list[Process]:
        """All processes by pid."""
        return [self.by_pid[pid] for pid in sorted(self.by_pid)]

    def peer(self, descriptor: Descriptor) -> list[tuple[int, int]]:
        """Who holds the other end of a pipe or of a connected unix socket: (pid, descriptor)."""
        if descriptor.type == "unix_socket":
            return self._by_inode.get(descriptor.details.get("peer_inode") or -1, [])
        if descriptor.type == "pipe":
            ends = self._by_pipe.get(descriptor.details["pipe_id"], [])
            return [(pid, number_) for pid, number_, access in ends if access != descriptor.access]
        return []

    @functools.cached_property
    def _by_inode(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = {}
        for process in self.processes:
            for descriptor in process.descriptors:
                if descriptor.type == "unix_socket":
                    found.setdefault(descriptor.details["inode"], []).append((process.pid, descriptor.number))
        return found

    @functools.cached_property
    def _by_pipe(self) -> dict[int, list[tuple[int, int, t.Optional[str]]]]:
        found: dict[int, list[tuple[int, int, t.Optional[str]]]] = {}
        for process in self.processes:
            for descriptor in process.descriptors:
                if descriptor.type == "pipe":
                    place = (process.pid, descriptor.number, descriptor.access)
                    found.setdefault(descriptor.details["pipe_id"], []).append(place)
        return found

    @functools.cached_property
    def mounts(self) -> list[dict[str, t.Any]]:
        return surroundings.mounts(self.images)

    @functools.cached_property
    def namespaces(self) -> dict[str, t.Any]:
        return surroundings.namespaces(self.images)

    @property
    def hostname(self) -> t.Optional[str]:
        return next((found["hostname"] for found in self.namespaces["uts"]), None)

    @functools.cached_property
    def network_devices(self) -> list[dict[str, t.Any]]:
        return surroundings.network_devices(self.images)

    @functools.cached_property
    def cgroups(self) -> dict[str, t.Any]:
        return surroundings.cgroups(self.images)

    @functools.cached_property
    def apparmor(self) -> list[dict[str, t.Any]]:
        return surroundings.apparmor(self.images)

    @functools.cached_property
    def locks(self) -> list[dict[str, t.Any]]:
        return surroundings.locks(self.images)

    @functools.cached_property
    def ipc(self) -> dict[str, t.Any]:
        return ipc.as_dict(self.images)

    @functools.cached_property
    def statistics(self) -> t.Optional[dict[str, t.Optional[int]]]:
        """The dump's own statistics; None where the engine did not keep them (containerd 2.0)."""
        member = self._stats_member()
        return surroundings.statistics(stats(member, self.notes)) if member is not None else None

    def _stats_member(self) -> t.Optional[Member]:
        return self.archive.tree.file("stats-dump") or self.images.file("stats-dump")

    def payloads(self) -> t.Iterator[Payload]:
        """Everything beside process memory that holds bytes of the workload."""
        return payloads(self.images, self.files, self.shared_memory)
