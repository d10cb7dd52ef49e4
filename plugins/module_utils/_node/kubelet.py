# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet of this node, as its command line and its files configure it.

Forms: kubeadm and plain units have a process ``kubelet``; so has RKE2; K3s and MicroShift run it within their own
process and have their own configuration. Flags win over drop-ins, drop-ins over the file, later drop-ins over earlier
ones (kubernetes cmd/kubelet/app/server.go, v1.36.2).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from .. import _capabilities as table
from . import processes
from .files import matches, read_text, under, yaml_scalars
from .programs import Completed, run, which

TIMEOUT_S = 5.0
GATE = "ContainerCheckpoint"
ROOT_DIRECTORY = "/var/lib/kubelet"
DEFAULT_REQUEST_TIMEOUT = "2m0s"
"""kubernetes pkg/kubelet/apis/config/v1beta1/defaults.go, v1.36.2."""
READ_ONLY_PORT = 10255
"""readOnlyPort without a configuration file; with one it is 0 (kubernetes cmd/kubelet/app/options/options.go)."""

KUBEADM_FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
EMBEDDING = {"k3s-server": "k3s", "k3s-agent": "k3s", "k3s": "k3s", "microshift": "microshift"}
"""Programs with a kubelet inside; K3s renames its process."""
OWN_CONFIGURATION = {
    "k3s": ("/etc/rancher/k3s/config.yaml", "/etc/rancher/k3s/config.yaml.d"),
    "rke2": ("/etc/rancher/rke2/config.yaml", "/etc/rancher/rke2/config.yaml.d"),
    "microshift": ("/etc/microshift/config.yaml", "/etc/microshift/config.d"),
}
K3S_DROP_INS = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
"""Where K3s since 1.32 tells its kubelet to read drop-ins (k3s pkg/daemons/agent/agent_linux.go)."""
ENDPOINTS = {"k3s": "/run/k3s/containerd/containerd.sock", "microshift": "/run/crio/crio.sock"}

Run = t.Callable[..., Completed]


def kubelet_facts(found: t.Sequence[processes.Process], root: str = "/", runner: Run = run) -> dict[str, t.Any]:
    """What checkpoint_node_info returns as ``kubelet``. ``found``: the processes of the node."""
    own = processes.running(("kubelet",), found)
    embedding = [] if own else processes.running(EMBEDDING, found)
    process = next(iter(own or embedding), None)
    command = process.command if process else ()
    form = _form(process, embedded=bool(embedding), root=root)
    flags = _flags(command, form, root) if process else {}
    files, drop_in_directory = _files(flags, form, root)
    settings, notes = _settings(files, root)
    settings = {**settings, **_from_flags(flags, settings)}
    if process:
        notes += _changed_since(time.time() - process.age, [*files, *_own_files(form, root)], root)
    version = _version(process, runner)
    directory = flags.get("root-dir") or ROOT_DIRECTORY
    port = settings.get("readOnlyPort", (0 if "config" in flags else READ_ONLY_PORT) if own else None)
    return {
        "version": version,
        "running": process is not None,
        "form": form,
        "command": list(command),
        "configuration": files,
        "drop_in_directory": drop_in_directory,
        "own_configuration": _own_files(form, root),
        "root_directory": directory,
        "checkpoint_directory": os.path.join(directory, "checkpoints"),
        "runtime_endpoint": settings.get("containerRuntimeEndpoint") or ENDPOINTS.get(form or ""),
        "runtime_request_timeout": _request_timeout(settings) or (DEFAULT_REQUEST_TIMEOUT if own else None),
        "read_only_port": port if isinstance(port, int) else None,
        "gate": {
            "by_version": table.kubelet_gate(version) if table.parse_version(version) and version else None,
            "configured": _gate(settings),
        },
        "notes": notes,
    }


def _form(process: t.Optional[processes.Process], embedded: bool, root: str) -> t.Optional[str]:
    """ "kubeadm", "k3s", "rke2", "microshift", "plain"; None where no kubelet runs."""
    if process is None:
        return None
    if embedded:
        return EMBEDDING[process.program]
    if "/rancher/rke2/" in " ".join(process.command):
        return "rke2"
    return "kubeadm" if os.path.exists(under(root, KUBEADM_FLAGS)) else "plain"


def _flags(command: t.Sequence[str], form: t.Optional[str], root: str) -> dict[str, str]:
    """The flags that matter here, by name without dashes."""
    if form == "k3s":
        command = ["k3s", *(f"--{text}" for path in _own_files(form, root) for text in _kubelet_args(path, root))]
    names = (
        "config",
        "config-dir",
        "root-dir",
        "container-runtime-endpoint",
        "runtime-request-timeout",
        "read-only-port",
        "feature-gates",
    )
    values = {name: processes.option(command, f"--{name}", f"-{name}") for name in names}
    return {name: value for name, value in values.items() if value}


def _kubelet_args(path: str, root: str) -> list[str]:
    """What K3s hands on to its kubelet: ``kubelet-arg`` of its configuration."""
    given = (yaml_scalars(read_text(path, root) or "") or {}).get("kubelet-arg") or []
    return [str(text) for text in (given if isinstance(given, list) else [given])]


def _own_files(form: t.Optional[str], root: str) -> list[str]:
    if form not in OWN_CONFIGURATION:
        return []
    main, directory = OWN_CONFIGURATION[form]
    return [path for path in (main, *matches(f"{directory}/*.y*ml", root)) if os.path.isfile(under(root, path))]


def _files(flags: t.Mapping[str, str], form: t.Optional[str], root: str) -> tuple[list[str], t.Optional[str]]:
    """The kubelet's configuration files in the order in which they are read, and the directory of drop-ins."""
    directory = flags.get("config-dir")
    if directory is None and form == "k3s" and os.path.isdir(under(root, K3S_DROP_INS)):
        directory = K3S_DROP_INS
    files = [flags["config"]] if "config" in flags else []
    if directory is not None:
        # Only this suffix is read, in the order of the whole path.
        walked = (
            os.path.join(parent, name)
            for parent, _folders, names in os.walk(under(root, directory))
            for name in names
            if name.endswith(".conf")
        )
        start = under(root, directory)
        files += [os.path.join(directory, os.path.relpath(path, start)) for path in sorted(walked)]
    return files, directory


def _settings(files: t.Iterable[str], root: str) -> tuple[dict[str, t.Any], list[str]]:
    settings: dict[str, t.Any] = {}
    gates: dict[str, t.Any] = {}
    notes = []
    for path in files:
        text = read_text(path, root)
        found = yaml_scalars(text) if text is not None else None
        if found is None:
            notes.append(f"{path} could not be read")
            continue
        settings.update(found)
        given = found.get("featureGates")
        gates.update(given if isinstance(given, dict) else {})
    return {**settings, "featureGates": gates}, notes


def _changed_since(moment: float, files: t.Iterable[str], root: str) -> list[str]:
    """A note on files that were written after a moment, seconds since 1970."""
    changed = [
        path for path in files if os.path.isfile(under(root, path)) and os.path.getmtime(under(root, path)) > moment
    ]
    return [f"Changed after the kubelet was started: {', '.join(changed)}"] if changed else []


def _from_flags(flags: t.Mapping[str, str], settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    names = {
        "container-runtime-endpoint": "containerRuntimeEndpoint",
        "runtime-request-timeout": "runtimeRequestTimeout",
    }
    found: dict[str, t.Any] = {names[flag]: value for flag, value in flags.items() if flag in names}
    if re.fullmatch(r"\d+", flags.get("read-only-port", "")):
        found["readOnlyPort"] = int(flags["read-only-port"])
    pairs = (part.partition("=") for part in flags.get("feature-gates", "").split(",") if "=" in part)
    gates = {name.strip(): value.strip().lower() == "true" for name, _equals, value in pairs}
    return {**found, "featureGates": {**settings.get("featureGates", {}), **gates}}


def _request_timeout(settings: t.Mapping[str, t.Any]) -> t.Optional[str]:
    """As it is written; None for none and for zero, which stands for the default in the file of kubeadm."""
    text = str(settings.get("runtimeRequestTimeout") or "")
    return text if re.search(r"[1-9]", text) else None


def _gate(settings: t.Mapping[str, t.Any]) -> t.Optional[bool]:
    """What the configuration says of the gate itself, or of all gates of its stage; None without a word."""
    gates = settings.get("featureGates") or {}
    value = gates.get(GATE)
    return value if isinstance(value, bool) else None


def _version(process: t.Optional[processes.Process], runner: Run) -> t.Optional[str]:
    """The version of the kubelet that runs, else of the one that is installed."""
    program = os.path.join(process.folder, "exe") if process else which("kubelet")
    if program is None:
        return None
    shown = runner([program, "--version"], TIMEOUT_S).stdout
    # MicroShift's own version is not that of its Kubernetes.
    found = re.search(r"(?:Kubernetes|k3s version) (v\d\S*)", shown)
    return found.group(1) if found else None
