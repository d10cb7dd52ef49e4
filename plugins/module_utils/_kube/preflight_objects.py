# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects that a pod names, and that have to be in its namespace.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from .api import ApiSession, Thing
from .failures import KubeError
from .manifest import all_containers
from .restore_request import Check, Request

COLLECTIONS = {"ConfigMap": "configmaps", "Secret": "secrets", "ServiceAccount": "serviceaccounts"}
# In every namespace, from the moment on that Kubernetes has filled it.
EVERYWHERE = frozenset((("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")))

Reference = tuple[str, str]


def look(session: ApiSession, path: str) -> tuple[Thing | None, str]:
    """The object at ``path``, ``None`` when there is none; and why it may not be seen, empty when it may."""
    try:
        return session.get(path), ""
    except KubeError as error:
        if error.code != "forbidden":
            raise
        return None, error.message


class References:
    """The checks of one pod's references."""

    def __init__(self, session: ApiSession, request: Request, pod: Thing) -> None:
        self._session = session
        self._request = request
        self._pod = pod

    def checks(self) -> t.Iterator[Check]:
        for kind, name in sorted(set(required(self._pod)) - EVERYWHERE):
            yield self._look("failed", kind, name, "Make it there, or replace what names it by patch")
        for secret in self._pod["spec"].get("imagePullSecrets") or []:
            # The kubelet pulls without a secret that is not there.
            yield self._look("warning", "Secret", str(secret.get("name")), "The image has to be there, or public")

    def _look(self, result: str, kind: str, name: str, hint: str) -> Check:
        place = urllib.parse.quote(self._request.namespace, safe="")
        path = f"/api/v1/namespaces/{place}/{COLLECTIONS[kind]}/{urllib.parse.quote(name, safe='')}"
        found, unseen = look(self._session, path)
        if unseen:
            return Check("reference", "warning", f"Whether the {kind} {name} is there may not be seen: {unseen}")
        if found is None:
            return Check("reference", result, f"There is no {kind} {name} in {self._request.namespace}", hint)
        return Check("reference", "passed", f"The {kind} {name} is there")


def required(pod: Thing) -> t.Iterator[Reference]:
    """What has to be there before a container can be made, as kind and name."""
    spec = pod["spec"]
    yield "ServiceAccount", str(spec.get("serviceAccountName") or "default")
    # The kubelet sets up no volume that no container mounts (kubernetes 1.36, pkg/volume/util: GetPodVolumeNames).
    mounted = {mount.get("name") for each in all_containers(pod) for mount in each.get("volumeMounts") or []}
    for volume in spec.get("volumes") or []:
        if volume["name"] not in mounted:
            continue
        yield from _of_volume(volume)
        for source in (volume.get("projected") or {}).get("sources") or []:
            yield from _named("ConfigMap", source.get("configMap"))
            yield from _named("Secret", source.get("secret"))
    for container in all_containers(pod):
        for source in container.get("envFrom") or []:
            yield from _named("ConfigMap", source.get("configMapRef"))
            yield from _named("Secret", source.get("secretRef"))
        for variable in container.get("env") or []:
            value = variable.get("valueFrom") or {}
            yield from _named("ConfigMap", value.get("configMapKeyRef"))
            yield from _named("Secret", value.get("secretKeyRef"))


def _of_volume(volume: Thing) -> t.Iterator[Reference]:
    yield from _named("ConfigMap", volume.get("configMap"))
    secret = volume.get("secret") or {}
    yield from _named("Secret", {"name": secret.get("secretName"), "optional": secret.get("optional")})


def _named(kind: str, reference: t.Any) -> t.Iterator[Reference]:
    if reference and reference.get("name") and not reference.get("optional"):
        yield kind, str(reference["name"])
