# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rights each job needs, and the objects that give an account exactly those.

``JOBS`` is the only place that knows the rights; the manifests in ``playbooks/files/rbac`` say the same, and a unit
test keeps them equal.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t
import urllib.parse

from .api import Thing

RBAC_GROUP = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
MANAGER_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "checkpoint_restore.kubernetes"
PREFIX = "checkpoint-restore"
KUBELET_CLIENT = f"{PREFIX}:apiserver-kubelet-client"

_CORE = "/api/v1"
_RBAC = f"/apis/{RBAC_GROUP}/v1"
_COLLECTIONS = {
    "Namespace": (_CORE, "namespaces"),
    "ServiceAccount": (_CORE, "serviceaccounts"),
    "ClusterRole": (_RBAC, "clusterroles"),
    "ClusterRoleBinding": (_RBAC, "clusterrolebindings"),
    "Role": (_RBAC, "roles"),
    "RoleBinding": (_RBAC, "rolebindings"),
}
# What is held against the object that is there; anything else in it is not ours.
COMPARED = {
    "Namespace": (),
    "ServiceAccount": ("automountServiceAccountToken",),
    "ClusterRole": ("rules", "aggregationRule"),
    "ClusterRoleBinding": ("roleRef", "subjects"),
    "Role": ("rules",),
    "RoleBinding": ("roleRef", "subjects"),
}


@dataclasses.dataclass(frozen=True)
class Right:
    """Verbs on one resource.

    ``in_namespace``: a Role in a namespace can give it. ``by_node``: ``resourceNames`` can limit it to some nodes, all
    verbs but ``list``, which knows no names.
    """

    resource: str
    verbs: tuple[str, ...]
    group: str = ""
    in_namespace: bool = False
    by_node: bool = False


CHECKPOINT = Right("nodes/checkpoint", ("create",), by_node=True)
# kubernetes 1.36.2, pkg/kubelet/server/auth.go: POST below /checkpoint/ is create on nodes/checkpoint, nothing else.
# The API server asks for create on nodes/proxy before it passes a POST on.
JOBS: t.Mapping[str, tuple[Right, ...]] = {
    "checkpoint": (CHECKPOINT,),
    "checkpoint_apiserver": (Right("nodes/proxy", ("create",), by_node=True),),
    "migrate": (
        Right("events", ("list",), in_namespace=True),
        Right("nodes", ("get", "list"), by_node=True),
        Right("persistentvolumeclaims", ("get",), in_namespace=True),
        Right("persistentvolumes", ("get",)),
        Right("pods", ("create", "delete", "get", "list", "patch"), in_namespace=True),
        Right("pods/eviction", ("create",), in_namespace=True),
        Right("mutatingadmissionpolicies", ("create", "delete", "get", "update"), group=ADMISSION),
        Right("mutatingadmissionpolicybindings", ("create", "delete", "get"), group=ADMISSION),
        Right("deployments", ("get",), group="apps", in_namespace=True),
        Right("deployments/scale", ("get", "patch"), group="apps", in_namespace=True),
        Right("replicasets", ("get",), group="apps", in_namespace=True),
        Right("statefulsets", ("create", "delete", "get"), group="apps", in_namespace=True),
        Right("horizontalpodautoscalers", ("list",), group="autoscaling", in_namespace=True),
        Right("jobs", ("get",), group="batch", in_namespace=True),
        Right("leases", ("create", "delete", "get"), group="coordination.k8s.io", in_namespace=True),
        Right("runtimeclasses", ("get",), group="node.k8s.io"),
    ),
    "read": (
        Right("nodes", ("get", "list"), by_node=True),
        Right("pods", ("get", "list"), in_namespace=True),
    ),
    "restore": (
        Right("events", ("get", "list"), in_namespace=True),
        Right("nodes", ("get",), by_node=True),
        Right("persistentvolumeclaims", ("get",), in_namespace=True),
        Right("persistentvolumes", ("get",)),
        Right("pods", ("create", "delete", "get", "list", "watch"), in_namespace=True),
        Right("runtimeclasses", ("get",), group="node.k8s.io"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Account:
    """A ServiceAccount and what it may do; without ``namespaces`` in all of them, without ``nodes`` on all of them."""

    namespace: str
    name: str
    jobs: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name of its roles and bindings."""
        return f"{PREFIX}:{self.namespace}:{self.name}"

    @property
    def user(self) -> str:
        """The user that the API server and kubelets take it for."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def path(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """Where objects of ``kind`` are at the API server: one, or without ``name`` all of the namespace or cluster."""
    root, collection = _COLLECTIONS[kind]
    within = f"/namespaces/{urllib.parse.quote(namespace, safe='')}" if namespace else ""
    return f"{root}{within}/{collection}" + (f"/{urllib.parse.quote(name, safe='')}" if name else "")


def where(thing: Thing) -> str:
    """The path of the object ``thing``."""
    return path(thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"])


def is_ours(thing: Thing) -> bool:
    """Whether this collection made the object, as its label says."""
    return (thing["metadata"].get("labels") or {}).get(MANAGER_LABEL) == MANAGER


def rules(rights: t.Iterable[Right], nodes: t.Sequence[str] = ()) -> list[Thing]:
    """The rights as the rules of a role, one for each resource, ``nodes`` the only ones where that can be said."""
    verbs: dict[tuple[str, str, bool], set[str]] = {}
    for right in rights:
        limited = bool(nodes) and right.by_node
        given = set(right.verbs) - ({"list"} if limited else set())
        verbs.setdefault((right.group, right.resource, limited), set()).update(given)
    return [
        {
            "apiGroups": [group],
            "resources": [resource],
            **({"resourceNames": sorted(set(nodes))} if limited else {}),
            "verbs": sorted(of_resource),
        }
        for (group, resource, limited), of_resource in sorted(verbs.items())
    ]


def objects(account: Account) -> list[Thing]:
    """All that the account consists of, in the order in which it can be made."""
    rights = [right for job in account.jobs for right in JOBS[job]]
    everywhere = [right for right in rights if not (account.namespaces and right.in_namespace)]
    inside = rules([right for right in rights if right.in_namespace]) if account.namespaces else []
    subject = {"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}
    made = [
        _object("Namespace", account.namespace),
        _object("ServiceAccount", account.name, account.namespace, automountServiceAccountToken=False),
        *_granted("ClusterRole", account.title, rules(everywhere, account.nodes), subject),
    ]
    for namespace in sorted(set(account.namespaces)) if inside else ():
        made += _granted("Role", account.title, inside, subject, namespace)
    return made


def kubelet_client_objects(user: str) -> list[Thing]:
    """The right for the API server's own client at the kubelets."""
    subject = {"apiGroup": RBAC_GROUP, "kind": "User", "name": user}
    return [*_granted("ClusterRole", KUBELET_CLIENT, rules([CHECKPOINT]), subject)]


def _granted(
    kind: str, name: str, what: list[Thing], subject: Thing, namespace: str | None = None
) -> tuple[Thing, Thing]:
    role = {"apiGroup": RBAC_GROUP, "kind": kind, "name": name}
    return (
        _object(kind, name, namespace, rules=what),
        _object(f"{kind}Binding", name, namespace, roleRef=role, subjects=[subject]),
    )


def _object(kind: str, name: str, namespace: str | None = None, **rest: t.Any) -> Thing:
    return {
        "apiVersion": "v1" if _COLLECTIONS[kind][0] == _CORE else f"{RBAC_GROUP}/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            "labels": {MANAGER_LABEL: MANAGER},
        },
        **rest,
    }
