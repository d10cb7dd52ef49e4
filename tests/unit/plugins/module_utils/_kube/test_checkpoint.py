# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pathlib
import threading
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import checkpoint as tested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.checkpoint import Report, run
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError, failure
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    HANG_UP,
    Asked,
    Cluster,
    Say,
    archive,
    pod_object,
    serving,
)

DEFAULTS: dict[str, t.Any] = {
    "api_key": "t",
    "via": "apiserver",
    "namespace": "shop",
    "max_concurrent": 10,
    "max_concurrent_per_node": 2,
    "timeout": "5m",
}
PAUSED = Say(500, "checkpointing of a/b/c failed (rpc error: code = Unknown desc = cannot pause a paused container)")
BROKEN = Say(500, "checkpointing of a/b/c failed (rpc error: code = Unknown desc = criu failed: type NOTIFY errno 0)")
NOT_DIALLED = Say(503, {"kind": "Status", "message": "error trying to reach service: dial tcp 10.0.0.1:10250: refused"})


@pytest.fixture(autouse=True)
def _own_records(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts, and no second between requests."""
    monkeypatch.setattr(tested.random, "uniform", lambda _low, _high: 0.001)
    monkeypatch.setattr(tested.Entry, "wait_for_turn", lambda _self: None)


def done(
    script: t.Callable[[Asked], Say], *, check_mode: bool = False, stop: threading.Event | None = None, **params: t.Any
) -> tuple[Report, list[Asked]]:
    """A run against a server, and the requests that were more than reading."""
    with serving(script) as there:
        given = {**DEFAULTS, "host": there.url, **params}
        return run(given, check_mode=check_mode, stop=stop or threading.Event()), there.posts


def targets(*containers: str) -> dict[str, t.Any]:
    entries = [{"node": "n1", "namespace": "shop", "pod": "web-0", "container": name} for name in containers]
    return {"namespace": None, "targets": entries}


def test_all_of_it() -> None:
    cluster = Cluster([pod_object("web-0", app="running", side="running"), pod_object("web-1", "n2")])
    report, posts = done(cluster, return_labels=["app"])
    assert [(item["node"], item["pod"], item["container"]) for item in report.checkpoints] == [
        ("n1", "web-0", "app"),
        ("n1", "web-0", "side"),
        ("n2", "web-1", "app"),
    ]
    first = report.checkpoints[0]
    assert first["path"].startswith("/var/lib/kubelet/checkpoints/checkpoint-web-0_shop-app-")
    assert first["started"].endswith("Z") and first["started"][10] == "T"
    assert 0 < first["duration"] < 5
    assert (first["attempts"], first["reused"], first["labels"]) == (1, False, {"app": "web-0"})
    assert report.failures == [] and report.warnings == []
    result = report.result()
    assert (result["changed"], result["msg"]) == (True, "3 of 3 containers were checkpointed.")
    assert {post.query["timeout"] for post in posts} == {"300"}


def test_check_mode_asks_no_kubelet_and_writes_nothing(tmp_path: pathlib.Path) -> None:
    report, posts = done(Cluster([pod_object("web-0")]), check_mode=True, not_older_than="1h")
    assert posts == [] and list(tmp_path.iterdir()) == []
    (item,) = report.checkpoints
    assert (item["path"], item["started"], item["duration"], item["attempts"]) == (None, None, None, 0)
    assert (report.result()["changed"], report.result()["msg"]) == (True, "1 of 1 container would be checkpointed.")


def test_what_fails_does_not_keep_the_others_from_it() -> None:
    def kubelet(asked: Asked) -> Say:
        return BROKEN if "web-1" in asked.path else archive(asked)

    report, posts = done(Cluster([pod_object(f"web-{number}") for number in range(3)], kubelet), pod=[])
    assert [item["pod"] for item in report.checkpoints] == ["web-0", "web-2"]
    (failed,) = report.failures
    assert (failed["pod"], failed["code"], failed["phase"], failed["http_status"]) == (
        "web-1",
        "criu_failed",
        "checkpoint",
        500,
    )
    assert failed["container_id"] == "id-web-1-app" and failed["message"] == BROKEN.body
    assert len(posts) == 3
    message = report.result()["msg"]
    assert message.startswith("2 of 3 containers were checkpointed; 1 failed: criu_failed (1). shop/web-1/app on n1: ")
    assert message.endswith(str(BROKEN.body))


def test_a_long_message_is_shortened_in_the_sentence_only() -> None:
    long = Say(500, "x" * 1000 + " the cause")
    report, _posts = done(Cluster([pod_object("web-0")], lambda _asked: long))
    assert len(report.result()["msg"]) < 600 and report.result()["msg"].endswith("the cause")
    assert report.failures[0]["message"] == long.body


class TestSentAgain:
    """Only what certainly did nothing."""

    @pytest.mark.parametrize("said", [PAUSED, NOT_DIALLED, Say(429, "busy")])
    def test_until_it_works(self, said: Say, hasty: None) -> None:
        answers = iter([said, said])
        report, posts = done(lambda asked: next(answers, None) or archive(asked), **targets("app"))
        assert (len(posts), report.checkpoints[0]["attempts"], report.failures) == (3, 3, [])

    def test_three_times_in_all(self, hasty: None) -> None:
        report, posts = done(lambda _asked: PAUSED, **targets("app"))
        assert (len(posts), report.failures[0]["attempts"], report.failures[0]["retryable"]) == (3, 3, True)

    @pytest.mark.parametrize(
        "said",
        [
            BROKEN,
            HANG_UP,
            Say(401, "Unauthorized"),
            Say(404, "pod does not exist"),
            Say(500, "failed (rpc error: code = DeadlineExceeded desc = context deadline exceeded)"),
            Say(500, "failed (rpc error: code = Unavailable desc = error reading from server: EOF)"),
            Say(500, "failed (open /x/ctrd-checkpoint/status: no such file or directory)"),
            Say(503, {"kind": "Status", "message": "error trying to reach service: EOF"}),
            Say(504, "Gateway Time-out"),
        ],
    )
    def test_never_after_anything_else(self, said: Say, hasty: None) -> None:
        report, posts = done(lambda _asked: said, **targets("app"))
        assert (len(posts), report.failures[0]["attempts"]) == (1, 1)

    def test_a_refused_connection(self, hasty: None) -> None:
        params = {**DEFAULTS, **targets("app"), "via": "kubelet", "kubelet_port": 1, "kubelet_validate_certs": False}
        params["targets"][0]["node"] = "127.0.0.1"
        report = run(params, check_mode=False, stop=threading.Event())
        assert (report.failures[0]["code"], report.failures[0]["attempts"]) == ("kubelet_unreachable", 3)
        assert report.failures[0]["http_status"] is None

    def test_a_dead_node_is_not_tried_three_times_for_every_container(self, hasty: None) -> None:
        report, posts = done(lambda _asked: NOT_DIALLED, max_concurrent_per_node=1, **targets("a", "b", "c"))
        assert [item["attempts"] for item in report.failures] == [3, 1, 1] and len(posts) == 5

    def test_retry_after_is_waited_for_but_not_past_the_deadline(self) -> None:
        began = time.monotonic()
        busy = Say(429, "busy", headers={"Retry-After": "20"})
        report, posts = done(lambda _asked: busy, deadline="5s", **targets("app"))
        assert time.monotonic() - began < 20
        assert (len(posts), report.failures[0]["code"]) == (1, "throttled")


def test_twice_the_same_container_is_never_within_one_second() -> None:
    report, posts = done(archive, **targets("app", "app"))
    assert len({item["path"] for item in report.checkpoints}) == 2
    assert posts[1].began - posts[0].began >= 1.0


@pytest.mark.parametrize(("limit", "per_node", "most"), [(10, 2, 4), (3, 2, 3), (10, 1, 2)])
def test_limits(limit: int, per_node: int, most: int) -> None:
    pods = [pod_object(f"web-{number}", f"n{number % 2}") for number in range(8)]

    def kubelet(asked: Asked) -> Say:
        return Say(200, archive(asked).body, seconds=0.1)

    with serving(Cluster(pods, kubelet)) as there:
        params = {**DEFAULTS, "host": there.url, "max_concurrent": limit, "max_concurrent_per_node": per_node}
        report = run(params, check_mode=False, stop=threading.Event())
        assert len(report.checkpoints) == 8
        assert there.most_at_once == most


class TestDeadline:
    def test_nothing_new_begins_and_what_runs_is_left_to_finish(self) -> None:
        def slow(asked: Asked) -> Say:
            return Say(200, archive(asked).body, seconds=0.6)

        report, posts = done(slow, deadline="300ms", max_concurrent=1, **targets("a", "b", "c"))
        assert [item["container"] for item in report.checkpoints] == ["a"]
        assert [(item["container"], item["code"]) for item in report.failures] == [
            ("b", "not_started"),
            ("c", "not_started"),
        ]
        assert {item["phase"] for item in report.failures} == {"schedule"}
        assert len(posts) == 1

    def test_interrupted(self) -> None:
        stop = threading.Event()

        def kubelet(asked: Asked) -> Say:
            stop.set()
            return Say(200, archive(asked).body, seconds=0.2)

        report, posts = done(kubelet, stop=stop, max_concurrent=1, **targets("a", "b"))
        assert len(posts) == len(report.checkpoints) == 1
        assert "interrupted" in report.failures[0]["reason"]


class TestNotOlderThan:
    cluster: t.ClassVar = Cluster([pod_object("web-0")])

    def test_the_second_call_takes_none(self) -> None:
        first, _posts = done(self.cluster, not_older_than="1h")
        second, posts = done(self.cluster, not_older_than="1h")
        assert posts == []
        (item,) = second.checkpoints
        assert (item["reused"], item["attempts"]) == (True, 0)
        same = ("path", "started", "duration", "container_id")
        assert [item[key] for key in same] == [first.checkpoints[0][key] for key in same]
        assert second.result()["changed"] is False
        assert second.result()["msg"] == "0 of 1 container was checkpointed; 1 recent enough checkpoint reused."
        foreseen, _posts = done(self.cluster, check_mode=True, not_older_than="1h")
        assert (foreseen.checkpoints[0]["reused"], foreseen.result()["changed"]) == (True, False)

    def test_but_not_one_that_is_too_old(self) -> None:
        done(self.cluster)
        time.sleep(0.3)
        report, posts = done(self.cluster, not_older_than="200ms")
        assert len(posts) == 1 and not report.checkpoints[0]["reused"]

    def test_nor_one_of_a_container_that_restarted(self) -> None:
        done(self.cluster)
        pod = pod_object("web-0")
        pod["status"]["containerStatuses"][0]["containerID"] = "cri-o://another"
        report, posts = done(Cluster([pod]), not_older_than="1h")
        assert len(posts) == 1 and not report.checkpoints[0]["reused"]

    def test_nor_one_that_failed(self) -> None:
        done(Cluster([pod_object("web-0")], lambda _asked: BROKEN))
        report, posts = done(self.cluster, not_older_than="1h")
        assert len(posts) == 1 and report.result()["changed"]

    def test_not_without_it(self) -> None:
        done(self.cluster)
        assert len(done(self.cluster)[1]) == 1


def test_an_empty_selection() -> None:
    with pytest.raises(KubeError) as caught:
        done(Cluster([]))
    assert caught.value.code == "no_match"
    report, _posts = done(Cluster([]), allow_empty=True, pod=["x"], container=["y"])
    assert report.result() == {
        "changed": False,
        "msg": "The selection matches no running container.",
        "checkpoints": [],
        "failures": [],
    }
    report, _posts = done(Cluster([]), pod=["x"])
    assert [item["code"] for item in report.failures] == ["pod_not_found"]
    assert "shop/x: There is no such pod there" in report.result()["msg"]


def test_an_empty_survey_field_is_no_selection() -> None:
    report, _posts = done(Cluster([pod_object("a")]), pod=[""], container=[""], node=[""], deadline="", targets=None)
    assert len(report.checkpoints) == 1


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"namespace": None}, "Give one of namespace, all_namespaces: true and targets"),
        ({"all_namespaces": True}, "Give one of namespace, all_namespaces: true and targets"),
        ({"targets": []}, "targets cannot be combined with namespace"),
        ({"targets": [], "namespace": "", "not_older_than": "5m"}, "targets cannot be combined with not_older_than"),
        ({"timeout": "soon"}, "timeout is not a duration above zero: 'soon'"),
        ({"deadline": "0"}, "deadline is not a duration above zero: '0'"),
        ({"max_concurrent": 0}, "max_concurrent has to be 1 or more"),
        ({"max_concurrent_per_node": -1}, "max_concurrent_per_node has to be 1 or more"),
    ],
)
def test_options_that_make_no_sense(params: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(KubeError) as caught:
        done(Cluster([]), **params)
    assert (caught.value.code, caught.value.reason) == ("invalid_option", reason)


def test_where_records_cannot_be_written_there_is_a_warning(tmp_path: pathlib.Path) -> None:
    (tmp_path / "state").touch()
    report, _posts = done(Cluster([pod_object("a")]))
    assert len(report.checkpoints) == 1
    assert "not kept apart" in report.warnings[0]


def test_a_mistake_of_ours_does_not_lose_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: tested.KubeletClient, *arguments: t.Any) -> str:
        if arguments[-1][-1] == "b":
            raise RuntimeError("oops")
        return working(self, *arguments)

    working = tested.KubeletClient.url
    monkeypatch.setattr(tested.KubeletClient, "url", broken)
    report, _posts = done(archive, **targets("a", "b", "c"))
    assert [item["container"] for item in report.checkpoints] == ["a", "c"]
    assert report.failures[0]["code"] == "internal_error" and "oops" in report.failures[0]["message"]


def test_a_credential_plugin_runs_once(tmp_path: pathlib.Path) -> None:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "fresh"}}
    (tmp_path / "plugin").write_text(f"#!/bin/sh\necho >> {tmp_path}/runs\necho '{json.dumps(said)}'", encoding="utf-8")
    (tmp_path / "plugin").chmod(0o755)
    cluster = Cluster([pod_object("web-0")])
    with serving(cluster) as there:
        plugin = {"command": str(tmp_path / "plugin"), "apiVersion": "client.authentication.k8s.io/v1"}
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": there.url}}],
            "users": [{"name": "u", "user": {"exec": plugin}}],
        }
        params = {**DEFAULTS, "api_key": None, "kubeconfig": config}
        assert run(params, check_mode=False, stop=threading.Event()).failures == []
    assert (tmp_path / "runs").read_text(encoding="utf-8") == "\n"


def test_a_node_is_named_in_the_sentence_when_nothing_else_is() -> None:
    item = {"namespace": None, "pod": None, "container": None, "node": "n9", **failure("node_not_found").as_dict()}
    assert " n9: There is no such node" in Report([], [item], []).result()["msg"]


def test_progress_is_a_line_for_each(tmp_path: pathlib.Path, hasty: None) -> None:
    path = tmp_path / "progress"
    path.touch()
    done(
        lambda asked: BROKEN if "/b" in asked.path else archive(asked),
        progress_file=str(path),
        max_concurrent=1,
        **targets("a", "b"),
    )
    first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert (first["done"], first["total"], first["name"], first["node"], first["ok"]) == (
        1,
        2,
        "shop/web-0/a",
        "n1",
        True,
    )
    assert (second["done"], second["ok"], second["code"]) == (2, False, "criu_failed")
    assert second["seconds"] > 0 and second["reason"]


def test_progress_that_cannot_be_written_does_not_matter(tmp_path: pathlib.Path) -> None:
    report, _posts = done(archive, progress_file=str(tmp_path / "none" / "p"), **targets("a"))
    assert len(report.checkpoints) == 1
