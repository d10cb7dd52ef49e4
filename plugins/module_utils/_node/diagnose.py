# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why checkpoints or restores of containers failed, out of CRIU's logs and the runtime's.

Where CRIU's logs are: containerd 2.1.9, cmd/containerd-shim-runc-v2/process/init.go (criu-dump.log in the bundle) and
internal/cri/server (the container's folder); CRI-O 1.36.3, internal/oci/runtime_oci.go (userdata).

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc
from .._kube.failures import recognise
from . import containers, criu_log, processes
from .containers import Container, Selection
from .criu_log import Finding
from .dumps import CHECKPOINT_FOLDER
from .programs import run

UNITS = {"containerd": ("containerd", "k3s", "rke2-server", "rke2-agent"), "cri-o": ("crio",)}
LOG_NAMES = ("dump.log", "restore.log")
MOST_LINES = 20
LONGEST_LINE = 1000
JOURNAL_SECONDS = 60.0
JOURNAL_BYTES = 16 << 20
NOT_GIVEN = "The runtime says that it failed; CRIU left no log"

_ABOUT = re.compile(r"checkpoint|restor|criu", re.IGNORECASE)
_WRONG = re.compile(r"level=(?:error|fatal|warning)|\bfailed\b|\berror\b", re.IGNORECASE)
# Failed probes and execs, what containerd 2.1.9 writes after every checkpoint that went well, and what it writes when
# it has given one up and removed its folder.
_OTHER = re.compile(r"exec\.go|ExecSync|Failed to handle event|failed to copy dump\.log")

Item = dict[str, t.Any]


def diagnose(
    selection: Selection,
    since: float,
    log: t.Optional[str] = None,
    runtime_log: t.Optional[str] = None,
) -> list[Item]:
    """One entry per failure found that is no older than ``since`` seconds, by container and operation.

    ``log``: a log of CRIU to explain instead of looking for logs. ``runtime_log``: a file to read instead of the
    journal. Raises :class:`CheckpointError` ``log_unreadable`` for a file that was named and cannot be read.
    """
    if log is not None:
        text = _named(log, criu_log.read_log)
        finding = criu_log.explain(text)
        return [_entry(None, log, finding, [])] if finding else []
    found = [one for one in containers.containers() if one.kind == "container" and selection.match(one)]
    lines = _runtime_lines(found, since, runtime_log)
    entries = []
    for container in found:
        own = [line for line in lines.get(container.engine, []) if container.id in line]
        logs = _logs(container, since)
        entries += [_entry(container, path, finding, own) for path, finding in logs]
        if own and not logs:
            entries.append(_entry(container, None, None, own))
    return entries


def _logs(container: Container, since: float) -> list[tuple[str, Finding]]:
    """(path, cause) of the logs of CRIU that tell of a failure, one per operation: the one that was written last."""
    folders = [container.work, os.path.join(container.work, CHECKPOINT_FOLDER[container.engine]), container.bundle]
    places = [os.path.join(folder, name) for folder in folders for name in (*LOG_NAMES, "criu-dump.log")]
    newest: dict[str, tuple[float, str]] = {}
    for path in places:
        try:
            changed = os.stat(path).st_mtime
        except OSError:
            continue
        operation = _operation(path)
        if time.time() - changed <= since and newest.get(operation, (0.0, ""))[0] < changed:
            newest[operation] = (changed, path)
    # A log that is open belongs to a checkpoint under way.
    open_now = processes.open_elsewhere(path for _changed, path in newest.values())
    found = []
    for operation in sorted(newest):
        path = newest[operation][1]
        try:
            finding = criu_log.explain(criu_log.read_log(path), container.runtime)
        except OSError:
            continue
        if finding is not None and path not in open_now:
            found.append((path, finding))
    return found


def _operation(path: str) -> str:
    return "restore" if "restore" in os.path.basename(path) else "checkpoint"


def _runtime_lines(found: t.Sequence[Container], since: float, path: t.Optional[str]) -> dict[str, list[str]]:
    """What the runtimes wrote about failed checkpoints and restores, by engine, oldest first."""
    engines = {container.engine for container in found}
    if path is not None:
        lines = _wanted(_named(path, criu_log.read_log).splitlines())
        return dict.fromkeys(engines, lines)
    lines_of = {}
    for engine in engines:
        units = [argument for unit in UNITS[engine] for argument in ("-u", unit)]
        options = ["--output=json", "--output-fields=MESSAGE", "--no-pager", f"--since=-{int(since) + 1}s"]
        done = run(["journalctl", *units, *options], JOURNAL_SECONDS, limit=JOURNAL_BYTES)
        lines_of[engine] = _wanted(_message(line) for line in done.stdout.splitlines())
    return lines_of


def _message(line: str) -> str:
    """The text of an entry of the journal; bytes that are not UTF-8 come as a list of numbers (journalctl(1))."""
    try:
        message = json.loads(line).get("MESSAGE")
    except (ValueError, AttributeError):
        return ""
    if isinstance(message, list):
        return bytes(number for number in message if isinstance(number, int)).decode("utf-8", "backslashreplace")
    return str(message or "")


def _wanted(lines: t.Iterable[str]) -> list[str]:
    return [line for line in lines if _ABOUT.search(line) and _WRONG.search(line) and not _OTHER.search(line)]


def _named(path: str, read: t.Callable[[str], str]) -> str:
    try:
        return read(path)
    except OSError as error:
        hint = "Check the path on the host where the module runs, and that it may be read"
        raise CheckpointError("log_unreadable", f"{path} could not be read", hint=hint, message=str(error)) from error


def _entry(
    container: t.Optional[Container], path: t.Optional[str], finding: t.Optional[Finding], own: list[str]
) -> Item:
    nobody = dict.fromkeys(("namespace", "pod", "pod_uid", "container", "container_id", "engine"))
    operation = _operation(path) if path else "restore" if "restor" in own[-1].lower() else "checkpoint"
    cause = finding or _by_the_runtime(own[-1], operation)
    return {
        **(container.identity() if container is not None else nobody),
        "operation": operation,
        "code": cause.code,
        "reason": cause.reason,
        "hint": cause.hint,
        "log": path,
        "written": utc(os.stat(path).st_mtime) if path else None,
        "criu_version": cause.version,
        "errors": cause.errors,
        "runtime_log": [line[:LONGEST_LINE] for line in own[-MOST_LINES:]],
    }


def _by_the_runtime(line: str, operation: str) -> Finding:
    """What a line of the runtime's log means: the kubelet hands it on, so it is known from there."""
    known = recognise("kubelet", status=500, text=line) if operation == "checkpoint" else None
    if known is None or known.code == "checkpoint_failed":
        return Finding("runtime_failed", NOT_GIVEN, "Read the quoted lines of the runtime", [], None)
    return Finding(known.code, known.reason, known.hint, [], None)
