# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_migrate
short_description: Move a running pod to another node, with its processes
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Freezes all containers of a pod, dumps them straight to another node, lets the pod's controller make its replacement
    there, restores the processes in it, and kills the frozen ones before they have done anything more.
  - Pods of nobody, of ReplicaSets and Deployments, of StatefulSets and of Jobs can be moved.
  - Until the pod is told to end, whatever fails is undone, and it runs on as if nothing had been. After that it only
    goes forward. The images stay on the target until its containers are seen to be the dumped ones.
  - A move that was interrupted is gone on with, or undone, by the next run for the same pod on the same controller.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - The API is looked at whether the pod can be moved. The nodes are not logged in to.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - Nothing is changed if the pod is on O(node) already.
  platform:
    support: full
    platforms: posix
options:
  namespace:
    description:
      - Namespace of the pod.
    type: str
    required: true
  pod:
    description:
      - Name of the pod.
    type: str
    required: true
  node:
    description:
      - The node to move it to, by its name in Kubernetes and in the inventory.
    type: str
    required: true
  order:
    description:
      - Which comes first. V(source_first) tells the pod to end when it is frozen and dumped, and its controller makes
        the replacement then.
      - V(replacement_first), for pods of a Deployment, scales it up by one, so that the replacement waits for its
        processes while the pod still runs, and down again afterwards. The interruption is shorter, there is never one
        pod less, and what the pod asks for is needed twice for a while.
    type: str
    choices: [source_first, replacement_first]
    default: source_first
  runtime_class:
    description:
      - The RuntimeClass of the restore runtime, see M(checkpoint_restore.kubernetes.checkpoint_runtime_class).
    type: str
    default: checkpoint-restore
  become:
    description:
      - Whether to become root on the nodes, where C(ansible_become) of a host does not say.
    type: bool
    default: true
  frozen_limit:
    description:
      - For how long the containers may be frozen at most until they are told to end, for example V(30s) or V(2m). After
        that they run on.
      - Less if a probe would have the kubelet restart them before that. See RV(frozen_limit).
    type: str
    default: 30s
  timeout:
    description:
      - For how long to wait until the replacement runs and is Ready, for example V(2m).
    type: str
    default: 2m
  tcp_established:
    description:
      - What becomes of established TCP connections. V(close) has the restored process see them closed. V(refuse) does
        not move a pod that has any.
    type: str
    choices: [refuse, close]
    default: close
  skip_in_flight:
    description:
      - Leave out TCP connections that the process has not accepted yet. Otherwise the dump fails if there is one.
    type: bool
    default: true
  file_locks:
    description:
      - Dump file locks. Otherwise the dump fails if a process holds one.
    type: bool
    default: true
  ghost_limit:
    description:
      - How many bytes a deleted file may have that a process has still open, for example V(64M). The default is CRIU's,
        which is V(1M).
    type: str
  security:
    description:
      - What happens if the processes hold more than the replacement grants them. containerd grants more capabilities
        than CRI-O where the pod does not say. As in M(checkpoint_restore.kubernetes.checkpoint_ticket).
      - What is refused is seen when the pod has been told to end. Run it again with what should be allowed then.
    type: str
    choices: [refuse, clamp]
    default: clamp
  accept:
    description:
      - What they may hold more than the replacement grants. As in M(checkpoint_restore.kubernetes.checkpoint_ticket).
    type: list
    elements: str
    default: []
  checkpoint_directory:
    description:
      - Where the kubelet has archives written. It is looked at to see whether a checkpoint of the kubelet's is under
        way.
    type: path
    default: /var/lib/kubelet/checkpoints
  transfer_address:
    description:
      - The IP address of O(node) at which it waits for the images. All of its addresses if empty.
    type: str
    default: ""
  transfer_port:
    description:
      - The port there. Any that is free if V(0).
    type: int
    default: 0
notes:
  - The nodes have to be in the inventory, reached by ssh with a key, with become by sudo if at all. Task keywords such
    as C(become) and C(delegate_to) do not matter, because the work is done from the controller.
  - Nothing is installed on the nodes. The target needs the restore runtime, see the role
    P(checkpoint_restore.kubernetes.restore_runtime#role).
  - The images go from node to node directly and encrypted.
  - "The state of moves is kept on the controller in C(~/.local/state/checkpoint_restore.kubernetes/moves) or where
    E(XDG_STATE_HOME) says."
seealso:
  - module: checkpoint_restore.kubernetes.runtime_checkpoint
  - module: checkpoint_restore.kubernetes.checkpoint_restore
  - module: checkpoint_restore.kubernetes.checkpoint_ticket
"""

EXAMPLES = r"""
---
- name: Move a pod
  checkpoint_restore.kubernetes.checkpoint_migrate:
    namespace: shop
    pod: web-0
    node: worker-2
"""

RETURN = r"""
outcome:
  description: V(moved). V(null) in check mode, and if the pod was there already.
  returned: success
  type: str
  sample: moved
move:
  description: The number of the move.
  returned: if it was moved
  type: str
  sample: "048291736405"
pod:
  description: Name of the replacement.
  returned: if it was moved
  type: str
  sample: web-0
way:
  description: How the replacement came to be.
  returned: unless it was there already
  type: str
  sample: policy
source:
  description: The node on which it was.
  returned: unless it was there already
  type: str
  sample: worker-1
node:
  description: The node on which it is.
  returned: unless it was there already
  type: str
  sample: worker-2
frozen_limit:
  description: For how many seconds the containers may have been frozen.
  returned: unless it was there already, or was begun by another run
  type: float
  sample: 29.0
checks:
  description: What was looked at before.
  returned: unless it was there already, or was begun by another run
  type: list
  elements: dict
seconds:
  description: How long each step took.
  returned: if it was moved
  type: dict
  sample: {dump: 0.31, ticket: 0.02, replace: 0.02, start: 0.74, total: 2.9}
down_seconds:
  description: From the freeze until the replacement was Ready. V(null) if the move was begun by another run.
  returned: if it was moved
  type: float
  sample: 1.08
bytes:
  description: What was sent from node to node.
  returned: if it was moved, and not begun by another run
  type: int
  sample: 8388608
files:
  description: How many files that was.
  returned: if it was moved, and not begun by another run
  type: int
  sample: 31
engines:
  description: The container runtimes of the source.
  returned: if it was moved, and not begun by another run
  type: list
  elements: str
  sample: [containerd]
freeze_seconds:
  description: How long the freezing itself took.
  returned: if it was moved, and not begun by another run
  type: float
dump_seconds:
  description: How long CRIU took, the memory being sent meanwhile.
  returned: if it was moved, and not begun by another run
  type: float
rest_seconds:
  description: How long it took to send the rest, changed files of the image among it.
  returned: if it was moved, and not begun by another run
  type: float
landed:
  description: The bytes that arrived.
  returned: if it was moved, and not begun by another run
  type: int
receipts:
  description: What the restore runtime left about each container, by its name.
  returned: if it was moved
  type: dict
warnings:
  description: What did not go as it should, and changed nothing.
  returned: if it was moved
  type: list
  elements: str
undone:
  description: Whether everything is as it was before.
  returned: failure, once something was begun
  type: bool
state_file:
  description: Where the state of a move is kept that has to be gone on with.
  returned: failure, if that is needed
  type: str
code:
  description:
    - "Stable name of the reason. Before anything was begun: V(invalid_option), V(pod_not_found), V(pod_not_running),
      V(pod_deleted), V(pod_static), V(owner_unsupported), V(owner_gone), V(way_unknown), V(preflight_failed),
      V(patience_short), V(host_unknown), V(connection_unsupported), V(agent_not_started), V(state_in_use),
      V(state_unusable)."
    - "Until the pod was told to end, which is undone: V(move_under_way), V(policy_inactive), V(replacement_refused),
      V(replacement_differs), V(container_changed), V(target_unreachable), V(connection_lost), V(no_space),
      V(stream_wrong), V(budget_refuses), V(replacement_early), V(too_slow), V(interrupted), V(agent_lost),
      V(agent_silent), V(agent_failed), and those of M(checkpoint_restore.kubernetes.runtime_checkpoint)."
    - "After that: V(replacement_missing), V(replacement_astray), V(restore_failed), V(not_restored),
      V(another_container), V(cleanup_incomplete), and those of M(checkpoint_restore.kubernetes.checkpoint_restore)."
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
