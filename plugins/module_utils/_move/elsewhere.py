# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""To another node than the one where a move failed, or back to its own, from the same images.

They go from node to node, as they came. Where they are at each moment, steps of the state file say:

    bringing     they are at the node "source", and on their way to "target": what is there is not whole
    redirected   they are at "target", and still at "source", where expired tickets keep the pod that failed from
                 starting from its image. All of it stays until the new one is verified

Both name the replacement at "source" as well.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing
from . import both_ends, preflight
from .agents import Agent
from .beforehand import about_target
from .passage import LONG, SHORT, Wishes
from .plan import Plan, require

SECONDS = 3600.0
"""For the images to be brought. Nothing is frozen meanwhile; the certificate of the line is good for as long."""

BRINGING, REDIRECTED = "bringing", "redirected"


class Reach(t.NamedTuple):
    """What a run that takes up a move has besides its two agents.

    ``node``: where the pod is wanted; ``log_in(node)``: a new target's agent, closed by whoever lends it;
    ``identity()``: a new certificate for a line between two nodes.
    """

    node: str
    log_in: t.Callable[[str], Agent]
    identity: t.Callable[[], str]


def look(session: ApiSession, plan: Plan, node: str, agent: Agent) -> None:
    """See that the node can have the pod. Changes nothing. Raises CheckpointError ``preflight_failed``."""
    there = session.node(node)
    found = [*preflight.of_target(session, plan.source, node, there, plan.runtime_class, stays=False)]
    require(found)
    told = agent.ask("look", LONG, **about_target(session, plan))
    require([*found, *both_ends.told_by(node, "", told)])


def bring(plan: Plan, wishes: Wishes, old: Agent, new: Agent, identity: str) -> None:
    """Have the agent ``new`` take the images that ``old`` has, and hold them. Raises CheckpointError ``stream_wrong``,
    ``images_missing``, and what a line between nodes raises."""
    new.ask("name", SHORT, number=plan.number, namespace=plan.namespace, pod=plan.replacement, containers=plan.names)
    # What a run has left that was killed: those of the old node are whole.
    new.ask("discard", SHORT)
    place = {"address": wishes.address, "port": wishes.port}
    offer = new.ask("open", SHORT, identity=identity, seconds=SECONDS, **place)
    receiving = new.say("receive", idle=SHORT)
    line = {"addresses": offer["addresses"], "port": offer["port"], "identity": identity}
    try:
        old.ask("connect", SHORT, seconds=SECONDS, idle=SHORT, **line)
        sent = old.ask("send", SECONDS)
        landed = new.wait(receiving, SHORT)
    except CheckpointError as error:
        if error.code == "connection_lost":
            # Who ended the line says why, such as that its disk is full.
            new.wait(receiving, SHORT)
        raise
    finally:
        old.ask("hang_up", SHORT)
    if landed != sent:
        raise CheckpointError("stream_wrong", f"Of {sent} only {landed} arrived", hint="Run it again")
    new.ask("hold", SHORT)


def places(plan: Plan, steps: t.Iterable[Thing]) -> dict[str, set[str]]:
    """The nodes where images are or may be, each with the names that the replacement had there before."""
    found: dict[str, set[str]] = {plan.target: set()}
    for step in steps:
        if step["name"] in (BRINGING, REDIRECTED) and "source" in step:
            found.setdefault(step["source"], set()).add(step["pod"])
            found.setdefault(step["target"], set())
    found[plan.target].discard(plan.replacement)
    return found
