# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of containerd: a file of ours where it imports a directory, otherwise marked lines in its own file.

containerd merges imported files into the main one key by key, the later over the earlier (containerd
cmd/containerd/server/config/config.go, mergeConfig, v2.0.14 to v2.4.2; tried with v2.1.9). No directory is imported
unless the main file says so: the default /etc/containerd/conf.d/*.toml (v2.2 and later) is only what
``containerd config default`` prints. A file of another version than the main one would not be migrated together with it
(the same file, LoadConfig), so ours says the same version.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import typing as t

from .._capabilities import CONTAINERD_TABLE, CONTAINERD_TABLE_V2, runtime_switches
from .._common.errors import CheckpointError
from .._node.files import under
from .._node.processes import option
from .._node.toml import Document, document, split_key
from . import switches as asked
from .changes import OURS, FileChange, Plan, change, conflict, read, without_ours
from .marks import appended, without_marked
from .running import running
from .toml import Tables, assignments, drop_in, edited

COMPONENT = "containerd"
FILE = "/etc/containerd/config.toml"
NAME = "90-checkpoint-restore.toml"
GENERATED = {
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml": ("k3s", "k3s-agent"),
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml": ("rke2-server", "rke2-agent"),
}
"""Files that a distribution writes at each of its starts (k3s pkg/agent/containerd/config.go) -> its units."""


def main_file(root: str) -> str:
    argv = running(root, "containerd")
    given = option(argv or (), "--config", "-c")
    return given or next((path for path in GENERATED if os.path.exists(under(root, path))), FILE)


def units(root: str, path: str) -> tuple[str, ...]:
    """What has to be restarted: containerd, or the distribution that runs it."""
    if path not in GENERATED:
        return ("containerd",)
    names = GENERATED[path]
    enabled = [name for name in names if os.path.exists(under(root, f"/etc/systemd/system/{name}.service"))]
    return tuple(enabled[:1]) or names[:1]


def imports(root: str, path: str, main: Document) -> tuple[list[str], list[str]]:
    """The patterns that the main file imports, as absolute paths, and the files that they find, in order."""
    entry = main.find(("imports",))
    values = entry.value if entry is not None and isinstance(entry.value, list) else []
    patterns = [os.path.normpath(os.path.join(os.path.dirname(path), value)) for value in values]
    found: list[str] = []
    for pattern in patterns:
        matches = sorted(glob.glob(under(root, pattern))) if "*" in pattern else [under(root, pattern)]
        found += ["/" + os.path.relpath(match, root) for match in matches]
    return patterns, found


def plan(root: str, settings: t.Mapping[str, t.Any], versions: t.Mapping[str, t.Any], state: str) -> Plan:
    """What to change. ``versions``: ``containerd``.

    Raises CheckpointError: ``not_supported``, ``invalid_option``, ``conflicting_setting``, ``configuration_form``,
    ``unreadable_configuration``.
    """
    path = main_file(root)
    restart = units(root, path)
    before = read(root, path)
    theirs = without_ours(before)
    main = document(theirs or "")
    patterns, imported = imports(root, path, main)
    folder = next((os.path.dirname(item) for item in patterns if fnmatch.fnmatch(NAME, os.path.basename(item))), None)
    ours = os.path.join(folder, NAME) if folder else None
    own = read(root, ours) if ours else None
    if state == "absent":
        gone = change(path, before, theirs, OURS)
        if ours:
            gone += change(ours, own, without_ours(own), OURS)
        return Plan(COMPONENT, gone, restart)
    version = str(versions["containerd"])
    shown = f"containerd {version}"
    switches = runtime_switches("containerd", version)
    number = _version(path, theirs, main)

    def renamed(table: str) -> str:
        return CONTAINERD_TABLE_V2 if number == 2 and table == CONTAINERD_TABLE else table

    def effective(table: str, key: str) -> t.Any:
        value = None
        for file in [path, *imported]:
            entry = document(without_marked(read(root, file) or "")).find((*split_key(renamed(table)), *split_key(key)))
            value = value if entry is None else entry.value
            if entry is not None and ours is not None and file in imported and file > ours:
                later[table, key] = (file, entry.value)
        return value

    later: dict[tuple[str, str], tuple[str, t.Any]] = {}
    wanted = asked.wanted(shown, switches, settings, effective)
    for table, keys in wanted.items():
        for key in keys:
            if (table, key) in later:
                file, value = later[table, key]
                raise conflict(file, f"{key} = {value}", f"[{table}] {key}")
    tables = {renamed(table): keys for table, keys in wanted.items()}
    what = ", ".join(assignments(tables)) or OURS
    changes: tuple[FileChange, ...]
    if ours:
        mine = without_ours(own)
        changes = change(ours, own, appended(mine or "", drop_in(tables, number)) if tables else mine, what)
        changes += change(path, before, theirs, OURS)
    elif tables and path in GENERATED:
        raise CheckpointError(
            "configuration_form",
            f"{path} is written anew by {restart[0]} at each start, and imports no directory",
            hint="Upgrade to a release that imports config-v3.toml.d, or put the settings into its template yourself",
        )
    else:
        changes = change(path, before, _with(path, theirs, tables, number), what)
    return Plan(COMPONENT, changes, restart, asked.warnings(shown, switches, settings))


def _version(path: str, text: t.Optional[str], main: Document) -> int:
    entry = main.find(("version",))
    number = 3 if text is None else entry.value if entry is not None else 1
    if number not in (2, 3, 4):
        raise CheckpointError(
            "configuration_form",
            f"{path} is a configuration of version {number}",
            hint="Migrate it: containerd config migrate",
        )
    return int(number)


def _with(path: str, theirs: t.Optional[str], tables: Tables, number: int) -> t.Optional[str]:
    """The main file with our lines in it, which are all of it where there was none."""
    if not tables:
        return theirs
    if theirs is None:
        return drop_in(tables, number)
    try:
        return edited(theirs, tables)
    except ValueError as error:
        raise CheckpointError(
            "configuration_form",
            f"{path} cannot be edited line by line: {error}",
            hint="Add imports = ['/etc/containerd/conf.d/*.toml'] to it",
        ) from error
