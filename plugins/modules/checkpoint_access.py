#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_access
short_description: Give an account the rights for checkpoints, and take them back
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Makes ServiceAccounts and gives each the least that its O(accounts[].jobs) need, by roles and bindings of its own.
    What was changed there by others is put right.
  - With O(accounts[].dest) or O(accounts[].token) it makes a token with an expiry, for AWX or whatever else works as
    that account.
  - With O(kubelet_client=true) it gives the API server's own client at the kubelets the right to ask for checkpoints,
    where it lacks it.
  - With O(state=absent) it takes back what it gave. Only objects with the label
    C(app.kubernetes.io/managed-by=checkpoint_restore.kubernetes) are changed or removed. An object of the same name
    without it fails the task, or stays with a warning.
  - Runs on the controller, as an administrator of the cluster. Nobody can give a right without having it, or the right
    to C(escalate) and C(bind).
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Only reads. With O(kubelet_client=true) and without O(kubelet_client_user) a kubelet is asked for a checkpoint
        of a pod that cannot exist, which has no effect; with O(kubelet_client_user) the API server reviews a right.
  diff_mode:
    support: full
    details:
      - Shows the objects of the cluster. A token or a kubeconfig is never shown.
  idempotent:
    support: partial
    details:
      - With O(accounts[].token=true) every call makes a new token. With O(accounts[].dest) alone a new one is made only
        when the one in the file has less than O(token_renew_before) left.
  platform:
    support: full
    platforms: posix
options:
  state:
    description:
      - Whether the accounts and their rights shall be there. V(absent) takes all their jobs back, and
        O(accounts[].dest) as well. O(namespace) goes with them if it was made here and nothing else is in it.
    type: str
    choices: [present, absent]
    default: present
  accounts:
    description:
      - The accounts to look after. Others are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Name of the ServiceAccount.
        type: str
        required: true
      jobs:
        description:
          - What the account is for. All of its jobs, because others are taken away. Ignored with O(state=absent).
          - V(checkpoint) takes checkpoints straight from the kubelets. It may create C(nodes/checkpoint), nothing more.
          - V(checkpoint_apiserver) takes checkpoints through the API server. It may create C(nodes/proxy), which
            amounts to a shell in every pod of the nodes. Prefer V(checkpoint) wherever kubelets can be reached.
          - V(migrate) moves pods. It may create, delete, get, list, patch and evict pods, read what they belong to,
            change the scale of Deployments, make StatefulSets anew, and create admission policies that change pods
            while they are made. Policies cannot be limited to namespaces, so whoever has this job can change every pod
            that is made anywhere in the cluster. Give it to administrators only.
          - V(read) finds pods and nodes, for selectors and for the inventory plugin. It may get and list pods and
            nodes. A checkpoint of an explicit target does not need it.
          - V(restore) makes pods. It may create, delete, get, list and watch pods; get and list events; get
            PersistentVolumeClaims, PersistentVolumes, RuntimeClasses and nodes. Whoever can create pods in a namespace
            can make them use every Secret and ServiceAccount of it, so limit it by O(accounts[].namespaces).
        type: list
        elements: str
        choices: [checkpoint, checkpoint_apiserver, migrate, read, restore]
        default: []
      namespaces:
        description:
          - Give the rights on what lies in namespaces only in these, by a Role and a RoleBinding in each. They have to
            exist.
          - Rights on nodes cannot be limited by namespaces. A checkpoint can be taken of any container on a node.
        type: list
        elements: str
        default: []
      nodes:
        description:
          - Give the rights on nodes only for nodes of these names. Listing nodes cannot be limited, so it is left out
            then, and the inventory plugin cannot be used.
          - With V(checkpoint_apiserver) the nodes have to be asked at their own port then, without C(kubelet_port).
        type: list
        elements: str
        default: []
      dest:
        description:
          - Path of a kubeconfig to write on the host where the module runs, mode V(0600), with server, CA and a token.
            Its directory has to exist. Settings for a proxy are not part of it.
          - A file that was not written by this module for this account is never touched.
        type: path
      token:
        description:
          - Make a new token and return it. Set C(no_log) on the task.
        type: bool
        default: false
  namespace:
    description:
      - Namespace of the ServiceAccounts. It is made where it is missing.
    type: str
    default: checkpoint-restore
  kubelet_client:
    description:
      - Look after the right of the API server's own client at the kubelets, which checkpoints through the API server
        need. It exists once in a cluster, whatever the O(accounts). Clusters made by kubeadm have it already; those
        that give the client only C(system:kubelet-api-admin) lack it.
      - Nothing is given where the right is there. A kubelet is asked through the API server and says whom it refuses,
        for which C(nodes/proxy) is needed.
    type: bool
    default: false
  kubelet_client_user:
    description:
      - The user in the API server's C(--kubelet-client-certificate), where it is known. Used with
        O(kubelet_client=true). The API server reviews the right of this user then, and no kubelet is asked. The review
        does not know the groups in the certificate.
    type: str
  token_expiration:
    description:
      - How long a token shall live, at least V(10m). The API server may shorten it, RV(accounts[].expires) has the
        real end.
      - Tokens end earlier when the ServiceAccount is removed.
    type: str
    default: 30d
  token_renew_before:
    description:
      - A new token for O(accounts[].dest) is made when the one in it has less than this left.
    type: str
    default: 7d
seealso:
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
  - module: checkpoint_restore.kubernetes.checkpoint_probe
"""

EXAMPLES = r"""
---
- name: An account that takes checkpoints on two nodes, with a kubeconfig for a week
  checkpoint_restore.kubernetes.checkpoint_access:
    accounts:
      - name: night-checkpoints
        jobs:
          - checkpoint
        nodes:
          - worker-1
          - worker-2
        dest: ~/.kube/night-checkpoints
    token_expiration: 7d
    token_renew_before: 1d

- name: An account for restores in one namespace, and a token for AWX
  checkpoint_restore.kubernetes.checkpoint_access:
    accounts:
      - name: restores
        jobs:
          - restore
        namespaces:
          - shop
        token: true
  register: restores
  no_log: true

- name: Let the API server ask kubelets for checkpoints
  checkpoint_restore.kubernetes.checkpoint_access:
    kubelet_client: true

- name: Take the first account back
  checkpoint_restore.kubernetes.checkpoint_access:
    accounts:
      - name: night-checkpoints
        dest: ~/.kube/night-checkpoints
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, sorted by path and by what it is.
  returned: success
  type: list
  elements: dict
  contains:
    component:
      description: Always V(rbac).
      type: str
      sample: rbac
    path:
      description: The file, V(null) for objects of the cluster and for tokens.
      type: str
    action:
      description: V(create), V(change) or V(remove).
      type: str
      sample: create
    what:
      description: The object for a person.
      type: str
      sample: ClusterRole checkpoint-restore:checkpoint-restore:night-checkpoints
accounts:
  description: The accounts, in the order in which they were given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the ServiceAccount.
      type: str
      sample: night-checkpoints
    user:
      description: The user that the API server and kubelets take the account for.
      type: str
      sample: system:serviceaccount:checkpoint-restore:night-checkpoints
    dest:
      description: Path of the kubeconfig; V(null) without one.
      type: str
      sample: /home/ops/.kube/night-checkpoints
    expires:
      description: When the token ends, in UTC; V(null) if there is none, or in check mode none yet.
      type: str
      sample: "2026-12-21T09:18:00Z"
    token:
      description: The new token, a secret; V(null) where none was asked for, and in check mode.
      type: str
kubelet_client_user:
  description:
    - The API server's user at the kubelets, with O(kubelet_client=true) and where its name was found out or given.
      V(null) otherwise, also where the right is there without this module.
  returned: success
  type: str
  sample: kube-apiserver-kubelet-client
code:
  description: Stable name of what went wrong, see the guide to failure codes.
  returned: failure
  type: str
  sample: object_not_ours
reason:
  description: What happened, in plain words.
  returned: failure
  type: str
  sample: ServiceAccount backup in the namespace shop is there and was made by others
hint:
  description: What to do next.
  returned: failure
  type: str
message:
  description: The original text of whatever refused. May be empty.
  returned: failure
  type: str
phase:
  description: How far it came.
  returned: failure
  type: str
  sample: select
retryable:
  description: Whether the same call may well work later.
  returned: failure
  type: bool
http_status:
  description: Status of the HTTP answer, V(null) if there was none.
  returned: failure
  type: int
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import access, argument_spec, auth

JOBS = ["checkpoint", "checkpoint_apiserver", "migrate", "read", "restore"]
ACCOUNT = {
    "name": {"type": "str", "required": True},
    "jobs": {"type": "list", "elements": "str", "choices": JOBS, "default": []},
    "namespaces": {"type": "list", "elements": "str", "default": []},
    "nodes": {"type": "list", "elements": "str", "default": []},
    "dest": {"type": "path"},
    "token": {"type": "bool", "default": False, "no_log": False},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **argument_spec.auth_options(env_fallback),
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "accounts": {"type": "list", "elements": "dict", "options": ACCOUNT, "default": []},
            "namespace": {"type": "str", "default": "checkpoint-restore"},
            "kubelet_client": {"type": "bool", "default": False},
            "kubelet_client_user": {"type": "str"},
            "token_expiration": {"type": "str", "default": "30d", "no_log": False},
            "token_renew_before": {"type": "str", "default": "7d", "no_log": False},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(auth.kubeconfig_secrets(module.params["kubeconfig"]))
    try:
        result = access.run(module.params, check_mode=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
