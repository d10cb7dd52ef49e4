# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node: a system container with systemd as its process 1, from power on to power off."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import typing as t

from . import host, layers, topology
from .cgroups import Cgroup
from .errors import LabError
from .network import Network
from .pki import Pki

INIT = pathlib.Path(__file__).with_name("node_init.py")
DATA = ("containers", "containerd", "kubelet")
# unshare ends with 128 + SIGHUP when the node's process 1 called reboot(2): so says a pid namespace.
REBOOT = 129
_SUPERVISE = 'while :; do "$@"; [ $? = ' + str(REBOOT) + " ] || break; done"


class NodeMachine:
    """One node of the topology, on this machine."""

    def __init__(self, node: topology.Node, state: pathlib.Path, network: Network, pki: Pki) -> None:
        self.node = node
        self.directory = state / "nodes" / node.name
        self.network = network
        self.pki = pki
        self.cgroup = Cgroup(node.name)
        self.supervisor = Cgroup(f"{node.name}-supervisor")

    @property
    def init_pid(self) -> t.Optional[int]:
        """Process 1 of the node as the machine knows it; None where the node is off."""
        try:
            pid = int((self.directory / "init.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in self.cgroup.pids() else None

    def is_on(self) -> bool:
        return self.init_pid is not None

    def start(self, lower: list[str], debs: pathlib.Path) -> None:
        """Power on; nothing happens where it is on already."""
        if self.is_on():
            return
        self.stop()
        self._prepare()
        for cgroup in (self.cgroup, self.supervisor):
            cgroup.create()
        specification = {
            "name": self.node.name,
            "lower": lower,
            "upper": str(self.directory / "upper"),
            "work": str(self.directory / "work"),
            "merged": str(self.directory / "merged"),
            "init_pid": str(self.directory / "init.pid"),
            "cgroups": [str(path / "cgroup.procs") for path in self.cgroup.directories],
            # An overlay can't hold another overlay's upper directory: the runtimes' storage is the machine's own.
            "binds": [[str(self.directory / "data" / name), f"var/lib/{name}", False] for name in DATA]
            + [[str(debs), "opt/debs", True]],
            "v2": host.cgroup_mode() == "v2",
        }
        (self.directory / "node.json").write_text(json.dumps(specification, indent=1))
        boot = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--propagation", "private", "--kill-child"]
        boot += [sys.executable, str(INIT), str(self.directory / "node.json")]
        command = [*self.network.enter(self.node.name), "sh", "-c", _SUPERVISE, f"lab-{self.node.name}", *boot]
        with open(self.directory / "console.log", "ab") as console:
            subprocess.Popen(
                self.supervisor.wrap(command),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                cwd="/",
            )
        end = time.monotonic() + 15
        while not self.is_on():
            if time.monotonic() > end:
                tail = (self.directory / "console.log").read_text(errors="replace").splitlines()[-3:]
                raise LabError(f"{self.node.name} did not start: {' / '.join(tail) or 'its console is empty'}")
            time.sleep(0.02)

    def _prepare(self) -> None:
        upper = self.directory / "upper"
        if upper.exists():
            return
        for name in ("work", "merged", *(f"data/{name}" for name in DATA)):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        layers.write_node(upper, self.node, self.pki)

    def stop(self) -> None:
        """Power off, as if the plug were pulled: its process 1 takes the whole pid namespace with it."""
        self.supervisor.kill()
        self.cgroup.kill()
        (self.directory / "init.pid").unlink(missing_ok=True)

    def forget(self) -> None:
        """Stop and lose the disk: the next start is a fresh node."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that runs the arguments inside the node, in a cgroup of it, as root."""
        pid = self.init_pid
        if pid is None:
            raise LabError(f"{self.node.name} is off: `tests/lab/lab start {self.node.name}` starts it.")
        cgroup = Cgroup(f"{self.node.name}/lab-exec")
        for path in cgroup.directories:
            path.mkdir(exist_ok=True)
        environment = ["HOME=/root", f"TERM={os.environ.get('TERM', 'dumb')}"]
        environment += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        enter = [
            "nsenter",
            f"--target={pid}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--root",
            "--wdns=/",
        ]
        return cgroup.wrap([*enter, "--", "env", "-i", *environment, *arguments])

    def run(self, arguments: list[str], **options: t.Any) -> subprocess.CompletedProcess[str]:
        """Run inside the node and return what it said; the exit code is the caller's to judge."""
        return subprocess.run(self.command(arguments), text=True, capture_output=True, check=False, **options)

    def describe(self) -> str:
        """One line for the status."""
        pid = self.init_pid
        if pid is None:
            return "off"
        state = self.run(["systemctl", "is-system-running"]).stdout.strip() or "starting"
        cut = ", network cut" if self.network.is_cut(self.node) else ""
        return f"on (process {pid}, systemd {state}{cut})"
