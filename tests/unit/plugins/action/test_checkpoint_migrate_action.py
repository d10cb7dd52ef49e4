# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_migrate as ansible-playbook runs it, as far as it goes without nodes; the laboratory has the rest."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import ansible_collections.checkpoint_restore.kubernetes as collection
import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import arguments, state, ways
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_migrate as module
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import serving
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    CLASS,
    Api,
    pod,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented

# An agent that starts, and its logs: what ssh was called with.
SSH = """#!/bin/sh
for remote; do :; done
echo "$@" >> {folder}/called
echo "Last login: never"
exit 255
"""


class Site:
    """A controller that knows two nodes."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.output = ""
        ssh = folder / "ssh"
        ssh.write_text(SSH.format(folder=folder))
        ssh.chmod(0o700)
        over = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh), "ansible_user": "ops"}
        self.hosts: dict[str, t.Any] = {
            "n1": {**over, "ansible_host": "192.0.2.1"},
            "n2": {**over, "ansible_host": "192.0.2.2"},
        }

    def called(self) -> str:
        path = self.folder / "called"
        return path.read_text() if path.exists() else ""

    def migrate(self, url: str, *arguments: str, **options: t.Any) -> dict[str, t.Any]:
        given = {"namespace": "shop", "pod": "web-0", "node": "n2", "host": url, "api_key": "token", **options}
        task = {"name": "Move", "checkpoint_restore.kubernetes.checkpoint_migrate": given}
        content = {"content": "{{ result | to_json }}", "dest": str(self.folder / "result.json")}
        keep = {"name": "Keep the result", "ansible.builtin.copy": content, "check_mode": False}
        play = {"hosts": "localhost", "gather_facts": False}
        play["tasks"] = [{**task, "register": "result", "ignore_errors": True}, keep]
        (self.folder / "play.yml").write_text(yaml.safe_dump([play]))
        (self.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": self.hosts}}))
        root = str(pathlib.Path(next(iter(collection.__path__))).parents[2])
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", "play.yml", *arguments]
        environ = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": root,
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        self.output = done.stdout + done.stderr
        assert done.returncode == 0, self.output
        return t.cast("dict[str, t.Any]", json.loads((self.folder / "result.json").read_text()))


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def url() -> t.Iterator[str]:
    with serving(Api(pod())) as running:
        yield running.url


def test_check_mode_says_how_and_that_the_nodes_cannot_be_asked(site: Site, url: str) -> None:
    result = site.migrate(url, "--check")
    assert (result["changed"], result["outcome"], result["way"]) == (True, None, "bare"), site.output
    assert (result["source"], result["node"], result["frozen_limit"]) == ("n1", "n2", 30)
    results = {check["name"]: check["result"] for check in result["checks"]}
    assert results["nodes"] == "warning" and set(results.values()) <= {"passed", "warning", "skipped"}
    assert undocumented(result, module.RETURN) == [] and not (site.folder / "state").exists()


def test_what_is_there_already(site: Site, url: str) -> None:
    result = site.migrate(url, node="n1")
    assert (result["changed"], result["outcome"]) == (False, "there"), site.output
    (entry,) = result["moves"]
    assert (entry["outcome"], entry["code"], entry["undone"]) == ("there", "already_there", None)
    assert undocumented(result, module.RETURN) == []


def test_a_pod_that_is_not_there(site: Site, url: str) -> None:
    result = site.migrate(url, pod="web-1")
    assert (result["failed"], result["code"], result["changed"]) == (True, "pod_not_found", False)


def test_a_node_that_cannot_be_logged_in_to_leaves_everything_as_it_was(site: Site, url: str) -> None:
    result = site.migrate(url)
    assert result.get("code") == "agent_not_started" and not result["changed"], (result, site.output)
    called = site.called()
    assert "ControlPath=none" in called and "-T 192.0.2.1" in called and "sudo" in called and " -C " not in called
    assert not (site.folder / "state").exists()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        (None, "host_unknown"),
        ({"ansible_connection": "community.docker.docker"}, "connection_unsupported"),
        ({"ansible_password": "secret"}, "connection_unsupported"),
        ({"ansible_become_method": "su", "ansible_become_password": "secret"}, "connection_unsupported"),
    ],
)
def test_a_host_that_cannot_be_talked_with(
    site: Site, url: str, variables: t.Optional[dict[str, t.Any]], code: str
) -> None:
    if variables is None:
        del site.hosts["n1"]
    else:
        site.hosts["n1"].update(variables)
    result = site.migrate(url)
    assert (result["failed"], result["code"]) == (True, code), site.output
    assert "n1" in result["msg"] and site.called() == "" and "secret" not in site.output


def test_what_another_run_has_in_hand_is_left_alone(site: Site, url: str) -> None:
    folder = site.folder / "state/checkpoint_restore.kubernetes/moves"
    with contextlib.closing(state.State.begin(str(folder), "000000000002", {})):
        result = site.migrate(url)
    assert result.get("code") == "agent_not_started", (result, site.output)


def test_a_move_that_was_begun_is_taken_up_first(site: Site, url: str) -> None:
    folder = str(site.folder / "state/checkpoint_restore.kubernetes/moves")
    session = ApiSession(Server(url=url))
    plan = plans.make(session, "shop", "web-0", "n2", runtime_class=CLASS)
    ways.begin(session, plan, folder)[1].close()
    result = site.migrate(url)
    assert result.get("code") == "agent_not_started", (result, site.output)
    assert f"shop/web-0: Takes up the move {plan.number}" in site.output
    assert state.unfinished(folder) == [plan.number], "nothing could be done about it"


def test_the_options_are_those_that_are_documented() -> None:
    assert _known(yaml.safe_load(module.DOCUMENTATION)["options"]) == _known(arguments.SPEC)


def _known(spec: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the documentation of an option says of it as well."""
    known = ("type", "elements", "choices", "default", "required")
    kept = {name: {key: value for key, value in option.items() if key in known} for name, option in spec.items()}
    for name, option in spec.items():
        inner = option.get("suboptions") or option.get("options")
        if inner:
            kept[name]["options"] = _known(inner)
    return kept
