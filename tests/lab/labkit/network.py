# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One network namespace for the control plane, with the switch in it, and one for each node.

The machine itself is plugged into the switch by one link. Namespaces are held by files of the laboratory's own, not by
``ip netns``, which would leave a mount of its own on the machine.
"""

from __future__ import annotations

import pathlib
import subprocess

from . import topology
from .run import run

CONTROL_PLANE = "control-plane"


class Network:
    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def namespace(self, name: str) -> pathlib.Path:
        """The file that holds the namespace of a node or of the control plane."""
        return self.directory / name

    def enter(self, name: str) -> list[str]:
        """The command prefix that runs something in that namespace."""
        return ["nsenter", f"--net={self.namespace(name)}", "--"]

    def create(self) -> None:
        if (self.directory / "complete").exists():
            return
        self.remove()
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in (CONTROL_PLANE, *(node.name for node in topology.ALL)):
            self.namespace(name).touch()
            run(["unshare", f"--net={self.namespace(name)}", "true"])
        switch = self.namespace(CONTROL_PLANE)
        self._ip(
            CONTROL_PLANE,
            "link set lo up",
            "link add switch type bridge",
            "link set switch up",
            f"addr add {topology.CONTROL_PLANE}/24 dev switch",
        )
        run(["ip", "link", "add", topology.HOST_LINK, "type", "veth", "peer", "name", "host", "netns", str(switch)])
        self._ip(CONTROL_PLANE, "link set host master switch up")
        run(["ip", "addr", "add", f"{topology.HOST}/24", "dev", topology.HOST_LINK])
        run(["ip", "addr", "add", f"{topology.HOST6}/64", "dev", topology.HOST_LINK, "nodad"])
        run(["ip", "link", "set", topology.HOST_LINK, "up"])
        for node in topology.ALL:
            self._plug(node, switch)
        (self.directory / "complete").touch()

    def _plug(self, node: topology.Node, switch: pathlib.Path) -> None:
        self._ip(node.name, f"link add eth0 type veth peer name {node.link} netns {switch}")
        self._ip(
            CONTROL_PLANE, f"link set {node.link} master switch up", f"route add {node.pod_network} via {node.address}"
        )
        others = [other for other in topology.ALL if other is not node]
        self._ip(
            node.name,
            "link set lo up",
            f"addr add {node.address}/24 dev eth0",
            f"addr add {node.address6}/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {topology.CONTROL_PLANE}",
            *(f"route add {other.pod_network} via {other.address}" for other in others),
        )
        run([*self.enter(node.name), "sysctl", "-qw", "net.ipv4.ip_forward=1"])
        run(["ip", "route", "add", node.pod_network, "via", node.address])

    def cut(self, node: topology.Node) -> None:
        """Pull the node's cable: what is under way simply stops being answered."""
        self._ip(CONTROL_PLANE, f"link set {node.link} down")

    def heal(self, node: topology.Node) -> None:
        # Routes through the node survive: they belong to the switch's link, which stayed up.
        self._ip(CONTROL_PLANE, f"link set {node.link} up")

    def is_cut(self, node: topology.Node) -> bool:
        shown = run([*self.enter(CONTROL_PLANE), "ip", "-o", "link", "show", node.link]).stdout
        return "state DOWN" in shown

    def remove(self) -> None:
        subprocess.run(["ip", "link", "del", topology.HOST_LINK], stderr=subprocess.DEVNULL, check=False)
        for name in (CONTROL_PLANE, *(node.name for node in topology.ALL)):
            path = self.namespace(name)
            if path.exists():
                subprocess.run(["umount", str(path)], stderr=subprocess.DEVNULL, check=False)
                path.unlink()
        (self.directory / "complete").unlink(missing_ok=True)

    def _ip(self, name: str, *commands: str) -> None:
        run([*self.enter(name), "ip", "-batch", "-"], input="\n".join(commands) + "\n")
