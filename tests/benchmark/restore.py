# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore runtime: what it adds to an ordinary command, and how long it takes from an archive to a running pod.

Prints a table. The archives are those of a small counter and of a program with memory that nothing compresses, as large
as MIB in the environment says, by default 1024. Needs the laboratory (`make lab`); `make bench` runs it.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from support import LAB, Cluster, Controller, kubectl, lab, node_run

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


def role(directory: pathlib.Path, state: str) -> None:
    play = {
        "name": "The restore runtime",
        "hosts": NODE,
        "gather_facts": False,
        "become": True,
        "vars": {"restore_runtime_state": state},
        "roles": ["checkpoint_restore.kubernetes.restore_runtime"],
    }
    path = directory / "role.json"
    path.write_text(json.dumps([play]))
    lab("run", "ansible-playbook", str(path), timeout=600)


def overhead() -> tuple[float, float]:
    """Median milliseconds of a command of the node's runtime, and of the same through the front."""
    runtime = node_run(NODE, f"sed -n 's/^exec \\(.*\\) \"$@\"$/\\1/p' {FRONT}").strip()
    done = lab("exec", NODE, "python3", "-", runtime, FRONT, input=COUNT)
    plain, front = (float(line) for line in done.stdout.split())
    return plain, front


def restored(controller: Controller, cluster: Cluster, name: str, image: str) -> tuple[int, float, float]:
    """The archive's size, the runtime's own seconds, and those from creating the pod to where it is ready."""
    raw = f"/api/v1/nodes/{NODE}/proxy/checkpoint/{cluster.namespace}/{name}/app"
    archive = json.loads(kubectl("create", "--raw", raw, "--filename=-", document={}))["items"][0]
    cluster.delete(name)
    given = {"namespace": cluster.namespace, "pod": name, "container": "app", "archive": archive}
    done = controller.task("checkpoint_ticket", on=NODE, keywords={"become": True}, **given)
    assert done.get("changed"), done
    pod = cluster.pod(name, NODE, image)
    pod["spec"]["runtimeClassName"] = "checkpoint-restore"
    began = time.monotonic()
    cluster.apply(pod)
    seconds = time.monotonic() - began
    journal = node_run(NODE, "journalctl --identifier=checkpoint-restore --no-pager --lines=1")
    own = re.search(r"restored \S+ from \S+ in ([0-9.]+) s", journal)
    assert own is not None, journal
    size = int(node_run(NODE, f"stat --format=%s '{archive}'; rm -f '{archive}'").split()[0])
    return size, float(own.group(1)), seconds


def main() -> None:
    mib = int(os.environ.get("MIB", "1024"))
    lab("run", "ansible-playbook", "--limit", NODE, str(LAB / "prepare.yml"))
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        role(directory, "present")
        try:
            plain, front = overhead()
            print(f"An ordinary command: {plain:.1f} ms, through the front {front:.1f} ms (median of {CALLS})")
            with Cluster("bench-restore") as cluster:
                cluster.apply(cluster.pod("small", NODE))
                cluster.says("small", "count 2")
                cluster.hog("large", NODE, mib)
                print("| archive | restore runtime s | created to ready, kubectl included s |")
                print("|---|---|---|")
                for name, image in (("small", "counter"), ("large", "hog")):
                    size, own, seconds = restored(Controller(directory), cluster, name, image)
                    print(f"| {size / 1e6:.1f} MB | {own:.2f} | {seconds:.2f} |")
        finally:
            role(directory, "absent")


if __name__ == "__main__":
    main()
