# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of faults in a move share: a pod with a client, a controller that stops itself, and the faults."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import typing as t
import urllib.request

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.auth import api_server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import state as state_files
from restore_support import CRIO, CTD, STORE
from support import LAB, Cluster, Controller, kubectl, wait_until

MOVES = f"{STORE}/moves"
HOG_MIB = 400
# How long a client waits for an answer. Of what is frozen none comes.
PATIENCE = 0.4
SETTLING = 60

# A callback plugin beside the playbook: the process that moves the pod stops itself when the step is written down.
HOOK = """
import json, os, signal
from ansible.plugins.callback import CallbackBase

rename, wanted, stopped = os.rename, os.environ.get("TEST_STOP_AT"), os.environ.get("TEST_STOPPED")

def stopping(old, new):
    rename(old, new)
    if os.fspath(new).endswith(".json") and os.path.basename(os.path.dirname(new)) == "moves":
        with open(new) as file:
            step = json.load(file)["steps"][-1]["name"]
        if step == wanted and not os.path.exists(stopped):
            with open(stopped + ".new", "w") as file:
                file.write(str(os.getpid()))
            rename(stopped + ".new", stopped)
            os.kill(os.getpid(), signal.SIGSTOP)

if wanted:
    os.rename = stopping

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "stopper"
"""

# The pattern does not match itself.
AGENTS = "grep -lz checkpoint_restore_agen[t] /proc/[0-9]*/cmdline 2>/dev/null"


class Shell:
    """A shell on a node that waits for commands: logging in takes longer than some steps."""

    def __init__(self, node: str) -> None:
        command = [str(LAB / "lab"), "exec", node, "sh"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._process = subprocess.Popen(command, text=True, bufsize=1, **pipes)  # type: ignore[call-overload]
        self.run("true")

    def run(self, command: str) -> str:
        """What it prints. It has to succeed."""
        self._process.stdin.write(f"{command}\nstatus=$?; echo; echo done $status\n")
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith("done "):
                break
            lines.append(line)
        assert line == "done 0\n", (command, line, lines)
        return "".join(lines).strip()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Client:
    """Adds one as often as it can, at every address that the pod has had."""

    def __init__(self, namespace: str, name: str) -> None:
        self._session = ApiSession(api_server({"kubeconfig": os.environ["KUBECONFIG"]}))
        self._namespace = namespace
        self._name = name
        self._over = threading.Event()
        self._addresses: dict[str, None] = {}
        self.answers: list[tuple[str, int, int]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    @property
    def count(self) -> int:
        return self.answers[-1][1] if self.answers else 0

    def hears_more(self) -> None:
        before = self.count
        wait_until("the next number", lambda: self.count > before + 2, SETTLING)

    def saw_one(self) -> None:
        """One process, that went on from where it was."""
        counts = [count for _address, count, _since in self.answers]
        assert all(after > before for before, after in zip(counts, counts[1:])), self.answers
        assert len({since for _address, _count, since in self.answers}) == 1, self.answers

    def _run(self) -> None:
        while not self._over.wait(0.05):
            with contextlib.suppress(Exception):
                pod = self._session.pod(self._namespace, self._name)
                address = ((pod or {}).get("status") or {}).get("podIP")
                if address:
                    self._addresses.setdefault(address)
            for address in list(self._addresses):
                with contextlib.suppress(OSError, ValueError):
                    self._add(address)

    def _add(self, address: str) -> None:
        request = urllib.request.Request(f"http://{address}:8080/add", method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            told = json.load(answer)
            self.answers.append((address, told["count"], told["since"]))


class Scene:
    """A pod that is to be moved from one node to the other, and who looks on."""

    def __init__(
        self, cluster: Cluster, controller: Controller, name: str, source: str, target: str, *, big: bool = False
    ) -> None:
        self.cluster = cluster
        self.controller = controller
        self.name = name
        self.source = source
        self.target = target
        self.stack = contextlib.ExitStack()
        self.nodes = {node: Shell(node) for node in (source, target)}
        for shell in self.nodes.values():
            self.stack.callback(shell.close)
        self.stack.callback(self._delete)
        pod = cluster.pod(name, source, args=["8080", "0"])
        if big:
            settings = [{"name": "MIB", "value": str(HOG_MIB)}, {"name": "MODE", "value": "random"}]
            image = pod["spec"]["containers"][0]["image"].replace("counter", "hog")
            pod["spec"]["containers"].append({"name": "hog", "image": image, "env": settings})
        cluster.apply(pod)
        self.uid = cluster.get(name)["metadata"]["uid"]
        self.client = Client(cluster.namespace, name)
        self.stack.callback(self.client.close)
        if big:
            logs = ("logs", "--namespace", cluster.namespace, name, "--container=hog")
            wait_until("the hog to be full", lambda: "ready" in kubectl(*logs, check=False))
        self.client.hears_more()

    def _delete(self) -> None:
        kubectl("delete", "pod", self.name, "--namespace", self.cluster.namespace, "--wait", "--now", check=False)

    def on(self, where: str) -> Shell:
        return self.nodes[self.source if where == "source" else self.target]

    def migrate(self, stop_at: str = "", **options: t.Any) -> dict[str, t.Any]:
        """The module's result; empty where it was killed."""
        arguments = {"namespace": self.cluster.namespace, "pod": self.name, "node": self.target, **options}
        folder = self.controller.directory / "callback_plugins"
        folder.mkdir(exist_ok=True)
        (folder / "stopper.py").write_text(HOOK)
        self._stopped.unlink(missing_ok=True)
        env = {"TEST_STOP_AT": stop_at, "TEST_STOPPED": str(self._stopped)}
        try:
            return self.controller.task("checkpoint_migrate", env=env if stop_at else None, **arguments)
        except AssertionError:
            return {}

    @property
    def _stopped(self) -> pathlib.Path:
        return self.controller.directory / "stopped"

    def stopped(self, running: concurrent.futures.Future[dict[str, t.Any]]) -> int:
        """Wait until the controller has stopped itself; its process."""

        def there() -> bool:
            assert not running.done(), (running.result(), self.controller.output)
            return self._stopped.exists() and "T (stopped)" in status(int(self._stopped.read_text()))

        wait_until("the controller to come to the step", there, interval=0.01)
        return int(self._stopped.read_text())

    def left(self) -> str:
        """What a move may have left, on both nodes, in the cluster and at the controller."""
        folders = f"{MOVES} {STORE}/tickets {STORE}/frozen {STORE}/restores"
        look = f"for each in {folders}; do ls -A $each 2>/dev/null; done; grep criu /proc/self/mounts; {AGENTS}; true"
        found = [shell.run(look) for shell in self.nodes.values()]
        label = "--selector=checkpoint-restore.io/move"
        found.append(kubectl("get", "leases", "--namespace", self.cluster.namespace, label, "--output=name"))
        found += state_files.unfinished(state_files.directory())
        return "\n".join(line for text in found for line in text.splitlines() if line)

    def goes_on_where_it_was(self) -> None:
        found = self.cluster.get(self.name)
        assert found["metadata"]["uid"] == self.uid and found["spec"]["nodeName"] == self.source
        self.client.hears_more()

    def ended(self) -> None:
        """It goes on at the target, alone, and nothing is left."""
        self.client.hears_more()
        found = self.cluster.get(self.name)
        assert found["spec"]["nodeName"] == self.target
        assert [each["restartCount"] for each in found["status"]["containerStatuses"]] == [0] * len(
            found["spec"]["containers"]
        )
        with contextlib.suppress(AssertionError):
            wait_until("nothing to be left", lambda: self.left() == "", SETTLING, 1)
        assert self.left() == ""
        self.client.hears_more()
        self.client.saw_one()


def status(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/status").read_text()
    return ""


def kill(pid: int) -> None:
    """The controller: the process that moves the pod, and ansible-playbook that has forked it."""
    parent = next(int(line.split()[1]) for line in status(pid).splitlines() if line.startswith("PPid:"))
    assert "ansible-playbook" in pathlib.Path(f"/proc/{parent}/cmdline").read_text()
    os.kill(parent, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def scenes(cluster: Cluster, controller: Controller) -> t.Iterator[t.Callable[..., Scene]]:
    """Makes scenes, which are gone afterwards."""
    with contextlib.ExitStack() as stack:

        def made(name: str, source: str = CRIO, target: str = CTD, **options: t.Any) -> Scene:
            found = Scene(cluster, controller, name, source, target, **options)
            stack.callback(found.stack.close)
            return found

        yield made


class Fault(t.NamedTuple):
    """What is made on a node when the controller has stopped itself, and unmade before it is run again. ``before``: as
    ``make``, before the first run begins."""

    make: str
    unmake: str = "true"
    before: str = "true"


RULES = " && ".join(
    f"{program} -w -{{change}} {chain} {flag} eth0 -j DROP"
    for program in ("iptables", "ip6tables")
    for chain, flag in (("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i"), ("FORWARD", "-o"))
)
KUBELET = Fault("systemctl stop kubelet", "systemctl start kubelet")
CUT = Fault(RULES.format(change="I"), RULES.format(change="D"))
DISK = Fault(
    f"dd if=/dev/zero of={MOVES}/filling bs=64k 2>/dev/null; true",
    f"rm {MOVES}/filling; umount {MOVES}",
    f"mkdir -p {MOVES} && mount -t tmpfs -o size=256m,mode=700 tmpfs {MOVES}",
)
CRIU = Fault(
    'printf "#!/bin/sh\\necho no restore today >&2\\nexit 1\\n" > /run/bad-criu && chmod 755 /run/bad-criu && '
    'mount --bind /run/bad-criu "$(command -v criu)"',
    'umount "$(command -v criu)" && rm /run/bad-criu',
)


def agent(role: str) -> Fault:
    """Of the processes whose command line is the agent's, the one that is Python, and not the one that it left behind
    to thaw a container in time."""
    found = f'killed=; for file in $(grep -lzx {role} /dev/null $({AGENTS})); do folder="${{file%/cmdline}}"; '
    thaws = 'grep -qx checkpoint-thaw "$folder/comm" && continue; '
    kill = 'case "$(readlink "$folder/exe")" in *python*) kill -9 "${folder#/proc/}" && killed=yes;; esac; done; '
    return Fault(f'{found}{thaws}{kill}test "$killed"')


UNDONE, PARTLY, FORWARD, MOVED = "undone", "partly", "forward", "moved"


def how(result: dict[str, t.Any]) -> str:
    """How a run ended."""
    if result.get("outcome") == "moved":
        return MOVED
    if result["undone"]:
        return UNDONE
    return PARTLY if result.get("problems") else FORWARD
