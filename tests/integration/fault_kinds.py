# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of faults in a move share: pods of each kind of controller, with a client that finds them by label."""

from __future__ import annotations

import contextlib
import json
import typing as t

from fault_support import SETTLING, Client, Scene, Shell
from migrate_support import HOSTNAME
from restore_support import CRIO, CTD
from support import REGISTRY, Cluster, Controller, kubectl, wait_until

Thing = dict[str, t.Any]


class Clients(Client):
    """The same for pods that come and go, found by their label."""

    def _run(self) -> None:
        while not self._over.wait(0.05):
            with contextlib.suppress(Exception):
                for pod in self._session.pods(self._namespace, labels=[f"name={self._name}"]):
                    address = (pod.get("status") or {}).get("podIP")
                    if address:
                        self._addresses.setdefault(address)
            for address in list(self._addresses):
                with contextlib.suppress(OSError, ValueError):
                    self._add(address)


class OfKind(Scene):
    """The same of a pod of nobody, or of a controller of one, that begins at the source.

    ``others``: more nodes that it may go to.
    """

    def __init__(
        self,
        cluster: Cluster,
        controller: Controller,
        kind: str,
        label: str,
        source: str,
        others: t.Sequence[str] = (),
    ) -> None:
        self.cluster = cluster
        self.controller = controller
        self.kind = kind
        self.label = label
        self.source = source
        self.target = CTD if source == CRIO else CRIO
        self.stack = contextlib.ExitStack()
        self.nodes = {node: Shell(node) for node in (CRIO, CTD, *others)}
        for shell in self.nodes.values():
            self.stack.callback(shell.close)
        self.stack.callback(self._delete)
        cluster.apply(self._document())
        wait_until("the pod to run", lambda: self._phase() == "Running", 120)
        found = self.pod()
        assert found["spec"]["nodeName"] == source
        self.name = found["metadata"]["name"]
        self.client = Clients(cluster.namespace, label)
        self.stack.callback(self.client.close)
        self.client.hears_more()

    def _document(self) -> Thing:
        if self.kind == "Pod":
            return self.cluster.pod(self.label, self.source, args=["8080", "0"])
        hosts = [{"key": HOSTNAME, "operator": "In", "values": list(self.nodes)}]
        first = [{"key": HOSTNAME, "operator": "In", "values": [self.source]}]
        where = {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": hosts}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": first}}
            ],
        }
        labels = {"name": self.label}
        return {
            "apiVersion": "apps/v1",
            "kind": self.kind,
            "metadata": {"name": self.label, "namespace": self.cluster.namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                **({"serviceName": self.label} if self.kind == "StatefulSet" else {}),
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "affinity": {"nodeAffinity": where},
                        "containers": [{"name": "app", "image": f"{REGISTRY}/counter:1", "args": ["8080", "0"]}],
                    },
                },
            },
        }

    def _delete(self) -> None:
        name = f"{self.kind.lower()}/{self.label}"
        kubectl("delete", name, "--namespace", self.cluster.namespace, "--wait", "--cascade=foreground", check=False)

    def pods(self) -> list[Thing]:
        """Those that are there."""
        told = kubectl("get", "pods", "--namespace", self.cluster.namespace, f"--selector=name={self.label}", "-o=json")
        return [each for each in json.loads(told)["items"] if not each["metadata"].get("deletionTimestamp")]

    def pod(self) -> Thing:
        """The only one."""
        (found,) = self.pods()
        return dict(found)

    def _phase(self) -> str:
        return "".join(each["status"].get("phase", "") for each in self.pods())

    def goes_on_at(self, node: str, result: Thing) -> None:
        """As one process, alone, and nothing is left on any node."""
        assert (result.get("outcome"), result.get("node")) == ("moved", node), (result, self.controller.output)
        assert not result.get("warnings"), result["warnings"]
        self.client.hears_more()
        found = self.pod()
        assert found["spec"]["nodeName"] == node and found["metadata"]["name"] == result["pod"]
        assert [each["restartCount"] for each in found["status"]["containerStatuses"]] == [0]
        with contextlib.suppress(AssertionError):
            wait_until("nothing to be left", lambda: self.left() == "", SETTLING, 1)
        assert self.left() == ""
        self.client.hears_more()
        self.client.saw_one()
