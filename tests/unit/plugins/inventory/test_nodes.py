# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin through ansible-inventory, as users run it."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    node_object,
    serving,
    status_object,
)


def nodes() -> list[dict[str, t.Any]]:
    first = node_object(
        "n1",
        "10.0.0.1",
        nodeInfo={
            "containerRuntimeVersion": "cri-o://1.36.3",
            "kubeletVersion": "v1.36.2",
            "kernelVersion": "6.18.0",
            "osImage": "{{ 6 * 7 }}",
            "architecture": "amd64",
        },
        daemonEndpoints={"kubeletEndpoint": {"Port": 10250}},
    )
    first["metadata"]["labels"] = {"node-role.kubernetes.io/b": "", "node-role.kubernetes.io/a": "", "x": "y"}
    second = node_object("n2", "fd00::2", conditions=[{"type": "Ready", "status": "Unknown"}])
    second["status"]["nodeInfo"]["containerRuntimeVersion"] = "containerd://2.1.9"
    second["spec"]["unschedulable"] = True
    third = node_object("n3", addresses=[], conditions=[], nodeInfo={})
    return [third, second, first]


def listing(_asked: Asked) -> Say:
    return Say(200, {"items": nodes(), "metadata": {}})


class Inventory:
    """A file for the plugin, and the programs that read it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "ANSIBLE_NOCOLOR": "true"}

    def run(self, program: str, *arguments: str, **options: t.Any) -> subprocess.CompletedProcess[str]:
        path = self.folder / "lab.nodes.yml"
        path.write_text(yaml.safe_dump({"plugin": "checkpoint_restore.kubernetes.nodes", **options}), encoding="utf-8")
        found = shutil.which(program, path=os.path.dirname(sys.executable)) or program
        command = [found, "-i", str(path), *arguments]
        return subprocess.run(
            command, env=self.environ, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120
        )

    def listed(self, url: str, **options: t.Any) -> dict[str, t.Any]:
        done = self.run("ansible-inventory", "--list", host=url, api_key="token-0", **options)
        assert done.returncode == 0, done.stderr
        listed: dict[str, t.Any] = plain(json.loads(done.stdout))
        return listed


def plain(value: t.Any) -> t.Any:
    """Without the mark that ansible-inventory puts on texts that are not templates."""
    if isinstance(value, dict):
        return (
            value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else {k: plain(v) for k, v in value.items()}
        )
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.fixture
def inventory(tmp_path: pathlib.Path) -> Inventory:
    return Inventory(tmp_path)


def test_hosts_variables_and_groups(inventory: Inventory) -> None:
    with serving(listing) as there:
        listed = inventory.listed(there.url, label_selectors=["a=b"])
    assert there.asked[0].query["labelSelector"] == "a=b"
    variables = listed["_meta"]["hostvars"]
    assert variables["n1"] == {
        "ansible_host": "10.0.0.1",
        "k8s_node_name": "n1",
        "k8s_node_address": "10.0.0.1",
        "k8s_node_roles": ["a", "b"],
        "k8s_node_runtime": "cri-o",
        "k8s_node_runtime_version": "1.36.3",
        "k8s_node_kubelet_version": "v1.36.2",
        "k8s_node_kubelet_port": 10250,
        "k8s_node_kernel_version": "6.18.0",
        "k8s_node_os_image": "{{ 6 * 7 }}",
        "k8s_node_architecture": "amd64",
        "k8s_node_ready": True,
        "k8s_node_unschedulable": False,
        "k8s_node_labels": {"node-role.kubernetes.io/b": "", "node-role.kubernetes.io/a": "", "x": "y"},
    }
    second = variables["n2"]
    assert (second["ansible_host"], second["k8s_node_ready"], second["k8s_node_unschedulable"]) == (
        "fd00::2",
        False,
        True,
    )
    assert "ansible_host" not in variables["n3"]
    members = {name: group["hosts"] for name, group in listed.items() if "hosts" in group}
    assert members == {
        "runtime_cri_o": ["n1"],
        "runtime_containerd": ["n2"],
        "ready": ["n1"],
        "not_ready": ["n2", "n3"],
    }


def test_what_a_node_says_about_itself_is_no_template(inventory: Inventory) -> None:
    with serving(listing) as there:
        shown = inventory.run(
            "ansible",
            "n1",
            "-m",
            "ansible.builtin.debug",
            "-a",
            "msg={{ k8s_node_os_image }}{{ image }}",
            host=there.url,
            api_key="token-0",
            compose={"image": "k8s_node_os_image"},
        ).stdout
    assert '"msg": "{{ 6 * 7 }}{{ 6 * 7 }}"' in shown


def test_constructed(inventory: Inventory) -> None:
    with serving(listing) as there:
        listed = inventory.listed(
            there.url,
            compose={"ansible_user": "'ops'"},
            groups={"cordoned": "k8s_node_unschedulable"},
            keyed_groups=[{"key": "k8s_node_roles", "prefix": "role"}],
        )
    assert listed["_meta"]["hostvars"]["n1"]["ansible_user"] == "ops"
    assert listed["cordoned"]["hosts"] == ["n2"]
    assert listed["role_a"]["hosts"] == ["n1"]


def test_the_environment_of_awx(inventory: Inventory) -> None:
    with serving(listing) as there:
        inventory.environ |= {
            "K8S_AUTH_HOST": there.url,
            "K8S_AUTH_API_KEY": "from-awx",
            "K8S_AUTH_VERIFY_SSL": "False",
        }
        assert inventory.run("ansible-inventory", "--graph").stdout.count("--n1") == 2
    assert there.asked[0].headers["Authorization"] == "Bearer from-awx"


def test_a_refusal_is_a_sentence(inventory: Inventory) -> None:
    refusal = status_object(403, 'nodes is forbidden: User "u" cannot list resource "nodes"')
    with serving(lambda _asked: refusal) as there:
        done = inventory.run("ansible-inventory", "--graph", host=there.url, api_key="token-0")
    # Long lines are folded by Ansible.
    said = " ".join(done.stderr.split())
    assert "The account lacks a right" in said and "cannot list resource" in said
    assert "Traceback" not in said
