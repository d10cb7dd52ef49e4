# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first playbook, and the archives' way home, through both logins."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import stat
import subprocess
import threading
import time
import typing as t

import pytest
from support import NODES, Cluster, Controller, lab, node_run, wait_until

LOGINS = ("root", "ops")
MIB = 1 << 20


@pytest.fixture(scope="module")
def counters(cluster: Cluster) -> Cluster:
    cluster.apply(*(cluster.pod(f"counter-{node}", node) for node in NODES))
    return cluster


def digest(path: pathlib.Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@pytest.mark.every_core
@pytest.mark.parametrize("login", LOGINS)
def test_evidence_of_both_runtimes(counters: Cluster, controller: Controller, login: str) -> None:
    destination = controller.directory / "evidence"
    selection = {"namespace": counters.namespace, "label_selectors": "app=counter"}
    done = controller.playbook("collect_forensics", destination=str(destination), ansible_user=login, **selection)
    assert done.returncode == 0, controller.output
    (incident,) = destination.iterdir()
    assert stat.S_IMODE(incident.stat().st_mode) == 0o700
    manifest = json.loads((incident / "manifest.json").read_text())
    assert manifest["complete"]
    assert [item["node"] for item in manifest["archives"]] == list(NODES)
    for item in manifest["archives"]:
        archive = incident / item["file"]
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        assert item["size"] == archive.stat().st_size
        on_node = node_run(item["node"], f"sha256sum '{item['path_on_node']}'").split()[0]
        assert item["sha256"] == item["sha256_on_node"] == on_node == digest(archive)
        assert item["kubelet_version"] == "v1.36.2"
        assert item["criu_version"].startswith("4.")
        assert item["kernel_version"] == os.uname().release
        assert (item["runtime"], item["runtime_version"]) in (("cri-o", "1.36.3"), ("containerd", "2.1.9"))
        pod = json.loads((incident / item["pod_object"]).read_text())
        assert pod["metadata"]["uid"] == item["pod_uid"] and pod["status"]["phase"] == "Running"
        assert item["file"] in controller.output and item["sha256"] in controller.output
        inside = item["inside"]
        assert all(inside["identity"][key] == item[key] for key in ("namespace", "pod", "container", "container_id"))
        assert [process["name"] for process in inside["processes"]] == ["counter"]
        assert [listener["local_port"] for listener in inside["listeners"]] == [8080]
    assert controller.output.count("processes: 1 (counter); listening: tcp 8080; findings:") == len(NODES)
    assert not list(incident.rglob("*.partial"))
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=incident, check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"max_concurrent": "many"}, "max_concurrent"),
        ({"via": "carrier-pigeon"}, "via"),
        ({"namespace": ""}, "namespace"),
    ],
)
def test_a_wrong_variable_is_a_sentence_and_touches_nothing(
    controller: Controller, wrong: dict[str, str], named: str
) -> None:
    destination = controller.directory / "evidence"
    variables = {"namespace": "default", "pod": "web-0", "destination": str(destination), **wrong}
    done = controller.playbook("collect_forensics", **variables)
    assert done.returncode != 0 and "Traceback" not in controller.output
    assert named in controller.output
    assert "Open the incident" not in controller.output and not destination.exists()


def test_what_can_be_had_is_collected_and_the_rest_is_said(
    counters: Cluster, controller: Controller, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> None:
    undo(lambda: node_run("crio-b", "systemctl start ssh"))
    node_run("crio-b", "systemctl stop ssh; pkill sshd; true")
    destination = controller.directory / "evidence"
    selection = {"namespace": counters.namespace, "label_selectors": "app=counter", "incident": "partial"}
    done = controller.playbook("collect_forensics", destination=str(destination), **selection)
    assert done.returncode != 0
    manifest = json.loads((destination / "partial" / "manifest.json").read_text())
    assert not manifest["complete"]
    assert [item["node"] for item in manifest["archives"] if item.get("sha256")] == ["crio-a", "ctd-a", "ctd-b"]
    assert "crio-b" in controller.output
    node_run("crio-b", "systemctl start ssh")
    # The same incident again: the missing archive is brought home, nothing is checkpointed a second time.
    again = controller.playbook("collect_forensics", destination=str(destination), **selection)
    assert again.returncode == 0, controller.output
    completed = json.loads((destination / "partial" / "manifest.json").read_text())
    assert completed["complete"]
    assert [item["path_on_node"] for item in completed["archives"]] == [
        item["path_on_node"] for item in manifest["archives"]
    ]


class PeakMemory:
    """The largest resident set (VmHWM) by name, in bytes: of our descendants here, and of what began on the node."""

    def __init__(self, node: str) -> None:
        self.cgroup = f"/checkpoint-restore-lab/{node}/"
        self.old = set(os.listdir("/proc"))
        self.here: dict[str, int] = {}
        self.there: dict[str, int] = {}
        self.over = threading.Event()

    def __enter__(self) -> PeakMemory:
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            for pid in set(os.listdir("/proc")) - self.old:
                with contextlib.suppress(OSError, ValueError):
                    self._look(pid)

    def _look(self, pid: str) -> None:
        process = pathlib.Path("/proc", pid)
        if not pid.isdigit():
            return
        status = (process / "status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        on_node = self.cgroup in (process / "cgroup").read_text() + "/"
        if peak and (on_node or _is_descendant(pid)):
            name = status.split()[1]
            side = self.there if on_node else self.here
            side[name] = max(side.get(name, 0), int(peak.group(1)) * 1024)


def _is_descendant(pid: str) -> bool:
    """Whether the process stems from this one."""
    while pid not in ("0", str(os.getpid())):
        pid = pathlib.Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1]
    return pid != "0"


@pytest.fixture(scope="module")
def large(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    """The path on ctd-b of an archive of more than 2 GiB, as the runtime wrote it."""
    cluster.hog("large", "ctd-b", 2048)
    controller = Controller(tmp_path_factory.mktemp("large"))
    result = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=["large"])
    assert not result["failed"], result
    cluster.delete("large")
    yield result["checkpoints"][0]["path"]
    node_run("ctd-b", "rm -f /var/lib/kubelet/checkpoints/checkpoint-large_*")


def fetch(controller: Controller, path: str, login: str = "root", **options: t.Any) -> dict[str, t.Any]:
    keywords = {"vars": {"ansible_user": login}, "become": login != "root"}
    destination = str(controller.directory / "home")
    return controller.task(
        "checkpoint_fetch", on="ctd-b", keywords=keywords, archives=[{"path": path}], destination=destination, **options
    )


@pytest.mark.parametrize("login", LOGINS)
def test_two_gibibytes_with_flat_memory(large: str, controller: Controller, login: str) -> None:
    with PeakMemory("ctd-b") as memory:
        began = time.monotonic()
        result = fetch(controller, large, login)
        wall = time.monotonic() - began
    assert not result["failed"], result
    (item,) = result["archives"]
    assert item["size"] > 2 << 30
    assert item["sha256"] == item["node_sha256"] == digest(pathlib.Path(item["destination"]))
    print(f"{login}: {item['size']} bytes in {wall:.1f} s; peak here {memory.here}, on the node {memory.there}")
    assert memory.here and max(memory.here.values()) < 256 * MIB
    assert memory.there and max(memory.there.values()) < 128 * MIB
    again = fetch(controller, large, login)
    assert not again["changed"], again
    pathlib.Path(item["destination"]).unlink()


def test_cut_off_in_the_middle(large: str, controller: Controller) -> None:
    """No half file under the final name; the second run goes on where the first one ended."""
    home = controller.directory / "home"

    def arrived() -> int:
        return max((path.stat().st_size for path in home.glob("*.partial")), default=0)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(fetch, controller, large, stall_timeout=10)
        wait_until("the transfer", lambda: arrived() > 100 * MIB, 60, 0.02)
        lab("cut", "ctd-b")
        try:
            result = run.result()
        finally:
            lab("heal", "ctd-b")
    assert result["failed"], result
    assert all(path.name.endswith(".partial") for path in home.iterdir())
    again = fetch(controller, large)
    assert not again["failed"], again
    (item,) = again["archives"]
    assert item["resumed_from"] > 0 and item["sha256"] == item["node_sha256"]
    assert [path.name for path in home.iterdir()] == [pathlib.Path(item["destination"]).name]
