#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_guard
short_description: Find and put right what failed checkpoints left on a node
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Run it on a node. It finds containers that a checkpoint left frozen, which the cluster still shows as running, with
    the CRIU that hangs on them. With O(thaw) they run again.
  - It finds archives that were not written to their end, and files and folders that CRIU and the runtime left behind.
    With O(remove) they are removed.
  - A checkpoint that is under way is left alone. It is recognised by its processes and by the files that the runtime
    writes, which are watched for three seconds.
  - Without O(thaw) and O(remove) nothing is changed.
  - Knows containerd and CRI-O, runc and crun, and the freezers of both versions of cgroups. What is there is read from
    the files of the runtimes and from C(/proc).
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options:
  namespace:
    description:
      - Only containers of pods in these namespaces. C(*), C(?) and C([]) are wildcards here, and in the options below.
    type: list
    elements: str
    default: []
  pod:
    description:
      - Only containers of these pods.
    type: list
    elements: str
    default: []
  container:
    description:
      - Only containers of these names.
    type: list
    elements: str
    default: []
  thaw:
    description:
      - Let containers run again that are frozen or paused without a checkpoint under way. A CRIU that hangs on one is
        ended first.
      - One that M(checkpoint_restore.kubernetes.runtime_checkpoint) froze on purpose is left alone until its deadline.
      - Otherwise a container that was paused on purpose is thawed as well, because nobody can tell it from one that was
        left.
    type: bool
    default: false
  remove:
    description:
      - What to remove of what was found, see RV(archives) and RV(leftovers).
      - The logs among the leftovers are what M(checkpoint_restore.kubernetes.checkpoint_diagnose) reads.
    type: list
    elements: str
    choices: [archives, leftovers]
    default: []
  min_age:
    description:
      - A checkpoint that does nothing any more counts as under way until it is this old, for example V(90s). The
        default is how long a kubelet waits at least unless it is configured otherwise.
      - Where the program that started CRIU is gone, as it is when containerd gives up, its age does not matter.
    type: str
    default: 2m
  wait:
    description:
      - Wait up to this long for checkpoints that are under way to come to their end, for example V(1m).
    type: str
  checkpoint_directory:
    description:
      - Where the kubelet has archives written.
    type: path
    default: /var/lib/kubelet/checkpoints
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
notes:
  - Needs C(become).
  - With containerd its program C(ctr) is needed to see and to end the pause that containerd itself remembers. The
    packages of containerd and K3s have it.
  - On cgroup v2 the freezer was not run, only its documented files are used.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_diagnose
  - module: checkpoint_restore.kubernetes.checkpoint_info
  - module: checkpoint_restore.kubernetes.kubelet_checkpoint
  - module: checkpoint_restore.kubernetes.runtime_checkpoint
"""

EXAMPLES = r"""
---
- name: See what checkpoints left on the nodes
  checkpoint_restore.kubernetes.checkpoint_guard:
  become: true

- name: Let what is frozen run again
  checkpoint_restore.kubernetes.checkpoint_guard:
    thaw: true
  become: true

- name: Thaw one container after its checkpoint took too long
  checkpoint_restore.kubernetes.checkpoint_guard:
    namespace: shop
    pod: web-0
    container: app
    thaw: true
    min_age: 1s
    wait: 1m
  become: true

- name: Remove half-written archives, and what CRIU left
  checkpoint_restore.kubernetes.checkpoint_guard:
    remove:
      - archives
      - leftovers
  become: true
"""

RETURN = r"""
containers:
  description: Containers that are frozen or paused, or on which a checkpoint or a restore is at work.
  returned: success
  type: list
  elements: dict
  contains:
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
    container:
      description: Name of the container.
      type: str
      sample: app
    container_id:
      description: ID of the container.
      type: str
    engine:
      description: V(containerd) or V(cri-o).
      type: str
      sample: containerd
    pid:
      description: Its first process, as the node counts.
      type: int
      sample: 4711
    state:
      description:
        - What it was before, V(frozen), V(freezing), V(paused) or V(thawed).
        - V(paused) is one that runs, but that containerd holds for paused.
      type: str
      sample: frozen
    verdict:
      description:
        - V(under_way) for one that is left alone, V(stuck) where a checkpoint hangs, V(abandoned) where there is none.
        - V(on_purpose) for one that is to be frozen, and is left alone as well.
      type: str
      sample: stuck
    reason:
      description: Why, in plain words.
      type: str
      sample: criu 764 hangs on it, and the runtime that started it has given up
    frozen_on_purpose:
      description:
        - Who froze it by M(checkpoint_restore.kubernetes.runtime_checkpoint). V(null) if nobody did.
      type: dict
      contains:
        owner:
          description: Who.
          type: str
          sample: runtime_checkpoint
        since:
          description: Since when, UTC.
          type: str
          sample: "2026-11-21T09:18:00Z"
        deadline:
          description: Until when at most, UTC. After that it counts as V(abandoned).
          type: str
          sample: "2026-11-21T09:19:00Z"
    processes:
      description: The processes of CRIU, runc and crun that work on it.
      type: list
      elements: dict
      contains:
        pid:
          description: Process ID.
          type: int
          sample: 764
        name:
          description: Name of the program.
          type: str
          sample: criu
        command:
          description: Its command line, 300 characters of it at most.
          type: str
          sample: "criu: dump --rpc -t 690"
        age:
          description: Seconds since it began.
          type: int
          sample: 131
        orphaned:
          description: Whether the program that started it is gone.
          type: bool
        busy:
          description: Whether it did anything while it was watched.
          type: bool
        ended:
          description: Whether it was ended, in check mode whether it would be.
          type: bool
    thawed:
      description: Whether it was made to run again, in check mode whether it would be.
      type: bool
    message:
      description: What stood in the way. Empty if nothing did.
      type: str
archives:
  description: Archives that were not written to their end and that nobody writes any more, sorted by path.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file or folder.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-app-2026-11-21T09:18:00Z.tar
    kind:
      description: V(file) or V(directory).
      type: str
      sample: file
    size:
      description: Bytes, of a folder those of all files in it.
      type: int
      sample: 8388608
    modified:
      description: When it was last written, UTC.
      type: str
      sample: "2026-11-21T09:18:00Z"
    namespace:
      description: Namespace of the pod it belongs to. V(null) where that is not known.
      type: str
      sample: shop
    pod:
      description: Name of that pod.
      type: str
      sample: web-0
    pod_uid:
      description: UID of that pod.
      type: str
    container:
      description: Name of the container.
      type: str
      sample: app
    container_id:
      description: ID of the container.
      type: str
    reason:
      description: Why it counts as not whole. Only of archives.
      type: str
      sample: The file is empty
    removed:
      description: Whether it was removed, in check mode whether it would be.
      type: bool
    message:
      description: What stood in the way. Empty if nothing did.
      type: str
leftovers:
  description:
    - Files and folders of failed checkpoints, of containers that run and have no checkpoint under way, sorted by path
      and container. Folders with images hold the memory of the container.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file or folder.
      type: str
      sample: /run/containerd/io.containerd.runtime.v2.task/k8s.io/2fa1d6cac813/criu-dump.log
    kind:
      description: V(file) or V(directory).
      type: str
      sample: file
    size:
      description: Bytes, of a folder those of all files in it.
      type: int
      sample: 5926
    modified:
      description: When it was last written, UTC.
      type: str
      sample: "2026-11-21T09:18:00Z"
    namespace:
      description: Namespace of the pod it belongs to. V(null) where that is not known.
      type: str
      sample: shop
    pod:
      description: Name of that pod.
      type: str
      sample: web-0
    pod_uid:
      description: UID of that pod.
      type: str
    container:
      description: Name of the container.
      type: str
      sample: app
    container_id:
      description: ID of the container.
      type: str
    removed:
      description: Whether it was removed, in check mode whether it would be.
      type: bool
    message:
      description: What stood in the way. Empty if nothing did.
      type: str
moves:
  description:
    - Images on this node of moves that got no further for a day, one entry for each container, sorted by path. They
      hold its memory. No ticket is good for them any more.
    - They may be all that there is of a pod, so they are never removed here. Run the move again, on the controller that
      began it; a pod that was restarted since, or a move that was undone, does not need them.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The folder.
      type: str
      sample: /var/lib/checkpoint-restore/moves/482910375561/app
    kind:
      description: V(directory).
      type: str
      sample: directory
    size:
      description: Bytes of all files in it.
      type: int
      sample: 17301504
    modified:
      description: When something in it was last written, UTC.
      type: str
      sample: "2026-11-21T09:18:00Z"
    move:
      description: Number of the move.
      type: str
      sample: "482910375561"
    namespace:
      description: Namespace of the pod that was dumped. V(null) where that is not known.
      type: str
      sample: shop
    pod:
      description: Name of that pod.
      type: str
      sample: web-0
    pod_uid:
      description: UID of that pod.
      type: str
    container:
      description: Name of the container.
      type: str
      sample: app
    container_id:
      description: ID of the container that was dumped.
      type: str
code:
  description:
    - V(guard_failed) if something could not be thawed or removed. The lists are returned as well then.
    - V(invalid_option) for a time that cannot be understood.
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Selection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.guard import Wishes, guard


def main() -> None:
    names: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "namespace": names,
            "pod": names,
            "container": names,
            "thaw": {"type": "bool", "default": False},
            "remove": {"type": "list", "elements": "str", "choices": ["archives", "leftovers"], "default": []},
            "min_age": {"type": "str", "default": "2m"},
            "wait": {"type": "str"},
            "checkpoint_directory": {"type": "path", "default": "/var/lib/kubelet/checkpoints"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        wishes = Wishes(
            selection=Selection(params["namespace"], params["pod"], params["container"]),
            checkpoint_folder=params["checkpoint_directory"],
            min_age=parse_duration(params["min_age"], "min_age"),
            wait=parse_duration(params["wait"], "wait") if params["wait"] is not None else 0.0,
            thaw=params["thaw"],
            remove_archives="archives" in params["remove"],
            remove_leftovers="leftovers" in params["remove"],
            check_mode=module.check_mode,
        )
        result = guard(wishes)
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    if result["failed_to"]:
        error = CheckpointError("guard_failed", **result.pop("failed_to"))
        module.fail_json(msg=str(error), **error.as_dict(), **result)
    del result["failed_to"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
