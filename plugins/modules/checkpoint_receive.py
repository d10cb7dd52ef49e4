#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_receive
short_description: Have a node take a checkpoint archive from another machine, directly and encrypted
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Opens a door on the node and returns at once. What M(checkpoint_restore.kubernetes.checkpoint_send) sends to it is
    unpacked while it arrives, and becomes a folder if it has the right SHA-256. Such a folder is an archive for
    M(checkpoint_restore.kubernetes.checkpoint_ticket), M(checkpoint_restore.kubernetes.checkpoint_preflight) and
    M(checkpoint_restore.kubernetes.checkpoint_inspect).
  - The connection is TLS 1.3. Both ends show the same certificate, which is made on the controller for this transfer
    alone, and take no other. One is let in, then the door closes. Whoever has another certificate, or none, is sent
    away and keeps nobody from it.
  - A process in the background waits and receives. It ends with the transfer, five minutes after the start if nobody
    came, a minute after the last sign of life of the other end, and at the end of O(expires_in). If the archive has not
    become whole by then, nothing is left of it.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options:
  state:
    description:
      - V(present) opens the door, unless O(destination) is there already and was made of this archive.
      - V(absent) closes it, if it is still open, ends a transfer that is under way, and removes what is not whole. A
        folder that is whole stays.
    type: str
    choices: [present, absent]
    default: present
  destination:
    description:
      - Absolute path of the folder that the archive is to become, mode V(0700), its files V(0600). Folders above it
        are made if they are missing, with mode V(0700).
      - A folder that is there already is never changed.
    type: path
    required: true
  checksum:
    description:
      - The SHA-256 of the archive, V(sha256:) in front of it or not.
      - Required with O(state=present).
    type: str
  size:
    description:
      - The size of the archive in bytes. Not a byte more is taken.
      - Required with O(state=present).
    type: int
  address:
    description:
      - The IP address of the node to listen at. If not given, it listens at all, and RV(offer.addresses) has those that
        others may reach.
    type: str
  port:
    description:
      - The port to listen at, for firewalls. With V(0) the system takes one that is free.
    type: int
    default: 0
  expires_in:
    description:
      - How long the transfer may take until it is over, for example V(90s), V(2h) or a number of seconds. The
        certificate is valid as long.
    type: str
    default: 1h
  identity:
    description:
      - The certificate and its private key, in PEM, and that in base64 without line breaks. If not given, they are made
        on the controller.
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - If O(destination) was made of this archive, there is nothing to do. Until then, each run needs a sender.
  platform:
    support: full
    platforms: linux
notes:
  - RV(offer) holds a private key, so use C(no_log) for the task. Who has it may send an archive in place of the right
    one, which is refused because of its SHA-256.
  - Archives are restored by root only from folders that are root's, so use C(become).
  - The clocks of the three machines have to agree within ten minutes.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_send
  - module: checkpoint_restore.kubernetes.checkpoint_fetch
"""

EXAMPLES = r"""
---
- name: Open a door for the archive
  checkpoint_restore.kubernetes.checkpoint_receive:
    destination: /srv/checkpoints/web-0
    checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size: 660480
  delegate_to: worker-2
  become: true
  no_log: true
  register: door

- name: Send it there
  checkpoint_restore.kubernetes.checkpoint_send:
    path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    offer: "{{ door.offer }}"
  delegate_to: worker-1
  become: true

- name: Close the door if it was not used
  checkpoint_restore.kubernetes.checkpoint_receive:
    destination: /srv/checkpoints/web-0
    state: absent
  delegate_to: worker-2
  become: true
"""

RETURN = r"""
destination:
  description: The folder, as O(destination).
  returned: success
  type: str
  sample: /srv/checkpoints/web-0
offer:
  description:
    - What M(checkpoint_restore.kubernetes.checkpoint_send) needs. B(It holds a private key.)
    - Empty in check mode, with O(state=absent), and if O(destination) was made of this archive already.
  returned: success
  type: dict
  contains:
    addresses:
      description: Where the node listens. What it would use itself to reach others comes first.
      type: list
      elements: str
      sample: ["10.0.0.12"]
    port:
      description: The port.
      type: int
      sample: 34121
    identity:
      description: The certificate and its private key, as O(identity).
      type: str
    checksum:
      description: The SHA-256 that the archive has to have.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size:
      description: The bytes that the archive has to have.
      type: int
      sample: 660480
    expires:
      description: When the transfer has to be over, by the clock of the node. Seconds since 1970.
      type: int
      sample: 1795252680
code:
  description:
    - "Stable name of the reason: V(invalid_option), V(identity_invalid), V(library_missing), V(destination_exists),
      V(destination_busy), V(destination_refused), V(claim_untrusted), V(no_space), V(listen_failed), V(not_started)."
    - "With O(state=absent): V(still_receiving), V(claim_untrusted), V(destination_refused)."
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.receiving import (
    check_place,
    close_door,
    open_door,
    wanted,
)


def main() -> None:
    """The node's half. The action plugin of the same name makes the certificate and adds it to the offer."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "destination": {"type": "path", "required": True},
            "checksum": {"type": "str"},
            "size": {"type": "int"},
            "address": {"type": "str"},
            "port": {"type": "int", "default": 0},
            "expires_in": {"type": "str", "default": "1h"},
            "identity": {"type": "str", "no_log": True},
        },
        required_if=[("state", "present", ["checksum", "size"])],
        supports_check_mode=True,
    )
    params = module.params
    result: dict[str, t.Any] = {"changed": False, "destination": params["destination"], "offer": {}}
    try:
        if params["state"] == "absent":
            result["changed"] = close_door(params["destination"], check=module.check_mode)
            module.exit_json(**result)
        what = wanted(params["destination"], params["checksum"], params["size"])
        seconds = parse_duration(params["expires_in"], "expires_in")
        where = {"address": params["address"] or "", "port": params["port"]}
        result["changed"] = not what.is_there
        if result["changed"] and module.check_mode:
            check_place(what, **where)
        elif result["changed"]:
            offer = open_door(what, params["identity"] or "", seconds=seconds, **where)
            result["offer"] = {**offer, "checksum": what.sha256, "size": what.size}
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
