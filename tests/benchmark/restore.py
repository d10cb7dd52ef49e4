# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore runtime: what it adds to an ordinary command, and how long it takes from an archive to a running pod.

The archives are those of a small counter and of a program with memory that nothing compresses, as large as MIB in the
environment says, by default 1024. Both are restored in four ways in turn, from the archive on the node's disk to a pod
that is ready: by the restore runtime with a ticket for the archive, or for a folder into which it is unpacked before,
and by containerd itself from an image, which checkpoint_image makes and pushes, or buildah as the documented recipe has
it, as a new one each time. The laboratory's containerd is one that restores from images. What the modules do on the
node is run there as a process, without what Ansible takes to get there, which is the same for all. buildah runs on this
machine, on a copy of the archive, and is not charged for the copying.

Prints tables of medians. Needs the laboratory (`make lab`), whose registry keeps the images until it is taken down, and
whose node keeps the restore runtime, and buildah, which is installed on a Debian; `make bench` runs it.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
import images
from restore_support import first_pid
from support import LAB, REGISTRY, Cluster, Controller, kubectl, lab, node_run

ROUNDS = 3
NODE = "ctd-b"
CALLS = 200
FRONT = "/opt/checkpoint-restore/checkpoint-restore-runtime"
COUNT = f"""
import statistics, subprocess, sys, time
times = {{program: [] for program in sys.argv[1:]}}
for number in range({CALLS}):
    # In turn, so that what else the machine does weighs on both alike.
    for program, found in times.items():
        began = time.perf_counter()
        subprocess.run([program, "--root", "/run/nothing", "state", "nobody"], stderr=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
for found in times.values():
    print(statistics.median(found) * 1000)
"""

CORE = "/root/bench-restore"
COLLECTION = "ansible_collections/checkpoint_restore/kubernetes"
TIMED = """
import os, subprocess, sys, time
# What the one before has left to be written to the disk is not this one's work.
os.sync()
began = time.monotonic()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.monotonic() - began)
"""
TICKET = """
import sys, time
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.arrival import arrive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.leave import leave
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Ticket
namespace, pod, archive, folder = sys.argv[1:]
if folder:
    with open(archive, "rb") as stream:
        archive = arrive(stream, folder, sha256=None, size=None).path
leave(Ticket(namespace, pod, "app", archive, None, int(time.time()) + 600), "", check=False)
"""


def install(directory: pathlib.Path) -> None:
    controller = Controller(directory)
    assert controller.role("restore_runtime", NODE).returncode == 0, controller.output


def overhead() -> tuple[float, float]:
    """Median milliseconds of a command of the node's runtime, and of the same through the front."""
    runtime = node_run(NODE, f"sed -n 's/^exec \\(.*\\) \"$@\"$/\\1/p' {FRONT}").strip()
    done = lab("exec", NODE, "python3", "-", runtime, FRONT, input=COUNT)
    plain, front = (float(line) for line in done.stdout.split())
    return plain, front


def core() -> None:
    """Bring what the modules are made of to the node."""
    pack = ["tar", "--create", "--exclude=__pycache__", f"--directory={LAB.parents[1]}", "plugins/module_utils"]
    unpack = f"mkdir -p {CORE}/{COLLECTION} && tar --extract --directory={CORE}/{COLLECTION}"
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
        subprocess.run([LAB / "lab", "exec", NODE, "sh", "-c", unpack], stdin=packing.stdout, check=True)


def on_node(program: str, *words: str) -> float:
    """Seconds of a program of Python that uses the modules' core."""
    command = ["env", f"PYTHONPATH={CORE}", "python3", "-c", program, *words]
    return float(lab("exec", NODE, "python3", "-c", TIMED, *command).stdout.split()[-1])


class Place(t.NamedTuple):
    """A repository of the laboratory's registry, as buildah on this machine is told of it."""

    ca: str
    name: str

    def repository(self) -> str:
        return self.name


def place(repository: str) -> Place:
    facts = json.loads((LAB.parents[1] / ".lab" / "lab.json").read_text())
    port = REGISTRY.rpartition(":")[2]
    return Place(facts["ca"], f"{facts['registry_address']}:{port}/{repository}")


def by_buildah(archive: str, repository: str, folder: str) -> images.Total:
    """An image of an archive of this machine, in the laboratory's registry: from, add, config, commit, push."""
    with tempfile.TemporaryDirectory(dir=folder) as storage:
        return images.run(images.buildah(archive, place(repository), storage))


def copy_here(source: str, destination: str) -> None:
    with open(destination, "wb") as file:
        subprocess.run([LAB / "lab", "exec", NODE, "cat", source], stdout=file, check=True)


class Source(t.NamedTuple):
    """A container that was checkpointed: its image, the archive on the node and its copy on this machine, and what
    proves that a process is its."""

    image: str
    archive: str
    copy: str
    size: int
    goes_on: t.Callable[[Cluster, str], bool]


class Round(t.NamedTuple):
    """Seconds: before the pod is created, from there to where it is ready, and of that the restore, or the pull."""

    before: float
    pod: float
    part: float

    @property
    def total(self) -> float:
        return self.before + self.pod


def taken(cluster: Cluster, name: str, image: str, folder: str, goes_on: t.Callable[[Cluster, str], bool]) -> Source:
    raw = f"/api/v1/nodes/{NODE}/proxy/checkpoint/{cluster.namespace}/{name}/app"
    archive = json.loads(kubectl("create", "--raw", raw, "--filename=-", document={}))["items"][0]
    cluster.delete(name)
    copy = os.path.join(folder, f"{name}.tar")
    copy_here(archive, copy)
    return Source(image, archive, copy, os.path.getsize(copy), goes_on)


def ready(cluster: Cluster, source: Source, pod: dict[str, t.Any]) -> float:
    """Create the pod; the seconds until it is ready, kubectl included. It has to be the process of the archive."""
    began = time.monotonic()
    cluster.apply(pod)
    seconds = time.monotonic() - began
    name = pod["metadata"]["name"]
    assert source.goes_on(cluster, name), f"{name} was not restored"
    return seconds


def by_ticket(cluster: Cluster, source: Source, name: str, folder: str = "") -> Round:
    """With a folder, the archive is unpacked into it first."""
    before = on_node(TICKET, cluster.namespace, name, source.archive, folder)
    pod = cluster.pod(name, NODE, source.image)
    pod["spec"]["runtimeClassName"] = "checkpoint-restore"
    seconds = ready(cluster, source, pod)
    journal = node_run(NODE, "journalctl --identifier=checkpoint-restore --no-pager --lines=1")
    own = re.search(rf"restored {cluster.namespace}/{name}/app from \S+ in ([0-9.]+) s", journal)
    assert own is not None, journal
    cluster.delete(name)
    node_run(NODE, f"rm -rf '{folder}'")
    return Round(before, seconds, float(own.group(1)))


def by_image(cluster: Cluster, source: Source, name: str) -> Round:
    # A new repository, so that its layer is not there.
    reference = f"{REGISTRY}/{cluster.namespace}/{name}:{int(time.time())}"
    before = on_node(images.OURS, source.archive, reference, "none", "")
    return from_image(cluster, source, name, reference, before)


def by_recipe(cluster: Cluster, source: Source, name: str) -> Round:
    repository = f"{cluster.namespace}/{name}"
    before = by_buildah(source.copy, repository, os.path.dirname(source.copy)).wall
    return from_image(cluster, source, name, f"{REGISTRY}/{repository}:1", before)


def from_image(cluster: Cluster, source: Source, name: str, reference: str, before: float) -> Round:
    pod = cluster.pod(name, NODE, source.image)
    pod["spec"]["containers"][0]["image"] = reference
    seconds = ready(cluster, source, pod)
    wanted = f"involvedObject.name={name},reason=Pulled"
    events = kubectl("get", "events", "--namespace", cluster.namespace, "--field-selector", wanted, "--output=json")
    pulled = re.search(r"pulled image .* in ([0-9.]+)(m?s) \(", events)
    assert pulled is not None, events
    cluster.delete(name)
    node_run(NODE, f"crictl rmi {reference}")
    return Round(before, seconds, float(pulled.group(1)) / (1000 if pulled.group(2) == "ms" else 1))


def compare(cluster: Cluster, sources: t.Mapping[str, Source]) -> None:
    print("| archive | way | ticket; image pushed | until ready | of that restore; pull | all | of image | of recipe |")
    print("|---|---|---|---|---|---|---|---|")
    for name, source in sources.items():
        ways = ("restore runtime", "the same, unpacked before", "by image", "by image, the recipe with buildah")
        rounds: dict[str, list[Round]] = {way: [] for way in ways}
        for number in range(ROUNDS):
            # In turn, so that what else the machine does weighs on all alike.
            packed, unpacked, by_images, by_recipes = rounds.values()
            packed.append(by_ticket(cluster, source, f"{name}-ticket-{number}"))
            unpacked.append(by_ticket(cluster, source, f"{name}-folder-{number}", f"{CORE}/{name}-{number}"))
            by_images.append(by_image(cluster, source, f"{name}-image-{number}"))
            by_recipes.append(by_recipe(cluster, source, f"{name}-recipe-{number}"))
        peers = [statistics.median(one.total for one in found) for found in (by_images, by_recipes)]
        for way, found in rounds.items():
            before, pod, part = (statistics.median(values) for values in zip(*found))
            total = statistics.median(one.total for one in found)
            ratios = " | ".join(f"{total / theirs:.2f}" for theirs in peers)
            figures = f"{before:.2f} | {pod:.2f} | {part:.2f} | {total:.2f} | {ratios}"
            print(f"| {source.size / 1e6:.1f} MB | {way} | {figures} |", flush=True)


def counts_on(since: t.Any) -> t.Callable[[Cluster, str], bool]:
    return lambda cluster, name: bool(cluster.ask(name)["since"] == since)


def holds(mib: int) -> t.Callable[[Cluster, str], bool]:
    """Whether the memory is there: a new process would hold less, as it is not told how much."""

    def found(cluster: Cluster, name: str) -> bool:
        status = node_run(NODE, f"cat /proc/{first_pid(cluster, NODE, name)}/status")
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        return resident is not None and int(resident.group(1)) >= mib * 1024

    return found


def main() -> None:
    mib = int(os.environ.get("MIB", "1024"))
    lab("run", "ansible-playbook", "--limit", NODE, str(LAB / "prepare.yml"))
    with tempfile.TemporaryDirectory() as folder:
        install(pathlib.Path(folder))
    plain, front = overhead()
    print(f"An ordinary command: {plain:.1f} ms, through the front {front:.1f} ms (median of {CALLS})\n")
    version = node_run(NODE, "containerd --version").split()[2]
    print(f"containerd {version}, {ROUNDS} rounds, seconds; load before: {os.getloadavg()[0]:.1f}\n")
    archives: list[str] = []
    try:
        core()
        images.need_buildah()
        with tempfile.TemporaryDirectory() as folder, Cluster("bench-restore") as cluster:
            cluster.apply(cluster.pod("small", NODE))
            cluster.says("small", "count 2")
            small = taken(cluster, "small", "counter", folder, counts_on(cluster.ask("small")["since"]))
            archives.append(small.archive)
            cluster.hog("large", NODE, mib)
            large = taken(cluster, "large", "hog", folder, holds(mib))
            archives.append(large.archive)
            compare(cluster, {"small": small, "large": large})
        print(f"\nLoad afterwards: {os.getloadavg()[0]:.1f}")
    finally:
        node_run(NODE, f"rm -rf {CORE} {' '.join(archives)}")


if __name__ == "__main__":
    main()
