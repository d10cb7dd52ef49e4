# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that go from node to node: directly, and by the controller where a firewall is in the way."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from restore_support import Archives
from support import LAB, SOME_NODES, Cluster, Controller, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

CRIO, CTD = SOME_NODES
STORE = "/var/lib/checkpoint-restore"
PORT = 40123
# So that it takes long enough to be struck in the middle of it.
MIB = 256

Undo = t.Callable[[t.Callable[[], t.Any]], None]


class Source(t.NamedTuple):
    """An archive on a node."""

    node: str
    path: str
    checksum: str
    size: int


def source(archives: Archives, pod: str, node: str) -> Source:
    path = archives.checkpoint(pod, node)
    checksum, size = node_run(node, f"sha256sum < '{path}' | cut -d' ' -f1; stat -c %s '{path}'").split()
    return Source(node, path, checksum, int(size))


@pytest.fixture(scope="module")
def small(cluster: Cluster, archives: Archives) -> t.Iterator[dict[str, Source]]:
    """The archive of a counter, by node."""
    cluster.apply(*(cluster.pod(f"small-{node}", node) for node in (CRIO, CTD)))
    for node in (CRIO, CTD):
        cluster.says(f"small-{node}", "count 3")
    made = {node: source(archives, f"small-{node}", node) for node in (CRIO, CTD)}
    yield made
    for node, archive in made.items():
        node_run(node, f"rm '{archive.path}'")


@pytest.fixture(scope="module")
def large(cluster: Cluster, archives: Archives) -> t.Iterator[Source]:
    cluster.hog("large", CRIO, MIB)
    made = source(archives, "large", CRIO)
    yield made
    node_run(CRIO, f"rm '{made.path}'")


@pytest.fixture
def folder(cluster: Cluster) -> t.Iterator[str]:
    """Where the archives go on the targets."""
    path = f"/root/{cluster.namespace}-arrived"
    yield path
    for node in (CRIO, CTD):
        node_run(node, f"rm -rf {path}")


def opened(controller: Controller, target: str, meant: Source, destination: str) -> dict[str, t.Any]:
    """The offer of a door for an archive."""
    options = {"destination": destination, "checksum": meant.checksum, "size": meant.size, "port": PORT}
    done = controller.task("checkpoint_receive", on=target, keywords={"become": True, "no_log": True}, **options)
    assert done.get("changed"), done
    return dict(done["offer"])


def sent(controller: Controller, meant: Source, offer: dict[str, t.Any]) -> dict[str, t.Any]:
    """What became of sending it, as checkpoint_send told."""
    return controller.task("checkpoint_send", on=meant.node, keywords={"become": True}, path=meant.path, offer=offer)


def left(node: str, folder: str) -> str:
    return node_run(node, f"ls -A {folder}")


def strike(node: str, side: str, victim: str) -> subprocess.Popen[bytes]:
    """Kill a process on a node when ten megabytes have gone through the door's port; ``victim`` prints its PID."""
    seen = f"ss -tinH state established '( {side} = :{PORT} )' | grep -qE 'bytes_(sent|received):[0-9]{{8}}'"
    script = f'timeout 60 sh -c "until {seen}; do :; done"; kill -KILL $({victim})'
    return subprocess.Popen([str(LAB / "lab"), "exec", node, "sh", "-c", script])


@pytest.mark.parametrize(("origin", "target"), [(CRIO, CTD), (CTD, CRIO)])
def test_an_archive_goes_to_the_other_node(
    controller: Controller, small: dict[str, Source], folder: str, origin: str, target: str
) -> None:
    meant = small[origin]
    there = f"{folder}/small"
    done = sent(controller, meant, opened(controller, target, meant, there))
    assert (done["destination"], done["sha256"], done["size"]) == (there, meant.checksum, meant.size), done
    assert left(target, folder).split() == ["small"]
    modes = node_run(target, f"find {there} -printf '%y %m %u\\n' | sort -u").splitlines()
    assert modes == ["d 700 root", "f 600 root"]
    sums = "-exec sha256sum {} + | sort"
    packed = node_run(
        origin,
        f"mkdir /run/packed && cd /run/packed && tar -xf '{meant.path}' && find * -type f {sums}; rm -r /run/packed",
    )
    assert packed
    assert node_run(target, f"cd {there} && find * -type f {sums}") == packed
    assert node_run(target, f"ss -tnlH '( sport = :{PORT} )'") == ""


def test_a_sender_that_is_killed_leaves_nothing(controller: Controller, large: Source, folder: str) -> None:
    offer = opened(controller, CTD, large, f"{folder}/large")
    pid = f"ss -tnpH '( dport = :{PORT} )' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | head -n 1"
    with strike(large.node, "dport", pid) as striking:
        done = sent(controller, large, offer)
    assert striking.returncode == 0
    assert done["failed"]
    assert "destination" not in done
    wait_until("nothing to be left", lambda: left(CTD, folder) == "", 20)
    assert node_run(CTD, f"ss -tnlH '( sport = :{PORT} )'") == ""


def test_a_receiver_that_is_killed(controller: Controller, large: Source, folder: str) -> None:
    there = f"{folder}/large"
    offer = opened(controller, CTD, large, there)
    with strike(CTD, "sport", f"cat {folder}/.large.door") as striking:
        done = sent(controller, large, offer)
    assert striking.returncode == 0
    assert done["code"] == "connection_lost", done
    assert there not in node_run(CTD, f"ls -d {folder}/*", check=False)

    done = controller.task("checkpoint_receive", on=CTD, keywords={"become": True}, destination=there, state="absent")
    assert done["changed"], done
    assert left(CTD, folder) == ""


def test_a_firewall_is_in_the_way(
    cluster: Cluster, controller: Controller, small: dict[str, Source], undo: Undo
) -> None:
    def rule(change: str, answer: str) -> None:
        words = f"-{change} INPUT -p tcp --dport {PORT} -j {answer}"
        node_run(CTD, f"iptables {words} && ip6tables {words}")

    def copies() -> str:
        return node_run(CTD, f"find {STORE}/archives {STORE}/tickets -mindepth 1 -name '*{cluster.namespace}*'")

    variables = {"archive": small[CRIO].path, "archive_host": CRIO, "node": CTD, "transfer_port": PORT}
    rule("I", "DROP")
    try:
        done = controller.playbook("restore", **variables, pod="blocked", transfer="direct")
    finally:
        rule("D", "DROP")
    assert done.returncode != 0
    assert f"The target cannot be reached at port {PORT}" in controller.output
    assert "no answer" in controller.output
    assert copies() == ""

    rule("I", "REJECT")
    undo(lambda: rule("D", "REJECT"))
    done = controller.playbook("restore", **variables, pod="around", security="clamp")
    assert done.returncode == 0, controller.output
    assert "By the controller. The target cannot be reached" in controller.output
    cluster.says("around", "count")
    assert "listening" not in cluster.logs("around")
    assert copies() == ""
    cluster.delete("around")
