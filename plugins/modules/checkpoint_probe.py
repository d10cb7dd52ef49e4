#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_probe
short_description: Try whether a node is in order and can checkpoint
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Asks the cluster whether a node is Ready, and its kubelet whether it serves checkpoints. Neither has an effect on
    the node.
  - With O(checkpoint=true) it proves the rest as well. It makes a pod of its own on the node, without any rights,
    checkpoints it and deletes it again. The archive stays on the node, RV(checkpoint.path) says where.
  - Runs on the controller. Needs the right to get nodes and to create C(nodes/checkpoint); with O(checkpoint=true) also
    to create, get and delete pods in O(namespace).
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._auth.kubelet
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Asks whether the node is Ready and the kubelet serves checkpoints; makes no pod and takes no checkpoint.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - With O(checkpoint=true) every call leaves another archive on the node.
  platform:
    support: full
    platforms: posix
options:
  node:
    description:
      - The name that the node has in the cluster.
    type: str
    required: true
  wait:
    description:
      - How long to wait until the node is Ready and its kubelet answers, and as long again until the pod of
        O(checkpoint=true) runs, in seconds or for example as V(90s) or V(5m).
    type: str
    default: 1m
  checkpoint:
    description:
      - Checkpoint a container of a pod made for it.
    type: bool
    default: false
  image:
    description:
      - The image of that pod. Any that does not end by itself, without a shell or a user of its own, will do; a node
        usually has its runtime's C(pause) image already.
    type: str
    default: registry.k8s.io/pause:3.10
  namespace:
    description:
      - The namespace of that pod.
    type: str
    default: default
  timeout:
    description:
      - How long the checkpoint may take. The kubelet raises a smaller value to its C(runtimeRequestTimeout).
    type: str
    default: 2m
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_node_info
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
"""

EXAMPLES = r"""
---
- name: Wait until the node is Ready again
  checkpoint_restore.kubernetes.checkpoint_probe:
    node: "{{ inventory_hostname }}"
    wait: 3m
  delegate_to: localhost

- name: Prove that the node can checkpoint
  checkpoint_restore.kubernetes.checkpoint_probe:
    node: "{{ inventory_hostname }}"
    checkpoint: true
  delegate_to: localhost
  register: probe

- name: Remove the archive of the proof
  ansible.builtin.file:
    path: "{{ probe.checkpoint.path }}"
    state: absent
"""

RETURN = r"""
node:
  description: The node.
  returned: success
  type: str
  sample: worker-1
ready:
  description: Always true, because a node that is not Ready fails the task.
  returned: success
  type: bool
  sample: true
gate:
  description: Whether the kubelet serves checkpoints, V(on) or V(off).
  returned: success
  type: str
  sample: "on"
runtime:
  description: The container runtime, as the node reports it.
  returned: success
  type: str
  sample: cri-o
runtime_version:
  description: Its version.
  returned: success
  type: str
  sample: 1.36.3
kubelet_version:
  description: Version of the kubelet.
  returned: success
  type: str
  sample: v1.36.2
checkpoint:
  description: The checkpoint that was taken for a trial; V(null) if none was.
  returned: success
  type: dict
  contains:
    namespace:
      description: Namespace of the pod, which is gone by now.
      type: str
      sample: default
    pod:
      description: Name of the pod.
      type: str
      sample: checkpoint-probe-x7k2p
    container:
      description: Name of the container.
      type: str
      sample: probe
    path:
      description: Where the archive lies on the node.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-checkpoint-probe-x7k2p_default-probe-2026-11-21T09:18:00Z.tar
    duration:
      description: Seconds that the checkpoint took.
      type: float
      sample: 0.21
code:
  description: Stable name of what went wrong, see the guide to failure codes.
  returned: failure
  type: str
  sample: node_not_ready
reason:
  description: What happened, in plain words.
  returned: failure
  type: str
  sample: The node is not Ready
hint:
  description: What to do next.
  returned: failure
  type: str
message:
  description: The original text of whatever refused. May be empty.
  returned: failure
  type: str
phase:
  description: How far it came.
  returned: failure
  type: str
  sample: connect
retryable:
  description: Whether the same call may well work later.
  returned: failure
  type: bool
http_status:
  description: Status of the HTTP answer, V(null) if there was none.
  returned: failure
  type: int
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec, auth, probe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **argument_spec.auth_options(env_fallback),
            **argument_spec.kubelet_options(),
            "node": {"type": "str", "required": True},
            "wait": {"type": "str", "default": "1m"},
            "checkpoint": {"type": "bool", "default": False},
            "image": {"type": "str", "default": "registry.k8s.io/pause:3.10"},
            "namespace": {"type": "str", "default": "default"},
            "timeout": {"type": "str", "default": "2m"},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(auth.kubeconfig_secrets(module.params["kubeconfig"]))
    try:
        with stop_requested() as stop:
            result = probe.run(module.params, check_mode=module.check_mode, stop=stop)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
