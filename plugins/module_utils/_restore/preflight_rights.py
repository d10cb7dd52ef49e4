# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The new pod against what was dumped: its mounts, and what the processes hold.

The comparison of rights is that of the restore itself (security.py), with the bundle foreseen (preflight_pod.py).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .._criu.wire import text
from . import rootfs
from .preflight_base import Node, Subject, Verdict, Wanted, failed, mapping, objects, passed, skipped, some, warning
from .preflight_pod import EMPTY, Planned, planned, pod_mounts, renamed
from .preflight_process import container_of
from .security import ALWAYS, dumped_mounts, excesses, judge, mount_point, set_id_excesses
from .volumes import require_open_files

BY_IMAGE = "Give the pod what the process had, or restore with the restore runtime and security clamp"
NO_CONTAINER = "Without the container of the new pod nothing can be compared"
NO_DEFINITION = "No definition of the pod was given"


def container(subject: Subject, _node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    if not wanted.definition:
        yield skipped("container", NO_DEFINITION)
    elif not container_of(wanted.definition, subject.container):
        names = [str(found.get("name")) for found in objects(mapping(wanted.definition.get("spec")).get("containers"))]
        yield failed(
            "container",
            f"The archive is of the container {subject.container}, the pod has {some(names)}",
            "Name the containers of the new pod as those of the old one",
        )
    else:
        yield passed("container", f"The pod has the container {subject.container}")


def mounts(subject: Subject, node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    if not container_of(wanted.definition, subject.container):
        yield skipped("mounts", NO_CONTAINER)
        return
    bundle = planned(subject, node, wanted)
    there = {mount.path for mount in bundle.mounts} | {*ALWAYS, *bundle.linux["maskedPaths"]}
    dumped = {mount_point(fields) for fields in dumped_mounts(subject.images) if text(fields, "ext_key")}
    missing = sorted(point for point in dumped - there if not point.startswith("/sys/fs/cgroup"))
    other = renamed(subject.spec, subject.images)
    new = sorted(
        path for path in pod_mounts(wanted, subject.container) if other.get(path, path) not in dumped | {"/etc/hosts"}
    )
    if missing:
        yield failed(
            "mounts",
            f"The process had mounts at {some(missing)}, the new pod has none there",
            "Give the new pod the mounts of the old one",
        )
    elif new:
        yield warning(
            "mounts",
            f"The new pod mounts {some(new)}, which the old one did not have: the restored process will not see it",
            "Start the pod cold where the process needs it",
        )
    else:
        yield passed("mounts", "The new pod has the mounts of the old one")


def open_files(subject: Subject, node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    """Files that were open in volumes, where this node can tell: hostPath is there, and emptyDir begins empty."""
    if not container_of(wanted.definition, subject.container):
        yield skipped("open_files", NO_CONTAINER)
        return
    bundle = planned(subject, node, wanted)
    mounts_ = objects(bundle.config["mounts"])
    known = [{**mount, "source": mount.get("source", "").replace(EMPTY, "")} for mount in mounts_]
    absent = _missing(subject, Planned({**bundle.config, "mounts": known}))
    empty = _missing(subject, bundle)
    if absent is not None:
        yield failed("open_files", absent.reason, absent.hint)
    elif empty is not None:
        yield warning("open_files", empty.reason, empty.hint)
    else:
        yield passed("open_files", "The processes had no file open in a volume where it is missing on this node")


def _missing(subject: Subject, bundle: Planned) -> t.Optional[CheckpointError]:
    try:
        require_open_files(subject.images, bundle)
    except CheckpointError as error:
        return error
    return None


def security(subject: Subject, node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    if not container_of(wanted.definition, subject.container):
        yield skipped("security", NO_CONTAINER)
        return
    bundle = planned(subject, node, wanted)
    by_image = wanted.method == "image"
    try:
        files = rootfs.set_id_files(rootfs.wanted(subject.archive))
        found = [*excesses(subject.images, bundle), *set_id_excesses(files, bundle)]
        # A container runtime that restores an image takes nothing away.
        taken = judge(found, "refuse" if by_image else wanted.security, wanted.accept)
    except CheckpointError as error:
        yield failed("security", error.reason, BY_IMAGE if by_image else error.hint)
        return
    if taken:
        names = "; ".join(f"{excess.text} [{excess.name}]" for excess in taken)
        yield warning("security", f"The processes hold more than the pod grants, and will lose it: {names}")
    elif found:
        names = "; ".join(f"{excess.text} [{excess.name}]" for excess in found)
        yield warning("security", f"The processes hold more than the pod grants, and keep it, as was accepted: {names}")
    else:
        yield passed("security", "The processes hold no more than the pod grants")
