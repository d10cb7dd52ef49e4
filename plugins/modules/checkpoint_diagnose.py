#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_diagnose
short_description: Tell why a checkpoint or restore of a container failed
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Run it on a node. The kubelet only says that CRIU failed. The cause stands in a log of CRIU on the node, which this
    module finds, reads and explains, together with what the runtime itself wrote.
  - Knows the logs that containerd and CRI-O keep for a running container, the journal, and a log file that is named.
  - A log from CRIU begins with harmless errors on many nodes, and ends with errors that are only consequences. Neither
    counts as the cause.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options:
  namespace:
    description:
      - Only containers of pods in these namespaces. C(*), C(?) and C([]) are wildcards here, and in the options below.
    type: list
    elements: str
    default: []
  pod:
    description:
      - Only containers of these pods.
    type: list
    elements: str
    default: []
  container:
    description:
      - Only containers of these names.
    type: list
    elements: str
    default: []
  since:
    description:
      - Only what was written in this time, for example V(10m) or V(1d).
    type: str
    default: 1h
  log:
    description:
      - Explain this log of CRIU, wherever it comes from, and look for no others.
      - Cannot be combined with the options that select.
    type: path
  runtime_log:
    description:
      - A log file of the runtime, on a node where it does not write to the journal.
    type: path
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing in any mode.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
notes:
  - Needs C(become).
  - Lines are quoted as they are. CRIU writes names of files, processes and sockets into its log, but no memory.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_guard
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
"""

EXAMPLES = r"""
---
- name: See why checkpoints failed on this node in the last hour
  checkpoint_restore.kubernetes.checkpoint_diagnose:
  become: true
  register: diagnosed

- name: Show the causes
  ansible.builtin.debug:
    msg: "{{ item.namespace }}/{{ item.pod }}/{{ item.container }}: {{ item.reason }}. {{ item.hint }}"
  loop: "{{ diagnosed.diagnoses }}"
  loop_control:
    label: "{{ item.code }}"

- name: Explain a log
  checkpoint_restore.kubernetes.checkpoint_diagnose:
    log: /root/dump.log
  become: true
"""

RETURN = r"""
diagnoses:
  description: What failed, by container and operation. Empty where no sign of a failure was found.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the pod. V(null), as the five below, with O(log).
      type: str
      sample: shop
    pod:
      description: Name of the pod.
      type: str
      sample: web-0
    pod_uid:
      description: UID of the pod.
      type: str
    container:
      description: Name of the container.
      type: str
      sample: app
    container_id:
      description: ID of the container.
      type: str
    engine:
      description: V(containerd) or V(cri-o).
      type: str
      sample: cri-o
    operation:
      description: V(checkpoint) or V(restore).
      type: str
      sample: checkpoint
    code:
      description:
        - Stable name of the cause, see the guide to the node's guard. V(criu_unknown_cause) if the log says nothing
          that is known, V(criu_unfinished) if it ends in the middle.
        - Where CRIU left no log, V(runtime_failed) or a code of M(checkpoint_restore.kubernetes.kubelet_checkpoint).
      type: str
      sample: criu_tcp_established
    reason:
      description: The cause, in plain words.
      type: str
      sample: The container has an established TCP connection
    hint:
      description: What to do about it.
      type: str
      sample: Put tcp-established into /etc/criu/runc.conf to keep connections, or tcp-close to have them closed
    log:
      description: The log of CRIU. V(null) if there is none.
      type: str
      sample: /run/containerd/io.containerd.runtime.v2.task/k8s.io/2fa1d6cac813/criu-dump.log
    written:
      description: When it was last written, UTC.
      type: str
      sample: "2026-11-21T09:18:00Z"
    criu_version:
      description: Version of CRIU, if its log says so.
      type: str
      sample: 4.2.1
    errors:
      description: The error lines of the log without the harmless ones, 20 at most.
      type: list
      elements: str
    runtime_log:
      description: What the runtime wrote about it, the last 20 lines.
      type: list
      elements: str
code:
  description: V(invalid_option) for a time that cannot be understood, V(log_unreadable) for a file that cannot be read.
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.durations import parse_duration
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Selection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.diagnose import diagnose


def main() -> None:
    names: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "namespace": names,
            "pod": names,
            "container": names,
            "since": {"type": "str", "default": "1h"},
            "log": {"type": "path"},
            "runtime_log": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    selection = Selection(params["namespace"], params["pod"], params["container"])
    try:
        if params["log"] is not None and not selection.everything:
            raise CheckpointError("invalid_option", "log cannot be combined with namespace, pod and container")
        since = parse_duration(params["since"], "since")
        diagnoses = diagnose(selection, since, params["log"], params["runtime_log"])
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(changed=False, diagnoses=diagnoses)


if __name__ == "__main__":
    main()
