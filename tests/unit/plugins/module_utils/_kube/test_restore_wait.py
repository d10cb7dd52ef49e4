# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pod comes up restored, told from its status and events as kubelets of 1.36.2 write them."""

from __future__ import annotations

import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import restore_wait
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.restore_wait import (
    explained,
    follow,
    is_up,
    trouble,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    serving,
    status_object,
)

Thing = dict[str, t.Any]

SENTENCE = (
    "The process holds more than its new pod grants: counter (1) has CAP_CHOWN, which the pod does not grant "
    "[capability:CAP_CHOWN]. Give the pod what the process had, or leave a ticket with security clamp, which takes "
    "away what can be taken away."
)
# Seen on the laboratory, containerd 2.1.9 and CRI-O 1.36.3; the first one with what containerd's shim may add.
EVENTS = (
    (
        "Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        f"checkpoint-restore: {SENTENCE}"
    ),
    f"failed to create shim task: OCI runtime create failed: checkpoint-restore: {SENTENCE}: unknown",
    f"Error: container create failed: checkpoint-restore: {SENTENCE}\n",
)


def pod(*containers: Thing, phase: str = "Pending", probe: bool = False, **status: t.Any) -> Thing:
    listed = [{"name": each["name"], "image": "x"} for each in containers]
    if probe:
        listed[0]["readinessProbe"] = {"tcpSocket": {"port": 80}}
    return {
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u"},
        "spec": {"containers": listed},
        "status": {"phase": phase, "containerStatuses": list(containers), **status},
    }


def container(state: str = "running", name: str = "web", restarts: int = 0, **details: t.Any) -> Thing:
    last = details.pop("last", {})
    return {"name": name, "restartCount": restarts, "state": {state: details}, "lastState": last}


def condition(kind: str, status: str, message: str = "") -> Thing:
    return {"type": kind, "status": status, "message": message}


def test_up() -> None:
    assert is_up(pod(container()), ["web"])
    assert is_up(pod(container("terminated", exitCode=0)), ["web"])
    assert is_up(pod(container(), container("waiting", "log", reason="ContainerCreating")), ["web"])


@pytest.mark.parametrize(
    "found",
    [
        pod(),
        pod(container("waiting", reason="ContainerCreating")),
        # Restarted: it started from its image.
        pod(container(restarts=1)),
        pod(container("terminated", exitCode=1)),
        pod(container(), probe=True),
        pod(container(), probe=True, conditions=[condition("Ready", "False")]),
    ],
)
def test_not_up(found: Thing) -> None:
    assert not is_up(found, ["web"])


def test_up_and_ready() -> None:
    assert is_up(pod(container(), probe=True, conditions=[condition("Ready", "True")]), ["web"])


@pytest.mark.parametrize("text", EVENTS)
def test_the_sentence_of_the_restore_runtime(text: str) -> None:
    for found, events in (
        (pod(container()), [{"message": text}]),
        (pod(container("waiting", reason="CreateContainerError", message=text)), []),
        (pod(container(last={"terminated": {"reason": "StartError", "exitCode": 128, "message": text}})), []),
    ):
        seen = explained(found, events, ["web"])
        assert seen is not None
        assert (seen.error.code, seen.error.reason, seen.patience) == ("restore_failed", SENTENCE, 0)
        assert seen.error.message in (text, text.strip())


@pytest.mark.parametrize(
    "text",
    # Seen on the laboratory, containerd 2.1.9 and CRI-O 1.36.3.
    [
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = unable to get OCI runtime for sandbox "
            '"7068b2f7": no runtime for "nowhere" is configured'
        ),
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to find runtime handler nowhere "
            "from runtime list map[checkpoint-restore:0x33aeaaed6c0 crun:0x33aeaaed340 runc:0x33aeaaec540]"
        ),
    ],
)
def test_a_node_without_the_handler(text: str) -> None:
    seen = explained(pod(), [{"message": text}], ["web"])
    assert seen is not None and seen.error.code == "runtime_handler_missing"


def test_other_events_explain_nothing() -> None:
    assert explained(pod(container()), [{"message": "Readiness probe failed"}], ["web"]) is None


@pytest.mark.parametrize(
    ("found", "code", "part"),
    [
        (
            pod(container("waiting", reason="ErrImagePull", message="manifest unknown")),
            "image_pull_failed",
            "manifest unknown",
        ),
        (pod(container("waiting", reason="CreateContainerError", message="no such file")), "restore_failed", "no such"),
        (pod(container("waiting", reason="CrashLoopBackOff", message="back-off")), "restore_failed", "back-off"),
        (pod(container("terminated", reason="Error", exitCode=137)), "restore_failed", ""),
        (pod(container(restarts=1)), "restore_failed", ""),
        (
            pod(conditions=[condition("PodScheduled", "False", "0/4 nodes are available: Insufficient cpu")]),
            "unschedulable",
            "Insufficient cpu",
        ),
        (pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough"), "pod_failed", "OutOfcpu: Node"),
    ],
)
def test_trouble(found: Thing, code: str, part: str) -> None:
    seen = trouble(found, ["web"])
    assert seen is not None and seen.error.code == code and part in seen.error.message and seen.error.hint


@pytest.mark.parametrize(
    "found",
    [
        pod(),
        pod(container()),
        pod(container("waiting", reason="ContainerCreating"), conditions=[condition("PodScheduled", "True")]),
        pod(container(), container("waiting", "log", reason="CrashLoopBackOff")),
    ],
)
def test_no_trouble_yet(found: Thing) -> None:
    assert trouble(found, ["web"]) is None


class Life:
    """A script: the pod as it is at each look, the last one for ever, and its events."""

    def __init__(self, *looks: Thing | Say, events: t.Sequence[str] = ()) -> None:
        self.looks = list(looks)
        self.events = events

    def __call__(self, asked: Asked) -> Say:
        if asked.path.endswith("/events"):
            assert asked.query["fieldSelector"] == "involvedObject.uid=u,type=Warning"
            return Say(200, {"items": [{"message": text} for text in self.events], "metadata": {}})
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return look if isinstance(look, Say) else Say(200, look)


def followed(life: Life, seconds: float = 60, stop: threading.Event | None = None) -> Thing:
    with serving(life) as there:
        session = ApiSession(Server(url=there.url))
        return follow(session, pod(), ["web"], Deadline(seconds), stop or threading.Event())


def lost(life: Life, seconds: float = 60, stop: threading.Event | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        followed(life, seconds, stop)
    return caught.value


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERVAL", "EXPLAINED", "ROOM"):
        monkeypatch.setattr(restore_wait, name, 0.01)


def test_followed_until_it_is_up() -> None:
    away = status_object(500, "etcdserver: leader changed")
    scheduling = pod(conditions=[condition("PodScheduled", "False", "no room")])
    up = pod(container())
    assert followed(Life(pod(), away, scheduling, pod(container("waiting")), up)) == up


def test_running_after_a_failed_restore_is_not_restored() -> None:
    assert lost(Life(pod(container()), events=[EVENTS[2]])).reason == SENTENCE


def test_the_original_text_where_nothing_explains_it() -> None:
    error = lost(Life(pod(container("waiting", reason="RunContainerError", message="exec format error"))))
    assert error.code == "restore_failed" and error.message == "exec format error"


def test_events_that_may_not_be_seen() -> None:
    class Blind(Life):
        def __call__(self, asked: Asked) -> Say:
            return status_object(403, "forbidden") if asked.path.endswith("/events") else super().__call__(asked)

    assert followed(Blind(pod(container())))


def test_too_late() -> None:
    error = lost(Life(pod(container("waiting", message="creating")), events=["MountVolume failed: x"]), 0.05)
    assert error.code == "restore_timeout" and error.message == "MountVolume failed: x; creating"


def test_deleted_by_somebody() -> None:
    assert lost(Life(status_object(404, "not found"))).code == "pod_gone"
    other = pod()
    other["metadata"]["uid"] = "v"
    assert lost(Life(other)).code == "pod_gone"
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"
    assert lost(Life(leaving)).code == "pod_gone"


def test_interrupted() -> None:
    stop = threading.Event()
    stop.set()
    assert lost(Life(pod()), stop=stop).code == "interrupted"


def test_rights_that_end_are_told() -> None:
    assert lost(Life(status_object(401, "Unauthorized"))).code == "unauthorized"
