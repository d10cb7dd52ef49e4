# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of modules held against their RETURN documentation."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from ansible.module_utils import basic

TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "dict": (dict,),
    "float": (float, int),
    "int": (int,),
    "list": (list,),
    "raw": (object,),
    "str": (str,),
}
ANSIBLES_OWN = frozenset(("changed", "failed", "invocation", "msg", "warnings"))


def run(
    module: t.Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    check: bool = False,
    **given: t.Any,
) -> dict[str, t.Any]:
    """The result of a module's main()."""
    arguments = {**given, "_ansible_check_mode": check, "_ansible_version": "2.19.14"}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    # ansible-core 2.19 wants to know how the arguments are written, 2.17 does not ask.
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    with pytest.raises(SystemExit):
        module.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


def undocumented(result: t.Any, documentation: str) -> list[str]:
    """What a result has and its documentation lacks, or the other way round where something is returned always."""
    entries = yaml.safe_load(documentation)
    wrong = [
        f"{name} is missing" for name, entry in entries.items() if entry["returned"] == "success" and name not in result
    ]
    return wrong + list(_wrong(result, entries, ""))


def _wrong(found: dict[str, t.Any], entries: dict[str, t.Any], path: str) -> t.Iterator[str]:
    for name, value in found.items():
        if not path and name in ANSIBLES_OWN:
            continue
        place = f"{path}.{name}" if path else name
        entry = entries.get(name)
        if entry is None:
            yield f"{place} is not documented"
            continue
        if value is not None and not isinstance(value, TYPES[entry["type"]]):
            yield f"{place} is no {entry['type']}"
        if "contains" not in entry or not value:
            continue
        for item in value if isinstance(value, list) else [value]:
            yield from _wrong(item, entry["contains"], place)
            yield from (f"{place}.{key} is missing" for key in entry["contains"] if key not in item)
