# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies over the bare Debian root of a node: configuration from tests/lab/node, binaries, certificates.

Nodes share these directories as lower layers of their overlays. They hold what a fresh node of a real cluster has,
and nothing of what a checkpoint needs on top.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil

from . import host, topology
from .parts import Parts
from .pki import Pki

FILES = pathlib.Path(__file__).resolve().parent.parent / "node"

# What would change the machine itself, wants hardware, or wakes up for nothing.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "getty.target",
    "sshd-keygen.service",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-sysctl.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
)
ENABLED_UNITS = {"common": ["kubelet.service"], "crio": ["crio.service"], "containerd": ["containerd.service"]}
OPS_UID = 1000


class Layers:
    def __init__(self, directory: pathlib.Path, parts: Parts, pki: Pki) -> None:
        self.directory = directory
        self.parts = parts
        self.pki = pki

    def of(self, node: topology.Node) -> list[str]:
        """The lower directories of the node's overlay, topmost first."""
        return [str(self.directory / node.runtime), str(self.directory / "common"), str(self.parts.root)]

    def build(self) -> None:
        if (self.directory / "complete").exists():
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("common", "crio", "containerd"):
            shutil.copytree(FILES / name, self.directory / name)
            wants = self.directory / name / "etc/systemd/system/multi-user.target.wants"
            wants.mkdir()
            for unit in ENABLED_UNITS[name]:
                (wants / unit).symlink_to(f"../{unit}")
        self._common(self.directory / "common")
        self._install(self.directory / "crio", self.parts.crio, self.parts.pinns)
        self._install(self.directory / "containerd", *sorted(self.parts.containerd.iterdir()))
        (self.directory / "complete").touch()

    def _common(self, top: pathlib.Path) -> None:
        self._install(top, self.parts.kubernetes / "kubelet", self.parts.crictl)
        for unit in MASKED_UNITS:
            (top / "etc/systemd/system" / unit).symlink_to("/dev/null")
        for directory in ("opt/debs", "opt/cni", "var/lib/kubelet", "var/lib/containers", "var/lib/containerd"):
            (top / directory).mkdir(parents=True)
        (top / "opt/cni/bin").symlink_to("/usr/lib/cni")
        (top / "etc/sudoers.d/ops").chmod(0o440)
        if not host.has_capability(host.CAP_SYS_RESOURCE):
            shutil.copytree(FILES / "no-sys-resource", top, symlinks=True, dirs_exist_ok=True)
            (top / "usr/local/lib").mkdir(parents=True)
            _link(self.parts.nolimit, top / "usr/local/lib/nolimit.so")
        self._trust(top)
        self._logins(top)
        names = [
            ("127.0.0.1", "localhost"),
            ("::1", "localhost ip6-localhost"),
            (topology.CONTROL_PLANE, topology.REGISTRY_HOST),
        ]
        names += [(node.address, node.name) for node in topology.ALL]
        (top / "etc/hosts").write_text("".join(f"{address} {name}\n" for address, name in names))
        (top / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")

    def _trust(self, top: pathlib.Path) -> None:
        authority = self.pki.path("ca.crt").read_text()
        for name in ("usr/local/share/ca-certificates/lab.crt", "etc/kubernetes/pki/ca.crt"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(authority)
        bundle = "etc/ssl/certs/ca-certificates.crt"
        (top / bundle).parent.mkdir(parents=True)
        (top / bundle).write_text((self.parts.root / bundle).read_text() + authority)

    def _logins(self, top: pathlib.Path) -> None:
        """root and ops, both with the laboratory's key; ops may become root by sudo."""
        for name, line in (
            ("passwd", f"ops:x:{OPS_UID}:{OPS_UID}::/home/ops:/bin/bash"),
            ("group", f"ops:x:{OPS_UID}:"),
            ("shadow", "ops:*:20000:0:99999:7:::"),
        ):
            shutil.copy(self.parts.root / "etc" / name, top / "etc" / name)
            with open(top / "etc" / name, "a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        for home, uid in (("root", 0), ("home/ops", OPS_UID)):
            directory = top / home / ".ssh"
            directory.mkdir(parents=True)
            shutil.copy(self.pki.path("ssh_key.pub"), directory / "authorized_keys")
            for path in (top / home, directory):
                path.chmod(0o700)
                os.chown(path, uid, uid)
            os.chown(directory / "authorized_keys", uid, uid)
        for suffix in ("", ".pub"):
            key = top / f"etc/ssh/ssh_host_ed25519_key{suffix}"
            shutil.copy(self.pki.path(f"ssh_host_key{suffix}"), key)
            key.chmod(0o600)

    @staticmethod
    def _install(top: pathlib.Path, *programs: pathlib.Path) -> None:
        target = top / "usr/local/bin"
        target.mkdir(parents=True, exist_ok=True)
        for program in programs:
            _link(program, target / program.name)


def write_node(upper: pathlib.Path, node: topology.Node, pki: Pki) -> None:
    """The few files that only this node has, into its own upper layer."""
    files = {
        "etc/hostname": f"{node.name}\n",
        "etc/kubernetes/kubelet.kubeconfig": pki.path(f"{node.name}.kubeconfig").read_text(),
        "etc/kubernetes/pki/kubelet.crt": pki.path(f"{node.name}.crt").read_text(),
        "etc/kubernetes/pki/kubelet.key": pki.path(f"{node.name}.key").read_text(),
        "etc/cni/net.d/10-pods.conflist": json.dumps(_cni(node), indent=1) + "\n",
    }
    for name, text in files.items():
        path = upper / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix in (".key", ".kubeconfig"):
            path.chmod(0o600)


def _cni(node: topology.Node) -> dict[str, object]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": node.pod_network}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Without a copy where both are on one file system; overlays never write to a lower layer."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
