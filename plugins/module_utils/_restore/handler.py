# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling CRI-O and containerd of the restore runtime: a handler of its own, beside those that are there.

The handler takes after the node's default one, as far as that says how the node works: the monitor and its group
(CRI-O), systemd's groups or not (containerd). Sources: cri-o pkg/config/config.go, v1.36.3 (RuntimeHandler; files of
crio.conf.d are read in the order of their names); containerd internal/cri/config/config.go, v2.1.9 (Runtime), and
plugin names by version of the configuration: 2 "io.containerd.grpc.v1.cri", 3 "io.containerd.cri.v1.runtime".

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import fnmatch
import os
import typing as t

from .._common.errors import CheckpointError
from .._node.programs import run, which
from .._node.toml import document
from .._settings import containerd as containerd_files
from .._settings import crio as crio_files
from .._settings.changes import FileChange, Plan, change, read
from .._settings.running import running
from .._settings.toml import literal

SECONDS = 20.0
BEGIN = "# BEGIN checkpoint_restore.kubernetes restore runtime"
END = "# END checkpoint_restore.kubernetes restore runtime"
CRIO_NAME = "91-checkpoint-restore-runtime.conf"
CONTAINERD_NAME = "91-checkpoint-restore-runtime.toml"
PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime", 4: "io.containerd.cri.v1.runtime"}
LIKE_THE_DEFAULT = ("runtime_root", "monitor_path", "monitor_cgroup", "monitor_exec_cgroup")


class Handler(t.NamedTuple):
    """The handler's name, the program behind it, and whether it is to be the node's default one."""

    name: str
    program: str
    default: bool


def plans(handler: t.Optional[Handler]) -> list[Plan]:
    """What to change for the container runtimes of this node; without a handler it goes. Raises CheckpointError."""
    found: list[Plan] = []
    for name, plan in (("crio", _crio), ("containerd", _containerd)):
        if running("/", name) or (which(name) and not running("/", "crio", "containerd")):
            found.append(plan(handler))
    return found


def _dump(*words: str) -> t.Any:
    done = run(words, SECONDS)
    if not done.ok:
        raise CheckpointError(
            "configuration_refused", f"{words[0]} cannot read its configuration", message=done.stderr.strip()
        )
    return document(done.stdout)


def _value(found: t.Any, *key: str) -> t.Any:
    entry = found.find(key)
    return entry.value if entry is not None else None


def _table(name: str, keys: t.Mapping[str, t.Any]) -> str:
    lines = [f"{key} = {literal(value)}\n" for key, value in keys.items() if value is not None]
    return f"[{name}]\n{''.join(lines)}"


def _crio(handler: t.Optional[Handler]) -> Plan:
    path = os.path.join(crio_files.sources("/").folder, CRIO_NAME)
    before = read("/", path)
    after = None
    if handler is not None:
        config = _dump("crio", "config")
        usual = _value(config, "crio", "runtime", "default_runtime") or "crun"
        # With our own as the default, what it was made after is what it says itself.
        like = {key: _value(config, "crio", "runtime", "runtimes", usual, key) or None for key in LIKE_THE_DEFAULT}
        keys = {"runtime_path": handler.program, "runtime_type": "oci", **like}
        after = _table("crio.runtime", {"default_runtime": handler.name}) + "\n" if handler.default else ""
        after += _table(f"crio.runtime.runtimes.{handler.name}", keys)
    return Plan("crio", change(path, before, after, _what(handler)), (crio_files.UNIT,))


def _containerd(handler: t.Optional[Handler]) -> Plan:
    path = containerd_files.main_file("/")
    main = read("/", path)
    patterns, _files = containerd_files.imports("/", path, document(main or ""))
    folder = next(
        (os.path.dirname(item) for item in patterns if fnmatch.fnmatch(CONTAINERD_NAME, os.path.basename(item))), None
    )
    rest = _without_block(main)
    text = None if handler is None else _containerd_text(handler, rest)
    changes: tuple[FileChange, ...] = ()
    if folder is not None:
        own = os.path.join(folder, CONTAINERD_NAME)
        version = _value(document(rest or ""), "version") or 2
        changes += change(own, read("/", own), text and f"version = {version}\n\n{text}", _what(handler))
        changes += change(path, main, rest, _what(handler))
    else:
        after = rest
        if text is not None:
            start = (rest.rstrip("\n") + "\n\n") if rest else "version = 3\n\n"
            after = f"{start}{BEGIN}\n{text}{END}\n"
        changes += change(path, main, after, _what(handler))
    return Plan("containerd", changes, containerd_files.units("/", path))


def _containerd_text(handler: Handler, main: t.Optional[str]) -> str:
    version = _value(document(main or "version = 3"), "version")
    plugin = PLUGINS.get(version) if isinstance(version, int) else None
    if plugin is None:
        raise CheckpointError("configuration_form", "containerd's configuration is of a version before 2")
    config = _dump("containerd", "--config", containerd_files.main_file("/"), "config", "dump")
    top = next(
        (
            ("plugins", name, "containerd")
            for name in (PLUGINS[3], PLUGINS[2])
            if _value(config, "plugins", name, "containerd", "default_runtime_name")
        ),
        (),
    )
    usual = _value(config, *top, "default_runtime_name") or "runc"
    systemd = _value(config, *top, "runtimes", usual, "options", "SystemdCgroup")
    table = f'plugins."{plugin}".containerd'
    options = {"BinaryName": handler.program, "SystemdCgroup": systemd or None}
    text = _table(table, {"default_runtime_name": handler.name}) + "\n" if handler.default else ""
    text += _table(f"{table}.runtimes.{handler.name}", {"runtime_type": "io.containerd.runc.v2"}) + "\n"
    return text + _table(f"{table}.runtimes.{handler.name}.options", options)


def _without_block(text: t.Optional[str]) -> t.Optional[str]:
    if text is None or BEGIN not in text:
        return text
    before, _begin, after = text.partition(BEGIN)
    return before.rstrip("\n") + "\n" + after.partition(END)[2].lstrip("\n")


def _what(handler: t.Optional[Handler]) -> str:
    return f"the handler {handler.name}" if handler is not None else "the handler of the restore runtime"
