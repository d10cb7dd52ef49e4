# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a node, as root: strikes it at a certain stage of a restore, and tells what a restore has left.

    interrupt_on_node.py strike STAGE VICTIM TICKET [STOPPED]
    interrupt_on_node.py left UID

``strike`` leaves the ticket, in JSON, prints "ready", waits until a restore has come to the stage, and kills the
victim: a unit's main process by SIGKILL, or for "node" everything, as if the power were cut. Prints the PID in the end.
A unit STOPPED is killed as well, and stays down.
``left`` prints one JSON object with what is there: of restores, and of the pod with that UID.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import signal
import subprocess
import sys
import time
import typing as t

STORE = "/var/lib/checkpoint-restore"
ROOTS = ("/run/containerd/runc/k8s.io", "/run/runc")
RESTART = 0x01234567
"""LINUX_REBOOT_CMD_RESTART: for the first process of a pid namespace the kernel's SIGKILL, for all others as well."""

SECONDS = 120
PAUSE = 0.0005


def stage_of(folder: str) -> str:
    """How far a restore has come, by what is in its folder."""
    for stage, path in (("starting", "ticket.used"), ("waiting", "waiting"), ("criu", "work/restore.log")):
        if os.path.exists(f"{folder}/{path}"):
            return stage
    with contextlib.suppress(FileNotFoundError):
        return "unpacking" if os.listdir(f"{folder}/images") else "begun"
    return "started"


def wait_for(wanted: str) -> None:
    """Until a restore is at the stage. That it is running is told on standard input: it has left no trace by then."""
    until = time.monotonic() + SECONDS
    stages: dict[str, str] = {}
    while time.monotonic() < until:
        for folder in {*glob.glob(f"{STORE}/restores/*"), *stages}:
            stages[folder] = stage_of(folder)
        if wanted in stages.values():
            return
        time.sleep(PAUSE)
    sys.exit(f"no restore came to {wanted}: {stages}")


def main_pid(unit: str) -> int:
    return int(subprocess.check_output(["systemctl", "show", "--property=MainPID", "--value", unit]))


def strike(stage: str, victim: str, given: str, stopped: str = "") -> None:
    ticket = json.loads(given)
    name = "_".join(ticket[part] for part in ("namespace", "pod", "container"))
    with open(os.open(f"{STORE}/tickets/{name}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({**ticket, "version": 1, "expires": int(time.time()) + 600}, file)
    pid = 0 if victim == "node" else main_pid(victim)
    victims = [pid, main_pid(stopped)] if stopped else [pid]
    print("ready", flush=True)
    if stage == "running":
        sys.stdin.readline()
    else:
        wait_for(stage)
    for killed in victims:
        if killed:
            os.kill(killed, signal.SIGKILL)
        else:
            ctypes.CDLL(None).reboot(RESTART)
    if stopped:
        # Before the second has passed after which it would be started again.
        subprocess.check_call(["systemctl", "stop", stopped])
    print(pid)


def read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        return file.read()
    return ""


def containers() -> t.Iterator[tuple[str, str]]:
    """ID and state of all that the OCI runtime knows."""
    for root in ROOTS:
        listed = subprocess.run(["runc", "--root", root, "list", "--format", "json"], capture_output=True, check=False)
        for found in json.loads(listed.stdout or "null") or ():
            yield found["id"], found["status"]


def left(uid: str) -> dict[str, t.Any]:
    frozen = glob.glob("/sys/fs/cgroup/freezer/**/freezer.state", recursive=True)
    frozen += glob.glob("/sys/fs/cgroup/**/cgroup.freeze", recursive=True)
    known = subprocess.check_output(["crictl", "ps", "--all", "--quiet"], text=True).split()
    known += subprocess.check_output(["crictl", "pods", "--quiet"], text=True).split()
    return {
        "restores": [name for place in ("restores", "tickets") for name in os.listdir(f"{STORE}/{place}")],
        "frozen": [path for path in frozen if read(path).strip() in ("FROZEN", "FREEZING", "1")],
        # Of what has ended, and the container runtime knows, the kubelet takes its time: kubernetes 1.36,
        # pkg/kubelet/kubelet.go, ContainerGCPeriod, a minute.
        "half": [
            f"{name} {status}"
            for name, status in containers()
            if name not in known or status not in ("running", "stopped")
        ],
        "criu": [line for line in read("/proc/self/mounts").splitlines() if "criu" in line],
        "processes": [path for path in glob.glob("/proc/[0-9]*/comm") if read(path).strip() == "criu"],
        "of the pod": glob.glob(f"/sys/fs/cgroup/*/**/pod{uid}", recursive=True)
        + [line.split()[1] for line in read("/proc/self/mounts").splitlines() if uid in line],
    }


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "strike":
        strike(*rest)
    else:
        print(json.dumps(left(*rest)))


if __name__ == "__main__":
    main()
