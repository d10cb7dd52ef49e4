# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One component of a node set as asked for, taken back, put back or confirmed.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._capabilities import parse_version
from .._common.errors import CheckpointError
from .._node.programs import run, which
from . import containerd, crio, criu, kept, kubelet, kubelet_form
from .changes import Plan
from .running import executable, running
from .validate import validate

PLANS: t.Mapping[str, t.Callable[[str, t.Mapping[str, t.Any], t.Mapping[str, t.Any], str], Plan]] = {
    "containerd": containerd.plan,
    "crio": crio.plan,
    "criu": criu.plan,
    "kubelet": kubelet.plan,
}
SECONDS = 20
OPTIONS: t.Mapping[str, tuple[str, ...]] = {
    "containerd": ("restore_by_image", "extra"),
    "crio": ("restore_by_image", "extra"),
    "criu": (
        "tcp_established",
        "tcp_close",
        "skip_in_flight",
        "file_locks",
        "ghost_limit",
        "log_level",
        "extra",
        "version",
        "packages",
    ),
    "kubelet": ("runtime_request_timeout", "close_read_only_port", "extra"),
}


def configure(component: str, settings: t.Mapping[str, t.Any], state: str, *, check: bool) -> dict[str, t.Any]:
    """What the module checkpoint_node_config returns. ``check``: changes nothing, and says the same.

    Raises CheckpointError, see the plans, kept.py and validate.py; also ``invalid_option``, ``component_not_found`` and
    ``write_failed``.
    """
    if state in ("reverted", "confirmed"):
        return _decided(component, state, check)
    unknown = sorted(set(settings) - set(OPTIONS[component]))
    if unknown:
        raise CheckpointError(
            "invalid_option",
            f"{component} has no setting {', '.join(unknown)}",
            hint=f"It has {', '.join(OPTIONS[component])}",
        )
    plan = PLANS[component]("/", settings, versions(component) if state == "present" else {}, state)
    validated = validate(plan)
    pending = kept.journal("/", component)
    if plan.changes and not check:
        try:
            kept.apply("/", plan)
        except OSError as error:
            raise CheckpointError(
                "write_failed",
                f"The configuration of {component} could not be written, and is as it was",
                message=str(error),
            ) from error
        if not plan.restart:
            # Nothing has to start again for it: there is nothing that it could still prove.
            kept.forget("/", component)
    restart = list(plan.restart) if plan.changes else list(pending.restart) if pending else []
    packages = _packages(settings, state)
    if packages:
        restart += restart_for_criu()
    return {
        "changed": bool(plan.changes),
        "changes": packages + plan.described(),
        "restart": restart,
        "diff": plan.diffs(),
        "validated": validated,
        "warnings": list(plan.warnings),
    }


def _packages(settings: t.Mapping[str, t.Any], state: str) -> list[dict[str, t.Any]]:
    """The packages that are installed or removed beside the configuration, as changes."""
    action = "remove" if state == "absent" else "create"
    # The packages of CRIU all have its version.
    version = f" {settings['version']}" if settings.get("version") else ""
    return [
        {"component": "criu", "path": None, "action": action, "what": f"package {name}{version}"}
        for name in sorted(settings.get("packages") or [])
    ]


def _decided(component: str, state: str, check: bool) -> dict[str, t.Any]:
    journal = kept.journal("/", component)
    files = journal.files if journal else ()
    if journal and not check:
        if state == "confirmed":
            kept.forget("/", component)
        else:
            try:
                kept.put_back("/", component)
            except OSError as error:
                raise CheckpointError(
                    "write_failed",
                    f"The files of {component} could not all be put back",
                    hint=f"The originals are in {kept.FOLDER}/{component} on the node",
                    message=str(error),
                ) from error
    reverting = state == "reverted"
    changes = [
        {
            "component": component,
            "path": file.path,
            "action": "change" if file.name else "remove",
            "what": "as it was before",
        }
        for file in sorted(files)
        if reverting
    ]
    restart = list(journal.restart) if journal and reverting else []
    return {
        "changed": journal is not None,
        "changes": changes,
        "restart": restart,
        "diff": [],
        "validated": None,
        "warnings": [],
    }


def versions(component: str) -> dict[str, t.Any]:
    """What the plan of a component has to know of the programs of this node. Raises CheckpointError."""
    if component == "criu":
        return {
            "crun_reads": criu.crun_reads(which("crun", _real_programs())),
            "criu": _version(which("criu"), "--version"),
            "kernel": os.uname().release,
        }
    if component == "kubelet":
        return {"kubelet": _kubelet()}
    program = executable("/", component) or which(component)
    found = _version(program, "--version")
    if found is None:
        raise CheckpointError(
            "component_not_found", f"{component} is not installed on this node, or does not tell its version"
        )
    if component == "crio":
        listed = run([str(program), "config"], SECONDS)
        table = "[crio.checkpoint_restore]" in listed.stdout if listed.ok else None
        return {"crio": found, "crio_table": table}
    return {"containerd": found}


def _real_programs() -> str:
    """crun may be called through a script of the site's own, which does not hold the path that is looked for."""
    return "/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin:/usr/local/sbin"


def _version(program: t.Optional[str], argument: str) -> t.Optional[str]:
    done = run([program, argument], SECONDS) if program else None
    found = re.search(r"\bv?(\d+\.\d+(?:\.\d+)?[^\s]*)", done.stdout) if done and done.ok else None
    return found[1] if found and parse_version(found[1]) else None


def _kubelet() -> str:
    """The version of Kubernetes, of a distribution that of the kubelet in it."""
    form = kubelet_form.find("/")
    if form.kind == "microshift":
        found = _version(which("microshift"), "version")
        number = parse_version(found)
        if number is not None:
            # MicroShift 4.x is Kubernetes 1.(x + 13), as OpenShift is.
            return f"1.{number[1] + 13}.0"
    embedding = [f"{name}{kind}" for name in kubelet_form.RANCHER for kind in ("", "-server", "-agent")]
    found = _version(executable("/", "kubelet") or executable("/", *embedding), "--version")
    if found is None:
        raise CheckpointError("component_not_found", "The kubelet does not tell its version")
    return found


def restart_for_criu() -> list[str]:
    """The units of a runtime that has looked for CRIU before it was there, and looks no second time.

    CRI-O looks when it starts (cri-o pkg/config/config.go, v1.36.3). containerd looks at each checkpoint, from 2.2.7
    and 2.3.4 on at the first one only (containerd internal/cri/server/container_checkpoint_linux.go, checkCriuOnce).
    """
    units = ["crio"] if running("/", "crio") is not None else []
    number = parse_version(_version(executable("/", "containerd"), "--version"))
    if number is not None and number >= (2, 2, 7) and not (2, 3, 0) <= number < (2, 3, 4):
        units += containerd.units("/", containerd.main_file("/"))
    return units
