# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions of the attributes that every module and action plugin states.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and tells what it would do without doing it.
  diff_mode:
    description: Returns what has changed, or in C(check_mode) would change, when in C(diff_mode).
  idempotent:
    description:
      - When run twice in a row outside C(check_mode), with the same arguments, the second invocation changes nothing.
      - Assumes that the containers and nodes concerned have not changed otherwise in the meantime.
  platform:
    description: Operating systems of the host that this runs on.
"""

    ACTION_GROUP = r"""
attributes:
  action_group:
    description: The action group that a module belongs to, for C(module_defaults).
    support: full
    membership:
      - checkpoint_restore.kubernetes.kubernetes
"""
