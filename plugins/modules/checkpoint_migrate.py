# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_migrate
short_description: Move or copy running pods to another node, with their processes
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Freezes all containers of a pod, dumps them straight to another node, lets the pod's controller make its replacement
    there, restores the processes in it, and kills the frozen ones before they have done anything more.
  - Pods of nobody, of ReplicaSets and Deployments, of StatefulSets and of Jobs can be moved.
  - With O(strategy=copy) the pod runs on where it is, and a copy of it, with its processes as they were at one moment,
    runs on the other node under another name.
  - One pod, those of a selector, or all of a node, one after the other. All are planned before the first is moved. Pods
    of DaemonSets and static pods are meant to stay on their nodes. Such a pod is refused if it is asked for by its name
    and left out otherwise, as are pods that have ended.
  - Before anything is frozen, both nodes are compared, and images that the target lacks are pulled there, by a pod of
    the same namespace that lives for a moment and has the pull secrets of the pod.
  - A pod whose nodes cannot be logged in to is only moved with O(fallback), and loses what it does meanwhile.
  - Until the pod is told to end, whatever fails is undone, and it runs on as if nothing had been. After that it only
    goes forward. The images stay on the target until its containers are seen to be the dumped ones. If it cannot be
    restored there, a second run for the pod with another O(node), be it the one that it comes from, brings the images
    to that node and has it go on there.
  - A move that was interrupted is gone on with, or undone, by the next run for the same pod on the same controller,
    asked for by its name, by labels of its own, or by the node that it left.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - The API and both nodes are looked at whether the pod can be moved. A node that cannot be logged in to is a
        warning then. Images are not pulled.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - Nothing is changed if the pods are on O(node) already. With O(strategy=copy) every run makes one more copy.
  platform:
    support: full
    platforms: posix
options:
  namespace:
    description:
      - Namespace of the pods. Only with O(source_node) it may be left out, which means all namespaces.
    type: str
  pod:
    description:
      - Name of the pod.
      - Exactly one of O(pod), O(label_selectors) and O(source_node) is needed.
    type: str
  label_selectors:
    description:
      - The pods that fit all these label selectors, for example C(app=shop) or C(tier in (web, api)).
    type: list
    elements: str
  source_node:
    description:
      - All pods of this node, by its name in Kubernetes.
    type: str
  node:
    description:
      - The node to move them to, by its name in Kubernetes and in the inventory.
      - For a move that was begun and can only go forward, and that is asked for by O(pod), it may be another node than
        before. For one that is asked for otherwise it does not matter.
    type: str
    required: true
  on_failure:
    description:
      - What becomes of the other pods if one cannot be planned or moved. V(stop) leaves them where they are.
        V(continue) moves those that can be moved. The task fails at its end either way.
    type: str
    choices: [stop, continue]
    default: stop
  strategy:
    description:
      - V(move) has the processes go on in the replacement, and nowhere else.
      - V(copy) lets them run on as soon as they are dumped and sent, and makes a pod of another name, in which they
        begin at the same moment. It belongs to nobody and has none of the pod's labels, so that no Service, controller,
        PodDisruptionBudget or NetworkPolicy that selects the pod takes the copy for it. It stays until somebody deletes
        it. Pods of a DaemonSet can be copied as well, by their names.
      - A copy has the pod's account, configuration and secrets, and does what the pod would do. It sees the pod's
        established connections closed, which the pod keeps. A pod that may write to a volume that both would have is
        not copied.
      - Whatever fails is undone. A copy that was interrupted is undone by the next run for the same pod.
    type: str
    choices: [move, copy]
    default: move
  fallback:
    description:
      - How to move a pod if one of its nodes is not in the inventory or cannot be logged in to. Without it such a pod
        is not moved. It is not used where both nodes can be logged in to, nor with O(strategy=copy).
      - The kubelet of the source checkpoints the containers. Each archive is brought here by a pod on that node, made
        an image of, pushed, and removed both there and here. The replacement is made of these images, and both nodes
        have to have the same container runtime, one that restores by image.
      - What the processes do from the checkpoint until they have ended is lost, see RV(lost_seconds), and so are their
        connections. Whenever a container is restarted later, it begins again where the checkpoint was taken.
      - Pods with emptyDir volumes and O(order=replacement_first) are refused.
    type: dict
    suboptions:
      image:
        description:
          - The repository for the images, by the name under which this host and the node O(node) reach it, for example
            V(registry.example.com/checkpoints/shop). Each move gives its images a tag of their own.
          - Whoever can pull from it can read the memory of the containers. The node pulls with the pod's own
            C(imagePullSecrets).
        type: str
        required: true
      username:
        description: User of the registry.
        type: str
      password:
        description: Password or token that belongs to O(fallback.username).
        type: str
      authfile:
        description: Path of a file with credentials as C(podman login) and C(docker login) write it.
        type: path
      pull_secret:
        description:
          - Content of a Kubernetes pull secret, the value of C(.dockerconfigjson) after the filter C(b64decode). Its
            user has to have the right to push.
        type: json
      ca_cert:
        description:
          - Path of the CA certificates (PEM) that the registry's certificate has to verify against, by default those
            that this host trusts.
        type: path
      plain_http:
        description: Whether to speak HTTP without TLS, credentials included.
        type: bool
        default: false
  order:
    description:
      - Which comes first, where a pod is moved.
      - V(source_first) tells the pod to end when it is frozen and dumped, and its controller makes the replacement
        then.
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
      - V(keep) has those go on that a container has with itself, both ends by loopback addresses, with all that is
        under way in them. It does not move a pod that has any other, as the replacement has another address.
    type: str
    choices: [refuse, close, keep]
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
  verify:
    description:
      - What a replacement has to answer when its containers run and are seen to be the dumped ones, to an HTTP request
        to O(verify.port) or to O(verify.command). The question goes through the API server, for which the account needs
        to C(get) C(pods/proxy), or to C(create) and C(get) C(pods/exec).
      - If it is not answered well, the move cannot be undone any more. The task fails with V(verify_failed), the images
        stay on the node, and the next run for the pod asks once more. One without this option takes it as it is.
    type: dict
    suboptions:
      port:
        description:
          - The port of the pod that speaks HTTP.
          - Exactly one of O(verify.port) and O(verify.command) is needed.
        type: int
      path:
        description:
          - What to get there. The status has to be between 200 and 399.
        type: str
        default: /
      command:
        description:
          - A program and its arguments, to be run in the replacement without a shell. It has to end with exit status 0,
            and is run again until it does.
          - When it does not, the last 500 characters of its standard error are in RV(message), in the state file and in
            Ansible's log, so it should not print secrets there. Of its standard output nothing is kept.
        type: list
        elements: str
      container:
        description:
          - The container in which to run O(verify.command). The first one of the pod by default.
        type: str
      timeout:
        description:
          - For how long to ask until it is answered well, for example V(10s). A command that still runs by then has
            failed.
        type: str
        default: 10s
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
    verify:
      port: 8080
      path: /healthz

- name: Move all pods of a node, as far as they can be moved
  checkpoint_restore.kubernetes.checkpoint_migrate:
    source_node: worker-1
    node: worker-2
    on_failure: continue

- name: Have a copy of a pod on another node, to see how it does there
  checkpoint_restore.kubernetes.checkpoint_migrate:
    namespace: shop
    pod: web-0
    node: worker-3
    strategy: copy
  register: copied

- name: Show the name of the copy
  ansible.builtin.debug:
    var: copied.pod
"""

RETURN = r"""
moves:
  description: What became of each pod that was meant, in the order in which they were moved.
  returned: success, or failure once it was known which pods are meant
  type: list
  elements: dict
  contains:
    namespace:
      description: The pod's namespace.
      returned: always
      type: str
      sample: shop
    pod:
      description: The pod's name, before it was moved.
      returned: always
      type: str
      sample: web-0
    outcome:
      description:
        - V(moved) or V(copied). V(there) if it was on the node already. V(skipped) if it was left out, which only a pod
          is that was not asked for by its name. V(failed). V(null) if it was planned and not more, in check mode or
          because another failed.
      returned: always
      type: str
      sample: moved
    replacement:
      description:
        - Name of the pod that goes on in its place, or of its copy. V(null) unless it was moved or copied, as all that
          follow.
      returned: always
      type: str
      sample: web-0
    way:
      description: How the replacement came to be. Known once it is planned.
      returned: always
      type: str
      sample: policy
    by_image:
      description: Whether it went by the kubelet's checkpoint and an image, see O(fallback). Known once it is planned.
      returned: always
      type: bool
      sample: false
    source:
      description: The node on which it was. Known once it is planned.
      returned: always
      type: str
      sample: worker-1
    node:
      description: The node to which it was to be moved. Known once it is planned.
      returned: always
      type: str
      sample: worker-2
    seconds:
      description: How long each step took.
      returned: always
      type: dict
      sample: {dump: 0.31, ticket: 0.02, replace: 0.02, start: 0.74, total: 2.9}
    frozen_seconds:
      description:
        - From the freeze until the pod was told to end, or ran on if it was copied. V(null) if the move was begun by
          another run.
      returned: always
      type: float
      sample: 0.35
    down_seconds:
      description:
        - From the freeze until the replacement was Ready. V(null) if the move was begun by another run, and for a copy,
          as the pod runs on.
      returned: always
      type: float
      sample: 1.08
    lost_seconds:
      description:
        - For how long the processes ran after what was restored, and lost what they did. V(0), as they are frozen from
          then on, or run on beside their copy.
        - By image measured, from when the kubelet was asked for the first checkpoint until the pod was seen to be gone,
          so it is never more. V(null) if the move was begun by another run.
      returned: always
      type: float
      sample: 0.0
    bytes:
      description: What was sent from node to node. V(null) if the move was begun by another run.
      returned: always
      type: int
      sample: 8388608
    verified:
      description: Whether the replacement answers as O(verify) wants it. V(null) if nothing was wanted.
      returned: always
      type: bool
      sample: true
    warnings:
      description: What did not go as it should, and changed nothing.
      returned: always
      type: list
      elements: str
    code:
      description: Stable name of the reason if it was not moved, see RV(code). Otherwise empty, as all that follow.
      returned: always
      type: str
    reason:
      description: What happened, in plain words.
      returned: always
      type: str
    hint:
      description: What to do next.
      returned: always
      type: str
    message:
      description: The original text of whatever refused.
      returned: always
      type: str
    undone:
      description: Whether everything is as it was before. V(null) unless something was begun, and failed.
      returned: always
      type: bool
    state_file:
      description: Where the state of a move is kept that has to be gone on with. V(null) if none has.
      returned: always
      type: str
table:
  description: The same for people, a line for each pod below a head.
  returned: success, or failure once it was known which pods are meant
  type: list
  elements: str
  sample:
    - POD         FROM      TO        WAY     FROZEN  READY AFTER  MOVED   LOST
    - shop/web-0  worker-1  worker-2  policy  0.35 s  1.08 s       16 MiB  0 s
outcome:
  description: As RV(moves[].outcome).
  returned: O(pod) is given
  type: str
  sample: moved
move:
  description: The number of the move.
  returned: O(pod) is given and was moved or copied
  type: str
  sample: "048291736405"
pod:
  description: Name of the replacement, or of the copy.
  returned: O(pod) is given and was moved or copied
  type: str
  sample: web-0
way:
  description: How the replacement came to be.
  returned: O(pod) is given and was planned, or begun by another run
  type: str
  sample: policy
source:
  description: The node on which it was.
  returned: O(pod) is given and was planned, or begun by another run
  type: str
  sample: worker-1
node:
  description: The node on which it is, or its copy.
  returned: O(pod) is given and was planned, or begun by another run
  type: str
  sample: worker-2
by_image:
  description: Whether it went by the kubelet's checkpoint and an image, see O(fallback).
  returned: O(pod) is given and was planned, or begun by another run
  type: bool
  sample: false
images:
  description: By container, the image of its checkpoint.
  returned: O(pod) is given and was moved by image
  type: dict
  sample: {app: "registry.example.com/checkpoints/shop@sha256:0f3c9c1a4e2b7d58"}
frozen_limit:
  description: For how many seconds the containers may have been frozen. V(null) by image.
  returned: O(pod) is given and was planned
  type: float
  sample: 29.0
checks:
  description: What was looked at before, in the API and on both nodes.
  returned: O(pod) is given and was planned, and if the code is V(preflight_failed)
  type: list
  elements: dict
  contains:
    name:
      description:
        - >-
          Of the pod and its controller: V(autoscaler), V(budget), V(claim), V(empty_dir), V(ephemeral_containers),
          V(ephemeral_volume), V(finalizers), V(host_namespaces), V(host_path), V(init_containers), V(job), V(order),
          V(owner), V(pods_ready), V(post_start), V(pre_stop), V(reference), V(rollout), V(shared_volume), V(terminal).
        - >-
          Of the node in the API: V(architecture), V(cordon), V(image), V(node), V(placement), V(room),
          V(runtime_class), V(taints), V(topology). By image V(by_image), which says why, and V(engine).
        - >-
          Of both nodes themselves: V(cgroup), V(connections), V(cpu), V(criu), V(criu_version), V(devices), V(disk),
          V(frozen_time), V(gpu), V(handler), V(host_paths), V(image), V(kernel), V(memory), V(oci_runtime),
          V(restore_runtime), V(source_criu); V(nodes) if check mode could not ask them.
      type: str
      sample: frozen_time
    result:
      description: V(passed), V(failed) or V(warning).
      type: str
      sample: passed
    reason:
      description: What was found, in plain words.
      type: str
      sample: >-
        The containers may be frozen for 20 s (frozen_limit; its probes allow 21 s, by the livenessProbe of the
        container app). To send 64 MiB takes about 1.1 s at 100 MiB/s
    hint:
      description: What to do about it. May be empty.
      type: str
      sample: ""
seconds:
  description: How long each step took.
  returned: O(pod) is given and was moved or copied
  type: dict
  sample: {look: 0.9, stage: 0.0, prepare: 0.14, dump: 0.31, ticket: 0.02, replace: 0.02, start: 0.74, total: 2.9}
frozen_seconds:
  description:
    - From the freeze until the pod was told to end, or ran on if it was copied. V(null) if the move was begun by
      another run.
  returned: O(pod) is given and was moved or copied
  type: float
  sample: 0.35
down_seconds:
  description:
    - From the freeze until the replacement was Ready. V(null) if the move was begun by another run, and for a copy, as
      the pod runs on.
  returned: O(pod) is given and was moved or copied
  type: float
  sample: 1.08
lost_seconds:
  description: As RV(moves[].lost_seconds).
  returned: O(pod) is given and was moved or copied
  type: float
  sample: 0.0
bytes:
  description: What was sent from node to node.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: int
  sample: 8388608
files:
  description: How many files that was.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: int
  sample: 31
engines:
  description: The container runtimes of the source.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: list
  elements: str
  sample: [containerd]
freeze_seconds:
  description: How long the freezing itself took.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: float
dump_seconds:
  description: How long CRIU took, the memory being sent meanwhile.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: float
rest_seconds:
  description: How long it took to send the rest, changed files of the image among it.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: float
landed:
  description: The bytes that arrived.
  returned: O(pod) is given and was moved or copied, and not begun by another run
  type: int
receipts:
  description: What the restore runtime left about each container, by its name.
  returned: O(pod) is given and was moved or copied
  type: dict
verified:
  description: Whether the replacement answers as O(verify) wants it. V(null) if nothing was wanted.
  returned: O(pod) is given and was moved or copied, and if the code is V(verify_failed)
  type: bool
warnings:
  description: What did not go as it should, and changed nothing.
  returned: O(pod) is given and was moved or copied
  type: list
  elements: str
undone:
  description: Whether everything is as it was before.
  returned: failure, once something was begun
  type: bool
problems:
  description: What stood in the way of undoing it. Empty if everything is as it was before.
  returned: failure, once something was begun that could be undone
  type: list
  elements: str
state_file:
  description: Where the state of a move is kept that has to be gone on with.
  returned: failure, if that is needed
  type: str
code:
  description:
    - Stable name of the reason. Of several pods, that of the first that failed, as are RV(reason) and what follows.
    - "Before anything was begun: V(invalid_option), V(node_not_found), V(pod_not_found), V(pod_not_running),
      V(pod_deleted), V(pod_static), V(owner_unsupported), V(owner_gone), V(way_unknown), V(preflight_failed),
      V(patience_short), V(host_unknown), V(connection_unsupported), V(agent_not_started), V(state_in_use),
      V(state_unusable)."
    - "Until the pod was told to end, which is undone: V(move_under_way), V(policy_inactive), V(replacement_refused),
      V(replacement_differs), V(container_changed), V(target_unreachable), V(connection_lost), V(no_space),
      V(stream_wrong), V(destination_exists), V(destination_refused), V(not_frozen), V(owner_stays),
      V(budget_refuses), V(replacement_early), V(interrupted), V(agent_lost), V(agent_silent), V(agent_failed),
      V(wrong_order), V(apiserver_failed), and those of M(checkpoint_restore.kubernetes.runtime_checkpoint).
      By image those of M(checkpoint_restore.kubernetes.kubelet_checkpoint) and
      M(checkpoint_restore.kubernetes.checkpoint_image)."
    - "After that: V(ticket_claimed), V(too_late), V(not_renewed), V(pod_gone), V(node_not_usable), V(images_missing),
      V(replacement_missing), V(replacement_astray), V(restore_failed), V(not_restored), V(another_container),
      V(cleanup_incomplete), V(verify_failed), and those of M(checkpoint_restore.kubernetes.checkpoint_restore)."
    - What to do about each is in R(the guide to
      moves,ansible_collections.checkpoint_restore.kubernetes.docsite.guide_migrate).
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
