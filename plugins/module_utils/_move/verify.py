# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a replacement does what its users want of it: one HTTP request, through the API server.

The controller need not reach the pods' addresses for that. Source: kubernetes 1.36, the subresource pods/proxy; what
the pod answers comes back as it is, and 503 where the API server cannot reach it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import threading
import urllib.parse

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube.api import ApiSession, Thing, pod_path
from .._kube.http import HttpClient, TransportError

INTERVAL = 0.2
ANSWER_SECONDS = 5.0
SHOWN = 500


@dataclasses.dataclass(frozen=True)
class Request:
    """A GET of ``path``, with its query, that has to be answered with a status of 200 to 399 within ``seconds``."""

    port: int
    path: str
    seconds: float


def verify(session: ApiSession, pod: Thing, request: Request, stop: threading.Event) -> None:
    """Ask until it is answered well, or the time is over. Raises CheckpointError ``verify_failed``."""
    metadata = pod["metadata"]
    place = f"{pod_path(metadata['namespace'], metadata['name'] + ':' + str(request.port))}/proxy/"
    path = urllib.parse.quote(request.path.lstrip("/"), safe="/?&=:@!$'()*+,;%-._~")
    client, deadline = HttpClient(session.server), Deadline(request.seconds)
    while True:
        told = _asked(client, f"{session.server.url}{place}{path}")
        if told is None:
            return
        if deadline.expired or stop.is_set():
            raise CheckpointError(
                "verify_failed",
                f"{metadata['namespace']}/{metadata['name']} runs, but GET {request.path} at port {request.port} "
                f"is not answered as it should be",
                hint="See the pod's log, and whether you may get pods/proxy",
                message=told,
            )
        stop.wait(INTERVAL)


def _asked(client: HttpClient, url: str) -> str | None:
    """``None`` if it was answered well, else what came instead."""
    try:
        answer = client.request("GET", url, read_timeout=ANSWER_SECONDS)
    except TransportError as error:
        return str(error)
    if 200 <= answer.status < 400:
        return None
    return f"HTTP {answer.status}: {answer.text[:SHOWN]}"
