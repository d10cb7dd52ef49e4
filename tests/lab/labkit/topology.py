# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who in the laboratory: names, addresses, runtimes. Everything else reads it here."""

from __future__ import annotations

import dataclasses

BRIDGE_PREFIX = "10.77.0"
BRIDGE_PREFIX6 = "fd77:"
CONTROL_PLANE = f"{BRIDGE_PREFIX}.254"
HOST = f"{BRIDGE_PREFIX}.253"
HOST6 = f"{BRIDGE_PREFIX6}:253"
API_SERVER = f"https://{CONTROL_PLANE}:6443"
REGISTRY_HOST = "registry.lab"
REGISTRY_PORT = 5000
PRIVATE_REGISTRY_PORT = 5001
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
HOST_LINK = "lab0"


@dataclasses.dataclass(frozen=True)
class Node:
    """One machine of the cluster. ``number`` starts at 1 and gives its addresses and its pods' network."""

    name: str
    number: int
    runtime: str  # "crio" or "containerd"

    @property
    def address(self) -> str:
        return f"{BRIDGE_PREFIX}.{10 + self.number}"

    @property
    def address6(self) -> str:
        return f"{BRIDGE_PREFIX6}:{10 + self.number}"

    @property
    def pod_network(self) -> str:
        return f"10.88.{self.number}.0/24"

    @property
    def link(self) -> str:
        """Its end of the cable, as the bridge sees it."""
        return f"port{self.number}"

    @property
    def socket(self) -> str:
        return {"crio": "/run/crio/crio.sock", "containerd": "/run/containerd/containerd.sock"}[self.runtime]


NODES = (
    Node("crio-a", 1, "crio"),
    Node("crio-b", 2, "crio"),
    Node("ctd-a", 3, "containerd"),
    Node("ctd-b", 4, "containerd"),
)
# Start only when they are named: for what would spoil a node for others.
SPARES = (
    Node("crio-c", 5, "crio"),
    Node("ctd-c", 6, "containerd"),
)
ALL = NODES + SPARES


def named(name: str) -> Node:
    """The node of that name; KeyError otherwise."""
    return {node.name: node for node in ALL}[name]
