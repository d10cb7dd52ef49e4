# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A patch merged over an object, as a person writes one.

Source: RFC 7386 (JSON merge patch), which replaces lists; of a pod's named lists nobody wants that.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import copy
import typing as t

from .api import Thing

MERGED_BY_NAME = ("containers", "initContainers")
REPLACED_BY_NAME = ("volumes",)


def merged(target: t.Any, patch: t.Any) -> t.Any:
    """``patch`` merged over ``target`` as RFC 7386 says, but containers by name, and volumes replaced by name."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif key in (*MERGED_BY_NAME, *REPLACED_BY_NAME) and _named(value) and _named(made.get(key)):
            made[key] = _merged_by_name(made[key], value, whole=key in REPLACED_BY_NAME)
        else:
            made[key] = merged(made.get(key), value)
    return made


def _named(value: t.Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and each.get("name") for each in value)


def _merged_by_name(target: list[Thing], patch: list[Thing], *, whole: bool) -> list[Thing]:
    made = {entry["name"]: entry for entry in target}
    for entry in patch:
        made[entry["name"]] = merged({} if whole else made.get(entry["name"]), entry)
    return list(made.values())
