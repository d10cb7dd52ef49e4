# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Editing by lines: what is read of TOML and YAML, and that every edit can be undone to the byte."""

from __future__ import annotations

import pathlib
import random
import sys
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import toml as reader
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings import toml, yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings.last_words import last_words
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings.marks import (
    MARK,
    appended,
    below_mark,
    marked,
    without_marked,
)
from recorded_nodes import FIXTURES

TRICKY = """\
# a comment
title = 'one # not a comment' # a comment
escaped = "a \\"quoted\\" # word"
on = true
number = -3
imports = [
  "/etc/containerd/conf.d/*.toml", # first
  'other.toml',
]
lines = '''
[not.a.table]
on = false
'''
inline = { a = 1 }
dotted.key = "x"

[ plugins . "io.containerd.cri.v1.runtime" ]  # a comment
  enable_cdi = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
[[array]]
a = "b"
"""


@pytest.fixture
def pyyaml() -> t.Any:
    """A whole reader of YAML, where there is one."""
    return pytest.importorskip("yaml")


WHOLE = [TRICKY, *(path.read_text() for path in sorted(FIXTURES.rglob("*.toml")))]
YAML_FILES = [
    path.read_text() for path in sorted(FIXTURES.rglob("*.yaml")) + sorted(FIXTURES.rglob("kubelet.conf.d/*"))
]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the library has no TOML before Python 3.11")
@pytest.mark.parametrize("text", WHOLE)
def test_values_are_those_that_a_whole_reader_finds(text: str) -> None:
    import tomllib

    whole = tomllib.loads(text)
    entries = [entry for entry in reader.document(text).entries if entry.table[:1] != ("array",)]
    assert entries
    for entry in entries:
        value: t.Any = whole
        for part in entry.key:
            value = value[part]
        if entry.value is not reader.UNKNOWN:
            assert entry.value == value, entry
        else:
            assert not isinstance(value, (bool, int)), entry


def test_an_unknown_value_is_none_of_the_plain_ones() -> None:
    found = {entry.key: entry.value for entry in reader.document(TRICKY).entries}
    assert found["lines",] is reader.UNKNOWN and found["inline",] is reader.UNKNOWN
    assert found["imports",] == ["/etc/containerd/conf.d/*.toml", "other.toml"]
    assert ("not", "a", "table") not in reader.document(TRICKY).tables
    escaped = reader.document('a = "\\U0001F600"\nb = 1\n').entries
    assert [entry.value for entry in escaped] == [reader.UNKNOWN, 1]


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\r\n", "\n# end"])
@pytest.mark.parametrize("text", WHOLE)
def test_toml_edits_hold_and_go(text: str, ending: str) -> None:
    original = text.rstrip("\n") + ending
    tables = {
        'plugins."io.containerd.cri.v1.runtime"': {"enable_cdi": True, "made_up": 'a\\b"c', "list": ["x"]},
        "debug": {"level": "warn"},
        "new.'one two'": {"a": 1},
    }
    text = toml.edited(original, tables)
    assert without_marked(text) == original
    assert toml.edited(without_marked(text), tables) == text
    found = reader.document(text)
    for table, keys in tables.items():
        for key, value in keys.items():
            entry = found.find((*reader.split_key(table), key))
            assert entry is not None and entry.value == value
    if sys.version_info >= (3, 11):
        import tomllib

        assert tomllib.loads(text)["plugins"]["io.containerd.cri.v1.runtime"]["enable_cdi"] is True


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n# end"])
@pytest.mark.parametrize("text", YAML_FILES)
def test_yaml_edits_hold_and_go(pyyaml: t.Any, text: str, ending: str) -> None:
    original = text.rstrip("\n") + ending
    fields = {"runtimeRequestTimeout": "10m", "readOnlyPort": 0, "featureGates": {"ContainerCheckpoint": True}}
    text = yaml.edited(original, fields)
    assert without_marked(text) == original
    before, after = pyyaml.safe_load(original), pyyaml.safe_load(text)
    gates = {**(before.get("featureGates") or {}), "ContainerCheckpoint": True}
    assert after == {**before, **fields, "featureGates": gates}


@pytest.mark.parametrize(
    "text",
    [
        "featureGates: {NodeSwap: true}\n",
        "featureGates:\n    NodeSwap: true\n    # a comment\n    ContainerCheckpoint: false\nz: 1\n",
        "featureGates: {}\n",
        "---\nfeatureGates:  # none yet\nz: 1\n",
        "z: 1\nfeatureGates:\n  NodeSwap: true",
    ],
)
def test_gates_in_every_form(pyyaml: t.Any, text: str) -> None:
    edited = yaml.edited(text, {"featureGates": {"ContainerCheckpoint": True}})
    assert pyyaml.safe_load(edited)["featureGates"]["ContainerCheckpoint"] is True
    assert without_marked(edited) == text


@pytest.mark.parametrize(
    "text",
    ['{"kind": "x"}', "a: 1\n---\nb: 1\n", "runtimeRequestTimeout: >\n  10m\n", "featureGates: {a: {b: c}}\n"],
)
def test_yaml_that_lines_cannot_change_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        yaml.edited(text, {"runtimeRequestTimeout": "10m", "featureGates": {"ContainerCheckpoint": True}})


@pytest.mark.parametrize(
    "value", ["10m", "on", "1e3", "0x10", "a: b", "# x", "", "null", "é", True, 0, 1.5, "-1", "*x"]
)
def test_scalars_are_read_as_what_they_are(pyyaml: t.Any, value: t.Any) -> None:
    assert pyyaml.safe_load(f"x: {yaml.scalar(value)}") == {"x": value}


def test_random_lines_of_others_are_never_touched() -> None:
    choice = random.Random(20261121)
    pieces = [
        "a = 1",
        "[table]",
        "  b: 2",
        "",
        "# checkpoint",
        " ",
        "\t",
        "x\r",
        "\x0b",
        "\u2028",
        "key:",
        "version = 3",
    ]
    for _round in range(500):
        text = "\n".join(choice.choices(pieces, k=choice.randrange(6))) + choice.choice(["", "\n"])
        for added in (marked("ours = 1"), below_mark("ours"), marked("[ours]") + marked("b = 2")):
            assert without_marked(appended(text, added)) == text


def test_keys_of_others_keep_the_table_of_ours() -> None:
    text = toml.drop_in({"crio.runtime": {"a": 1}, "crio.image": {"b": 2}}, version=3)
    changed = text.replace(f"a = 1  {MARK}\n", f"a = 1  {MARK}\nlog_level = 'info'\n")
    assert without_marked(changed) == "version = 3\n[crio.runtime]\nlog_level = 'info'\n"
    assert without_marked(text) == ""


def test_last_words(tmp_path: pathlib.Path) -> None:
    crio = (
        'time="2026-11-21T13:42:45Z" level=info msg="Using default capabilities: CAP_CHOWN"\n'
        'time="2026-11-21T13:42:45Z" level=fatal msg="validating runtime config: invalid cgroup manager: \\"nix\\""\n'
        "crio.service: Failed with result 'exit-code'.\n"
    )
    assert last_words(crio) == 'validating runtime config: invalid cgroup manager: "nix"'
    kubelet = 'E1121 13:11:09.292054     605 run.go:72] "command failed" err="failed to validate: port 70000"\n'
    assert last_words(kubelet) == "failed to validate: port 70000"
    containerd = (
        'time="2026-11-21T13:52:50Z" level=warning msg="failed to load plugin" error="invalid plugin config: no'
        ' corresponding runtime" id=io.containerd.cri.v1.runtime type=io.containerd.cri.v1\n'
        'time="2026-11-21T13:52:50Z" level=info msg="containerd successfully booted in 0.023381s"\n'
    )
    assert last_words(containerd) == "invalid plugin config: no corresponding runtime"
    assert last_words("one\ntwo\n\n") == "two"
    assert last_words("") == ""
