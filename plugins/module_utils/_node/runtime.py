# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container runtime that this node's kubelet uses: which, how it is configured, its handlers, its switches.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import time
import typing as t

from .. import _capabilities as table
from . import processes
from .programs import SEARCH_PATH, Completed, run, which
from .toml import split_key, tables

TIMEOUT_S = 5.0
PROGRAMS = {"crio": "cri-o", "containerd": "containerd"}
SOCKETS = {"cri-o": "/run/crio/crio.sock", "containerd": "/run/containerd/containerd.sock"}
"""Where they listen unless told otherwise (cri-o server/runtime_status.go; containerd defaults/defaults_unix.go)."""
LIBCRIU = ("/usr/lib*/libcriu.so*", "/usr/lib/*-linux-gnu/libcriu.so*", "/usr/local/lib*/libcriu.so*")
"""crun loads CRIU's library when it needs it (crun src/libcrun/criu.c, dlopen of libcriu.so.2)."""

Run = t.Callable[..., Completed]
Tables = dict[tuple[str, ...], dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class Daemon:
    """A runtime as it runs, or as its program lies on the disk (``pid`` None).

    ``program`` may be run: of a running one it is the very file that runs, even if it was replaced or removed since.
    ``shown`` is its path. ``since`` is when it was started, seconds since 1970.
    """

    name: str
    program: str
    shown: str
    pid: t.Optional[int] = None
    command: tuple[str, ...] = ()
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    since: t.Optional[float] = None

    @property
    def path(self) -> str:
        return self.environment.get("PATH") or SEARCH_PATH

    def option(self, *names: str) -> t.Optional[str]:
        """The value of a flag, None without it: ``--name value`` and ``--name=value``."""
        return processes.option(self.command, *names)


def temporary_folder(environment: t.Mapping[str, str]) -> str:
    """Where containerd has CRIU write first: XDG_RUNTIME_DIR, else Go's os.TempDir.

    containerd 2.1.9, plugins/services/tasks/local.go. The setting "temp" of containerd's configuration replaces TMPDIR
    inside the process, where nobody can see it.
    """
    return environment.get("XDG_RUNTIME_DIR") or environment.get("TMPDIR") or "/tmp"


def daemons(found: t.Sequence[processes.Process]) -> list[Daemon]:
    """CRI-O and containerd that run; without any, those whose programs are installed."""
    running_ones = [_running(process) for process in processes.running(PROGRAMS, found)]
    if running_ones:
        return running_ones
    installed = ((name, which(program)) for program, name in PROGRAMS.items())
    return [Daemon(name, path, path) for name, path in installed if path is not None]


def _running(process: processes.Process) -> Daemon:
    return Daemon(
        PROGRAMS[process.program],
        os.path.join(process.folder, "exe"),
        process.executable() or process.command[0],
        process.pid,
        process.command,
        process.environment(),
        time.time() - process.age,
    )


def chosen(found: t.Sequence[Daemon], endpoint: t.Optional[str]) -> t.Optional[Daemon]:
    """The one that the kubelet's ``containerRuntimeEndpoint`` names, else the first."""
    words = {"cri-o": "crio", "containerd": "containerd"}
    named = (daemon for daemon in found if words[daemon.name] in (endpoint or ""))
    return next(named, found[0] if found else None)


def runtime_facts(
    found: t.Sequence[processes.Process], endpoint: t.Optional[str], runner: Run = run
) -> dict[str, t.Any]:
    """What checkpoint_node_info returns as ``runtime``, and ``daemon`` and ``storage``, which it needs itself.

    ``found``: the processes of the node. ``endpoint``: the kubelet's ``containerRuntimeEndpoint``, None if not known.
    """
    daemon = chosen(daemons(found), endpoint)
    if daemon is None:
        return {**_nothing(), "notes": ["Neither CRI-O nor containerd was found"]}
    shown = runner([daemon.program, "--version"], TIMEOUT_S).stdout
    version = re.search(r"\bv?(\d+\.\d+\.\d+\S*)", shown)
    facts: dict[str, t.Any] = {
        **_nothing(),
        "name": daemon.name,
        "version": version.group(1) if version else None,
        "path": daemon.shown,
        "running": daemon.pid is not None,
        "socket": (endpoint or "").replace("unix://", "") or SOCKETS[daemon.name],
        "daemon": daemon,
    }
    reader = _read_crio if daemon.name == "cri-o" else _read_containerd
    reader(daemon, facts, runner)
    facts["handlers"] = [_handler(entry, daemon, runner) for entry in facts["handlers"]]
    return facts


def _nothing() -> dict[str, t.Any]:
    """The facts of a node without a runtime."""
    return {
        "name": None,
        "version": None,
        "path": None,
        "running": False,
        "socket": None,
        "configuration": [],
        "handlers": [],
        "checkpoint": None,
        "restore_by_image": None,
        "restart_needed": None,
        "advisories": [],
        "notes": [],
        "daemon": None,
        "storage": None,
    }


def _read_crio(daemon: Daemon, facts: dict[str, t.Any], runner: Run) -> None:
    main = daemon.option("--config", "-c") or daemon.environment.get("CONTAINER_CONFIG") or "/etc/crio/crio.conf"
    drop_ins = daemon.option("--config-dir", "-d") or daemon.environment.get("CONTAINER_CONFIG_DIR")
    drop_ins = drop_ins or "/etc/crio/crio.conf.d"
    facts["configuration"] = _existing([main, *sorted(_files_below(drop_ins))])
    on_disk = tables(runner([daemon.program, "--config", main, "--config-dir", drop_ins, "config"], TIMEOUT_S).stdout)
    # The subcommand came with 1.27 (cri-o #6557); before, it was a program of its own.
    separate = (table.parse_version(facts["version"]) or (0, 0, 0)) < (1, 27, 0)
    asker = ["crio-status"] if separate else [daemon.program, "status"]
    told = runner([*asker, "--socket", facts["socket"], "config"], TIMEOUT_S)
    in_force = tables(told.stdout) if told.ok else {}
    if not in_force:
        facts["notes"].append(f"CRI-O does not say what is in force: {(told.stderr or told.stdout).strip()[-200:]}")
    seen = in_force or on_disk
    facts["storage"] = seen.get(("crio",), {}).get("root")
    default = seen.get(("crio", "runtime"), {}).get("default_runtime")
    prefix = ("crio", "runtime", "runtimes")
    facts["handlers"] = [
        {
            "name": key[3],
            "default": key[3] == default,
            "path": values.get("runtime_path") or key[3],
            "type": values.get("runtime_type") or "oci",
        }
        for key, values in sorted(seen.items())
        if key[:3] == prefix and len(key) == 4
    ]
    if facts["version"] is None:
        return
    listed = _table(table.CRIO_TABLE) in seen if seen else None
    switches = table.runtime_switches("cri-o", facts["version"], crio_table=listed)
    _put_switches(facts, switches, seen)
    header, key = _table(switches.checkpoint_table), switches.checkpoint_key or ""
    wanted = on_disk.get(header, {}).get(key, switches.checkpoint_default)
    # CRI-O looks for CRIU only when it starts, and switches itself off where there is none.
    helps = facts["checkpoint"]["on"] or which("criu", daemon.path) is not None
    facts["restart_needed"] = bool(in_force and on_disk and helps and wanted != facts["checkpoint"]["value"])


def _read_containerd(daemon: Daemon, facts: dict[str, t.Any], runner: Run) -> None:
    main = daemon.option("--config", "-config", "-c") or "/etc/containerd/config.toml"
    dumped = runner([daemon.program, "--config", main, "config", "dump"], TIMEOUT_S)
    seen = tables(dumped.stdout) if dumped.ok else {}
    if not seen:
        facts["notes"].append(f"containerd does not read its configuration: {dumped.stderr.strip()[-200:]}")
    imports = seen.get((), {}).get("imports") or []
    drop_ins = sorted(path for pattern in imports for path in glob.glob(os.path.join(os.path.dirname(main), pattern)))
    facts["configuration"] = _existing(dict.fromkeys([main, *drop_ins]))
    facts["storage"] = seen.get((), {}).get("root")
    for version in (table.CONTAINERD_TABLE, table.CONTAINERD_TABLE_V2):
        head = (*_table(version), "containerd")
        default = seen.get(head, {}).get("default_runtime_name")
        facts["handlers"] += [
            {
                "name": key[-1],
                "default": key[-1] == default,
                "path": seen.get((*key, "options"), {}).get("BinaryName") or values.get("runtime_path") or "runc",
                "type": values.get("runtime_type"),
            }
            for key, values in sorted(seen.items())
            if key[:-1] == (*head, "runtimes")
        ]
    if facts["version"] is None:
        return
    switches = table.runtime_switches("containerd", facts["version"])
    _put_switches(facts, switches, seen)
    criu = which("criu", daemon.path)
    if switches.checkpoint == "switch" and criu and daemon.since is not None and os.stat(criu).st_ctime > daemon.since:
        # Its first look at CRIU counts until it ends (containerd container_checkpoint_linux.go, checkCriuOnce, v2.3.5).
        facts["notes"].append("CRIU came after containerd was started: restart it if a checkpoint was tried before")
    changed = [path for path in facts["configuration"] if daemon.since is not None and _modified(path) > daemon.since]
    facts["restart_needed"] = bool(changed)
    if changed:
        facts["notes"].append(f"Changed after containerd was started: {', '.join(changed)}")
        for what in ("checkpoint", "restore_by_image"):
            if facts[what]["kind"] == "switch":
                facts[what]["on"] = None


def _put_switches(facts: dict[str, t.Any], switches: table.Switches, seen: Tables) -> None:
    """Both switches as they are, from the tables that the runtime shows."""

    def value(where: t.Optional[str], key: t.Optional[str], default: t.Any) -> t.Any:
        if where is None or not seen:
            return None
        return seen.get(_table(where), {}).get(key or "", default)

    first = value(switches.checkpoint_table, switches.checkpoint_key, switches.checkpoint_default)
    second = value(switches.restore_table, switches.restore_key, switches.restore_default)
    on = {"none": False, "always": True}.get(
        switches.checkpoint, None if first is None else first != switches.checkpoint_off
    )
    restore = {"none": False, "removed": False, "always": on}.get(
        switches.restore, None if second is None or on is None else bool(on and second == switches.restore_on)
    )
    facts["checkpoint"] = {
        "kind": switches.checkpoint,
        "table": switches.checkpoint_table,
        "key": switches.checkpoint_key,
        "value": first,
        "enable": switches.checkpoint_on,
        "on": on,
    }
    facts["restore_by_image"] = {
        "kind": switches.restore,
        "table": switches.restore_table,
        "key": switches.restore_key,
        "value": second,
        "enable": switches.restore_on,
        "on": restore,
    }
    facts["advisories"] = list(switches.advisories)


def _table(header: t.Optional[str]) -> tuple[str, ...]:
    """The names in the header of a table, as a path."""
    return split_key(header) if header else ()


def _handler(entry: dict[str, t.Any], daemon: Daemon, runner: Run) -> dict[str, t.Any]:
    """A handler with the program behind it."""
    path = which(entry["path"], daemon.path)
    oci = entry["type"] in ("oci", "io.containerd.runc.v2")
    first, _newline, rest = (
        runner([path, "--version"], TIMEOUT_S).stdout.partition("\n") if path and oci else ("", "", "")
    )
    words = re.match(r"(\S+) version (\S+)", first)
    kind = "other" if path or not oci else None
    if words and words.group(1) in table.CHECKPOINT_HANDLERS:
        kind = words.group(1)
    criu = "+CRIU" in rest and any(glob.glob(pattern) for pattern in LIBCRIU) if kind == "crun" else None
    return {
        "name": entry["name"],
        "default": entry["default"],
        "type": entry["type"],
        "path": path,
        "kind": kind,
        "version": words.group(2) if words else None,
        "criu": criu,
    }


def _files_below(folder: str) -> t.Iterator[str]:
    for parent, _folders, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


def _existing(paths: t.Iterable[str]) -> list[str]:
    return [path for path in paths if os.path.isfile(path)]


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
