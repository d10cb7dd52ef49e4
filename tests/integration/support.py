# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests share: the laboratory, workloads on it, and Ansible as a user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
import typing as t
import urllib.request

from labkit import topology

LAB = pathlib.Path(__file__).resolve().parents[1] / "lab"
NODES = tuple(node.name for node in topology.NODES)
# One with CRI-O and one with containerd for tests that change the nodes themselves; TEST_NODES=crio-c,ctd-c takes spare
# ones, which no other test minds.
SOME_NODES = tuple(os.environ.get("TEST_NODES", "crio-b,ctd-b").split(","))
REGISTRY = f"{topology.REGISTRY_HOST}:{topology.REGISTRY_PORT}"


def lab(
    *arguments: str, check: bool = True, timeout: float = 300, **options: t.Any
) -> subprocess.CompletedProcess[str]:
    """tests/lab/lab; what it said is in the failure."""
    command = [str(LAB / "lab"), *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def node_run(node: str, command: str, check: bool = True) -> str:
    """A shell command on a node, as root."""
    return lab("exec", node, "sh", "-c", command, check=check).stdout


def kubectl(*arguments: str, document: t.Any = None, check: bool = True) -> str:
    options = {"input": json.dumps(document)} if document is not None else {}
    return lab("kubectl", *arguments, check=check, **options).stdout


def wait_until(what: str, condition: t.Callable[[], bool], seconds: float = 60, interval: float = 0.2) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(interval)


def kubelet_answers(node: str) -> None:
    """Wait for the port: it answers some seconds later than the unit's restart returns."""
    address = topology.named(node).address

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((address, 10250), timeout=1):
            return True
        return False

    wait_until(f"the kubelet of {node}", answers)


def configure_kubelet(node: str, **settings: t.Any) -> None:
    """Restart the kubelet with more settings; without any, with its own."""
    path = "/etc/kubernetes/kubelet.conf.d/90-test.conf"
    document = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **settings}
    change = f"echo '{json.dumps(document)}' > {path}" if settings else f"rm -f {path}"
    node_run(node, f"{change} && systemctl restart kubelet")
    kubelet_answers(node)


class Cluster:
    """One namespace and the pods in it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __enter__(self) -> Cluster:
        kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait")
        kubectl("create", "namespace", self.namespace)
        account = ("get", "serviceaccount", "default", "--namespace", self.namespace)
        wait_until("the default service account", lambda: "default" in kubectl(*account, check=False))
        return self

    def __exit__(self, *_exception: object) -> None:
        kubectl("delete", "namespace", self.namespace, "--wait")

    def pod(self, name: str, node: str, image: str = "counter", **container: t.Any) -> dict[str, t.Any]:
        """A pod document: one container ``app`` of a workload, bound to the node; more keys go into the container."""
        main = {"name": "app", "image": f"{REGISTRY}/{image}:1", **container}
        spec: dict[str, t.Any] = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [main]}
        metadata = {"name": name, "namespace": self.namespace, "labels": {"app": image, "name": name}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def apply(self, *documents: dict[str, t.Any], ready: bool = True) -> None:
        kubectl("apply", "--filename=-", document={"apiVersion": "v1", "kind": "List", "items": list(documents)})
        pods = [item["metadata"]["name"] for item in documents if item["kind"] == "Pod"]
        if ready and pods:
            names = [f"pod/{name}" for name in pods]
            kubectl("wait", "--namespace", self.namespace, "--for=condition=Ready", "--timeout=120s", *names)

    def get(self, name: str) -> dict[str, t.Any]:
        return dict(json.loads(kubectl("get", "pod", name, "--namespace", self.namespace, "--output=json")))

    def delete(self, *names: str) -> None:
        kubectl("delete", "pod", "--namespace", self.namespace, "--wait", "--now", *names)

    def logs(self, name: str, check: bool = True) -> str:
        return kubectl("logs", "--namespace", self.namespace, name, check=check)

    def says(self, name: str, text: str = "") -> None:
        """Wait until the pod has printed a line with the text in it."""

        def said() -> bool:
            # A container that is only being made has no log yet.
            return any(text in line for line in self.logs(name, check=False).splitlines())

        wait_until(f"{name} to say {text!r}", said, 120)

    def ask(self, name: str) -> dict[str, t.Any]:
        """What a counter answers: its ``count``, and ``since`` when its process runs."""
        address = self.get(name)["status"]["podIP"]
        with urllib.request.urlopen(f"http://{address}:8080/", timeout=10) as answer:
            return dict(json.load(answer))

    def hog(self, name: str, node: str, mib: int) -> None:
        """A running pod that holds so much memory no compression helps with."""
        settings = {"MIB": str(mib), "MODE": "random"}
        self.apply(self.pod(name, node, "hog", env=[{"name": key, "value": value} for key, value in settings.items()]))
        self.says(name, "ready")


class Controller:
    """ansible-playbook in the project's environment; results come back as the module gave them."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.output = ""

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, **more}

    def task(
        self,
        module: str,
        *,
        on: str = "localhost",
        check: bool = False,
        env: t.Optional[dict[str, str]] = None,
        keywords: t.Optional[dict[str, t.Any]] = None,
        inventory: t.Optional[str] = None,
        **arguments: t.Any,
    ) -> dict[str, t.Any]:
        """The registered result of one task, failed or not. ``inventory``: another than the laboratory's."""
        result = self.directory / "result.json"
        result.unlink(missing_ok=True)
        name = f"checkpoint_restore.kubernetes.{module}"
        task = {"name": "Run", name: arguments, "register": "outcome", "ignore_errors": True, **(keywords or {})}
        keep = {
            "name": "Keep the result",
            "ansible.builtin.copy": {"content": "{{ outcome | to_json }}", "dest": str(result), "mode": "0600"},
            "delegate_to": "localhost",
            "check_mode": False,
            "become": False,
        }
        play = {"name": "One task", "hosts": on, "gather_facts": False, "tasks": [task, keep]}
        playbook = self.directory / "playbook.json"
        playbook.write_text(json.dumps([play]))
        options = [*(["--check"] if check else []), *(["--inventory", inventory] if inventory else [])]
        done = lab("run", "ansible-playbook", *options, str(playbook), check=False, env=self.environment(**(env or {})))
        self.output = done.stdout + done.stderr
        assert result.exists(), self.output
        return dict(json.loads(result.read_text()))

    def playbook(
        self, name: str, *options: str, env: t.Optional[dict[str, str]] = None, **variables: t.Any
    ) -> subprocess.CompletedProcess[str]:
        """A playbook of the collection, by its full name."""
        given = ["--extra-vars", json.dumps(variables)] if variables else []
        done = lab(
            "run",
            "ansible-playbook",
            f"checkpoint_restore.kubernetes.{name}",
            *given,
            *options,
            check=False,
            timeout=900,
            env=self.environment(**(env or {})),
        )
        self.output = done.stdout + done.stderr
        return done

    def role(self, name: str, *nodes: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        """A role of the collection on nodes, as root."""
        play = {
            "name": f"The role {name}",
            "hosts": ",".join(nodes),
            "become": True,
            "gather_facts": False,
            "vars": variables,
            "roles": [f"checkpoint_restore.kubernetes.{name}"],
        }
        playbook = self.directory / "role.json"
        playbook.write_text(json.dumps([play]))
        done = lab("run", "ansible-playbook", str(playbook), check=False, timeout=600, env=self.environment())
        self.output = done.stdout + done.stderr
        return done
