# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pod goes by image: somebody allows it, and one of its nodes cannot be logged in to.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._capabilities import runtime_switches
from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from .._kube.restore_request import Check
from . import plan as plans
from .beforehand import UNREACHED

Options = t.Mapping[str, t.Any]

NAMES = {"containerd": "containerd", "cri-o": "CRI-O"}
OFFER = "or give fallback, so that it goes by image and loses what it does meanwhile"
OTHER_STOP = "preStop hooks and what answers TERM have a second, and run when the checkpoint was taken already"


def allowed(options: Options, error: CheckpointError) -> bool:
    """Whether a pod may go by image because of this error."""
    return bool(options.get("fallback")) and options.get("strategy") != "copy" and error.code in UNREACHED


def offered(options: Options, error: CheckpointError) -> CheckpointError:
    """The same error; its hint tells of the option ``fallback`` where that would help."""
    offers = not options.get("fallback") and options.get("strategy") != "copy"
    if error.code in UNREACHED and offers and OFFER not in error.hint:
        error.hint = f"{error.hint.rstrip('.')}; {OFFER}" if error.hint else f"{OFFER[3:]}"
    return error


def reason(
    session: ApiSession, options: Options, metadata: Thing, reachable: t.Callable[[str], object]
) -> CheckpointError | None:
    """Why the pod has to go by image, as far as the inventory tells; ``None`` if it has not, or may not."""
    pod = session.pod(metadata["namespace"], metadata["name"]) if options.get("fallback") else None
    node = ((pod or {}).get("spec") or {}).get("nodeName")
    if not node or node == options["node"]:
        return None
    try:
        for each in (node, options["node"]):
            reachable(each)
    except CheckpointError as error:
        if not allowed(options, error):
            raise
        return error
    return None


def plan(session: ApiSession, options: Options, metadata: Thing, error: CheckpointError) -> plans.Plan:
    """The plan for a pod that goes by image because of ``error``.

    Raises CheckpointError as plan.make(), and ``way_unknown`` where both pods would run at once.
    """
    made = plans.make(
        session, metadata["namespace"], metadata["name"], options["node"], runtime_class="", order=options["order"]
    )
    if made.way not in ("bare", "policy", "orphaning"):
        raise CheckpointError(
            "way_unknown",
            f"By image the pod and its replacement would run at the same time: it would be replaced by {made.way}",
            hint="Leave order out; a ReplicaSet's pod needs MutatingAdmissionPolicy, which Kubernetes 1.36 serves",
        )
    found = [
        *(_adapted(check) for check in made.checks),
        *_engines(session.node(made.node) or {}, session.node(made.target) or {}),
        *_volumes(made.source),
        Check(
            "by_image",
            "warning",
            f"{error.reason}, so it goes by the kubelet's checkpoint and an image. What its processes do from the "
            "checkpoint until they have ended is lost, and so are their connections",
            "Whenever a container of the replacement is restarted, it begins again where the checkpoint was taken",
        ),
    ]
    plans.require(found)
    return dataclasses.replace(made, checks=tuple(sorted(found)), patience=None, images={})


def _adapted(check: Check) -> Check:
    return dataclasses.replace(check, reason=OTHER_STOP) if check.name == "pre_stop" else check


def _engines(source: Thing, target: Thing) -> t.Iterator[Check]:
    """A checkpoint's image is for the engine that made it; what restores is docs/docsite/rst/guide_checkpoint_image."""
    here, there = (
        str(((each.get("status") or {}).get("nodeInfo") or {}).get("containerRuntimeVersion") or "unknown")
        for each in (source, target)
    )
    hint = "Have both nodes in the inventory, with logins that work, or choose another node"
    engine, _sign, version = there.partition("://")
    if here.partition("://")[0] != engine or engine not in NAMES:
        told = f"The pod runs under {here}, the node has {there}"
        yield Check("engine", "failed", f"{told}: images of checkpoints do not go from one to the other", hint)
        return
    try:
        both = [runtime_switches(engine, each.partition("://")[2]) for each in (here, there)]
    except ValueError:
        yield Check("engine", "warning", f"Whether {there} restores by image is not known")
        return
    if both[0].checkpoint == "none":
        yield Check("engine", "failed", f"{NAMES[engine]} {here.partition('://')[2]} takes no checkpoints", hint)
    elif both[1].restore in ("none", "removed"):
        yield Check("engine", "failed", f"{NAMES[engine]} {version} does not restore by image", hint)
    elif both[1].restore == "switch" and both[1].restore_default != both[1].restore_on:
        reason_ = f"{NAMES[engine]} {version} restores by image only where its configuration says so"
        yield Check("engine", "warning", reason_, "Make sure of that: after the pod was told to end it is too late")
    else:
        yield Check("engine", "passed", f"Both nodes have {NAMES[engine]}, which restores by image")


def _volumes(source: Thing) -> t.Iterator[Check]:
    found = [str(volume["name"]) for volume in source["spec"].get("volumes") or [] if "emptyDir" in volume]
    if found:
        yield Check(
            "empty_dir",
            "failed",
            f"By image the contents of emptyDir volumes stay behind, and a file that is open in one keeps the pod from "
            f"coming back: {', '.join(found)}",
            "Have both nodes in the inventory, with logins that work",
        )
