# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling CRI-O and containerd of the restore runtime: a handler of its own, beside those that are there.

The handler takes after the node's default one, as far as that says how the node works: the monitor and its group
(CRI-O), systemd's groups or not (containerd), the annotations that pods may use. Sources: cri-o pkg/config/config.go,
v1.36.3 (RuntimeHandler); containerd internal/cri/config/config.go, v2.1.9 (Runtime), and plugin names by version of the
configuration: 2 "io.containerd.grpc.v1.cri", 3 "io.containerd.cri.v1.runtime".

containerd 2 merges tables key by key. containerd 1.7 does not: the first handler in a configuration replaces those that
are there without one, runc among them, and a plugin's section in an imported file replaces that of the main file
(containerd services/server/config/config.go, Decode and mergeConfig, v1.7.35; tried with it). So there the handler is
in the main file, and runc's beside it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import fnmatch
import os
import typing as t

from .._common.errors import CheckpointError
from .._node.files import lines_of
from .._node.programs import run, which
from .._node.toml import Document, Key, document
from .._settings import containerd as containerd_files
from .._settings import crio as crio_files
from .._settings.changes import FileChange, Plan, change, conflict, read
from .._settings.running import executable, running
from .._settings.toml import Tables, literal

SECONDS = 20.0
BEGIN = "# BEGIN checkpoint_restore.kubernetes restore runtime"
END = "# END checkpoint_restore.kubernetes restore runtime"
INSTEAD = "# instead of: "
CRIO_NAME = "91-checkpoint-restore-runtime.conf"
CONTAINERD_NAME = "91-checkpoint-restore-runtime.toml"
BEFORE_2 = "io.containerd.grpc.v1.cri"
"""The plugin that containerd 1 has; in a configuration of version 2, containerd 2 takes it for its own."""
PLUGINS = {2: BEFORE_2, 3: "io.containerd.cri.v1.runtime", 4: "io.containerd.cri.v1.runtime"}
DEFAULT = "default_runtime_name"
CRIO_DEFAULT = ("crio", "runtime", "default_runtime")
LIKE_IN_CRIO = (
    "runtime_root",
    "monitor_path",
    "monitor_cgroup",
    "monitor_exec_cgroup",
    "monitor_env",
    "allowed_annotations",
    "privileged_without_host_devices",
)
LIKE_IN_CONTAINERD = (
    "pod_annotations",
    "container_annotations",
    "privileged_without_host_devices",
    "privileged_without_host_devices_all_devices_allowed",
    "cgroup_writable",
    "base_runtime_spec",
    "cni_conf_dir",
    "cni_max_conf_num",
    "snapshotter",
)
LIKE_IN_OPTIONS = ("SystemdCgroup", "NoPivotRoot", "NoNewKeyring", "ShimCgroup", "IoUid", "IoGid", "Root")


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


def _dump(name: str, *words: str) -> Document:
    """What the component that runs here, or would run, says of its configuration."""
    done = run([executable("/", name) or name, *words], SECONDS)
    if not done.ok:
        raise CheckpointError(
            "configuration_refused", f"{name} cannot read its configuration", message=done.stderr.strip()
        )
    return document(done.stdout)


def _value(found: Document, *key: str) -> t.Any:
    entry = found.find(key)
    return entry.value if entry is not None else None


def _like(found: Document, table: Key, keys: t.Sequence[str]) -> dict[str, t.Any]:
    """Those of the keys that have a value which says something."""
    values = {key: _value(found, *table, key) for key in keys}
    return {key: value for key, value in values.items() if value and isinstance(value, (bool, int, str, list))}


def _text(tables: Tables) -> str:
    shown = (
        f"[{name}]\n" + "".join(f"{key} = {literal(value)}\n" for key, value in keys.items())
        for name, keys in tables.items()
    )
    return "\n".join(shown)


def _what(handler: t.Optional[Handler]) -> str:
    return f"the handler {handler.name}" if handler is not None else "the handler of the restore runtime"


def _require_last_word(handler: Handler, key: Key, files: t.Iterable[str]) -> None:
    """Raise CheckpointError conflicting_setting where a file that counts more names another default handler."""
    for file in files:
        found = document(read("/", file) or "").find(key)
        if handler.default and found is not None and found.value != handler.name:
            raise conflict(file, f"{key[-1]} = {found.value}", f"{handler.name} as the default handler")


def _crio(handler: t.Optional[Handler]) -> Plan:
    where = crio_files.sources("/")
    path = os.path.join(where.folder, CRIO_NAME)
    before = read("/", path)
    after = None
    if handler is not None:
        drop_ins = [file for file in crio_files.files("/", where) if file.startswith(f"{where.folder}/")]
        _require_last_word(handler, CRIO_DEFAULT, [file for file in drop_ins if file > path])
        given = ["--config-dir", where.folder, *(["--config", where.file] if os.path.exists(where.file) else [])]
        config = _dump("crio", *given, "config")
        usual = _value(config, *CRIO_DEFAULT) or "crun"
        # With our own as the default, what it was made after is what it says itself.
        like = _like(config, ("crio", "runtime", "runtimes", usual), LIKE_IN_CRIO)
        keys = {"runtime_path": handler.program, "runtime_type": "oci", **like}
        tables = {"crio.runtime": {CRIO_DEFAULT[-1]: handler.name}} if handler.default else {}
        after = _text({**tables, f"crio.runtime.runtimes.{handler.name}": keys})
    return Plan("crio", change(path, before, after, _what(handler)), (crio_files.UNIT,))


class _Containerd(t.NamedTuple):
    """containerd's configuration: the main file without our lines, and what containerd makes of all files."""

    path: str
    main: t.Optional[str]
    rest: t.Optional[str]
    imported: tuple[str, ...]
    own: t.Optional[str]
    """The file for our lines in a directory that is imported; None where none is."""

    @property
    def version(self) -> t.Any:
        return _value(document(self.rest or ""), "version")

    def dumped(self) -> Document:
        if self.rest is None and self.main is None:
            return _dump("containerd", "config", "default")
        return _dump("containerd", "--config", self.path, "config", "dump")


def _containerd_as_it_is() -> _Containerd:
    path = containerd_files.main_file("/")
    main = read("/", path)
    rest = _without_blocks(main)
    patterns, found = containerd_files.imports("/", path, document(rest or ""))
    fitting = (item for item in patterns if fnmatch.fnmatch(CONTAINERD_NAME, os.path.basename(item)))
    own = next((os.path.join(os.path.dirname(item), CONTAINERD_NAME) for item in fitting), None)
    return _Containerd(path, main, rest, tuple(file for file in found if file != own), own)


def _containerd(handler: t.Optional[Handler]) -> Plan:
    it = _containerd_as_it_is()
    after: t.Optional[str] = it.rest
    dropped: t.Optional[str] = None
    if handler is not None:
        config = it.dumped()
        version = _value(config, "version") if it.rest is None else it.version
        plugin = PLUGINS.get(version) if isinstance(version, int) else None
        if plugin is None:
            raise CheckpointError("configuration_form", "containerd's configuration is of a version before 2")
        key = ("plugins", plugin, "containerd", DEFAULT)
        shown = {name for name in PLUGINS.values() if _value(config, "plugins", name, "containerd", DEFAULT)}
        is_1 = shown == {BEFORE_2}
        tables = _containerd_tables(handler, config, plugin, document(it.rest or "") if is_1 else None)
        if it.own is not None and not is_1:
            _require_last_word(handler, key, [file for file in it.imported if file > it.own])
            dropped = f"version = {version}\n\n{_text(tables)}"
        else:
            _require_main_file(it, plugin if is_1 else None)
            _require_last_word(handler, key, it.imported)
            after = _with_blocks(it.rest, tables, version, key)
    changes: tuple[FileChange, ...] = ()
    if it.own is not None:
        changes += change(it.own, read("/", it.own), dropped, _what(handler))
    changes += change(it.path, it.main, after, _what(handler))
    return Plan("containerd", changes, containerd_files.units("/", it.path))


def _containerd_tables(
    handler: Handler, config: Document, plugin: str, main: t.Optional[Document]
) -> dict[str, dict[str, t.Any]]:
    """Our tables. ``main`` is given for containerd 1: the handlers that it lacks and containerd has are added."""
    seen = ("plugins", BEFORE_2 if main is not None else PLUGINS[3], "containerd")
    usual = _value(config, *seen, DEFAULT) or "runc"
    top = f'plugins."{plugin}".containerd'
    tables: dict[str, dict[str, t.Any]] = {top: {DEFAULT: handler.name}} if handler.default else {}

    def add(name: str, after: str, options: dict[str, t.Any]) -> None:
        runtime = (*seen, "runtimes", after)
        like = _like(config, runtime, LIKE_IN_CONTAINERD)
        tables[f"{top}.runtimes.{name}"] = {"runtime_type": "io.containerd.runc.v2", **like}
        tables[f"{top}.runtimes.{name}.options"] = {**options, **_like(config, (*runtime, "options"), LIKE_IN_OPTIONS)}

    add(handler.name, usual, {"BinaryName": handler.program})
    if main is not None and not any(table[:4] == (*seen, "runtimes") for table in main.tables):
        add("runc", "runc", {})
    return tables


def _require_main_file(it: _Containerd, plugin: t.Optional[str]) -> None:
    """Raise CheckpointError configuration_form where lines in the main file would not stay or would not count.

    ``plugin`` is given for containerd 1.
    """
    if it.path in containerd_files.GENERATED:
        raise CheckpointError(
            "configuration_form",
            f"{it.path} is written anew at each start, and imports no directory",
            hint="Upgrade to a release that imports config-v3.toml.d, or put the handler into its template yourself",
        )
    for file in it.imported:
        tables = document(read("/", file) or "").tables
        if plugin is not None and any(table[:2] == ("plugins", plugin) for table in tables):
            raise CheckpointError(
                "configuration_form",
                f"containerd 1 takes [plugins.{plugin}] from {file} and nothing of it from {it.path}",
                hint=f"Move what {file} says of it into {it.path}",
            )


def _with_blocks(rest: t.Optional[str], tables: Tables, version: int, default: Key) -> str:
    """The main file with our lines: the default handler where its table is, everything else at the end."""
    found = document(rest or "")
    lines = list(found.lines)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    end = dict(tables)
    entry, header = found.find(default), found.tables.get(default[:-1])
    first = next(iter(tables))
    if DEFAULT in tables[first] and (entry is not None or header is not None):
        line = f"{DEFAULT} = {literal(tables[first][DEFAULT])}\n"
        if entry is not None:
            lines[entry.start] = f"{BEGIN}\n{INSTEAD}{lines[entry.start]}{line}{END}\n"
        elif header is not None:
            lines[header] += f"{BEGIN}\n{line}{END}\n"
        del end[first]
    start = "" if rest is not None else f"version = {version}\n\n"
    return f"{''.join(lines)}{BEGIN}\n{start}{_text(end)}{END}\n"


def _without_blocks(text: t.Optional[str]) -> t.Optional[str]:
    """The main file as it was; None if there was none."""
    if text is None or BEGIN not in text:
        return text
    kept: list[str] = []
    inside = False
    for line in lines_of(text):
        if line.startswith((BEGIN, END)):
            inside = line.startswith(BEGIN)
        elif not inside:
            kept.append(line)
        elif line.startswith(INSTEAD):
            kept.append(line[len(INSTEAD) :])
    return "".join(kept) or None
