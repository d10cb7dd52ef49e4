# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server tells about a restore before anything is made."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import (
    manifest,
    node_selection,
    preflight_api,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.restore_request import Check, request
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.restorables import (
    Api,
    archive,
    claim,
    identity,
    node,
    options,
    shop,
    volume,
    web_0,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    serving,
    status_object,
)

Thing = dict[str, t.Any]

SHOP = "/api/v1/namespaces/shop"
CLAIM = f"{SHOP}/persistentvolumeclaims/data-web-0"
VOLUME = "/api/v1/persistentvolumes/pv-1"
CLASS = "/apis/node.k8s.io/v1/runtimeclasses/checkpoint-restore"


def looked(api: Api, source: Thing | None = None, **given: t.Any) -> list[Check]:
    wanted = request(options(**given))
    pod = manifest.without_tokens(manifest.from_source(source or web_0(), wanted.archives))
    made = manifest.finished(pod, wanted, "n2.example.com")
    with serving(api) as there:
        session = ApiSession(Server(url=there.url))
        return preflight_api.check(session, wanted, made, session.node(wanted.node))


def results(checks: list[Check], result: str) -> list[str]:
    return [f"{check.name}: {check.reason}" for check in checks if check.result == result]


def test_a_cluster_that_can_have_the_pod() -> None:
    found = looked(Api(shop()))
    assert results(found, "failed") == results(found, "warning") == []
    assert sorted(check.name for check in found) == [
        "architecture",
        "claim",
        "cordon",
        "node",
        "placement",
        "reference",
        "runtime_class",
        "taints",
    ]


def taint(**more: str) -> Thing:
    return {"key": "dedicated", "value": "db", "effect": "NoSchedule", **more}


def named(name: str, *, ready: str = "True", arch: str = "amd64", **spec: t.Any) -> Thing:
    made = node(name, **spec)
    made["status"] = {"conditions": [{"type": "Ready", "status": ready}], "nodeInfo": {"architecture": arch}}
    return made


def user_of_the_claim(name: str, where: str, phase: str = "Running") -> Thing:
    made = web_0()
    made["metadata"] = {"name": name, "namespace": "shop", "uid": "other"}
    made["spec"]["nodeName"] = where
    made["status"] = {"phase": phase}
    return made


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"/api/v1/nodes/n2": None}, "node: There is no node n2"),
        ({"/api/v1/nodes/n2": named("n2", ready="Unknown")}, "node: The node n2 is not Ready"),
        ({"/api/v1/nodes/n2": named("n2", unschedulable=True)}, "cordon: The node n2 is cordoned"),
        (
            {"/api/v1/nodes/n2": named("n2", taints=[taint(), taint(effect="PreferNoSchedule")])},
            "taints: The pod does not tolerate taints of the node: dedicated=db:NoSchedule",
        ),
        (
            {"/api/v1/nodes/n2": named("n2", arch="arm64")},
            "architecture: The process was dumped on amd64, the node is arm64",
        ),
        ({CLASS: None}, "runtime_class: There is no RuntimeClass checkpoint-restore"),
        (
            {CLASS: {"handler": "x", "scheduling": {"nodeSelector": {"checkpoint-restore.io/runtime": "true"}}}},
            (
                "runtime_class: The RuntimeClass checkpoint-restore is for nodes with "
                "checkpoint-restore.io/runtime=true, which n2 has not"
            ),
        ),
        ({CLAIM: None}, "claim: There is no claim data-web-0"),
        ({CLAIM: claim("ReadWriteOnce", phase="Pending")}, "claim: The claim data-web-0 has no volume yet (Pending)"),
        (
            {f"{SHOP}/pods/other": user_of_the_claim("other", "n1")},
            "claim: The claim data-web-0 is ReadWriteOnce, and the pod other on n1 uses it",
        ),
        (
            {CLAIM: claim("ReadWriteOncePod"), f"{SHOP}/pods/other": user_of_the_claim("other", "n2")},
            "claim: The claim data-web-0 is ReadWriteOncePod, and the pod other on n2 uses it",
        ),
        ({VOLUME: None}, "claim: The volume pv-1 of the claim data-web-0 is gone"),
        (
            {VOLUME: volume("n1.example.com")},
            "claim: The volume pv-1 of the claim data-web-0 cannot be reached from n2",
        ),
        ({f"{SHOP}/serviceaccounts/web": None}, "reference: There is no ServiceAccount web in shop"),
        ({f"{SHOP}/pods/web-0": web_0()}, "pod_exists: There is a pod shop/web-0 already"),
    ],
)
def test_what_fails(changes: Thing, failure: str) -> None:
    failed = results(looked(Api(shop(**changes))), "failed")
    # The original itself stands in the way of its claim as well.
    assert [entry for entry in failed if "pod web-0 on n1" not in entry] == [failure]


@pytest.mark.parametrize(
    "changes",
    [
        {"/api/v1/nodes/n2": named("n2", taints=[taint(key="node.kubernetes.io/unschedulable")])},
        {f"{SHOP}/pods/other": user_of_the_claim("other", "n2")},
        {f"{SHOP}/pods/other": user_of_the_claim("other", "n1", phase="Succeeded")},
        {CLAIM: claim("ReadWriteMany"), f"{SHOP}/pods/other": user_of_the_claim("other", "n1")},
        {VOLUME: volume("n1.example.com", "n2.example.com")},
    ],
)
def test_what_does_not_fail(changes: Thing) -> None:
    assert results(looked(Api(shop(**changes))), "failed") == []


def test_a_pod_that_asks_for_another_node() -> None:
    source = web_0()
    source["spec"]["nodeSelector"]["disk"] = "hdd"
    (failed,) = results(looked(Api(shop()), source), "failed")
    assert failed == "placement: The pod asks for another node: this one lacks disk=hdd"


def test_objects_that_the_pod_names() -> None:
    source = web_0()
    source["spec"]["volumes"] += [
        {"name": "a", "secret": {"secretName": "tls"}},
        {"name": "b", "secret": {"secretName": "maybe", "optional": True}},
        {"name": "c", "projected": {"sources": [{"configMap": {"name": "settings"}}]}},
        {"name": "d", "configMap": {"name": "kube-root-ca.crt"}},
        {"name": "not-mounted", "configMap": {"name": "nobody-needs-it"}},
    ]
    source["spec"]["containers"][1]["volumeMounts"] = [{"name": name, "mountPath": f"/{name}"} for name in "abcd"]
    source["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "environment"}}]
    source["spec"]["containers"][1]["env"] = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "keys"}}}]
    source["spec"]["imagePullSecrets"] = [{"name": "pull"}]
    found = looked(Api(shop()), source)
    assert results(found, "failed") == [
        "reference: There is no ConfigMap keys in shop",
        "reference: There is no ConfigMap settings in shop",
        "reference: There is no Secret environment in shop",
        "reference: There is no Secret tls in shop",
    ]
    assert results(found, "warning") == ["reference: There is no Secret pull in shop"]


def test_volumes_that_do_not_come_along() -> None:
    source = web_0()
    source["spec"]["volumes"] += [{"name": "tmp", "emptyDir": {}}, {"name": "logs", "hostPath": {"path": "/var/log"}}]
    found = [entry.split(":")[0] for entry in results(looked(Api(shop()), source), "warning")]
    assert found == ["host_path", "empty_volume"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (CLASS, "runtime_class"),
        (CLAIM, "claim"),
        (VOLUME, "claim"),
        (f"{SHOP}/serviceaccounts/web", "reference"),
    ],
)
def test_what_may_not_be_seen_is_a_warning(path: str, name: str) -> None:
    api = Api(shop())
    api.refusals["GET", path] = status_object(403, 'User "u" cannot get resource')
    found = looked(api)
    assert results(found, "failed") == []
    (warned,) = results(found, "warning")
    assert warned.startswith(name) and "cannot get resource" in warned


def test_two_of_the_process() -> None:
    there = shop(**{f"{SHOP}/pods/web-0": web_0(), CLAIM: claim("ReadWriteMany")})
    (warned,) = results(looked(Api(there), pod="again"), "warning")
    assert warned.startswith("original_runs: The original, shop/web-0, still runs")
    later = [archive(identity=identity(pod_uid="an earlier one"))]
    assert results(looked(Api(there), pod="again", archives=later), "warning") == []


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "disk", "operator": "In", "values": ["ssd"]}, True),
        ({"key": "disk", "operator": "NotIn", "values": ["ssd"]}, False),
        ({"key": "none", "operator": "NotIn", "values": ["ssd"]}, True),
        ({"key": "disk", "operator": "Exists"}, True),
        ({"key": "disk", "operator": "DoesNotExist"}, False),
        ({"key": "cores", "operator": "Gt", "values": ["3"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["4"]}, False),
        ({"key": "disk", "operator": "Gt", "values": ["3"]}, False),
    ],
)
def test_expressions(expression: Thing, fits: bool) -> None:
    there = {"metadata": {"name": "n2", "labels": {"disk": "ssd", "cores": "4"}}}
    assert node_selection.fits_terms(there, [{"matchExpressions": [expression]}]) is fits
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    assert node_selection.fits_terms(there, [{"matchExpressions": [expression], **by_name}]) is fits
    assert node_selection.fits_terms(there, [{}]) is False


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"key": "dedicated", "value": "db"}, True),
        ({"key": "dedicated", "value": "web"}, False),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: Thing, tolerated: bool) -> None:
    assert (node_selection.untolerated(node("n2", taints=[taint()]), [toleration]) == []) is tolerated
