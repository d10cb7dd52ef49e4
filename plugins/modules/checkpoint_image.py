#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_image
short_description: Make an OCI image of a checkpoint archive
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Makes the image that CRI-O and containerd restore a container from, and pushes it to a registry, or writes it into
    an OCI image layout or a tar file. An image is also a safe place to keep an archive.
  - Runs where the archive lies, with Python's standard library alone. The archive goes from its file to the registry in
    one pass, with flat memory and without another copy on the disk.
  - The image's layer is the archive, byte for byte. Uncompressed, its digest is the SHA-256 of the archive.
  - The same archive with the same options gives the same image. If it is there already, nothing is changed, and a blob
    that the repository has is not sent.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
options:
  path:
    description:
      - The archive. It may be compressed, and it may be in an OCI layout or archive itself.
    type: path
    required: true
  name:
    description:
      - Name of the image, with registry and repository. Without a tag it is C(latest).
      - Without O(layout) and O(file) the image is pushed there. With them it is the name in the index.
      - A tag that another image has is moved to this one.
    type: str
    required: true
  layout:
    description:
      - Folder with an OCI image layout to which the image is added. It is made if it is missing.
    type: path
  file:
    description:
      - Tar file for the image, an OCI archive. A file that is there and is not this image is never overwritten.
    type: path
  compression:
    description:
      - How the layer is compressed. V(none) is the fastest by far where the network is fast.
      - V(gzip) takes many times as long. V(zstd) is faster and smaller than that, and needs Python 3.14, the Python
        library C(zstandard) or the program C(zstd) on the host.
      - Compressors change between versions. The same archive on another machine may give a compressed layer with
        another digest. An image with the same content counts as the same nevertheless.
    type: str
    choices: [none, gzip, zstd]
    default: none
attributes:
  check_mode:
    support: full
    details:
      - Reads the archive and asks the registry. The digest of an image that would be made is not known then.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
notes:
  - Whoever can pull the image can read the memory of the container. Use a repository that few can read.
  - Archives are readable by root alone, so use C(become).
  - A runtime restores only archives of its own kind by image, and only where that is switched on. CRI-O needs the base
    image on the node. See the guide for versions.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_info
  - module: checkpoint_restore.kubernetes.checkpoint_inspect
  - ref: Checkpoints as images <ansible_collections.checkpoint_restore.kubernetes.docsite.guide_checkpoint_image>
    description: What is in the image, and where it can be restored.
"""

EXAMPLES = r"""
---
- name: Push a checkpoint from the node where it was taken
  checkpoint_restore.kubernetes.checkpoint_image:
    path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    name: registry.example.com/checkpoints/shop-web-0:2026-11-21
    username: pusher
    password: "{{ vault_pusher_password }}"
    ca_cert: /etc/ssl/certs/registry-ca.pem
  become: true
  register: pushed

- name: Show what a pod has to ask for
  ansible.builtin.debug:
    var: pushed.reference

- name: Push with the pull secret of a namespace
  checkpoint_restore.kubernetes.checkpoint_image:
    path: "{{ archive }}"
    name: registry.example.com/checkpoints/shop-web-0:2026-11-21
    pull_secret: "{{ secret.resources[0].data['.dockerconfigjson'] | b64decode }}"
  become: true

- name: Keep evidence as one file that any tool for images can read
  checkpoint_restore.kubernetes.checkpoint_image:
    path: /srv/evidence/20261121T091800Z-shop/archives/node-a_shop_web-0_web_2026-11-21T091800Z.tar
    name: registry.example.com/evidence/shop-web-0:20261121
    file: /srv/evidence/images/shop-web-0.tar
    compression: zstd
  delegate_to: localhost
"""

RETURN = r"""
name:
  description: Name of the image.
  returned: success
  type: str
  sample: registry.example.com/checkpoints/shop-web-0:2026-11-21
digest:
  description: Digest of the image's manifest. V(null) in check mode, if the image would have to be made.
  returned: success
  type: str
  sample: sha256:a044c071480a53b162568f99950b4575421dd416bc41bab1a562debdf4e2bb41
reference:
  description: Repository and digest, which mean this image and no other. V(null) where RV(digest) is.
  returned: success
  type: str
  sample: registry.example.com/checkpoints/web@sha256:a044c071480a53b162568f99950b4575421dd416bc41bab1a562debdf4e2bb41
layer:
  description: Descriptor of the image's only layer. V(null) where RV(digest) is.
  returned: success
  type: dict
  contains:
    mediaType:
      description: Media type, which tells the compression.
      type: str
      sample: application/vnd.oci.image.layer.v1.tar
    digest:
      description: Digest of the layer as it is stored.
      type: str
    size:
      description: Bytes of the layer as it is stored.
      type: int
archive_sha256:
  description:
    - SHA-256 of the archive, of a compressed one that of its uncompressed content. V(null) in check mode, if it was not
      needed to tell whether the image is there.
  returned: success
  type: str
annotations:
  description:
    - Annotations of the image's manifest. By V(io.kubernetes.cri-o.annotations.checkpoint.name) CRI-O takes it for a
      checkpoint, by V(org.criu.checkpoint.container.name) containerd does.
  returned: success
  type: dict
architecture:
  description: Architecture of the image, which is that of the processes in it, as images name it.
  returned: success
  type: str
  sample: amd64
created:
  description: When the checkpoint was made, UTC.
  returned: success
  type: str
  sample: "2026-11-21T09:18:00Z"
replaced:
  description: Digest of the image that had the name before. V(null) if none had, or it is the same.
  returned: success
  type: str
bytes_sent:
  description: Bytes that went to the registry or the disk. V(0) if the image is there already.
  returned: success
  type: int
notes:
  description: What is odd about the archive.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: Stable name.
      type: str
    text:
      description: What it is, in plain words.
      type: str
    where:
      description: The member of the archive. May be empty.
      type: str
code:
  description:
    - 'Stable name of the failure. Of the archive: V(archive_unreadable), V(archive_not_tar), V(archive_damaged),
      V(archive_changing), V(archive_unsafe), V(archive_folder), V(architecture_unknown), V(image_unreadable),
      V(not_a_checkpoint).'
    - 'Of the options and this machine: V(name_invalid), V(ca_unusable), V(credentials_unusable), V(zstd_missing),
      V(compression_failed), V(interrupted).'
    - 'Of the registry: V(registry_unreachable), V(registry_insecure), V(certificate_untrusted), V(unauthorized),
      V(denied), V(token_refused), V(repository_unknown), V(registry_busy), V(registry_cut), V(registry_failed),
      V(upload_refused).'
    - 'Of the disk: V(destination_full), V(destination_exists), V(destination_in_use), V(destination_busy),
      V(destination_unsafe), V(destination_refused).'
  returned: failure
  type: str
  sample: certificate_untrusted
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
path:
  description: The archive, file or folder that the failure is about, if it is about one.
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.make import Wish, make_image
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.place import place_for
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import parse_name


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "layout": {"type": "path"},
            "file": {"type": "path"},
            "compression": {"type": "str", "choices": ["none", "gzip", "zstd"], "default": "none"},
            **REGISTRY_SPEC,
        },
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=[("layout", "file"), *REGISTRY_EXCLUSIVE],
        supports_check_mode=True,
    )
    params = module.params
    try:
        name = parse_name(params["name"])
        wish = Wish(params["path"], name, params["compression"], module.check_mode)
        with stop_requested() as stop, place_for(name, params) as place:
            result = make_image(wish, place, stop)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
