# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a plan to the way in which its replacement comes to be.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._kube.api import ApiSession
from . import plan as plans
from .by_hand import Adoption, Bare, Orphaning
from .by_policy import ByPolicy, ReplacementFirst
from .copying import Beside
from .replacement import Replacement
from .state import State

WAYS: dict[plans.Way, type[Replacement]] = {
    "adoption": Adoption,
    "bare": Bare,
    "copy": Beside,
    "orphaning": Orphaning,
    "policy": ByPolicy,
    "replacement_first": ReplacementFirst,
}


def begin(session: ApiSession, plan: plans.Plan, folder: str) -> tuple[Replacement, State]:
    """A new move with its state file; the caller closes the state."""
    state = State.begin(folder, plan.number, plan.as_facts())
    return WAYS[plan.way](session, plan, state), state


def with_images(
    session: ApiSession, plan: plans.Plan, state: State, images: t.Mapping[str, str]
) -> tuple[Replacement, plans.Plan]:
    """The same move by image, once the images of the checkpoints are made: nothing but its Lease is there yet."""
    changed = dataclasses.replace(plan, images=dict(images))
    state.replan(changed.as_facts())
    return WAYS[changed.way](session, changed, state), changed


def redirect(session: ApiSession, plan: plans.Plan, state: State, target: str, **details: t.Any) -> Replacement:
    """The same move, to another node or back, after its replacement could not run: only forward, from the same images.

    To be prepared, proved, replaced and waited for as the first one. ``details``: of the step in the state.
    Raises CheckpointError ``node_not_usable``.
    """
    changed = plans.redirected(session, plan, target)
    state.replan(changed.as_facts())
    state.step("redirected", target=target, **details)
    return WAYS[changed.way](session, changed, state)


def resume(session: ApiSession, number: str, folder: str) -> tuple[Replacement, State]:
    """A move that was begun by a process that is gone. Raises CheckpointError ``state_unusable``, ``state_in_use``."""
    state = State.load(folder, number)
    plan = plans.from_facts(state.facts)
    return WAYS[plan.way](session, plan, state), state
