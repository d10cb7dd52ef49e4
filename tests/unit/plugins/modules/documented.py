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
ADDED = frozenset(("deprecations", "invocation", "warnings"))
ANSIBLES_OWN = frozenset(("changed", "failed", "invocation", "msg", "warnings"))


class Outcome(t.NamedTuple):
    """What a module says, and what it warns of."""

    result: dict[str, t.Any]
    warnings: list[str]


def outcome(
    module: t.Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    check: bool = False,
    **given: t.Any,
) -> Outcome:
    """The result of a module's main(), without what Ansible adds to it."""
    warnings: list[str] = []
    arguments = {**given, "_ansible_check_mode": check, "_ansible_version": "2.19.14"}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    # ansible-core 2.19 wants to know how the arguments are written, 2.17 does not ask.
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    # A module tells each warning once in a process; here many modules run in one.
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    with pytest.raises(SystemExit):
        module.main()
    result = json.loads(capsys.readouterr().out)
    return Outcome({key: value for key, value in result.items() if key not in ADDED}, warnings)


def run(
    module: t.Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    check: bool = False,
    **given: t.Any,
) -> dict[str, t.Any]:
    """The result alone."""
    return outcome(module, monkeypatch, capsys, check=check, **given).result


def undocumented(result: t.Any, documentation: str, *, variable: bool = False) -> list[str]:
    """What a result has and its documentation lacks, or the other way round where something is returned always.

    ``variable``: dictionaries within it do not all have the same keys, see unseen() for those that none has.
    """
    entries = yaml.safe_load(documentation)
    wrong = [
        f"{name} is missing" for name, entry in entries.items() if entry["returned"] == "success" and name not in result
    ]
    return wrong + list(_wrong(result, entries, "", variable))


def _wrong(found: dict[str, t.Any], entries: dict[str, t.Any], path: str, variable: bool) -> t.Iterator[str]:
    for name, value in found.items():
        if not path and name in ANSIBLES_OWN:
            continue
        place = f"{path}.{name}" if path else name
        entry = entries.get(name)
        if entry is None:
            yield f"{place} is not documented"
            continue
        if not _is(value, entry["type"]):
            yield f"{place} is no {entry['type']}"
        items = value if isinstance(value, list) else [value] if value else []
        if isinstance(value, list):
            kind = entry.get("elements", "raw")
            yield from (f"{place} holds what is no {kind}" for item in items if not _is(item, kind))
        for item in items if "contains" in entry else []:
            yield from _wrong(item, entry["contains"], place, variable)
            yield from (f"{place}.{key} is missing" for key in entry["contains"] if key not in item and not variable)


def _is(value: t.Any, kind: str) -> bool:
    """Whether a value is of a type of RETURN; null is of any."""
    return value is None or (
        isinstance(value, TYPES[kind]) and (kind in ("bool", "raw") or not isinstance(value, bool))
    )


def unseen(results: t.Sequence[dict[str, t.Any]], documentation: str) -> set[str]:
    """Documented keys that none of the results has, as paths without indexes."""
    seen = {place for result in results for place in _places(result, "")}
    return set(_named(yaml.safe_load(documentation), "")) - seen


def _places(value: t.Any, path: str) -> t.Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _places(item, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}{key}"
            yield from _places(item, f"{path}{key}.")


def _named(entries: dict[str, t.Any], path: str) -> t.Iterator[str]:
    for key, entry in entries.items():
        yield f"{path}{key}"
        yield from _named(entry.get("contains") or {}, f"{path}{key}.")
