# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which a replacement comes to be, against a script: what is asked of the API server, and in which order.

What a controller makes of it is shown on the laboratory, in test_move_replacement.py.
"""

from __future__ import annotations

import pathlib
import re
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import (
    budget,
    objects,
    policy,
    template,
    ways,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.replacement import Replacement
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.state import State
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import (
    APPS,
    CLASS,
    SHOP,
    Api,
    owner,
    pod,
)

Thing = dict[str, t.Any]

EVICTION = ("POST", f"{SHOP}/pods/web-0/eviction")
BUDGET = status_object(429, "Cannot evict pod as it would violate the pod's disruption budget.")
NEVER = threading.Event()


class Move:
    """One move begun against a script."""

    def __init__(self, api: Api, url: str, folder: str, **options: t.Any) -> None:
        self.api = api
        self.session = ApiSession(Server(url=url))
        self.plan = plans.make(self.session, "shop", "web-0", "n2", runtime_class=CLASS, **options)
        self.folder = folder
        self.replacement: Replacement
        self.state: State
        self.replacement, self.state = ways.begin(self.session, self.plan, folder)

    def again(self) -> None:
        """As another process takes it up."""
        self.state.close()
        self.replacement, self.state = ways.resume(self.session, self.plan.number, self.folder)


@pytest.fixture
def begin(tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., Move]]:
    moves: list[Move] = []

    def begun(*things: Thing, version: str | None = "v1", **options: t.Any) -> Move:
        api = Api(*things, version=version)
        server = serving(api)
        running = server.__enter__()
        servers.append(server)
        moves.append(Move(api, running.url, str(tmp_path / "moves"), **options))
        return moves[-1]

    servers: list[t.Any] = []
    yield begun
    for move in moves:
        move.state.close()
    for server in servers:
        server.__exit__(None, None, None)


def refused(call: t.Callable[[], t.Any]) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        call()
    return caught.value


def test_a_bare_pod_is_made_again_like_it_was(begin: t.Callable[..., Move]) -> None:
    source = pod(volumes=[{"name": "kube-api-access-x", "projected": {}}], priority=0)
    source["metadata"]["annotations"] = {"team": "shop"}
    source["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": "u"}]
    move = begin(source)
    move.replacement.prepare()
    move.replacement.prove(Deadline(5), NEVER)
    move.api.done.clear()
    move.replacement.replace()
    assert move.api.done == [f"evict {SHOP}/pods/web-0", f"create {SHOP}/pods/web-0"]
    made = move.api.objects[f"{SHOP}/pods/web-0"]
    assert made["metadata"]["labels"] == {"app": "web"}
    assert made["metadata"]["annotations"] == {"team": "shop", objects.MOVE: move.plan.number}
    assert made["metadata"]["ownerReferences"] == source["metadata"]["ownerReferences"]
    assert made["spec"] == {
        "containers": source["spec"]["containers"],
        "nodeSelector": {"kubernetes.io/hostname": "n2.example.com"},
        "runtimeClassName": CLASS,
        "schedulerName": "default-scheduler",
        "volumes": [],
    }
    # Another process that takes it up here changes nothing more.
    move.again()
    move.replacement.replace()
    assert len(move.api.done) == 2
    move.replacement.clean()
    assert move.state.owed == [] and not [path for path in move.api.objects if "leases" in path]


def test_nothing_is_changed_where_a_budget_refuses_at_that_moment(begin: t.Callable[..., Move]) -> None:
    job = owner("Job")
    source = pod(owner=job)
    source["metadata"]["finalizers"] = [objects.JOB_FINALIZER]
    move = begin(job, source)
    move.replacement.prepare()
    move.api.refusals[EVICTION] = BUDGET
    assert refused(move.replacement.replace).code == "budget_refuses"
    there = move.api.objects[f"{SHOP}/pods/web-0"]
    assert there["metadata"]["finalizers"] == [objects.JOB_FINALIZER]
    move.replacement.undo()
    assert move.state.owed == [] and not [path for path in move.api.objects if objects.PREFIX in path]


def test_a_job_does_not_count_its_pod_as_failed(begin: t.Callable[..., Move]) -> None:
    job = owner("Job")
    source = pod(owner=job)
    source["metadata"]["finalizers"] = [objects.JOB_FINALIZER]
    move = begin(job, source)
    move.replacement.prepare()
    move.api.done.clear()
    move.replacement.replace()
    assert move.api.done == [f"patch {SHOP}/pods/web-0", f"evict {SHOP}/pods/web-0"]
    error = refused(move.replacement.undo)
    assert error.code == "too_late"
    move.replacement.clean()
    assert move.state.owed == []


def test_a_policy_that_does_not_act_is_found(begin: t.Callable[..., Move]) -> None:
    stateful = owner("StatefulSet")
    move = begin(stateful, pod(owner=stateful))
    move.replacement.prepare()
    # The script makes pods as they are given, as an API server does that has not seen the policy.
    error = refused(lambda: move.replacement.prove(Deadline(0.3), NEVER))
    assert error.code == "policy_inactive"
    stop = threading.Event()
    stop.set()
    assert refused(lambda: move.replacement.prove(Deadline(30), stop)).code == "interrupted"
    names = [path for path in move.api.objects if objects.PREFIX in path]
    assert len(names) == 3
    move.replacement.undo()
    assert not [path for path in move.api.objects if objects.PREFIX in path]


def test_a_replacement_that_is_refused_or_another_pod_is_found(begin: t.Callable[..., Move]) -> None:
    move = begin(pod())
    move.api.refusals[("POST", f"{SHOP}/pods")] = status_object(403, "exceeded quota: pods=1")
    error = refused(lambda: move.replacement.prove(Deadline(5), NEVER))
    assert (error.code, error.message) == ("replacement_refused", "exceeded quota: pods=1")
    said = 'pods is forbidden: User "jane" cannot create resource "pods"'
    move.api.refusals[("POST", f"{SHOP}/pods")] = status_object(403, said)
    assert refused(lambda: move.replacement.prove(Deadline(5), NEVER)).code == "forbidden"


def test_a_pod_that_has_the_replacements_name_already(begin: t.Callable[..., Move]) -> None:
    replicas = owner("ReplicaSet", "web-5d9f")
    move = begin(replicas, pod(owner=replicas))
    move.replacement.prepare()
    place = f"{SHOP}/pods/{move.plan.replacement}"
    move.api.objects[place] = pod(move.plan.replacement, "n2", replicas)
    assert refused(move.replacement.replace).code == "replacement_early"
    # With the source gone it is the replacement itself.
    del move.api.objects[f"{SHOP}/pods/web-0"]
    move.replacement.replace()


def test_to_another_node_when_the_replacement_cannot_run(begin: t.Callable[..., Move]) -> None:
    stateful = owner("StatefulSet")
    move = begin(stateful, pod(owner=stateful))
    move.replacement.prepare()
    move.replacement.replace()
    failed = pod("web-0", "n2", stateful)
    failed["metadata"].update(uid="failed", annotations={objects.MOVE: move.plan.number})
    place = f"{SHOP}/pods/web-0"
    move.api.objects[place] = failed
    assert refused(lambda: ways.redirect(move.session, move.plan, move.state, "n9")).code == "node_not_usable"
    again = ways.redirect(move.session, move.plan, move.state, "n1")
    again.prepare()
    (document,) = [each for path, each in move.api.objects.items() if "mutatingadmissionpolicies/" in path]
    assert "n1.example.com" in document["spec"]["mutations"][0]["jsonPatch"]["expression"]
    # A budget protects the pod that ran, not the one that never did.
    move.api.refusals[EVICTION] = BUDGET
    again.replace()
    assert place not in move.api.objects
    made = {**failed, "metadata": {**failed["metadata"], "uid": "again"}}
    move.api.objects[place] = made
    assert again.wait(Deadline(5), NEVER)["metadata"]["uid"] == "again"
    move.again()
    assert move.replacement.wait(Deadline(5), NEVER)["metadata"]["uid"] == "again"
    move.replacement.clean()
    assert move.state.owed == []


def test_patches_say_of_which_kind_they_are() -> None:
    api = Api(pod())
    api.objects["/scale"] = {"metadata": {}, "spec": {"replicas": 1}}
    with serving(api) as there:
        session = ApiSession(Server(url=there.url))
        session.patch(f"{SHOP}/pods/web-0", {"metadata": {}})
        session.patch("/scale", [{"op": "test", "value": 1}, {"op": "replace", "value": 2}])
        assert session.patch(f"{SHOP}/pods/web-9", {"metadata": {}}) is None
        kinds = [asked.headers["Content-Type"] for asked in there.posts]
    assert kinds[:2] == ["application/merge-patch+json", "application/json-patch+json"]


def test_differences() -> None:
    source = pod()
    other = pod(containers=[{"name": "app", "image": "registry.example.com/web:2"}, {"name": "log", "image": "log"}])
    assert template.differences(source, source) == []
    assert template.differences(other, source) == ["container log", "image of app"]
    mounted = pod(containers=[{**source["spec"]["containers"][0], "volumeMounts": [{"name": "d", "mountPath": "/d"}]}])
    assert template.differences(mounted, source) == ["volumeMounts of app"]


def test_replacement_first_scales_up_once_and_undoes_it(begin: t.Callable[..., Move]) -> None:
    deployment, replicas = owner("Deployment", "web"), owner("ReplicaSet", "web-5d9f")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-Deployment"}
    replicas["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    move = begin(deployment, replicas, pod(owner=replicas), order="replacement_first")
    scale = f"{APPS}/deployments/web/scale"
    move.api.objects[scale] = {"metadata": {"name": "web"}, "spec": {"replicas": 1}}
    assert move.replacement.before_freeze and move.replacement.source_ends_with == "wait"
    move.replacement.prepare()
    move.replacement.replace()
    assert move.api.objects[scale]["spec"] == {"replicas": 2}
    move.again()
    move.replacement.replace()
    assert move.api.objects[scale]["spec"] == {"replicas": 2}
    came = pod(move.plan.replacement, "n2", replicas)
    move.api.objects[f"{SHOP}/pods/{move.plan.replacement}"] = came
    move.api.done.clear()
    move.replacement.undo()
    # The one that came is the one that goes.
    going = [f"patch {SHOP}/pods/web-0", f"patch {SHOP}/pods/{move.plan.replacement}", f"patch {scale}"]
    assert move.api.done[:3] == going
    assert move.api.objects[scale]["spec"] == {"replicas": 1}
    assert objects.DELETION_COST not in objects.notes(move.api.objects[f"{SHOP}/pods/web-0"])


def test_adoption_hides_the_pod_from_its_replica_set_until_it_is_ready(begin: t.Callable[..., Move]) -> None:
    replicas = owner("ReplicaSet", "web-5d9f")
    replicas["spec"]["selector"]["matchLabels"] = {"app": "web", "pod-template-hash": "5d9f"}
    replicas["spec"]["template"]["metadata"]["labels"] = {"app": "web", "pod-template-hash": "5d9f"}
    move = begin(replicas, pod(owner=replicas), version=None)
    move.replacement.prepare()
    move.replacement.prove(Deadline(5), NEVER)
    move.replacement.replace()
    place = f"{SHOP}/pods/{move.plan.replacement}"
    made = move.api.objects[place]
    assert made["metadata"]["labels"] == {"app": "web"} and "ownerReferences" not in made["metadata"]
    move.api.objects[place] = {**made, "status": pod()["status"]}
    move.api.done.clear()
    gone = threading.Event()

    def controller() -> None:
        while not gone.wait(0.01) and "pod-template-hash" not in move.api.objects[place]["metadata"]["labels"]:
            pass
        cost = objects.notes(move.api.objects[f"{SHOP}/pods/web-0"])[objects.DELETION_COST]
        if cost == objects.CHEAPEST:
            del move.api.objects[f"{SHOP}/pods/web-0"]

    watching = threading.Thread(target=controller)
    watching.start()
    try:
        move.replacement.wait(Deadline(5), NEVER)
    finally:
        gone.set()
        watching.join()
    assert move.api.done == [f"patch {SHOP}/pods/web-0", f"patch {place}"]
    move.replacement.clean()
    assert place in move.api.objects and move.state.owed == []


def test_adoption_undone_takes_the_replacement_away(begin: t.Callable[..., Move]) -> None:
    replicas = owner("ReplicaSet", "web-5d9f")
    move = begin(replicas, pod(owner=replicas), version=None)
    move.replacement.prepare()
    move.replacement.replace()
    move.replacement.undo()
    assert f"{SHOP}/pods/{move.plan.replacement}" not in move.api.objects


def test_orphaning_makes_the_set_again_in_any_case(begin: t.Callable[..., Move]) -> None:
    stateful = owner("StatefulSet")
    move = begin(stateful, pod(owner=stateful), version=None)
    place = f"{APPS}/statefulsets/web"
    move.replacement.prepare()
    assert place not in move.api.objects
    move.again()
    move.replacement.undo()
    made = move.api.objects[place]
    assert made["spec"] == stateful["spec"] and "status" not in made and made["metadata"]["uid"] != "uid-StatefulSet"


def test_a_pod_of_that_name_that_is_of_no_move(begin: t.Callable[..., Move]) -> None:
    stateful = owner("StatefulSet")
    move = begin(stateful, pod(owner=stateful))
    move.api.objects[f"{SHOP}/pods/web-0"]["metadata"]["uid"] = "cold"
    assert refused(lambda: move.replacement.wait(Deadline(5), NEVER)).code == "replacement_astray"
    del move.api.objects[f"{SHOP}/pods/web-0"]
    assert refused(lambda: move.replacement.wait(Deadline(0.2), NEVER)).code == "replacement_missing"


def test_an_eviction_says_it_all_in_its_body(begin: t.Callable[..., Move]) -> None:
    api = Api(pod())
    with serving(api) as there:
        session = ApiSession(Server(url=there.url))
        assert budget.evict(session, pod())
        assert not budget.evict(session, pod())
        api.objects[f"{SHOP}/pods/web-0"] = {**pod(), "metadata": {**pod()["metadata"], "uid": "another"}}
        assert not budget.evict(session, pod()) and not budget.delete(session, pod())
        first = there.posts[0].body
    assert first["kind"] == "Eviction" and first["metadata"] == {"name": "web-0", "namespace": "shop"}
    assert first["deleteOptions"] == {"gracePeriodSeconds": 0, "preconditions": {"uid": "uid-web-0"}}


def test_the_policy_is_for_one_owner_and_leaves_what_is_there() -> None:
    effect = policy.Effect("000000000042", "shop", "uid-1", (), "web-x", 'n"2', CLASS)
    document, binding = policy.documents("v1beta1", effect)
    assert document["apiVersion"] == binding["apiVersion"] == "admissionregistration.k8s.io/v1beta1"
    assert binding["spec"]["policyName"] == document["metadata"]["name"]
    (condition,) = document["spec"]["matchConditions"]
    assert 'o.uid == "uid-1"' in condition["expression"]
    expression = document["spec"]["mutations"][0]["jsonPatch"]["expression"]
    assert 'path: "/metadata/name", value: "web-x"' in expression
    assert 'path: "/spec/nodeSelector/kubernetes.io~1hostname", value: "n\\"2"' in expression
    indexed = policy.documents("v1", effect._replace(job_index="3"))[0]["spec"]["matchConditions"]
    assert indexed[1]["expression"].endswith('["batch.kubernetes.io/job-completion-index"] == "3"')
    kept = policy.documents("v1", effect._replace(names=("web-0", "proof-42"), name=None))[0]["spec"]
    assert kept["matchConditions"][1]["expression"] == 'object.metadata.name in ["web-0", "proof-42"]'
    assert "/metadata/name" not in kept["mutations"][0]["jsonPatch"]["expression"]


def test_names_are_as_the_api_server_makes_them() -> None:
    name = objects.generated("web-5d9f-")
    assert re.fullmatch(r"web-5d9f-[bcdfghjklmnpqrstvwxz2456789]{5}", name) and name != objects.generated("web-5d9f-")
    assert len(objects.generated("x" * 70)) == 63
