# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module's main() in this process, and compares what it returns with its RETURN."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
import yaml
from ansible.module_utils import basic

Result = dict[str, t.Any]

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (float, int),
    "list": (list,),
    "dict": (dict,),
    "raw": (object,),
}


class Outcome(t.NamedTuple):
    result: Result
    warnings: list[str]


def run(
    module: types.ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    check: bool = False,
    **options: t.Any,
) -> Outcome:
    """What the module says, and what it warns of."""
    warnings: list[str] = []
    text = json.dumps({"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check}}).encode()
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", text)
    # ansible-core 2.19 wants to know how the arguments are written, 2.17 does not ask.
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, warning: warnings.append(warning))
    with pytest.raises(SystemExit):
        module.main()
    result = t.cast("Result", json.loads(capsys.readouterr().out))
    # Ansible's own.
    for key in ("invocation", "warnings", "deprecations"):
        result.pop(key, None)
    return Outcome(result, warnings)


def differences(result: Result, module: types.ModuleType) -> list[str]:
    """Where a result is not as RETURN says. Keys of dictionaries without C(contains) are free, and so is null."""
    documented = yaml.safe_load(module.RETURN)
    return list(_of_keys({key: value for key, value in result.items() if key != "changed"}, documented, ""))


def _of_keys(values: t.Any, documented: t.Any, where: str) -> t.Iterator[str]:
    for key, value in values.items():
        if key not in documented:
            yield f"{where}{key} is not documented"
        else:
            yield from _of_value(value, documented[key], f"{where}{key}")


def _of_value(value: t.Any, documented: t.Any, where: str) -> t.Iterator[str]:
    if value is None:
        return
    allowed = TYPES[documented["type"]]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        yield f"{where} is {type(value).__name__}, not {documented['type']}"
    elif isinstance(value, list):
        element = {"type": documented["elements"], "contains": documented.get("contains")}
        for index, item in enumerate(value):
            yield from _of_value(item, element, f"{where}[{index}]")
    elif isinstance(value, dict) and documented.get("contains"):
        yield from _of_keys(value, documented["contains"], f"{where}.")


def unseen(results: t.Sequence[Result], module: types.ModuleType) -> set[str]:
    """Documented keys that none of the results has, as paths without indexes."""
    seen: set[str] = set()
    for result in results:
        seen.update(_paths(result, ""))
    return set(_documented(yaml.safe_load(module.RETURN), "")) - seen


def _paths(value: t.Any, where: str) -> t.Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, where)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{where}{key}"
            yield from _paths(item, f"{where}{key}.")


def _documented(documented: t.Any, where: str) -> t.Iterator[str]:
    for key, value in documented.items():
        yield f"{where}{key}"
        yield from _documented(value.get("contains") or {}, f"{where}{key}.")
