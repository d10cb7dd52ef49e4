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
# containerd 1.7.35, containerd config dump
CONTAINERD_1 = """\
version = 2

[plugins]

  [plugins."io.containerd.grpc.v1.cri"]

    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes]

        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          base_runtime_spec = ""
          cni_max_conf_num = 0
          pod_annotations = []
          privileged_without_host_devices = false
          runtime_type = "io.containerd.runc.v2"
          sandbox_mode = "podsandbox"

          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            BinaryName = ""
            IoGid = 0
            SystemdCgroup = false
"""
MAIN_1 = """\
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.example.com/pause:3.10"
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

    def dump(program: str, *words: str) -> t.Any:
        if program == "crio":
            return document(CRIO)
        old = "default" not in words and (tmp_path / "config.toml").read_text().startswith("version = 2")
        return document(CONTAINERD_1 if old else CONTAINERD)

    monkeypatch.setattr(handler, "_dump", dump)
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


DEFAULT = HANDLER._replace(default=True)
TABLE = f"plugins.'{PLUGIN}'.containerd"


@pytest.mark.parametrize(
    ("main", "as_default"),
    [
        # As `containerd config default` prints it, which sites keep as their configuration.
        (
            f"version = 3\n\n[{TABLE}]\n  default_runtime_name = 'runc'\n  ignore_x = 1\n\n[{TABLE}.runtimes.runc]\n",
            (
                f"version = 3\n\n[{TABLE}]\n{handler.BEGIN}\n# instead of:   default_runtime_name = 'runc'\n"
                f'default_runtime_name = "checkpoint-restore"\n{handler.END}\n  ignore_x = 1\n\n'
                f"[{TABLE}.runtimes.runc]\n"
            ),
        ),
        (
            f"version = 3\n[{TABLE}]\nignore_x = 1\n",
            (
                f'version = 3\n[{TABLE}]\n{handler.BEGIN}\ndefault_runtime_name = "checkpoint-restore"\n{handler.END}\n'
                "ignore_x = 1\n"
            ),
        ),
    ],
    ids=["named", "table"],
)
def test_the_default_handler_is_named_where_its_table_is(node: pathlib.Path, main: str, as_default: str) -> None:
    (node / "config.toml").write_text(main)
    applied(handler._containerd(DEFAULT))
    text = (node / "config.toml").read_text()
    assert text.startswith(as_default)
    assert text.count('default_runtime_name = "') == 1
    assert handler._containerd(DEFAULT).changes == ()
    applied(handler._containerd(HANDLER))
    assert 'default_runtime_name = "' not in (node / "config.toml").read_text()
    applied(handler._containerd(DEFAULT))
    applied(handler._containerd(None))
    assert (node / "config.toml").read_text() == main


def test_a_configuration_that_was_not_there_goes_again(node: pathlib.Path) -> None:
    (node / "config.toml").unlink()
    applied(handler._containerd(DEFAULT))
    values = {entry.key: entry.value for entry in document((node / "config.toml").read_text()).entries}
    assert values[("version",)] == 3
    assert values[("plugins", PLUGIN, "containerd", "default_runtime_name")] == "checkpoint-restore"
    assert handler._containerd(DEFAULT).changes == ()
    applied(handler._containerd(None))
    assert not (node / "config.toml").exists()


def test_containerd_1_keeps_runc_beside_it(node: pathlib.Path) -> None:
    (node / "config.toml").write_text(MAIN_1)
    applied(handler._containerd(HANDLER))
    found = document((node / "config.toml").read_text())
    runtimes = ("plugins", handler.BEFORE_2, "containerd", "runtimes")
    values = {entry.key[4:]: entry.value for entry in found.entries if entry.key[:4] == runtimes}
    assert values == {
        ("checkpoint-restore", "runtime_type"): "io.containerd.runc.v2",
        ("checkpoint-restore", "options", "BinaryName"): HANDLER.program,
        ("runc", "runtime_type"): "io.containerd.runc.v2",
    }
    applied(handler._containerd(None))
    assert (node / "config.toml").read_text() == MAIN_1


def test_containerd_1_has_its_own_runc(node: pathlib.Path) -> None:
    main = f'{MAIN_1}[plugins."{handler.BEFORE_2}".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n'
    (node / "config.toml").write_text(main)
    applied(handler._containerd(HANDLER))
    assert (node / "config.toml").read_text().count("runtimes.runc]") == 1


def test_containerd_1_is_told_in_its_main_file(node: pathlib.Path) -> None:
    text = MAIN_1.replace("\n\n", f'\nimports = ["{node}/conf.d/*.toml"]\n\n', 1)
    (node / "config.toml").write_text(text)
    (node / "conf.d").mkdir()
    (node / "conf.d" / "log.toml").write_text('version = 2\n[debug]\nlevel = "debug"\n')
    applied(handler._containerd(HANDLER))
    assert [path.name for path in (node / "conf.d").iterdir()] == ["log.toml"]
    assert "checkpoint-restore" in (node / "config.toml").read_text()
    (node / "conf.d" / "cri.toml").write_text(MAIN_1)
    with pytest.raises(CheckpointError) as caught:
        handler._containerd(HANDLER)
    assert caught.value.code == "configuration_form" and "cri.toml and nothing of it from" in caught.value.reason


def test_a_file_that_is_written_anew_at_each_start(node: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(handler.containerd_files.GENERATED, str(node / "config.toml"), ("k3s",))
    with pytest.raises(CheckpointError) as caught:
        handler._containerd(HANDLER)
    assert caught.value.code == "configuration_form"
    assert handler._containerd(None).changes == ()


def test_another_default_handler_in_a_file_that_counts_more(node: pathlib.Path) -> None:
    (node / "config.toml").write_text(f'version = 3\nimports = ["{node}/conf.d/*.toml"]\n')
    (node / "conf.d").mkdir()
    later = {
        node / "conf.d" / "99-gpu.toml": f"version = 3\n[{TABLE}]\ndefault_runtime_name = 'gpu'\n",
        node / "crio.conf.d" / "99-gpu.conf": '[crio.runtime]\ndefault_runtime = "gpu"\n',
    }
    for path, text in later.items():
        path.write_text(text)
    for plan in (handler._containerd, handler._crio):
        with pytest.raises(CheckpointError) as caught:
            plan(DEFAULT)
        assert caught.value.code == "conflicting_setting" and "99-gpu" in caught.value.reason
        assert plan(HANDLER).changes != ()


def test_containerd_takes_over_what_pods_may_use(node: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = CONTAINERD.replace(
        "          runtime_type", "          pod_annotations = ['io.example/*']\n          runtime_type"
    )
    monkeypatch.setattr(handler, "_dump", lambda *_words: document(said))
    applied(handler._containerd(HANDLER))
    key = ("plugins", PLUGIN, "containerd", "runtimes", "checkpoint-restore", "pod_annotations")
    entry = document((node / "config.toml").read_text()).find(key)
    assert entry is not None and entry.value == ["io.example/*"]


def test_crio_takes_after_the_default_handler(node: pathlib.Path) -> None:
    applied(handler._crio(DEFAULT))
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
