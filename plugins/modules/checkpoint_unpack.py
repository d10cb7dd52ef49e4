#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_unpack
short_description: Unpack a checkpoint archive into a folder to restore from
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Unpacks a checkpoint archive into a folder. It may lie in a file, in an OCI image on the disk, or in an image in a
    registry. From there it is unpacked while it arrives, without a copy of the archive on the disk.
  - What an image says about the digest of its layer is checked. The folder appears when everything is in it and is on
    the disk.
  - The folder is what M(checkpoint_restore.kubernetes.checkpoint_ticket),
    M(checkpoint_restore.kubernetes.checkpoint_preflight) and M(checkpoint_restore.kubernetes.checkpoint_inspect) take
    in place of an archive.
  - Archives with members that no engine writes are refused, such as links, devices, and names that lead elsewhere.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
options:
  path:
    description:
      - The archive, or an OCI image that holds one, as a layout or a tar file.
      - With C(docker://) and the name of an image, that image in its registry, for example
        V(docker://registry.example.com/checkpoints/web:1).
    type: path
    required: true
  destination:
    description:
      - Absolute path of the folder. It must not be there, unless it was made of the same archive.
      - It belongs to whoever runs the module and has the mode V(0700), and so have folders above it that are missing.
        The files in it have the mode V(0600).
    type: path
    required: true
  checksum:
    description:
      - The SHA-256 that the archive has to have, V(sha256:) in front of it or not. For an image it is the digest of its
        layer as it is stored, which M(checkpoint_restore.kubernetes.checkpoint_info) returns as C(layer_digest).
    type: str
attributes:
  check_mode:
    support: full
    details:
      - Looks whether archive and folder are there, and asks the registry. What is in the archive is not looked at.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - The folder carries the SHA-256 of its archive as an extended attribute. On file systems that cannot keep it, a
        folder that is there is refused.
  platform:
    support: full
    platforms: posix
notes:
  - What is in the folder is the memory of processes, with all their secrets. Remove it when it is no longer needed.
  - Compressed with zstd, archives need Python 3.14, the Python library C(zstandard) or the program C(zstd) on the host.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_image
  - module: checkpoint_restore.kubernetes.checkpoint_ticket
  - ref: Bring a pod back <ansible_collections.checkpoint_restore.kubernetes.docsite.guide_restore>
    description: The playbook that does all of it.
"""

EXAMPLES = r"""
---
- name: Fetch a checkpoint from a registry, ready to be restored
  checkpoint_restore.kubernetes.checkpoint_unpack:
    path: docker://registry.example.com/checkpoints/shop-web-0:2026-11-21
    destination: /var/lib/checkpoint-restore/archives/web-0
    authfile: /root/auth.json
  become: true

- name: Allow the container web of the pod web-0 to be restored from it
  checkpoint_restore.kubernetes.checkpoint_ticket:
    namespace: shop
    pod: web-0
    container: web
    archive: /var/lib/checkpoint-restore/archives/web-0
  become: true
"""

RETURN = r"""
destination:
  description: The folder.
  returned: success
  type: str
  sample: /var/lib/checkpoint-restore/archives/web-0
sha256:
  description:
    - SHA-256 of what was unpacked, 64 hexadecimal digits. For an image that is its layer as it is stored.
    - V(null) in check mode, if it is neither given nor known from an image.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
size:
  description: Bytes of what was unpacked, compressed or not.
  returned: success
  type: int
  sample: 660480
code:
  description:
    - "Stable name of the failure. Of the archive: V(archive_unreadable), V(archive_folder), V(archive_not_tar),
      V(archive_damaged), V(archive_truncated), V(archive_unsafe), V(archive_bomb), V(too_large), V(incremental),
      V(not_a_checkpoint), V(digest_wrong), V(image_unreadable), V(image_missing), V(zstd_missing)."
    - "Of the options and the disk: V(invalid_option), V(destination_exists), V(destination_refused), V(no_space),
      V(interrupted)."
    - Also the codes of M(checkpoint_restore.kubernetes.checkpoint_image) about names, credentials and registries.
  returned: failure
  type: str
  sample: digest_wrong
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.arguments import (
    REGISTRY_EXCLUSIVE,
    REGISTRY_SPEC,
    REGISTRY_TOGETHER,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpacking import unpack_into


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "destination": {"type": "path", "required": True},
            "checksum": {"type": "str"},
            **REGISTRY_SPEC,
        },
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=REGISTRY_EXCLUSIVE,
        supports_check_mode=True,
    )
    try:
        with stop_requested() as stop:
            outcome = unpack_into(module.params, check=module.check_mode, stop=stop)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**outcome._asdict())


if __name__ == "__main__":
    main()
