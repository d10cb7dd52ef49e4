# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this node can restore at all: CRIU, the restore runtime and its handler, or restore by image.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import re
import stat
import typing as t

from .. import _capabilities as table
from .._node.files import read_text
from . import install
from .preflight_base import Facts, Node, Verdict, Wanted, failed, mapping, objects, passed, skipped, warning

PREPARE = "Run the role checkpoint_restore.kubernetes.restore_runtime on this node"
HEAD = 1 << 12
KINDS: t.Mapping[str, t.Callable[[int], bool]] = {
    "Directory": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}
"""What the kubelet asks of a hostPath by its type (kubernetes pkg/volume/hostpath/host_path.go, v1.36.2)."""

MADE: t.Mapping[str, t.Callable[[int], bool]] = {"DirectoryOrCreate": stat.S_ISDIR, "FileOrCreate": stat.S_ISREG}


def _reasons(verdict: Facts) -> tuple[str, str]:
    return "; ".join(verdict["reasons"]), ". ".join(verdict["hints"])


def criu(node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    found = table.criu_capability(node.facts)
    reason, hint = _reasons(found)
    if found["able"] is False:
        yield failed("criu", reason, hint)
    elif found["able"] is None:
        yield warning("criu", reason, hint)
    else:
        yield passed("criu", f"CRIU {node.criu['version']} is installed, and finds what it needs in the kernel")


def handler(node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    if wanted.method == "image":
        return
    name = node.runtime.get("name")
    found = node.handler(wanted)
    if not name:
        yield failed("handler", "This node has neither CRI-O nor containerd", "Choose a node of the cluster")
    elif node.runtime.get("running") is False:
        yield failed("handler", f"{name} is not running", "Start it")
    elif found is None:
        yield failed("handler", f"{name} has no handler {wanted.handler}", PREPARE)
    elif name == "containerd" and node.runtime.get("restart_needed"):
        # It reads its configuration only then, and does not tell what is in force.
        yield warning(
            "handler",
            f"{name} has the handler {wanted.handler} in its configuration, which was changed after {name} was started",
            "Restart containerd",
        )
    else:
        yield passed("handler", f"{name} has the handler {wanted.handler}")


def restore_runtime(node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    if wanted.method == "image":
        return
    path = mapping(node.handler(wanted)).get("path")
    if not path:
        yield skipped("restore_runtime", f"No program is known for the handler {wanted.handler}")
        return
    head = (read_text(path) or "")[:HEAD]
    version = re.search(rf"^# {install.FRONT} (\S+):", head, re.MULTILINE)
    missing = os.path.join(os.path.dirname(path), install.ZIP)
    if version is None:
        yield failed(
            "restore_runtime", f"{path}, behind the handler {wanted.handler}, is not the restore runtime", PREPARE
        )
    elif not os.path.isfile(missing):
        yield failed("restore_runtime", f"The restore runtime is not whole: {missing} is missing", PREPARE)
    elif version.group(1) != install.VERSION:
        reason = f"The restore runtime is version {version.group(1)}, this collection has {install.VERSION}"
        yield warning("restore_runtime", reason, PREPARE)
    else:
        yield passed("restore_runtime", f"The restore runtime {version.group(1)} is installed at {path}")


def restore_by_image(node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    if wanted.method == "runtime":
        return
    found = table.capabilities(node.facts)["restore_by_image"]
    reason, hint = _reasons(found)
    if found["able"] is False:
        yield failed("restore_by_image", reason, hint)
    elif found["able"] is None or hint:
        able = f"{node.runtime.get('name')} {node.runtime.get('version')} restores images"
        yield warning("restore_by_image", reason or able, hint)
    else:
        name, version = node.runtime.get("name"), node.runtime.get("version")
        yield passed("restore_by_image", f"{name} {version} restores images")


def host_paths(_node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    """hostPath volumes of the pod: their paths on this node, which the kubelet looks at before it starts anything."""
    if not wanted.definition:
        yield skipped("host_paths", "No definition of the pod was given")
        return
    volumes = objects(mapping(wanted.definition.get("spec")).get("volumes"))
    found = [mapping(volume["hostPath"]) for volume in volumes if mapping(volume.get("hostPath"))]
    wrong, missing = [], []
    for volume in found:
        path, kind = str(volume.get("path") or ""), str(volume.get("type") or "")
        try:
            mode: t.Optional[int] = os.stat(path).st_mode
        except (OSError, ValueError):
            mode = None
        fits = KINDS.get(kind) or MADE.get(kind)
        if mode is None and kind in KINDS:
            wrong.append(f"{path} is not there")
        elif mode is not None and fits is not None and not fits(mode):
            wrong.append(f"{path} is not what the type {kind} asks for")
        elif mode is None and kind not in MADE:
            missing.append(path)
    if wrong:
        yield failed(
            "host_paths", f"On this node, {'; '.join(wrong)}", "Bring what belongs there, or choose another node"
        )
    elif missing:
        reason = (
            f"On this node, nothing is at {', '.join(missing)}: the container runtime makes an empty folder, or fails"
        )
        yield warning("host_paths", reason, "Bring what belongs there, or choose another node")
    elif found:
        yield passed("host_paths", "What the pod mounts of this node is there")
    else:
        yield passed("host_paths", "The pod mounts nothing of its node")
