#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_fetch
short_description: Bring checkpoint archives from a node to the controller, whole and verified
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Brings checkpoint archives from a node to the controller. An archive is hashed on the node, streamed over the
    connection of the task, hashed again as it arrives, and gets its name only when both digests are equal.
  - Neither side holds more than a few megabytes of an archive in memory, and no second copy is made on the node, also
    when the login is not root and the archive is read with C(become).
  - A transfer that was cut off leaves a file whose name ends in C(.partial). The next run hashes it and goes on from
    there. Nothing with a final name is ever overwritten or removed, and the archive on the node is only read.
  - Archives hold the memory of processes, passwords and keys included. They are written with mode V(0600), in a
    directory that is created with mode V(0700).
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options:
  archives:
    description:
      - The archives to bring. Each is attempted, whatever happens to the others.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - Absolute path of the archive on the node.
          - The file itself must not be a symbolic link.
        type: str
        required: true
      name:
        description:
          - Name of the file in O(destination). Letters, digits, dots, dashes and underscores.
          - If not given, the archive's own name is used with a dash for every other character, colons included.
        type: str
  destination:
    description:
      - Directory on the controller. Created with mode V(0700) if it is missing.
      - A relative path is relative to where C(ansible-playbook) was started.
    type: path
    required: true
  ignore_failures:
    description:
      - Do not fail the task when an archive, or the node, fails. RV(failures) says what did.
    type: bool
    default: false
  progress:
    description:
      - Show a line every few seconds while a transfer lasts. Nothing is shown under C(no_log).
    type: bool
    default: true
  stall_timeout:
    description:
      - Give a transfer up when not a byte arrived for this many seconds.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    details:
      - Reads and hashes the archives on the node, and tells what would be fetched. Writes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - An archive that is in O(destination) with the same digest is not fetched again.
  platform:
    support: full
    platforms: posix
notes:
  - Over the P(ansible.builtin.ssh#connection) connection with keys, without C(become) or with C(become) by C(sudo), an
    archive is one stream (RV(archives[].way=ssh)). Everything else (passwords for SSH, C(su), other connection plugins)
    reads it in blocks of 4 MiB, one command each (RV(archives[].way=exec)), which is slower.
  - The stream has an SSH connection of its own, made in the same way, because Ansible's shared one (C(ControlPersist))
    compresses. Where a second connection is not to be had, the shared one is used.
  - Do not run this with E(ANSIBLE_DEBUG) set. Ansible's own debug output shows what commands print, and that may be an
    archive.
seealso:
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
  - module: checkpoint_restore.kubernetes.checkpoint_evidence
"""

EXAMPLES = r"""
---
- name: Bring one archive home
  checkpoint_restore.kubernetes.checkpoint_fetch:
    archives:
      - path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    destination: ./evidence
  become: true

- name: Bring two archives under names of our own, and go on with what arrived
  checkpoint_restore.kubernetes.checkpoint_fetch:
    archives:
      - path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
        name: web-0.tar
      - path: /var/lib/kubelet/checkpoints/checkpoint-web-1_shop-web-2026-11-21T09:18:01Z.tar
        name: web-1.tar
    destination: /srv/evidence/case-42
    ignore_failures: true
  become: true
  register: fetched
"""

RETURN = r"""
archives:
  description: The archives that are in O(destination) now, or would be in check mode, sorted by path.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path on the node.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    destination:
      description: Absolute path on the controller.
      type: str
      sample: /srv/evidence/case-42/web-0.tar
    size:
      description: Bytes.
      type: int
      sample: 660480
    sha256:
      description: SHA-256 of what is on the controller. V(null) in check mode if it is not there yet.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    node_sha256:
      description: SHA-256 computed on the node.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    mtime:
      description: When the archive was last written, by the node's clock, UTC.
      type: str
      sample: "2026-11-21T09:18:00.412345Z"
    mode:
      description: Mode of the archive on the node.
      type: str
      sample: "0600"
    owner:
      description: Owner of the archive on the node.
      type: str
      sample: root
    fetched:
      description: When the archive was verified here, by the controller's clock, UTC. V(null) if nothing was fetched.
      type: str
      sample: "2026-11-21T09:19:10.000000Z"
    changed:
      description: Whether the archive was fetched by this task, or would be.
      type: bool
    resumed_from:
      description: Offset in bytes at which an earlier transfer was continued. V(null) if it began at the beginning.
      type: int
    duration:
      description: Seconds that the transfer took. V(null) if there was none.
      type: float
      sample: 1.25
    way:
      description: V(ssh) for one stream, V(exec) for blocks. V(null) if there was no transfer.
      type: str
      sample: ssh
failures:
  description: The archives that did not arrive, sorted by path.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path on the node.
      type: str
    name:
      description: The name it would have got here.
      type: str
    code:
      description:
        - Stable name of the reason.
        - "About the archive: V(archive_missing), V(archive_is_link), V(archive_not_a_file), V(archive_unreadable),
          V(archive_changing), V(path_invalid)."
        - "About the destination: V(destination_exists), V(destination_unsafe), V(destination_busy),
          V(destination_full), V(destination_refused), V(name_unsafe), V(name_taken)."
        - "About the way: V(transfer_cut), V(transfer_stalled), V(remote_read_failed), V(digest_mismatch),
          V(node_unreachable), V(node_failed)."
      type: str
      sample: transfer_cut
    reason:
      description: What happened, in plain words.
      type: str
    hint:
      description: What to do next. May be empty.
      type: str
    message:
      description: The original text of whatever refused. May be empty.
      type: str
    retryable:
      description: Whether the same task, run again, may succeed without anything being repaired.
      type: bool
code:
  description: RV(failures[].code) of the first failure.
  returned: failure
  type: str
  sample: transfer_cut
node:
  description: The node, for the custody record. Empty if O(archives) was empty or the node could not be asked.
  returned: always
  type: dict
  contains:
    hostname:
      description: The node's own name.
      type: str
      sample: crio-a
    kernel:
      description: Release of the kernel.
      type: str
      sample: 6.18.0
    machine:
      description: Architecture.
      type: str
      sample: x86_64
    criu_version:
      description: Version that C(criu --version) tells. V(null) if there is no C(criu) in the search path.
      type: str
      sample: 4.2.1
    clock:
      description: The node's clock when it was asked, UTC.
      type: str
      sample: "2026-11-21T09:18:05.000000Z"
    clock_offset:
      description: Seconds by which the node's clock is ahead of the controller's.
      type: float
      sample: 0.12
    clock_offset_error:
      description: Seconds by which RV(node.clock_offset) may be wrong either way.
      type: float
      sample: 0.4
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.arguments import ARGUMENT_SPEC
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.node import (
    describe_archives,
    node_facts,
)


def main() -> None:
    """The node's half: hash what is there. The action plugin of the same name does the rest."""
    clock_first = time.time()
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    archives, failures = describe_archives(archive["path"] for archive in module.params["archives"])
    module.exit_json(
        changed=False,
        archives=archives,
        failures=failures,
        node=node_facts(),
        clock_first=clock_first,
        clock_last=time.time(),
    )


if __name__ == "__main__":
    main()
