# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The handler in the configurations of containerd and CRI-O. What their programs print is as seen on the laboratory."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.toml import document
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import handler

HANDLER = handler.Handler("checkpoint-restore", "/opt/checkpoint-restore/checkpoint-restore-runtime", False)
PLUGIN = "io.containerd.cri.v1.runtime"

# containerd 2.1.9, containerd config dump
CONTAINERD = """\
version = 3

[plugins]
  [plugins.'io.containerd.cri.v1.runtime']
    [plugins.'io.containerd.cri.v1.runtime'.containerd]
      default_runtime_name = 'runc'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
          runtime_type = 'io.containerd.runc.v2'
          [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
            BinaryName = ''
            SystemdCgroup = true
"""
# CRI-O 1.36.3, crio config
CRIO = """\
[crio.runtime]
default_runtime = "runc"
[crio.runtime.runtimes.runc]
runtime_path = ""
runtime_root = "/run/runc"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
monitor_exec_cgroup = ""
"""
MAIN = """\
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'registry.example.com/pause:3.10'
"""


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A node with both configurations in a folder, and programs that say what they said on the laboratory."""
    (tmp_path / "crio.conf.d").mkdir()
    (tmp_path / "config.toml").write_text(MAIN)
    said = {"crio": CRIO, "containerd": CONTAINERD}
    monkeypatch.setattr(handler, "_dump", lambda program, *_words: document(said[program]))
    monkeypatch.setattr(handler.containerd_files, "main_file", lambda _root: str(tmp_path / "config.toml"))
    sources = handler.crio_files.Sources(str(tmp_path / "crio.conf"), str(tmp_path / "crio.conf.d"), ())
    monkeypatch.setattr(handler.crio_files, "sources", lambda _root: sources)
    return tmp_path


def applied(plan: t.Any) -> None:
    for change in plan.changes:
        if change.after is None:
            pathlib.Path(change.path).unlink()
        else:
            pathlib.Path(change.path).write_text(change.after)


def test_containerd_takes_after_the_default_handler(node: pathlib.Path) -> None:
    applied(handler._containerd(HANDLER))
    found = document((node / "config.toml").read_text())
    table = ("plugins", PLUGIN, "containerd", "runtimes", "checkpoint-restore")
    values = {entry.key: entry.value for entry in found.entries}
    assert values[(*table, "runtime_type")] == "io.containerd.runc.v2"
    assert values[(*table, "options", "BinaryName")] == HANDLER.program
    assert values[(*table, "options", "SystemdCgroup")] is True
    assert handler._containerd(HANDLER).changes == ()
    applied(handler._containerd(None))
    assert (node / "config.toml").read_text() == MAIN


def test_containerd_with_a_directory_that_it_imports(node: pathlib.Path) -> None:
    main = f'version = 3\nimports = ["{node}/conf.d/*.toml"]\n'
    (node / "config.toml").write_text(main)
    (node / "conf.d").mkdir()
    applied(handler._containerd(HANDLER))
    assert (node / "config.toml").read_text() == main
    text = (node / "conf.d" / handler.CONTAINERD_NAME).read_text()
    assert text.startswith("version = 3\n")
    applied(handler._containerd(None))
    assert list((node / "conf.d").iterdir()) == []


def test_containerd_with_a_configuration_that_is_too_old(node: pathlib.Path) -> None:
    (node / "config.toml").write_text("[plugins.cri]\n")
    with pytest.raises(CheckpointError) as caught:
        handler._containerd(HANDLER)
    assert caught.value.code == "configuration_form"


def test_crio_takes_after_the_default_handler(node: pathlib.Path) -> None:
    applied(handler._crio(HANDLER._replace(default=True)))
    text = (node / "crio.conf.d" / handler.CRIO_NAME).read_text()
    values = {entry.key[2:]: entry.value for entry in document(text).entries}
    table = ("runtimes", "checkpoint-restore")
    assert values == {
        ("default_runtime",): "checkpoint-restore",
        (*table, "runtime_path"): HANDLER.program,
        (*table, "runtime_type"): "oci",
        (*table, "runtime_root"): "/run/runc",
        (*table, "monitor_path"): "/usr/bin/conmon",
        (*table, "monitor_cgroup"): "pod",
    }
    applied(handler._crio(None))
    assert list((node / "crio.conf.d").iterdir()) == []
