# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_fetch as ansible-playbook runs it, over the local connection and over ssh.

ssh, sudo and su are small programs here that behave as the real ones do on a pipe; the laboratory has the real ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import types
import typing as t
from pathlib import Path

import ansible_collections.checkpoint_restore.kubernetes as collection
import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.action import checkpoint_fetch as action
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.landing import Wanted
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_fetch as module

MIB = 1 << 20
# More than one block of the slow way, and bytes that a terminal, or a trim of white space, would change.
CONTENT = b"\n \r\n\0" + os.urandom(9 * MIB) + b" \r\n"
SSH = """#!/bin/sh
for remote; do :; done
echo "Last login: never"
echo "Authorized use only" >&2
if [ -e {folder}/cut ]; then case $remote in *"dd if"*)
    rm {folder}/cut
    /bin/sh -c "$remote" | head -c {cut_at}
    echo "client_loop: send disconnect: Broken pipe" >&2
    exit 255
esac; fi
exec /bin/sh -c "$remote"
"""
# As sudo -S, and as su: lecture and prompt on standard error, the password from standard input.
BECOME = """#!/bin/sh
prompt='Password: '
while :; do case $1 in
    -p) prompt=$2; shift 2 ;;
    -u) shift 2 ;;
    -c) shift; set -- /bin/sh -c "$1"; break ;;
    root) shift ;;
    -*) shift ;;
    *) break ;;
esac; done
echo "We trust you have received the usual lecture." >&2
printf '%s' "$prompt" >&2
IFS= read -r password
if [ "$password" != secret ]; then echo "Sorry, try again." >&2; exit 1; fi
exec "$@"
"""


class Site:
    """A node, reached in some way, and a controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = folder / "node"
        self.node.mkdir()
        self.evidence = folder / "evidence"
        self.program("ssh", SSH.format(folder=folder, cut_at=5 * MIB))
        self.program("become", BECOME)
        self.archive = self.node / "checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar"
        self.archive.write_bytes(CONTENT)
        self.name = "checkpoint-web-0_shop-web-2026-11-21T09-18-00Z.tar"
        self.variables: dict[str, t.Any] = {"ansible_connection": "local"}
        self.output = ""

    def program(self, name: str, script: str) -> None:
        (self.folder / name).write_text(script)
        (self.folder / name).chmod(0o700)

    def over_ssh(self, **variables: t.Any) -> Site:
        self.variables = {
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_ssh_executable": str(self.folder / "ssh"),
            "ansible_ssh_args": "",
            "ansible_pipelining": True,
            "ansible_user": "ops",
            "ansible_become_exe": str(self.folder / "become"),
            **variables,
        }
        return self

    def fetch(self, *arguments: str, become: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run the task, and give its result."""
        given = {"archives": [{"path": str(self.archive)}], "destination": str(self.evidence), **options}
        task = {"name": "Fetch", "checkpoint_restore.kubernetes.checkpoint_fetch": given, "become": become}
        keep = {
            "name": "Keep the result",
            "ansible.builtin.copy": {"content": "{{ result | to_json }}", "dest": str(self.folder / "result.json")},
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "check_mode": False,
            "no_log": True,
        }
        tasks = [{**task, "register": "result", "ignore_errors": True}, keep]
        (self.folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        variables = {"ansible_python_interpreter": sys.executable, **self.variables}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"node": variables}}}))
        root = str(Path(next(iter(collection.__path__))).parents[2])
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", "play.yml", *arguments]
        environ = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": root, "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp")}
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        self.output = done.stdout + done.stderr
        assert done.returncode == 0, self.output
        return t.cast("dict[str, t.Any]", json.loads((self.folder / "result.json").read_text()))

    def arrived(self) -> bytes:
        return (self.evidence / self.name).read_bytes()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_over_any_connection_and_only_once(site: Site) -> None:
    result = site.fetch()
    (archive,) = result["archives"]
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert result["changed"] is True
    assert site.arrived() == CONTENT
    assert (archive["sha256"], archive["node_sha256"], archive["size"]) == (digest, digest, len(CONTENT))
    assert (archive["way"], archive["resumed_from"]) == ("exec", None)
    assert archive["destination"] == str(site.evidence / site.name)
    assert abs(result["node"]["clock_offset"]) <= result["node"]["clock_offset_error"]
    again = site.fetch()
    assert (again["changed"], again["archives"][0]["way"]) == (False, None)
    assert again["archives"][0]["sha256"] == digest


def test_the_result_is_as_documented(site: Site) -> None:
    result = site.fetch(archives=[{"path": str(site.archive)}, {"path": "/nowhere.tar", "name": "x.tar"}])
    documented = yaml.safe_load(module.RETURN)
    assert set(documented) == {"archives", "failures", "node", "code"}
    assert set(result["archives"][0]) == set(documented["archives"]["contains"])
    assert set(result["failures"][0]) == set(documented["failures"]["contains"])
    assert set(result["node"]) == set(documented["node"]["contains"])
    # One archive that failed fails the task and does not hide the other.
    assert (result["failed"], result["code"]) == (True, "archive_missing")
    assert site.arrived() == CONTENT


def test_check_mode_reads_and_writes_nothing(site: Site) -> None:
    result = site.fetch("--check")
    assert result["changed"] is True
    assert result["archives"][0]["sha256"] is None
    assert result["archives"][0]["node_sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert not site.evidence.exists()
    site.evidence.mkdir()
    (site.evidence / "same.tar").write_bytes(CONTENT)
    (site.evidence / "other.tar").write_bytes(b"other")
    path = str(site.archive)
    result = site.fetch("--check", archives=[{"path": path, "name": name} for name in ("same.tar", "other.tar")])
    assert (result["changed"], result["archives"][0]["sha256"]) == (False, hashlib.sha256(CONTENT).hexdigest())
    assert result["code"] == "destination_exists"
    assert sorted(path.name for path in site.evidence.iterdir()) == ["other.tar", "same.tar"]


def test_failures_are_all_told(site: Site) -> None:
    site.evidence.mkdir()
    (site.evidence / "taken.tar").write_text("something else")
    path = str(site.archive)
    archives = [
        {"path": path, "name": "taken.tar"},
        {"path": path, "name": "../../escape.tar"},
        {"path": path, "name": "mine.tar"},
        {"path": path, "name": "mine.tar"},
        {"path": str(site.node)},
    ]
    result = site.fetch(archives=archives, ignore_failures=True)
    assert not result.get("failed")
    codes = ["archive_not_a_file", "destination_exists", "name_unsafe", "name_taken"]
    assert [failure["code"] for failure in result["failures"]] == codes
    assert [Path(archive["destination"]).name for archive in result["archives"]] == ["mine.tar"]
    assert (site.evidence / "taken.tar").read_text() == "something else"


def test_nothing_to_fetch(site: Site) -> None:
    result = site.fetch(archives=[])
    assert (result["changed"], result["archives"], result["failures"], result["node"]) == (False, [], [], {})


def test_a_relative_destination_is_where_the_command_was_started(site: Site) -> None:
    result = site.fetch(destination="relative/evidence")
    assert result["archives"][0]["destination"] == str(site.folder / "relative" / "evidence" / site.name)


def test_over_ssh_as_one_stream(site: Site) -> None:
    (archive,) = site.over_ssh().fetch()["archives"]
    assert archive["way"] == "ssh"
    assert site.arrived() == CONTENT


def test_over_the_shared_connection_where_a_second_one_is_not_to_be_had(site: Site) -> None:
    refusing = '#!/bin/sh\ncase "$*" in *ControlPath=none*) echo "too many connections" >&2; exit 255 ;; esac\n'
    site.program("ssh", refusing + (site.folder / "ssh").read_text())
    (archive,) = site.over_ssh().fetch()["archives"]
    assert archive["way"] == "ssh"
    assert site.arrived() == CONTENT


def test_over_ssh_with_sudo_and_a_password(site: Site) -> None:
    site.over_ssh(ansible_become_password="secret")
    (archive,) = site.fetch(become=True)["archives"]
    assert archive["way"] == "ssh"
    assert site.arrived() == CONTENT


def test_over_ssh_with_a_wrong_password(site: Site) -> None:
    site.over_ssh(ansible_become_password="wrong")
    result = site.fetch(become=True)
    assert result["code"] == "node_failed"
    assert "Incorrect sudo password" in result["msg"]
    assert not site.evidence.exists()


def test_what_cannot_be_streamed_is_read_in_blocks_and_never_shown(site: Site) -> None:
    site.over_ssh(ansible_become_method="ansible.builtin.su", ansible_become_password="secret")
    (archive,) = site.fetch("-vvvv", become=True)["archives"]
    assert archive["way"] == "exec"
    assert site.arrived() == CONTENT
    assert base64.b64encode(CONTENT[:57]).decode() not in site.output


def test_a_cut_is_told_and_the_next_run_goes_on(site: Site) -> None:
    site.over_ssh()
    (site.folder / "cut").touch()
    result = site.fetch()
    (failure,) = result["failures"]
    assert (failure["code"], failure["retryable"], result["changed"]) == ("transfer_cut", True, False)
    assert "client_loop" in failure["message"]
    assert [path.name for path in site.evidence.iterdir()] == [f"{site.name}.partial"]
    (archive,) = site.fetch()["archives"]
    # The marker in front of the file is part of the 5 MiB after which the connection broke.
    assert archive["resumed_from"] == 4 * MIB
    assert site.arrived() == CONTENT


def test_an_unreachable_node_is_a_failure_of_each_archive(site: Site) -> None:
    site.program("ssh", "#!/bin/sh\necho 'No route to host' >&2\nexit 255\n")
    site.over_ssh()
    archives = [{"path": "/a.tar"}, {"path": "/b.tar", "name": "c.tar"}]
    result = site.fetch(archives=archives, ignore_failures=True)
    told = [(failure["name"], failure["code"], failure["retryable"]) for failure in result["failures"]]
    assert told == [("a.tar", "node_unreachable", True), ("c.tar", "node_unreachable", True)]
    # Ansible's own word where it was still writing when the program ended.
    assert re.search("No route to host|Broken pipe", result["failures"][0]["message"])
    assert result["node"] == {}


def test_a_node_without_python_is_a_failure(site: Site) -> None:
    site.variables["ansible_python_interpreter"] = "/no/python"
    result = site.fetch()
    assert result["code"] == "node_failed"
    assert "/no/python" in result["failures"][0]["message"]


@pytest.mark.parametrize(
    ("no_log", "progress", "shown"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_progress(monkeypatch: pytest.MonkeyPatch, no_log: bool, progress: bool, shown: bool) -> None:
    lines: list[str] = []
    monkeypatch.setattr(action, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(action, "display", types.SimpleNamespace(display=lines.append))
    plugin = object.__new__(action.ActionModule)
    plugin._host = "crio-a"
    plugin._options = {"progress": progress}
    plugin._task = types.SimpleNamespace(no_log=no_log)
    plugin._play_context = types.SimpleNamespace(no_log=False)
    report = plugin._reporter(Wanted("/k/a.tar", "a.tar", 2 * MIB, "0" * 64))
    report(MIB)
    assert [line.startswith("crio-a: a.tar 50 % of 2.00 MB, ") for line in lines] == ([True] if shown else [])
