# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
short_description: The nodes of a Kubernetes cluster as hosts
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Makes a host of every node of a cluster, so that a playbook can go on to work on the nodes that hold checkpoints.
  - The name of its file ends in C(nodes.yml) or C(nodes.yaml), for example C(cluster.nodes.yml).
  - C(ansible_host) is the InternalIP of the node, else its ExternalIP, else its host name. How to log in there is not
    known to the cluster, give it with O(compose) or as group variables.
  - The variables of a host are C(k8s_node_name), C(k8s_node_address), C(k8s_node_roles) (list), C(k8s_node_runtime)
    (for example V(cri-o) or V(containerd)), C(k8s_node_runtime_version), C(k8s_node_kubelet_version),
    C(k8s_node_kubelet_port), C(k8s_node_kernel_version), C(k8s_node_os_image), C(k8s_node_architecture),
    C(k8s_node_ready) (boolean), C(k8s_node_unschedulable) (boolean) and C(k8s_node_labels) (dictionary).
  - The groups are C(runtime_cri_o), C(runtime_containerd) and so on by runtime, and C(ready) or C(not_ready).
  - Needs the right to list nodes.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth.inventory
  - ansible.builtin.constructed
options:
  plugin:
    description: The name of this plugin, which makes the file its own.
    type: str
    required: true
    choices: [checkpoint_restore.kubernetes.nodes]
  label_selectors:
    description: Only nodes that fit all these label selectors.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
# cluster.nodes.yml
plugin: checkpoint_restore.kubernetes.nodes
kubeconfig: ~/.kube/config
label_selectors:
  - kubernetes.io/os=linux
compose:
  ansible_user: "'ops'"
keyed_groups:
  - key: k8s_node_roles
    prefix: role
  - key: k8s_node_architecture
    prefix: arch
"""

import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec, auth, nodes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession


class InventoryModule(BaseInventoryPlugin, Constructable):
    NAME = "checkpoint_restore.kubernetes.nodes"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(("nodes.yml", "nodes.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache=cache)
        self._read_config_data(path)
        options = {name: self.get_option(name) for name in argument_spec.auth_options(lambda: None)}
        try:
            found = ApiSession(auth.api_server(options)).nodes(labels=self.get_option("label_selectors"))
        except CheckpointError as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        for node in sorted(found, key=lambda node: str(node["metadata"]["name"])):
            self._add(node)

    def _add(self, node: dict[str, t.Any]) -> None:
        facts = nodes.variables(node)
        host = facts["k8s_node_name"]
        self.inventory.add_host(host)
        for group in nodes.groups(node):
            self.inventory.add_host(host, group=self.inventory.add_group(group))
        if facts["k8s_node_address"]:
            facts["ansible_host"] = facts["k8s_node_address"]
        # A node says what it likes about itself; none of it is a template.
        facts = wrap_var(facts)
        for name, value in facts.items():
            self.inventory.set_variable(host, name, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), facts, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), facts, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), facts, host, strict=strict)
