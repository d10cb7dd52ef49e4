# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into archives: the modules' core against checkpointctl and grep, as whole processes.

Takes a checkpoint of `hog` with 1 GiB and one of `ledger` on the laboratory, runs every command once to fill the page
cache and five times for the median, and prints a table. Peak memory is that of the process without mapped pages of
files; a checkpoint of `hog` with 8 GiB shows that it stays the same. Last comes what an Ansible task adds. Needs the
laboratory (`make lab`), Go, and 30 GB of disk for some minutes; `make bench` runs it.

With paths of archives as arguments (one of `hog`, one of `ledger`), and CHECKPOINTCTL as the program, it measures those
and needs neither laboratory nor Go.
"""

from __future__ import annotations

import dataclasses
import json
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
TASKS = 5
MIB = 1024
LITERAL = "planted-for-the-benchmark"
NODE = "ctd-a"
# CRI-O writes the archive once; containerd several times, which takes longer than a kubelet waits for 8 GiB.
NODE_OF_LARGE = "crio-a"

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


def measure(commands: t.Mapping[str, t.Sequence[str]]) -> dict[str, Figures]:
    """All commands in turn, round after round: what else the machine does meanwhile meets all of them alike."""
    for command in commands.values():
        once(command)
    rounds = [{name: once(command) for name, command in commands.items()} for _round in range(ROUNDS)]
    return {
        name: Figures(statistics.median(one[name][0] for one in rounds), max(one[name][1] for one in rounds))
        for name in commands
    }


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


def take(folder: pathlib.Path) -> tuple[str, str, str]:
    """Checkpoints of hog, ledger and a hog eight times as large, taken on the laboratory and moved here."""
    from support import LAB, Cluster, Controller, lab

    lab("run", "ansible-playbook", "--limit", f"{NODE},{NODE_OF_LARGE}", str(LAB / "prepare.yml"))
    paths = {}
    with Cluster("bench-archives") as cluster:
        cluster.hog("hog", NODE, MIB)
        cluster.apply(cluster.pod("ledger", NODE, "ledger", env=[{"name": "LEDGER_SECRET", "value": LITERAL}]))
        cluster.says("ledger")
        cluster.hog("large", NODE_OF_LARGE, 8 * MIB)
        for pod in ("hog", "ledger", "large"):
            taken = Controller(folder).task(
                "kubelet_checkpoint", namespace=cluster.namespace, pod=[pod], progress=False
            )
            assert not taken["failed"], taken
            cluster.delete(pod)
            (found,) = taken["checkpoints"]
            path = folder / f"{pod}.tar"
            with path.open("wb") as file:
                subprocess.run([LAB / "lab", "exec", found["node"], "cat", found["path"]], stdout=file, check=True)
            lab("exec", found["node"], "rm", found["path"])
            paths[pod] = str(path)
    return paths["hog"], paths["ledger"], paths["large"]


def row(what: str, ours: Figures, other: Figures, start: float, goal: str) -> None:
    """``start`` is what the interpreter takes by itself."""
    alone = max(0.0, ours.wall - start)
    cells = [f"{ours.wall:.2f}", f"{alone:.2f}", f"{ours.memory:.0f}", f"{other.wall:.2f}", f"{other.memory:.0f}"]
    cells += [f"{ours.wall / other.wall:.2f}", f"{alone / other.wall:.2f}"]
    print(f"| {what} | {' | '.join(cells)} | {goal} |", flush=True)


def compare(hog: str, ledger: str) -> None:
    ctl = checkpointctl()
    print(f"Wall times are medians of {ROUNDS}, memory is anonymous, in MB.\n")
    print("| what, against what | wall s | without start s | MB | other s | other MB | ratio | without start | goal |")
    print("|---|---|---|---|---|---|---|---|---|")
    # The goals are about large archives: the small one takes checkpointctl less time than Python takes to start.
    goals = {
        "show": "0.1 without start",
        "inspect --all": "0.2",
        "memparse of one process": "0.2",
        "grep -c -a -F": "3",
    }
    for name, path in ((f"hog, {os.path.getsize(hog) >> 20} MiB", hog), ("ledger", ledger)):
        found = measure(
            {
                "start": [sys.executable, "-c", "import json, sys"],
                "list": python(SHOW, path),
                "show": [ctl, "show", path],
                "inspect": python(INSPECT, path),
                "inspect --all": [ctl, "inspect", "--all", path],
                "memparse": [ctl, "memparse", path],
                "literal everywhere": python(SEARCH, path, LITERAL),
                "memparse of one process": [ctl, "memparse", "--pid", "1", "--search", LITERAL, path],
                "grep -c -a -F": ["grep", "-c", "-a", "-F", LITERAL, path],
            }
        )
        for ours, others in (
            ("list", ("show",)),
            ("inspect", ("inspect --all", "memparse")),
            ("literal everywhere", ("memparse of one process", "grep -c -a -F")),
        ):
            for other in others:
                goal = goals.get(other, "") if path == hog else ""
                row(f"{name}: {ours}, {other}", found[ours], found[other], found["start"].wall, goal)
        print(f"| {name}: Python's start | {found['start'].wall:.3f} | | | | | | | |", flush=True)


def memory(hog: str, large: str) -> None:
    """Peaks on an archive of 1 GiB and on one of 8 GiB, one run of each."""
    print(f"\n| MB of memory for | {os.path.getsize(hog) >> 20} MiB | {os.path.getsize(large) >> 20} MiB |")
    print("|---|---|---|")
    for name, code, words in (("list", SHOW, ()), ("inspect", INSPECT, ()), ("literal everywhere", SEARCH, (LITERAL,))):
        peaks = [once(python(code, path, *words))[1] for path in (hog, large)]
        print(f"| {name} | {peaks[0]:.0f} | {peaks[1]:.0f} |", flush=True)


def tasks(path: str, folder: pathlib.Path) -> None:
    """What Ansible adds to a module on localhost: how long a further task takes, less the module's work by itself."""
    from support import lab

    def playbook(module: str, options: dict[str, t.Any], count: int) -> float:
        task = {"name": "Look", f"checkpoint_restore.kubernetes.{module}": options, "no_log": True}
        play = {"name": "Tasks", "hosts": "localhost", "gather_facts": False, "tasks": [task] * count}
        file = folder / "tasks.json"
        file.write_text(json.dumps([play]))
        began = time.monotonic()
        lab("run", "ansible-playbook", str(file))
        return time.monotonic() - began

    print("\n| module | a further task s | by itself s | Ansible adds s |")
    print("|---|---|---|---|")
    for module, options, code, words in (
        ("checkpoint_info", {"paths": [path]}, SHOW, ()),
        ("checkpoint_inspect", {"path": path, "sections": ["everything"]}, INSPECT, ()),
        ("checkpoint_search", {"path": path, "literals": [LITERAL]}, SEARCH, (LITERAL,)),
    ):
        walls = [playbook(module, options, 1 + TASKS) - playbook(module, options, 1) for _round in range(3)]
        each = statistics.median(walls) / TASKS
        alone = measure({module: python(code, path, *words)})[module].wall
        print(f"| {module} | {each:.2f} | {alone:.2f} | {each - alone:.2f} |", flush=True)


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
        hog, ledger, large = take(folder)
        compare(hog, ledger)
        memory(hog, large)
        tasks(hog, folder)


if __name__ == "__main__":
    main()
