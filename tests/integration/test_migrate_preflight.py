# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a move looks at on both nodes, and brings to the target, before anything is frozen."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import typing as t

import pytest
from labkit import images
from migrate_support import ask, counts_on, failed, migrate
from restore_support import CRIO, CTD, STORE
from support import LAB, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

Thing = dict[str, t.Any]
FRONT = "/opt/checkpoint-restore/checkpoint-restore-runtime"
MOUNTS = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
HANDLER = "it-migrate-missing"
PROBE = {"livenessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 10, "failureThreshold": 2}}


def sparse(cluster: Cluster, pod: str, size: str) -> None:
    """A file of that size in the pod's volume, for which the node needs no room."""
    uid = cluster.get(pod)["metadata"]["uid"]
    node_run(CRIO, f"truncate -s {size} /var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/data/file")


def left(cluster: Cluster, number: str = "") -> str:
    """What moves of this namespace left behind; ``number``: of one that came off."""
    names = f"grep -rl {cluster.namespace} {STORE}/tickets {STORE}/frozen"
    images = f"ls -d {STORE}/moves/{number}" if number else "true"
    found = [node_run(node, f"{names}; {images} 2>/dev/null; true") for node in (CRIO, CTD)]
    namespaced = ("--namespace", cluster.namespace, "--output=name")
    found.append(kubectl("get", "leases", "--selector=checkpoint-restore.io/move", *namespaced))
    found += [name for name in kubectl("get", "pods", *namespaced).split() if "checkpoint-base-image" in name]
    return "".join(found)


def looked_at(controller: Controller, cluster: Cluster, pod: str, **options: t.Any) -> Thing:
    """What the module says in check mode."""
    arguments = {"namespace": cluster.namespace, "pod": pod, "node": CTD, **options}
    return controller.task("checkpoint_migrate", check=True, **arguments)


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> t.Iterator[dict[str, str]]:
    """Pods that cannot go, or not with all options; their UIDs by name."""
    big, tall = cluster.pod("big", CRIO, **MOUNTS), cluster.pod("probed", CRIO, **MOUNTS, **PROBE)
    for pod in (big, tall):
        pod["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    bound = cluster.pod("bound", CRIO, volumeMounts=[{**MOUNTS["volumeMounts"][0], "readOnly": True}])
    folder = f"/root/{cluster.namespace}"
    bound["spec"]["volumes"] = [{"name": "data", "hostPath": {"path": folder, "type": "Directory"}}]
    node_run(CRIO, f"mkdir -p {folder}")
    documents = [big, tall, bound, cluster.pod("chatty", CRIO, "chatty"), cluster.pod("typed", CRIO, tty=True)]
    try:
        cluster.apply(cluster.pod("plain", CRIO), *documents)
        sparse(cluster, "big", "200G")
        sparse(cluster, "probed", "2G")
        names = [document["metadata"]["name"] for document in documents] + ["plain"]
        uids = {name: cluster.get(name)["metadata"]["uid"] for name in names}
        yield uids
        assert {name: cluster.get(name)["metadata"]["uid"] for name in names} == uids
        for name in ("big", "bound", "plain", "probed"):
            before = ask(cluster, name)["count"]
            wait_until("the next number", lambda name=name, before=before: ask(cluster, name)["count"] > before)
        assert left(cluster) == ""
        cluster.delete(*names)
    finally:
        node_run(CRIO, f"rmdir {folder}")


@pytest.mark.parametrize(
    ("pod", "options", "check"),
    [
        ("big", {}, "disk"),
        ("bound", {}, "host_paths"),
        ("chatty", {"tcp_established": "refuse"}, "connections"),
        ("typed", {}, "terminal"),
    ],
)
def test_what_a_pod_has_and_the_target_cannot_take(
    cluster: Cluster, controller: Controller, pods: dict[str, str], pod: str, options: Thing, check: str
) -> None:
    found = looked_at(controller, cluster, pod, **options)
    assert failed(found) == [check] and not found["changed"], found
    if pod == "big":
        found = controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=pod, node=CTD, **options)
        assert failed(found) == [check] and not found["changed"] and not found.get("state_file"), found
    assert cluster.get(pod)["metadata"]["uid"] == pods[pod]


@contextlib.contextmanager
def older_runtime(node: str) -> t.Iterator[None]:
    """The restore runtime there says that it is of another version."""
    line = r"sed -i '2s/restore-runtime [^:]*:/restore-runtime {}:/' " + FRONT
    version = node_run(node, f"sed -n '2s/.*restore-runtime \\([^:]*\\):.*/\\1/p' {FRONT}").strip()
    assert version
    node_run(node, line.format("0.1.0"))
    try:
        yield
    finally:
        node_run(node, line.format(version))


@contextlib.contextmanager
def missing_handler() -> t.Iterator[None]:
    """A RuntimeClass whose handler no node has."""
    made = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": HANDLER}, "handler": HANDLER}
    kubectl("apply", "--filename=-", document=made)
    try:
        yield
    finally:
        kubectl("delete", "runtimeclass", HANDLER)


def test_a_target_that_cannot_restore(cluster: Cluster, controller: Controller, pods: dict[str, str]) -> None:
    del pods
    with missing_handler():
        assert failed(looked_at(controller, cluster, "plain", runtime_class=HANDLER)) == ["handler"]
    with older_runtime(CTD):
        found = looked_at(controller, cluster, "plain")
    assert failed(found) == ["restore_runtime"]
    assert "0.1.0" in found["msg"] and "restore_runtime" in found["hint"]


def test_how_long_it_may_be_frozen_is_told_before(
    cluster: Cluster, controller: Controller, pods: dict[str, str]
) -> None:
    del pods
    found = looked_at(controller, cluster, "probed")
    checks = {check["name"]: check for check in found["checks"]}
    assert found["frozen_limit"] == 10.0 and found["outcome"] is None and found["changed"]
    assert checks["frozen_time"]["result"] == "warning"
    assert "its probes allow 11 s, by the livenessProbe of the container app" in checks["frozen_time"]["reason"]
    assert "2048 MiB takes about" in controller.output
    named = {"connections", "cpu", "criu", "criu_version", "disk", "handler", "image", "kernel", "memory"}
    assert {name for name in named if checks[name]["result"] == "passed"} == named
    assert {"oci_runtime", "restore_runtime", "source_criu"} <= checks.keys()


def test_images_are_brought_before_with_the_secrets_of_the_pod(
    cluster: Cluster, controller: Controller, facts: Thing, tmp_path: pathlib.Path
) -> None:
    private, source, target = facts["private_registry"], CTD, CRIO
    program, name = tmp_path / "counter", f"{private['name']}/it-staged:1"
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", program, LAB / "workloads/counter.c"], check=True)
    where: Thing = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    where["auth"] = (private["username"], private["password"])

    def push(*folders: str) -> None:
        files = {"/counter": program, **{f"/{folder}/counter": program for folder in folders}}
        images.push(private["name"], "it-staged", "1", files, entrypoint=["/counter"], **where)

    def remove(*nodes: str) -> None:
        for node in nodes:
            node_run(node, f"crictl rmi {name} 2>&1 || true")

    push()
    remove(source, target)
    login = [f"--docker-{key}={private[key]}" for key in ("username", "password")]
    secret = ("secret", "docker-registry", "staged", "--namespace", cluster.namespace)
    kubectl("create", *secret, f"--docker-server={private['name']}", *login)
    pod = cluster.pod("staged", source)
    pod["spec"]["containers"][0]["image"] = name
    pod["spec"]["imagePullSecrets"] = [{"name": "staged"}]
    cluster.apply(pod)
    cluster.says("staged", "count 2")
    seen = ask(cluster, "staged")

    found = controller.task("checkpoint_migrate", check=True, namespace=cluster.namespace, pod="staged", node=target)
    assert f"{target} lacks images, which are pulled first: {name}" in str(found["checks"])
    assert name.rpartition(":")[0] not in node_run(target, "crictl images"), "check mode pulls nothing"
    result = migrate(controller, cluster, "staged", target)
    assert result["seconds"]["stage"] > 0 and "Images on the target" in controller.output
    counts_on(cluster, "staged", seen["count"])
    uid = cluster.get("staged")["metadata"]["uid"]

    # The same name is another image by now, where it has to be pulled anew.
    push("more")
    remove(source)
    arguments: Thing = {"namespace": cluster.namespace, "pod": "staged", "node": source}
    refused = controller.task("checkpoint_migrate", **arguments)
    assert failed(refused) == ["image"] and "by their digests" in refused["hint"], refused

    kubectl("delete", "secret", "staged", "--namespace", cluster.namespace)
    remove(source)
    refused = controller.task("checkpoint_migrate", **arguments)
    assert refused["code"] == "image_pull_failed", refused

    later = ask(cluster, "staged")
    assert later["since"] == seen["since"] and cluster.get("staged")["metadata"]["uid"] == uid
    assert left(cluster, result["move"]) == ""
    cluster.delete("staged")
    remove(source, target)
