# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pod that was made comes up restored, and if not, why: read from its status and its events.

Sources: kubernetes 1.36, pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime (reasons of waiting containers),
pkg/kubelet/events/event.go; what the restore runtime writes, see _restore/runtime.py. A failed creation is
CreateContainerError without a last state under CRI-O, and RunContainerError or StartError under containerd.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import time
import typing as t
import urllib.parse

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .api import ApiSession, Thing
from .failures import KubeError
from .manifest import restorable

INTERVAL = 0.3
MARK = "checkpoint-restore: "
# How long something has to last before it counts: an event comes after the state that it explains, and room on a node
# may be about to come free.
EXPLAINED = 3.0
ROOM = 10.0
PULLING = frozenset(
    (
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    )
)
BROKEN = frozenset(
    (
        "ContainerCannotRun",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "PostStartHookError",
        "RunContainerError",
        "StartError",
    )
)
NO_HANDLER = re.compile(
    # CRI-O server/sandbox_run.go and containerd internal/cri/server/sandbox_run.go
    r"failed to find runtime handler|no runtime for \S+ is configured|RuntimeHandler \S+ not supported"
)
# What a shim or the kubelet puts behind the restore runtime's sentence.
BEHIND = re.compile(r"(: unknown)?[\"']?\s*$")


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Why a pod does not come up. It counts once it has lasted for ``patience`` seconds."""

    error: CheckpointError
    patience: float = 0.0


def statuses(pod: Thing) -> dict[str, Thing]:
    """The status of each container, init containers included, by its name."""
    status = pod.get("status") or {}
    found = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return {entry["name"]: entry for entry in found}


def is_up(pod: Thing, containers: t.Iterable[str]) -> bool:
    """Whether these containers run, or have done their work, and were never restarted; and the pod is Ready if it says.

    A container that was restarted has started from its image.
    """
    there = statuses(pod)
    for name in containers:
        entry = there.get(name, {})
        state = entry.get("state") or {}
        done = (state.get("terminated") or {}).get("exitCode") == 0
        if entry.get("restartCount") != 0 or not ("running" in state or done):
            return False
    asks = pod["spec"].get("readinessGates") or any(each.get("readinessProbe") for each in restorable(pod))
    return not asks or _condition(pod, "Ready").get("status") == "True"


def explained(pod: Thing, events: t.Sequence[Thing], containers: t.Iterable[str]) -> Trouble | None:
    """What the restore runtime, or the lack of it, has said about the pod."""
    texts = [str(event.get("message") or "") for event in events]
    for name in containers:
        texts += _texts(statuses(pod).get(name, {}))
    for text in texts:
        if MARK in text:
            return Trouble(_failed(BEHIND.sub("", text.partition(MARK)[2]).strip(), message=text))
        if NO_HANDLER.search(text):
            return Trouble(
                CheckpointError(
                    "runtime_handler_missing",
                    "The node's container runtime does not know the handler of the RuntimeClass",
                    hint="Install the restore runtime there: role checkpoint_restore.kubernetes.restore_runtime",
                    message=text,
                )
            )
    return None


def trouble(pod: Thing, containers: t.Iterable[str]) -> Trouble | None:
    """Why the pod will not come up, as its status tells; ``None`` while it still may."""
    there = {name: statuses(pod).get(name, {}) for name in containers}
    return _unscheduled(pod) or _ended(pod) or next(filter(None, map(_of_container, there.items())), None)


def _failed(reason: str, *, message: str = "") -> CheckpointError:
    return CheckpointError(
        "restore_failed",
        reason or "The container could not be restored",
        hint="Mend that and restore again; the node's journal has more under checkpoint-restore",
        message=message,
    )


def _unscheduled(pod: Thing) -> Trouble | None:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    return Trouble(
        CheckpointError(
            "unschedulable",
            "The scheduler finds that the pod cannot run on the node",
            hint="Free what it needs there, change the pod by patch, or choose another node",
            message=str(scheduled.get("message") or scheduled.get("reason") or ""),
        ),
        ROOM,
    )


def _ended(pod: Thing) -> Trouble | None:
    status = pod.get("status") or {}
    if status.get("phase") != "Failed":
        return None
    text = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return Trouble(
        CheckpointError("pod_failed", "The pod ended", hint="See its events and logs", message=text), EXPLAINED
    )


def _of_container(item: tuple[str, Thing]) -> Trouble | None:
    name, entry = item
    state = entry.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    text = "; ".join(dict.fromkeys(_texts(entry)))
    if reason in PULLING:
        return Trouble(
            CheckpointError(
                "image_pull_failed",
                f"The image of the container {name} cannot be pulled",
                hint="Check that the node may pull it, and the pod's imagePullSecrets",
                message=text,
            )
        )
    if reason in BROKEN or "terminated" in state or entry.get("restartCount") or entry.get("lastState"):
        return Trouble(_failed(f"The container {name} did not stay up: {_how(entry)}", message=text), EXPLAINED)
    return None


def _how(entry: Thing) -> str:
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated")
    if ended:
        return f"it ended with exit code {ended.get('exitCode')} ({ended.get('reason') or 'no reason given'})"
    return str((state.get("waiting") or {}).get("reason") or "it was restarted")


def _texts(entry: Thing) -> t.Iterator[str]:
    for state in (entry.get("state") or {}, entry.get("lastState") or {}):
        for part in state.values():
            if isinstance(part, dict) and part.get("message"):
                yield str(part["message"]).strip()


def _condition(pod: Thing, kind: str) -> Thing:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def follow(
    session: ApiSession,
    made: Thing,
    containers: t.Sequence[str],
    deadline: Deadline,
    stop: threading.Event,
    interval: float = INTERVAL,
) -> Thing:
    """The pod once these containers are up. Raises CheckpointError otherwise.

    Codes of its own: ``restore_failed``, ``image_pull_failed``, ``unschedulable``, ``runtime_handler_missing``,
    ``pod_failed``, ``pod_gone``, ``restore_timeout``, ``interrupted``.
    """
    metadata = made["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    pod, events = made, _events(session, namespace, metadata["uid"])
    since, code = time.monotonic(), ""
    while True:
        with _unless_expired(deadline):
            pod = _still_there(session.pod(namespace, name), metadata)
            events = _events(session, namespace, metadata["uid"])
        # It may run all the same: by the kubelet's next try, cold.
        seen = explained(pod, events, containers)
        if seen is None and is_up(pod, containers):
            return pod
        seen = seen or trouble(pod, containers)
        if (seen.error.code if seen else "") != code:
            since, code = time.monotonic(), seen.error.code if seen else ""
        if seen and (time.monotonic() - since >= seen.patience or deadline.expired):
            raise seen.error
        if stop.is_set():
            raise CheckpointError("interrupted", "The restore was interrupted", hint="Restore again")
        if deadline.expired:
            raise _timeout(pod, events)
        stop.wait(interval)


def _still_there(found: Thing | None, metadata: Thing) -> Thing:
    if found is None or found["metadata"]["uid"] != metadata["uid"] or found["metadata"].get("deletionTimestamp"):
        name = f"{metadata['namespace']}/{metadata['name']}"
        raise CheckpointError(
            "pod_gone", f"Somebody deleted the pod {name}", hint="Find out who did, and restore again"
        )
    return found


@contextlib.contextmanager
def _unless_expired(deadline: Deadline) -> t.Iterator[None]:
    """An API server that is away for a moment is no reason to give a restored process up."""
    try:
        yield
    except KubeError as error:
        if not error.details.get("retryable") or deadline.expired:
            raise


def _events(session: ApiSession, namespace: str, uid: str) -> list[Thing]:
    """The warnings about the pod, or none where they may not be seen."""
    path = f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/events"
    try:
        return session.things(path, fields=[f"involvedObject.uid={uid}", "type=Warning"])
    except KubeError as error:
        if error.code != "forbidden":
            raise
        return []


def _timeout(pod: Thing, events: t.Sequence[Thing]) -> CheckpointError:
    told = [str(event.get("message") or "") for event in events]
    told += [text for entry in statuses(pod).values() for text in _texts(entry)]
    told += [str(entry.get("message") or "") for entry in (pod.get("status") or {}).get("conditions") or []]
    return CheckpointError(
        "restore_timeout",
        "The pod was not up in time",
        hint="Give a longer timeout, or see what it waits for",
        message="; ".join(dict.fromkeys(filter(None, told))),
    )
