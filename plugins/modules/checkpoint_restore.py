#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_restore
short_description: Make a pod whose containers are restored from checkpoints
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Makes the manifest of the new pod from the old pod or from what the archives tell, looks whether the cluster can
    have it, creates it, and waits until its containers run. What it made is removed again if they do not.
  - With O(method=runtime) it is the tickets of M(checkpoint_restore.kubernetes.checkpoint_ticket) on the node that make
    the containers be restored. They have to be there before the pod is. A run in check mode returns what they have to
    say, as RV(tickets).
  - Runs on the controller. Needs what the job C(restore) of M(checkpoint_restore.kubernetes.checkpoint_access) gives;
    with O(isolated=true) also to get, create and delete namespaces and network policies.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - All checks are made, and the API server is asked whether it would take the pod. With O(isolated=true) it is only
        asked if the namespace is there already.
  diff_mode:
    support: full
    details:
      - Values of environment variables and arguments that look like secrets are masked.
  idempotent:
    support: full
    details:
      - Nothing is changed if a pod of that name was restored from the same archives, is on O(node), and its restored
        containers run and were not restarted.
  platform:
    support: full
    platforms: posix
options:
  state:
    description:
      - V(absent) deletes the pod O(pod), which has to be one that this module has made. With O(isolated=true) the
        namespace goes as well, if it was made by this module and has no other pods.
    type: str
    choices: [present, absent]
    default: present
  namespace:
    description:
      - Namespace of the new pod. Without it, that of the pod that the archives are of.
      - With O(isolated=true) O(isolated_namespace) takes its place.
    type: str
  pod:
    description:
      - Name of the new pod. Without it, that of the pod that the archives are of.
      - Required with O(state=absent).
    type: str
  node:
    description:
      - The node that the pod is to run on. It is asked for by the node's label C(kubernetes.io/hostname), so that the
        scheduler looks at resources and taints.
      - Required with O(state=present).
    type: str
  archives:
    description:
      - One archive for each container that is to be restored, all of one pod.
      - Required with O(state=present).
    type: list
    elements: dict
    suboptions:
      container:
        description:
          - The container of the new pod. Without it, the one that O(archives[].identity) names.
        type: str
      identity:
        description:
          - What M(checkpoint_restore.kubernetes.checkpoint_info) returns as the identity of the archive.
        type: dict
        required: true
      path:
        description:
          - Where the archive lies on O(node). Required with O(method=runtime).
        type: str
      sha256:
        description:
          - The SHA-256 of the archive, V(sha256:) in front of it or not. Required with O(method=runtime).
        type: str
      image:
        description:
          - The image that was made of the archive, see M(checkpoint_restore.kubernetes.checkpoint_image). Required with
            O(method=image).
        type: str
  definition:
    description:
      - The whole pod. Only its name, its namespace, the node, the RuntimeClass and an annotation are set.
    type: dict
  source_definition:
    description:
      - The pod as it was, for example as an incident of C(collect_forensics) has
        kept it. What a new pod cannot carry is left out.
      - Without it and without O(definition), the pod that the archives are of is asked for at the API server. If it is
        gone, the manifest has what the archives tell, and that is little more than images.
    type: dict
  patch:
    description:
      - Merged over the manifest, as RFC 7386 says. V(null) removes a key.
      - Lists are replaced, with two exceptions. Entries of C(containers) and C(initContainers) are merged with those of
        the same name. An entry of C(volumes) takes the place of the one with its name.
    type: dict
    default: {}
  method:
    description:
      - V(runtime) restores by the restore runtime of the role P(checkpoint_restore.kubernetes.restore_runtime#role).
      - V(image) lets the container runtime restore from an image, where it still can. The image that the process ran in
        is pulled before by the kubelet of the node, with the pod's secrets, for a short-lived pod that runs nothing of
        it. containerd asks the registry for it once more, without secrets, so there it has to be one that needs none.
    type: str
    choices: [runtime, image]
    default: runtime
  runtime_class:
    description:
      - The RuntimeClass of the restore runtime. Empty where it is the default handler of the node; the pod keeps its
        own RuntimeClass then.
    type: str
    default: checkpoint-restore
  others:
    description:
      - What becomes of containers of the pod without an archive. V(refuse) fails, V(cold) starts them from their
        images.
      - Init containers run again in any case.
    type: str
    choices: [refuse, cold]
    default: refuse
  isolated:
    description:
      - Restore a copy for analysis. It has a namespace of its own, a NetworkPolicy that allows nothing and is there
        before the pod is, no label of the original, no service account token and the service account C(default).
      - Refused is what would lead out, such as the node's network, privileged containers and volumes that the original
        or the node uses, unless O(patch) replaces it.
      - Only a network plugin that enforces network policies cuts the pod off. This cannot be seen from here.
    type: bool
    default: false
  isolated_namespace:
    description:
      - The namespace with O(isolated=true), by default V(isolated-) and the name of the pod. It is made if it does not
        exist, and otherwise must not have other pods.
    type: str
  preflight:
    description:
      - Whether to look at the cluster first, and to make nothing if a check fails.
    type: bool
    default: true
  wait:
    description:
      - Wait until the restored containers run, and the pod is Ready if it has readiness probes or gates. With
        O(state=absent), until the pod is gone.
    type: bool
    default: true
  timeout:
    description:
      - How long that may take, in seconds or for example as V(90s) or V(5m).
    type: str
    default: 2m
notes:
  - A container that runs need not be restored. The proof is on the node, where the restore runtime notes what it has
    restored, see M(checkpoint_restore.kubernetes.checkpoint_ticket).
  - The labels of the original are kept, because it is the same workload. Services that select the original select the
    new pod too. Labels that controllers set are left out, and the new pod belongs to no controller.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_ticket
  - module: checkpoint_restore.kubernetes.checkpoint_info
  - module: checkpoint_restore.kubernetes.checkpoint_image
"""

EXAMPLES = r"""
---
- name: Read who the archive is of
  checkpoint_restore.kubernetes.checkpoint_info:
    paths: /srv/checkpoints/web-0.tar
  become: true
  register: held

- name: See what would be made, and which tickets it takes
  checkpoint_restore.kubernetes.checkpoint_restore:
    node: "{{ inventory_hostname }}"
    archives: &archives
      - identity: "{{ held.checkpoints[0].identity }}"
        path: /srv/checkpoints/web-0.tar
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  delegate_to: localhost
  check_mode: true
  register: foreseen

- name: Allow it on the node
  checkpoint_restore.kubernetes.checkpoint_ticket:
    namespace: "{{ item.namespace }}"
    pod: "{{ item.pod }}"
    container: "{{ item.container }}"
    archive: "{{ item.archive }}"
    checksum: "{{ item.sha256 }}"
    on_failure: keep
  become: true
  loop: "{{ foreseen.tickets }}"

- name: Restore the pod
  checkpoint_restore.kubernetes.checkpoint_restore:
    node: "{{ inventory_hostname }}"
    archives: *archives
  delegate_to: localhost

- name: Remove a copy that was made for analysis, with its namespace
  checkpoint_restore.kubernetes.checkpoint_restore:
    pod: web-0
    isolated: true
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
pod:
  description: The pod.
  returned: success
  type: dict
  contains:
    namespace:
      description: Its namespace.
      type: str
      sample: shop
    name:
      description: Its name. V(null) with O(state=absent) if there was none.
      type: str
      sample: web-0
    uid:
      description: Its UID. V(null) if it does not exist.
      type: str
      sample: 0d9b4bd1-9a4c-4c7e-a3a7-6a0c2f4f8d55
    node:
      description: Its node. V(null) with O(state=absent) if there was none.
      type: str
      sample: worker-2
definition:
  description:
    - The manifest that the pod is made from, as it is, with all values of environment variables.
    - Empty if no pod is made.
  returned: success
  type: dict
tickets:
  description:
    - What M(checkpoint_restore.kubernetes.checkpoint_ticket) has to allow on the node before the pod is created. Empty
      with O(method=image), and if no pod is made. Sorted by container.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the new pod.
      type: str
    pod:
      description: Name of the new pod.
      type: str
    container:
      description: The container.
      type: str
    archive:
      description: The archive's path on the node.
      type: str
    sha256:
      description: Its SHA-256, 64 hexadecimal digits.
      type: str
containers:
  description:
    - The pod's containers, sorted by name, without init containers that run to their end. Empty with O(state=absent).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: web
    container_id:
      description: Its ID on the node. V(null) as long as it has none, so in check mode.
      type: str
      sample: 5f0c1b9d3e7a48d2a6c94f10b8e2d7735f0c1b9d3e7a48d2a6c94f10b8e2d773
    restored_from:
      description: SHA-256 of the archive, or the image if that is not given. V(null) if it starts cold.
      type: str
checks:
  description:
    - What was looked at, sorted by name. With O(preflight=false) only what the manifest tells.
    - Results V(warning) are given as warnings too. Empty if no pod is made.
  returned: success, and failure after the manifest was made
  type: list
  elements: dict
  contains:
    name:
      description: >-
        V(architecture), V(claim), V(cordon), V(empty_volume), V(host_path), V(init_containers), V(manifest), V(node),
        V(original_runs), V(others), V(owner), V(placement), V(pod_exists), V(reference), V(runtime_class), V(taints) or
        V(terminal). Some stand there once for each object.
      type: str
      sample: taints
    result:
      description: V(passed), V(failed) or V(warning).
      type: str
    reason:
      description: What was found, in plain words.
      type: str
    hint:
      description: What to do about it. May be empty.
      type: str
removed:
  description: Whether nothing is left of what was made. With V(false), look for the pod.
  returned: failure after the checks
  type: bool
code:
  description:
    - "Stable name of what went wrong before anything was made: V(invalid_option), V(archive_twice),
      V(archives_differ), V(manifest_unknown), V(manifest_invalid), V(container_not_found), V(others_refused),
      V(isolation_impossible), V(namespace_in_use), V(preflight_failed), V(pod_exists), V(pod_refused), V(not_ours)."
    - "And afterwards: V(restore_failed), V(runtime_handler_missing), V(image_pull_failed), V(unschedulable),
      V(pod_failed), V(pod_gone), V(restore_timeout), V(removal_timeout), V(interrupted)."
    - Or why the API server could not be asked, see the guide to failure codes.
  returned: failure
  type: str
  sample: restore_failed
reason:
  description: What happened, in plain words. Of V(restore_failed) the sentence of the restore runtime.
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

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.redaction import document
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec, auth, restore

ARCHIVE: argument_spec.Spec = {
    "container": {"type": "str"},
    "identity": {"type": "dict", "required": True},
    "path": {"type": "str"},
    "sha256": {"type": "str"},
    "image": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **argument_spec.auth_options(env_fallback),
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "namespace": {"type": "str"},
            "pod": {"type": "str"},
            "node": {"type": "str"},
            "archives": {"type": "list", "elements": "dict", "options": ARCHIVE},
            "definition": {"type": "dict"},
            "source_definition": {"type": "dict"},
            "patch": {"type": "dict", "default": {}},
            "method": {"type": "str", "choices": ["runtime", "image"], "default": "runtime"},
            "runtime_class": {"type": "str", "default": "checkpoint-restore"},
            "others": {"type": "str", "choices": ["refuse", "cold"], "default": "refuse"},
            "isolated": {"type": "bool", "default": False},
            "isolated_namespace": {"type": "str"},
            "preflight": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "str", "default": "2m"},
        },
        required_if=[("state", "present", ["node", "archives"]), ("state", "absent", ["pod"])],
        mutually_exclusive=[("definition", "source_definition")],
        supports_check_mode=True,
    )
    module.no_log_values.update(auth.kubeconfig_secrets(module.params["kubeconfig"]))
    try:
        with stop_requested() as stop:
            outcome = restore.run(module.params, check_mode=module.check_mode, stop=stop)
    except CheckpointError as error:
        warn(module, error.details.get("checks", []))
        module.fail_json(msg=str(error), **error.as_dict())
    warn(module, outcome.result["checks"])
    diff = [{"before": thing, "after": {}} for thing in outcome.before]
    diff += [{"before": {}, "after": document(thing, "redacted")} for thing in outcome.after]
    module.exit_json(**outcome.result, diff=diff)


def warn(module: AnsibleModule, checks: list[dict[str, t.Any]]) -> None:
    for check in checks:
        if check["result"] == "warning":
            module.warn(". ".join(filter(None, (check["reason"], check["hint"]))))


if __name__ == "__main__":
    main()
