# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a pod and a node to a plan, or to the reason why there is none."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
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

SET = owner("StatefulSet")


def planned(api: Api, name: str = "web-0", target: str = "n2", **options: t.Any) -> plans.Plan:
    with serving(api) as there:
        made = plans.make(ApiSession(Server(url=there.url)), "shop", name, target, runtime_class=CLASS, **options)
        assert api.done == [], "a plan touches nothing"
        return made


def refused(api: Api, **options: t.Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        planned(api, **options)
    return caught.value


def failed(api: Api, **options: t.Any) -> list[str]:
    error = refused(api, **options)
    assert error.code == "preflight_failed" and error.hint
    return [check["name"] for check in error.details["checks"] if check["result"] == "failed"]


def warned(api: Api) -> list[str]:
    return [check.name for check in planned(api).checks if check.result == "warning"]


def changed(thing: Thing, **metadata: t.Any) -> Thing:
    return {**thing, "metadata": {**thing["metadata"], **metadata}}


def deployed(**status: t.Any) -> list[Thing]:
    """A Deployment, its ReplicaSet and its pod."""
    deployment = owner("Deployment", "web")
    deployment["status"] = {**deployment["status"], **status}
    replicas = owner("ReplicaSet", "web-5d9f")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-Deployment"}
    replicas["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    return [deployment, replicas, pod(owner=replicas)]


def test_a_bare_pod() -> None:
    made = planned(Api(pod()))
    assert (made.way, made.owner, made.replacement, made.policy_version) == ("bare", None, "web-0", None)
    assert (made.node, made.target, made.hostname) == ("n1", "n2", "n2.example.com")
    assert made.containers == (
        plans.Container("app", "id-app", "registry.example.com/web:1", "registry.example.com/web@sha256:1"),
    )
    assert not [check for check in made.checks if check.result != "passed"]
    assert len(made.number) == 12 and planned(Api(pod())).number != made.number


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_by_policy_where_the_cluster_serves_them(version: str) -> None:
    made = planned(Api(SET, pod(owner=SET), version=version))
    assert (made.way, made.policy_version, made.replacement) == ("policy", version, "web-0")


def test_a_deployments_pod_gets_a_name_as_its_controller_gives_them() -> None:
    made = planned(Api(*deployed()))
    assert made.way == "policy" and made.replacement.startswith("web-5d9f-") and made.replacement != "web-0"
    assert made.owner is not None and (made.owner.head_kind, str(made.owner)) == ("Deployment", "ReplicaSet web-5d9f")
    assert planned(Api(*deployed()), order="replacement_first").way == "replacement_first"


def test_without_policies() -> None:
    assert planned(Api(*deployed(), version=None)).way == "adoption"
    assert planned(Api(SET, pod(owner=SET), version=None)).way == "orphaning"
    job = owner("Job")
    error = refused(Api(job, pod(owner=job), version=None))
    assert error.code == "way_unknown" and "MutatingAdmissionPolicy" in error.reason


def test_survives_the_state_file() -> None:
    probe = {"httpGet": {"port": 80}}
    made = planned(Api(pod(containers=[{"name": "app", "image": "web", "livenessProbe": probe}])))
    assert made.patience is not None
    assert plans.from_facts(json.loads(json.dumps(made.as_facts()))) == made
    with_owner = planned(Api(*deployed()))
    assert plans.from_facts(json.loads(json.dumps(with_owner.as_facts()))) == with_owner


@pytest.mark.parametrize(
    ("things", "code"),
    [
        ([], "pod_not_found"),
        ([changed(pod(), deletionTimestamp="2026-11-21T08:00:00Z")], "pod_deleted"),
        ([pod(node="n2")], "already_there"),
        ([{**pod(), "status": {"phase": "Pending"}}], "pod_not_running"),
        ([changed(pod(), annotations={"kubernetes.io/config.mirror": "x"})], "pod_static"),
        ([pod(owner=owner("DaemonSet"))], "owner_unsupported"),
        ([pod(owner={**owner("ReplicaSet"), "apiVersion": "example.com/v1"})], "owner_unsupported"),
        ([pod(owner=SET)], "owner_gone"),
        ([changed(SET, uid="another"), pod(owner=SET)], "owner_gone"),
    ],
)
def test_refused_at_once(things: list[Thing], code: str) -> None:
    error = refused(Api(*things))
    assert error.code == code and error.hint


def test_one_container_that_does_not_run_is_one_too_many() -> None:
    broken = pod(containers=[{"name": "app", "image": "web"}, {"name": "log", "image": "log"}])
    broken["status"]["containerStatuses"][1]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert "log" in refused(Api(broken)).reason


def test_replacement_first_is_for_deployments() -> None:
    assert refused(Api(pod()), order="replacement_first").code == "way_unknown"
    assert refused(Api(SET, pod(owner=SET)), order="replacement_first").code == "way_unknown"
    alone = owner("ReplicaSet")
    assert refused(Api(alone, pod(owner=alone)), order="replacement_first").code == "way_unknown"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"hostNetwork": True}, "host_namespaces"),
        ({"containers": [{"name": "app", "image": "web", "tty": True}]}, "terminal"),
        ({"runtimeClassName": "kata"}, "runtime_class"),
        ({"nodeSelector": {"kubernetes.io/hostname": "n1.example.com"}}, "placement"),
        ({"nodeSelector": {"disk": "ssd"}}, "placement"),
        ({"volumes": [{"name": "data", "ephemeral": {}}]}, "ephemeral_volume"),
        ({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "gone"}}]}, "claim"),
        ({"containers": [{"name": "app", "image": "web", "resources": {"requests": {"cpu": "2001m"}}}]}, "room"),
    ],
)
def test_pods_that_cannot_follow(changes: Thing, name: str) -> None:
    assert failed(Api(pod(**changes))) == [name]


def test_a_folder_of_the_node_does_not_follow_unless_it_is_only_read() -> None:
    volumes = [{"name": "data", "hostPath": {"path": "/srv"}}]
    mount = {"name": "data", "mountPath": "/srv"}
    written = [{"name": "app", "image": "web", "volumeMounts": [mount]}]
    assert failed(Api(pod(volumes=volumes, containers=written))) == ["host_path"]
    read = [{"name": "app", "image": "web", "volumeMounts": [{**mount, "readOnly": True}]}]
    assert warned(Api(pod(volumes=volumes, containers=read))) == ["host_path"]


def test_finalizers_keep_the_name() -> None:
    assert failed(Api(changed(pod(), finalizers=["example.com/keep"]))) == ["finalizers"]


def test_a_moved_pod_moves_on() -> None:
    moved = pod(nodeSelector={"kubernetes.io/hostname": "n1.example.com"}, runtimeClassName=CLASS)
    moved["metadata"]["annotations"] = {"checkpoint-restore.io/move": "000000000001"}
    assert planned(Api(moved)).target == "n2"


def test_what_is_told_before() -> None:
    hooks = {"preStop": {"exec": {}}, "postStart": {"exec": {}}}
    told = pod(
        containers=[{"name": "app", "image": "web", "lifecycle": hooks}],
        initContainers=[{"name": "migrate", "image": "web"}],
        ephemeralContainers=[{"name": "debug", "image": "web"}],
        volumes=[{"name": "cache", "emptyDir": {}}],
    )
    assert warned(Api(told)) == ["ephemeral_containers", "init_containers", "post_start", "pre_stop"]


@pytest.mark.parametrize(
    ("spec", "status", "name"),
    [
        ({"unschedulable": True}, {}, "cordon"),
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, {}, "taints"),
        ({}, {"conditions": []}, "node"),
        ({}, {"nodeInfo": {"architecture": "arm64"}}, "architecture"),
        ({}, {"allocatable": {"pods": "0"}}, "room"),
    ],
)
def test_nodes_that_cannot_have_it(spec: Thing, status: Thing, name: str) -> None:
    api = Api(pod())
    there = api.objects["/api/v1/nodes/n2"]
    api.objects["/api/v1/nodes/n2"] = {**there, "spec": spec, "status": {**there["status"], **status}}
    assert failed(api) == [name]


def test_a_node_or_a_runtime_class_that_is_not_there() -> None:
    assert failed(Api(pod()), target="n9") == ["node"]
    api = Api(pod())
    del api.objects[f"/apis/node.k8s.io/v1/runtimeclasses/{CLASS}"]
    assert failed(api) == ["runtime_class"]


def test_a_budget_refuses_unless_the_replacement_comes_first() -> None:
    said = status_object(429, "Cannot evict pod as it would violate the pod's disruption budget.")
    api = Api(*deployed())
    api.refusals[("POST", f"{SHOP}/pods/web-0/eviction")] = said
    assert failed(api) == ["budget"]
    assert planned(api, order="replacement_first").way == "replacement_first"


def test_an_api_server_that_is_busy_is_not_a_budget() -> None:
    api = Api(pod())
    api.refusals[("POST", f"{SHOP}/pods/web-0/eviction")] = status_object(429, "too many requests")
    assert refused(api).details["retryable"]


def test_an_unfinished_rollout() -> None:
    assert failed(Api(*deployed(updatedReplicas=0))) == ["rollout"]
    assert failed(Api(*deployed(observedGeneration=0))) == ["rollout"]
    assert failed(Api(*deployed(replicas=2, updatedReplicas=2))) == ["rollout"]
    outdated = pod(owner=SET)
    outdated["metadata"]["labels"]["controller-revision-hash"] = "web-old"
    newer = {**SET, "status": {**SET["status"], "updateRevision": "web-new"}}
    assert failed(Api(newer, outdated)) == ["rollout"]


def test_a_stateful_set_makes_no_pod_while_one_before_is_not_ready() -> None:
    before = pod("web-0", owner=SET)
    before["status"]["conditions"] = []
    things = [SET, before, pod("web-1", owner=SET)]
    assert failed(Api(*things), name="web-1") == ["order"]
    parallel = owner("StatefulSet", podManagementPolicy="Parallel")
    assert planned(Api(parallel, *things[1:]), name="web-1").way == "policy"


def test_an_autoscaler() -> None:
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}},
    }
    api = Api(*deployed(), scaler)
    assert warned(api) == ["autoscaler"]
    assert failed(api, order="replacement_first") == ["autoscaler"]


def test_pods_that_are_not_ready_would_go_instead() -> None:
    things = deployed()
    things[1]["status"]["readyReplicas"] = 0
    assert failed(Api(*things), order="replacement_first") == ["pods_ready"]
    assert failed(Api(*things, version=None)) == ["pods_ready"]
    assert planned(Api(*things)).way == "policy"


def test_a_set_that_somebody_would_make_again() -> None:
    operated = changed(SET, ownerReferences=[{"kind": "Database", "name": "web"}])
    assert failed(Api(operated, pod(owner=SET), version=None)) == ["owner"]
    assert planned(Api(operated, pod(owner=SET))).way == "policy"


def test_a_template_that_binds_to_a_node() -> None:
    fixed = owner("ReplicaSet")
    fixed["spec"]["template"]["spec"]["nodeName"] = "n1"
    assert failed(Api(fixed, pod(owner=fixed))) == ["placement"]


def test_a_suspended_job() -> None:
    job = owner("Job", suspend=True)
    assert failed(Api(job, pod(owner=job))) == ["job"]


def test_what_may_not_be_seen_is_a_warning() -> None:
    api = Api(*deployed())
    for path in (
        "/api/v1/pods",
        "/api/v1/nodes",
        f"{APPS.replace('apps/v1', 'autoscaling/v2')}/horizontalpodautoscalers",
    ):
        api.refusals[("GET", path)] = status_object(403, 'User "jane" cannot list resource')
    assert warned(api) == ["autoscaler", "room", "topology"]
