# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide has every finding, and every code that a reader's module can end with."""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings_rules import RULES

CHECKOUT = pathlib.Path(__file__).resolve().parents[5]
GUIDE = (CHECKOUT / "docs" / "docsite" / "rst" / "guide_look_inside.rst").read_text()
LISTED = frozenset(re.findall(r"``([a-z_]+)``", GUIDE))


def raised(path: pathlib.Path) -> t.Iterator[str]:
    """The codes of the CheckpointErrors that a file makes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CheckpointError":
            code = node.args[0] if node.args else None
            if isinstance(code, ast.Constant):
                yield str(code.value)


def test_every_finding_is_in_the_guide() -> None:
    assert {rule.id for rule in RULES} <= LISTED


def test_every_code_is_in_the_guide() -> None:
    folders = [CHECKOUT / "plugins" / "module_utils" / name for name in ("_archive", "_criu", "_forensics")]
    codes = {code for folder in folders for path in folder.glob("*.py") for code in raised(path)}
    assert len(codes) > 15
    assert codes <= LISTED, sorted(codes - LISTED)
