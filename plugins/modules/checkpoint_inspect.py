#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_inspect
short_description: Look into a checkpoint
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Reads what is in a checkpoint, in place and without unpacking it. That is processes with command lines,
    environments, threads and rights, open files, sockets, mounts, memory areas, changes of the root file system, logs
    and the specification of the container.
  - Says what an investigator would look at first, each with its severity, the evidence and an explanation.
  - Knows the archives of CRI-O, containerd and Podman, folders into which one was unpacked, and OCI images that hold
    one.
  - What is missing or damaged is told in RV(notes), and the rest is returned.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
options:
  path:
    description:
      - The archive. Also a folder that it was unpacked to, or an OCI image that holds one.
      - With C(docker://) and the name of an image, that image in its registry, for example
        V(docker://registry.example.com/checkpoints/web:1). Of a layer that is not compressed, only what is needed is
        fetched.
    type: path
    required: true
  sections:
    description:
      - What to return. V(everything) is all of it, and RV(surroundings).
    type: list
    elements: str
    choices:
      - summary
      - processes
      - files
      - sockets
      - mounts
      - memory
      - network
      - statistics
      - rootfs_changes
      - logs
      - specification
      - everything
    default: [summary, processes]
  pid:
    description:
      - Only these processes, by their PIDs within the container. What belongs to no single process is returned anyway.
    type: list
    elements: int
    default: []
  environment:
    description:
      - How much to show of environments, and of secrets in command lines, logs and the specification.
      - V(names) shows the names of environment variables alone, V(redacted) their values with secrets masked, V(full)
        everything. With V(names), secrets elsewhere are masked as with V(redacted).
      - What counts as a secret are values whose name sounds like one, passwords in URLs, tokens and keys of well known
        forms, and private keys.
    type: str
    choices: [names, redacted, full]
    default: redacted
  findings:
    description:
      - Whether to look for what is suspicious.
    type: bool
    default: true
  ports:
    description:
      - Ports that the pod declares, as V(8080) or V(53/udp). Other listening sockets are a finding.
      - Without it, the ports of the container that the archive records. Those of the pod's other containers are not
        among them.
    type: list
    elements: str
  cluster_networks:
    description:
      - Networks of the cluster, as V(10.0.0.0/8). Connections to addresses outside of them are a finding.
      - Without it, all networks that the internet does not route.
    type: list
    elements: str
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
  - A finding is a reason to look closer. Its text says what else it may be.
  - Masking cannot know every secret. A checkpoint, and what is read from it, is to be treated as one.
  - Texts of a checkpoint can hold any bytes. Those that are not UTF-8 are escaped as C(\xNN) with backslashes doubled,
    and RV(escaped) says where.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_info
  - module: checkpoint_restore.kubernetes.checkpoint_search
  - module: checkpoint_restore.kubernetes.checkpoint_diff
  - plugin: checkpoint_restore.kubernetes.checkpoint_tree
    plugin_type: filter
  - plugin: checkpoint_restore.kubernetes.checkpoint_findings
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Look into a checkpoint on its node
  checkpoint_restore.kubernetes.checkpoint_inspect:
    path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
  become: true
  register: inspected

- name: Show what is suspicious
  ansible.builtin.debug:
    msg: "{{ item.severity }} {{ item.id }}: {{ item.evidence | map(attribute='detail') | join('; ') }}"
  loop: "{{ inspected.findings }}"
  loop_control:
    label: "{{ item.id }}"

- name: Read everything of two processes, on the controller
  checkpoint_restore.kubernetes.checkpoint_inspect:
    path: ./evidence/checkpoint.tar
    sections: everything
    pid: [1, 7]
    environment: full
    ports: [8080, 9090/tcp]
    cluster_networks: [10.244.0.0/16, 10.96.0.0/12, 192.0.2.0/24]
  delegate_to: localhost
  register: inspected

- name: Show it as a tree
  ansible.builtin.debug:
    msg: "{{ (inspected | checkpoint_restore.kubernetes.checkpoint_tree).splitlines() }}"
"""

RETURN = r"""
archive:
  description: The archive as a file.
  returned: success
  type: dict
  contains:
    path:
      description: The archive.
      type: str
      sample: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    format:
      description: V(tar), V(directory) if unpacked, V(oci-layout), V(image-archive) or V(registry).
      type: str
      sample: tar
    compression:
      description: V(gzip), V(bzip2), V(xz) or V(zstd). V(null) for none.
      type: str
    layer_digest:
      description:
        - Of an image, the digest of its layer as it is stored, which the image's manifest tells. V(null) for all else.
      type: str
    reference:
      description:
        - Of an image in a registry, repository and digest, which mean this image and no other. V(null) for all else.
      type: str
      sample: registry.example.com/web@sha256:a044c071480a53b162568f99950b4575421dd416bc41bab1a562debdf4e2bb41
    size:
      description: Bytes, of a folder those of all files in it.
      type: int
      sample: 660480
    modified:
      description: When it was last written, UTC. V(null) of an image in a registry.
      type: str
      sample: "2026-11-21T09:18:00Z"
identity:
  description:
    - What the archive says that it is, with the keys of
      RV(checkpoint_restore.kubernetes.checkpoint_info#module:checkpoints[].identity).
  returned: success
  type: dict
  sample: {engine: CRI-O, namespace: shop, pod: web-0, container: web}
summary:
  description: Counts and sizes, and who talks to whom.
  returned: success and V(summary) in O(sections)
  type: dict
  contains:
    hostname:
      description: Host name within the container.
      type: str
      sample: web-0
    processes:
      description: Number of processes.
      type: int
    threads:
      description: Number of threads.
      type: int
    zombies:
      description: Number of processes that have ended and were not waited for.
      type: int
    descriptors:
      description: Number of open descriptors.
      type: int
    mounts:
      description: Number of mounts.
      type: int
    memory_size:
      description: Bytes of memory in the archive.
      type: int
    rootfs_changes_size:
      description: Bytes of the root file system's changes in the archive.
      type: int
    listeners:
      description:
        - Internet sockets that take connections, or packets from anybody, with the keys of RV(summary.connections).
      type: list
      elements: dict
    connections:
      description: Internet sockets with a remote end.
      type: list
      elements: dict
      contains:
        pid:
          description: The first process that holds it.
          type: int
        process:
          description: Name of that process.
          type: str
        fd:
          description: Number of the descriptor.
          type: int
        protocol:
          description: Name of the protocol.
          type: str
          sample: tcp
        state:
          description: State of the socket.
          type: str
          sample: established
        local_address:
          description: Address on this side.
          type: str
        local_port:
          description: Port on this side.
          type: int
        remote_address:
          description: Address of the other side.
          type: str
        remote_port:
          description: Port of the other side.
          type: int
    images:
      description: What CRIU says about the dump itself, for example the version of the images and the security module.
      type: dict
processes:
  description: The processes, sorted by PID.
  returned: success and V(processes) in O(sections)
  type: list
  elements: dict
  contains:
    pid:
      description: PID within the container.
      type: int
    ppid:
      description: PID of the parent, V(0) for the first process.
      type: int
    children:
      description: PIDs of the children.
      type: list
      elements: int
    group:
      description: Process group.
      type: int
    session:
      description: Session.
      type: int
    name:
      description: The name that the kernel has (C(comm)).
      type: str
      sample: nginx
    state:
      description: V(running), V(stopped), V(dead), V(zombie) or V(unknown).
      type: str
    exit_code:
      description: What a zombie ended with.
      type: int
    exit_signal:
      description: The signal that ended a zombie.
      type: str
    stop_signal:
      description: The signal that stopped the process.
      type: str
    machine:
      description: Architecture.
      type: str
      sample: x86_64
    bits:
      description: V(64) or V(32).
      type: int
    executable:
      description: Path of the program, with C( (deleted\)) behind it if it has no name any more.
      type: str
      sample: /usr/sbin/nginx
    arguments:
      description: The command line, argument by argument. V(null) if the archive does not have it.
      type: list
      elements: str
      sample: [nginx, -g, daemon off;]
    environment:
      description:
        - The environment that the process was started with, as C(NAME=value) in its order, or names alone, by
          O(environment). V(null) if the archive does not have it, or if the program wrote its title over it.
      type: list
      elements: str
      sample: [PATH=/usr/bin:/bin, DB_PASSWORD=********]
    cwd:
      description: Working directory.
      type: str
    root:
      description: Root directory.
      type: str
    umask:
      description: Mask of the modes of new files.
      type: str
      sample: "0022"
    dumpable:
      description: Whether the process may be traced, V(1) for yes.
      type: int
    login_uid:
      description: User ID of the login that started it. V(null) for none.
      type: int
    oom_score_adj:
      description: How likely the kernel is to end it when memory is short.
      type: int
    child_subreaper:
      description: Whether orphans become its children.
      type: bool
    namespaces:
      description: IDs of its namespaces in this checkpoint, by kind.
      type: dict
    limits:
      description: Limits of resources by name, each with C(soft) and C(hard). V(null) for none.
      type: dict
    signals:
      description: Signals that are C(ignored), C(caught) and C(pending).
      type: dict
    timers:
      description: Timers that run.
      type: dict
    threads:
      description: The threads, the leader first.
      type: list
      elements: dict
      contains:
        tid:
          description: ID of the thread.
          type: int
        name:
          description: Name of the thread.
          type: str
        credentials:
          description: >-
            User and group IDs, capabilities by set and name, C(securebits), C(no_new_privs) and C(lsm_profile). V(null)
            if the archive does not have them.
          type: dict
        seccomp:
          description: The C(mode) and the C(filters), the one that was added last first.
          type: dict
        scheduler:
          description: Scheduling policy.
          type: str
        nice:
          description: Nice value.
          type: int
        priority:
          description: Real-time priority.
          type: int
        blocked_signals:
          description: Signals that are blocked.
          type: list
          elements: str
        pending_signals:
          description: Signals that wait for this thread.
          type: list
          elements: dict
        parent_death_signal:
          description: The signal that it gets when its parent ends.
          type: str
        instruction_pointer:
          description: Where in the program it is.
          type: str
          sample: "0x7f3c1d2e4f17"
        stack_pointer:
          description: Where its stack ends.
          type: str
files:
  description: Open files, by process.
  returned: success and V(files) in O(sections)
  type: list
  elements: dict
  contains:
    pid:
      description: The process.
      type: int
    process:
      description: Its name.
      type: str
    executable:
      description: Path of the program.
      type: str
    cwd:
      description: Working directory.
      type: str
    root:
      description: Root directory.
      type: str
    descriptors:
      description: >-
        The descriptors by number. From C(position) on, each type has only its own keys. Those of sockets are in
        RV(sockets).
      type: list
      elements: dict
      contains:
        fd:
          description: Number.
          type: int
        type:
          description: What stands behind it, for example V(file), V(pipe), V(inet_socket), V(memfd) or V(tty).
          type: str
        path:
          description: Path or description, as in C(/proc/PID/fd).
          type: str
        access:
          description: V(r), V(w) or V(rw).
          type: str
        flags:
          description: Flags with which it was opened.
          type: list
          elements: str
        close_on_exec:
          description: Whether it is closed when another program is started.
          type: bool
        peers:
          description: Who has the other end of a pipe or unix socket, as C(pid) and C(fd).
          type: list
          elements: dict
        position:
          description: Where the next byte is read or written, of files and memfds.
          type: int
        size:
          description: Bytes, of files and memfds. V(null) if the checkpoint does not tell.
          type: int
        mode:
          description: Type and mode of the file, octal.
          type: str
        deleted:
          description: Whether the file has no name any more.
          type: bool
        remap:
          description: How CRIU keeps a deleted file, V(ghost) for with its content.
          type: str
        external:
          description: Whether the file is not part of the dump.
          type: bool
        build_id:
          description: Build ID of an ELF file.
          type: str
        mount_id:
          description: ID of the mount that the file is on.
          type: int
        name:
          description: Name of a memfd.
          type: str
        seals:
          description: What may not be done with a memfd any more.
          type: list
          elements: str
        shared_memory_id:
          description: ID of the shared memory behind a memfd.
          type: int
        pipe_id:
          description: ID of a pipe or FIFO. Both ends have the same.
          type: int
        queued:
          description: Bytes that wait in a pipe, FIFO or terminal.
          type: int
        counter:
          description: Value of an eventfd.
          type: int
        watches:
          description: What an epoll or inotify descriptor waits for.
          type: list
          elements: dict
        marks:
          description: What a fanotify descriptor waits for.
          type: list
          elements: dict
        signals:
          description: Signals that a signalfd takes.
          type: list
          elements: str
        clock:
          description: Clock of a timerfd.
          type: str
        ticks:
          description: How often a timerfd has fired since it was read.
          type: int
        remaining_ns:
          description: Nanoseconds until a timerfd fires.
          type: int
        interval_ns:
          description: Nanoseconds between the times that it fires.
          type: int
        terminal:
          description: Kind of terminal.
          type: str
        index:
          description: Number of a pseudo terminal.
          type: int
        session:
          description: Session that a terminal controls.
          type: int
        foreground_group:
          description: Process group in the foreground of a terminal.
          type: int
        rows:
          description: Height of a terminal.
          type: int
        columns:
          description: Width of a terminal.
          type: int
        device:
          description: Device number of a terminal, as C(major:minor).
          type: str
        interface:
          description: Network device of a tun descriptor.
          type: str
        pid:
          description: Process that a pidfd stands for.
          type: int
        namespace_id:
          description: Namespace that a descriptor holds.
          type: int
        map_type:
          description: Type of a BPF map.
          type: int
        map_id:
          description: ID of a BPF map.
          type: int
        key_size:
          description: Bytes of a key of a BPF map.
          type: int
        value_size:
          description: Bytes of a value of a BPF map.
          type: int
        max_entries:
          description: How many entries a BPF map can have.
          type: int
        frozen:
          description: Whether programs may not change a BPF map any more.
          type: bool
    locks:
      description: File locks of the process.
      type: list
      elements: dict
sockets:
  description: Sockets, by process and descriptor. Each type has only the keys that apply to it.
  returned: success and V(sockets) in O(sections)
  type: list
  elements: dict
  contains:
    pid:
      description: The process.
      type: int
    process:
      description: Its name.
      type: str
    fd:
      description: Number of the descriptor.
      type: int
    type:
      description: V(inet_socket), V(unix_socket), V(packet_socket) or V(netlink_socket).
      type: str
    path:
      description: As in C(/proc/PID/fd).
      type: str
    access:
      description: V(rw), as sockets always are.
      type: str
    flags:
      description: Flags of the descriptor.
      type: list
      elements: str
    close_on_exec:
      description: Whether it is closed when another program is started.
      type: bool
    peers:
      description: Who has the other end of a unix socket, as C(pid) and C(fd).
      type: list
      elements: dict
    inode:
      description: Number of the socket.
      type: int
    namespace_id:
      description: Network namespace.
      type: int
    options:
      description: Socket options that are on, and the sizes of buffers.
      type: dict
    socket_type:
      description: For example V(stream), V(datagram) or V(raw).
      type: str
    state:
      description: For example V(listen) or V(established), of a netlink socket V(connected) or V(unconnected).
      type: str
    shutdown:
      description: What was shut down, V(none) for nothing.
      type: str
    backlog:
      description: How many connections may wait, of a listening socket.
      type: int
    receive_queue:
      description: Bytes that were received and not read. They are in the checkpoint.
      type: int
    family:
      description: V(inet) or V(inet6).
      type: str
    protocol:
      description: Protocol, for example V(tcp), of a packet socket its number.
      type: str
    local_address:
      description: Address on this side.
      type: str
    local_port:
      description: Port on this side.
      type: int
    remote_address:
      description: Address of the other side.
      type: str
    remote_port:
      description: Port of the other side.
      type: int
    interface:
      description: Network device that an internet socket is bound to.
      type: str
    ipv6_only:
      description: Whether an IPv6 socket takes no IPv4.
      type: bool
    send_queue:
      description: Bytes that were written and not acknowledged, of a TCP connection.
      type: int
    tcp:
      description: Sequence numbers and windows of a TCP connection.
      type: dict
    name:
      description: Path of a unix socket, or its abstract name with C(@) before it. V(null) for none.
      type: str
    folder:
      description: Folder that a relative path of a unix socket starts from.
      type: str
    deleted:
      description: Whether the path of a unix socket is gone.
      type: bool
    peer_inode:
      description: Number of the other end of a unix socket.
      type: int
    peer_name:
      description: Path or name of the other end of a unix socket.
      type: str
    receive_packets:
      description: Number of messages that wait in a unix socket.
      type: int
    carries_descriptors:
      description: Whether one of them carries descriptors.
      type: bool
    port_id:
      description: Port of a netlink socket.
      type: int
    groups:
      description: Multicast groups of a netlink socket, as bit masks.
      type: list
      elements: int
    peer_port_id:
      description: Port of the other end of a netlink socket.
      type: int
    interface_index:
      description: Number of the network device of a packet socket.
      type: int
mounts:
  description: Mounts as they were, sorted by mount point.
  returned: success and V(mounts) in O(sections)
  type: list
  elements: dict
  contains:
    mountpoint:
      description: Where it is mounted.
      type: str
    filesystem:
      description: Type of the file system.
      type: str
    source:
      description: What is mounted.
      type: str
    root:
      description: The folder of the file system that is mounted.
      type: str
    flags:
      description: Flags of the mount.
      type: list
      elements: str
    superblock_flags:
      description: Flags of the file system.
      type: list
      elements: str
    options:
      description: Options of the file system.
      type: str
    device:
      description: Device number as C(major:minor).
      type: str
    external:
      description: By what name the runtime gives a mount that is not part of the dump.
      type: str
    bind:
      description: Whether it is such a mount.
      type: bool
    deleted:
      description: Whether what is mounted was deleted.
      type: bool
    namespace_id:
      description: ID of the mount namespace.
      type: int
    mount_id:
      description: ID of the mount.
      type: int
    parent_id:
      description: ID of the mount below.
      type: int
    shared_id:
      description: Group of mounts that it shares changes with.
      type: int
    master_id:
      description: Group of mounts that it gets changes from.
      type: int
    specified_source:
      description: The source on the node, from the specification.
      type: str
    specified_type:
      description: The type, from the specification.
      type: str
memory:
  description: Memory areas, and everything else in the checkpoint that holds bytes of the workload.
  returned: success and V(memory) in O(sections)
  type: dict
  contains:
    processes:
      description: Address spaces.
      type: list
      elements: dict
      contains:
        pid:
          description: The process.
          type: int
        process:
          description: Its name.
          type: str
        page_size:
          description: Bytes of a page.
          type: int
        size:
          description: Bytes of all areas.
          type: int
        dumped_size:
          description: Bytes of them in the archive.
          type: int
        shared_size:
          description: Bytes of areas that are shared.
          type: int
        areas:
          description: The areas by address.
          type: list
          elements: dict
          contains:
            start:
              description: First address.
              type: str
            end:
              description: First address behind it.
              type: str
            size:
              description: Bytes.
              type: int
            permissions:
              description: As in C(/proc/PID/maps).
              type: str
              sample: rw-p
            kind:
              description: For example V(heap), V(stack), V(file), V(anonymous), V(shared) or V(memfd).
              type: str
            name:
              description: Path of the file, or the kind in brackets. Empty for anonymous memory.
              type: str
            offset:
              description: Where in the file or shared object it begins, in bytes.
              type: int
            flags:
              description: Flags of the mapping.
              type: list
              elements: str
            advice:
              description: What the program told the kernel about the area.
              type: list
              elements: str
            pages:
              description: How many pages are V(present) in the archive, or in V(parent), V(lazy) or V(absent).
              type: dict
    contents:
      description: >-
        Shared memory, memfds, deleted files, what waits in pipes, sockets and terminals, and files of tmpfs mounts.
        M(checkpoint_restore.kubernetes.checkpoint_search) can write them to files.
      type: list
      elements: dict
      contains:
        kind:
          description: For example V(deleted_file), V(pipe) or V(tmpfs_file).
          type: str
        name:
          description: Path or description.
          type: str
        size:
          description: Bytes.
          type: int
        file_id:
          description: ID of the open file.
          type: int
        inode:
          description: Number of the socket.
          type: int
        packet:
          description: Number of the message in a socket.
          type: int
        pipe_id:
          description: ID of the pipe or FIFO.
          type: int
        shared_memory_id:
          description: ID of the shared memory.
          type: int
        shm_id:
          description: ID of a System V segment.
          type: int
        queue_id:
          description: ID of a System V message queue.
          type: int
        message:
          description: Number of the message in it.
          type: int
        message_type:
          description: Type of that message.
          type: int
        tty_id:
          description: ID of the terminal.
          type: int
        mount:
          description: Mount point of a tmpfs.
          type: str
    ipc:
      description: System V shared memory, semaphores and message queues, and POSIX message queues.
      type: dict
network:
  description: What the checkpoint knows of the network. In Kubernetes that is little, because it belongs to the pod.
  returned: success and V(network) in O(sections)
  type: dict
  contains:
    hostname:
      description: Host name within the container.
      type: str
    ip_addresses:
      description: Addresses of the pod.
      type: list
      elements: str
    devices:
      description: Network devices.
      type: list
      elements: dict
    namespaces:
      description: Network namespaces.
      type: list
      elements: dict
    engine:
      description: What Podman records of networks and addresses. Empty for others.
      type: dict
statistics:
  description: >-
    What the dump took, with times in microseconds, for example C(frozen_time_us) and C(pages_written). Empty if the
    engine does not keep it.
  returned: success and V(statistics) in O(sections)
  type: dict
rootfs_changes:
  description: What changed in the root file system since the image.
  returned: success and V(rootfs_changes) in O(sections)
  type: dict
  contains:
    written:
      description: Files and folders that were added or changed.
      type: list
      elements: dict
      contains:
        name:
          description: Path.
          type: str
        kind:
          description: V(file), V(directory), V(symlink), V(hardlink) or other.
          type: str
        size:
          description: Bytes.
          type: int
        mode:
          description: Mode.
          type: str
          sample: "0755"
        uid:
          description: Owner.
          type: int
        gid:
          description: Group.
          type: int
        mtime:
          description: When it was last written, in seconds since 1970.
          type: int
        link:
          description: Where a link leads.
          type: str
        complete:
          description: Whether the archive has all of it.
          type: bool
    deleted:
      description: Paths that are gone.
      type: list
      elements: str
    replaced_folders:
      description: Folders whose former content is gone.
      type: list
      elements: str
logs:
  description: The ends of CRIU's log and of the container's log, as far as the engine keeps them.
  returned: success and V(logs) in O(sections)
  type: list
  elements: dict
  contains:
    name:
      description: The member of the archive.
      type: str
      sample: dump.log
    size:
      description: Bytes.
      type: int
    whole:
      description: Whether RV(logs[].lines) is all of it, not only the last 200 lines.
      type: bool
    lines:
      description: The lines.
      type: list
      elements: str
specification:
  description:
    - The documents of the archive as they are, with secrets masked by O(environment). V(null) for those that an engine
      does not write.
  returned: success and V(specification) in O(sections)
  type: dict
  contains:
    spec:
      description: OCI runtime specification (C(spec.dump)).
      type: dict
    config:
      description: The engine's description of the container (C(config.dump)).
      type: dict
    status:
      description: The container's CRI status (C(status.dump), containerd).
      type: dict
    runtime_status:
      description: The engine's own status (C(status), containerd).
      type: dict
    bind_mounts:
      description: Bind mounts (C(bind.mounts), CRI-O).
      type: list
      elements: dict
    network_status:
      description: Networks (C(network.status), Podman).
      type: dict
    descriptors:
      description: What the standard streams were (C(descriptors.json), from the OCI runtime).
      type: list
      elements: str
surroundings:
  description: Namespaces and control groups of the processes.
  returned: success and V(everything) in O(sections)
  type: dict
  contains:
    namespaces:
      description: What was dumped of each namespace, by kind.
      type: dict
    cgroups:
      description: Control groups of the processes, and their settings.
      type: dict
findings:
  description: What is suspicious, the gravest first. One entry for each kind and severity.
  returned: success and O(findings=true)
  type: list
  elements: dict
  contains:
    id:
      description:
        - "Stable name of the kind: V(executable_deleted), V(executable_memfd), V(executable_not_in_image),
          V(memory_writable_executable), V(memory_anonymous_executable), V(deleted_files), V(capabilities),
          V(user_changed), V(reverse_shell), V(listener_undeclared), V(connection_outside), V(preload),
          V(executable_added), V(credentials_environment), V(credentials_arguments), V(host_namespace), V(host_mount),
          V(runtime_socket), V(seccomp_off), V(lsm_off)."
      type: str
      sample: reverse_shell
    severity:
      description: V(high), V(medium), V(low) or V(info).
      type: str
      sample: high
    text:
      description: What it means, and what else it may be.
      type: str
    count:
      description: Number of pieces of evidence. Up to 50 are returned.
      type: int
    evidence:
      description: The evidence. What does not apply is V(null).
      type: list
      elements: dict
      contains:
        pid:
          description: The process.
          type: int
        process:
          description: Its name.
          type: str
        address:
          description: Addresses of memory, or of the network.
          type: str
          sample: 198.51.100.7:4444
        path:
          description: A path.
          type: str
        detail:
          description: What was found, in plain words.
          type: str
notes:
  description: What is missing, damaged or not known in the archive. Shown as warnings, too.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: Stable name.
      type: str
      sample: image_missing
    text:
      description: What it is, in plain words.
      type: str
    where:
      description: The member or image. May be empty.
      type: str
escaped:
  description: The places in this result whose text had bytes that are not UTF-8 and is escaped.
  returned: success
  type: list
  elements: str
code:
  description:
    - "Stable name of the reason: V(archive_unreadable), V(archive_not_tar), V(archive_damaged), V(zstd_missing),
      V(image_unreadable), V(not_a_checkpoint), V(process_missing), V(invalid_option)."
    - Of an image in a registry also V(image_missing), and the codes of
      M(checkpoint_restore.kubernetes.checkpoint_image) about names, credentials and registries.
  returned: failure
  type: str
  sample: not_a_checkpoint
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
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.inspection import (
    Wishes,
    inspect,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.arguments import (
    REGISTRY_EXCLUSIVE,
    REGISTRY_SPEC,
    REGISTRY_TOGETHER,
    opener,
)

SECTIONS = ["summary", "processes", "files", "sockets", "mounts", "memory", "network", "statistics"]
SECTIONS += ["rootfs_changes", "logs", "specification", "everything"]


def main() -> None:
    strings: dict[str, t.Any] = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "sections": {**strings, "choices": SECTIONS, "default": ["summary", "processes"]},
            "pid": {"type": "list", "elements": "int", "default": []},
            "environment": {"type": "str", "choices": ["names", "redacted", "full"], "default": "redacted"},
            "findings": {"type": "bool", "default": True},
            "ports": strings,
            "cluster_networks": strings,
            **REGISTRY_SPEC,
        },
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=REGISTRY_EXCLUSIVE,
        supports_check_mode=True,
    )
    params = module.params
    wishes = Wishes(
        sections=params["sections"],
        pids=params["pid"],
        environment=params["environment"],
        findings=params["findings"],
        ports=params["ports"],
        cluster_networks=params["cluster_networks"],
    )
    try:
        result = inspect(params["path"], wishes, opener(params))
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    for note in result["notes"]:
        module.warn(f"{note['text']} ({note['where']})" if note["where"] else note["text"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
