# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a replacement does what its users want of it: an HTTP request or a command, through the API server.

The controller need not reach the pods' addresses for that. Source: kubernetes 1.36, the subresources pods/proxy and
pods/exec. What the pod answers to a request comes back as it is, and 503 where the API server cannot reach it.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import threading
import typing as t
import urllib.parse

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube import exec as execution
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

    right: t.ClassVar[str] = "get pods/proxy"

    def __str__(self) -> str:
        return f"GET {self.path} at port {self.port} is not answered as it should be"

    def ask(self, session: ApiSession, pod: Thing, _deadline: Deadline, _stop: threading.Event) -> str | None:
        """``None`` if it was answered well, else what came instead."""
        metadata = pod["metadata"]
        place = f"{pod_path(metadata['namespace'], metadata['name'] + ':' + str(self.port))}/proxy/"
        path = urllib.parse.quote(self.path.lstrip("/"), safe="/?&=:@!$'()*+,;%-._~")
        return _asked(HttpClient(session.server), f"{session.server.url}{place}{path}")


@dataclasses.dataclass(frozen=True)
class Command:
    """``argv`` in ``container``, the first one if that is "", has to end with 0 within ``seconds``.

    It is run again and again until it does. Of its output only the end of its standard error is told: programs print
    secrets, and what is told goes into results, logs and the state file.
    """

    argv: tuple[str, ...]
    container: str
    seconds: float

    right: t.ClassVar[str] = "create and get pods/exec"

    def __str__(self) -> str:
        # Arguments may be secrets as well.
        return f"{self.argv[0]} in it does not end with exit status 0"

    def ask(self, session: ApiSession, pod: Thing, deadline: Deadline, stop: threading.Event) -> str | None:
        """``None`` if it ended well, else how it ended instead, "" if it did not in time."""
        metadata = pod["metadata"]
        container = self.container or pod["spec"]["containers"][0]["name"]
        place = (metadata["namespace"], metadata["name"], container)
        try:
            ended = execution.run(session, *place, self.argv, deadline=deadline, stop=stop, output=_dropped)
        except CheckpointError as error:
            # What it said before tells more than that there was no time for another one.
            return "" if error.code == "exec_timeout" else str(error)
        return None if ended.code == 0 else f"exit status {ended.code}: {ended.stderr[-SHOWN:]}"


Question = t.Union[Request, Command]


def verify(session: ApiSession, pod: Thing, question: Question, stop: threading.Event) -> None:
    """Ask until it is answered well, or the time is over. Raises CheckpointError ``verify_failed``."""
    metadata, deadline, said = pod["metadata"], Deadline(question.seconds), "no answer in time"
    while True:
        told = question.ask(session, pod, deadline, stop)
        if told is None:
            return
        said = told or said
        if deadline.expired or stop.is_set():
            raise CheckpointError(
                "verify_failed",
                f"{metadata['namespace']}/{metadata['name']} runs, but {question}",
                hint=f"See the pod's log, and whether you may {question.right}",
                message=said,
            )
        stop.wait(INTERVAL)


def _dropped(_piece: bytes) -> None:
    """Standard output is of no use here."""


def _asked(client: HttpClient, url: str) -> str | None:
    """``None`` if it was answered well, else what came instead."""
    try:
        answer = client.request("GET", url, read_timeout=ANSWER_SECONDS)
    except TransportError as error:
        return str(error)
    if 200 <= answer.status < 400:
        return None
    return f"HTTP {answer.status}: {answer.text[:SHOWN]}"
