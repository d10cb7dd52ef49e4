#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_node_config
short_description: Set what checkpoints need in the configuration of CRIU, the kubelet, CRI-O or containerd
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Changes the configuration of one component on its node, in the form that the node has. The component is not
    restarted, see M(checkpoint_restore.kubernetes.checkpoint_node_service).
  - What holds already is not set again. Where all of it does, no file is written.
  - Lines of this module are marked, in files of their own where the component reads a directory of them. All else in a
    file stays as it is, byte for byte.
  - The component's own program reads the new configuration before it is put in place, and nothing is changed where it
    refuses it. RV(validated) says which program that was.
  - The files as they were are kept on the node, readable by root alone, until the change is confirmed with
    O(state=confirmed) or taken back with O(state=reverted).
  - The roles of this collection are the usual way to use it.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
options:
  component:
    description:
      - V(criu) are the files in C(/etc/criu) that runc and crun have CRIU read.
      - V(kubelet) is a drop-in file where the kubelet reads a directory of them, otherwise its configuration file, the
        flags file of kubeadm, or the configuration of K3s, RKE2 or MicroShift.
      - V(crio) is a file in its drop-in directory.
      - V(containerd) is a file in a directory that its configuration imports, otherwise lines in its configuration.
    type: str
    choices: [criu, kubelet, crio, containerd]
    required: true
  settings:
    description:
      - What is asked for with O(state=present). What is left out is not set.
      - "For V(criu): C(tcp_established), C(tcp_close), C(skip_in_flight) and C(file_locks) (true or false),
        C(ghost_limit) (bytes, or with C(K), C(M) or C(G)), C(log_level) (0 to 4), C(extra), a list of further lines,
        C(packages), those that are installed or removed together with it, and C(version), theirs. With packages, the
        runtimes that look for CRIU only once are in RV(restart)."
      - "For V(kubelet): C(runtime_request_timeout) (a duration), C(close_read_only_port) (true or false), and C(extra),
        fields of a KubeletConfiguration. The feature gate is set where the kubelet's version needs it."
      - "For V(crio) and V(containerd): C(restore_by_image) (true or false), and C(extra), a dictionary of tables with a
        dictionary of keys each. The switch for checkpoints is set where the version has one that is off."
    type: dict
    default: {}
  state:
    description:
      - V(present) sets what is asked for and takes back what was set earlier and is not asked for any more.
      - V(absent) takes back all that was set. What others changed in the same files since stays.
      - V(reverted) puts the files back as they were before the changes that are not confirmed yet.
      - V(confirmed) says that the changes have proved themselves, and removes the files that were kept.
    type: str
    choices: [present, absent, reverted, confirmed]
    default: present
notes:
  - Works on files of root, so use C(become).
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_node_service
  - module: checkpoint_restore.kubernetes.checkpoint_node_info
"""

EXAMPLES = r"""
---
- name: Give checkpoints of large containers ten minutes
  checkpoint_restore.kubernetes.checkpoint_node_config:
    component: kubelet
    settings:
      runtime_request_timeout: 10m
  become: true
  register: kubelet

- name: Restart what reads the changed files
  checkpoint_restore.kubernetes.checkpoint_node_service:
    name: "{{ item }}"
  become: true
  loop: "{{ kubelet.restart }}"

- name: Keep it so
  checkpoint_restore.kubernetes.checkpoint_node_config:
    component: kubelet
    state: confirmed
  become: true

- name: Let containers with established connections be checkpointed
  checkpoint_restore.kubernetes.checkpoint_node_config:
    component: criu
    settings:
      tcp_close: true
      skip_in_flight: true
  become: true
"""

RETURN = r"""
changes:
  description: Packages, and the files that were changed, or in check mode would be, sorted.
  returned: success
  type: list
  elements: dict
  contains:
    component:
      description: The component.
      type: str
      sample: kubelet
    path:
      description: The file. V(null) for a package.
      type: str
      sample: /etc/kubernetes/kubelet.conf.d/90-checkpoint-restore.conf
    action:
      description: V(create), V(change) or V(remove).
      type: str
      sample: create
    what:
      description: What was set in it, for a person.
      type: str
      sample: "runtimeRequestTimeout: 10m"
restart:
  description:
    - The units that have to be restarted for what was changed, now or earlier without being confirmed.
  returned: success
  type: list
  elements: str
  sample: [kubelet]
validated:
  description:
    - The program that has read and accepted the changed configuration. V(null) if nothing was changed, and where no
      program can be asked, such as with K3s, RKE2 and MicroShift.
    - V(containerd) accepts keys that it does not know, V(criu) values that mean nothing, and V(crio) leaves out what
      needs a running CRI-O.
  returned: success
  type: str
  sample: kubelet
code:
  description:
    - "Stable name of what went wrong: V(invalid_option), V(not_supported), V(conflicting_setting),
      V(configuration_form), V(configuration_refused), V(unreadable_configuration), V(component_not_found),
      V(kubelet_not_found), V(kept_unreadable) or V(write_failed)."
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

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings.configure import configure


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "choices": ["criu", "kubelet", "crio", "containerd"], "required": True},
            "settings": {"type": "dict", "default": {}},
            "state": {
                "type": "str",
                "choices": ["present", "absent", "reverted", "confirmed"],
                "default": "present",
            },
        },
        supports_check_mode=True,
    )
    params: dict[str, t.Any] = module.params
    try:
        result = configure(params["component"], params["settings"], params["state"], check=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    for text in result.pop("warnings"):
        module.warn(text)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
