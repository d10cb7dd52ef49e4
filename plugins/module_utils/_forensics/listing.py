# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which archives there are, and what each is: what checkpoint_info returns.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import datetime
import fnmatch
import glob
import os
import time
import typing as t

from .._archive.archive import Archive, open_archive
from .._archive.identity import Identity
from .._common.errors import CheckpointError
from .._common.moments import utc
from .._criu.clean import clean
from .archive_facts import described

KUBELET_FOLDER = "/var/lib/kubelet/checkpoints"
"""Where the kubelet has engines write, unless its root directory is another (kubernetes
pkg/kubelet/kubelet_getters.go)."""

PREFIX = "checkpoint-"
SUFFIXES = tuple(f".{kind}" for kind in ("tar", "tgz", "tbz2", "txz", "tzst"))
SUFFIXES += tuple(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst", "zstd"))
INSIDE = ("config.dump", "oci-layout", os.path.join("checkpoint", "inventory.img"), "inventory.img")
"""What is in a folder that is a checkpoint itself, unpacked or as an OCI layout."""

Data = dict[str, t.Any]


class Filters(t.NamedTuple):
    """What to list. Names are patterns of fnmatch; empty lists want all. Ages in seconds since the checkpoint."""

    namespaces: t.Sequence[str] = ()
    pods: t.Sequence[str] = ()
    containers: t.Sequence[str] = ()
    images: t.Sequence[str] = ()
    older_than: t.Optional[float] = None
    newer_than: t.Optional[float] = None

    def match(self, identity: Identity) -> bool:
        """Whether what is inside an archive is wanted."""
        pairs: tuple[tuple[t.Sequence[str], tuple[t.Optional[str], ...]], ...] = (
            (self.namespaces, (identity.namespace,)),
            (self.pods, (identity.pod,)),
            (self.containers, (identity.container,)),
            (self.images, (identity.image, identity.image_name, identity.image_digest, identity.image_id)),
        )
        return all(
            not patterns or any(fnmatch.fnmatchcase(name or "", pattern) for pattern in patterns for name in names)
            for patterns, names in pairs
        )

    def old_enough(self, seconds: float, now: float) -> bool:
        age = now - seconds
        if self.older_than is not None and age < self.older_than:
            return False
        return self.newer_than is None or age <= self.newer_than


def _looks_like_archive(name: str) -> bool:
    return name.startswith(PREFIX) or name.lower().endswith(SUFFIXES)


def is_checkpoint_folder(path: str) -> bool:
    """Whether a folder is an archive itself, not one that holds archives."""
    return any(os.path.lexists(os.path.join(path, name)) for name in INSIDE)


def _in_folder(path: str) -> t.Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            folder = entry.is_dir()
            if is_checkpoint_folder(entry.path) if folder else _looks_like_archive(entry.name):
                yield entry.path


def _failed(path: str, error: CheckpointError) -> Data:
    return {**_entry(path), "code": error.code, "reason": error.reason, "message": error.message}


def _entry(path: str) -> Data:
    """An archive of which nothing is known but what the file system tells."""
    try:
        info: t.Optional[os.stat_result] = os.stat(path)
    except (OSError, ValueError):
        info = None
    return {
        "path": path,
        "readable": False,
        "code": None,
        "reason": None,
        "message": "",
        "format": None,
        "compression": None,
        "layer_digest": None,
        "reference": None,
        "size": info.st_size if info is not None else None,
        "modified": utc(info.st_mtime) if info is not None else None,
        "identity": Identity().as_dict(),
        "notes": [],
    }


def found(paths: t.Optional[t.Iterable[str]]) -> t.Iterator[tuple[str, t.Optional[CheckpointError]]]:
    """(path, why it cannot even be looked at) of the archives that files, patterns and folders name, each once.

    None stands for the kubelet's folder, which does not exist where nothing was ever checkpointed.
    """
    seen: set[str] = set()
    given = [KUBELET_FOLDER] if paths is None else paths
    for path in given:
        matches = [path] if os.path.lexists(path) or not glob.has_magic(path) else sorted(glob.glob(path))
        for match in matches:
            try:
                folder = os.path.isdir(match) and not is_checkpoint_folder(match)
                inside = sorted(_in_folder(match)) if folder else [match]
                problem = None
            except OSError as error:
                inside = [match]
                problem = CheckpointError("folder_unreadable", "The folder could not be read", message=str(error))
            for archive in inside:
                if archive not in seen and not (paths is None and not os.path.lexists(archive)):
                    seen.add(archive)
                    yield archive, problem


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def listed(
    path: str, filters: Filters, now: float, opened: t.Callable[[str], Archive] = open_archive
) -> t.Optional[Data]:
    """The entry of an archive, None where the filters do not want it. What cannot be read matches every name."""
    try:
        with opened(path) as archive:
            archive.require_checkpoint()
            identity = archive.identity
            shown = {**_entry(path), **described(archive), "readable": True, "identity": identity.as_dict()}
            shown["notes"] = archive.notes.as_list()
            if not filters.match(identity):
                return None
    except CheckpointError as error:
        shown = _failed(path, error)
        identity = Identity()
    moment = identity.checkpointed or shown["modified"]
    if moment is not None and not filters.old_enough(_seconds(moment), now):
        return None
    return shown


def _escaped(entry: Data) -> Data:
    """The entry JSON-clean; "escaped" tells where bytes that are not UTF-8 stand as ``\\xNN``."""
    places: list[str] = []
    cleaned: Data = clean(entry, "", places)
    return {**cleaned, "escaped": places}


def listing(
    paths: t.Optional[t.Iterable[str]] = None,
    filters: t.Optional[Filters] = None,
    now: t.Optional[float] = None,
    opened: t.Callable[[str], Archive] = open_archive,
) -> list[Data]:
    """All archives that are wanted, by path. ``now``: seconds since 1970."""
    wishes, moment = filters or Filters(), time.time() if now is None else now
    entries = (
        _failed(path, problem) if problem is not None else listed(path, wishes, moment, opened)
        for path, problem in found(paths)
    )
    return sorted((_escaped(entry) for entry in entries if entry is not None), key=lambda entry: str(entry["path"]))
