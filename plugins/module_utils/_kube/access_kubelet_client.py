# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""May the API server's own client ask kubelets for checkpoints, and who is it?

``kube-apiserver`` goes to kubelets as the user of ``--kubelet-client-certificate``. That user is not to be read from
any object of the cluster; a kubelet that refuses it says its name.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re

from . import nodes
from .access_objects import CHECKPOINT, KUBELET_CLIENT, is_ours, kubelet_client_objects, path
from .api import ApiSession, Thing
from .failures import KubeError, failure
from .kubelet import KubeletClient
from .probe import CONTAINER, IMPOSSIBLE_POD, gate_of

PATIENCE = 30.0
# kubernetes 1.36.2, pkg/kubelet/server/server.go: "Forbidden (user=%s, verb=%s, resource=%s, subresource(s)=%v)"
REFUSED = re.compile(r"Forbidden \(user=(.*?), verb=")


def needed(session: ApiSession, user: str | None) -> tuple[list[Thing], str | None]:
    """The objects that should be there, and the user that they are for.

    Nothing where the right is there without us. A grant of ours is kept for as long as it helps: whether the right
    came from there cannot be seen. ``user`` is the client's name where it is known; otherwise a kubelet is asked.
    """
    place = path("ClusterRoleBinding", name=KUBELET_CLIENT)
    binding = session.get(place)
    ours = binding if binding is not None and is_ours(binding) else None
    refused = _refused(session, user)
    if refused is None and ours is None:
        return [], user
    subjects = (ours or {}).get("subjects") or [{}]
    grantee = refused or user or str(subjects[0].get("name") or "")
    if not grantee:
        # A binding of ours that lost its subject, and that nobody needs.
        return [], None
    return kubelet_client_objects(grantee), grantee


def _refused(session: ApiSession, user: str | None) -> str | None:
    """The user that lacks the right, ``None`` when it has it."""
    if user:
        return None if _reviewed(session, user) else user
    try:
        _ask_a_kubelet(session)
    except KubeError as error:
        found = REFUSED.search(error.message)
        if error.code == "apiserver_kubelet_forbidden" and found:
            return found.group(1)
        raise
    return None


def _ask_a_kubelet(session: ApiSession) -> None:
    """A request for a checkpoint of a pod that cannot be; the kubelet looks at the rights first."""
    ready = sorted(node["metadata"]["name"] for node in session.nodes() if nodes.is_ready(node))
    if not ready:
        raise failure("node_not_ready", reason="No node is Ready, so no kubelet can be asked", hint="")
    client = KubeletClient(session.server, through_api=True, port=None, timeout=PATIENCE)
    gate_of(client, client.url(ready[0], None, None, ("default", IMPOSSIBLE_POD, CONTAINER)))


def _reviewed(session: ApiSession, user: str) -> bool:
    resource, _separator, subresource = CHECKPOINT.resource.partition("/")
    wish = {"group": CHECKPOINT.group, "resource": resource, "subresource": subresource, "verb": CHECKPOINT.verbs[0]}
    review = session.create(
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": wish},
        },
    )
    return bool(review.get("status", {}).get("allowed"))
