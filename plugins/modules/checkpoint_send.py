#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_send
short_description: Send a checkpoint archive to another machine, directly and encrypted
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Sends an archive to where M(checkpoint_restore.kubernetes.checkpoint_receive) waits for it, and returns when it has
    been unpacked there and found to be the right one.
  - Runs on the machine where the archive lies, which may be the controller. It reads the archive once, and its memory
    does not grow with it.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options:
  path:
    description:
      - Absolute path of the archive. It must not be a symbolic link.
    type: path
    required: true
  offer:
    description:
      - What M(checkpoint_restore.kubernetes.checkpoint_receive) returned as
          RV(checkpoint_restore.kubernetes.checkpoint_receive#module:offer).
    type: dict
    required: true
    suboptions:
      addresses:
        description:
          - Addresses of the target. All are tried at once, for ten seconds in all, and the first that lets in is used.
        type: list
        elements: str
        required: true
      port:
        description:
          - The port.
        type: int
        required: true
      identity:
        description:
          - The certificate of both ends and its private key.
        type: str
        required: true
      checksum:
        description:
          - The SHA-256 that the archive has to have.
        type: str
        required: true
      size:
        description:
          - The bytes that the archive has to have.
        type: int
        required: true
      expires:
        description:
          - When the transfer has to be over. Seconds since 1970.
        type: int
        required: true
attributes:
  check_mode:
    support: full
    details:
      - Sees that the archive is there and has the right size. Connects to nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - An offer is good for one transfer. M(checkpoint_restore.kubernetes.checkpoint_receive) makes none if there is
        nothing to do.
  platform:
    support: full
    platforms: posix
notes:
  - Archives belong to root, so use C(become) on nodes.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_receive
  - module: checkpoint_restore.kubernetes.checkpoint_fetch
"""

EXAMPLES = r"""
---
- name: Send the archive to where it is waited for
  checkpoint_restore.kubernetes.checkpoint_send:
    path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    offer: "{{ door.offer }}"
  delegate_to: worker-1
  become: true
"""

RETURN = r"""
destination:
  description: The folder that the archive has become on the target.
  returned: success and not in check mode
  type: str
  sample: /srv/checkpoints/web-0
sha256:
  description: SHA-256 of what arrived.
  returned: success and not in check mode
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
size:
  description: Bytes that arrived.
  returned: success and not in check mode
  type: int
  sample: 660480
seconds:
  description: How long it took until the target had it all unpacked and on its disk.
  returned: success and not in check mode
  type: float
  sample: 2.317
code:
  description:
    - "Stable name of the reason: V(target_unreachable) if none of the addresses lets in, V(connection_lost),
      V(offer_expired), V(identity_invalid), V(size_wrong), V(digest_wrong), V(path_invalid), V(archive_missing),
      V(archive_is_link), V(archive_not_a_file), V(archive_unreadable)."
    - "What the target found: V(digest_wrong), V(too_large), V(archive_truncated), V(archive_not_tar),
      V(archive_damaged), V(archive_unsafe), V(archive_bomb), V(not_a_checkpoint), V(incremental), V(zstd_missing),
      V(no_space), V(destination_exists), V(destination_refused)."
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.sending import Offer, check, send


def main() -> None:
    text: dict[str, t.Any] = {"type": "str", "required": True}
    number: dict[str, t.Any] = {"type": "int", "required": True}
    offered = {
        "addresses": {"type": "list", "elements": "str", "required": True},
        "port": number,
        "identity": {**text, "no_log": True},
        "checksum": text,
        "size": number,
        "expires": number,
    }
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "offer": {"type": "dict", "required": True, "options": offered},
        },
        supports_check_mode=True,
    )
    path, offer = module.params["path"], Offer(**module.params["offer"])
    try:
        if module.check_mode:
            check(path, offer)
            module.exit_json(changed=True)
        sent = send(path, offer)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(changed=True, **sent._asdict())


if __name__ == "__main__":
    main()
