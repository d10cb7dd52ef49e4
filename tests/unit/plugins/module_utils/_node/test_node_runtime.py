# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRI-O and containerd by what they say: recorded from CRI-O 1.36.3 and containerd 2.1.9, 2.3.5 and 1.7.24."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import files, processes, runtime, toml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.programs import Completed

CRIO_STATUS = """\
[crio]
  root = "/var/lib/containers/storage"
  internal_wipe = true
  [crio.api]
    listen = "/run/crio/crio.sock"
    stream_port = "0"
  [crio.runtime]
    default_capabilities = ["CHOWN", "KILL"]
    default_runtime = "runc"
    enable_criu_support = {on}
    pids_limit = -1
    [crio.runtime.runtimes]
      [crio.runtime.runtimes.crun]
        runtime_path = "/nowhere/crun"
        runtime_type = ""
      [crio.runtime.runtimes.runc]
        runtime_path = "runc"
        runtime_type = "oci"
"""

CONTAINERD_DUMP = """\
version = 3
root = '/var/lib/containerd'
imports = []

[plugins]
  [plugins.'io.containerd.cri.v1.runtime']
    enable_cdi = true
    cdi_spec_dirs = ['/etc/cdi', '/var/run/cdi']
    {switches}

    [plugins.'io.containerd.cri.v1.runtime'.containerd]
      default_runtime_name = 'runc'

      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]
          runtime_type = 'io.containerd.kata.v2'
          runtime_path = ''

        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
          runtime_type = 'io.containerd.runc.v2'
          runtime_path = ''

          [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
            BinaryName = ''
            SystemdCgroup = false
"""

RUNC = "runc version 1.1.15+ds1\ncommit: 1.1.15+ds1-2+b4\nspec: 1.2.0\n"


class Node:
    """Programs in a directory, and what they answer, by the end of their command line."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.answers: dict[str, Completed] = {}
        self.program("runc")
        self.says("runc --version", RUNC)

    def program(self, name: str) -> None:
        (self.folder / name).write_text("#!/bin/sh\n")
        (self.folder / name).chmod(0o755)

    def says(self, call: str, text: str, code: int = 0) -> None:
        self.answers[call] = Completed(code, text if code == 0 else "", "" if code == 0 else text)

    def run(self, argv: t.Sequence[str], _timeout: float) -> Completed:
        called = " ".join(argv)
        return next((answer for call, answer in self.answers.items() if called.endswith(call)), Completed(127, "", "?"))

    def daemon(self, name: str, **more: t.Any) -> runtime.Daemon:
        program = {"cri-o": "crio"}.get(name, name)
        return runtime.Daemon(name, program, f"/usr/bin/{program}", 1, (program,), {"PATH": str(self.folder)}, **more)

    def facts(self, monkeypatch: pytest.MonkeyPatch, daemon: runtime.Daemon, endpoint: str = "") -> dict[str, t.Any]:
        monkeypatch.setattr(runtime, "daemons", lambda _found: [daemon])
        return runtime.runtime_facts([], endpoint or None, self.run)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    return Node(tmp_path)


def crio(node: Node, version: str, in_force: str, on_disk: str) -> runtime.Daemon:
    node.says("crio --version", f"crio version {version}\n   GitCommit:      unknown\n")
    node.says(" status --socket /run/crio/crio.sock config", CRIO_STATUS.format(on=in_force))
    node.says("/etc/crio/crio.conf.d config", CRIO_STATUS.format(on=on_disk))
    return node.daemon("cri-o")


def test_crio_says_what_is_in_force(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    found = node.facts(monkeypatch, crio(node, "1.36.3", "true", "true"))

    assert (found["name"], found["version"], found["running"]) == ("cri-o", "1.36.3", True)
    assert found["checkpoint"] == {
        "kind": "switch",
        "table": "crio.runtime",
        "key": "enable_criu_support",
        "value": True,
        "enable": True,
        "on": True,
    }
    assert found["restore_by_image"]["kind"] == "always" and found["restore_by_image"]["on"] is True
    assert found["restart_needed"] is False and found["storage"] == "/var/lib/containers/storage"
    crun, runc = found["handlers"]
    assert (crun["name"], crun["path"], crun["kind"], crun["default"]) == ("crun", None, None, False)
    assert (runc["kind"], runc["version"], runc["default"]) == ("runc", "1.1.15+ds1", True)
    assert runc["path"] == str(node.folder / "runc")


@pytest.mark.parametrize(
    ("criu", "in_force", "on_disk", "needed"),
    [
        (True, "false", "true", True),
        (False, "false", "true", False),
        (True, "false", "false", False),
        (True, "true", "false", True),
        (False, "true", "true", False),
    ],
)
def test_crio_that_does_not_use_what_is_configured_yet(
    node: Node, monkeypatch: pytest.MonkeyPatch, criu: bool, in_force: str, on_disk: str, needed: bool
) -> None:
    if criu:
        node.program("criu")
    found = node.facts(monkeypatch, crio(node, "1.36.3", in_force, on_disk))

    assert found["checkpoint"]["on"] is (in_force == "true") and found["restart_needed"] is needed
    assert found["restore_by_image"]["on"] is (in_force == "true")


@pytest.mark.parametrize(
    ("level", "checkpoint", "restore"),
    [("none", False, False), ("checkpoint_only", True, False), ("checkpoint_restore", True, True)],
)
def test_a_table_that_crio_shows_counts_whatever_its_version(
    node: Node, monkeypatch: pytest.MonkeyPatch, level: str, checkpoint: bool, restore: bool
) -> None:
    daemon = crio(node, "1.33.9", "true", "true")
    shown = CRIO_STATUS.format(on="true") + f'  [crio.checkpoint_restore]\n    container_level_enabled = "{level}"\n'
    node.says(" status --socket /run/crio/crio.sock config", shown)
    found = node.facts(monkeypatch, daemon)

    assert found["checkpoint"]["table"] == "crio.checkpoint_restore" and found["checkpoint"]["value"] == level
    assert (found["checkpoint"]["on"], found["restore_by_image"]["on"]) == (checkpoint, restore)


def test_crio_that_does_not_answer_is_read_from_its_files(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = crio(node, "1.36.3", "true", "false")
    node.says(" status --socket /run/crio/crio.sock config", "connection refused", code=1)
    found = node.facts(monkeypatch, daemon)

    assert found["checkpoint"]["on"] is False and "connection refused" in found["notes"][0]


def containerd(node: Node, version: str, *switches: str) -> runtime.Daemon:
    node.says("containerd --version", f"containerd github.com/containerd/containerd/v2 v{version} \n")
    node.says("config dump", CONTAINERD_DUMP.format(switches="\n    ".join(switches)))
    return node.daemon("containerd", since=1e12)


@pytest.mark.parametrize(
    ("version", "switches", "checkpoint", "restore"),
    [
        ("2.0.14", (), True, False),
        ("2.1.9", (), True, True),
        ("2.3.5", ("enable_criu = true", "enable_experimental_restore_via_create = false"), True, False),
        ("2.3.5", ("enable_criu = true", "enable_experimental_restore_via_create = true"), True, True),
        ("2.3.5", ("enable_criu = false", "enable_experimental_restore_via_create = true"), False, False),
        ("2.4.2", ("enable_criu = true",), True, False),
        ("2.4.2", ("enable_criu = false",), False, False),
    ],
)
def test_switches_of_containerd(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    switches: tuple[str, ...],
    checkpoint: bool,
    restore: bool,
) -> None:
    found = node.facts(monkeypatch, containerd(node, version, *switches))

    assert found["version"] == version and found["storage"] == "/var/lib/containerd"
    assert (found["checkpoint"]["on"], found["restore_by_image"]["on"]) == (checkpoint, restore)


def test_handlers_of_containerd(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    kata, runc = node.facts(monkeypatch, containerd(node, "2.1.9"))["handlers"]

    assert (kata["name"], kata["kind"], kata["default"]) == ("kata", "other", False)
    assert (runc["kind"], runc["type"], runc["default"]) == ("runc", "io.containerd.runc.v2", True)


def test_containerd_of_debian_13(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.says("containerd --version", "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+b4\n")
    dump = CONTAINERD_DUMP.format(switches="").replace("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri")
    node.says("config dump", dump.replace("'", '"').replace("version = 3", "version = 2"))
    found = node.facts(monkeypatch, node.daemon("containerd"))

    assert found["version"] == "1.7.24~ds1" and found["checkpoint"]["kind"] == "none"
    assert [handler["name"] for handler in found["handlers"]] == ["kata", "runc"]


def test_a_configuration_that_changed_later_is_not_in_force(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    daemon = containerd(node, "2.3.5", "enable_criu = true")
    daemon = dataclasses.replace(daemon, command=("containerd", "-c", str(path)), since=os.stat(path).st_mtime - 10)
    found = node.facts(monkeypatch, daemon)

    assert found["configuration"] == [str(path)] and found["restart_needed"] is True
    assert found["checkpoint"]["on"] is None and str(path) in found["notes"][0]


def test_a_configuration_that_cannot_be_read_leaves_switches_open(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = containerd(node, "2.3.5")
    node.says("config dump", "toml: line 3: expected newline", code=1)
    found = node.facts(monkeypatch, daemon)

    assert found["checkpoint"]["on"] is None and "line 3" in found["notes"][0]


def test_no_runtime_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "daemons", lambda _found: [])
    found = runtime.runtime_facts([], None)

    assert found["name"] is None and found["notes"]


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("unix:///var/run/crio/crio.sock", "cri-o"),
        ("unix:///run/containerd/containerd.sock", "containerd"),
        (None, "containerd"),
        ("unix:///run/other.sock", "containerd"),
    ],
)
def test_of_two_runtimes_the_kubelet_s_counts(node: Node, endpoint: t.Optional[str], name: str) -> None:
    both = [node.daemon("containerd"), node.daemon("cri-o")]
    chosen = runtime.chosen(both, endpoint)

    assert chosen is not None and chosen.name == name


def test_options_of_a_command_line() -> None:
    command = ["containerd", "--config", "/a", "-c=/b", "--log-level"]

    assert processes.option(command, "--config", "-c") == "/b"
    assert processes.option(command, "--config") == "/a"
    assert processes.option(command, "--log-level") == "true"
    assert processes.option(command, "--root") is None


def test_what_is_understood_of_toml() -> None:
    text = 'a = 1\n[x.\'y.z\'."w"]\nb = "q\\"r"\nc = [\'m\', "n"]\nd = 1.5\n# e = 1\nf = false\n'

    assert toml.tables(text) == {
        (): {"a": 1},
        ("x", "y.z", "w"): {"b": 'q"r', "c": ["m", "n"], "d": None, "f": False},
    }


def test_what_is_understood_of_yaml() -> None:
    text = (
        "---\nport: 0 # none\nname: 'a: b'\ngates:\n  One: true\n  \"Two\": false\nlist:\n- x\n- y=1\n"
        "flow: {A: true, B: 3}\nempty:\ndeep:\n  more:\n    key: 1\n"
    )

    assert files.yaml_scalars(text) == {
        "port": 0,
        "name": "a: b",
        "gates": {"One": True, "Two": False},
        "list": ["x", "y=1"],
        "flow": {"A": True, "B": 3},
        "empty": None,
        "deep": {"more": None, "key": 1},
    }
    assert files.yaml_scalars("{not json") is None
