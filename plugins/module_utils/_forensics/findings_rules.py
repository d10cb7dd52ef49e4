# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all findings.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

from .findings import Rule
from .findings_outside import connections, host_mounts, host_namespaces, listeners, runtime_socket
from .findings_process import (
    capabilities,
    credentials_arguments,
    credentials_environment,
    deleted_files,
    executable_added,
    executable_deleted,
    executable_memfd,
    executable_not_in_image,
    lsm_off,
    memory_anonymous_executable,
    memory_writable_executable,
    preload,
    reverse_shell,
    seccomp_off,
    user_changed,
)

RULES: tuple[Rule, ...] = (
    Rule(
        "executable_deleted",
        "A program whose file is gone hides what it is. A package that was upgraded while its program ran looks alike.",
        executable_deleted,
    ),
    Rule(
        "executable_memfd",
        "A program that was started from a memfd never touched a disk: the way of fileless malware. Some runtimes start"
        " themselves so, never programs of a container.",
        executable_memfd,
    ),
    Rule(
        "executable_not_in_image",
        "A program that runs is not the image's: it was written into the container or lies on a mount. Volumes that"
        " carry programs on purpose are the usual other reason.",
        executable_not_in_image,
    ),
    Rule(
        "memory_writable_executable",
        "Memory that can be written and executed at once is how code is injected. Compilers at run time (Java, .NET,"
        " JavaScript, libffi) make such memory, too.",
        memory_writable_executable,
    ),
    Rule(
        "memory_anonymous_executable",
        "Executable memory without a file behind it is code that no file of the image has. Compilers at run time make"
        " such memory, too.",
        memory_anonymous_executable,
    ),
    Rule(
        "deleted_files",
        "Open files without a name are found nowhere but in the checkpoint, which keeps their content. Temporary files"
        " are often deleted right after they were opened.",
        deleted_files,
    ),
    Rule(
        "capabilities",
        "More rights than the engine gives a container that asks for none.",
        capabilities,
    ),
    Rule(
        "user_changed",
        "User IDs other than the specification has. Servers that start as root and give that up are harmless; who got"
        " root that was not given is not.",
        user_changed,
    ),
    Rule(
        "reverse_shell",
        "Somebody may be at the other end of these standard streams: a network connection, or a terminal or socket of a"
        " session that PID 1 did not start. Servers started per connection look alike.",
        reverse_shell,
    ),
    Rule(
        "listener_undeclared",
        "A port is open that the pod does not declare. Kubernetes does not enforce declarations; a forgotten one is the"
        " usual reason, a back door the one to rule out.",
        listeners,
    ),
    Rule(
        "connection_outside",
        "A connection to an address outside the cluster: a service that is used, or where data goes.",
        connections,
    ),
    Rule(
        "preload",
        "The loader puts foreign code into every program: the way of rootkits in user space, and of memory allocators"
        " and tracing tools.",
        preload,
    ),
    Rule(
        "executable_added",
        "Programs or libraries were added to the root file system, or changed, since the image was made.",
        executable_added,
    ),
    Rule(
        "credentials_environment",
        "Credentials in environment variables are in every archive, in every child process, and may have to be changed"
        " if the container was broken into.",
        credentials_environment,
    ),
    Rule(
        "credentials_arguments",
        "Credentials on a command line are seen by everybody who may list processes.",
        credentials_arguments,
    ),
    Rule(
        "host_namespace",
        "The container sees the node's processes, network or mounts instead of its own.",
        host_namespaces,
    ),
    Rule(
        "host_mount",
        "A path of the node is mounted into the container.",
        host_mounts,
    ),
    Rule(
        "runtime_socket",
        "Who can talk to the container runtime can start any container, and so owns the node.",
        runtime_socket,
    ),
    Rule(
        "seccomp_off",
        "Processes may make every system call. Kubernetes gives no filter unless asked (seccompProfile), so without one"
        " in the specification this is a matter of hardening.",
        seccomp_off,
    ),
    Rule(
        "lsm_off",
        "No AppArmor profile and no SELinux label confine the processes.",
        lsm_off,
    ),
)
