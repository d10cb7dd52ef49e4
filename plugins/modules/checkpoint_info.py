#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_info
short_description: List checkpoint archives and what is in them
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Lists checkpoint archives with the identity that stands inside each of them. File names play no part in it, because
    they can be read in more than one way.
  - Knows the archives of CRI-O, containerd and Podman, plain or compressed with gzip, bzip2, xz or zstd, folders into
    which one was unpacked, and OCI images that hold one.
  - Of a plain archive only the headers are read. A compressed one has to be read as a whole.
  - An archive that cannot be read is an entry with a reason. It is never left out.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
options:
  paths:
    description:
      - Archives, folders with archives, and patterns such as V(/srv/evidence/*/archives/*.tar).
      - Of a folder, files count whose name begins with C(checkpoint-) or ends like that of an archive, and folders that
        are an unpacked checkpoint. Folders below it are not searched, name them with a pattern.
      - With C(docker://) in front, names of images that are read in their registry, without wildcards.
      - Without it, the folder C(/var/lib/kubelet/checkpoints), and nothing if that does not exist.
    type: list
    elements: path
  namespace:
    description:
      - Only checkpoints from these namespaces. C(*), C(?) and C([]) are wildcards here, and in the options below.
    type: list
    elements: str
    default: []
  pod:
    description:
      - Only checkpoints of these pods.
    type: list
    elements: str
    default: []
  container:
    description:
      - Only checkpoints of these containers.
    type: list
    elements: str
    default: []
  image:
    description:
      - Only checkpoints of containers of these images, by the name that was asked for, the name that the engine has,
        the digest or the ID.
    type: list
    elements: str
    default: []
  older_than:
    description:
      - Only checkpoints that are at least this old, for example V(90s), V(12h), V(1d12h) or a number of seconds.
      - The age is that of the checkpoint. Where it is not recorded (Podman), it is that of the file.
    type: str
  newer_than:
    description:
      - Only checkpoints that are at most this old.
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
notes:
  - An archive that cannot be read fits every O(namespace), O(pod), O(container) and O(image), because nobody can tell
    what is in it.
  - Archives are readable by root alone, so use C(become).
  - Compressed with zstd, archives need Python 3.14, the Python library C(zstandard) or the program C(zstd) on the host.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_inspect
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
"""

EXAMPLES = r"""
---
- name: See which checkpoints a node holds
  checkpoint_restore.kubernetes.checkpoint_info:
  become: true
  register: held

- name: Show the ones that cannot be read
  ansible.builtin.debug:
    msg: "{{ item.path }}: {{ item.reason }}"
  loop: "{{ held.checkpoints | rejectattr('readable') }}"
  loop_control:
    label: "{{ item.path }}"

- name: Find the checkpoints of one workload that are older than a week
  checkpoint_restore.kubernetes.checkpoint_info:
    namespace: shop
    pod: web-*
    older_than: 7d
  become: true
  register: old

- name: Look at what was collected on the controller
  checkpoint_restore.kubernetes.checkpoint_info:
    paths: /srv/evidence/*/archives
  delegate_to: localhost
"""

RETURN = r"""
checkpoints:
  description: The archives, sorted by path.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The archive.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    readable:
      description: Whether it is a checkpoint that can be read. If not, RV(checkpoints[].reason) says why.
      type: bool
    code:
      description:
        - "Stable name of the reason: V(archive_unreadable), V(archive_not_tar), V(archive_damaged), V(zstd_missing),
          V(image_unreadable), V(not_a_checkpoint), V(folder_unreadable). V(null) if it is readable."
        - Of an image in a registry also V(image_missing), and the codes of
          M(checkpoint_restore.kubernetes.checkpoint_image) about names, credentials and registries.
      type: str
      sample: archive_not_tar
    reason:
      description: Why it is not readable, in plain words. V(null) if it is.
      type: str
    message:
      description: The original text of whatever refused. May be empty.
      type: str
    format:
      description:
        - V(tar), V(directory) if unpacked, V(oci-layout), V(image-archive) or V(registry). V(null) if it is not
          readable.
      type: str
      sample: tar
    compression:
      description: V(gzip), V(bzip2), V(xz) or V(zstd). V(null) for none, and if it is not readable.
      type: str
    layer_digest:
      description:
        - Of an image, the digest of its layer as it is stored, which the image's manifest tells. V(null) for all else.
        - Of a layer that is not compressed, it is the SHA-256 of the archive.
      type: str
      sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    reference:
      description:
        - Of an image in a registry, repository and digest, which mean this image and no other. V(null) for all else.
      type: str
      sample: registry.example.com/web@sha256:a044c071480a53b162568f99950b4575421dd416bc41bab1a562debdf4e2bb41
    size:
      description: Bytes, of a folder those of all files in it. V(null) if there is no such file.
      type: int
      sample: 660480
    modified:
      description: When it was last written, UTC. V(null) if there is no such file, and of an image in a registry.
      type: str
      sample: "2026-11-21T09:18:00Z"
    identity:
      description: What the archive says that it is. V(null) stands for what the engine does not record.
      type: dict
      contains:
        engine:
          description: V(CRI-O), V(containerd) or V(Podman).
          type: str
          sample: CRI-O
        engine_version:
          description: What the layout tells about the version, for containerd V(2.0) or V(2.1 or later).
          type: str
        namespace:
          description: Namespace of the pod.
          type: str
          sample: shop
        pod:
          description: Name of the pod.
          type: str
          sample: web-0
        pod_uid:
          description: UID of the pod.
          type: str
        pod_id:
          description: ID of the pod's sandbox.
          type: str
        container:
          description: Name of the container.
          type: str
          sample: web
        container_id:
          description: ID of the container.
          type: str
        attempt:
          description: How often the container had been restarted.
          type: int
          sample: 0
        image:
          description: The image as the pod asks for it.
          type: str
          sample: registry.example.com/shop/web:1
        image_name:
          description: The image as the engine names it.
          type: str
        image_digest:
          description: Digest of the image's manifest.
          type: str
        image_id:
          description: ID of the image on the node.
          type: str
        runtime:
          description: The runtime handler.
          type: str
          sample: crun
        node:
          description: Host name of the node.
          type: str
          sample: node-a
        kernel:
          description: Release of the node's kernel.
          type: str
          sample: 6.18.0
        criu_version:
          description: Version of CRIU.
          type: str
          sample: 4.2.1
        architecture:
          description: Architecture of the node.
          type: str
          sample: x86_64
        created:
          description: When the container was created, UTC.
          type: str
          sample: "2026-11-21T08:00:00Z"
        checkpointed:
          description: When the checkpoint was made, UTC.
          type: str
          sample: "2026-11-21T09:18:00Z"
        ip_addresses:
          description: Addresses of the pod.
          type: list
          elements: str
          sample: [10.88.1.4]
    notes:
      description: What is odd about a readable archive, for example that it is cut short.
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
    escaped:
      description:
        - The places in this entry whose text had bytes that are not UTF-8. They are escaped as C(\xNN), and backslashes
          there are doubled.
      type: list
      elements: str
code:
  description: V(invalid_option) for an age that cannot be understood.
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.listing import Filters, listing
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.arguments import (
    REGISTRY_EXCLUSIVE,
    REGISTRY_SPEC,
    REGISTRY_TOGETHER,
    opener,
)


def main() -> None:
    names: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path"},
            "namespace": names,
            "pod": names,
            "container": names,
            "image": names,
            "older_than": {"type": "str"},
            "newer_than": {"type": "str"},
            **REGISTRY_SPEC,
        },
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=REGISTRY_EXCLUSIVE,
        supports_check_mode=True,
    )
    params = module.params
    try:
        ages = {
            option: parse_duration(params[option], option)
            for option in ("older_than", "newer_than")
            if params[option] is not None
        }
        filters = Filters(
            namespaces=params["namespace"],
            pods=params["pod"],
            containers=params["container"],
            images=params["image"],
            **ages,
        )
        checkpoints = listing(params["paths"], filters, opened=opener(params))
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(changed=False, checkpoints=checkpoints)


if __name__ == "__main__":
    main()
