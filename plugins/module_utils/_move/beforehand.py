# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at on both nodes, and brought to the target, before a move is begun: nothing is frozen yet.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import threading
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube import base_image
from .._kube.api import ApiSession, Thing, pod_path
from .._kube.failures import KubeError
from .._kube.manifest import HOSTNAME_LABEL, all_containers
from .._kube.restore_removal import delete
from .._kube.restore_request import Check
from .._kube.runtime_class import CLASSES
from . import both_ends, volumes
from .agents import Agent
from .clock import Clock, Tell
from .passage import LONG, SHORT, Wishes
from .plan import Plan, require

INTERVAL = 0.2
GONE_SECONDS = 10.0
UNREACHED = ("agent_lost", "agent_not_started", "agent_silent", "connection_unsupported", "host_unknown")
"""Why a node cannot be asked."""

TOLD = ("connections", "frozen_time")
"""The checks whose reasons people want to read whatever the result."""

Both = tuple[Agent, Agent]


def look(session: ApiSession, plan: Plan, wishes: Wishes, both: Both) -> tuple[Plan, both_ends.Ends]:
    """The plan with what both nodes tell among its checks, and what they told. Nothing is changed.

    Raises CheckpointError ``preflight_failed``, and what keeps a container from being dumped.
    """
    ends = _asked(session, plan, wishes, both)
    found = [
        *both_ends.checks(ends, connections=_connections(wishes), copied=plan.way == "copy"),
        *both_ends.images(ends, ends.target["images"]),
        both_ends.time(ends, wishes.frozen, _limit(plan, wishes)),
    ]
    if ends.absent:
        names = ", ".join(sorted({_images(plan)[name] for name in ends.absent}))
        found.append(Check("image", "passed", f"{plan.target} lacks images, which are pulled first: {names}"))
    return _with(plan, found), ends


def _connections(wishes: Wishes) -> str:
    """What becomes of established connections, as tcp_established says it."""
    return "close" if wishes.dump["tcp_close"] else "keep" if wishes.dump["tcp_keep"] else "refuse"


def look_only(session: ApiSession, plan: Plan, wishes: Wishes, agents: t.Callable[[], Both]) -> Plan:
    """The same where nothing is to be moved: nodes that cannot be asked are a warning. ``agents``: those of both."""
    try:
        return look(session, plan, wishes, agents())[0]
    except CheckpointError as error:
        if error.code not in UNREACHED:
            raise
        reason = f"The nodes were not looked at: {error.reason}"
        return _with(plan, [Check("nodes", "warning", reason, error.hint)])


def prepare(
    session: ApiSession, plan: Plan, wishes: Wishes, both: Both, stop: threading.Event, tell: Tell
) -> tuple[Plan, dict[str, float]]:
    """Look, tell how long it may be frozen, and bring the images; the plan with all checks, and the seconds of both.

    Raises CheckpointError as :func:`look`, and ``image_pull_failed``, and what else keeps the kubelet from pulling.
    """
    clock = Clock(tell)
    with clock.step("look", "Both nodes looked at"):
        plan, ends = look(session, plan, wishes, both)
    for check in plan.checks:
        if check.name in TOLD:
            tell(check.reason)
    with clock.step("stage", "Images on the target"):
        found = _stage(session, plan, ends, both[1], Deadline(wishes.wait), stop)
    return _with(plan, found), clock.seconds


def with_seconds(seconds: dict[str, float], result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a move with the seconds of :func:`prepare`, in its total as well."""
    of_move = result["seconds"]
    total = round(of_move["total"] + sum(seconds.values()), 3)
    return {**result, "seconds": {**seconds, **of_move, "total": total}}


def _asked(session: ApiSession, plan: Plan, wishes: Wishes, both: Both) -> both_ends.Ends:
    source, target = both
    # Both at once: each is busy for a moment.
    here = source.say(
        "look",
        namespace=plan.namespace,
        pod=plan.pod,
        containers={container.name: container.id for container in plan.containers},
        volumes=volumes.carried(plan.source),
        images={container.name: container.image_id for container in plan.containers if container.image_id},
        checkpoint_directory=wishes.dump["checkpoint_directory"],
    )
    there = target.say("look", **about_target(session, plan))
    return both_ends.Ends(plan.node, plan.target, source.wait(here, LONG), target.wait(there, LONG))


def about_target(session: ApiSession, plan: Plan) -> dict[str, t.Any]:
    """What the agent of a node is told that is to look whether it can have the pod."""
    runtime_class = session.get(f"{CLASSES}/{plan.runtime_class}") or {}
    return {
        "handler": str(runtime_class.get("handler") or plan.runtime_class),
        "definition": {"spec": {"volumes": plan.source["spec"].get("volumes") or []}},
        "images": _images(plan),
    }


def _images(plan: Plan) -> dict[str, str]:
    """By container, init containers among them, the image as the replacement will ask for it."""
    return {str(each["name"]): str(each["image"]) for each in all_containers(plan.source)}


def _limit(plan: Plan, wishes: Wishes) -> str:
    patience = plan.patience
    if patience is None or wishes.frozen >= patience.seconds:
        return "frozen_limit"
    return f"frozen_limit; its probes allow {patience}"


def _with(plan: Plan, found: t.Sequence[Check]) -> Plan:
    """The plan with more checks, each name once. Raises CheckpointError ``preflight_failed``."""
    names = {check.name for check in found}
    checks = sorted([*(check for check in plan.checks if check.name not in names), *found])
    require(checks)
    return dataclasses.replace(plan, checks=tuple(checks))


def _stage(
    session: ApiSession, plan: Plan, ends: both_ends.Ends, target: Agent, deadline: Deadline, stop: threading.Event
) -> list[Check]:
    """Have the target's kubelet pull the images that it would pull for the replacement, with the pod's own secrets."""
    policies = {str(each["name"]): str(each.get("imagePullPolicy") or "") for each in all_containers(plan.source)}
    wanted = {name: image for name, image in _images(plan).items() if name in ends.absent or policies[name] == "Always"}
    if not wanted:
        return []
    never = sorted(wanted[name] for name in wanted if policies[name] == "Never")
    if never:
        reason = f"{plan.target} does not have {', '.join(never)}, which may not be pulled (imagePullPolicy Never)"
        return [Check("image", "failed", reason, "Bring the image to the node")]
    try:
        _pull(session, _puller(plan, wanted, policies), wanted, deadline, stop)
    except KubeError as error:
        if error.code != "forbidden":
            raise
        reason = f"Images could not be brought to {plan.target} before the move: {error.reason}"
        return [Check("image", "warning", reason, "It takes longer; allow to create and delete pods")]
    has = target.ask("images", SHORT, images=_images(plan), socket=ends.target["socket"])["images"]
    return list(both_ends.images(ends, has))


def _puller(plan: Plan, wanted: t.Mapping[str, str], policies: t.Mapping[str, str]) -> Thing:
    spec = {**plan.source["spec"], "nodeSelector": {HOSTNAME_LABEL: plan.hostname}}
    made = base_image.puller({**plan.source, "spec": spec}, wanted)
    for container in made["spec"]["containers"]:
        if policies[container["name"]]:
            container["imagePullPolicy"] = policies[container["name"]]
    return made


def _pull(
    session: ApiSession, pod: Thing, images: t.Mapping[str, str], deadline: Deadline, stop: threading.Event
) -> None:
    """As :func:`.._kube.base_image.pulled`; the pod for it does not stay."""
    made = session.create(pod_path(pod["metadata"]["namespace"]), pod)
    try:
        while not base_image.pulled(made, images, late=deadline.expired or stop.is_set()):
            stop.wait(INTERVAL)
            made = session.pod(pod["metadata"]["namespace"], made["metadata"]["name"]) or made
    finally:
        delete(session, made, Deadline(GONE_SECONDS), threading.Event(), grace=0)
