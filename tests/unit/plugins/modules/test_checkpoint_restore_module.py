# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_restore as a module, against an API server that is scripted: what it makes, finds, refuses and removes."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import (
    restore,
    restore_removal,
    restore_wait,
    sandbox,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.restore_request import ANNOTATION
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_restore
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.restorables import (
    POLICIES,
    SHA256,
    Api,
    archive,
    claim,
    shop,
    web_0,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    HANG_UP,
    Asked,
    Say,
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import (
    outcome,
    undocumented,
)

Thing = dict[str, t.Any]
Runner = t.Callable[..., Thing]

PODS = "/api/v1/namespaces/shop/pods"
POD = f"{PODS}/web-0"
SANDBOX = "/api/v1/namespaces/isolated-web-0"
POLICY = f"{POLICIES}/namespaces/isolated-web-0/networkpolicies/{sandbox.POLICY}"
DATA = {"spec": {"volumes": [{"name": "data", "emptyDir": {}}]}}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The module against a script; the warnings are in the result, as Ansible puts them there."""
    for room in (restore, restore_removal, restore_wait):
        monkeypatch.setattr(room, "INTERVAL", 0.01)
    monkeypatch.setattr(restore_wait, "EXPLAINED", 0.01)
    monkeypatch.setattr(restore, "UNDO_SECONDS", 1.0)

    def run(api: t.Callable[[Asked], Say], check: bool = False, **given: t.Any) -> Thing:
        options = {"node": "n2", "archives": [archive()], "source_definition": web_0(), "others": "cold", **given}
        if options["source_definition"] is None:
            # Ansible counts a null as given.
            del options["source_definition"]
        with serving(api) as there:
            said = outcome(
                checkpoint_restore, monkeypatch, capsys, check=check, host=there.url, api_key="not-told", **options
            )
        return {**said.result, "warnings": said.warnings}

    return run


def test_restored_once(call: Runner) -> None:
    api = Api(shop())
    foreseen = call(api, check=True)
    assert foreseen["changed"] and api.done == []
    assert foreseen["pod"] == {"namespace": "shop", "name": "web-0", "uid": None, "node": "n2"}
    assert {each["container_id"] for each in foreseen["containers"]} == {None}

    first = call(api)
    assert first["changed"] and api.done == [f"create {POD}"]
    for key in ("definition", "tickets", "checks", "diff"):
        assert first[key] == foreseen[key]
    assert first["tickets"] == [
        {"namespace": "shop", "pod": "web-0", "container": "web", "archive": "/srv/web-0.tar", "sha256": SHA256}
    ]
    assert first["containers"] == [
        {"name": "log", "container_id": "log-id", "restored_from": None},
        {"name": "web", "container_id": "web-id", "restored_from": SHA256},
    ]
    assert first["pod"]["uid"] == api.objects[POD]["metadata"]["uid"]
    said = " ".join(first["warnings"])
    assert "Init containers run again" in said and "StatefulSet web" in said and "log" in said
    diff = json.dumps(first.pop("diff"))
    assert "hunter2hunter2" not in diff and "DB_PASSWORD" in diff
    assert undocumented(first, checkpoint_restore.RETURN) == []

    again = call(api)
    assert not again["changed"] and again["tickets"] == again["diff"] == [] and again["definition"] == {}
    assert again["containers"] == first["containers"] and again["pod"] == first["pod"]
    assert not call(api, check=True)["changed"]


def test_the_api_server_is_asked_before(call: Runner) -> None:
    asked: list[tuple[Thing, Thing]] = []
    api = Api(shop())

    def script(request: Asked) -> Say:
        if request.method == "POST":
            asked.append((request.query, request.body))
        return api(request)

    call(script)
    (before, tried), (then, made) = asked
    assert before == {"dryRun": "All", "fieldValidation": "Strict"} and then == {"fieldValidation": "Strict"}
    assert tried == made and made["spec"]["runtimeClassName"] == "checkpoint-restore"


@pytest.mark.parametrize("change", ["archive", "node", "restarts", "unmarked"])
def test_another_pod_of_that_name(call: Runner, change: str) -> None:
    api = Api(shop())
    call(api)
    there = api.objects[POD]
    given: Thing = {}
    if change == "archive":
        given["archives"] = [archive(sha256="0" * 64)]
    elif change == "node":
        there["spec"]["nodeName"] = "n3"
    elif change == "restarts":
        next(each for each in there["status"]["containerStatuses"] if each["name"] == "web")["restartCount"] = 1
    else:
        del there["metadata"]["annotations"][ANNOTATION]
    # The claim would be in use elsewhere.
    api.objects["/api/v1/namespaces/shop/persistentvolumeclaims/data-web-0"] = claim("ReadWriteMany")
    result = call(api, **given)
    assert result["failed"] and result["code"] == "pod_exists"
    assert call(api, preflight=False, **given)["code"] == "pod_exists"
    assert api.done == [f"create {POD}"]


def test_a_failed_check_makes_nothing(call: Runner) -> None:
    api = Api(shop(**{"/apis/node.k8s.io/v1/runtimeclasses/checkpoint-restore": None}))
    result = call(api)
    assert result["code"] == "preflight_failed" and "RuntimeClass" in result["reason"] and result["hint"]
    assert [check["name"] for check in result["checks"] if check["result"] == "failed"] == ["runtime_class"]
    assert [check["name"] for check in result["checks"]] == sorted(check["name"] for check in result["checks"])
    assert undocumented({key: result[key] for key in ("checks",)}, checkpoint_restore.RETURN)[4:] == []
    assert api.done == []
    assert call(api, preflight=False)["changed"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (status_object(422, "Pod is invalid: spec.containers[0].image: Required value"), "pod_refused"),
        (status_object(403, 'pods "web-0" is forbidden: violates PodSecurity "restricted:latest"'), "pod_refused"),
        (status_object(400, 'strict decoding error: unknown field "spec.nodeSelecter"'), "pod_refused"),
        (status_object(403, 'pods is forbidden: User "u" cannot create resource "pods"'), "forbidden"),
    ],
)
def test_a_pod_that_the_cluster_does_not_take(call: Runner, said: Say, code: str) -> None:
    api = Api(shop())
    api.refusals["POST", PODS] = said
    result = call(api, check=True)
    assert result["code"] == code and result["message"] == said.body["message"]
    assert code != "forbidden" or "restore.yml" in result["hint"]


def fails(text: str) -> t.Callable[[Thing], Thing]:
    def comes_up(_pod: Thing) -> Thing:
        waiting = {"waiting": {"reason": "CreateContainerError", "message": text}}
        return {"phase": "Pending", "containerStatuses": [{"name": "web", "restartCount": 0, "state": waiting}]}

    return comes_up


def test_what_fails_is_removed(call: Runner) -> None:
    api = Api(shop(), fails("x: checkpoint-restore: The archive is damaged. Fetch it again: unknown"))
    result = call(api)
    assert (result["code"], result["reason"]) == ("restore_failed", "The archive is damaged. Fetch it again")
    assert result["removed"] is True and result["checks"]
    assert api.done == [f"create {POD}", f"delete {POD}"]


def test_what_cannot_be_removed_is_told(call: Runner) -> None:
    api = Api(shop(), fails("x: checkpoint-restore: No."))
    api.refusals["DELETE", POD] = status_object(500, "etcdserver: no leader")
    result = call(api)
    assert (result["code"], result["removed"]) == ("restore_failed", False)


def test_a_pod_without_an_answer_to_its_creation(call: Runner) -> None:
    api = Api(shop())

    def script(asked: Asked) -> Say:
        said = api(asked)
        return HANG_UP if asked.method == "POST" and "dryRun" not in asked.query else said

    result = call(script)
    assert (result["code"], result["removed"]) == ("apiserver_unreachable", True)
    assert api.done == [f"create {POD}", f"delete {POD}"]


def test_not_waited_for(call: Runner) -> None:
    api = Api(shop(), lambda _pod: {"phase": "Pending"})
    result = call(api, wait=False)
    assert result["changed"] and {each["container_id"] for each in result["containers"]} == {None}


@pytest.mark.parametrize(
    "given",
    [
        {"patch": {"spec": []}},
        {"patch": {"spec": {"containers": [1]}}},
        {"patch": {"metadata": {"labels": "x"}, "spec": {"nodeSelector": "x"}}},
        {"source_definition": {"metadata": [], "spec": {"containers": [{}]}}},
        {"source_definition": None, "definition": {"metadata": None, "spec": {"containers": ["web"]}}},
    ],
)
def test_what_is_not_shaped_as_a_pod(call: Runner, given: Thing) -> None:
    assert call(Api(shop()), **given)["code"] in ("manifest_invalid", "container_not_found")


def test_from_the_live_pod_and_from_a_definition(call: Runner) -> None:
    there = web_0()
    api = Api(shop(**{POD: there, "/api/v1/namespaces/shop/persistentvolumeclaims/data-web-0": claim("ReadWriteMany")}))
    live = call(api, check=True, source_definition=None, pod="again")
    assert live["definition"]["spec"]["containers"][1]["image"] == "registry.example.com/log:2"
    assert "there will be two of the process" in " ".join(live["warnings"])
    own = {"spec": {"containers": [{"name": "web", "image": "web:9"}], "nodeName": "n1"}}
    given = call(api, check=True, source_definition=None, definition=own, pod="again")["definition"]
    assert given["spec"]["containers"] == own["spec"]["containers"] and "nodeName" not in given["spec"]


def test_gone_again(call: Runner) -> None:
    api = Api(shop())
    absent = {"state": "absent", "namespace": "shop", "pod": "web-0"}
    call(api)
    assert call(api, check=True, **absent)["changed"] and POD in api.objects
    result = call(api, **absent)
    assert result["changed"] and POD not in api.objects
    result.pop("diff")
    assert undocumented(result, checkpoint_restore.RETURN) == []
    again = call(api, **absent)
    assert not again["changed"] and again["diff"] == []


def test_a_pod_of_somebody_else_stays(call: Runner) -> None:
    api = Api(shop(**{POD: web_0()}))
    result = call(api, state="absent", namespace="shop", pod="web-0")
    assert result["code"] == "not_ours" and api.done == []


def test_isolated(call: Runner) -> None:
    api = Api(shop())
    given: Thing = {"isolated": True, "patch": DATA}
    foreseen = call(api, check=True, **given)
    assert [entry["after"]["kind"] for entry in foreseen["diff"]] == ["Namespace", "NetworkPolicy", "Pod"]
    assert api.done == []
    result = call(api, **given)
    assert result["changed"] and result["tickets"][0]["namespace"] == "isolated-web-0"
    # The policy is there before the pod.
    assert api.done == [f"create {SANDBOX}", f"create {POLICY}", f"create {SANDBOX}/pods/web-0"]
    assert not call(api, **given)["changed"]
    absent = {"state": "absent", "isolated": True, "pod": "web-0"}
    assert call(api, check=True, **absent)["changed"] and SANDBOX in api.objects
    assert call(api, **absent)["changed"] and SANDBOX not in api.objects
    assert not call(api, **absent)["changed"]


def test_an_isolated_restore_that_fails_leaves_no_namespace(call: Runner) -> None:
    api = Api(shop(), fails("x: checkpoint-restore: No."))
    result = call(api, isolated=True, patch=DATA)
    assert (result["code"], result["removed"]) == ("restore_failed", True)
    assert api.done[3:] == [f"delete {SANDBOX}/pods/web-0", f"delete {POLICY}", f"delete {SANDBOX}"]


def test_a_namespace_of_somebody_else(call: Runner) -> None:
    theirs = {"metadata": {"name": "isolated-web-0", "labels": {}}}
    other = web_0()
    api = Api(shop(**{SANDBOX: theirs, f"{SANDBOX}/pods/other": other}))
    other["metadata"]["name"] = "other"
    given: Thing = {"isolated": True, "patch": DATA}
    assert call(api, **given)["code"] == "namespace_in_use"
    del api.objects[f"{SANDBOX}/pods/other"]
    assert call(api, **given)["changed"]
    # It stays when the pod goes; what was put into it does not.
    assert call(api, state="absent", isolated=True, pod="web-0")["changed"]
    assert SANDBOX in api.objects and POLICY not in api.objects


def test_a_policy_that_allows_something(call: Runner) -> None:
    api = Api(shop(**{SANDBOX: {"metadata": {"labels": {}}}, POLICY: {"metadata": {}, "spec": {"podSelector": {}}}}))
    result = call(api, isolated=True, patch=DATA)
    assert result["code"] == "not_ours" and api.done == []


def test_rights_for_a_sandbox(call: Runner) -> None:
    api = Api(shop())
    api.refusals["GET", SANDBOX] = status_object(403, 'namespaces is forbidden: User "u" cannot get')
    result = call(api, isolated=True, patch=DATA)
    assert result["code"] == "forbidden" and "networkpolicies" in result["hint"]


def test_a_young_namespace(call: Runner) -> None:
    api = Api(shop())
    young = status_object(403, 'pods "web-0" is forbidden: serviceaccount "default" not found')
    tries: list[int] = []

    def script(asked: Asked) -> Say:
        if asked.method == "POST" and asked.path.endswith("/pods") and not tries:
            tries.append(1)
            return young
        return api(asked)

    assert call(script, isolated=True, patch=DATA)["changed"] and tries


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"node": None}, "node"),
        ({"archives": None}, "archive"),
        ({"state": "absent"}, "pod"),
        ({"state": "absent", "pod": ""}, "pod"),
        ({"definition": web_0()}, "mutually exclusive"),
        ({"timeout": None}, "timeout"),
    ],
)
def test_options_that_lack_something(call: Runner, given: Thing, named: str) -> None:
    result = call(Api(shop()), **given)
    assert result["failed"] and named in result["msg"]
