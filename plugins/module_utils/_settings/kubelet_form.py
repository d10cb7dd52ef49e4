# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a kubelet takes its configuration from: flags, file, drop-in directory, or that of a distribution.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import typing as t

from .._common.errors import CheckpointError
from .._node.files import under
from .._node.processes import option
from .changes import read
from .running import running

DROP_IN = "90-checkpoint-restore.conf"
FLAGS_FILE = "/var/lib/kubelet/kubeadm-flags.env"
"""Written by kubeadm for the unit that its package brings (kubernetes cmd/kubeadm/app/phases/kubelet/flags.go)."""

RANCHER = ("k3s", "rke2")
MICROSHIFT = "/etc/microshift/config.d/90-checkpoint-restore.yaml"
"""Merged key by key over config.yaml; its section kubelet goes into the KubeletConfiguration (MicroShift
docs/user/howto_config.md)."""


class Form(t.NamedTuple):
    """``kind``: "drop_in", "file", "flags", "rancher" or "microshift". ``argv``: empty if the kubelet has none."""

    kind: str
    path: str
    units: tuple[str, ...]
    argv: tuple[str, ...] = ()

    @property
    def base(self) -> t.Optional[str]:
        """The KubeletConfiguration below a drop-in directory."""
        return option(self.argv, "--config")


def rancher(root: str, name: str) -> t.Optional[tuple[str, ...]]:
    """The command line of K3s or RKE2, which rename their process."""
    return running(root, name, f"{name}-server", f"{name}-agent")


def rancher_file(name: str) -> str:
    """Read after config.yaml; a key that ends with + adds to a list (k3s pkg/configfilearg/parser.go)."""
    return f"/etc/rancher/{name}/config.yaml.d/90-checkpoint-restore.yaml"


def rancher_folder(name: str) -> str:
    """The drop-in directory of releases since 1.32 (docs.k3s.io, Configuration Options)."""
    return f"/var/lib/rancher/{name}/agent/etc/kubelet.conf.d"


def find(root: str) -> Form:
    """How the running kubelet is configured. Raises CheckpointError ``kubelet_not_found``, ``configuration_form``."""
    argv = running(root, "kubelet")
    name = next((name for name in RANCHER if rancher(root, name) is not None), None)
    if name is not None:
        units = (_rancher_unit(root, name),)
        folder = option(argv or (), "--config-dir") or rancher_folder(name)
        if os.path.isdir(under(root, folder)):
            return Form("drop_in", os.path.join(folder, DROP_IN), units, argv or ())
        return Form("rancher", rancher_file(name), units, argv or ())
    if argv is None:
        if running(root, "microshift") is not None:
            return Form("microshift", MICROSHIFT, ("microshift",))
        raise CheckpointError(
            "kubelet_not_found",
            "No kubelet runs on this node, so nobody can tell where its configuration is",
            hint="Start it first",
        )
    folder, file = option(argv, "--config-dir") or "", option(argv, "--config")
    if folder:
        return Form("drop_in", os.path.join(folder, DROP_IN), ("kubelet",), argv)
    if file:
        return Form("file", file, ("kubelet",), argv)
    if read(root, FLAGS_FILE) is not None:
        return Form("flags", FLAGS_FILE, ("kubelet",), argv)
    raise CheckpointError(
        "configuration_form",
        "The kubelet has neither a configuration file nor a drop-in directory nor the flags file of kubeadm",
        hint="Start it with --config or --config-dir",
    )


def _rancher_unit(root: str, name: str) -> str:
    """A server is k3s or rke2-server, an agent k3s-agent or rke2-agent."""
    argv = rancher(root, name) or ()
    agent = "agent" in argv[1:2] or argv[0].endswith("-agent")
    if name == "k3s":
        return "k3s-agent" if agent else "k3s"
    return "rke2-agent" if agent else "rke2-server"


def candidates(root: str) -> list[str]:
    """All files in which lines of ours may stand."""
    argv = running(root, "kubelet") or ()
    paths = [FLAGS_FILE, MICROSHIFT]
    for name in RANCHER:
        paths += [rancher_file(name), os.path.join(rancher_folder(name), DROP_IN)]
    folder, file = option(argv, "--config-dir"), option(argv, "--config")
    paths += [os.path.join(folder, DROP_IN)] if folder else []
    paths += [file] if file else []
    return sorted(set(paths))
