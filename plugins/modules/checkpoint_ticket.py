#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_ticket
short_description: Allow one container on a node to be restored from a checkpoint, once
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Leaves a ticket on a node. When a container of this namespace, pod and name is created there by the restore runtime,
    it is restored from the archive instead of being started from its image. The ticket is used up by that.
  - Without a ticket nothing is restored, so being allowed to create pods does not allow anybody to run an archive.
  - When the restore has come to its end, the restore runtime leaves a receipt. O(state=used) reads it.
  - Runs on the node where the archive lies and the pod will run.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
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
  container:
    description:
      - Name of the container.
    type: str
    required: true
  state:
    description:
      - V(absent) takes the ticket back. A ticket that a restore has claimed is no longer there.
      - V(used) sees that the ticket was used and that its container was restored, and fails if not. It changes nothing.
    type: str
    choices: [present, absent, used]
    default: present
  wait:
    description:
      - How long to wait for the restore to come to its end, for example V(90s), V(2m) or a number of seconds.
      - Only with O(state=used).
    type: str
    default: 0s
  container_id:
    description:
      - The ID of the container that has to be the restored one, with or without its runtime in front. It is in the
        C(containerStatuses) of the pod.
      - Only with O(state=used). Without it, any container of this name will do.
    type: str
  archive:
    description:
      - Absolute path of the checkpoint archive on the node, or of the folder that one was unpacked into.
      - It has to belong to root, and nobody else may be allowed to write to it. Of a folder that holds for everything
        in it.
      - Required with O(state=present).
    type: path
  checksum:
    description:
      - The SHA-256 of the archive, V(sha256:) in front of it or not. Another archive is refused.
      - Without it, the ticket has the SHA-256 of the file that is there now.
      - A folder has none.
    type: str
  volumes:
    description:
      - What goes into emptyDir volumes of the new pod before the processes go on. Keys are the paths where the
        container has them mounted, values are absolute paths on the node, of a tar or of a folder.
      - A tar has to belong to root, and nobody else may be allowed to write to it. It may be compressed with gzip,
        bzip2 or xz. The ticket has its SHA-256.
      - A folder has to be root's alone, mode V(0700). What is in it keeps its owners.
      - What is in a volume stays there if the restore fails.
    type: dict
    default: {}
  expires_in:
    description:
      - How long the ticket is good for, for example V(90s), V(15m) or a number of seconds.
    type: str
    default: 15m
  security:
    description:
      - What happens if the dumped processes hold more than the new pod grants them.
      - V(refuse) refuses to restore them. V(clamp) takes away capabilities, the ability to gain privileges, and write
        access to what the pod mounts read-only, and masks what the pod masks. It refuses to restore what holds more
        than that.
    type: str
    choices: [refuse, clamp]
    default: refuse
  accept:
    description:
      - What they may hold more than the pod grants, by the names that a refusal gives in brackets, for example
        V(capability:CAP_NET_RAW) or V(seccomp).
    type: list
    elements: str
    default: []
  on_failure:
    description:
      - What becomes of the ticket if the restore fails.
      - With V(cold) it is used up, and the kubelet's next try starts the container from its image. With V(keep) it
        stays, and every further try is a restore, until one succeeds or the ticket is taken back.
    type: str
    choices: [cold, keep]
    default: cold
attributes:
  check_mode:
    support: full
    details:
      - O(state=used) reads and waits in check mode as well.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A ticket that says the same and has not expired is left as it is, its end included.
  platform:
    description: Target operating systems.
    support: full
    platforms: posix
notes:
  - Tickets belong to root, so use C(become).
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_runtime
  - module: checkpoint_restore.kubernetes.checkpoint_info
"""

EXAMPLES = r"""
---
- name: Let the container web of the pod web-0 be restored on this node
  checkpoint_restore.kubernetes.checkpoint_ticket:
    namespace: shop
    pod: web-0
    container: web
    archive: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  become: true

- name: The same with the contents of an emptyDir volume
  checkpoint_restore.kubernetes.checkpoint_ticket:
    namespace: shop
    pod: web-0
    container: web
    archive: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    volumes:
      /var/cache/web: /srv/web-0-cache.tar
  become: true

- name: See that the container of the new pod is the restored one
  checkpoint_restore.kubernetes.checkpoint_ticket:
    namespace: shop
    pod: web-0
    container: web
    state: used
    wait: 1m
    container_id: containerd://4fdab3c5b7b2bd0dbb8fc8d1e9b7fcc4f7b2b8e6a3ee4e9a8c8c2a1c2b3d4e5f
  become: true

- name: Take the ticket back
  checkpoint_restore.kubernetes.checkpoint_ticket:
    namespace: shop
    pod: web-0
    container: web
    state: absent
  become: true
"""

RETURN = r"""
ticket_path:
  description: The file of the ticket.
  returned: success
  type: str
  sample: /var/lib/checkpoint-restore/tickets/shop_web-0_web.json
ticket:
  description: The ticket that is there now, or in check mode would be. Empty with O(state=absent) and O(state=used).
  returned: success
  type: dict
  contains:
    version:
      description: Version of the file's format.
      type: int
      sample: 1
    namespace:
      description: Namespace of the pod.
      type: str
    pod:
      description: Name of the pod.
      type: str
    container:
      description: Name of the container.
      type: str
    archive:
      description: The archive.
      type: str
    sha256:
      description: The SHA-256 that the archive has to have. V(null) for a folder.
      type: str
    expires:
      description: Until when the ticket is good, UTC.
      type: str
      sample: "2026-11-21T09:33:00Z"
    security:
      description: As O(security).
      type: str
    accept:
      description: As O(accept).
      type: list
      elements: str
    on_failure:
      description: As O(on_failure).
      type: str
    volumes:
      description: By the path of the mount, a dictionary with C(path) and C(sha256), which is V(null) for a folder.
      type: dict
receipt:
  description:
    - What became of the ticket. Only the newest receipt for a container's name is kept, for a week.
    - Also returned when the module fails because of what it says.
  returned: with O(state=used)
  type: dict
  contains:
    version:
      description: Version of the file's format.
      type: int
      sample: 1
    namespace:
      description: Namespace of the pod.
      type: str
    pod:
      description: Name of the pod.
      type: str
    container:
      description: Name of the container.
      type: str
    container_id:
      description: ID of the container that was created.
      type: str
    archive:
      description: The archive of the ticket. V(null) if the ticket could not be read.
      type: str
    sha256:
      description: The SHA-256 of the ticket. V(null) for a folder, and if the ticket could not be read.
      type: str
    outcome:
      description: V(restored) or V(failed).
      type: str
      sample: restored
    code:
      description: Stable name of the reason. Empty if it was restored.
      type: str
      sample: digest_wrong
    reason:
      description: Why it failed, as in the pod's event. Empty if it was restored.
      type: str
    at:
      description: When the restore came to its end, UTC.
      type: str
      sample: "2026-11-21T09:19:02Z"
    seconds:
      description: How long it took. V(null) if it was killed.
      type: float
      sample: 0.41
code:
  description:
    - "Stable name of the reason: V(invalid_option), V(ticket_invalid), V(archive_missing), V(archive_untrusted),
      V(checksum_wrong), V(folder_untrusted), V(volume_refused), or why the archive cannot be read, as in
      M(checkpoint_restore.kubernetes.checkpoint_info)."
    - "With O(state=used): V(not_restored) if the ticket is still there, V(restore_failed) with the restore runtime's
      sentence as RV(message), V(receipt_missing) if there is neither ticket nor receipt, V(another_container) if
      another container than O(container_id) was restored."
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

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.durations import parse_duration
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.leave import leave, take_back
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.proof import used
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import (
    ON_FAILURE,
    SECURITY,
    Name,
    Ticket,
)


def main() -> None:
    name: dict[str, t.Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "namespace": name,
            "pod": name,
            "container": name,
            "state": {"type": "str", "choices": ["present", "absent", "used"], "default": "present"},
            "wait": {"type": "str", "default": "0s"},
            "container_id": {"type": "str"},
            "archive": {"type": "path"},
            "checksum": {"type": "str"},
            "volumes": {"type": "dict", "default": {}},
            "expires_in": {"type": "str", "default": "15m"},
            "security": {"type": "str", "choices": list(SECURITY), "default": "refuse"},
            "accept": {"type": "list", "elements": "str", "default": []},
            "on_failure": {"type": "str", "choices": list(ON_FAILURE), "default": "cold"},
        },
        required_if=[("state", "present", ["archive"])],
        supports_check_mode=True,
    )
    params = module.params
    who = Name(params["namespace"], params["pod"], params["container"])
    try:
        expires = int(time.time() + parse_duration(params["expires_in"], "expires_in"))
        if params["state"] == "absent":
            outcome = take_back(who, check=module.check_mode)
        elif params["state"] == "used":
            outcome = used(who, params["container_id"] or "", parse_duration(params["wait"], "wait", zero=True))
        else:
            ticket = Ticket(
                *who,
                archive=params["archive"],
                sha256=None,
                expires=expires,
                security=params["security"],
                accept=tuple(sorted(params["accept"])),
                on_failure=params["on_failure"],
                volumes={point: {"path": path, "sha256": None} for point, path in params["volumes"].items()},
            )
            outcome = leave(ticket, params["checksum"] or "", check=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    more: dict[str, t.Any] = {} if outcome.receipt is None else {"receipt": outcome.receipt}
    diff = {"before": outcome.before, "after": outcome.after}
    module.exit_json(changed=outcome.changed, ticket_path=outcome.path, ticket=outcome.after, diff=diff, **more)


if __name__ == "__main__":
    main()
