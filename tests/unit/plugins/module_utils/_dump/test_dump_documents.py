# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of an archive, made from what CRI-O has on a node, against those that it wrote itself.

containerd's are compared on the laboratory: they come from a containerd that runs.
"""

from __future__ import annotations

import json
import pathlib
import tarfile
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.documents import documents
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.dumping import Options, parse_bytes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node.containers import Container
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import FIXTURES


@pytest.fixture
def own() -> dict[str, t.Any]:
    """What CRI-O 1.36.3 wrote."""
    with tarfile.open(FIXTURES / "crio-runc-ledger.tar.xz") as tar:
        return {name: json.load(t.cast("t.Any", tar.extractfile(name))) for name in NAMES}


NAMES = ("config.dump", "spec.dump", "bind.mounts")


@pytest.fixture
def container(tmp_path: pathlib.Path, own: dict[str, t.Any]) -> Container:
    """The same container on a node, with the sources of its mounts in another place."""
    spec = own["spec.dump"]
    kinds = {mount["destination"]: mount["file_type"] for mount in own["bind.mounts"]}
    for number, mount in enumerate(spec["mounts"]):
        if mount["type"] == "bind":
            source = tmp_path / "mounts" / str(number)
            mount["source"] = str(source)
            if kinds.get(mount["destination"]) == "directory":
                source.mkdir(parents=True)
            else:
                source.parent.mkdir(exist_ok=True)
                source.write_text("")
    sandbox = {"annotations": {"io.kubernetes.cri-o.RuntimeHandler": ""}}
    for name, config in (
        (own["config.dump"]["id"], spec),
        (spec["annotations"]["io.kubernetes.cri-o.SandboxID"], sandbox),
    ):
        (tmp_path / name / "userdata").mkdir(parents=True)
        (tmp_path / name / "userdata" / "config.json").write_text(json.dumps(config))
    work = tmp_path / "work"
    work.mkdir()
    (work / "state.json").write_text(json.dumps({"created": own["config.dump"]["createdTime"]}))
    identifier = own["config.dump"]["id"]
    bundle = str(tmp_path / identifier / "userdata")
    return Container(
        "cri-o", "container", identifier, "archive-helper", "ledger-crio", "9ed1", "ledger", bundle, str(work),
        pid=1, runtime="runc",
    )  # fmt: skip


def test_they_are_those_that_cri_o_writes(container: Container, own: dict[str, t.Any]) -> None:
    made = documents(container)
    found = {name: json.loads(content) for name, content in made.members.items()}
    assert set(found) == set(NAMES)
    assert found["spec.dump"] == own["spec.dump"]
    assert list(found["config.dump"]) == list(own["config.dump"])
    differing = {key for key, value in own["config.dump"].items() if found["config.dump"][key] != value}
    assert differing == {"checkpointedTime"}
    shown = [{key: mount[key] for key in ("destination", "file_type")} for mount in found["bind.mounts"]]
    assert shown == [{key: mount[key] for key in ("destination", "file_type")} for mount in own["bind.mounts"]]
    assert [sorted(mount) for mount in found["bind.mounts"]] == [sorted(mount) for mount in own["bind.mounts"]]
    assert made.log == ("io.kubernetes.cri-o.LogPath", own["spec.dump"]["annotations"]["io.kubernetes.cri-o.LogPath"])


def test_the_handler_of_the_pod_is_named(container: Container, own: dict[str, t.Any]) -> None:
    sandbox = own["spec.dump"]["annotations"]["io.kubernetes.cri-o.SandboxID"]
    path = pathlib.Path(container.bundle).parents[1] / sandbox / "userdata" / "config.json"
    path.write_text(json.dumps({"annotations": {"io.kubernetes.cri-o.RuntimeHandler": "special"}}))
    assert json.loads(documents(container).members["config.dump"])["runtime"] == "special"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"annotations": []}', '{"annotations": {}}'])
def test_what_cannot_be_read_is_refused(container: Container, text: str) -> None:
    pathlib.Path(container.bundle, "config.json").write_text(text)
    with pytest.raises(CheckpointError) as raised:
        documents(container)
    assert raised.value.code == "identity_unreadable"


@pytest.mark.parametrize(
    ("text", "size"), [(None, None), ("1", 1), ("10K", 10 << 10), ("64M", 64 << 20), ("3G", 3 << 30)]
)
def test_numbers_of_bytes(text: t.Optional[str], size: t.Optional[int]) -> None:
    assert parse_bytes(text, "ghost_limit") == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5M", "64 M", "64MB", "4G", "9999999999G", "1\nexec-cmd"])
def test_what_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        parse_bytes(text, "ghost_limit")
    assert raised.value.code == "invalid_option"


def test_the_options_as_criu_spells_them() -> None:
    assert Options(False, False, True, None).configuration() == "network-lock skip\n"
    every = Options(True, True, True, 1 << 20).configuration()
    assert every == "network-lock skip\ntcp-close\nskip-in-flight\nghost-limit 1048576\n"
