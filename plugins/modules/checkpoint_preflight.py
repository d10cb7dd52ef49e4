#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_preflight
short_description: Find out whether checkpoints can be restored on a node, before anything is created
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Holds checkpoint archives against the node that it runs on and against the pod that is to be, and says of each check
    whether it passed, why, and what to do where it did not.
  - Writes nothing, and extracts no archive.
  - The API server's side (claims, taints, names that are taken) is not looked at here.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
options:
  archives:
    description:
      - Absolute paths of the archives on this node, one for each container that is to be restored, or of the folders
        that they were unpacked into.
      - As with M(checkpoint_restore.kubernetes.checkpoint_ticket), they have to belong to root, and nobody else may be
        allowed to write to them.
      - With O(method=image) also images in a registry, C(docker://) and the name.
    type: list
    elements: path
    required: true
  method:
    description:
      - How the containers are to be restored, V(runtime) by the restore runtime, V(image) by the container runtime from
        an image that holds the archive.
    type: str
    choices: [runtime, image]
    default: runtime
  handler:
    description:
      - The handler of the restore runtime. With O(method=image) the node's default handler counts.
    type: str
    default: checkpoint-restore
  definition:
    description:
      - The document of the new pod. Without it, nothing is said about mounts and about what the pod grants.
    type: dict
  security:
    description:
      - What will happen if the dumped processes hold more than the new pod grants them, as in the ticket.
      - With V(refuse) that is a failed check. With V(clamp) it is one only where it cannot be taken away, else a
        warning that names what will be taken away.
      - Restore by image takes nothing away, so that O(method=image) counts as V(refuse).
    type: str
    choices: [refuse, clamp]
    default: refuse
  accept:
    description:
      - What they may hold more than the pod grants, by the names that a failed check gives in brackets, as in the
        ticket.
    type: list
    elements: str
    default: []
  ignore_failures:
    description:
      - Return the checks even if some failed, instead of failing.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
notes:
  - Archives and the configuration of the container runtime are readable by root alone, so use C(become).
  - What an image makes of a pod (its user, its links) is taken from what the container was dumped with. The restore
    runtime compares once more, with what is really there.
  - Which checks there are, and what each of them can say, is in the guide to the preflight.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_ticket
  - module: checkpoint_restore.kubernetes.checkpoint_node_info
  - module: checkpoint_restore.kubernetes.checkpoint_runtime
"""

EXAMPLES = r"""
---
- name: See that the container can be restored here
  checkpoint_restore.kubernetes.checkpoint_preflight:
    archives:
      - /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    definition: "{{ lookup('ansible.builtin.file', 'web-0.yml') | from_yaml }}"
    security: clamp
  become: true

- name: Look at every node
  checkpoint_restore.kubernetes.checkpoint_preflight:
    archives: /srv/checkpoints/web-0.tar
    ignore_failures: true
  become: true
  register: preflight

- name: Say why some cannot
  ansible.builtin.debug:
    msg: "{{ preflight.checks | selectattr('result', 'eq', 'failed') | map(attribute='reason') }}"
  when: not preflight.able
"""

RETURN = r"""
able:
  description: Whether no check failed.
  returned: always
  type: bool
  sample: true
checks:
  description: What each check says, sorted by archive and name, those of the node first.
  returned: always
  type: list
  elements: dict
  contains:
    archive:
      description: The archive, V(null) for a check of the node or of all archives together.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    container:
      description: The container that the archive is of. V(null) where there is none.
      type: str
      sample: web
    name:
      description:
        - Stable name of the check.
        - Of the node V(criu), V(handler) and V(restore_runtime) or V(restore_by_image), V(host_paths), V(disk) and
          V(memory).
        - Of an archive V(archive), V(images), V(architecture), V(cpu), V(kernel), V(criu_version), V(cgroup),
          V(oci_runtime), V(engine), V(gpu), V(terminal), V(connections), V(addresses), V(container), V(mounts),
          V(open_files) and V(security). Of one that cannot be read, V(archive) alone.
      type: str
      sample: architecture
    result:
      description:
        - V(passed), V(failed), V(warning) for what a restore survives, or V(skipped) for what could not be looked at.
      type: str
      sample: passed
    reason:
      description: What was found, both sides of it.
      type: str
      sample: The processes and this node are x86_64
    hint:
      description: What to do about it. May be empty.
      type: str
code:
  description: V(preflight_failed), or V(invalid_option) for a definition that is no pod.
  returned: failure
  type: str
reason:
  description: What happened, in plain words; of V(preflight_failed) every failed check.
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.arguments import (
    REGISTRY_EXCLUSIVE,
    REGISTRY_SPEC,
    REGISTRY_TOGETHER,
    opener,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import TRANSPORT
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight import check_all
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight_base import (
    InRegistry,
    Wanted,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import SECURITY
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpack import Opened


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "archives": {"type": "list", "elements": "path", "required": True},
            "method": {"type": "str", "choices": ["runtime", "image"], "default": "runtime"},
            "handler": {"type": "str", "default": "checkpoint-restore"},
            "definition": {"type": "dict"},
            "security": {"type": "str", "choices": list(SECURITY), "default": "refuse"},
            "accept": {"type": "list", "elements": "str", "default": []},
            "ignore_failures": {"type": "bool", "default": False},
            **REGISTRY_SPEC,
        },
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=REGISTRY_EXCLUSIVE,
        supports_check_mode=True,
    )
    params = module.params
    in_registry = opener(params)

    def opened(path: str) -> t.Union[Opened, InRegistry]:
        by_image = params["method"] == "image" and path.startswith(TRANSPORT)
        return InRegistry(in_registry(path)) if by_image else Opened(path)

    wanted = Wanted(
        params["method"],
        params["handler"],
        params["definition"] or {},
        params["security"],
        tuple(params["accept"]),
    )
    result: dict[str, t.Any] = {"able": False, "checks": []}
    try:
        outcome = check_all(params["archives"], wanted, opener=opened)
        result = {"able": not outcome.failures, "checks": outcome.checks}
        if not params["ignore_failures"]:
            outcome.require()
    except CheckpointError as error:
        module.fail_json(msg=str(error), **{**error.as_dict(), **result})
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
