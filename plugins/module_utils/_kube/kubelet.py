# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet's checkpoint endpoint, straight or through the API server.

``POST /checkpoint/{namespace}/{pod}/{container}?timeout=N`` (kubernetes 1.36.2, pkg/kubelet/server/server.go).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import math
import typing as t
import urllib.parse

from .failures import failure, recognise
from .http import HttpClient, Server, TransportError

DEFAULT_PORT = 10250
# The kubelet raises a smaller timeout to its runtimeRequestTimeout without a word; 2 minutes unless configured
# (kubernetes 1.36.2, cri-client/pkg/remote_runtime.go).
KUBELET_FLOOR = 120.0
# A client that goes away makes the kubelet cancel the call to the runtime, which can leave a container frozen: the
# kubelet's own time-out must always come first.
PATIENCE = 30.0


class KubeletClient:
    """Asks for checkpoints. ``api`` is the API server to go through, ``None`` to go to the kubelets themselves."""

    def __init__(self, server: Server, *, through_api: bool, port: int | None, timeout: float) -> None:
        self._http = HttpClient(server)
        self._base = server.url if through_api else None
        self._port = port
        self._timeout = max(1, math.ceil(timeout))

    def url(self, node: str, address: str | None, port: int | None, path: t.Sequence[str]) -> str:
        """The URL for ``path`` (namespace, pod, container) on a node; ``port`` is the one that the node reports."""
        parts = "/".join(urllib.parse.quote(part, safe="") for part in path)
        if self._base is not None:
            # Without a port the API server takes the one the node reports, and its own credentials for kubelets.
            name = node if self._port is None else f"{node}:{self._port}"
            root = f"{self._base}/api/v1/nodes/{urllib.parse.quote(name, safe=':')}/proxy"
        else:
            host = address or node
            root = f"https://{f'[{host}]' if ':' in host else host}:{self._port or port or DEFAULT_PORT}"
        return f"{root}/checkpoint/{parts}?timeout={self._timeout}"

    def checkpoint(self, url: str) -> str:
        """Ask once. Returns the archive's path on the node; raises a failure of the table for everything else."""
        asked: t.Literal["kubelet", "proxy"] = "kubelet" if self._base is None else "proxy"
        patience = max(float(self._timeout), KUBELET_FLOOR) + PATIENCE
        try:
            answer = self._http.request("POST", url, read_timeout=patience)
        except TransportError as error:
            raise recognise(asked, transport=error.kind, text=str(error)) from error
        if answer.status == 200:
            items = (answer.json() or {}).get("items") if isinstance(answer.json(), dict) else None
            if isinstance(items, list) and len(items) == 1 and isinstance(items[0], str) and items[0].startswith("/"):
                return items[0]
            raise failure(
                "checkpoint_failed",
                reason="What answered is not a kubelet: its answer names no archive",
                message=answer.text[:500],
                http_status=200,
            )
        refusal = recognise(asked, status=answer.status, text=answer.text)
        refusal.retry_after = answer.retry_after
        raise refusal
