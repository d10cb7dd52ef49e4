# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in several places of the collection says the same in all of them."""

from __future__ import annotations

import ast
import typing as t
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
MODULES = sorted((COLLECTION / "plugins" / "modules").glob("*.py"))
GROUP = "kubernetes"
AUTHENTICATION = "checkpoint_restore.kubernetes._auth"


def load(path: str) -> t.Any:
    return yaml.safe_load((COLLECTION / path).read_text())


def documentation(module: Path) -> dict[str, t.Any]:
    for statement in ast.parse(module.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "DOCUMENTATION":
            return t.cast("dict[str, t.Any]", yaml.safe_load(ast.literal_eval(statement.value)))
    raise AssertionError(f"{module.name} has no DOCUMENTATION")


@pytest.fixture(params=MODULES, ids=lambda path: path.stem)
def module(request: pytest.FixtureRequest) -> Path:
    return t.cast("Path", request.param)


def test_there_are_modules() -> None:
    assert MODULES


def test_group_has_exactly_the_modules_that_take_the_authentication_options(module: Path) -> None:
    """Defaults for a group reach each member, so a member that does not know the options would fail."""
    fragments = documentation(module).get("extends_documentation_fragment", [])
    members = load("meta/runtime.yml")["action_groups"][GROUP]
    assert (module.stem in members) == (AUTHENTICATION in fragments)
    assert (module.stem in members) == (f"{AUTHENTICATION.rpartition('.')[0]}._attributes.action_group" in fragments)


def test_group_has_no_member_that_is_not_there() -> None:
    assert set(load("meta/runtime.yml")["action_groups"][GROUP]) <= {path.stem for path in MODULES}


def test_every_module_says_how_it_behaves(module: Path) -> None:
    assert {"check_mode", "diff_mode", "idempotent", "platform"} <= set(documentation(module)["attributes"])


def test_every_action_plugin_stands_before_a_module_of_its_name() -> None:
    actions = {path.stem for path in (COLLECTION / "plugins" / "action").glob("*.py")}
    assert actions <= {path.stem for path in MODULES}


def test_unit_tests_get_the_packages_that_the_controller_needs() -> None:
    def names(path: str) -> set[str]:
        lines = (COLLECTION / path).read_text().splitlines()
        return {line.split()[0] for line in lines if line and not line.startswith("#")}

    assert names("tests/unit/requirements.txt") == names("meta/ee-requirements.txt")
