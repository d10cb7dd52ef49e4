# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of checkpoints on real registries, and containers that CRI-O and containerd restore from them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pathlib
import subprocess
import typing as t

import pytest
from support import LAB, REGISTRY, Cluster, Controller, lab, node_run, wait_until

NODES = ("crio-b", "ctd-b")
BECOME = {"become": True}


@dataclasses.dataclass(frozen=True)
class Taken:
    """An archive on its node, a copy of it here, and what its counter answered before it was taken."""

    node: str
    path: str
    copy: pathlib.Path
    answered: dict[str, t.Any]


@pytest.fixture(scope="module")
def taken(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, Taken]]:
    folder = tmp_path_factory.mktemp("taken")
    cluster.apply(*(cluster.pod(f"counter-{node}", node) for node in NODES))
    for node in NODES:
        cluster.says(f"counter-{node}", "count 5")
    answered = {f"counter-{node}": cluster.ask(f"counter-{node}") for node in NODES}
    result = Controller(folder).task("kubelet_checkpoint", namespace=cluster.namespace)
    found: dict[str, Taken] = {}
    for item in result["checkpoints"]:
        copy = folder / f"{item['node']}.tar"
        with copy.open("wb") as file:
            subprocess.run([LAB / "lab", "exec", item["node"], "cat", item["path"]], stdout=file, check=True)
        found[item["node"]] = Taken(item["node"], item["path"], copy, answered[item["pod"]])
        cluster.delete(item["pod"])
    yield found
    for item in found.values():
        lab("exec", item.node, "rm", item.path)


def push(controller: Controller, cluster: Cluster, taken: Taken, tag: str, **options: t.Any) -> dict[str, t.Any]:
    """From the node, which trusts the registry's CA."""
    name = f"{REGISTRY}/{cluster.namespace}/{taken.node}:{tag}"
    return controller.task("checkpoint_image", on=taken.node, keywords=BECOME, path=taken.path, name=name, **options)


def restored(cluster: Cluster, taken: Taken, image: str, what: str) -> None:
    """A pod of the image goes on where the archive was taken."""
    name = f"{what}-{taken.node}"
    pod = cluster.pod(name, taken.node)
    pod["spec"]["containers"][0]["image"] = image
    cluster.apply(pod)
    now = cluster.ask(name)
    # The same process: a cold start would have begun at another time, and count from nothing.
    assert now["since"] == taken.answered["since"] and now["count"] >= taken.answered["count"]
    wait_until("the next number", lambda: cluster.ask(name)["count"] > now["count"])
    cluster.delete(name)


@pytest.mark.every_core
@pytest.mark.parametrize("node", NODES)
def test_a_counter_goes_on_counting(
    taken: dict[str, Taken], cluster: Cluster, controller: Controller, node: str
) -> None:
    archive = taken[node]
    pushed = push(controller, cluster, archive, "restored")
    assert pushed["changed"] and not pushed["failed"], pushed
    assert pushed["archive_sha256"] == hashlib.sha256(archive.copy.read_bytes()).hexdigest()
    assert pushed["layer"]["digest"] == f"sha256:{pushed['archive_sha256']}"
    assert pushed["annotations"]["org.criu.checkpoint.host.arch"] == node_run(node, "uname -m").strip()
    assert pushed["annotations"]["org.criu.checkpoint.host.kernel"] == node_run(node, "uname -r").strip()
    again = push(controller, cluster, archive, "restored")
    assert not again["changed"] and again["digest"] == pushed["digest"] and again["bytes_sent"] == 0

    restored(cluster, archive, pushed["reference"], "plain")


@pytest.fixture
def private(facts: dict[str, t.Any]) -> dict[str, t.Any]:
    """The registry that asks for a password, as this machine reaches it."""
    given = dict(facts["private_registry"])
    return {**given, "name": f"{facts['registry_address']}:{given['name'].rpartition(':')[2]}", "ca": facts["ca"]}


def from_here(controller: Controller, taken: Taken, name: str, **options: t.Any) -> dict[str, t.Any]:
    return controller.task("checkpoint_image", path=str(taken.copy), name=name, **options)


def docker_config(registry: str, username: str, password: str) -> str:
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": encoded}}})


def test_a_registry_that_asks_for_a_password(
    taken: dict[str, Taken], controller: Controller, private: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    archive = taken["crio-b"]
    user = (private["username"], private["password"])
    (tmp_path / "auth.json").write_text(docker_config(private["name"], *user))
    refusals: list[dict[str, t.Any]] = [
        {},
        {"username": user[0], "password": "wrong-password"},
        {"pull_secret": docker_config("registry.example.com", *user)},
    ]
    for number, given in enumerate(refusals):
        result = from_here(controller, archive, f"{private['name']}/it/no{number}:1", ca_cert=private["ca"], **given)
        assert result["failed"] and result["code"] == "unauthorized", result
        assert "wrong-password" not in controller.output
    accepted: list[dict[str, t.Any]] = [
        {"username": user[0], "password": user[1]},
        {"authfile": str(tmp_path / "auth.json")},
        {"pull_secret": docker_config(private["name"], *user)},
    ]
    digests = set()
    for number, given in enumerate(accepted):
        result = from_here(
            controller, archive, f"{private['name']}/it/{tmp_path.name}:{number}", ca_cert=private["ca"], **given
        )
        assert result["changed"], result
        assert user[1] not in controller.output + json.dumps(result)
        digests.add(result["digest"])
        # The layer is there from the second time on.
        assert (result["bytes_sent"] > archive.copy.stat().st_size) == (number == 0)
    assert len(digests) == 1
    name = f"docker://{private['name']}/it/{tmp_path.name}:0"
    access = {"ca_cert": private["ca"], **accepted[0]}
    (listed,) = controller.task("checkpoint_info", paths=[name], **access)["checkpoints"]
    seen = controller.task("checkpoint_inspect", path=name, **access)
    plain = controller.task("checkpoint_inspect", path=str(archive.copy))
    assert listed["readable"] and listed["identity"] == plain["identity"], listed
    assert not seen["failed"] and seen["processes"] == plain["processes"] != [], seen


def test_a_registry_of_another_ca(
    taken: dict[str, Taken], controller: Controller, private: dict[str, t.Any], facts: dict[str, t.Any]
) -> None:
    for options in ({"ca_cert": facts["other_ca"]}, {}):
        result = from_here(controller, taken["crio-b"], f"{private['name']}/it/no:1", **options)
        assert result["failed"] and result["code"] == "certificate_untrusted", result


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_layers_are_restored_too(
    taken: dict[str, Taken],
    cluster: Cluster,
    controller: Controller,
    facts: dict[str, t.Any],
    node: str,
    compression: str,
) -> None:
    archive = taken[node]
    repository = f"{cluster.namespace}/{node}:{compression}"
    here = f"{facts['registry_address']}:{REGISTRY.rpartition(':')[2]}/{repository}"
    # The nodes have nothing that compresses with zstd; what pushes from here has.
    result = from_here(controller, archive, here, ca_cert=facts["ca"], compression=compression)
    assert result["changed"] and result["layer"]["size"] < archive.copy.stat().st_size, result
    again = from_here(controller, archive, here, ca_cert=facts["ca"], compression=compression)
    assert not again["changed"] and again["digest"] == result["digest"]
    restored(cluster, archive, f"{REGISTRY}/{repository}", compression)


def test_zstd_where_there_is_none(taken: dict[str, Taken], cluster: Cluster, controller: Controller) -> None:
    result = push(controller, cluster, taken["crio-b"], "zstd-on-the-node", compression="zstd")
    assert result["failed"] and result["code"] == "zstd_missing", result


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("kind", ["layout", "file"])
def test_images_on_the_disk_are_read_back(
    taken: dict[str, Taken], controller: Controller, tmp_path: pathlib.Path, node: str, kind: str
) -> None:
    archive = taken[node]
    path = str(tmp_path / "image")
    made = from_here(controller, archive, "registry.example.com/it/image:1", **{kind: path})
    assert made["changed"], made
    (listed,) = controller.task("checkpoint_info", paths=[path])["checkpoints"]
    (direct,) = controller.task("checkpoint_info", paths=[str(archive.copy)])["checkpoints"]
    assert listed["identity"] == direct["identity"] and listed["identity"]["node"] == node
    seen = controller.task("checkpoint_inspect", path=path)
    plain = controller.task("checkpoint_inspect", path=str(archive.copy))
    assert not seen["failed"] and seen["processes"] == plain["processes"] != []


@pytest.mark.parametrize("kind", ["layout", "file"])
def test_a_full_disk(
    taken: dict[str, Taken],
    controller: Controller,
    tmp_path: pathlib.Path,
    undo: t.Callable[[t.Callable[[], t.Any]], None],
    kind: str,
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for the announced size is looked for first: gzip does not announce one, and meets the end of the disk.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)], check=True)
    undo(lambda: subprocess.run(["umount", str(disk)], check=True))
    for compression in ("none", "gzip"):
        result = from_here(
            controller,
            taken["ctd-b"],
            "registry.example.com/a:1",
            compression=compression,
            **{kind: str(disk / "image")},
        )
        assert result["failed"] and result["code"] == "destination_full", result
        assert list(disk.iterdir()) == []


def test_an_archive_with_a_member_that_leads_out(
    taken: dict[str, Taken], controller: Controller, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "evil").write_text("x")
    hostile = tmp_path / "hostile.tar"
    hostile.write_bytes(taken["crio-b"].copy.read_bytes())
    command = ["tar", "--append", "--force-local", "--absolute-names", "--file", str(hostile), str(tmp_path / "evil")]
    subprocess.run(command, check=True)
    result = controller.task(
        "checkpoint_image", path=str(hostile), name="registry.example.com/a:1", layout=str(tmp_path / "layout")
    )
    assert result["failed"] and result["code"] == "archive_unsafe" and "evil" in result["reason"], result
    assert not (tmp_path / "layout").exists()
