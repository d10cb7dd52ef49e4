#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runtime_checkpoint
short_description: Checkpoint a container on its node, without kubelet and container runtime
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Freezes one container, has runc or crun dump it, and writes an archive as its container runtime would write it. The
    memory is written once.
  - All changes of its root file system are in the archive. They are read from its overlay.
  - With O(leave=frozen) the container stays frozen, so that nothing that it does is lost. It goes on with
    O(state=resumed), and it is killed, before it has done anything more, with O(state=ended).
  - Nobody has to come back for a frozen container. A process on the node thaws it when O(deadline) is over, and
    M(checkpoint_restore.kubernetes.checkpoint_guard) would as well.
  - It works where the container runtime itself takes no checkpoints, as containerd 1.7 does not.
  - Whatever fails, the container runs as it did before, and nothing is left.
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
      - V(checkpointed) dumps the container.
      - V(resumed) lets it run on if it is frozen on purpose.
      - V(ended) kills it if it is frozen on purpose. It waits until the kubelet has begun to stop it, because the
        kubelet would start a container anew that ended by itself. So delete the pod first.
    type: str
    choices: [checkpointed, resumed, ended]
    default: checkpointed
  destination:
    description:
      - Absolute path on the node, in a folder that exists. What is there is never overwritten.
      - Required with O(state=checkpointed).
    type: path
  format:
    description:
      - V(archive) makes a tar, mode V(0600).
      - V(folder) makes a folder, mode V(0700), with what would be in the archive, as
        M(checkpoint_restore.kubernetes.checkpoint_ticket) takes it.
    type: str
    choices: [archive, folder]
    default: archive
  leave:
    description:
      - What the container does afterwards. V(running) lets it go on at once, V(frozen) when it is told to, or when
        O(deadline) is over.
      - While a container is frozen, it does not answer. Its probes fail, and the kubelet restarts it if they do so for
        too long.
    type: str
    choices: [running, frozen]
    default: running
  deadline:
    description:
      - For how long it stays frozen at most, counted from the end of the task, for example V(30s) or V(2m).
    type: str
    default: 60s
  owner:
    description:
      - Who froze it, for people who find it frozen. M(checkpoint_restore.kubernetes.checkpoint_guard) shows it.
    type: str
    default: runtime_checkpoint
  timeout:
    description:
      - With O(state=checkpointed), for how long the container may be frozen for the dump, for example V(30s) or V(2m).
        After that the dump is given up.
      - With O(state=ended), for how long to wait until the kubelet begins to stop it.
    type: str
    default: 2m
  tcp_established:
    description:
      - What an established TCP connection does to the dump. V(refuse) has it fail. V(close) leaves connections out, so
        that the restored process sees them closed.
      - The connections of the container that goes on are not touched.
    type: str
    choices: [refuse, close]
    default: refuse
  skip_in_flight:
    description:
      - Leave out TCP connections that the process has not accepted yet. Otherwise the dump fails if there is one.
    type: bool
    default: true
  file_locks:
    description:
      - Dump file locks. Otherwise the dump fails if a process holds one.
    type: bool
    default: true
  ghost_limit:
    description:
      - How many bytes a deleted file may have that a process has still open, to be dumped, for example V(64M). The
        default is CRIU's, which is V(1M).
    type: str
  checkpoint_directory:
    description:
      - Where the kubelet has archives written. It is looked at to see whether the kubelet's own checkpoint of the
        container is under way.
    type: path
    default: /var/lib/kubelet/checkpoints
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Every O(state=checkpointed) is a new checkpoint, and needs a new O(destination). The other states change nothing
        the second time.
  platform:
    support: full
    platforms: linux
notes:
  - Needs C(become).
  - With containerd its program C(ctr) is needed, which comes with it.
  - CRIU's configuration file for the runtime, C(/etc/criu/runc.conf) or C(crun.conf), takes precedence over the options
    here.
  - A timer that ran out while the container was frozen is dumped as one that never will again. The restore runtime of
    this collection sets it right.
seealso:
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
  - module: checkpoint_restore.kubernetes.checkpoint_ticket
  - module: checkpoint_restore.kubernetes.checkpoint_guard
"""

EXAMPLES = r"""
---
- name: Checkpoint a container that runs on
  checkpoint_restore.kubernetes.runtime_checkpoint:
    namespace: shop
    pod: web-0
    container: web
    destination: /var/lib/kubelet/checkpoints/web-0.tar
  become: true

- name: Checkpoint a container and leave it frozen for half a minute at most
  checkpoint_restore.kubernetes.runtime_checkpoint:
    namespace: shop
    pod: web-0
    container: web
    destination: /var/lib/checkpoint-restore/web-0
    format: folder
    leave: frozen
    deadline: 30s
    tcp_established: close
  become: true

- name: Let it run on, because what was planned did not work
  checkpoint_restore.kubernetes.runtime_checkpoint:
    namespace: shop
    pod: web-0
    container: web
    state: resumed
  become: true

- name: Kill it, after its pod was deleted and before it does anything more
  checkpoint_restore.kubernetes.runtime_checkpoint:
    namespace: shop
    pod: web-0
    container: web
    state: ended
    timeout: 10s
  become: true
"""

RETURN = r"""
namespace:
  description: Namespace of the pod. This and the next five are missing if there is no such container and nothing to do.
  returned: if the container is known
  type: str
  sample: shop
pod:
  description: Name of the pod.
  returned: if the container is known
  type: str
  sample: web-0
pod_uid:
  description: UID of the pod.
  returned: if the container is known
  type: str
container:
  description: Name of the container.
  returned: if the container is known
  type: str
  sample: web
container_id:
  description: ID of the container.
  returned: if the container is known
  type: str
engine:
  description: V(containerd) or V(cri-o).
  returned: if the container is known
  type: str
  sample: containerd
pid:
  description: Its first process, as the node counts.
  returned: if the container is known
  type: int
  sample: 4711
frozen:
  description: Whether it is frozen now, or in check mode would be.
  returned: success
  type: bool
destination:
  description: The archive or folder.
  returned: with O(state=checkpointed)
  type: str
  sample: /var/lib/kubelet/checkpoints/web-0.tar
size:
  description: Bytes of the archive, of a folder those of all files in it.
  returned: with O(state=checkpointed), not in check mode
  type: int
  sample: 8388608
files:
  description: How many files it has.
  returned: with O(state=checkpointed), not in check mode
  type: int
  sample: 31
sha256:
  description: SHA-256 of the archive as hexadecimal digits. V(null) for a folder.
  returned: with O(state=checkpointed), not in check mode
  type: str
dump_seconds:
  description: How long it took from the freezing until CRIU was done.
  returned: with O(state=checkpointed), not in check mode
  type: float
  sample: 0.152
frozen_seconds:
  description: How long the container was frozen. V(null) if it still is.
  returned: with O(state=checkpointed), not in check mode
  type: float
  sample: 0.164
deadline:
  description: Until when it stays frozen at most, UTC. V(null) if it runs.
  returned: with O(state=checkpointed), not in check mode
  type: str
  sample: "2026-11-21T09:18:30Z"
code:
  description:
    - "Stable name of the reason. Before anything was done: V(invalid_option), V(container_not_found),
      V(container_ambiguous), V(runtime_unsupported), V(rootfs_unsupported), V(criu_missing), V(no_freezer),
      V(identity_unreadable), V(destination_exists), V(checkpoint_under_way), V(already_frozen)."
    - "While it was dumped: V(timeout), V(interrupted), V(not_frozen), V(no_space), V(not_written), V(rootfs_changing),
      V(thawed_meanwhile), V(dump_endless), V(dump_failed), and the causes of
      M(checkpoint_restore.kubernetes.checkpoint_diagnose), such as V(criu_tcp_established)."
    - "With the other states: V(not_frozen), V(not_thawed), V(not_stopping), V(not_ended), V(checkpoint_under_way)."
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.checkpoint import Wishes, checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.dumping import Options, parse_bytes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.ending import end, resume
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Name


def main() -> None:
    name: dict[str, t.Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "namespace": name,
            "pod": name,
            "container": name,
            "state": {"type": "str", "choices": ["checkpointed", "resumed", "ended"], "default": "checkpointed"},
            "destination": {"type": "path"},
            "format": {"type": "str", "choices": ["archive", "folder"], "default": "archive"},
            "leave": {"type": "str", "choices": ["running", "frozen"], "default": "running"},
            "deadline": {"type": "str", "default": "60s"},
            "owner": {"type": "str", "default": "runtime_checkpoint"},
            "timeout": {"type": "str", "default": "2m"},
            "tcp_established": {"type": "str", "choices": ["refuse", "close"], "default": "refuse"},
            "skip_in_flight": {"type": "bool", "default": True},
            "file_locks": {"type": "bool", "default": True},
            "ghost_limit": {"type": "str"},
            "checkpoint_directory": {"type": "path", "default": "/var/lib/kubelet/checkpoints"},
        },
        required_if=[("state", "checkpointed", ["destination"])],
        supports_check_mode=True,
    )
    params = module.params
    who = Name(params["namespace"], params["pod"], params["container"])
    try:
        timeout = parse_duration(params["timeout"], "timeout")
        keep = parse_duration(params["deadline"], "deadline")
        if params["state"] == "resumed":
            result = resume(who, check=module.check_mode)
        elif params["state"] == "ended":
            result = end(who, timeout, check=module.check_mode)
        else:
            wishes = Wishes(
                name=who,
                destination=params["destination"],
                folder=params["format"] == "folder",
                keep=keep if params["leave"] == "frozen" else None,
                timeout=timeout,
                owner=params["owner"],
                options=Options(
                    tcp_close=params["tcp_established"] == "close",
                    skip_in_flight=params["skip_in_flight"],
                    file_locks=params["file_locks"],
                    ghost_limit=parse_bytes(params["ghost_limit"], "ghost_limit"),
                ),
                checkpoint_folder=params["checkpoint_directory"],
            )
            with stop_requested() as stop:
                result = checkpoint(wishes, stop, check=module.check_mode)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
