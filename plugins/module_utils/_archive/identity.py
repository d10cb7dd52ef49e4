# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine wrote an archive, and what identity it recorded: one model for all, None where nothing was recorded.

Sources: checkpointctl lib/metadata.go and internal/container.go (9192f11); cri-o internal/lib/checkpoint.go
(f954a17); containerd internal/cri/server/container_checkpoint_linux.go (v2.0.0 to v2.3.4); podman
libpod/container_internal_common.go (c6580b4); criu criu/log.c (dump.log's first lines).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from .members import Tree
from .notes import Notes

MAX_JSON = 8 << 20
LOG_HEAD = 1 << 14
MAX_ADDRESSES = 16

CRIO = "io.kubernetes.cri-o."
CONTAINERD = "io.kubernetes.cri."
KUBELET = "io.kubernetes."


class Identity:
    """Who was checkpointed, where and when. Times are RFC 3339 in UTC.

    Not a dataclass: importing ``dataclasses`` takes longer than listing an archive.
    """

    def __init__(self) -> None:
        self.engine: t.Optional[str] = None
        self.engine_version: t.Optional[str] = None
        self.namespace: t.Optional[str] = None
        self.pod: t.Optional[str] = None
        self.pod_uid: t.Optional[str] = None
        self.pod_id: t.Optional[str] = None
        self.container: t.Optional[str] = None
        self.container_id: t.Optional[str] = None
        self.attempt: t.Optional[int] = None
        self.image: t.Optional[str] = None
        self.image_name: t.Optional[str] = None
        self.image_digest: t.Optional[str] = None
        self.image_id: t.Optional[str] = None
        self.runtime: t.Optional[str] = None
        self.node: t.Optional[str] = None
        self.kernel: t.Optional[str] = None
        self.criu_version: t.Optional[str] = None
        self.architecture: t.Optional[str] = None
        self.created: t.Optional[str] = None
        self.checkpointed: t.Optional[str] = None
        self.ip_addresses: list[str] = []

    def as_dict(self) -> dict[str, t.Any]:
        return {**vars(self), "ip_addresses": list(self.ip_addresses)}


class Documents:
    """The JSON documents at the root of an archive; what cannot be read is noted once and counts as absent."""

    def __init__(self, tree: Tree, notes: Notes) -> None:
        self.tree = tree
        self._notes = notes
        self._read: dict[str, t.Any] = {}

    def get(self, name: str) -> t.Any:
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def object(self, name: str) -> dict[str, t.Any]:
        document = self.get(name)
        return document if isinstance(document, dict) else {}

    def _load(self, name: str) -> t.Any:
        member = self.tree.file(name)
        if member is None:
            return None
        if member.size > MAX_JSON:
            self._notes.add("document_too_large", f"The document is larger than {MAX_JSON} bytes", name)
            return None
        try:
            return json.loads(member.read(), parse_constant=str)
        except (ValueError, RecursionError) as error:
            self._notes.add("document_damaged", f"The document is not JSON: {error}", name)
            return None


def _text(value: t.Any) -> t.Optional[str]:
    return value if isinstance(value, str) and value else None


def _at(value: t.Any, *keys: str) -> t.Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: t.Any) -> t.Optional[int]:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None


TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?")


def instant(value: t.Any) -> t.Optional[str]:
    """A time as RFC 3339 in UTC with whole seconds or microseconds, None for none and for the year 1 of Go."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 < value < 1 << 63:
            return None
        moment = datetime.datetime.fromtimestamp(value // 10**9, datetime.timezone.utc)
        return moment.replace(microsecond=value % 10**9 // 1000).isoformat().replace("+00:00", "Z")
    match = TIME.match(value) if isinstance(value, str) else None
    if match is None or match.group(1).startswith("0001"):
        return None
    zone = (match.group(4) or "Z").replace("Z", "+00:00")
    if len(zone) == 5:
        zone = zone[:3] + ":" + zone[3:]
    fraction = (match.group(3) or "")[:7].ljust(7, "0") if match.group(3) else ""
    try:
        moment = datetime.datetime.fromisoformat(f"{match.group(1)}T{match.group(2)}{fraction}{zone}")
        return moment.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return None


DIGEST = re.compile(r"(?:^|@)(sha256:[0-9a-f]{64})$")
IMAGE_ID = re.compile(r"^[0-9a-f]{64}$")


def recognise(documents: Documents) -> tuple[t.Optional[str], t.Optional[str]]:
    """(engine, version) by content: the manager annotation of spec.dump first, then which members there are."""
    tree = documents.tree
    manager = _at(documents.get("spec.dump"), "annotations", "io.container.manager")
    annotations = _at(documents.get("spec.dump"), "annotations")
    keys: t.Iterable[str] = annotations if isinstance(annotations, dict) else ()
    config = documents.object("config.dump")
    if manager == "cri-o" or any(key.startswith(CRIO) for key in keys):
        return "CRI-O", None
    if manager == "libpod" or "rootfsImageID" in config or tree.file("network.status") is not None:
        return "Podman", None
    if any(key.startswith(CONTAINERD) for key in keys):
        newer = tree.file("status.dump") is not None or tree.file("stats-dump") is not None
        return "containerd", "2.1 or later" if newer else "2.0"
    return None, None


def _from_config(identity: Identity, config: dict[str, t.Any]) -> None:
    identity.container_id = _text(config.get("id"))
    identity.container = _text(config.get("name"))
    identity.image = _text(config.get("rawImageName")) or _text(config.get("rootfsImage"))
    identity.image = identity.image or _text(config.get("rootfsImageName"))
    identity.image_name = _text(config.get("rootfsImageName"))
    identity.runtime = _text(config.get("runtime")) or _text(config.get("ociRuntime"))
    identity.created = instant(config.get("createdTime"))
    identity.checkpointed = instant(config.get("checkpointedTime"))
    for key in ("rootfsImageRef", "rootfsImageID", "rootfsImageName", "rootfsImage"):
        reference = _text(config.get(key)) or ""
        digest = DIGEST.search(reference)
        if digest is not None and identity.image_digest is None and "@" in reference:
            identity.image_digest = digest.group(1)
        if identity.image_id is None and key in ("rootfsImageRef", "rootfsImageID"):
            if IMAGE_ID.match(reference):
                identity.image_id = "sha256:" + reference
            elif digest is not None and "@" not in reference:
                identity.image_id = reference


def _from_name(identity: Identity, engine: t.Optional[str]) -> None:
    """The parts of the long name that CRI-O and containerd give a container; no part may contain an underscore."""
    parts = (identity.container or "").split("_")
    if engine == "CRI-O" and len(parts) == 6 and parts[0] == "k8s":
        parts = parts[1:]
    if engine in ("CRI-O", "containerd") and len(parts) == 5:
        identity.container, identity.pod, identity.namespace, identity.pod_uid = parts[:4]
        identity.attempt = _number(parts[4])


def _from_crio(identity: Identity, annotations: dict[str, t.Any]) -> None:
    try:
        metadata = json.loads(annotations.get(CRIO + "Metadata") or "{}")
    except (ValueError, TypeError, RecursionError):
        metadata = {}
    identity.container = _text(_at(metadata, "name")) or identity.container
    attempt = _number(_at(metadata, "attempt"))
    identity.attempt = identity.attempt if attempt is None else attempt
    identity.pod_id = _text(annotations.get(CRIO + "SandboxID"))
    identity.created = instant(annotations.get(CRIO + "Created")) or identity.created
    # rootfsImage is the image's ID here; what the pod asked for stands in the annotations (seen on the lab, 1.36.3).
    for key in ("ImageName", "UserRequestedImage"):
        identity.image = _text(annotations.get(CRIO + key)) or identity.image
    digests = _text(annotations.get(CRIO + "ImageRepoDigests")) or ""
    for reference in digests.split(","):
        digest = DIGEST.search(reference)
        identity.image_digest = identity.image_digest or (digest.group(1) if digest is not None else None)
    for index in range(MAX_ADDRESSES):
        address = _text(annotations.get(f"{CRIO}IP.{index}"))
        if address is None:
            break
        identity.ip_addresses.append(address)


def _from_containerd(identity: Identity, annotations: dict[str, t.Any], status: dict[str, t.Any]) -> None:
    identity.container = _text(annotations.get(CONTAINERD + "container-name")) or identity.container
    identity.pod = _text(annotations.get(CONTAINERD + "sandbox-name")) or identity.pod
    identity.namespace = _text(annotations.get(CONTAINERD + "sandbox-namespace")) or identity.namespace
    identity.pod_uid = _text(annotations.get(CONTAINERD + "sandbox-uid")) or identity.pod_uid
    identity.pod_id = _text(annotations.get(CONTAINERD + "sandbox-id"))
    identity.image = _text(annotations.get(CONTAINERD + "image-name")) or identity.image
    attempt = _number(_at(status, "metadata", "attempt"))
    identity.attempt = identity.attempt if attempt is None else attempt
    identity.container_id = _text(status.get("id")) or identity.container_id
    identity.image = _text(_at(status, "image", "user_specified_image")) or identity.image
    reference = _text(status.get("image_ref")) or ""
    digest = DIGEST.search(reference)
    if digest is not None and "@" in reference:
        identity.image_digest = digest.group(1)
    identity.image_id = _text(status.get("image_id")) or identity.image_id
    identity.created = instant(status.get("created_at")) or identity.created


def _from_podman(identity: Identity, status: dict[str, t.Any]) -> None:
    """The addresses of network.status: NETWORK.interfaces.INTERFACE.subnets[].ipnet, with the prefix behind a slash."""
    for network in status.values():
        interfaces = _at(network, "interfaces")
        for interface in interfaces.values() if isinstance(interfaces, dict) else ():
            subnets = _at(interface, "subnets")
            for subnet in subnets if isinstance(subnets, list) else ():
                address = (_text(_at(subnet, "ipnet")) or "").partition("/")[0]
                if address and len(identity.ip_addresses) < MAX_ADDRESSES:
                    identity.ip_addresses.append(address)


VERSION = re.compile(r"Version: (\S+)(?: \(gitid ([^)]*)\))?")
RUNNING = re.compile(r"Running on (\S+) Linux (\S+) .*? (\S+)\s*$")


def _from_log(identity: Identity, tree: Tree) -> None:
    """CRIU's own first lines: the only place with its version, the kernel and the node's name (criu criu/log.c)."""
    member = tree.file("dump.log") or tree.file("checkpoint/dump.log")
    if member is None:
        return
    for line in member.read(0, LOG_HEAD).decode("utf-8", "replace").splitlines():
        version = VERSION.search(line)
        if version is not None and identity.criu_version is None:
            identity.criu_version = version.group(1)
        running = RUNNING.search(line)
        if running is not None:
            identity.node, identity.kernel, identity.architecture = running.groups()
            return


def identify(documents: Documents) -> Identity:
    """The identity that the archive's own content tells; never its file name."""
    identity = Identity()
    identity.engine, identity.engine_version = recognise(documents)
    found = _at(documents.get("spec.dump"), "annotations")
    annotations: dict[str, t.Any] = found if isinstance(found, dict) else {}
    status = documents.object("status.dump")
    _from_config(identity, documents.object("config.dump"))
    _from_name(identity, identity.engine)
    labels = status.get("labels") if isinstance(status.get("labels"), dict) else {}
    for source in (labels, annotations):
        identity.namespace = _text(_at(source, KUBELET + "pod.namespace")) or identity.namespace
        identity.pod = _text(_at(source, KUBELET + "pod.name")) or identity.pod
        identity.pod_uid = _text(_at(source, KUBELET + "pod.uid")) or identity.pod_uid
        identity.container = _text(_at(source, KUBELET + "container.name")) or identity.container
    if identity.engine == "CRI-O":
        _from_crio(identity, annotations)
    elif identity.engine == "containerd":
        _from_containerd(identity, annotations, status)
    elif identity.engine == "Podman":
        _from_podman(identity, documents.object("network.status"))
    _from_log(identity, documents.tree)
    return identity
