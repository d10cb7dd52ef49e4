# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into archives: the modules' core against checkpointctl and grep, as whole processes.

Takes a checkpoint of `hog` with 1 GiB and one of `ledger` on the laboratory, runs every command once to fill the page
cache and five times for the median, and prints a table. Peak memory is that of the process without mapped pages of
files. Last comes what an Ansible task adds. Needs the laboratory (`make lab`) and Go; `make bench` runs it.

With paths of archives as arguments (one of `hog`, one of `ledger`), and CHECKPOINTCTL as the program, it measures those
and needs neither.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

ROUNDS = 5
MIB = 1024
LITERAL = "planted-for-the-benchmark"
NODE = "ctd-a"

CORE = "from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils."
PRELUDE = "import json, sys\n"
SHOW = f"{CORE}_forensics.listing import listing, Filters\nresult = listing([sys.argv[1]], Filters())\n"
INSPECT = (
    f"{CORE}_forensics.inspection import inspect, Wishes\n"
    "result = inspect(sys.argv[1], Wishes(sections=['everything']))\n"
)
SEARCH = (
    f"{CORE}_archive.archive import open_archive\n"
    f"{CORE}_criu.checkpoint import Checkpoint\n"
    f"{CORE}_forensics.search import Query, search\n"
    "with open_archive(sys.argv[1]) as archive:\n"
    "    result = search(Checkpoint(archive), Query(literals=[sys.argv[2]]))\n"
)
PRINT = "json.dump(result, sys.stdout)\n"


@dataclasses.dataclass(frozen=True)
class Figures:
    """Median of the wall time in seconds, and the highest peak of anonymous memory in MB."""

    wall: float
    memory: float


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", PRELUDE + code + PRINT, *arguments]


def anonymous_memory(pid: int, stop: threading.Event, peak: list[int]) -> None:
    """Sample RssAnon of a process and keep the highest (KiB)."""
    while not stop.wait(0.005):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        peak.extend(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))


def environment() -> dict[str, str]:
    """With compiled modules in a place of their own: where Python may not write them, importing takes longest."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": os.path.join(tempfile.gettempdir(), f"bench-archives-{os.getpid()}")}


def once(command: t.Sequence[str]) -> tuple[float, float]:
    peak = [0]
    stop = threading.Event()
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()) as process:
        sampler = threading.Thread(target=anonymous_memory, args=(process.pid, stop, peak))
        sampler.start()
        assert process.stderr is not None
        said = process.stderr.read()
        code = process.wait()
        wall = time.monotonic() - began
        stop.set()
        sampler.join()
    # grep says 1 where it finds nothing.
    assert code == 0 or (code == 1 and command[0] == "grep"), f"{command}: {code}: {said.decode(errors='replace')}"
    return wall, max(peak) / 1024


def measure(command: t.Sequence[str]) -> Figures:
    once(command)
    runs = [once(command) for _round in range(ROUNDS)]
    return Figures(statistics.median(wall for wall, memory in runs), max(memory for wall, memory in runs))


def checkpointctl() -> str:
    """The program, compiled from its Go module where CHECKPOINTCTL does not name one."""
    given = os.environ.get("CHECKPOINTCTL")
    if given:
        return given
    from labkit import golang
    from labkit.cache import Cache

    family = golang.Family("checkpointctl", "github.com/checkpoint-restore/checkpointctl", {}, megabytes=300)
    cache = Cache()
    recipe = golang.recipe(family, cache)
    if not cache.has(recipe):
        cache.build(recipe, lambda text: print(text, file=sys.stderr))
    return str(cache.tree(recipe) / "checkpointctl")


def take(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Checkpoints of hog and ledger on the laboratory, copied here and removed there."""
    from support import LAB, Cluster, Controller, lab

    lab("run", "ansible-playbook", str(LAB / "prepare.yml"))
    paths = []
    with Cluster("bench-archives") as cluster:
        cluster.hog("hog", NODE, MIB)
        cluster.apply(cluster.pod("ledger", NODE, "ledger", env=[{"name": "LEDGER_SECRET", "value": LITERAL}]))
        cluster.says("ledger")
        taken = Controller(folder).task("kubelet_checkpoint", namespace=cluster.namespace, progress=False)
        for found in taken["checkpoints"]:
            path = folder / f"{found['pod']}.tar"
            with path.open("wb") as file:
                subprocess.run([LAB / "lab", "exec", NODE, "cat", found["path"]], stdout=file, check=True)
            lab("exec", NODE, "rm", found["path"])
            paths.append(path)
    hog, ledger = sorted(paths)
    return hog, ledger


def row(what: str, ours: Figures, other: t.Optional[Figures], start: float, goal: str) -> None:
    """``start`` is what the interpreter takes by itself."""
    cells = [f"{ours.wall:.2f}", f"{max(0.0, ours.wall - start):.2f}", f"{ours.memory:.0f}"]
    if other is not None:
        ratio = (ours.wall - start) / other.wall
        cells += [f"{other.wall:.2f}", f"{other.memory:.0f}", f"{ours.wall / other.wall:.2f}", f"{ratio:.2f}"]
    else:
        cells += ["", "", "", ""]
    print(f"| {what} | {' | '.join(cells)} | {goal} |", flush=True)


def compare(hog: str, ledger: str) -> None:
    ctl = checkpointctl()
    start = measure([sys.executable, "-c", "import json, sys"]).wall
    print(f"Python takes {start:.3f} s to start. Wall times are medians of {ROUNDS}, memory is anonymous, in MB.\n")
    print("| what, against what | wall s | without start s | MB | other s | other MB | ratio | without start | goal |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, path in ((f"hog, {os.path.getsize(hog) >> 20} MiB", hog), ("ledger", ledger)):
        row(
            f"{name}: list, show", measure(python(SHOW, path)), measure([ctl, "show", path]), start, "0.1 without start"
        )
        inspected = measure(python(INSPECT, path))
        row(f"{name}: inspect, inspect --all", inspected, measure([ctl, "inspect", "--all", path]), start, "0.2")
        searched = measure(python(SEARCH, path, LITERAL))
        other = measure([ctl, "memparse", "--pid", "1", "--search", LITERAL, path])
        row(f"{name}: literal everywhere, memparse of one process", searched, other, start, "0.2")
        row(
            f"{name}: literal everywhere, grep -c -a -F",
            searched,
            measure(["grep", "-c", "-a", "-F", LITERAL, path]),
            start,
            "3",
        )
        memparse = measure([ctl, "memparse", path])
        row(f"{name}: inspect, memparse", inspected, memparse, start, "")


def task(hog: str, folder: pathlib.Path) -> None:
    from support import Controller

    controller = Controller(folder)
    walls = []
    for _round in range(3):
        began = time.monotonic()
        result = controller.task("checkpoint_search", path=hog, literals=[LITERAL])
        walls.append(time.monotonic() - began)
        assert not result.get("failed"), result
    alone = measure(python(SEARCH, hog, LITERAL)).wall
    wall = statistics.median(walls)
    print(
        f"\nThe search of hog as an Ansible task, with all of ansible-playbook: {wall:.2f} s; by itself {alone:.2f} s."
    )


def main() -> None:
    try:
        run()
    finally:
        shutil.rmtree(environment()["PYTHONPYCACHEPREFIX"], ignore_errors=True)


def run() -> None:
    if len(sys.argv) == 3:
        compare(sys.argv[1], sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        hog, ledger = take(folder)
        compare(str(hog), str(ledger))
        task(str(hog), folder)


if __name__ == "__main__":
    main()
