# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory as a whole: up, down, status, and what it writes for those who use it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import json
import pathlib
import shutil
import time
import typing as t

from . import cgroups, host, images, parts, programs, topology
from .api import wait_for
from .cache import Cache
from .control_plane import ControlPlane
from .errors import LabError
from .layers import Layers
from .network import Network
from .node import NodeMachine
from .pki import Pki

HERE = pathlib.Path(__file__).resolve().parents[1]
CHECKOUT = HERE.parents[1]
OUTPUT = CHECKOUT / ".lab"

# Whatever configuration the user has for other work stays out of it.
ANSIBLE_CFG = """\
[defaults]
localhost_warning = False
inventory_unparsed_warning = False
retry_files_enabled = False
"""

Say = t.Callable[[str], None]


class Lab:
    """There is one per machine, whichever checkout started it: its state lies beside the cache of its parts."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.state = Cache().directory.parent / "state"
        self.pki = Pki(self.state / "pki")
        self.network = Network(self.state / "network")

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """One command at a time changes the laboratory."""
        self.state.parent.mkdir(parents=True, exist_ok=True)
        with open(self.state.parent / "lab.lock", "w", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another command that is changing the laboratory")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def machine(self, name: str) -> NodeMachine:
        try:
            node = topology.named(name)
        except KeyError:
            known = ", ".join(item.name for item in topology.ALL)
            raise LabError(f"There is no node {name!r} here; there are {known}.") from None
        return NodeMachine(node, self.state, self.network, self.pki)

    def _nodes(self) -> list[topology.Node]:
        """The nodes that belong to this laboratory: all but the spare ones that do not run."""
        return [node for node in topology.ALL if node in topology.NODES or self.machine(node.name).init_pid is not None]

    def up(self, names: list[str]) -> None:
        """Everything running and Ready; what runs already is left alone."""
        machines = [self.machine(name) for name in names or [node.name for node in topology.NODES]]
        made = parts.ensure(self.say)
        with self.locked():
            began = time.monotonic()
            self._start_over_if_made_of(made)
            host.save_sysctls(self.state / "sysctls")
            self.pki.create(topology.ALL)
            layers = Layers(self.state / "layers", made, self.pki)
            layers.build()
            self.network.create()
            control_plane = ControlPlane(self.state, made, self.pki, self.network)
            self.say(f"starting the control plane and {', '.join(item.node.name for item in machines)}")
            with concurrent.futures.ThreadPoolExecutor() as pool:
                starts = [pool.submit(item.start, layers.of(item.node), made.debs) for item in machines]
                control_plane.start()
                pushed = pool.submit(self._push_images, control_plane, made)
                for start in [*starts, pushed]:
                    start.result()
            self.write_output(made, control_plane)
            for item in machines:
                name = item.node.name
                wait_for(f"{name} to be Ready", functools.partial(control_plane.api.node_ready, name), 90)
                self.say(f"{name} is Ready ({time.monotonic() - began:.1f} s)")

    def _start_over_if_made_of(self, made: parts.Parts) -> None:
        """A lab that stands on other parts, or that a crash left half made, is taken down before a new start."""
        self.state.mkdir(mode=0o700, exist_ok=True)
        marker = self.state / "parts.json"
        wanted = json.dumps({"parts": made.versions, "files": _digest()}, indent=1, sort_keys=True)
        if marker.exists() and marker.read_text() == wanted and self.pki.path("complete").exists():
            return
        if any(self.state.iterdir()):
            self.say("an earlier laboratory is in the way (other parts, or half started): taking it down first")
            self._clear()
            self.state.mkdir(mode=0o700)
        marker.write_text(wanted)

    def _push_images(self, control_plane: ControlPlane, made: parts.Parts) -> None:
        accounts = {topology.REGISTRY_PORT: None, topology.PRIVATE_REGISTRY_PORT: control_plane.registry_login}
        for port, login in accounts.items():
            for name in programs.WORKLOADS:
                images.push(
                    f"{topology.REGISTRY_HOST}:{port}",
                    name,
                    "1",
                    {f"/bin/{name}": made.workloads / name},
                    entrypoint=[f"/bin/{name}"],
                    ca_file=self.pki.path("ca.crt"),
                    address=topology.CONTROL_PLANE,
                    auth=(login["username"], login["password"]) if login else None,
                )

    def down(self) -> None:
        """Nothing is left: processes, cgroups, namespaces, mounts, links, sysctls, files."""
        with self.locked():
            self._clear()
        (self.state.parent / "lab.lock").unlink(missing_ok=True)
        shutil.rmtree(OUTPUT, ignore_errors=True)

    def _clear(self) -> None:
        machines = [self.machine(node.name) for node in topology.ALL]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for stopped in [pool.submit(item.stop) for item in machines]:
                stopped.result()
        for root in host.cgroup_roots():
            # Whatever a lab of another version called its cgroups.
            for directory in sorted(path for path in (root / cgroups.PARENT).glob("*") if path.is_dir()):
                cgroups.Cgroup(directory.name).kill()
        cgroups.remove_parent()
        self.network.remove()
        host.restore_sysctls(self.state / "sysctls")
        shutil.rmtree(self.state, ignore_errors=True)

    def start(self, name: str) -> None:
        made = parts.ensure(self.say)
        with self.locked():
            self._require_up()
            machine = self.machine(name)
            machine.start(Layers(self.state / "layers", made, self.pki).of(machine.node), made.debs)

    def stop(self, name: str) -> None:
        with self.locked():
            self.machine(name).stop()

    def cut(self, name: str) -> None:
        self._require_up()
        self.network.cut(self.machine(name).node)

    def heal(self, name: str) -> None:
        self._require_up()
        self.network.heal(self.machine(name).node)

    def _require_up(self) -> None:
        if not (self.state / "network" / "complete").exists():
            raise LabError("The laboratory is not up: `make lab` (or `tests/lab/lab up`) starts it.")

    def kubectl(self) -> pathlib.Path:
        self._require_up()
        return parts.ensure(self.say).kubernetes / "kubectl"

    def status(self) -> list[str]:
        """One line for each part of the laboratory."""
        if not self.state.exists():
            return ["The laboratory is down."]
        made = parts.ensure(self.say)
        control_plane = ControlPlane(self.state, made, self.pki, self.network)
        lines = [
            f"{name:24} {'running' if control_plane.is_running(name) else 'off'}" for name in control_plane.names()
        ]
        for node in self._nodes():
            machine = self.machine(node.name)
            ready = "Ready" if control_plane.api.node_ready(node.name) else "not Ready"
            lines.append(f"{node.name:24} {machine.describe()}, {ready}, {node.address}")
        return [*lines, *host.limits()]

    def logs(self, name: str, part: str) -> list[str]:
        """The command that shows the log of a unit on a node, or of a daemon of the control plane."""
        if name in ("cp", "control-plane"):
            return ["cat", str(self.state / "control-plane" / f"{part}.log")]
        if part == "console":
            return ["cat", str(self.machine(name).directory / "console.log")]
        return self.machine(name).command(["journalctl", "--no-pager", f"--unit={part}"])

    def write_output(self, made: parts.Parts, control_plane: ControlPlane) -> None:
        """What users of the laboratory need, in the checkout's .lab directory."""
        OUTPUT.mkdir(mode=0o700, exist_ok=True)
        for source, target in (
            ("admin.kubeconfig", "kubeconfig"),
            ("ca.crt", "ca.crt"),
            ("other-ca.crt", "other-ca.crt"),
            ("ssh_key", "ssh_key"),
        ):
            shutil.copy(self.pki.path(source), OUTPUT / target)
            (OUTPUT / target).chmod(0o600)
        key = " ".join(self.pki.path("ssh_host_key.pub").read_text().split()[:2])
        (OUTPUT / "known_hosts").write_text("".join(f"{node.address} {key}\n" for node in topology.ALL))
        (OUTPUT / "ansible.cfg").write_text(ANSIBLE_CFG)
        (OUTPUT / "inventory.yml").write_text(json.dumps(self._inventory(), indent=2) + "\n")
        nodes = {
            node.name: {"address": node.address, "address6": node.address6, "runtime": node.runtime}
            for node in self._nodes()
        }
        facts = {
            "api_server": topology.API_SERVER,
            "ca": str(OUTPUT / "ca.crt"),
            "other_ca": str(OUTPUT / "other-ca.crt"),
            "audit_log": str(control_plane.audit_log),
            "nodes": nodes,
            "host": topology.HOST,
            "registry": f"{topology.REGISTRY_HOST}:{topology.REGISTRY_PORT}",
            "private_registry": {
                "name": f"{topology.REGISTRY_HOST}:{topology.PRIVATE_REGISTRY_PORT}",
                **control_plane.registry_login,
            },
            "registry_address": topology.CONTROL_PLANE,
            "cgroup": host.cgroup_mode(),
            "limits": host.limits(),
            "versions": made.versions,
        }
        path = OUTPUT / "lab.json"
        path.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
        path.chmod(0o600)

    def _inventory(self) -> dict[str, t.Any]:
        options = f"-o UserKnownHostsFile={OUTPUT / 'known_hosts'} -o StrictHostKeyChecking=yes"
        common = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(OUTPUT / "ssh_key"),
            "ansible_ssh_common_args": options,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        groups: dict[str, t.Any] = {}
        for node in self._nodes():
            groups.setdefault(node.runtime, {"hosts": {}})["hosts"][node.name] = {"ansible_host": node.address}
        return {"nodes": {"vars": common, "children": groups}}


def _digest() -> str:
    """Over the laboratory's own files: a lab that was started by other ones is not taken for this one."""
    files = [path for name in ("labkit", "node") for path in sorted(HERE.joinpath(name).rglob("*"))]
    return parts.digest_of(path for path in files if path.is_file() and path.suffix != ".pyc")
