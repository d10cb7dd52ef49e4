# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that come back from images, by the restore runtime or by the container runtime."""

from __future__ import annotations

import re
import typing as t

import pytest
from restore_support import Archives, security
from support import REGISTRY, SOME_NODES, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

CRIO, CTD = SOME_NODES
STORE = "/var/lib/checkpoint-restore"
BECOME = {"become": True}


class Kept(t.NamedTuple):
    """The archive of a counter on its node, what the counter answered before it was taken, and the image of it."""

    path: str
    answered: dict[str, t.Any]
    image: dict[str, t.Any]

    @property
    def name(self) -> str:
        return f"docker://{self.image['name']}"


@pytest.fixture(scope="module")
def kept(cluster: Cluster, archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, Kept]]:
    """An archive of CRI-O in an image as it is, and one of containerd compressed."""
    controller = Controller(tmp_path_factory.mktemp("kept"))
    cluster.apply(*(cluster.pod(f"kept-{node}", node) for node in SOME_NODES))
    found = {}
    for node, compression in ((CRIO, "none"), (CTD, "gzip")):
        cluster.says(f"kept-{node}", "count 3")
        answered = cluster.ask(f"kept-{node}")
        path = archives.checkpoint(f"kept-{node}", node)
        options = {"path": path, "name": f"{REGISTRY}/{cluster.namespace}/{node}:1", "compression": compression}
        found[node] = Kept(path, answered, controller.task("checkpoint_image", on=node, keywords=BECOME, **options))
    yield found
    for node, archive in found.items():
        node_run(node, f"rm '{archive.path}'")


def goes_on(cluster: Cluster, name: str, archive: Kept) -> None:
    """The pod's process is the one that the archive was taken of: another would have begun later, and with nothing."""
    now = cluster.ask(name)
    assert now["since"] == archive.answered["since"] and now["count"] >= archive.answered["count"]
    wait_until("the next number", lambda: cluster.ask(name)["count"] > now["count"])
    assert cluster.get(name)["status"]["containerStatuses"][0]["restartCount"] == 0


def left(node: str, namespace: str) -> str:
    """Tickets for the namespace, and what was unpacked of its archives."""
    places = " ".join(f"{STORE}/{name}" for name in ("archives", "tickets"))
    return node_run(node, f"find {places} -name '*{namespace}*' 2>/dev/null; true")


@pytest.mark.parametrize(("source", "target"), [(CRIO, CTD), (CTD, CRIO)])
def test_from_the_registry_into_the_restore_runtime(
    cluster: Cluster, controller: Controller, kept: dict[str, Kept], source: str, target: str
) -> None:
    archive, name = kept[source], f"unpacked-{target}"
    variables = {"archive": archive.name, "node": target, "pod": name}
    done = controller.playbook("restore", security=security(source, target), **variables)
    assert done.returncode == 0, controller.output
    goes_on(cluster, name, archive)
    assert left(target, cluster.namespace) == ""
    again = controller.playbook("restore", **variables)
    assert again.returncode == 0 and re.findall(r"changed=(\d+)", controller.output) == ["0"], controller.output
    cluster.delete(name)


def test_what_is_refused_leaves_nothing_unpacked(
    cluster: Cluster, controller: Controller, kept: dict[str, Kept]
) -> None:
    # containerd grants more capabilities than CRI-O, and nobody said that they may be taken away.
    done = controller.playbook("restore", archive=kept[CTD].name, node=CRIO, pod="refused")
    assert done.returncode != 0 and "capability:" in controller.output
    assert left(CRIO, cluster.namespace) == ""


def test_an_image_on_the_disk_of_the_node(
    cluster: Cluster, controller: Controller, archives: Archives, kept: dict[str, Kept]
) -> None:
    archive, layout = kept[CTD], f"{archives.folder}/layout"
    made = controller.task(
        "checkpoint_image", on=CTD, keywords=BECOME, path=archive.path, name="example.com/kept:1", layout=layout
    )
    assert made["changed"], made
    done = controller.playbook("restore", archive=layout, node=CTD, pod="from-layout")
    assert done.returncode == 0, controller.output
    goes_on(cluster, "from-layout", archive)
    cluster.delete("from-layout")
    elsewhere = controller.playbook("restore", archive=layout, archive_host=CTD, node=CRIO, pod="from-layout")
    assert elsewhere.returncode != 0 and "has to lie on the node itself" in controller.output
    assert left(CTD, cluster.namespace) + left(CRIO, cluster.namespace) == ""


def test_an_unpacked_image_is_an_archive_to_all(
    controller: Controller, archives: Archives, kept: dict[str, Kept]
) -> None:
    archive, node, folder = kept[CTD], CTD, f"{archives.folder}/unpacked"

    def unpack(**more: t.Any) -> dict[str, t.Any]:
        options = {"path": archive.name, "destination": folder, **more}
        return controller.task("checkpoint_unpack", on=node, keywords=BECOME, **options)

    wrong = unpack(checksum="0" * 64)
    assert wrong["failed"] and wrong["code"] == "digest_wrong", wrong
    assert node_run(node, f"ls -A {archives.folder} 2>/dev/null || true") in ("", "layout\n")
    done = unpack(checksum=archive.image["layer"]["digest"])
    assert done["changed"] and not unpack()["changed"], done
    assert node_run(node, f"stat -c %a:%U {folder} {folder}/config.dump").split() == ["700:root", "600:root"]
    seen = controller.task("checkpoint_inspect", on=node, keywords=BECOME, path=folder)
    plain = controller.task("checkpoint_inspect", on=node, keywords=BECOME, path=archive.path)
    assert seen["processes"] == plain["processes"] != [] and seen["findings"] == plain["findings"]
    checks = controller.task("checkpoint_preflight", on=node, keywords=BECOME, archives=[folder])
    assert checks["able"], checks


def test_by_the_container_runtime_from_the_registry(
    cluster: Cluster, controller: Controller, kept: dict[str, Kept]
) -> None:
    archive = kept[CTD]
    # Looked at from the node, because the controller has another name for the registry.
    variables = {"archive": archive.name, "archive_host": CTD, "node": CTD, "pod": "by-image"}
    done = controller.playbook("restore", method="image", **variables)
    assert done.returncode == 0, controller.output
    goes_on(cluster, "by-image", archive)
    spec = cluster.get("by-image")["spec"]
    assert spec["containers"][0]["image"] == archive.image["reference"]
    assert "runtimeClassName" not in spec
    cluster.delete("by-image")


def test_by_the_container_runtime_what_is_pushed_first(
    cluster: Cluster, controller: Controller, kept: dict[str, Kept]
) -> None:
    archive, image = kept[CRIO], f"{REGISTRY}/{cluster.namespace}/pushed:1"
    variables = {"method": "image", "archive": archive.path, "node": CRIO, "pod": "by-pushed"}
    nameless = controller.playbook("restore", **variables)
    assert nameless.returncode != 0 and "Give image" in controller.output
    done = controller.playbook("restore", image=image, **variables)
    assert done.returncode == 0, controller.output
    goes_on(cluster, "by-pushed", archive)
    cluster.delete("by-pushed")


def test_by_the_container_runtime_only_what_it_can(
    cluster: Cluster, controller: Controller, kept: dict[str, Kept]
) -> None:
    variables = {"archive": kept[CRIO].name, "archive_host": CRIO, "node": CTD, "pod": "never"}
    done = controller.playbook("restore", method="image", **variables)
    assert done.returncode != 0
    assert "The archive is one of CRI-O, this node runs containerd" in controller.output
    assert "pod/never" not in kubectl("get", "pods", "--namespace", cluster.namespace, "--output=name").split()
