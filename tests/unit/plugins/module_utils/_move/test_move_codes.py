# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide to moves lists every code that a move itself raises, and no other."""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

COLLECTION = pathlib.Path(__file__).parents[5]
GUIDE = COLLECTION / "docs" / "docsite" / "rst" / "guide_migrate.rst"
SOURCES = ("plugins/module_utils/_agent", "plugins/module_utils/_move", "plugins/plugin_utils")
# What a move by image reads archives with. Their other codes are those of the table of failures.
CARRIED = ("plugins/module_utils/_kube/carrier.py", "plugins/module_utils/_kube/exec.py")
ACTION = "plugins/action/checkpoint_migrate.py"
# The place of the code among the arguments of what raises it.
RAISED_BY = {"CheckpointError": 0, "failure": 0, "_pause": 2}
RAISED_BY_CARRIED = {"CheckpointError": 0}


def raised(path: pathlib.Path, raised_by: t.Mapping[str, int]) -> t.Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        place = raised_by.get(name)
        if place is not None and len(node.args) > place:
            yield from (
                each.value
                for each in ast.walk(node.args[place])
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


def test_the_guide_lists_the_codes_of_a_move() -> None:
    files = [COLLECTION / ACTION, *(path for place in SOURCES for path in (COLLECTION / place).glob("*.py"))]
    found = {code for path in files for code in raised(path, RAISED_BY)}
    found |= {code for path in CARRIED for code in raised(COLLECTION / path, RAISED_BY_CARRIED)}
    assert len(found) > 30
    listed = re.findall(
        r"^   \* - ``(\w+)``\n     - [A-Z].+\n     - \S.+$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(found)
