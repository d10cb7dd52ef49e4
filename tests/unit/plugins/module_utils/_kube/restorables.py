# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod as kubectl shows it, archives of it, and an API server that keeps objects and lets pods come up."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    status_object,
)

Thing = dict[str, t.Any]

UID = "0d9b4bd1-9a4c-4c7e-a3a7-6a0c2f4f8d55"
DIGEST = "sha256:" + "51bf" * 16
SHA256 = "9f86" * 16
TOKEN_MOUNT = {
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "name": "kube-api-access-x7k2p",
    "readOnly": True,
}
IDENTITY = {
    "engine": "CRI-O",
    "namespace": "shop",
    "pod": "web-0",
    "pod_uid": UID,
    "container": "web",
    "image": "registry.example.com/shop/web:1.4",
    "image_name": "registry.example.com/shop/web:1.4",
    "image_digest": DIGEST,
    "image_id": "sha256:" + "5713" * 16,
    "architecture": "x86_64",
}


def archive(**changes: t.Any) -> Thing:
    """An entry of the option ``archives``."""
    given = {"container": None, "identity": IDENTITY, "path": "/srv/web-0.tar", "sha256": SHA256, "image": None}
    return {**given, **changes}


def identity(**changes: t.Any) -> Thing:
    return {**IDENTITY, **changes}


def options(**given: t.Any) -> Thing:
    """The module's options, with its defaults."""
    defaults = {
        "state": "present",
        "namespace": None,
        "pod": None,
        "node": "n2",
        "archives": [archive()],
        "definition": None,
        "source_definition": None,
        "patch": {},
        "method": "runtime",
        "runtime_class": "checkpoint-restore",
        "others": "cold",
        "isolated": False,
        "isolated_namespace": None,
        "preflight": True,
        "wait": True,
        "timeout": "2m",
    }
    return {**defaults, **given}


def web_0() -> Thing:
    """A pod of a StatefulSet, from ``kubectl get pod -o json`` of 1.36.2, with a sidecar and an init container."""
    return copy.deepcopy(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web-0",
                "generateName": "web-",
                "namespace": "shop",
                "uid": UID,
                "resourceVersion": "412",
                "creationTimestamp": "2026-11-21T08:00:00Z",
                "finalizers": ["example.com/keep"],
                "labels": {
                    "app": "web",
                    "apps.kubernetes.io/pod-index": "0",
                    "controller-revision-hash": "web-5d9f",
                    "statefulset.kubernetes.io/pod-name": "web-0",
                    "batch.kubernetes.io/controller-uid": "none",
                },
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "cni.projectcalico.org/podIP": "10.88.1.4/32",
                    "example.com/team": "shop",
                },
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": True}
                ],
            },
            "spec": {
                "nodeName": "n1",
                "hostname": "web-0",
                "subdomain": "web",
                "nodeSelector": {"disk": "ssd", "kubernetes.io/hostname": "n1"},
                "priority": 0,
                "preemptionPolicy": "PreemptLowerPriority",
                "schedulerName": "default-scheduler",
                "serviceAccount": "web",
                "serviceAccountName": "web",
                "restartPolicy": "Always",
                "tolerations": [
                    {
                        "effect": "NoExecute",
                        "key": "node.kubernetes.io/not-ready",
                        "operator": "Exists",
                        "tolerationSeconds": 300,
                    }
                ],
                "initContainers": [{"name": "migrate", "image": "registry.example.com/shop/migrate:1"}],
                "containers": [
                    {
                        "name": "web",
                        "image": "registry.example.com/shop/web:1.4",
                        "env": [{"name": "DB_PASSWORD", "value": "hunter2hunter2"}],
                        "volumeMounts": [{"mountPath": "/data", "name": "data"}, TOKEN_MOUNT],
                    },
                    {"name": "log", "image": "registry.example.com/log:2", "volumeMounts": [TOKEN_MOUNT]},
                ],
                "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}},
                    {
                        "name": "kube-api-access-x7k2p",
                        "projected": {
                            "sources": [
                                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                                {"configMap": {"name": "kube-root-ca.crt"}},
                            ]
                        },
                    },
                ],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "web",
                        "imageID": f"registry.example.com/shop/web@{DIGEST}",
                        "containerID": "cri-o://0001",
                        "restartCount": 0,
                        "state": {"running": {}},
                    }
                ],
            },
        }
    )


def node(name: str = "n2", **spec: t.Any) -> Thing:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": f"{name}.example.com", "disk": "ssd"}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": "amd64"},
        },
    }


def claim(*modes: str, phase: str = "Bound") -> Thing:
    return {"spec": {"accessModes": list(modes), "volumeName": "pv-1"}, "status": {"phase": phase}}


def volume(*nodes: str) -> Thing:
    """A local volume of these nodes, one for all nodes without any."""
    if not nodes:
        return {"spec": {}}
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}}


def running(pod: Thing) -> Thing:
    """The status of a pod whose containers all run."""
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": each["name"],
                "restartCount": 0,
                "state": {"running": {}},
                "containerID": f"cri-o://{each['name']}-id",
            }
            for each in pod["spec"]["containers"]
        ],
    }


POLICIES = "/apis/networking.k8s.io/v1"


class Api:
    """A script: objects by their paths. A pod that is made has the status that ``comes_up`` gives it."""

    def __init__(self, objects: t.Mapping[str, Thing], comes_up: t.Callable[[Thing], Thing] = running) -> None:
        self.objects = dict(objects)
        self.comes_up = comes_up
        self.refusals: dict[tuple[str, str], Say] = {}
        self.events: list[Thing] = []
        self.done: list[str] = []

    def __call__(self, asked: Asked) -> Say:
        said = self.refusals.get((asked.method, asked.path))
        if said is not None:
            return said
        return {"GET": self._get, "POST": self._create, "DELETE": self._delete}[asked.method](asked)

    def _get(self, asked: Asked) -> Say:
        collection = asked.path.rpartition("/")[2]
        if collection == "events":
            return Say(200, {"items": self.events, "metadata": {}})
        if collection == "pods":
            found = [thing for path, thing in self.objects.items() if path.rpartition("/")[0] == asked.path]
            return Say(200, {"items": found, "metadata": {}})
        thing = self.objects.get(asked.path)
        return Say(200, thing) if thing is not None else status_object(404, "not found")

    def _create(self, asked: Asked) -> Say:
        path = f"{asked.path}/{asked.body['metadata']['name']}"
        if path in self.objects:
            return status_object(409, "already exists")
        if asked.query.get("dryRun"):
            return Say(201, asked.body)
        made = {**asked.body, "metadata": {**asked.body["metadata"], "uid": f"uid-{len(self.done)}"}}
        if made["kind"] == "Pod":
            made = {**made, "spec": {**made["spec"], "nodeName": "n2"}, "status": self.comes_up(made)}
        self.done.append(f"create {path}")
        self.objects[path] = made
        return Say(201, made)

    def _delete(self, asked: Asked) -> Say:
        if self.objects.pop(asked.path, None) is None:
            return status_object(404, "not found")
        self.done.append(f"delete {asked.path}")
        return Say(200, {"kind": "Status"})


def shop(**changes: Thing | None) -> dict[str, Thing]:
    """What a cluster has in which ``web_0`` can be restored on n2; names with ``__`` for slashes change paths."""
    inside = "/api/v1/namespaces/shop"
    there: dict[str, Thing | None] = {
        "/api/v1/nodes/n2": node(),
        f"{inside}/persistentvolumeclaims/data-web-0": claim("ReadWriteOnce"),
        "/api/v1/persistentvolumes/pv-1": volume(),
        f"{inside}/serviceaccounts/web": {"metadata": {"name": "web"}},
        "/apis/node.k8s.io/v1/runtimeclasses/checkpoint-restore": {"handler": "checkpoint-restore"},
        **changes,
    }
    return {path: thing for path, thing in there.items() if thing is not None}
