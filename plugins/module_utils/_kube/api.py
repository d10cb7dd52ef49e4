# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few things that are asked of the API server, as plain dictionaries.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from .failures import failure, recognise
from .http import HttpClient, Server, TransportError

READ_TIMEOUT = 60.0
PAGE = 500

Thing = dict[str, t.Any]


class ApiSession:
    """Access to one API server. Everything raises a failure of the table, phase ``select``."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._http = HttpClient(server)

    def pods(self, namespace: str | None, *, labels: t.Sequence[str] = (), fields: t.Sequence[str] = ()) -> list[Thing]:
        """Pods of ``namespace``, of all namespaces for ``None``, that fit all the selectors."""
        path = "/api/v1/pods" if namespace is None else pod_path(namespace)
        return self.things(path, labels=labels, fields=fields)

    def pod(self, namespace: str, name: str) -> Thing | None:
        """One pod, or ``None`` when there is no such pod."""
        return self.get(pod_path(namespace, name))

    def nodes(self, *, labels: t.Sequence[str] = ()) -> list[Thing]:
        """The cluster's nodes that fit the selectors."""
        return self.things("/api/v1/nodes", labels=labels)

    def node(self, name: str) -> Thing | None:
        """One node, or ``None`` when there is no such node."""
        return self.get(f"/api/v1/nodes/{_part(name)}")

    def get(self, path: str) -> Thing | None:
        """The object at ``path``, or ``None`` when there is none."""
        return self._ask(path, {}, missing_ok=True)

    def create(self, path: str, thing: Thing, **query: str) -> Thing:
        """Make an object in the collection at ``path``, for example ``/api/v1/namespaces/shop/pods``.

        ``query``: for example ``dryRun="All"``, which only tries whether it could be made.
        """
        made = self._ask(path, query, missing_ok=False, method="POST", body=thing)
        return made or {}

    def replace(self, path: str, thing: Thing) -> Thing:
        """Put ``thing`` in the place of the object at ``path``; its ``resourceVersion`` has to be the current one."""
        return self._ask(path, {}, missing_ok=False, method="PUT", body=thing) or {}

    def patch(self, path: str, change: t.Mapping[str, t.Any] | t.Sequence[t.Mapping[str, t.Any]]) -> Thing | None:
        """Change the object at ``path``; ``None`` when there is none.

        ``change``: a JSON merge patch (RFC 7386), or as a list a JSON patch (RFC 6902). A ``metadata.uid`` in a merge
        patch has to be the object's, or the answer is 409.
        """
        kind = "merge-patch" if isinstance(change, t.Mapping) else "json-patch"
        return self._ask(path, {}, missing_ok=True, method="PATCH", body=change, kind=f"application/{kind}+json")

    def delete(self, path: str, options: Thing) -> bool:
        """Delete the object at ``path`` with the given ``DeleteOptions``; false when there is none."""
        return self._ask(path, {}, missing_ok=True, method="DELETE", body=options) is not None

    def things(self, path: str, *, labels: t.Sequence[str] = (), fields: t.Sequence[str] = ()) -> list[Thing]:
        """All objects of the collection at ``path`` that fit all the selectors."""
        selectors = {"labelSelector": ",".join(labels), "fieldSelector": ",".join(fields)}
        query = {**selectors, "limit": str(PAGE)}
        things: list[Thing] = []
        while True:
            page = self._ask(path, query, missing_ok=bool(query.get("continue")))
            if page is None:
                # The list changed so long ago that the next page cannot be had any more: once more, in one piece.
                things, query = [], selectors
                continue
            things += page.get("items") or []
            query = {**query, "continue": str(page.get("metadata", {}).get("continue") or "")}
            if not query["continue"]:
                return things

    def _ask(
        self,
        path: str,
        query: t.Mapping[str, str],
        *,
        missing_ok: bool,
        method: str = "GET",
        body: t.Any = None,
        kind: str = "application/json",
    ) -> Thing | None:
        """The object at ``path``; ``None`` for 404 and 410 (gone) where those are to be expected."""
        text = urllib.parse.urlencode({name: value for name, value in query.items() if value})
        url = f"{self.server.url}{path}{'?' if text else ''}{text}"
        try:
            retries = 2 if method == "GET" else 0
            answer = self._http.request(
                method, url, read_timeout=READ_TIMEOUT, retries=retries, body=body, content_type=kind
            )
        except TransportError as error:
            raise recognise("apiserver", transport=error.kind, text=str(error)) from error
        if answer.status in (404, 410) and missing_ok:
            return None
        if answer.status not in (200, 201, 202):
            raise recognise("apiserver", status=answer.status, text=answer.text)
        thing = answer.json()
        if not isinstance(thing, dict):
            raise failure(
                "apiserver_failed",
                reason="What answers is not a Kubernetes API server",
                message=answer.text[:500],
                http_status=answer.status,
            )
        return thing


def pod_path(namespace: str, name: str = "") -> str:
    """The pods of a namespace, or one of them."""
    path = f"/api/v1/namespaces/{_part(namespace)}/pods"
    return f"{path}/{_part(name)}" if name else path


def _part(name: str) -> str:
    return urllib.parse.quote(name, safe="")
