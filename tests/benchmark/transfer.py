# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive from one node to another: directly, where it is unpacked as well, against a copy by the controller.

The archive is of a program with memory that nothing compresses, as large as MIB in the environment says, by default
1024. Both ways are those of the playbook restore, in turn. Prints a table of medians, in seconds of ansible-playbook.
Needs the laboratory (`make lab`), whose nodes and controller share one machine; `make bench` runs it.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from restore_support import Archives
from support import LAB, SOME_NODES, Cluster, lab, node_run

ROUNDS = 3
MODULES = "checkpoint_restore.kubernetes"
SOURCE, TARGET = SOME_NODES
THERE = "/root/bench-transfer"


def played(directory: pathlib.Path, *tasks: dict[str, t.Any]) -> float:
    """Seconds of ansible-playbook with these tasks."""
    before = {"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}
    path = directory / "play.json"
    path.write_text(json.dumps([before]))
    began = time.monotonic()
    lab("run", "ansible-playbook", str(path), timeout=600)
    return time.monotonic() - began


def on(node: str, module: str, **options: t.Any) -> dict[str, t.Any]:
    return {module: options, "delegate_to": node, "become": True}


def direct(directory: pathlib.Path, archive: str, checksum: str, size: int) -> float:
    meant = {"destination": f"{THERE}/archive", "checksum": checksum, "size": size}
    door = {**on(TARGET, f"{MODULES}.checkpoint_receive", **meant), "register": "door", "no_log": True}
    return played(directory, door, on(SOURCE, f"{MODULES}.checkpoint_send", path=archive, offer="{{ door.offer }}"))


def by_controller(directory: pathlib.Path, archive: str) -> float:
    fetch = on(
        SOURCE,
        f"{MODULES}.checkpoint_fetch",
        archives=[{"path": archive, "name": "archive"}],
        destination=str(directory),
    )
    put = on(TARGET, "ansible.builtin.copy", src=f"{directory}/archive", dest=f"{THERE}/archive", mode="0600")
    try:
        return played(directory, fetch, put)
    finally:
        (directory / "archive").unlink(missing_ok=True)


def main() -> None:
    lab("run", "ansible-playbook", str(LAB / "prepare.yml"))
    mib = int(os.environ.get("MIB", "1024"))
    with tempfile.TemporaryDirectory() as folder, Cluster("bench-transfer") as cluster:
        directory = pathlib.Path(folder)
        cluster.hog("hog", SOURCE, mib)
        archive = Archives(cluster).checkpoint("hog", SOURCE)
        cluster.delete("hog")
        checksum, size = node_run(SOURCE, f"sha256sum < '{archive}' | cut -d' ' -f1; stat -c %s '{archive}'").split()
        found: dict[str, list[float]] = {"direct, unpacked": [], "by the controller, not unpacked": []}
        try:
            for _round in range(ROUNDS):
                for way, seconds in found.items():
                    node_run(TARGET, f"rm -rf {THERE} && mkdir -m 700 {THERE} && sync")
                    if way.startswith("direct"):
                        seconds.append(direct(directory, archive, checksum, int(size)))
                    else:
                        seconds.append(by_controller(directory, archive))
        finally:
            node_run(TARGET, f"rm -rf {THERE}")
            node_run(SOURCE, f"rm '{archive}'")
        ways = {way: statistics.median(seconds) for way, seconds in found.items()}
        print(f"| {int(size) >> 20} MiB from {SOURCE} to {TARGET} | s | all rounds |")
        print("|---|---|---|")
        for way, median in ways.items():
            print(f"| {way} | {median:.1f} | {', '.join(f'{seconds:.1f}' for seconds in found[way])} |")


if __name__ == "__main__":
    main()
