# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of a kubelet that the laboratory lacks, by files only: trees and processes as these distributions have them."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import kubelet, processes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.programs import Completed


class Tree:
    """Files and processes of a node."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.found: list[processes.Process] = []

    def file(self, path: str, text: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def process(self, *command: str, namespace: str = "pid:[1]") -> None:
        pid = 100 + len(self.found)
        folder = self.root / "proc" / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "ns" / "pid").symlink_to(namespace)
        self.found.append(processes.Process(pid, 1, command[0].rpartition("/")[2][:15], command, 1, str(folder)))

    def facts(self, says: str) -> dict[str, t.Any]:
        def runner(argv: t.Sequence[str], _timeout: float) -> Completed:
            assert argv[1:] == ["--version"]
            return Completed(0, says, "")

        return kubelet.kubelet_facts(self.found, str(self.root), runner)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    own = tmp_path / "proc" / "self" / "ns"
    own.mkdir(parents=True)
    (own / "pid").symlink_to("pid:[1]")
    # Everything in the tree is older than the processes.
    (tmp_path / "proc" / "uptime").write_text("0.00 0.00\n")
    return Tree(tmp_path)


KUBEADM_CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
containerRuntimeEndpoint: ""
kind: KubeletConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
runtimeRequestTimeout: 0s
staticPodPath: /etc/kubernetes/manifests
"""


def test_kubeadm(tree: Tree) -> None:
    tree.file("/var/lib/kubelet/config.yaml", KUBEADM_CONFIG)
    tree.file("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--feature-gates=ContainerCheckpoint=true"')
    tree.process(
        "/usr/bin/kubelet",
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
        "--container-runtime-endpoint",
        "unix:///var/run/containerd/containerd.sock",
        "--feature-gates=ContainerCheckpoint=true,SidecarContainers=false",
    )
    found = tree.facts("Kubernetes v1.28.15\n")

    assert found["form"] == "kubeadm" and found["version"] == "v1.28.15" and found["running"]
    assert found["configuration"] == ["/var/lib/kubelet/config.yaml"] and found["drop_in_directory"] is None
    assert found["gate"] == {"by_version": "off", "configured": True}
    assert found["runtime_endpoint"] == "unix:///var/run/containerd/containerd.sock"
    assert found["read_only_port"] == 0
    # In the file that kubeadm writes, zero stands for the default.
    assert found["runtime_request_timeout"] == "2m0s"
    assert found["checkpoint_directory"] == "/var/lib/kubelet/checkpoints" and found["notes"] == []


def test_drop_ins_win_over_the_file_in_their_order_and_flags_over_both(tree: Tree) -> None:
    tree.file("/etc/kubelet.yaml", "readOnlyPort: 10255\nruntimeRequestTimeout: 5m\nfeatureGates:\n  A: true\n")
    tree.file("/etc/kubelet.d/20-last.conf", "featureGates: {ContainerCheckpoint: false}\n")
    tree.file("/etc/kubelet.d/10-first.conf", '{"featureGates": {"ContainerCheckpoint": true}, "readOnlyPort": 0}')
    tree.file("/etc/kubelet.d/30-not.yaml", "readOnlyPort: 1\n")
    tree.process(
        "/usr/bin/kubelet",
        "--config=/etc/kubelet.yaml",
        "--config-dir=/etc/kubelet.d",
        "--runtime-request-timeout=7m",
        "--root-dir=/data/kubelet",
    )
    found = tree.facts("Kubernetes v1.36.2")

    assert found["form"] == "plain"
    assert found["configuration"] == [
        "/etc/kubelet.yaml",
        "/etc/kubelet.d/10-first.conf",
        "/etc/kubelet.d/20-last.conf",
    ]
    assert found["gate"] == {"by_version": "on", "configured": False}
    assert (found["read_only_port"], found["runtime_request_timeout"]) == (0, "7m")
    assert found["checkpoint_directory"] == "/data/kubelet/checkpoints"


def test_k3s(tree: Tree) -> None:
    tree.file(
        "/etc/rancher/k3s/config.yaml",
        'write-kubeconfig-mode: "0644"\nkubelet-arg:\n  - "feature-gates=ContainerCheckpoint=true"\n  - max-pods=200\n',
    )
    tree.process("/usr/local/bin/k3s server")
    tree.found[0] = tree.found[0]._replace(name="k3s-server", command=("k3s-server",))
    found = tree.facts("k3s version v1.29.9+k3s1 (a1b2c3d4)\ngo version go1.22.6\n")

    assert (found["form"], found["version"]) == ("k3s", "v1.29.9+k3s1")
    assert found["gate"] == {"by_version": "off", "configured": True}
    assert found["own_configuration"] == ["/etc/rancher/k3s/config.yaml"]
    assert found["runtime_endpoint"] == "/run/k3s/containerd/containerd.sock"
    # K3s sets it itself; what it sets is not in its files.
    assert found["read_only_port"] is None and found["runtime_request_timeout"] is None


def test_k3s_reads_drop_ins(tree: Tree) -> None:
    tree.file("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/10-own.conf", "runtimeRequestTimeout: 10m\n")
    tree.process("k3s-agent")
    found = tree.facts("k3s version v1.33.1+k3s1 (0)")

    assert found["drop_in_directory"] == "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
    assert found["runtime_request_timeout"] == "10m"


def test_rke2(tree: Tree) -> None:
    tree.file("/etc/rancher/rke2/config.yaml", "token: x\n")
    tree.process(
        "/var/lib/rancher/rke2/data/v1.31.1-rke2r1/bin/kubelet",
        "--container-runtime-endpoint=unix:///run/k3s/containerd/containerd.sock",
        "--read-only-port=0",
        "--feature-gates=CloudDualStackNodeIPs=true",
    )
    found = tree.facts("Kubernetes v1.31.1+rke2r1\n")

    assert (found["form"], found["version"]) == ("rke2", "v1.31.1+rke2r1")
    assert found["gate"] == {"by_version": "on", "configured": None}
    assert found["read_only_port"] == 0 and found["own_configuration"] == ["/etc/rancher/rke2/config.yaml"]


def test_microshift(tree: Tree) -> None:
    tree.file("/etc/microshift/config.yaml", "dns:\n  baseDomain: example.com\n")
    tree.process("microshift", "run")
    found = tree.facts("MicroShift Version: 4.18.1\n")

    assert (found["form"], found["version"]) == ("microshift", None)
    assert found["gate"]["by_version"] is None and found["runtime_endpoint"] == "/run/crio/crio.sock"


def test_without_a_configuration_file_the_read_only_port_is_open(tree: Tree) -> None:
    tree.process("/usr/bin/kubelet")

    assert tree.facts("Kubernetes v1.31.0")["read_only_port"] == 10255


def test_a_kubelet_in_a_container_is_not_the_node_s(tree: Tree) -> None:
    tree.process("/usr/bin/kubelet", "--config=/inside", namespace="pid:[2]")

    assert tree.facts("Kubernetes v1.31.0")["running"] is False


def test_a_file_that_cannot_be_read_is_told(tree: Tree) -> None:
    tree.process("/usr/bin/kubelet", "--config=/etc/gone.yaml")

    assert tree.facts("Kubernetes v1.31.0")["notes"] == ["/etc/gone.yaml could not be read"]


def test_what_was_written_later_is_not_in_force_yet(tree: Tree) -> None:
    tree.file("/etc/kubelet.yaml", "readOnlyPort: 0\n")
    tree.process("/usr/bin/kubelet", "--config=/etc/kubelet.yaml")
    (tree.root / "proc" / "uptime").write_text("60.00 60.00\n")

    assert tree.facts("Kubernetes v1.31.0")["notes"] == ["Changed after the kubelet was started: /etc/kubelet.yaml"]
