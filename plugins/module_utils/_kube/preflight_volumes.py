# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes of a pod that is to be restored: what of them is there on the target node.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from . import node_selection
from .api import ApiSession, Thing
from .preflight_objects import look
from .restore_request import Check, Request

ENDED = ("Succeeded", "Failed")
ONE_NODE = ("ReadWriteOnce", "ReadWriteOncePod")


class Volumes:
    """The checks of one pod's volumes."""

    def __init__(self, session: ApiSession, request: Request, pod: Thing, node: Thing) -> None:
        self._session = session
        self._request = request
        self._node = node
        self._volumes: list[Thing] = pod["spec"].get("volumes") or []
        self._pods: list[Thing] | None = None

    def checks(self) -> t.Iterator[Check]:
        for volume in self._volumes:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim:
                yield from self._claim(str(claim))
        yield from self._warning(
            "host_path",
            "hostPath",
            "These volumes show what the target node has at their paths",
            "Make sure that the same is there",
        )
        for kind in ("emptyDir", "ephemeral"):
            yield from self._warning(
                "empty_volume",
                kind,
                "These volumes are new and empty",
                "Let the ticket bring their contents along; a file that the process had open has to be there",
            )

    def _warning(self, name: str, kind: str, reason: str, hint: str) -> t.Iterator[Check]:
        found = [str(volume["name"]) for volume in self._volumes if kind in volume]
        if found:
            yield Check(name, "warning", f"{reason} ({kind}): {', '.join(found)}", hint)

    def _claim(self, name: str) -> t.Iterator[Check]:
        claims = f"/api/v1/namespaces/{_part(self._request.namespace)}/persistentvolumeclaims"
        claim, unseen = look(self._session, f"{claims}/{_part(name)}")
        if unseen:
            yield Check("claim", "warning", f"Whether the claim {name} is there may not be seen: {unseen}")
            return
        if claim is None:
            yield Check("claim", "failed", f"There is no claim {name}", "Make it, with the data that the process had")
            return
        phase = claim.get("status", {}).get("phase")
        if phase != "Bound":
            reason = f"The claim {name} has no volume yet ({phase or 'unknown'})"
            yield Check("claim", "failed", reason, "Bind it to the volume with the data that the process had")
            return
        problem = self._used_elsewhere(name, claim) or self._out_of_reach(name, claim)
        yield problem or Check("claim", "passed", f"The volume of the claim {name} can be used on the node")

    def _used_elsewhere(self, name: str, claim: Thing) -> Check | None:
        modes = claim["spec"].get("accessModes") or []
        if not set(modes) <= set(ONE_NODE):
            return None
        if self._pods is None:
            self._pods = self._session.pods(self._request.namespace)
        alone = modes == ["ReadWriteOncePod"]
        for pod in self._pods:
            claims = [(each.get("persistentVolumeClaim") or {}).get("claimName") for each in _volumes(pod)]
            where = pod["spec"].get("nodeName")
            if name not in claims or not where or pod.get("status", {}).get("phase") in ENDED:
                continue
            if where != self._request.node or alone:
                user = f"the pod {pod['metadata']['name']} on {where}"
                reason = f"The claim {name} is {modes[0]}, and {user} uses it"
                return Check("claim", "failed", reason, "Delete that pod first, or restore on its node")
        return None

    def _out_of_reach(self, name: str, claim: Thing) -> Check | None:
        volume = str(claim["spec"].get("volumeName") or "")
        found, unseen = look(self._session, f"/api/v1/persistentvolumes/{_part(volume)}")
        if unseen:
            return Check("claim", "warning", f"The volume {volume} of the claim {name} may not be seen: {unseen}")
        if found is None:
            return Check("claim", "failed", f"The volume {volume} of the claim {name} is gone", "Bind the claim anew")
        terms = ((found["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms")
        if terms is None or node_selection.fits_terms(self._node, terms):
            return None
        reason = f"The volume {volume} of the claim {name} cannot be reached from {self._request.node}"
        return Check("claim", "failed", reason, "Restore on a node that its nodeAffinity names")


def _volumes(pod: Thing) -> list[Thing]:
    return pod["spec"].get("volumes") or []


def _part(name: str) -> str:
    return urllib.parse.quote(name, safe="")
