# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's node as facts a playbook can use.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .api import Thing

ROLE_LABEL = "node-role.kubernetes.io/"
# Where a node's address is looked for, as kube-apiserver's --kubelet-preferred-address-types would be set by hand.
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


def address(node: Thing) -> str | None:
    """A node's address: InternalIP, else ExternalIP, else Hostname; the first of that type, IPv4 or IPv6.

    The node itself says it, and it ends up in a URL and on the command line of ssh: what is neither an IP address nor a
    host name is passed over.
    """
    addresses = node.get("status", {}).get("addresses") or []
    for wanted in ADDRESS_TYPES:
        for entry in addresses:
            said = str(entry.get("address") or "")
            if entry.get("type") == wanted and (_is_ip(said) if wanted != "Hostname" else HOST_NAME.fullmatch(said)):
                return said
    return None


def runtime(node: Thing) -> tuple[str | None, str | None]:
    """Container runtime and version out of ``containerRuntimeVersion``, for example ``cri-o://1.36.3``."""
    name, _separator, version = _info(node, "containerRuntimeVersion").partition("://")
    return name or None, version or None


def kubelet_port(node: Thing) -> int | None:
    """The port that the node's kubelet says it listens on."""
    port = node.get("status", {}).get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port")
    return int(port) if port else None


def is_ready(node: Thing) -> bool:
    """Whether the node's condition ``Ready`` is true."""
    conditions = node.get("status", {}).get("conditions") or []
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def variables(node: Thing) -> dict[str, t.Any]:
    """The inventory's host variables, all but ``ansible_host`` with the prefix ``k8s_node_``."""
    metadata = node["metadata"]
    labels = metadata.get("labels") or {}
    name, version = runtime(node)
    facts = {
        "name": metadata["name"],
        "address": address(node),
        "roles": sorted(label[len(ROLE_LABEL) :] for label in labels if label.startswith(ROLE_LABEL)),
        "runtime": name,
        "runtime_version": version,
        "kubelet_version": _info(node, "kubeletVersion"),
        "kubelet_port": kubelet_port(node),
        "kernel_version": _info(node, "kernelVersion"),
        "os_image": _info(node, "osImage"),
        "architecture": _info(node, "architecture"),
        "ready": is_ready(node),
        "unschedulable": bool(node.get("spec", {}).get("unschedulable")),
        "labels": labels,
    }
    return {f"k8s_node_{key}": value for key, value in facts.items()}


def groups(node: Thing) -> list[str]:
    """The groups a node belongs to: by runtime, for example ``runtime_cri_o``, and ``ready`` or ``not_ready``."""
    name = runtime(node)[0]
    by_runtime = [f"runtime_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"] if name else []
    return [*by_runtime, "ready" if is_ready(node) else "not_ready"]


def _info(node: Thing, key: str) -> str:
    return str(node.get("status", {}).get("nodeInfo", {}).get(key) or "")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
