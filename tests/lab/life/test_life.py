# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory comes up, survives what it is for, and leaves the machine as it was. Takes down one that runs."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import time
import typing as t

import pytest

LAB = pathlib.Path(__file__).resolve().parents[1] / "lab"
OUTPUT = LAB.parents[2] / ".lab"
NODES = ("crio-a", "crio-b", "ctd-a", "ctd-b")
# They change by themselves on any machine.
RESTLESS_SYSCTLS = (
    "fs.dentry",
    "fs.inode",
    "fs.file-nr",
    "kernel.random",
    "kernel.ns_last_pid",
    "kernel.pty.nr",
    "fs.quota",
)
NAMESPACES = ("mnt", "net", "pid", "uts", "ipc", "cgroup")


def lab(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(LAB), *arguments], text=True, capture_output=True, check=False, timeout=900)
    assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done


def ready(node: str) -> bool:
    path = "{.status.conditions[?(@.type=='Ready')].status}"
    return lab("kubectl", "get", "node", node, "-o", f"jsonpath={path}", check=False).stdout == "True"


def wait_until(what: str, condition: t.Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)


def strangers() -> set[str]:
    """Processes that live in other namespaces than this one, or whose command line names the laboratory's files."""
    found = set()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            foreign = any(
                os.readlink(process / "ns" / name) != os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES
            )
            ours = "checkpoint-restore-lab/parts" in command or "checkpoint-restore-lab/state" in command
            if command and (foreign or ours):
                found.add(f"{process.name} {command}")
    return found


def machine() -> dict[str, t.Any]:
    """What a laboratory could leave behind."""

    def said(*command: str) -> list[str]:
        return subprocess.run(command, text=True, capture_output=True, check=True).stdout.splitlines()

    mounts = [" ".join(line.split()[3:]) for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    sysctls = [line for line in said("sysctl", "--all", "--ignore") if not line.startswith(RESTLESS_SYSCTLS)]
    return {
        "mounts": sorted(mounts),
        "links": sorted(line.split(": ")[1] for line in said("ip", "-o", "link")),
        "routes": sorted(said("ip", "route")),
        "cgroups": sorted(path for path, _directories, _files in os.walk("/sys/fs/cgroup")),
        "processes": strangers(),
        "sysctls": sysctls,
    }


@pytest.fixture(scope="module")
def before() -> dict[str, t.Any]:
    lab("down")
    return machine()


@pytest.fixture(scope="module", autouse=True)
def up(before: dict[str, t.Any]) -> None:
    lab("up")


def test_four_nodes_are_ready_and_plain() -> None:
    assert all(ready(node) for node in NODES)
    facts = json.loads((OUTPUT / "lab.json").read_text())
    assert sorted(facts["nodes"]) == list(NODES)
    for node in NODES:
        assert lab("exec", node, "sh", "-c", "command -v criu", check=False).stdout == ""
        assert lab("exec", node, "systemctl", "is-system-running").stdout.strip() == "running"


def test_a_second_up_changes_nothing() -> None:
    pids = [lab("exec", node, "systemctl", "show", "kubelet", "--property=MainPID").stdout for node in NODES]
    lab("up")
    assert pids == [lab("exec", node, "systemctl", "show", "kubelet", "--property=MainPID").stdout for node in NODES]


@pytest.mark.parametrize("login", ["root", "ops"])
def test_ansible_restarts_units_and_reboots(login: str) -> None:
    """As a user would: over SSH, with become for the login that is not root."""
    options = ["run", "ansible", "ctd-a", "--user", login, "--become", "--module-name"]
    done = lab(*options, "ansible.builtin.systemd_service", "--args", "name=kubelet state=restarted")
    assert "CHANGED" in done.stdout
    if login == "ops":
        boot = lab("exec", "ctd-a", "cat", "/proc/sys/kernel/random/boot_id").stdout
        lab(*options, "ansible.builtin.reboot", "--args", "reboot_timeout=60")
        assert lab("exec", "ctd-a", "cat", "/proc/sys/kernel/random/boot_id").stdout != boot
        wait_until("the node", lambda: ready("ctd-a"), 60)


def test_what_a_real_cluster_refuses_is_refused() -> None:
    facts = json.loads((OUTPUT / "lab.json").read_text())
    address = facts["nodes"]["crio-a"]["address"]
    for url, expected in (
        (f"https://{address}:10250/pods", "401"),
        (f"{facts['api_server']}/api/v1/nodes", "403"),
        (f"https://{facts['registry_address']}:5001/v2/", "401"),
        (f"https://{facts['registry_address']}:5000/v2/", "200"),
    ):
        status = [
            "curl",
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--cacert",
            facts["ca"],
            url,
        ]
        assert subprocess.run(status, text=True, capture_output=True, check=False).stdout == expected, url
    denied = lab("kubectl", "--as=system:serviceaccount:default:default", "get", "nodes", check=False)
    assert "Forbidden" in denied.stderr


def test_power_and_cable() -> None:
    lab("stop", "ctd-b")
    assert "off" in next(line for line in lab("status").stdout.splitlines() if line.startswith("ctd-b"))
    lab("start", "ctd-b")
    lab("cut", "crio-b")
    wait_until("crio-b to be missed", lambda: not ready("crio-b"), 60)
    lab("heal", "crio-b")
    for node in ("crio-b", "ctd-b"):
        wait_until(node, functools.partial(ready, node), 60)


def test_unknown_node_is_one_clear_line() -> None:
    done = lab("stop", "nowhere", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "crio-a" in done.stderr


def test_down_leaves_the_machine_as_it_was(before: dict[str, t.Any]) -> None:
    lab("down")
    after = machine()
    assert not after["processes"] - before["processes"]
    for kind in ("mounts", "links", "routes", "cgroups", "sysctls"):
        assert after[kind] == before[kind], kind
    assert not OUTPUT.exists()
