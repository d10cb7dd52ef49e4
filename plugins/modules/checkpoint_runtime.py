#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_runtime
short_description: Install the restore runtime on a node
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Installs a small OCI runtime in front of the node's runc or crun. It restores a container that has a ticket, see
    M(checkpoint_restore.kubernetes.checkpoint_ticket), and passes everything else on.
  - Tells CRI-O or containerd of a handler for it, in a file of its own where the component reads a directory of them,
    otherwise in a marked block of its configuration. The component's own program reads that before it is put in place.
  - Nothing is restarted. RV(restart) says what has to be.
  - The role P(checkpoint_restore.kubernetes.restore_runtime#role) is the usual way to use it.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options:
  state:
    description:
      - V(absent) removes the programs, the handler, and all tickets. It refuses while the node has containers that
        were made by the restore runtime.
    type: str
    choices: [present, absent]
    default: present
  path:
    description:
      - The folder for the two files.
    type: path
    default: /opt/checkpoint-restore
  runtime:
    description:
      - The OCI runtime behind it, a name or an absolute path of runc or crun. Each restores what the other has dumped
        as well.
      - It cannot be changed while the node has containers that were made by the restore runtime, because another
        runtime could not stop them.
    type: str
    default: runc
  handler:
    description:
      - Name of the handler, which a RuntimeClass names.
    type: str
    default: checkpoint-restore
  default:
    description:
      - Whether the handler is to be the node's default one, so that pods without a RuntimeClass can be restored as
        well. It then stands before every container of the node.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the configuration. Of the programs it says that they change.
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
notes:
  - Works on files of root, so use C(become).
  - Restores need CRIU, and the programs C(unshare) and C(setpriv) of util-linux.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_ticket
  - module: checkpoint_restore.kubernetes.checkpoint_runtime_class
  - module: checkpoint_restore.kubernetes.checkpoint_node_service
"""

EXAMPLES = r"""
---
- name: Install the restore runtime
  checkpoint_restore.kubernetes.checkpoint_runtime:
  become: true
  register: runtime

- name: Restart what has to know of it
  checkpoint_restore.kubernetes.checkpoint_node_service:
    name: "{{ item }}"
  become: true
  loop: "{{ runtime.restart }}"
"""

RETURN = r"""
changes:
  description: The files that were changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    component:
      description: V(restore_runtime), V(crio) or V(containerd).
      type: str
      sample: restore_runtime
    path:
      description: The file.
      type: str
      sample: /opt/checkpoint-restore/checkpoint-restore-runtime
    action:
      description: V(create), V(change) or V(remove).
      type: str
      sample: create
    what:
      description: What it is about, for a person.
      type: str
      sample: 1.0.0
restart:
  description: The units that have to be restarted for what was changed.
  returned: success
  type: list
  elements: str
  sample: [containerd]
version:
  description: Version of the restore runtime that this collection has.
  returned: success
  type: str
  sample: 1.0.0
program:
  description: The program that a handler names.
  returned: success
  type: str
  sample: /opt/checkpoint-restore/checkpoint-restore-runtime
code:
  description:
    - "Stable name of the reason: V(invalid_option), V(runtime_missing), V(in_use), V(configuration_form),
      V(configuration_refused), V(conflicting_setting), V(unreadable_configuration), V(folder_untrusted),
      V(kept_unreadable), V(write_failed)."
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import placing, runtime


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "path": {"type": "path", "default": "/opt/checkpoint-restore"},
            "runtime": {"type": "str", "default": "runc"},
            "handler": {"type": "str", "default": runtime.NAME},
            "default": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = placing.run(module.params, check=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
