# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests share that restore pods by tickets: archives, on the nodes where they are wanted, and tickets."""

from __future__ import annotations

import json
import re
import subprocess
import typing as t

from support import LAB, SOME_NODES, Cluster, Controller, kubectl, node_run

CRIO, CTD = SOME_NODES
CLASS = "checkpoint-restore"
STORE = "/var/lib/checkpoint-restore"


class Archives:
    """Archives of pods of a namespace, in a folder on the nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.folder = f"/root/{cluster.namespace}"

    def checkpoint(self, pod: str, node: str, container: str = "app") -> str:
        """Checkpoint a container; the archive's path on its node."""
        path = f"/api/v1/nodes/{node}/proxy/checkpoint/{self.cluster.namespace}/{pod}/{container}"
        answer = kubectl("create", "--raw", path, "--filename=-", document={})
        return str(json.loads(answer)["items"][0])

    def take(self, pod: str, source: str, target: str, container: str = "app") -> str:
        """Checkpoint a container, and bring the archive to the target; its path there."""
        archive = self.checkpoint(pod, source, container)
        try:
            return self.carry(source, archive, target, f"{pod}-{container}.tar")
        finally:
            node_run(source, f"rm '{archive}'")

    def carry(self, source: str, path: str, target: str, name: str) -> str:
        """Bring a file to another node, as root's alone; its path there."""
        there = f"{self.folder}/{name}"
        command = [str(LAB / "lab"), "exec"]
        with subprocess.Popen([*command, source, "cat", path], stdout=subprocess.PIPE) as reading:
            write = f"umask 077; mkdir -p {self.folder}; cat > {there}"
            subprocess.run([*command, target, "sh", "-c", write], stdin=reading.stdout, check=True)
        assert reading.returncode == 0
        return there

    def remove(self) -> None:
        for node in (CRIO, CTD):
            node_run(node, f"rm -rf {self.folder}")


def ticket(controller: Controller, cluster: Cluster, node: str, pod: str, archive: str, **more: t.Any) -> None:
    """Leave a ticket for a container of a pod, ``app`` unless it says otherwise."""
    given = {"namespace": cluster.namespace, "pod": pod, "container": "app", "archive": archive, **more}
    done = controller.task("checkpoint_ticket", on=node, keywords={"become": True}, **given)
    assert done.get("changed"), done


def security(source: str, target: str) -> str:
    """For pods without a security context: containerd grants them more capabilities than CRI-O does."""
    return "clamp" if (source, target) == (CTD, CRIO) else "refuse"


def to_be_restored(pod: dict[str, t.Any], name: str, node: str) -> dict[str, t.Any]:
    """The same pod under another name and on another node, in the care of the restore runtime."""
    spec = {**pod["spec"], "nodeName": node, "runtimeClassName": CLASS}
    return {**pod, "metadata": {**pod["metadata"], "name": name}, "spec": spec}


def first_pid(cluster: Cluster, node: str, pod: str, container: str = "app") -> int:
    """A container's first process, as the node counts."""
    statuses = {status["name"]: status for status in cluster.get(pod)["status"]["containerStatuses"]}
    container_id = statuses[container]["containerID"].rpartition("/")[2]
    return int(json.loads(node_run(node, f"crictl inspect {container_id}"))["info"]["pid"])


def counts(cluster: Cluster, name: str) -> list[int]:
    """The numbers that a counter printed since its container is there."""
    return [int(number) for number in re.findall(r"^count (\d+)$", cluster.logs(name), re.MULTILINE)]


def leftovers(node: str) -> str:
    """Tickets, half-done restores and CRIU's own mounts."""
    places = f"{STORE}/restores {STORE}/tickets"
    return node_run(node, f"find {places} -mindepth 1 2>/dev/null; grep criu /proc/self/mounts || true")
