# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of CRI-O: one file of ours among those of its drop-in directory.

CRI-O reads its file, then every file below the directory in the order of their names, each over the ones before (cri-o
pkg/config/config.go, UpdateFromPath, v1.36.3). Options on its command line stand above all of them.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import typing as t

from .._capabilities import runtime_switches
from .._node.files import under
from .._node.processes import option
from .._node.toml import document, split_key
from . import switches as asked
from .changes import OURS, Plan, change, conflict, read, without_ours
from .marks import appended, without_marked
from .running import running
from .toml import assignments, drop_in

COMPONENT = "crio"
UNIT = "crio"
FILE = "/etc/crio/crio.conf"
FOLDER = "/etc/crio/crio.conf.d"
NAME = "90-checkpoint-restore.conf"
FLAGS = {
    ("crio.runtime", "enable_criu_support"): "--enable-criu-support",
    ("crio.checkpoint_restore", "container_level_enabled"): "--checkpoint-restore-level",
}


class Sources(t.NamedTuple):
    """Where CRI-O's configuration is."""

    file: str
    folder: str
    argv: tuple[str, ...]


def sources(root: str) -> Sources:
    argv = running(root, "crio") or ()
    return Sources(option(argv, "--config", "-c") or FILE, option(argv, "--config-dir", "-d") or FOLDER, argv)


def files(root: str, where: Sources) -> list[str]:
    """All files that CRI-O reads, in its order."""
    top = under(root, where.folder)
    found = [where.file]
    for folder, _folders, names in sorted(os.walk(top)):
        found += [os.path.join(where.folder, os.path.relpath(folder, top), name) for name in sorted(names)]
    return [os.path.normpath(path) for path in found]


def plan(root: str, settings: t.Mapping[str, t.Any], versions: t.Mapping[str, t.Any], state: str) -> Plan:
    """What to change. ``versions``: ``crio``, and ``crio_table``, whether it lists the table [crio.checkpoint_restore].

    Raises CheckpointError: ``not_supported``, ``invalid_option``, ``conflicting_setting``,
    ``unreadable_configuration``.
    """
    where = sources(root)
    path = os.path.join(where.folder, NAME)
    before = read(root, path)
    theirs = without_ours(before)
    if state == "absent":
        return Plan(COMPONENT, change(path, before, theirs, OURS), (UNIT,))
    version = str(versions["crio"])
    shown = f"CRI-O {version}"
    switches = runtime_switches("cri-o", version, crio_table=versions.get("crio_table"))

    def effective(table: str, key: str) -> t.Any:
        return _effective(root, where, table, key, until=None)[0]

    wanted = asked.wanted(shown, switches, settings, effective)
    for table, keys in wanted.items():
        for key, value in keys.items():
            _check_above(root, where, table, key, value)
    after = appended(theirs or "", drop_in(wanted)) if wanted else theirs
    changes = change(path, before, after, ", ".join(assignments(wanted)) or OURS)
    return Plan(COMPONENT, changes, (UNIT,), asked.warnings(shown, switches, settings))


def _effective(root: str, where: Sources, table: str, key: str, until: t.Optional[str]) -> tuple[t.Any, str]:
    """The value without us, and the file that has it. With ``until`` only files after that one count."""
    value, place = None, ""
    for path in files(root, where):
        if until is not None and path <= until:
            continue
        entry = document(without_marked(read(root, path) or "")).find((*split_key(table), *split_key(key)))
        if entry is not None:
            value, place = entry.value, path
    return value, place


def _check_above(root: str, where: Sources, table: str, key: str, value: t.Any) -> None:
    """Whether anything that CRI-O reads after our file says otherwise."""
    shown = f"[{table}] {key}"
    flag = FLAGS.get((table, key))
    given = option(where.argv, flag) if flag else None
    if given is not None and given != str(value).lower():
        raise conflict("The command line of crio", f"{flag}={given}", shown)
    ours = os.path.join(where.folder, NAME)
    later, place = _effective(root, where, table, key, until=ours)
    if place and place != where.file and later != value:
        raise conflict(place, f"{key} = {later}", shown)
