#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_node_info
short_description: Find out what a node has for checkpoints, and what it can do
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Looks at the kernel, CRIU, the container runtime, the kubelet, the disks and the accelerators of the node that it
    runs on, and says whether the node can checkpoint containers and restore them from images. What speaks against it
    is said in plain words, with what to do about it.
  - Writes nothing and asks nobody but the programs of the node. What cannot be found out is V(null).
  - Needs nothing but Python on the node.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
options: {}
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
  - Most of it is readable by root alone, so use C(become).
  - Whether the kubelet really serves checkpoints is probed by M(checkpoint_restore.kubernetes.checkpoint_probe).
  - The versions that are told apart, and what they really did, are in the guide to versions.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_probe
"""

EXAMPLES = r"""
---
- name: See what the node can do
  checkpoint_restore.kubernetes.checkpoint_node_info:
  become: true
  register: node

- name: Stop where a node cannot checkpoint
  ansible.builtin.assert:
    that: node.capabilities.checkpoint.able
    fail_msg: "{{ (node.capabilities.checkpoint.reasons + node.capabilities.checkpoint.hints) | join('. ') }}"

- name: Warn where a checkpoint goes through memory
  ansible.builtin.debug:
    msg: "{{ node.disks.temporary.path }} is memory, with {{ node.disks.temporary.free }} bytes free"
  when: node.disks.temporary is not none and node.disks.temporary.memory
"""

RETURN = r"""
capabilities:
  description: What the node can do.
  returned: success
  type: dict
  contains:
    checkpoint:
      description: Whether containers of this node can be checkpointed.
      type: dict
      contains:
        able:
          description: Whether it can; V(null) if not enough is known.
          type: bool
          sample: false
        reasons:
          description: What speaks against it, or what is not known. Empty if it can.
          type: list
          elements: str
          sample: [CRIU is not installed]
        hints:
          description: What to do about it, or what to mind all the same.
          type: list
          elements: str
          sample: [Install CRIU 4.2 or later]
    restore_by_image:
      description: Whether the container runtime restores a container from an image that holds a checkpoint.
      type: dict
      contains:
        able:
          description: Whether it does; V(null) if not enough is known.
          type: bool
          sample: false
        reasons:
          description: What speaks against it, or what is not known. Empty if it does.
          type: list
          elements: str
        hints:
          description: What to do about it, or what to mind all the same, for example advisories.
          type: list
          elements: str
machine:
  description: Kernel, operating system and accelerators.
  returned: success
  type: dict
  contains:
    kernel:
      description: Release of the kernel.
      type: str
      sample: 6.12.48
    kernel_config:
      description: The file that the kernel's options were read from, V(null) if there is none.
      type: str
      sample: /proc/config.gz
    kernel_options:
      description:
        - The options that CRIU may need, each V(y), V(m) or V(n). All V(null) if no file tells them.
        - C(CONFIG_MEM_SOFT_DIRTY) is for pre-dumps only, C(CONFIG_USERFAULTFD) for lazy restore, and C(CONFIG_TUN) for
          tunnels.
      type: dict
      sample:
        CONFIG_CHECKPOINT_RESTORE: "y"
        CONFIG_UNIX_DIAG: m
    architecture:
      description: Architecture of the machine.
      type: str
      sample: x86_64
    os:
      description: The distribution, from C(os-release).
      type: dict
      contains:
        id:
          description: Its ID.
          type: str
          sample: debian
        version:
          description: Its version.
          type: str
          sample: "13"
        name:
          description: Its name for people.
          type: str
          sample: Debian GNU/Linux 13 (trixie)
    cgroup:
      description: Control groups, V(v1), V(v2) or V(hybrid), which is v1 with the unified tree beside it.
      type: str
      sample: v2
    gpu:
      description: Device files of accelerators.
      type: dict
      contains:
        nvidia:
          description: Those of NVIDIA.
          type: list
          elements: str
          sample: [/dev/nvidia0]
        amd:
          description: Those of AMD.
          type: list
          elements: str
criu:
  description: CRIU, as the container runtime will find it.
  returned: success
  type: dict
  contains:
    path:
      description: The program, V(null) if it is not installed.
      type: str
      sample: /usr/sbin/criu
    version:
      description: Its version.
      type: str
      sample: 4.2.1
    check:
      description: What C(criu check) says. V(null) if CRIU is not installed.
      type: dict
      contains:
        ok:
          description: Whether it ended well.
          type: bool
          sample: true
        message:
          description: Its first complaint, empty without one.
          type: str
    features:
      description: Whether the kernel and CRIU have a feature.
      type: dict
      contains:
        mem_dirty_track:
          description: Tracking of changed memory, which pre-dumps need and checkpoints do not.
          type: bool
          sample: false
    plugin_directories:
      description: Directories for plugins of CRIU that exist.
      type: list
      elements: str
      sample: [/usr/lib/criu]
    plugins:
      description: The plugins in them.
      type: list
      elements: str
      sample: [cuda_plugin.so]
    configuration:
      description: Configuration files of CRIU that exist.
      type: list
      elements: str
      sample: [/etc/criu/runc.conf]
runtime:
  description: The container runtime that the kubelet uses.
  returned: success
  type: dict
  contains:
    name:
      description: V(cri-o) or V(containerd); V(null) if neither was found.
      type: str
      sample: containerd
    version:
      description: Version of the program that runs.
      type: str
      sample: 2.1.9
    path:
      description: The program.
      type: str
      sample: /usr/bin/containerd
    running:
      description: Whether it runs.
      type: bool
      sample: true
    socket:
      description: Where it listens for the kubelet.
      type: str
      sample: /run/containerd/containerd.sock
    configuration:
      description: Its configuration files, in the order in which they are read.
      type: list
      elements: str
      sample: [/etc/containerd/config.toml]
    handlers:
      description: Its runtime handlers.
      type: list
      elements: dict
      contains:
        name:
          description: The name that a RuntimeClass uses.
          type: str
          sample: runc
        default:
          description: Whether pods without a RuntimeClass get it.
          type: bool
          sample: true
        type:
          description: What the container runtime calls its type.
          type: str
          sample: io.containerd.runc.v2
        path:
          description: The OCI runtime's program, V(null) if it was not found.
          type: str
          sample: /usr/sbin/runc
        kind:
          description: V(runc), V(crun) or V(other). V(null) if the program was not found.
          type: str
          sample: runc
        version:
          description: Version of the OCI runtime.
          type: str
          sample: 1.3.6
        criu:
          description: Of crun, whether it was built with CRIU and CRIU's library is installed. V(null) for others.
          type: bool
    checkpoint:
      description: The switch for checkpoints. V(null) if the version is not known.
      type: dict
      contains:
        kind:
          description: V(none) without checkpoints, V(always) without a switch, or V(switch).
          type: str
          sample: switch
        table:
          description: The table of the configuration that the switch is in.
          type: str
          sample: crio.runtime
        key:
          description: The name of the switch.
          type: str
          sample: enable_criu_support
        value:
          description: Its value; that of CRI-O is what the running program uses.
          type: raw
          sample: true
        enable:
          description: The value that switches it on.
          type: raw
          sample: true
        "on":
          description: Whether it is on; V(null) if that is not known.
          type: bool
          sample: true
    restore_by_image:
      description:
        - The switch for restore by image. V(null) if the version is not known.
      type: dict
      contains:
        kind:
          description: V(none), V(removed), V(always) wherever checkpoints are on, or V(switch).
          type: str
          sample: removed
        table:
          description: The table of the configuration that the switch is in.
          type: str
        key:
          description: The name of the switch.
          type: str
        value:
          description: Its value.
          type: raw
        enable:
          description: The value that switches it on.
          type: raw
        "on":
          description: Whether it is on; V(null) if that is not known.
          type: bool
          sample: false
    restart_needed:
      description:
        - Whether the runtime has to be restarted before what is configured is in force. CRI-O looks for CRIU only when
          it starts; containerd reads its configuration only then.
      type: bool
      sample: false
    advisories:
      description: Security advisories about restore by image that hold for this version where it is on.
      type: list
      elements: str
      sample: [CVE-2026-95837]
    notes:
      description: What could not be found out, and why.
      type: list
      elements: str
kubelet:
  description: The kubelet.
  returned: success
  type: dict
  contains:
    version:
      description: Version of the program that runs.
      type: str
      sample: v1.36.2
    running:
      description: Whether it runs.
      type: bool
      sample: true
    form:
      description: How it is set up, V(kubeadm), V(k3s), V(rke2), V(microshift) or V(plain). V(null) if it does not run.
      type: str
      sample: kubeadm
    command:
      description: Its command line.
      type: list
      elements: str
      sample: [/usr/bin/kubelet, --config=/var/lib/kubelet/config.yaml]
    configuration:
      description: Its configuration files, in the order in which they are read.
      type: list
      elements: str
      sample: [/var/lib/kubelet/config.yaml]
    drop_in_directory:
      description: The directory for drop-ins that it reads, V(null) if it reads none.
      type: str
    own_configuration:
      description: Configuration files of K3s, RKE2 or MicroShift.
      type: list
      elements: str
    root_directory:
      description: Its root directory.
      type: str
      sample: /var/lib/kubelet
    checkpoint_directory:
      description: Where archives of checkpoints go.
      type: str
      sample: /var/lib/kubelet/checkpoints
    runtime_endpoint:
      description: The container runtime's endpoint, as it is configured.
      type: str
      sample: unix:///run/containerd/containerd.sock
    runtime_request_timeout:
      description: C(runtimeRequestTimeout), the least time that a checkpoint may take.
      type: str
      sample: 2m0s
    read_only_port:
      description: C(readOnlyPort), V(0) if it is off. V(null) if it is not known.
      type: int
      sample: 0
    gate:
      description: The feature gate C(ContainerCheckpoint).
      type: dict
      contains:
        by_version:
          description: What it is in this version without a setting, V(absent), V(off) or V(on).
          type: str
          sample: "on"
        configured:
          description: What the configuration sets it to, V(null) if nothing.
          type: bool
    notes:
      description: What could not be found out, and why.
      type: list
      elements: str
disks:
  description: The room that checkpoints need. Each entry is V(null) where there is no such directory.
  returned: success
  type: dict
  contains:
    checkpoints:
      description: Where the kubelet has archives written.
      type: dict
      contains: &disk
        path:
          description: The directory.
          type: str
          sample: /var/lib/kubelet/checkpoints
        total:
          description: Size of its file system, in bytes.
          type: int
          sample: 270582939648
        free:
          description: Free bytes of its file system.
          type: int
          sample: 76235669504
        filesystem:
          description: Type of its file system.
          type: str
          sample: ext4
        memory:
          description: Whether the file system is in memory, so that a checkpoint there takes twice the memory.
          type: bool
          sample: false
    storage:
      description: The runtime's storage; CRI-O has CRIU write there first.
      type: dict
      contains: *disk
    temporary:
      description: The directory for temporary files in which containerd has CRIU write first. V(null) with CRI-O.
      type: dict
      contains: *disk
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.facts import node_facts


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, **node_facts())


if __name__ == "__main__":
    main()
