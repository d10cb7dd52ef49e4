#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_diff
short_description: Compare two checkpoints of the same workload
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Says what is different between two checkpoints. The containers need not be the same, so a workload can be compared
    across restarts, nodes, runtimes and versions of its image.
  - Processes belong together by their place in the tree, their program, command line and name. Within one container
    they belong together by their PID.
  - Secret values of the environment and of command lines are compared and not shown.
  - The same two archives always give the same result.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
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
options:
  before:
    description:
      - The archive of the earlier checkpoint. Also a folder that it was unpacked to, or an OCI image that holds one.
      - With C(docker://) and the name of an image, that image in its registry. Nearly all of it is fetched.
    type: path
    required: true
  after:
    description:
      - The archive of the later checkpoint, as O(before).
      - If both are in registries, the options for a registry hold for both.
    type: path
    required: true
notes:
  - Pages of areas that lie elsewhere than before are compared by their place within the area. Where addresses are
    randomized, pages that hold addresses differ after a restart.
  - The numbers of pipes, sockets, mounts and processes, and where files of the pod lie on the node, do not count as
    differences.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_inspect
  - module: checkpoint_restore.kubernetes.checkpoint_search
"""

EXAMPLES = r"""
---
- name: See what happened in a container between two checkpoints
  checkpoint_restore.kubernetes.checkpoint_diff:
    before: ./evidence/monday.tar
    after: ./evidence/tuesday.tar
  register: compared

- name: Show it in words
  ansible.builtin.debug:
    var: compared.summary

- name: Fail if a process has got capabilities since
  ansible.builtin.assert:
    that: compared.processes.changed | map(attribute='capabilities') | flatten | map(attribute='added') | flatten == []
"""

RETURN = r"""
summary:
  description: What is different, in words, one sentence for each thing. One sentence alone if nothing is.
  type: list
  elements: str
  returned: success
  sample:
    - "1 process is new: sh (PID 31)"
    - "nginx (PID 1): gained CAP_SYS_ADMIN; socket: 1 new; of 420 pages 12 changed, 3 new, and 0 gone besides"
before:
  description: Which container the earlier one is, in the shape of M(checkpoint_restore.kubernetes.checkpoint_info).
  type: dict
  returned: success
  sample:
    namespace: shop
    pod: web-0
after:
  description: The same of the later one.
  type: dict
  returned: success
  sample:
    namespace: shop
    pod: web-0
identity:
  description: Which of these facts are different.
  type: list
  elements: dict
  returned: success
  contains: &change
    name:
      description: The name of the fact.
      type: str
      sample: node
    before:
      description: What it was.
      type: raw
      sample: crio-a
    after:
      description: What it is.
      type: raw
      sample: ctd-b
processes:
  description: Processes.
  type: dict
  returned: success
  contains:
    same:
      description: How many are the same in every respect.
      type: int
      sample: 3
    added:
      description: Those that are new, by PID.
      type: list
      elements: dict
      contains: &process
        pid:
          description: The PID.
          type: int
          sample: 31
        ppid:
          description: The PID of the parent.
          type: int
          sample: 1
        name:
          description: The name.
          type: str
          sample: sh
        state:
          description: The state.
          type: str
          sample: running
        executable:
          description: The program, V(none) for a zombie.
          type: str
          sample: /bin/dash
        arguments:
          description: The command line without secrets, V(none) where it is not known.
          type: list
          elements: str
          sample: [sh, -i]
        files:
          description: Its open files, as M(checkpoint_restore.kubernetes.checkpoint_inspect) has them.
          type: list
          elements: dict
        sockets:
          description: Its sockets.
          type: list
          elements: dict
    removed:
      description: Those that are gone, by PID.
      type: list
      elements: dict
      contains: *process
    changed:
      description: Those that are different, by their PID in the later checkpoint.
      type: list
      elements: dict
      contains:
        pid:
          description: The PID in the later checkpoint.
          type: int
          sample: 1
        pid_before:
          description: The PID in the earlier one.
          type: int
          sample: 1
        name:
          description: The name in the later one.
          type: str
          sample: nginx
        executable:
          description: The program in the later one.
          type: str
          sample: /usr/sbin/nginx
        attributes:
          description: What is different about name, program, command line, credentials, limits, threads and so on.
          type: list
          elements: dict
          contains: *change
        capabilities:
          description: Sets of capabilities that are different.
          type: list
          elements: dict
          contains:
            set:
              description: The set, for example V(effective).
              type: str
              sample: effective
            added:
              description: What it has got.
              type: list
              elements: str
              sample: [CAP_SYS_ADMIN]
            removed:
              description: What it has lost.
              type: list
              elements: str
              sample: []
        environment:
          description: Variables of the environment. Secrets are masked.
          type: dict
          contains:
            added:
              description: New variables with C(name) and C(value).
              type: list
              elements: dict
              sample:
                - name: LD_PRELOAD
                  value: /tmp/x.so
            removed:
              description: Variables that are gone, with C(name) and C(value).
              type: list
              elements: dict
            changed:
              description: Variables with another value.
              type: list
              elements: dict
              contains: *change
        files:
          description: Open files that are no sockets.
          type: dict
          contains: &descriptors
            added:
              description: Those that are new, as M(checkpoint_restore.kubernetes.checkpoint_inspect) has them.
              type: list
              elements: dict
            removed:
              description: Those that are gone.
              type: list
              elements: dict
            changed:
              description: Those that are different.
              type: list
              elements: dict
              contains:
                fd:
                  description: The descriptor in the later checkpoint.
                  type: int
                  sample: 4
                type:
                  description: Its type.
                  type: str
                  sample: file
                path:
                  description: Its path or name.
                  type: str
                  sample: /var/log/app.log
                changes:
                  description: What is different.
                  type: list
                  elements: dict
                  contains: *change
        sockets:
          description: Sockets, in the same shape.
          type: dict
          contains: *descriptors
        areas:
          description: Memory areas.
          type: dict
          contains:
            added:
              description: Areas that are new.
              type: list
              elements: dict
            removed:
              description: Areas that are gone.
              type: list
              elements: dict
            changed:
              description: Areas with another size, permission, flag or advice, as C(before), C(after) and C(changes).
              type: list
              elements: dict
            moved:
              description: How many areas lie at another address.
              type: int
              sample: 0
        pages:
          description: Pages that were dumped, compared by hash.
          type: dict
          contains:
            page_size:
              description: The size of a page in bytes.
              type: int
              sample: 4096
            same:
              description: How many are the same.
              type: int
              sample: 405
            changed:
              description: How many have another content.
              type: int
              sample: 12
            added:
              description: How many were dumped only in the later checkpoint.
              type: int
              sample: 3
            gone:
              description: How many were dumped only in the earlier one.
              type: int
              sample: 0
            areas:
              description: The areas with differences, by address.
              type: list
              elements: dict
              contains:
                start:
                  description: The first address in the later checkpoint, or in the earlier one if it is gone.
                  type: str
                  sample: "0x55e0c8a4f000"
                end:
                  description: The address behind the last.
                  type: str
                  sample: "0x55e0c8a70000"
                permissions:
                  description: As in C(/proc/PID/maps).
                  type: str
                  sample: rw-p
                kind:
                  description: What it is.
                  type: str
                  sample: heap
                name:
                  description: Its name.
                  type: str
                  sample: "[heap]"
                same:
                  description: How many pages are the same.
                  type: int
                  sample: 20
                changed:
                  description: How many pages have another content.
                  type: int
                  sample: 11
                added:
                  description: How many pages are new.
                  type: int
                  sample: 2
                gone:
                  description: How many pages are gone.
                  type: int
                  sample: 0
                ranges:
                  description: The first 16 ranges of such pages, with C(what), C(address) and the number of C(pages).
                  type: list
                  elements: dict
                  sample:
                    - what: changed
                      address: "0x55e0c8a51000"
                      pages: 4
                more_ranges:
                  description: How many ranges there are besides.
                  type: int
                  sample: 0
mounts:
  description: Mounts by their mount points.
  type: dict
  returned: success
  contains: &table
    added:
      description: What is new, with its C(name).
      type: list
      elements: dict
    removed:
      description: What is gone, with its C(name).
      type: list
      elements: dict
    changed:
      description: What is different.
      type: list
      elements: dict
      contains:
        name:
          description: The mount point or path.
          type: str
          sample: /data
        changes:
          description: What is different about it.
          type: list
          elements: dict
          contains: *change
contents:
  description: What pipes, sockets, memfds, shared memory, deleted files, terminals and tmpfs hold, compared by hash.
  type: dict
  returned: success
  contains:
    added:
      description: What is new, each with C(kind), C(name), C(size) and C(sha256).
      type: list
      elements: dict
    removed:
      description: What is gone.
      type: list
      elements: dict
    changed:
      description: What is different, each with C(kind), C(name) and C(changes).
      type: list
      elements: dict
rootfs:
  description: Files that were changed since the image, by path.
  type: dict
  returned: success
  contains:
    <<: *table
    deleted:
      description: Files of the image that are deleted in one checkpoint alone.
      type: dict
      contains:
        added:
          description: Deleted since.
          type: list
          elements: str
          sample: [/usr/bin/curl]
        removed:
          description: Not deleted any more.
          type: list
          elements: str
          sample: []
notes:
  description: What was odd in an archive. Each is a warning of the task as well.
  type: list
  elements: dict
  returned: success
  contains:
    archive:
      description: V(before) or V(after).
      type: str
      sample: before
    code:
      description: Stable name of the reason, for example V(image_missing).
      type: str
      sample: image_missing
    text:
      description: The reason in plain words.
      type: str
      sample: The pages themselves are missing
    where:
      description: The member that it is about. Empty for the archive as a whole.
      type: str
      sample: pages-3.img
escaped:
  description:
    - The places in this result whose text is not UTF-8. There each such byte is C(\xNN), and each backslash is doubled.
  type: list
  elements: str
  returned: success
  sample: []
code:
  description:
    - "Stable name of the reason: V(archive_unreadable), V(archive_not_tar), V(archive_damaged), V(zstd_missing),
      V(image_unreadable) or V(not_a_checkpoint)."
    - Of an image in a registry also V(image_missing), and the codes of
      M(checkpoint_restore.kubernetes.checkpoint_image) about names, credentials and registries.
  returned: failure
  type: str
  sample: archive_not_tar
reason:
  description: What happened, in plain words.
  returned: failure
  type: str
  sample: The archive could not be opened
hint:
  description: What to do next. May be empty.
  returned: failure
  type: str
  sample: ""
message:
  description: The original text of whatever refused. May be empty.
  returned: failure
  type: str
  sample: "[Errno 2] No such file or directory"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.diff import diff
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.arguments import (
    REGISTRY_EXCLUSIVE,
    REGISTRY_SPEC,
    REGISTRY_TOGETHER,
    opener,
)


def main() -> None:
    path = {"type": "path", "required": True}
    module = AnsibleModule(
        argument_spec={"before": path, "after": path, **REGISTRY_SPEC},
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=REGISTRY_EXCLUSIVE,
        supports_check_mode=True,
    )
    opened = opener(module.params)
    try:
        with opened(module.params["before"]) as before, opened(module.params["after"]) as after:
            result = diff(Checkpoint(before), Checkpoint(after))
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    for note in result["notes"]:
        where = f"{note['archive']}: {note['where']}" if note["where"] else note["archive"]
        module.warn(f"{note['text']} ({where})")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
