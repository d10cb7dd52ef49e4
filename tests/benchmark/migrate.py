# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod to another node: checkpoint_migrate against the documented recipe, and what a client of a pod notices.

In turn, a `hog` with memory that nothing compresses, as large as MIB in the environment says, by default 1024:

* the recipe: a checkpoint by the kubelet, buildah as checkpointctl uses it (from scratch, add, config, commit), push,
  and a pod made from that image, until it is ready. It has it easier than on real machines: buildah finds the archive
  on its own disk, where it was copied untimed, and the pod comes to the same node.
* checkpoint_migrate, as an Ansible task with all of ansible-playbook, until it has cleaned up.

Then a counter that holds 16 MiB goes back and forth in both orders while a client adds to it as fast as it can. The
interruption is the longest time between two of the client's answers.

What was written is counted by the kernel for the disk with the nodes' data (/proc/diskstats), flushed before and
after: that is both nodes, the registry, buildah, and whatever else the machine writes meanwhile. Prints tables of
medians. Needs the laboratory (`make lab`) and buildah, which is installed on a Debian; `make bench` runs it.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "demo"))
import clicks
import images
import restore
from labkit import images as small_images
from labkit.programs import workload_source
from support import LAB, REGISTRY, Cluster, Controller, kubectl, lab, node_run

ROUNDS = 3
MOVES = 6
BALLAST_MIB = 16
SOURCE, TARGET = "ctd-b", "crio-b"
assert SOURCE == restore.NODE

Thing = dict[str, t.Any]


class Disk:
    """The disk with the nodes' data."""

    def __init__(self, path: str) -> None:
        device = os.stat(path).st_dev
        self._device = [str(os.major(device)), str(os.minor(device))]

    def written(self) -> int:
        """Bytes written since the machine began, what was still to be written included."""
        os.sync()
        lines = pathlib.Path("/proc/diskstats").read_text().splitlines()
        fields = next(line.split() for line in lines if line.split()[:2] == self._device)
        return int(fields[9]) * 512

    def by(self, work: t.Callable[[], t.Any]) -> tuple[t.Any, float, int]:
        """What the work returns, its seconds, and the bytes written meanwhile."""
        before = self.written()
        began = time.monotonic()
        result = work()
        seconds = time.monotonic() - began
        return result, seconds, self.written() - before


class Bench:
    """Both ways for the hog, and the counter under a client."""

    def __init__(self, cluster: Cluster, folder: pathlib.Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.controller = Controller(folder)
        self.facts: Thing = json.loads((LAB.parents[1] / ".lab" / "lab.json").read_text())
        self.disk = Disk(self.facts["audit_log"])

    def migrate(self, pod: str, node: str, **options: t.Any) -> Thing:
        given = {"namespace": self.cluster.namespace, "pod": pod, "node": node, **options}
        result = self.controller.task("checkpoint_migrate", **given)
        assert result.get("outcome") == "moved", (result, self.controller.output)
        return result

    def recipe(self, pod: str, mib: int) -> tuple[list[float], int]:
        """Seconds of its five steps, and the bytes written. The pod runs on."""
        raw = f"/api/v1/nodes/{SOURCE}/proxy/checkpoint/{self.cluster.namespace}/{pod}/app"
        answer, checkpoint, first = self.disk.by(lambda: kubectl("create", "--raw", raw, "--filename=-", document={}))
        path = json.loads(answer)["items"][0]
        repository = f"{self.cluster.namespace}/{pod}"
        with tempfile.TemporaryDirectory(dir=self.folder) as here:
            archive = os.path.join(here, "hog.tar")
            restore.copy_here(path, archive)
            node_run(SOURCE, f"rm '{path}'")
            total, _all, second = self.disk.by(lambda: restore.by_buildah(archive, repository, here))
        again = self.cluster.pod(f"{pod}-again", SOURCE, "hog")
        again["spec"]["containers"][0]["image"] = f"{REGISTRY}/{repository}:1"
        _none, apply, third = self.disk.by(lambda: self.cluster.apply(again))
        assert restore.holds(mib)(self.cluster, f"{pod}-again"), "not restored"
        self.cluster.delete(f"{pod}-again")
        node_run(SOURCE, f"crictl rmi {REGISTRY}/{repository}:1")
        *building, push = total.walls
        return [checkpoint, sum(building), push, apply], first + second + third

    def hogs(self, mib: int) -> None:
        recipes, moves = [], []
        for number in range(ROUNDS):
            name = f"hog-{number}"
            self.cluster.hog(name, SOURCE, mib)
            recipes.append(self.recipe(name, mib))
            result, seconds, written = self.disk.by(lambda pod=name: self.migrate(pod, TARGET))
            moves.append((seconds, result["seconds"]["total"], result["down_seconds"], written, result["bytes"]))
            self.cluster.delete(name)
        theirs = statistics.median(sum(steps) for steps, _written in recipes)
        parts = " + ".join(f"{statistics.median(each):.1f}" for each in zip(*(steps for steps, _written in recipes)))
        lost = statistics.median(each for _steps, each in recipes) / 1e6
        wall, move, down, written, sent = (statistics.median(each) for each in zip(*moves))
        inside = f"the move {move:.1f}, frozen to Ready {down:.1f}"
        print(f"| a pod with {mib} MiB | s | of that | ratio | goal | written, MB | sent, MB |")
        print("|---|---|---|---|---|---|---|")
        print(f"| checkpoint, buildah, push, apply | {theirs:.1f} | {parts} | | | {lost:.0f} | |")
        ratio = f"{wall / theirs:.2f} | 0.15"
        print(f"| checkpoint_migrate | {wall:.1f} | {inside} | {ratio} | {written / 1e6:.0f} | {sent / 1e6:.0f} |")

    def image(self) -> str:
        """The counter with ballast, in the registry."""
        program = self.folder / "counter"
        source = pathlib.Path(__file__).with_name("ballast.c")
        flags = ["-O2", "-Wall", "-Werror", "-static", "-s", f"-DBALLAST_MIB={BALLAST_MIB}"]
        subprocess.run(["gcc", *flags, "-o", program, workload_source("counter"), source], check=True)
        where = {"ca_file": pathlib.Path(self.facts["ca"]), "address": self.facts["registry_address"]}
        files = {"/bin/counter": program}
        small_images.push(REGISTRY, "bench-counter", "1", files, entrypoint=["/bin/counter"], **where)
        return "bench-counter"

    def counter(self, image: str) -> str:
        """A Deployment of one on the source, with its Service; the pod's name."""
        namespace = self.cluster.namespace
        labels = {"app": "clicks"}
        pod = self.cluster.pod("clicks", SOURCE, image, args=["8080", "0"])["spec"]
        del pod["nodeName"]
        here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [SOURCE]}]}
        wish = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": here}]}
        template = {"metadata": {"labels": labels}, "spec": {**pod, "affinity": {"nodeAffinity": wish}}}
        metadata = {"name": "clicks", "namespace": namespace}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": [{"port": 8080}]},
            },
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        )
        kubectl("rollout", "status", "deployment/clicks", "--namespace", namespace, "--timeout=60s")
        found = kubectl("get", "pods", "--namespace", namespace, "--selector=app=clicks", "--output=name")
        return found.strip().removeprefix("pod/")

    def clients(self) -> None:
        pod, node = self.counter(self.image()), TARGET
        print(f"\nA counter with {BALLAST_MIB} MiB under a client, {MOVES} moves each:\n")
        print("| order | interruption, s | worst | goal | frozen to Ready, s | sent, MB | additions |")
        print("|---|---|---|---|---|---|---|")
        for order, goal in (("source_first", 1.2), ("replacement_first", 0.7)):
            gaps, downs, sent, answers = [], [], [], 0
            for _move in range(MOVES):
                with clicks.Client(self.cluster.namespace, "clicks") as client:
                    time.sleep(1)
                    result = self.migrate(pod, node, order=order)
                    time.sleep(1)
                assert not client.lost and len(client.starts) == 1, (client.lost, client.starts)
                pod, node = result["pod"], TARGET if node == SOURCE else SOURCE
                gaps.append(client.gap)
                downs.append(result["down_seconds"])
                sent.append(result["bytes"])
                answers += client.acknowledged
            figures = f"{statistics.median(gaps):.2f} | {max(gaps):.2f} | {goal} | {statistics.median(downs):.2f}"
            print(f"| {order} | {figures} | {statistics.median(sent) / 1e6:.1f} | {answers}, none lost |", flush=True)


def main() -> None:
    images.need_buildah()
    mib = int(os.environ.get("MIB", "1024"))
    nodes = json.dumps({"nodes": f"{SOURCE},{TARGET}", "batch": 2, "probe": False, "restore_runtime": True})
    lab("run", "ansible-playbook", "checkpoint_restore.kubernetes.prepare_nodes", "--extra-vars", nodes, timeout=900)
    with tempfile.TemporaryDirectory() as folder, Cluster("bench-migrate") as cluster:
        bench = Bench(cluster, pathlib.Path(folder))
        _none, seconds, idle = bench.disk.by(lambda: time.sleep(5))
        quiet = f"written by the machine before: {idle / seconds / 1e6:.1f} MB/s"
        print(f"{ROUNDS} rounds, {SOURCE} to {TARGET}; load before: {os.getloadavg()[0]:.1f}, {quiet}\n", flush=True)
        bench.hogs(mib)
        bench.clients()
        print(f"\nLoad afterwards: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
