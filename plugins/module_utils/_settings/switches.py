# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is set for checkpoint and restore in a container runtime: from its version's switches, and what is asked for.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import typing as t

from .._capabilities import Switches
from .._common.errors import CheckpointError
from .._node.toml import split_key
from .toml import literal

Wanted = dict[str, dict[str, t.Any]]
Effective = t.Callable[[str, str], t.Any]
"""Table and key -> the value that holds without us, None if there is none."""

RESTORE_HINT = "Leave restore by image off: the restore runtime of this collection does without it"


def check_extra(extra: t.Any) -> Wanted:
    """Further settings: table -> key -> value. Raises CheckpointError ``invalid_option``."""
    tables = extra or {}
    message = "it is not a dictionary of tables with a dictionary of keys each"
    if isinstance(tables, dict) and all(isinstance(keys, dict) for keys in tables.values()):
        try:
            for table, keys in tables.items():
                split_key(str(table))
                for key, value in keys.items():
                    split_key(str(key))
                    literal(value)
            return {str(table): {str(key): value for key, value in keys.items()} for table, keys in tables.items()}
        except ValueError as error:
            message = str(error)
    raise CheckpointError(
        "invalid_option",
        "extra cannot be written as TOML",
        hint="Write it as {'crio.runtime': {'log_level': 'info'}}",
        message=message,
    )


def wanted(shown: str, switches: Switches, settings: t.Mapping[str, t.Any], effective: Effective) -> Wanted:
    """The keys that have to be set so that what is asked for holds; nothing where it holds already.

    ``shown`` is the runtime with its version. ``settings``: ``restore_by_image``, ``extra``. Raises CheckpointError
    ``not_supported``, ``invalid_option``.
    """
    restore = bool(settings.get("restore_by_image"))
    if switches.checkpoint == "none":
        raise CheckpointError(
            "not_supported", f"{shown} cannot checkpoint", hint="Use containerd 2.0 or later, or CRI-O 1.25 or later"
        )
    if restore and switches.restore in ("none", "removed"):
        words = "has no restore by image" if switches.restore == "none" else "has no restore by image any more"
        raise CheckpointError("not_supported", f"{shown} {words}", hint=RESTORE_HINT)
    together = (switches.restore_table, switches.restore_key) == (switches.checkpoint_table, switches.checkpoint_key)
    asked: Wanted = check_extra(settings.get("extra"))
    if switches.checkpoint == "switch" and not together:
        _ask(asked, switches.checkpoint_table, switches.checkpoint_key, switches.checkpoint_on)
    if switches.restore == "switch":
        value = switches.restore_on if restore else switches.restore_off
        _ask(asked, switches.restore_table, switches.restore_key, value)
    defaults = {
        (switches.checkpoint_table, switches.checkpoint_key): switches.checkpoint_default,
        (switches.restore_table, switches.restore_key): switches.restore_default,
    }
    missing: Wanted = {}
    for table, keys in asked.items():
        for key, value in keys.items():
            now = effective(table, key)
            if (defaults.get((table, key)) if now is None else now) != value:
                missing.setdefault(table, {})[key] = value
    return missing


def _ask(asked: Wanted, table: t.Optional[str], key: t.Optional[str], value: t.Any) -> None:
    if table is not None and key is not None:
        asked.setdefault(table, {}).setdefault(key, value)


def warnings(shown: str, switches: Switches, settings: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """What a person should know about restore by image in this version."""
    on = switches.restore == "always" or (switches.restore == "switch" and bool(settings.get("restore_by_image")))
    if not on or not switches.advisories:
        return ()
    advisories = ", ".join(switches.advisories)
    if settings.get("restore_by_image"):
        return (f"Restore by image is a risk in {shown}: {advisories}. Restore only images whose origin is known.",)
    return (f"{shown} restores by image whenever it can checkpoint, and has no switch for it: {advisories}.",)
