# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads as an API server of 1.36.2 shows them, and a script that keeps objects as it does, as far as a move asks.

What controllers and admission policies do is not here: that is run on the laboratory.
"""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    status_object,
)

Thing = dict[str, t.Any]

SHOP = "/api/v1/namespaces/shop"
APPS = "/apis/apps/v1/namespaces/shop"
CLASS = "checkpoint-restore"

TOLD: Thing = {
    "machine": {"architecture": "x86_64", "kernel": "6.18.44", "cgroup": "v2", "gpu": {"nvidia": [], "amd": []}},
    "criu": {"version": "4.2.1", "plugins": []},
    "runtime": {"name": "cri-o", "version": "1.36.3"},
    "flags": ["avx", "avx2", "fpu", "xsave"],
    "checks": [{"name": "criu", "result": "passed", "reason": "CRIU 4.2.1 is installed", "hint": ""}],
    "containers": {
        "app": {
            "engine": "cri-o",
            "runtime": "runc",
            "program": "/usr/local/sbin/runc",
            "processes": 1,
            "memory": 184320,
            "rootfs": 12,
            "volumes": 0,
            "terminal": False,
            "devices": [],
            "connections": [],
            "connections_out": [],
        }
    },
    "images": {"app": "a" * 64},
}
"""What an agent tells of the source, see _agent/look.py."""

OFFERED: Thing = {
    **{name: TOLD[name] for name in ("machine", "criu", "flags")},
    "runtime": {"name": "containerd", "version": "2.1.9"},
    "checks": [
        {"name": name, "result": "passed", "reason": "It is there", "hint": ""}
        for name in ("criu", "handler", "restore_runtime")
    ],
    "handler": {"name": CLASS, "path": "/opt/front", "kind": "runc", "version": "1.1.15", "criu": None},
    "memory": 8 << 30,
    "rooms": {
        name: {"path": f"/var/lib/{name}", "free": 40 << 30, "device": 1} for name in ("images", "storage", "volumes")
    },
    "images": {"app": "a" * 64},
    "socket": "/run/containerd/containerd.sock",
}
"""What one tells of the target."""

POLICIES = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")


def pod(name: str = "web-0", node: str = "n1", owner: Thing | None = None, **spec: t.Any) -> Thing:
    """A running pod with one container."""
    container = {"name": "app", "image": "registry.example.com/web:1", "volumeMounts": []}
    made: Thing = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [container], "schedulerName": "default-scheduler", **spec},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": each["name"],
                    "state": {"running": {}},
                    "started": True,
                    "restartCount": 0,
                    "containerID": f"cri-o://id-{each['name']}",
                    "imageID": "registry.example.com/web@sha256:1",
                }
                for each in spec.get("containers", [container])
            ],
        },
    }
    if owner is not None:
        kind, name = owner["kind"], owner["metadata"]["name"]
        reference = {"apiVersion": owner["apiVersion"], "kind": kind, "name": name, "uid": owner["metadata"]["uid"]}
        made["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
        made["metadata"]["generateName"] = f"{name}-"
    return made


def node(name: str, **spec: t.Any) -> Thing:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": f"{name}.example.com", "zone": f"zone-{name}"}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": "amd64"},
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        },
    }


def owner(kind: str, name: str = "web", **spec: t.Any) -> Thing:
    """A controller of one pod that is as it shall be."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [pod()["spec"]["containers"][0]]}}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    status = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "updateRevision": None, "observedGeneration": 1}
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{kind}", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
        "status": status,
    }


def shop(*things: Thing, version: str | None = "v1") -> dict[str, Thing]:
    """Two nodes, the RuntimeClass, and ``things``; ``version``: of the admission policies that are served."""
    there: dict[str, Thing] = {
        "/api/v1/nodes/n1": node("n1"),
        "/api/v1/nodes/n2": node("n2"),
        f"/apis/node.k8s.io/v1/runtimeclasses/{CLASS}": {"metadata": {"name": CLASS}, "handler": CLASS},
    }
    if version:
        there[f"/apis/admissionregistration.k8s.io/{version}"] = {"resources": [{"name": name} for name in POLICIES]}
    for thing in things:
        plural = {"Pod": "pods"}.get(thing["kind"], f"{thing['kind'].lower()}s")
        group = "/api/v1" if thing["apiVersion"] == "v1" else f"/apis/{thing['apiVersion']}"
        there[f"{group}/namespaces/shop/{plural}/{thing['metadata']['name']}"] = copy.deepcopy(thing)
    return there


class Api:
    """Objects by their paths. ``refusals``: answers by method and path, given instead."""

    def __init__(self, *things: Thing, version: str | None = "v1") -> None:
        self.objects = shop(*things, version=version)
        self.refusals: dict[tuple[str, str], Say] = {}
        self.done: list[str] = []

    def __call__(self, asked: Asked) -> Say:
        said = self.refusals.get((asked.method, asked.path))
        if said is not None:
            return said
        if asked.path.endswith("/eviction"):
            return self._evict(asked)
        does = {"GET": self._get, "POST": self._create, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        return does[asked.method](asked)

    def _get(self, asked: Asked) -> Say:
        if asked.path in self.objects:
            return Say(200, self.objects[asked.path])
        last = asked.path.rpartition("/")[2]
        if last not in ("events", "horizontalpodautoscalers", "nodes", "pods"):
            return status_object(404, "not found")
        if asked.path == "/api/v1/pods":
            found = [thing for path, thing in self.objects.items() if "/pods/" in path]
        else:
            found = [thing for path, thing in self.objects.items() if path.rpartition("/")[0] == asked.path]
        wanted = asked.query.get("fieldSelector", "").partition("spec.nodeName=")[2]
        found = [each for each in found if not wanted or each["spec"].get("nodeName") == wanted]
        return Say(200, {"items": found, "metadata": {}})

    def _create(self, asked: Asked) -> Say:
        path = f"{asked.path}/{asked.body['metadata']['name']}"
        if path in self.objects:
            return status_object(409, "already exists")
        made = {**asked.body, "metadata": {**asked.body["metadata"], "uid": f"uid-{len(self.done)}"}}
        if not asked.query.get("dryRun"):
            self.objects[path] = made
            self.done.append(f"create {path}")
        return Say(201, made)

    def _evict(self, asked: Asked) -> Say:
        path = asked.path.rpartition("/")[0]
        options = asked.body["deleteOptions"]
        there = self.objects.get(path)
        if there is None:
            return status_object(404, "not found")
        if options["preconditions"]["uid"] != there["metadata"]["uid"]:
            return status_object(409, "Precondition failed: UID in precondition")
        if not options.get("dryRun"):
            del self.objects[path]
            self.done.append(f"evict {path}")
        return Say(201, {"kind": "Status"})

    def _put(self, asked: Asked) -> Say:
        self.objects[asked.path] = asked.body
        self.done.append(f"put {asked.path}")
        return Say(200, asked.body)

    def _patch(self, asked: Asked) -> Say:
        there = self.objects.get(asked.path)
        if there is None:
            return status_object(404, "not found")
        if isinstance(asked.body, list):
            test, change = asked.body
            if there["spec"]["replicas"] != test["value"]:
                return status_object(422, "the server rejected our request due to an error in our request")
            self.objects[asked.path] = {**there, "spec": {"replicas": change["value"]}}
        else:
            uid = asked.body["metadata"].get("uid")
            if uid not in (None, there["metadata"]["uid"]):
                return status_object(409, "Precondition failed: UID in precondition")
            self.objects[asked.path] = _merged(there, asked.body)
        self.done.append(f"patch {asked.path}")
        return Say(200, self.objects[asked.path])

    def _delete(self, asked: Asked) -> Say:
        there = self.objects.get(asked.path)
        if there is None:
            return status_object(404, "not found")
        uid = (asked.body.get("preconditions") or {}).get("uid")
        if uid not in (None, there["metadata"]["uid"]):
            return status_object(409, "Precondition failed: UID in precondition")
        del self.objects[asked.path]
        self.done.append(f"delete {asked.path}")
        return Say(200, {"kind": "Status"})


def _merged(target: t.Any, patch: t.Any) -> t.Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made
