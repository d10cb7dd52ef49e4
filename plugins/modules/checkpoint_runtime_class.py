#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_runtime_class
short_description: Make the RuntimeClass by which pods ask for the restore runtime
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Makes a RuntimeClass whose pods run only on nodes that have the handler of the restore runtime, as a label on those
    nodes says, and removes it.
  - A RuntimeClass that somebody else made is left alone, and fails the task.
  - Runs on the controller, as an administrator of the cluster.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  state:
    description:
      - V(absent) removes it. It refuses while pods of the class are there.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the RuntimeClass.
    type: str
    default: checkpoint-restore
  handler:
    description:
      - Name of the handler on the nodes. Without it, the same as O(name). The handler of a RuntimeClass cannot be
        changed, so one with another handler is made anew, and never while pods of it are there.
    type: str
  node_selector:
    description:
      - Labels that a node has to have for pods of the class. Empty if every node of the cluster has the handler.
    type: dict
    default: {}
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_runtime
"""

EXAMPLES = r"""
---
- name: Let pods ask for the restore runtime, on nodes that have it
  checkpoint_restore.kubernetes.checkpoint_runtime_class:
    node_selector:
      checkpoint-restore.io/runtime: "true"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
code:
  description:
    - "Stable name of the reason: V(in_use), V(not_ours), or why the API server could not be asked, as in
      M(checkpoint_restore.kubernetes.kubelet_checkpoint)."
  returned: failure
  type: str
reason:
  description: What happened, in plain words.
  returned: failure
  type: str
hint:
  description: What to do next. May be empty.
  returned: failure
  type: str
message:
  description: The original text of whatever refused. May be empty.
  returned: failure
  type: str
pods:
  description: The pods that are in the way, NAMESPACE/NAME each.
  returned: failure with V(in_use)
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import (
    argument_spec,
    auth,
    runtime_class,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **argument_spec.auth_options(env_fallback),
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str", "default": "checkpoint-restore"},
            "handler": {"type": "str"},
            "node_selector": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(auth.kubeconfig_secrets(module.params["kubeconfig"]))
    try:
        result = runtime_class.run(module.params, check_mode=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
