# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy for analysis: cut off from the network, from the cluster's API and from the original's data.

Source: kubernetes 1.36, networking.k8s.io/v1 (a policy that names no rule allows nothing) and
plugin/pkg/admission/serviceaccount (no token where ``automountServiceAccountToken`` is false).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import copy
import typing as t
import urllib.parse

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .access_objects import MANAGER, MANAGER_LABEL
from .api import ApiSession, Thing
from .failures import needing
from .manifest import TOKEN_VOLUME, all_containers
from .restore_request import ISOLATED

POLICY = "checkpoint-restore-isolated"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
NO_TOKEN = "checkpoint-restore-no-token"
LABELS = {MANAGER_LABEL: MANAGER, ISOLATED: "true"}
SHARED_WITH_NODE = ("hostNetwork", "hostPID", "hostIPC")
# Whatever else a volume is, it reaches data that the original or the node uses.
HARMLESS_VOLUMES = frozenset(("configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret"))
RIGHTS = "An isolated restore needs get, create and delete on namespaces and networkpolicies, as administrators have"


def isolated(pod: Thing) -> Thing:
    """The manifest without labels, tokens and account of the original; its mounts stay where they were.

    To be applied before the patch, so that what a patch says holds.
    """
    made = copy.deepcopy(pod)
    made["metadata"]["labels"] = dict(LABELS)
    spec = made["spec"]
    spec["automountServiceAccountToken"] = False
    spec["serviceAccountName"] = "default"
    spec.pop("subdomain", None)
    volumes = spec.setdefault("volumes", [])
    for volume in volumes:
        sources = (volume.get("projected") or {}).get("sources")
        if sources is None:
            continue
        kept = [source for source in sources if "serviceAccountToken" not in source]
        if volume["name"].startswith(TOKEN_VOLUME) or not kept:
            del volume["projected"]
            volume["emptyDir"] = {}
        else:
            volume["projected"]["sources"] = kept
    # A process is restored with the mounts that it had: an empty folder stands where its token was.
    for container in all_containers(made):
        mounts = container.setdefault("volumeMounts", [])
        if all(mount["mountPath"].rstrip("/") != TOKEN_PATH for mount in mounts):
            mounts.append({"name": NO_TOKEN, "mountPath": TOKEN_PATH, "readOnly": True})
            if all(volume["name"] != NO_TOKEN for volume in volumes):
                volumes.append({"name": NO_TOKEN, "emptyDir": {}})
    return made


def require_isolation(pod: Thing) -> None:
    """Raise CheckpointError ``isolation_impossible`` with everything that leads out of the sandbox."""
    spec = pod["spec"]
    found = [name for name in SHARED_WITH_NODE if spec.get(name)]
    for volume in spec.get("volumes") or []:
        found += [f"volume {volume['name']} ({kind})" for kind in sorted(set(volume) - {"name"} - HARMLESS_VOLUMES)]
    for container in all_containers(pod):
        if (container.get("securityContext") or {}).get("privileged"):
            found.append(f"privileged container {container['name']}")
        if any(port.get("hostPort") for port in container.get("ports") or []):
            found.append(f"hostPort of container {container['name']}")
        if container.get("volumeDevices"):
            found.append(f"volumeDevices of container {container['name']}")
    if found:
        raise CheckpointError(
            "isolation_impossible",
            f"The pod would not be isolated: {', '.join(found)}",
            hint="Replace them by patch; a volume of the same name takes the place of the one that is there",
        )


class Sandbox:
    """The namespace of an isolated restore and its NetworkPolicy."""

    def __init__(self, session: ApiSession, namespace: str) -> None:
        self._session = session
        self.name = namespace
        self._path = f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}"
        self._policies = (
            f"/apis/networking.k8s.io/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/networkpolicies"
        )
        self._made: list[str] = []
        with needing(RIGHTS):
            self.found = session.get(self._path)

    @property
    def objects(self) -> list[Thing]:
        """What is made: the namespace, where there is none, and the policy."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": LABELS}}
        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": POLICY, "namespace": self.name, "labels": LABELS},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }
        return [policy] if self.found else [namespace, policy]

    def require_own(self, pod: str) -> None:
        """Raise ``namespace_in_use`` where other pods are: the policy would cut them off."""
        if self.found is None:
            return
        others = sorted(name for name in self._pods() if name != pod)
        if others:
            raise CheckpointError(
                "namespace_in_use",
                f"The namespace {self.name} has other pods: {', '.join(others[:5])}",
                hint="Give another isolated_namespace, one that does not exist or is empty",
            )

    def prepare(self) -> None:
        """Make what is missing, the policy before any pod."""
        with needing(RIGHTS):
            for thing in self.objects:
                self._ensure(thing)

    def _ensure(self, thing: Thing) -> None:
        whole = thing["kind"] == "Namespace"
        collection, path = (
            ("/api/v1/namespaces", self._path) if whole else (self._policies, f"{self._policies}/{POLICY}")
        )
        found = self._session.get(path)
        if found is None:
            self._made.append(path)
            self._session.create(collection, thing)
        elif thing["kind"] == "NetworkPolicy" and found["spec"] != thing["spec"]:
            raise CheckpointError(
                "not_ours",
                f"The NetworkPolicy {POLICY} of the namespace {self.name} allows more than nothing",
                hint="Delete it, or give another isolated_namespace",
            )

    def undo(self) -> None:
        """Remove what :meth:`prepare` made."""
        for path in reversed(self._made):
            self._session.delete(path, {"kind": "DeleteOptions", "apiVersion": "v1"})

    def remove(self, deadline: Deadline | None, pause: t.Callable[[], object]) -> bool:
        """Remove the namespace if it was made here and is empty, else the policy; whether anything was there.

        Waits until it is gone where there is a deadline.
        """
        with needing(RIGHTS):
            paths = self.removable()
            for path in paths:
                self._session.delete(path, {"kind": "DeleteOptions", "apiVersion": "v1"})
            while deadline is not None and not deadline.expired and any(self._session.get(path) for path in paths):
                pause()
        return bool(paths)

    def removable(self, pod: str | None = None) -> list[str]:
        """The paths of what :meth:`remove` takes away once ``pod`` is gone."""
        if self.found is None or set(self._pods()) - {pod}:
            return []
        if (self.found["metadata"].get("labels") or {}).get(ISOLATED) == "true":
            return [self._path]
        policy = self._session.get(f"{self._policies}/{POLICY}")
        ours = policy is not None and (policy["metadata"].get("labels") or {}).get(ISOLATED) == "true"
        return [f"{self._policies}/{POLICY}"] if ours else []

    def _pods(self) -> list[str]:
        return [str(pod["metadata"]["name"]) for pod in self._session.pods(self.name)]
