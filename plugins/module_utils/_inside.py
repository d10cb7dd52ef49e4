# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a collected archive says about itself, for the manifest and the summary of an incident.

Private to this collection. Standard library only.
"""

from __future__ import annotations

import collections
import json
import typing as t

from ._common.errors import CheckpointError
from ._forensics.inspection import Wishes, inspect

Item = dict[str, t.Any]

_SAME = ("namespace", "pod", "pod_uid", "container", "container_id")
_OF_A_PROCESS = ("pid", "ppid", "name", "state", "executable", "arguments")
_OF_A_LISTENER = ("pid", "process", "protocol", "local_address", "local_port")
_NAMES_SHOWN = 5


def declared_ports(pod_object: str | None) -> list[str] | None:
    """The ports that all containers of a pod declare, such as 8080/TCP; ``pod_object`` is a file with the pod as JSON.

    Containers of a pod share its network, so that the port of one may be declared by another. None where there is no
    such file, or one that is no pod: then the archive itself has to tell the ports, and it knows its own container's.
    """
    if pod_object is None:
        return None
    try:
        with open(pod_object, encoding="utf-8") as file:
            spec = json.load(file)["spec"]
        containers = [*spec["containers"], *(spec.get("initContainers") or [])]
        ports = [port for container in containers for port in container.get("ports") or []]
        return [f"{port['containerPort']}/{port.get('protocol') or 'TCP'}" for port in ports]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def look_inside(path: str, asked: t.Mapping[str, t.Any], pod_object: str | None = None) -> Item:
    """Identity, processes (without their environment), listeners and findings.

    ``pod_object`` is the file with the object of the container's pod, see :func:`declared_ports`.
    Raises :class:`CheckpointError` ``identity_mismatch`` where the archive is of another container than was
    asked for (what the engine does not record is not compared), and what opening and reading one raises.
    """
    ports = declared_ports(pod_object)
    found = inspect(path, Wishes(sections=("summary", "processes"), findings=True, ports=ports))
    identity = found["identity"]
    wrong = [key for key in _SAME if identity[key] and asked.get(key) and identity[key] != asked[key]]
    if wrong:
        raise CheckpointError(
            "identity_mismatch",
            "The archive is of another container than the one that was asked for",
            hint="Keep it, and find out how it came to that path on the node; it is not evidence of this container",
            message="; ".join(f"{key}: asked for {asked[key]}, inside {identity[key]}" for key in wrong),
        )
    return {
        "identity": identity,
        "processes": [{key: process.get(key) for key in _OF_A_PROCESS} for process in found["processes"]],
        "listeners": [{key: listener.get(key) for key in _OF_A_LISTENER} for listener in found["summary"]["listeners"]],
        "findings": found["findings"],
        "notes": found["notes"],
    }


def in_words(inside: t.Mapping[str, t.Any]) -> str:
    """One line about it."""
    names = collections.Counter(str(process["name"]) for process in inside["processes"])
    most = [name if count == 1 else f"{count} {name}" for name, count in names.most_common(_NAMES_SHOWN)]
    listeners = sorted({f"{item['protocol']} {item['local_port']}" for item in inside["listeners"]})
    severities = collections.Counter(str(finding["severity"]) for finding in inside["findings"])
    findings = [f"{count} {severity}" for severity, count in sorted(severities.items())]
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return (
        f"processes: {len(inside['processes'])} ({', '.join(most)}{more}); listening: {', '.join(listeners) or 'none'};"
        f" findings: {', '.join(findings) or 'none'}"
    )
