#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_checkpoint
short_description: Checkpoint running containers by the kubelets' checkpoint API
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Asks kubelets to checkpoint containers, one or all that a selector means, many at a time.
  - A container is frozen while CRIU dumps it and goes on afterwards. The archive stays on the container's node, under
    C(checkpoints) in the kubelet's directory, readable for root alone. It holds the whole memory of the container,
    secrets included.
  - Everything that was selected is attempted. If something failed the task fails at the end, with RV(checkpoints) and
    RV(failures) both in its result.
  - A finished container that only a selector or a pattern would have matched is left out. A container or pod that is
    named exactly and does not run, or is not there, is a failure.
  - For selecting, the account needs to get and list pods and to get nodes, whatever O(via) says. Without the right to
    get nodes only RV(checkpoints[].runtime_version) is missing.
  - While the module runs on the controller, every finished container is shown on the screen at once, see O(progress).
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._auth.kubelet
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Only reads pods and nodes, and lists the containers that would be checkpointed. Kubelets are not asked.
      - With O(targets) nothing is asked at all, so nothing is known about whether they exist.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Every call takes new checkpoints, because the memory of a container changes all the time.
      - With O(not_older_than) a second call within that time changes nothing.
  platform:
    support: full
    platforms: posix
options:
  namespace:
    description:
      - The namespace of the pods.
      - One of O(namespace), O(all_namespaces=true) and O(targets) is needed, and only one.
    type: str
  all_namespaces:
    description:
      - Select pods in all namespaces.
    type: bool
    default: false
  targets:
    description:
      - Exactly these containers. The API server is not asked about them, so this works with a kubelet alone, and
        static pods are named as the kubelet knows them.
      - Facts that only the API server knows are V(none) in the results.
      - Cannot be combined with the options that select, nor with O(not_older_than), which needs the container's ID.
      - A container that is named twice is checkpointed twice.
    type: list
    elements: dict
    suboptions:
      node:
        description:
          - The address of the node, or a name of it that resolves.
          - With O(via=apiserver) the name of the node in the cluster.
        type: str
        required: true
      namespace:
        description: The namespace of the pod.
        type: str
        required: true
      pod:
        description: The name of the pod.
        type: str
        required: true
      container:
        description: The name of the container.
        type: str
        required: true
  pod:
    description:
      - Only pods of these names. One that is not there is a failure, unless O(label_selectors), O(field_selectors) or
        O(node) may have left it out.
    type: list
    elements: str
    default: []
  label_selectors:
    description:
      - Only pods that fit all these label selectors, for example C(app=shop) or C(tier in (web, api)).
    type: list
    elements: str
    default: []
  field_selectors:
    description:
      - Only pods that fit all these field selectors, for example C(metadata.name!=web-0).
    type: list
    elements: str
    default: []
  node:
    description:
      - Only pods on these nodes, by the names they have in the cluster.
    type: list
    elements: str
    default: []
  container:
    description:
      - Only containers of these names. C(*), C(?) and C([) make a pattern of a name.
      - Init containers, side cars among them, and ephemeral containers take part only when their exact name is here.
      - An exact name that none of the selected pods has is a failure.
    type: list
    elements: str
    default: []
  allow_empty:
    description:
      - Accept that nothing is selected, and that a name matches nothing that runs. Otherwise both are errors.
    type: bool
    default: false
  return_labels:
    description:
      - Names of pod labels to return in RV(checkpoints[].labels) and RV(failures[].labels).
    type: list
    elements: str
    default: []
  max_concurrent:
    description:
      - How many checkpoints are under way at most.
    type: int
    default: 10
  max_concurrent_per_node:
    description:
      - How many checkpoints are under way at most on one node. Each takes two to three times the container's memory on
        the node's disks for a while.
      - Requests for one container are never under way at the same time and never within one second of each other,
        whatever this says, and neither are those of two calls at the same time by one user on one controller. The
        kubelet would give both archives the same name.
    type: int
    default: 2
  timeout:
    description:
      - How long one checkpoint may take, in seconds or for example as V(90s), V(10m) or V(1h30m).
      - The kubelet raises a smaller value to its C(runtimeRequestTimeout), two minutes unless configured otherwise. If
        that is configured to more than this, give at least as much here, because otherwise the request may be given
        up while the checkpoint goes on.
      - A checkpoint that is cut off by this may leave its container frozen (V(deadline_exceeded)), so be generous.
    type: str
    default: 5m
  deadline:
    description:
      - How long the whole call may begin new checkpoints, in seconds or for example as V(30m). What has not begun by
        then fails with V(not_started).
      - What runs is left to finish, because cutting it off can leave a container frozen.
    type: str
  not_older_than:
    description:
      - If the last checkpoint of a container is not older than this, return that one rather than taking another.
      - Known are only checkpoints that the same user has taken with this module on the same controller in the last
        seven days, of the same container, which a restarted one no longer is. Whether the archive is still on the node
        cannot be known from here and is not looked at.
      - The records are in E(XDG_STATE_HOME), by default C(~/.local/state), under C(checkpoint_restore.kubernetes).
    type: str
  ignore_failures:
    description:
      - Do not fail the task because of RV(failures). An empty selection, a wrong option and an API server that does
        not answer still fail it.
    type: bool
    default: false
  progress:
    description:
      - Show a line for each finished container while the module runs. This needs a local connection without
        privilege escalation, and shows nothing under C(no_log) or C(async).
    type: bool
    default: true
  progress_file:
    description:
      - An existing file that a line of JSON is added to for each finished container. Set by the action plugin.
    type: path
notes:
  - Safe to interrupt. After the first C(SIGINT) or C(SIGTERM) nothing new begins, and what runs is waited for.
  - A request is sent again, up to three times in all, only when it certainly did nothing.
  - A liveness probe can fail while a large container is frozen, and the kubelet then restarts the container.
  - P(checkpoint_restore.kubernetes.nodes#inventory) makes hosts of the nodes that the archives are on.
seealso:
  - name: Kubelet Checkpoint API
    description: The reference of the API that this module uses.
    link: https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/
"""

EXAMPLES = r"""
---
- name: Checkpoint one pod
  checkpoint_restore.kubernetes.kubelet_checkpoint:
    namespace: shop
    pod: web-0

- name: Checkpoint the application containers of a whole shop, two at a time on each node
  checkpoint_restore.kubernetes.kubelet_checkpoint:
    namespace: shop
    label_selectors:
      - app.kubernetes.io/part-of=shop
    container:
      - app
      - worker-*
    max_concurrent_per_node: 2
    deadline: 30m
  register: taken

- name: See where the archives are
  ansible.builtin.debug:
    msg: "{{ item.node }}:{{ item.path }}"
  loop: "{{ taken.checkpoints }}"
  loop_control:
    label: "{{ item.namespace }}/{{ item.pod }}/{{ item.container }}"

- name: Go through the API server, where kubelets cannot be reached or have certificates of their own making
  checkpoint_restore.kubernetes.kubelet_checkpoint:
    namespace: shop
    pod: web-0
    via: apiserver

- name: Ask a kubelet without any API server
  checkpoint_restore.kubernetes.kubelet_checkpoint:
    targets:
      - node: 10.77.0.11
        namespace: kube-system
        pod: etcd-cp-1
        container: etcd
    kubelet_ca_cert: /etc/kubernetes/pki/ca.crt
    kubelet_client_cert: /etc/kubernetes/pki/apiserver-kubelet-client.crt
    kubelet_client_key: /etc/kubernetes/pki/apiserver-kubelet-client.key

- name: Have a checkpoint of the last ten minutes, and go on where a container cannot be checkpointed
  checkpoint_restore.kubernetes.kubelet_checkpoint:
    all_namespaces: true
    label_selectors: [checkpoint=yes]
    not_older_than: 10m
    ignore_failures: true
    allow_empty: true
"""

RETURN = r"""
msg:
  description: What happened, in a sentence or two.
  type: str
  returned: always
  sample: 40 of 40 containers were checkpointed.
checkpoints:
  description:
    - The checkpoints, sorted by node, namespace, pod and container.
    - In check mode the containers that would be checkpointed.
  type: list
  elements: dict
  returned: always
  contains:
    <<: &identity
      node:
        description: The name of the node in the cluster, or the node as it was given in O(targets).
        type: str
        sample: crio-a
      node_address:
        description: The address at which the kubelet is asked, V(none) where it is not known.
        type: str
        sample: 10.77.0.11
      namespace:
        description: The namespace of the pod.
        type: str
        sample: shop
      pod:
        description: The name of the pod.
        type: str
        sample: web-0
      pod_uid:
        description: The UID of the pod, V(none) with O(targets).
        type: str
        sample: 0d9b4bd1-9a4c-4c7e-a3a7-6a0c2f4f8d55
      container:
        description: The name of the container.
        type: str
        sample: app
      container_id:
        description: The ID that the container has in its runtime, V(none) with O(targets).
        type: str
        sample: 5f0c1b9d3e7a48d2a6c94f10b8e2d7735f0c1b9d3e7a48d2a6c94f10b8e2d773
      image:
        description: The image as the pod names it, V(none) with O(targets).
        type: str
        sample: registry.example.com/shop/web:1.4
      image_id:
        description: The image as the runtime knows it, V(none) with O(targets).
        type: str
        sample: registry.example.com/shop/web@sha256:0f3c9c1a4e2b7d58
      runtime:
        description: The container runtime of the node, V(none) with O(targets).
        type: str
        sample: cri-o
      runtime_version:
        description: The version of the runtime, V(none) with O(targets) and without the right to get nodes.
        type: str
        sample: 1.36.3
      labels:
        description: Those labels of the pod that O(return_labels) asks for.
        type: dict
        sample:
          app: web
    path:
      description: The absolute path of the archive on the node, V(none) in check mode.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-app-2026-11-21T09:30:00Z.tar
    started:
      description: When the checkpoint was asked for, in UTC by the clock of the host where the module runs.
      type: str
      sample: "2026-11-21T09:30:00.123Z"
    duration:
      description: How long the answer took, in seconds, V(none) in check mode.
      type: float
      sample: 0.187
    attempts:
      description: How many requests were sent.
      type: int
      sample: 1
    reused:
      description: Whether this is an earlier checkpoint that is recent enough for O(not_older_than).
      type: bool
      sample: false
failures:
  description:
    - What could not be checkpointed, sorted by node, namespace, pod and container.
    - The codes are listed in the guide to the failure codes of this collection.
  type: list
  elements: dict
  returned: always
  contains:
    <<: *identity
    code:
      description: A stable name of what went wrong.
      type: str
      sample: criu_failed
    reason:
      description: What went wrong, for a person.
      type: str
      sample: CRIU could not dump the container
    hint:
      description: What to do about it.
      type: str
      sample: The cause stands only in CRIU's log on the node
    message:
      description: The original text of whatever refused, unchanged.
      type: str
      sample: 'checkpointing of shop/web-0/app failed (rpc error: code = Unknown desc = …)'
    http_status:
      description: The status of the HTTP answer, V(none) where there was none.
      type: int
      sample: 500
    phase:
      description: How far it came.
      type: str
      choices: [configure, select, connect, authorize, checkpoint, schedule]
      sample: checkpoint
    retryable:
      description: Whether running the same again later may well work.
      type: bool
      sample: false
    attempts:
      description: How many requests were sent.
      type: int
      sample: 1
code:
  description:
    - As RV(failures[].code), for what concerns the whole call. RV(reason), RV(hint), RV(message), RV(phase),
      RV(retryable) and RV(http_status) are there in this case as well.
  type: str
  returned: when the call failed before any container was tried
  sample: no_match
reason:
  description: As RV(failures[].reason).
  type: str
  returned: with RV(code)
  sample: The selection matches no running container
hint:
  description: As RV(failures[].hint).
  type: str
  returned: with RV(code)
  sample: Check namespace, names and selectors
message:
  description: As RV(failures[].message).
  type: str
  returned: with RV(code)
  sample: ""
phase:
  description: As RV(failures[].phase).
  type: str
  returned: with RV(code)
  sample: select
retryable:
  description: As RV(failures[].retryable).
  type: bool
  returned: with RV(code)
  sample: false
http_status:
  description: As RV(failures[].http_status).
  type: int
  returned: with RV(code)
  sample: 403
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec, auth, checkpoint


def main() -> None:
    strings = {"type": "list", "elements": "str", "default": []}
    name = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            **argument_spec.auth_options(env_fallback),
            **argument_spec.kubelet_options(),
            "namespace": {"type": "str"},
            "all_namespaces": {"type": "bool", "default": False},
            "targets": {
                "type": "list",
                "elements": "dict",
                "options": {"node": name, "namespace": name, "pod": name, "container": name},
            },
            "pod": strings,
            "label_selectors": strings,
            "field_selectors": strings,
            "node": strings,
            "container": strings,
            "allow_empty": {"type": "bool", "default": False},
            "return_labels": strings,
            "max_concurrent": {"type": "int", "default": 10},
            "max_concurrent_per_node": {"type": "int", "default": 2},
            "timeout": {"type": "str", "default": "5m"},
            "deadline": {"type": "str"},
            "not_older_than": {"type": "str"},
            "ignore_failures": {"type": "bool", "default": False},
            "progress": {"type": "bool", "default": True},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(auth.kubeconfig_secrets(module.params["kubeconfig"]))
    try:
        with stop_requested() as stop:
            report = checkpoint.run(module.params, check_mode=module.check_mode, stop=stop)
    except CheckpointError as error:
        module.fail_json(msg=str(error), checkpoints=[], failures=[], **error.as_dict())
    for warning in report.warnings:
        module.warn(warning)
    if report.failures and not module.params["ignore_failures"]:
        module.fail_json(**report.result())
    module.exit_json(**report.result())


if __name__ == "__main__":
    main()
