# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an investigator looks for first: the scene, the evidence, and how single pieces become findings.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import json
import typing as t

from .._archive.identity import Identity
from .._archive.rootfs import RootfsChanges, changes
from .._common.errors import CheckpointError
from .._criu.checkpoint import Checkpoint
from .._criu.files import UNIX
from .._criu.process import Process
from .._criu.sockets import unix_name
from .._criu.wire import number

SEVERITIES: tuple[str, ...] = ("high", "medium", "low", "info")
"""The gravest first. high: hardly ever legitimate; medium: wants an explanation; low: worth knowing."""

MAX_EVIDENCE = 50
"""Pieces of evidence that are shown of one finding; all are counted."""

PRIVATE_NETWORKS: tuple[str, ...] = (
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/127",
    "fc00::/7",
    "fe80::/10",
)
"""Taken for the cluster's where nobody says better: addresses that the internet does not route (RFC 1918, RFC 3927,
RFC 4193, RFC 4291, RFC 6598)."""

METADATA_ADDRESSES: frozenset[str] = frozenset(("169.254.169.254", "fd00:ec2::254"))
"""Where clouds hand out credentials of the node; never part of a cluster."""

PORTS_ANNOTATION = "io.kubernetes.container.ports"
"""The ports of a container as JSON, written by the kubelet (kubernetes pkg/kubelet/kuberuntime/labels.go)."""

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclasses.dataclass(frozen=True)
class Piece:
    """One piece of evidence. ``address``: of memory, or of the network."""

    severity: str
    detail: str
    process: t.Optional[Process] = None
    address: t.Optional[str] = None
    path: t.Optional[str] = None

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "pid": self.process.pid if self.process is not None else None,
            "process": self.process.name if self.process is not None else None,
            "address": self.address,
            "path": self.path,
            "detail": self.detail,
        }


def networks(given: t.Optional[t.Iterable[str]]) -> list[Network]:
    """Networks from texts. Raises CheckpointError invalid_option."""
    try:
        return [ipaddress.ip_network(text, strict=False) for text in (PRIVATE_NETWORKS if given is None else given)]
    except ValueError as error:
        raise CheckpointError(
            "invalid_option",
            "cluster_networks has an entry that is no network",
            hint="Write networks as 10.0.0.0/8 or fd00::/8",
            message=str(error),
        ) from error


def ports(given: t.Iterable[str]) -> set[tuple[str, int]]:
    """(protocol, port) from texts such as 8080 or 53/udp. Raises CheckpointError invalid_option."""
    found: set[tuple[str, int]] = set()
    for text in given:
        port, _slash, protocol = str(text).partition("/")
        if not port.isdecimal() or int(port) > 65535 or protocol.lower() not in ("", "tcp", "udp", "sctp"):
            raise CheckpointError(
                "invalid_option",
                f"ports has an entry that is no port: {text!r}",
                hint="Write a number, or a number and a protocol, as 8080 or 53/udp",
            )
        found.add((protocol.lower() or "tcp", int(port)))
    return found


def dictionary(value: t.Any) -> dict[str, t.Any]:
    """The value if it is one: documents of an archive may hold anything anywhere."""
    return value if isinstance(value, dict) else {}


def items(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


class Scene:
    """Everything that the rules look at. What the archive does not have is empty."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        declared_ports: t.Optional[t.Iterable[str]] = None,
        cluster_networks: t.Optional[t.Iterable[str]] = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.networks = networks(cluster_networks)
        self._given_ports = None if declared_ports is None else ports(declared_ports)

    @property
    def processes(self) -> list[Process]:
        """Those that are more than an entry in the process table."""
        return [process for process in self.checkpoint.processes if process.alive]

    @property
    def identity(self) -> Identity:
        return self.checkpoint.identity

    @functools.cached_property
    def specification(self) -> dict[str, t.Any]:
        return self.checkpoint.archive.documents.object("spec.dump")

    @property
    def specified_process(self) -> dict[str, t.Any]:
        return dictionary(self.specification.get("process"))

    @property
    def specified_linux(self) -> dict[str, t.Any]:
        return dictionary(self.specification.get("linux"))

    @functools.cached_property
    def specified_mounts(self) -> list[dict[str, t.Any]]:
        return [mount for mount in items(self.specification.get("mounts")) if isinstance(mount, dict)]

    @functools.cached_property
    def rootfs(self) -> RootfsChanges:
        return changes(self.checkpoint.archive)

    @functools.cached_property
    def written(self) -> set[str]:
        """The paths of files that were added or changed since the image."""
        return {"/" + member.name for member in self.rootfs.members if member.kind != "directory"}

    @functools.cached_property
    def annotations(self) -> dict[str, t.Any]:
        """The annotations that the kubelet gave the container, wherever the engine keeps them."""
        own = dictionary(self.specification.get("annotations"))
        try:
            crio = json.loads(own.get("io.kubernetes.cri-o.Annotations") or "{}")
        except (TypeError, ValueError, RecursionError):
            crio = {}
        status = self.checkpoint.archive.documents.object("status.dump")
        return {**own, **dictionary(crio), **dictionary(status.get("annotations"))}

    @functools.cached_property
    def declared_ports(self) -> set[tuple[str, int]]:
        """(protocol, port): as given, else from the kubelet's annotation, else those that Podman publishes."""
        if self._given_ports is not None:
            return self._given_ports
        try:
            listed = json.loads(self.annotations.get(PORTS_ANNOTATION) or "[]")
        except (TypeError, ValueError, RecursionError):
            listed = []
        config = self.checkpoint.archive.documents.object("config.dump")
        found: set[tuple[str, int]] = set()
        for entry in [*items(listed), *items(config.get("newPortMappings"))]:
            port = dictionary(entry).get("containerPort", dictionary(entry).get("container_port"))
            if isinstance(port, int):
                found.add((str(entry.get("protocol") or "tcp").lower(), port))
        return found

    @functools.cached_property
    def socket_names(self) -> dict[int, t.Optional[str]]:
        """The names of all unix sockets by inode, those of servers outside the container included."""
        found: dict[int, t.Optional[str]] = {}
        for kind, _identifier, fields in self.checkpoint.files.items():
            if kind == UNIX:
                raw = fields.get("name", b"")
                found[number(fields, "ino")] = unix_name(raw if isinstance(raw, bytes) else b"")
        return found

    @functools.cached_property
    def _mountpoints(self) -> list[dict[str, t.Any]]:
        return sorted(self.checkpoint.mounts, key=lambda mount: -len(mount["mountpoint"]))

    def mount_of(self, path: str) -> t.Optional[dict[str, t.Any]]:
        """The mount that a path lies on; None where the mounts are not known."""
        for mount in self._mountpoints:
            point = mount["mountpoint"]
            if path == point or path.startswith(point.rstrip("/") + "/"):
                return mount
        return None

    def in_cluster(self, address: str) -> bool:
        """Whether an address belongs to the cluster. What is no address does."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return True
        mapped = getattr(found, "ipv4_mapped", None)
        found = mapped if mapped is not None else found
        if str(found) in METADATA_ADDRESSES:
            return False
        return any(found.version == network.version and found in network for network in self.networks)


Look = t.Callable[[Scene], t.Iterator[Piece]]


class Rule(t.NamedTuple):
    """``text``: what it means and what else it may be. ``look`` gives the evidence, each piece with its severity."""

    id: str
    text: str
    look: Look


def finding(identifier: str, severity: str, text: str, evidence: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """A finding as it is returned."""
    return {
        "id": identifier,
        "severity": severity,
        "text": text,
        "count": len(evidence),
        "evidence": evidence[:MAX_EVIDENCE],
    }


def ordered(found: t.Iterable[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The gravest first."""
    return sorted(found, key=lambda one: (SEVERITIES.index(one["severity"]), one["id"]))


def collect(scene: Scene, rules: t.Iterable[Rule], pids: t.Collection[int] = ()) -> list[dict[str, t.Any]]:
    """The findings of all rules: one for each rule and severity, with all its evidence.

    ``pids``: only evidence about these processes, and what is about no process.
    """
    found: list[dict[str, t.Any]] = []
    for rule in rules:
        by_severity: dict[str, list[dict[str, t.Any]]] = {}
        for piece in rule.look(scene):
            if not pids or piece.process is None or piece.process.pid in pids:
                by_severity.setdefault(piece.severity, []).append(piece.as_dict())
        found += [finding(rule.id, severity, rule.text, pieces) for severity, pieces in by_severity.items()]
    return ordered(found)
