#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_node_service
short_description: Restart a kubelet or a container runtime, and take a configuration back that it does not come up with
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Restarts a unit of systemd on the node and waits until it is well. It has to run on with one process, and whatever
    answered before has to answer again, the kubelet's health and the runtime's socket.
  - If it does not come up, the files that M(checkpoint_restore.kubernetes.checkpoint_node_config) kept are put back and
    the unit is restarted once more. The task fails then, with what the unit said.
  - Containers run on while their runtime or the kubelet restarts. The result says how many do, and names those that do
    not.
  - Meant for handlers. It restarts whenever it is called.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
attributes:
  check_mode:
    support: full
    details:
      - Says that the unit would be restarted, and restarts nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Every call restarts the unit.
  platform:
    support: full
    platforms: linux
options:
  name:
    description:
      - The unit, for example V(kubelet), V(crio) or V(containerd).
    type: str
    required: true
  timeout:
    description:
      - How long it may take until the unit is well, in seconds or for example as V(90s) or V(2m).
    type: str
    default: 2m
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_node_config
  - module: checkpoint_restore.kubernetes.checkpoint_probe
"""

EXAMPLES = r"""
---
- name: Restart CRI-O with its new configuration
  checkpoint_restore.kubernetes.checkpoint_node_service:
    name: crio
"""

RETURN = r"""
name:
  description: The unit.
  returned: success
  type: str
  sample: crio
seconds:
  description: How long it took until the unit was well. V(null) in check mode.
  returned: success
  type: float
  sample: 3.6
pid:
  description: The unit's main process. V(null) in check mode.
  returned: success
  type: int
  sample: 4711
containers:
  description: How many containers, sandboxes of pods included, ran before and run on. V(null) in check mode.
  returned: success
  type: int
  sample: 24
ended:
  description: Those that ran before and do not run any more, as C(namespace/pod/container).
  returned: success
  type: list
  elements: str
code:
  description: V(service_unknown), V(service_failed), V(containers_ended), V(restart_refused) or V(invalid_option).
  returned: failure
  type: str
reason:
  description: What happened, in plain words.
  returned: failure
  type: str
hint:
  description: What to do next.
  returned: failure
  type: str
message:
  description: What the unit said last, or the original text of whatever refused. May be empty.
  returned: failure
  type: str
log:
  description: The end of the unit's log. May be empty.
  returned: when the unit does not come up
  type: str
reverted:
  description: The files that were put back.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings.service import restart_or_revert


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "timeout": {"type": "str", "default": "2m"}},
        supports_check_mode=True,
    )
    try:
        result = restart_or_revert(module.params["name"], module.params["timeout"], check_mode=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **{"reverted": [], **error.as_dict()})
    for container in result["ended"]:
        module.warn(f"The container {container} ran before the restart and does not run any more")
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
