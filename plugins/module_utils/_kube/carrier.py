# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint archive out of a node that nobody can log in to: a pod there reads it, the API server passes it on.

The pod runs the host's own programs, from /usr, /lib and /lib64 laid read-only over its image, which therefore may be
any that is on the node, one without a shell or without any file as well. Where an image could have a say in what
these programs load (ld.so(8): LD_*, /etc/ld.so.preload, /etc/ld.so.cache), it is overruled. The host has to have glibc
and /usr/bin/cat, so /bin as a link to /usr/bin: Debian 12, RHEL 7, SLES 15 and later; not Talos or Alpine.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._common.files import written
from . import exec as execution
from .api import ApiSession, Thing, pod_path
from .failures import KubeError, needing
from .own_pod import own_pod
from .restore_wait import follow

NAMESPACE = "kube-system"
"""Where pods may have folders of the host: the pod security standards of other namespaces mostly forbid it."""

RIGHTS = f"It needs create, get and delete on pods, and create and get on pods/exec, in the namespace {NAMESPACE}"
PREFIX = "checkpoint-carrier-"
CONTAINER = "carrier"
FOLDER = "/archives"
LONGEST_LIFE = 3600
START_SECONDS = 60.0
DELETIONS = 5
INTERVAL = 0.5
# Only what a kubelet has named as a checkpoint: kubernetes 1.36, pkg/kubelet/kubelet.go, CheckpointContainer.
ARCHIVE = re.compile(r"(/[^/\0]+)*/checkpoints/checkpoint-[^/\0]+\.tar")

# GOARCH, as a node's status has it -> the folder of the loader, if that is not /lib, and Debian's name for libraries.
LOADER = {"amd64": "/lib64", "ppc64le": "/lib64"}
TRIPLES = {"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "powerpc64le", "s390x": "s390x"}

Tell = t.Callable[[int, int], object]
"""Is told the bytes that have arrived, and all of them, once a second."""


def carry(
    session: ApiSession,
    node: str,
    path: str,
    destination: str,
    *,
    image: str,
    stop: threading.Event,
    tell: Tell | None = None,
    remove: bool = False,
) -> str:
    """Bring the archive at ``path`` of ``node`` to the file ``destination`` here, and return its SHA-256 in hex.

    ``image``: one that the node has, or can pull without secrets; nothing of it runs. ``remove``: delete the archive
    on the node when it is here. ``destination`` appears whole, mode 0600, or not at all, and replaces nothing. The pod
    is gone afterwards, whatever happens; should this process be killed, it ends after an hour.

    Raises CheckpointError: ``path_invalid``, ``node_not_found``, ``forbidden``, ``carrier_failed`` (the pod does not
    run), ``archive_missing``, ``carried_wrong`` (not the bytes that the node has), ``destination_exists``,
    ``destination_full``, ``destination_refused``, ``interrupted``, and what exec.run() raises.
    """
    if not ARCHIVE.fullmatch(path) or ".." in path.split("/"):
        raise CheckpointError("path_invalid", f"{path!r} is not where a kubelet puts checkpoints", path=path)
    if os.path.lexists(destination):
        raise _destination(FileExistsError(errno.EEXIST, "File exists"), destination)
    known = session.node(node)
    if known is None:
        raise CheckpointError("node_not_found", f"There is no node {node}", hint="See: kubectl get nodes")
    system = str(((known.get("status") or {}).get("nodeInfo") or {}).get("architecture") or "")
    pod = _pod(node, os.path.dirname(path), image, system, writable=remove)
    name = pod["metadata"]["name"]
    deadline = Deadline(LONGEST_LIFE)
    try:
        with needing(RIGHTS):
            made = session.create(pod_path(NAMESPACE), pod)
            _running(session, made, stop)
            carried = _Carried(session, name, f"{FOLDER}/{os.path.basename(path)}", deadline, stop)
            digest = _fetched(carried, destination, tell)
            if remove:
                carried.ask("rm", "-f")
            return digest
    finally:
        _gone(session, name)


class _Carried:
    """The archive as the pod sees it."""

    def __init__(self, session: ApiSession, pod: str, path: str, deadline: Deadline, stop: threading.Event) -> None:
        self._session = session
        self._pod = pod
        self._path = path
        self._deadline = deadline
        self._stop = stop

    def ask(self, *command: str, output: execution.Output | None = None) -> str:
        """What a program of the host says about it. Raises CheckpointError."""
        ended = execution.run(
            self._session,
            NAMESPACE,
            self._pod,
            CONTAINER,
            [f"/usr/bin/{command[0]}", *command[1:], "--", self._path],
            deadline=self._deadline,
            stop=self._stop,
            output=output,
        )
        if ended.code == 0:
            return ended.stdout
        text = ended.stderr or f"{command[0]} ended with exit status {ended.code}"
        if "No such file" in text and self._path in text:
            raise CheckpointError(
                "archive_missing", "The archive is not on the node any more", hint="Checkpoint again", message=text
            )
        raise CheckpointError(
            "carrier_failed",
            "The archive cannot be read on the node",
            hint="See the original message; the node needs glibc and its programs in /usr/bin",
            message=text,
        )


def _fetched(archive: _Carried, destination: str, tell: Tell | None) -> str:
    """Have the archive at ``destination``, and return its digest, which is the node's own."""
    size = int(archive.ask("stat", "--format=%s"))
    digest, arrived, told = hashlib.sha256(), 0, time.monotonic()
    try:
        free = os.statvfs(os.path.dirname(destination) or ".")
        if size > free.f_bavail * free.f_frsize:
            raise OSError(errno.ENOSPC, f"{size} bytes are needed")
        with written(destination, move=_link) as file:

            def keep(piece: bytes) -> None:
                nonlocal arrived, told
                arrived += len(piece)
                if arrived > size:
                    raise _wrong("it grew while it was read")
                digest.update(piece)
                file.write(piece)
                if tell is not None and time.monotonic() - told >= 1:
                    told = time.monotonic()
                    tell(arrived, size)

            archive.ask("cat", output=keep)
            if arrived != size:
                raise _wrong(f"{arrived} bytes of {size} arrived")
            theirs = archive.ask("sha256sum").split(" ")[0].lstrip("\\")
            if theirs != digest.hexdigest():
                raise _wrong(f"SHA-256 there {theirs}, here {digest.hexdigest()}")
    except OSError as error:
        raise _destination(error, destination) from error
    if tell is not None:
        tell(size, size)
    return digest.hexdigest()


def _link(temporary: str, path: str) -> None:
    """Give a file its name only where that is free."""
    os.link(temporary, path, follow_symlinks=False)


def _pod(node: str, folder: str, image: str, system: str, *, writable: bool) -> Thing:
    """The pod that reads: the node's root user without any capability, and no network use of its own."""
    places = {"/usr": "/usr", "/lib": "/lib", FOLDER: folder}
    if system in LOADER:
        places[LOADER[system]] = LOADER[system]
    volumes = [
        {"name": f"v{number}", "hostPath": {"path": place, "type": "Directory"}}
        for number, place in enumerate(places.values())
    ]
    mounts = [
        {"name": f"v{number}", "mountPath": place, "readOnly": not (writable and place == FOLDER)}
        for number, place in enumerate(places)
    ]
    # An empty file over one in which an image could name a library of its own.
    volumes.append({"name": "nothing", "hostPath": {"path": "/dev/null", "type": "CharDevice"}})
    mounts.append({"name": "nothing", "mountPath": "/etc/ld.so.preload", "readOnly": True})
    triple = f"{TRIPLES.get(system, 'x86_64')}-linux-gnu"
    env = {"PATH": "/usr/bin", "LD_PRELOAD": "", "LD_AUDIT": ""}
    env["LD_LIBRARY_PATH"] = f"/lib/{triple}:/usr/lib/{triple}:/usr/lib64:/usr/lib"
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/sleep", str(LONGEST_LIFE)],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "volumeMounts": mounts,
    }
    security = {
        "runAsUser": 0,
        "runAsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
        # With SELinux no other type may read what is the kubelet's (container-selinux); without it this says nothing.
        "seLinuxOptions": {"type": "spc_t"},
    }
    made = own_pod(
        PREFIX,
        [container],
        LONGEST_LIFE,
        nodeName=node,
        tolerations=[{"operator": "Exists"}],
        volumes=volumes,
        securityContext=security,
    )
    # Its name is known before it is made: also if the answer to its creation is lost, it can be deleted.
    del made["metadata"]["generateName"]
    made["metadata"]["name"] = f"{PREFIX}{secrets.token_hex(5)}"
    made["metadata"]["namespace"] = NAMESPACE
    # Reading fills the page cache, which counts; and a digest of gigabytes takes a whole core for a while.
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1m", "memory": "16Mi"}}
    return made


def _running(session: ApiSession, made: Thing, stop: threading.Event) -> None:
    """Wait until the pod runs."""
    try:
        follow(session, made, [CONTAINER], Deadline(START_SECONDS), stop)
    except KubeError:
        raise
    except CheckpointError as error:
        if error.code == "interrupted":
            raise
        raise CheckpointError(
            "carrier_failed",
            f"The pod that is to read the archive on {made['spec']['nodeName']} does not run",
            hint="It needs an image that is on the node, and a host with glibc and its programs in /usr/bin",
            message=str(error),
        ) from error


def _gone(session: ApiSession, name: str) -> None:
    """Delete the pod, more than once where that fails. Raises nothing: it would end by itself."""
    for attempt in range(DELETIONS):
        with contextlib.suppress(KubeError):
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
            session.delete(pod_path(NAMESPACE, name), options)
            return
        if attempt < DELETIONS - 1:
            time.sleep(INTERVAL)


def _wrong(text: str) -> CheckpointError:
    return CheckpointError(
        "carried_wrong",
        "What arrived is not the archive that is on the node",
        hint="Nothing was kept here; fetch it again",
        message=text,
    )


def _destination(error: OSError, destination: str) -> CheckpointError:
    if isinstance(error, FileExistsError):
        hint = "Give another name; nothing is overwritten"
        return CheckpointError("destination_exists", f"{destination} is there already", hint=hint)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Make room, or give another folder; nothing of it was kept"
        reason = f"There is no room for the archive at {destination}"
        return CheckpointError("destination_full", reason, hint=hint, message=str(error))
    return CheckpointError(
        "destination_refused", f"{destination} cannot be written", hint="Check the folder", message=str(error)
    )
