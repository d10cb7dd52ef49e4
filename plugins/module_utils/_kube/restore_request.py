# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore is asked for: archives, the pod that they are of, and the pod that they are for.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._common.durations import parse_duration
from .._common.errors import CheckpointError
from .._common.hashing import SHA256
from .api import Thing

ANNOTATION = "checkpoint-restore.io/restored-from"
"""On a restored pod: JSON, container name to SHA-256 of its archive, or the image that it was restored by."""

ISOLATED = "checkpoint-restore.io/isolated"
"""Label of the namespace, the pod and the NetworkPolicy of an isolated restore."""

LONGEST_NAMESPACE = 63
HINTS = {"runtime": "Give path and sha256", "image": "Give image"}


@dataclasses.dataclass(frozen=True, order=True)
class Check:
    """A fact about the restore that was looked at. ``result`` is ``passed``, ``failed`` or ``warning``."""

    name: str
    result: str
    reason: str
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class Archive:
    """One container's checkpoint. ``identity`` as M(checkpoint_info) returns it; ``sha256`` without a prefix."""

    container: str
    identity: t.Mapping[str, t.Any]
    path: str | None = None
    sha256: str | None = None
    image: str | None = None

    @property
    def mark(self) -> str:
        """What says in the annotation which archive it was."""
        return self.sha256 or self.image or ""

    def tells(self, key: str) -> str | None:
        """A text of the identity, ``None`` where it is not recorded."""
        value = self.identity.get(key)
        return value if isinstance(value, str) and value else None


@dataclasses.dataclass(frozen=True)
class Request:
    """One restore. ``namespace`` and ``pod`` name the new pod, ``source`` its origin (namespace, name, UID)."""

    namespace: str
    pod: str
    node: str
    archives: tuple[Archive, ...]
    source: tuple[str | None, str | None, str | None]
    method: str
    runtime_class: str
    isolated: bool
    cold: bool
    preflight: bool
    wait: bool
    seconds: float
    definition: Thing | None
    source_definition: Thing | None
    patch: Thing

    @property
    def annotation(self) -> str:
        """The value of :data:`ANNOTATION`."""
        return json.dumps({archive.container: archive.mark for archive in self.archives}, sort_keys=True)

    @property
    def tickets(self) -> list[dict[str, t.Any]]:
        """What has to be allowed on the node before the pod is made, for the method ``runtime``."""
        if self.method != "runtime":
            return []
        return [
            {
                "namespace": self.namespace,
                "pod": self.pod,
                "container": archive.container,
                "archive": archive.path,
                "sha256": archive.sha256,
            }
            for archive in self.archives
        ]


def request(options: t.Mapping[str, t.Any]) -> Request:
    """The request that the options of M(checkpoint_restore) stand for.

    Raises CheckpointError ``invalid_option``, ``archive_twice`` and ``archives_differ``.
    """
    archives = _archives(options["archives"] or (), options["method"])
    source = _source(archives)
    pod = options["pod"] or source[1]
    if not pod:
        raise _invalid("The archives do not say of which pod they are", "Give pod and namespace")
    if not options["node"]:
        raise _invalid("No node is given", "Give the node that the pod is to run on")
    return Request(
        namespace=namespace_of(options, pod, source[0]),
        pod=pod,
        node=options["node"],
        archives=archives,
        source=source,
        method=options["method"],
        runtime_class=options["runtime_class"] or "",
        isolated=options["isolated"],
        cold=options["others"] == "cold",
        preflight=options["preflight"],
        wait=options["wait"],
        seconds=parse_duration(options["timeout"], "timeout"),
        definition=_pod(options["definition"], "definition"),
        source_definition=_pod(options["source_definition"], "source_definition"),
        patch=options["patch"] or {},
    )


def namespace_of(options: t.Mapping[str, t.Any], pod: str, of_source: str | None = None) -> str:
    """The new pod's namespace; of an isolated one its own."""
    if options["isolated"]:
        made = f"isolated-{pod}".replace(".", "-")[:LONGEST_NAMESPACE].rstrip("-")
        return str(options["isolated_namespace"] or made)
    namespace = options["namespace"] or of_source
    if not namespace:
        raise _invalid("The archives do not say of which namespace they are", "Give namespace")
    return str(namespace)


def _archives(given: t.Sequence[t.Mapping[str, t.Any]], method: str) -> tuple[Archive, ...]:
    made: dict[str, Archive] = {}
    for number, entry in enumerate(given):
        archive = _archive(f"archives[{number}]", entry, method)
        if archive.container in made:
            raise CheckpointError(
                "archive_twice",
                f"There are two archives for the container {archive.container}",
                hint="Give the one that is to be restored",
            )
        made[archive.container] = archive
    if not made:
        raise _invalid("There is no archive to restore from", "Give archives, one for each container")
    return tuple(made[name] for name in sorted(made))


def _archive(place: str, entry: t.Mapping[str, t.Any], method: str) -> Archive:
    identity = entry["identity"]
    container = entry["container"] or identity.get("container")
    if not container:
        raise _invalid(f"{place} does not say of which container it is", "Give container")
    missing = [name for name in {"runtime": ("path", "sha256"), "image": ("image",)}[method] if not entry[name]]
    if missing:
        raise _invalid(f"{place} lacks {' and '.join(missing)}, which the method {method} needs", HINTS[method])
    digest = SHA256.fullmatch(entry["sha256"]) if entry["sha256"] else None
    if entry["sha256"] and digest is None:
        raise _invalid(f"{place}: the SHA-256 is not 64 hexadecimal digits", "Take it from checkpoint_info")
    if entry["path"] and not entry["path"].startswith("/"):
        raise _invalid(f"{place}: {entry['path']!r} is not an absolute path", "Give the path on the target node")
    return Archive(
        container=container,
        identity=identity,
        path=entry["path"],
        sha256=digest.group(1) if digest else None,
        image=entry["image"],
    )


def _source(archives: t.Sequence[Archive]) -> tuple[str | None, str | None, str | None]:
    """The pod that all the archives are of. What an engine does not record fits everything."""
    found: list[str | None] = []
    for key in ("namespace", "pod", "pod_uid"):
        values = sorted({value for archive in archives if (value := archive.tells(key))})
        if len(values) > 1:
            raise CheckpointError(
                "archives_differ",
                f"The archives are of containers of different pods ({key}: {', '.join(values)})",
                hint="Restore one pod at a time",
            )
        found.append(values[0] if values else None)
    return found[0], found[1], found[2]


def _pod(given: t.Any, option: str) -> Thing | None:
    if not given:
        return None
    spec = given.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if given.get("kind", "Pod") != "Pod" or not isinstance(containers, list):
        raise _invalid(f"{option} is not a pod", "Give the whole object, as kubectl get pod -o json shows it")
    return t.cast("Thing", given)


def _invalid(reason: str, hint: str) -> CheckpointError:
    return CheckpointError("invalid_option", reason, hint=hint)
