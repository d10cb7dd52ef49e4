# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a node, from the files of containerd, CRI-O, runc and crun. No daemon is asked.

Where the files are: containerd 2.1.9, core/runtime/v2/bundle.go and plugins/cri (bundles), cmd/containerd-shim-runc-v2
(options.json, the root of runc); CRI-O 1.36.3, internal/oci/runtime_oci.go (conmon's arguments, userdata); runc 1.1.15,
libcontainer/container_linux.go (state.json); crun 1.21, src/libcrun/status.c (status).

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import json
import os
import typing as t

from . import processes
from .processes import Process, option

CONTAINERD_BUNDLES = (
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
    "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io",
)
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CONTAINERD_RUNTIME_ROOT = "/run/containerd/runc"
CRIO_USERDATA = "/run/containers/storage/*-containers/*/userdata"
CRIO_STORAGE = "/var/lib/containers/storage"
RUNTIME_ROOTS = ("/run/runc", "/run/crun")

LARGEST = 8 << 20
"""Bytes of a config.json or state.json at most."""

Json = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Container:
    """A container that an engine runs, or keeps after its end.

    ``engine``: "containerd" or "cri-o". ``kind``: "container" or "sandbox". ``pid``: its process 1 as the node counts,
    None if it does not run. ``bundle``: the folder with its config.json. ``work``: the folder in which the engine keeps
    and, during a checkpoint, makes files for it; it may not exist. ``runtime``: "runc", "crun" or None for another one.
    ``address``: of containerd's socket. ``root``: where its OCI runtime keeps what it knows of containers, None with
    ``runtime``. ``program``: that runtime's program as the engine names it, None where it names none.
    """

    engine: str
    kind: str
    id: str
    namespace: str
    pod: str
    pod_uid: str
    name: str
    bundle: str
    work: str
    pid: t.Optional[int] = None
    runtime: t.Optional[str] = None
    address: t.Optional[str] = None
    root: t.Optional[str] = None
    program: t.Optional[str] = None

    def identity(self) -> Json:
        """What every result says about a container."""
        return {
            "namespace": self.namespace,
            "pod": self.pod,
            "pod_uid": self.pod_uid,
            "container": self.name,
            "container_id": self.id,
            "engine": self.engine,
        }

    def text(self) -> str:
        return f"{self.namespace}/{self.pod}/{self.name}"


class Selection(t.NamedTuple):
    """Which containers. Each is a list of patterns of fnmatch; an empty one wants all."""

    namespaces: t.Sequence[str] = ()
    pods: t.Sequence[str] = ()
    containers: t.Sequence[str] = ()

    @property
    def everything(self) -> bool:
        return not any(self)

    def match(self, container: Container) -> bool:
        return self.match_names(container.namespace, container.pod, container.name)

    def match_names(self, *names: t.Optional[str]) -> bool:
        """Whether namespace, pod and container fit, in that order."""
        return all(
            not patterns or any(fnmatch.fnmatchcase(name or "", pattern) for pattern in patterns)
            for patterns, name in zip(self, names)
        )


def containers() -> list[Container]:
    """All containers of pods, sandboxes too, by namespace, pod and name."""
    known = processes.processes()
    found = {container.id: container for container in (*_of_containerd(known), *_of_crio(known))}
    return sorted(found.values(), key=lambda one: (one.namespace, one.pod, one.kind, one.name, one.id))


def _json(path: str) -> Json:
    """A JSON object from a file; empty where there is none that can be read."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(LARGEST))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _annotations(bundle: str) -> dict[str, str]:
    found = _json(os.path.join(bundle, "config.json")).get("annotations")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _state(roots: t.Iterable[str], identifier: str) -> tuple[t.Optional[str], t.Any, t.Any, t.Optional[str]]:
    """(runtime, process 1, when that began in ticks, root) out of the OCI runtime's own record; all None without."""
    for root in roots:
        folder = os.path.join(root, identifier)
        state = _json(os.path.join(folder, "state.json"))
        if state:
            return "runc", state.get("init_process_pid"), state.get("init_process_start"), root
        status = _json(os.path.join(folder, "status"))
        if status:
            return "crun", status.get("pid"), status.get("process-start-time"), root
    return None, None, None, None


def _running(identifier: str, pid: t.Any, started: t.Any) -> t.Optional[int]:
    """The process ID if that process is certainly this container's."""
    process = processes.look_up(pid) if isinstance(pid, int) and pid > 0 else None
    if process is None or not processes.alive(process):
        return None
    if started is not None:
        return process.pid if process.started == started else None
    return process.pid if identifier in processes.read(os.path.join(process.folder, "cgroup")) else None


def _number(path: str) -> t.Optional[int]:
    text = processes.read(path).strip()
    return int(text) if text.isdigit() else None


def _of_containerd(table: t.Sequence[Process]) -> t.Iterator[Container]:
    folders = dict.fromkeys(CONTAINERD_BUNDLES, CONTAINERD_SOCKET)
    folders[CONTAINERD_BUNDLES[1]] = "/run/k3s/containerd/containerd.sock"
    for process in table:
        if process.program.startswith("containerd-shim") and option(process.command, "-namespace") == "k8s.io":
            try:
                folder = os.path.dirname(os.readlink(os.path.join(process.folder, "cwd")))
            except OSError:
                continue
            folders[folder] = option(process.command, "-address") or CONTAINERD_SOCKET
    for folder, address in folders.items():
        for bundle in glob.glob(os.path.join(glob.escape(folder), "*")):
            found = _annotations(bundle)
            if found.get("io.kubernetes.cri.container-type") in ("container", "sandbox"):
                yield _containerd_container(bundle, found, address)


def _containerd_container(bundle: str, found: dict[str, str], address: str) -> Container:
    identifier = os.path.basename(bundle)
    options = _json(os.path.join(bundle, "options.json"))
    # The shim adds the namespace to whichever root it was given.
    root = os.path.join(str(options.get("root") or CONTAINERD_RUNTIME_ROOT), "k8s.io")
    runtime, pid, started, kept = _state([root], identifier)
    if runtime is None:
        pid = _number(os.path.join(bundle, "init.pid"))
    # BUNDLE/work leads to ROOT/io.containerd.runtime.v2.task/k8s.io/ID, and the CRI plugin keeps its own below ROOT.
    state = os.path.realpath(os.path.join(bundle, "work"))
    storage = os.path.dirname(os.path.dirname(os.path.dirname(state)))
    return Container(
        engine="containerd",
        kind=found["io.kubernetes.cri.container-type"],
        id=identifier,
        namespace=found.get("io.kubernetes.cri.sandbox-namespace", ""),
        pod=found.get("io.kubernetes.cri.sandbox-name", ""),
        pod_uid=found.get("io.kubernetes.cri.sandbox-uid", ""),
        name=found.get("io.kubernetes.cri.container-name", ""),
        bundle=bundle,
        work=os.path.join(storage, "io.containerd.grpc.v1.cri", "containers", identifier),
        pid=_running(identifier, pid, started),
        runtime=runtime,
        address=address,
        root=kept,
        program=str(options.get("binary_name") or "") or None,
    )


def _of_crio(table: t.Sequence[Process]) -> t.Iterator[Container]:
    monitors = {option(process.command, "-c"): process.command for process in table if process.program == "conmon"}
    bundles = {option(command, "-b") for command in monitors.values()}
    for bundle in {*glob.glob(CRIO_USERDATA), *(found for found in bundles if found)}:
        found = _annotations(bundle)
        if found.get("io.kubernetes.cri-o.ContainerType") not in ("container", "sandbox"):
            continue
        identifier = os.path.basename(os.path.dirname(bundle))
        monitor = monitors.get(identifier, ())
        roots = [argument[len("--root=") :] for argument in monitor if argument.startswith("--root=")]
        runtime, pid, started, kept = _state([*roots, *RUNTIME_ROOTS], identifier)
        if runtime is None:
            pid = _number(os.path.join(bundle, "pidfile"))
        # STORAGE/overlay-containers/ID/userdata: the same names below the run root and below the graph root.
        tail = bundle.split(os.sep)[-3:]
        kind = found["io.kubernetes.cri-o.ContainerType"]
        yield Container(
            engine="cri-o",
            kind=kind,
            id=identifier,
            namespace=found.get("io.kubernetes.pod.namespace", ""),
            pod=found.get("io.kubernetes.pod.name", ""),
            pod_uid=found.get("io.kubernetes.pod.uid", ""),
            name=found.get("io.kubernetes.container.name", "") if kind == "container" else "",
            bundle=bundle,
            work=option(monitor, "--persist-dir") or os.path.join(CRIO_STORAGE, *tail),
            pid=_running(identifier, pid, started),
            runtime=runtime,
            root=kept,
            program=option(monitor, "-r", "--runtime"),
        )
