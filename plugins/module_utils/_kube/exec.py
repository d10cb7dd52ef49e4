# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command in a container of a pod, through the API server.

The subresource pods/exec over WebSocket, protocol v5.channel.k8s.io or v4 (kubernetes 1.36,
staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/websocket.go): the first byte of each message is its channel,
1 standard output, 2 standard error, 3 a ``Status`` when the command has ended. ``kubernetes.stream`` is not used: it
takes a configuration of that library only, and holds the whole output as text.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import threading
import typing as t
import urllib.parse

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .api import ApiSession, pod_path
from .failures import failure, recognise
from .http import HttpClient, TransportError

try:
    import websocket
except ImportError as error:
    WEBSOCKET_ERROR: ImportError | None = error
else:
    WEBSOCKET_ERROR = None

PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
STDOUT, STDERR, ENDED = 1, 2, 3
TAIL = 4096
"""Bytes of each output that are kept."""
LOOK = 0.5
"""Seconds between two looks at the deadline and at the wish to stop."""
RIGHTS = "It needs create and get on pods/exec in that namespace"

# Seen on the laboratory with a container that has ended or waits (Kubernetes 1.36.2); read in
# pkg/registry/core/pod/strategy.go of it, CRI-O 1.36.3, server/container_exec.go, and containerd 2.1.9,
# internal/cri/server/container_execsync.go.
NOT_RUNNING = re.compile(
    r"container not found|does not have a host assigned|container is not created or running"
    r"|container is in CONTAINER_\w+ state"
)

Output = t.Callable[[bytes], object]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, and at most :data:`TAIL` bytes of the end of each output.

    ``stdout`` is empty where somebody else takes it.
    """

    code: int
    stdout: str
    stderr: str


class _Tail:
    """The last bytes of an output."""

    def __init__(self) -> None:
        self._kept = b""

    def add(self, data: bytes) -> None:
        self._kept = (self._kept + data[-TAIL:])[-TAIL:]

    def __str__(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()


def run(
    session: ApiSession,
    namespace: str,
    pod: str,
    container: str,
    command: t.Sequence[str],
    *,
    deadline: Deadline,
    stop: threading.Event,
    output: Output | None = None,
) -> Ended:
    """Run ``command``, which gets nothing to read, and wait for its end.

    ``output`` is called with each piece of its standard output, some KiB of bytes as they are. The command is told
    nothing when this gives up: what runs in a container runs on.

    Raises CheckpointError: ``forbidden``, ``pod_not_found``, ``container_not_found``, ``container_not_running``,
    ``exec_failed`` (it could not be started), ``exec_lost`` (the connection broke), ``exec_timeout``, ``interrupted``,
    what else an API server refuses; and whatever ``output`` raises.
    """
    line = _connected(session, namespace, pod, container, command)
    try:
        return _followed(line, f"{namespace}/{pod}/{container}", deadline, stop, output)
    finally:
        # close() would wait for the other side; shutdown() only lets go of the socket.
        line.shutdown()


def _connected(session: ApiSession, namespace: str, pod: str, container: str, command: t.Sequence[str]) -> t.Any:
    """The WebSocket on which the command runs."""
    if WEBSOCKET_ERROR is not None:
        raise failure(
            "library_missing", reason="The Python library websocket-client is missing", message=str(WEBSOCKET_ERROR)
        )
    server = session.server
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", part) for part in command)]
    url = f"{server.url}{pod_path(namespace, pod)}/exec?{urllib.parse.urlencode(query)}"
    headers = [f"{name}: {value}" for name, value in server.headers]
    authorization = server.authorization()
    if authorization:
        headers.append(f"Authorization: {authorization}")
    line: t.Any = websocket.WebSocket(skip_utf8_validation=True)
    try:
        reached = HttpClient(server).connected(url)
    except TransportError as error:
        raise recognise("apiserver", transport=error.kind, text=str(error)) from error
    try:
        # "http" becomes "ws", "https" becomes "wss".
        line.connect(
            f"ws{url[len('http') :]}",
            socket=reached,
            header=headers,
            subprotocols=PROTOCOLS,
            suppress_origin=True,
            redirect_limit=0,
        )
    except websocket.WebSocketBadStatusException as error:
        said = _message(getattr(error, "resp_body", None))
        raise _refused(error.status_code, said, f"{namespace}/{pod}/{container}") from error
    except (websocket.WebSocketException, OSError) as error:
        raise recognise("apiserver", transport="lost", text=str(error)) from error
    reached.settimeout(LOOK)
    return line


def _followed(line: t.Any, name: str, deadline: Deadline, stop: threading.Event, output: Output | None) -> Ended:
    """Read until the command has ended."""
    tails = {STDOUT: _Tail(), STDERR: _Tail()}
    while True:
        if stop.is_set():
            raise CheckpointError("interrupted", "It was stopped from outside", hint="Run it again")
        if deadline.expired:
            raise CheckpointError(
                "exec_timeout",
                f"A command in {name} did not end in time",
                hint="Give it more time, or see what it waits for; it may run on",
                message=str(tails[STDERR]),
            )
        try:
            # A time-out in the middle of a message loses nothing: websocket-client keeps what came.
            kind, data = line.recv_data()
        except websocket.WebSocketTimeoutException:
            continue
        except (websocket.WebSocketException, OSError) as error:
            raise _lost(name, str(error)) from error
        if kind == websocket.ABNF.OPCODE_CLOSE:
            raise _lost(name, data[2:].decode("utf-8", "replace"))
        channel, piece = (data[0], data[1:]) if data else (0, b"")
        if channel == ENDED:
            return Ended(_code(piece, name), str(tails[STDOUT]), str(tails[STDERR]))
        if channel == STDOUT and output is not None:
            output(piece)
        elif channel in tails:
            tails[channel].add(piece)


def _code(status: bytes, name: str) -> int:
    """The exit status that a ``Status`` tells of (apimachinery 0.36, pkg/api/errors; client-go, remotecommand v4)."""
    told: t.Any = None
    with contextlib.suppress(ValueError):
        told = json.loads(status)
    if not isinstance(told, dict):
        raise _refused(500, status.decode("utf-8", "replace"), name)
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or []
    if told.get("reason") == "NonZeroExitCode":
        for cause in causes:
            if cause.get("reason") == "ExitCode" and str(cause.get("message")).isdigit():
                return int(cause["message"])
    code = told.get("code")
    raise _refused(code if isinstance(code, int) else 500, str(told.get("message") or ""), name)


def _refused(status: int, text: str, name: str) -> CheckpointError:
    """What an answer other than an exit status means."""
    if status == 403:
        return failure("forbidden", hint=RIGHTS, message=text, http_status=status)
    if status == 404:
        return failure("pod_not_found", message=text, http_status=status)
    if status == 400 and "is not valid for pod" in text:
        return failure("container_not_found", message=text, http_status=status)
    if NOT_RUNNING.search(text):
        hint = "A command runs only in a running container; look at its state with: kubectl describe pod"
        return failure("container_not_running", hint=hint, message=text, http_status=status)
    if status in (401, 429):
        return recognise("apiserver", status=status, text=text)
    return CheckpointError(
        "exec_failed",
        f"A command could not be started in {name}",
        hint="Check that the image has it, and that the API server reaches the node's kubelet",
        message=text,
    )


def _lost(name: str, text: str) -> CheckpointError:
    return CheckpointError(
        "exec_lost",
        f"The connection broke while a command ran in {name}",
        hint="Check the node and the way to it; the command may have ended or run on",
        message=text,
    )


def _message(body: t.Any) -> str:
    """The sentence in the body of an answer that is no upgrade."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    with contextlib.suppress(ValueError):
        told = json.loads(text)
        if isinstance(told, dict) and told.get("message"):
            return str(told["message"])
    return text.strip()
