# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own findings: JMESPath expressions over an inspection. On the controller only.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import json
import re
import typing as t

from .._common.errors import CheckpointError
from .findings import SEVERITIES, dictionary, finding, items, ordered
from .findings_rules import RULES

KEYS = ("id", "severity", "text", "expression")
_ID = re.compile(r"[a-z][a-z0-9_]*")


class Language(t.Protocol):
    """The library jmespath, as far as it is used."""

    def search(self, expression: str, data: t.Any) -> t.Any:
        """What the expression finds in the data."""


def _refused(index: int, rule: t.Any, reason: str, message: str = "") -> CheckpointError:
    name = dictionary(rule).get("id")
    which = f"Rule {name!r}" if isinstance(name, str) else f"Rule number {index + 1}"
    return CheckpointError(
        "rule_invalid", f"{which} {reason}", hint="A rule has id, severity, text and expression", message=message
    )


def checked(rules: t.Sequence[t.Any]) -> list[dict[str, str]]:
    """The rules if all of them are good. Raises CheckpointError rule_invalid."""
    taken = {rule.id for rule in RULES}
    for index, rule in enumerate(rules):
        if not isinstance(rule, dict):
            raise _refused(index, rule, "is not a dictionary")
        for key in KEYS:
            if not isinstance(rule.get(key), str) or not rule[key]:
                raise _refused(index, rule, f"has no {key}, or one that is not a text")
        unknown = sorted(set(rule) - set(KEYS))
        if unknown:
            raise _refused(index, rule, f"has keys that are not known: {', '.join(unknown)}")
        if not _ID.fullmatch(rule["id"]):
            raise _refused(index, rule, "has an id with other than lowercase letters, digits and underscores")
        if rule["severity"] not in SEVERITIES:
            raise _refused(index, rule, f"has a severity that is none of {', '.join(SEVERITIES)}")
        if rule["id"] in taken:
            raise _refused(index, rule, "has the id of another finding")
        taken.add(rule["id"])
    return list(rules)


def piece(found: t.Any) -> dict[str, t.Any]:
    """A result of an expression as evidence."""
    known = dictionary(found)
    name = known.get("process", known.get("name"))
    evidence = {
        "pid": known.get("pid") if isinstance(known.get("pid"), int) else None,
        "process": name if isinstance(name, str) else None,
        "address": known.get("address") if isinstance(known.get("address"), str) else None,
        "path": known.get("path") if isinstance(known.get("path"), str) else None,
    }
    detail = known.get("detail", known.get("executable")) if known else found
    if not isinstance(detail, str):
        # What has a place needs no copy of everything that is there.
        placed = any(value is not None for value in evidence.values())
        detail = "" if placed else json.dumps(found, sort_keys=True, ensure_ascii=False)
    return {**evidence, "detail": detail}


def with_site(inspection: t.Any, rules: t.Sequence[t.Any], language: Language) -> list[dict[str, t.Any]]:
    """The findings of the inspection and those of the rules. Raises CheckpointError rule_invalid."""
    shown = items(inspection.get("findings"))
    for index, rule in enumerate(checked(rules)):
        try:
            result = language.search(rule["expression"], inspection)
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            # Those of JMESPath are ValueErrors; its functions raise the others for data that does not fit.
            raise _refused(index, rule, "has an expression that cannot be evaluated", str(error)) from error
        if result is None or result is False or result == "" or result == [] or result == {}:
            continue
        evidence = [piece(one) for one in (result if isinstance(result, list) else [result])]
        shown = [*shown, finding(rule["id"], rule["severity"], rule["text"], evidence)]
    return ordered(shown)
