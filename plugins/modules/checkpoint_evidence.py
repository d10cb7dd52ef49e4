#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_evidence
short_description: Keep the folder of an incident, with checkpoint archives, pod objects and a manifest
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Keeps one folder per incident on the controller. Run it on C(localhost), three times around the work of
    M(checkpoint_restore.kubernetes.kubelet_checkpoint) and M(checkpoint_restore.kubernetes.checkpoint_fetch), as the
    playbook C(checkpoint_restore.kubernetes.collect_forensics) does.
  - With O(state=open), before the checkpoint, it makes the folder and writes the objects of the selected pods as they
    are.
  - With O(state=recorded), right after the checkpoint, it notes which archives lie on which nodes, so that even a
    run that is cut off can be continued.
  - With O(state=closed), after the transfer, it hashes every archive anew, compares with what its node computed, and
    finishes C(manifest.json) and C(SHA256SUMS).
  - The folder is created with mode V(0700), its files with V(0600). Nothing in it is ever removed. A folder that is not
    that of an incident is refused.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._auth
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._attributes.action_group
options:
  state:
    description:
      - The point of the work that is reached.
    type: str
    required: true
    choices: [open, recorded, closed]
  destination:
    description:
      - Directory in which the folder is, or will be.
      - A relative path is relative to where C(ansible-playbook) was started.
    type: path
    required: true
  incident:
    description:
      - Name of the incident, and of its folder. Letters, digits, dots, dashes and underscores.
      - With O(state=open) the default is the time in UTC and the namespace, for example V(20261121T091800Z-shop). The
        name of an earlier incident continues that one. Containers of which it has a checkpoint are then left in peace.
      - Needed with every other O(state).
    type: str
  namespace:
    description:
      - The namespace of the pods. Needed with O(state=open).
    type: str
  pod:
    description:
      - Only pods of these names. One that is not there is noted as a failure.
    type: list
    elements: str
    default: []
  label_selectors:
    description:
      - Only pods that fit all these label selectors.
    type: list
    elements: str
    default: []
  field_selectors:
    description:
      - Only pods that fit all these field selectors.
    type: list
    elements: str
    default: []
  node:
    description:
      - Only pods on these nodes.
    type: list
    elements: str
    default: []
  container:
    description:
      - Only containers of these names, or that fit these patterns. Init and ephemeral containers only when named.
    type: list
    elements: str
    default: []
  checkpoints:
    description:
      - With O(state=recorded), what M(checkpoint_restore.kubernetes.kubelet_checkpoint) returned as C(checkpoints).
    type: list
    elements: dict
    default: []
  failures:
    description:
      - With O(state=recorded), what M(checkpoint_restore.kubernetes.kubelet_checkpoint) returned as C(failures).
      - With O(state=closed), the same after P(checkpoint_restore.kubernetes.checkpoint_causes#filter) has told their
        causes. They take the place of those in the manifest.
    type: list
    elements: dict
    default: []
  transfers:
    description:
      - With O(state=closed), the results of M(checkpoint_restore.kubernetes.checkpoint_fetch), one per node.
    type: list
    elements: dict
    default: []
  collection_version:
    description:
      - Version of the collection, for the manifest. Set by the action plugin.
    type: str
attributes:
  check_mode:
    support: full
    details:
      - Selects, and tells what would be collected. Writes nothing.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Each run is noted in the manifest, which changes it. Archives and objects are never written twice.
  platform:
    support: full
    platforms: posix
notes:
  - The objects of pods can hold secrets, for example in environment variables. They are written to files, and are never
    part of what this module returns.
requirements:
  - kubernetes (Python library), with O(state=open)
seealso:
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
  - module: checkpoint_restore.kubernetes.checkpoint_fetch
"""

EXAMPLES = r"""
---
- name: Open an incident for one pod
  checkpoint_restore.kubernetes.checkpoint_evidence:
    state: open
    destination: ./evidence
    namespace: shop
    pod: web-0
  delegate_to: localhost
  register: opened

- name: Checkpoint what the incident has no checkpoint of
  checkpoint_restore.kubernetes.kubelet_checkpoint:
    namespace: shop
    pod: "{{ opened.pods }}"
    ignore_failures: true
  delegate_to: localhost
  when: opened.pods | length > 0
  register: taken

- name: Note what lies on the nodes now
  checkpoint_restore.kubernetes.checkpoint_evidence:
    state: recorded
    destination: ./evidence
    incident: "{{ opened.incident }}"
    checkpoints: "{{ taken.checkpoints | default([]) }}"
    failures: "{{ taken.failures | default([]) }}"
  delegate_to: localhost
  register: recorded

- name: Finish the manifest
  checkpoint_restore.kubernetes.checkpoint_evidence:
    state: closed
    destination: ./evidence
    incident: "{{ opened.incident }}"
    transfers: "{{ fetched.results | default([]) }}"
  delegate_to: localhost
"""

RETURN = r"""
incident:
  description: Name of the incident.
  returned: success
  type: str
  sample: 20261121T091800Z-shop
folder:
  description: Absolute path of its folder. In check mode it may not exist.
  returned: success
  type: str
  sample: /srv/evidence/20261121T091800Z-shop
pods:
  description: Names of the pods with containers of which the incident has no checkpoint yet, sorted.
  returned: success and O(state=open)
  type: list
  elements: str
  sample: [web-0]
nodes:
  description: The nodes with archives that have still to be fetched, sorted by name.
  returned: success and O(state=recorded)
  type: list
  elements: dict
  contains:
    node:
      description: Name of the node in the cluster.
      type: str
      sample: crio-a
    node_address:
      description: Its address. V(null) if the API server does not tell.
      type: str
      sample: 10.77.0.11
    archives:
      description: In the shape of O(checkpoint_restore.kubernetes.checkpoint_fetch#module:archives).
      type: list
      elements: dict
      contains:
        path:
          description: Path on the node.
          type: str
          sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
        name:
          description: Name of the file in the folder C(archives) of the incident.
          type: str
          sample: crio-a_shop_web-0_web_20261121T091800Z.tar
complete:
  description: Whether all that was selected is in the folder and verified.
  returned: success and O(state=closed)
  type: bool
summary:
  description: The outcome in plain words, line by line.
  returned: success and O(state=closed)
  type: list
  elements: str
code:
  description:
    - "Stable name of the reason: V(incident_name_unsafe), V(incident_missing), V(destination_in_use),
      V(destination_refused), V(destination_full), V(destination_unsafe), or one of
      M(checkpoint_restore.kubernetes.kubelet_checkpoint) about the API server and the selection."
  returned: failure
  type: str
  sample: destination_in_use
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

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils import _incident
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._evidence import incident_folder, stamp
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec, auth

STATES = {"open": _incident.open_incident, "recorded": _incident.record, "closed": _incident.close}


def main() -> None:
    names: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    dictionaries: dict[str, t.Any] = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            **argument_spec.auth_options(env_fallback),
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "destination": {"type": "path", "required": True},
            "incident": {"type": "str"},
            "namespace": {"type": "str"},
            "pod": names,
            "label_selectors": names,
            "field_selectors": names,
            "node": names,
            "container": names,
            "checkpoints": dictionaries,
            "failures": dictionaries,
            "transfers": dictionaries,
            "collection_version": {"type": "str"},
        },
        required_if=[
            ("state", "open", ["namespace"]),
            ("state", "recorded", ["incident"]),
            ("state", "closed", ["incident"]),
        ],
        supports_check_mode=True,
    )
    params = {**module.params, "ansible_version": module.ansible_version}
    module.no_log_values.update(auth.kubeconfig_secrets(params["kubeconfig"]))
    try:
        incident = params["incident"] or f"{stamp(time.time())}-{params['namespace']}"
        folder = incident_folder(params["destination"], incident)
        result = STATES[params["state"]](folder, params, module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(incident=incident, folder=folder, **result)


if __name__ == "__main__":
    main()
