# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_restore: pods that come back on another node, and everything that keeps one from coming back."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import typing as t

import pytest
from labkit import images
from restore_support import CLASS, CRIO, CTD, STORE, Archives, counts, first_pid, security
from support import LAB, REGISTRY, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

Thing = dict[str, t.Any]
Undo = t.Callable[[t.Callable[[], t.Any]], None]

WAYS = [(CRIO, CTD), (CTD, CRIO)]
TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
WORKLOADS = LAB / "workloads"
PASSWORD = ("username", "password")
STRICT = {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}


@dataclasses.dataclass(frozen=True)
class Taken:
    """An archive of a counter: the pod as it was, the archive's entry for the option, and how far it had counted."""

    source: str
    target: str
    pod: Thing
    entry: Thing
    before: int
    after: int


def take(cluster: Cluster, controller: Controller, archives: Archives, source: str, target: str, name: str) -> Taken:
    cluster.apply(cluster.pod(name, source))
    cluster.says(name, "count 3")
    before = counts(cluster, name)[-1]
    path = archives.take(name, source, target)
    after = counts(cluster, name)[-1]
    known = controller.task("checkpoint_info", on=target, keywords={"become": True}, paths=[path])["checkpoints"][0]
    digest = node_run(target, f"sha256sum {path}").split()[0]
    entry = {"identity": known["identity"], "path": path, "sha256": digest}
    return Taken(source, target, cluster.get(name), entry, before, after)


@pytest.fixture(scope="module")
def taken(
    cluster: Cluster, archives: Archives, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Taken]:
    """An archive of a pod from each node on the other one; the pods are gone."""
    controller = Controller(tmp_path_factory.mktemp("take"))
    found = {}
    for source, target in WAYS:
        found[source, target] = take(cluster, controller, archives, source, target, f"source-{source}")
        cluster.delete(f"source-{source}")
    return found


class Restorer:
    """The module, with tickets as a playbook leaves them; what is left of both goes when the test is over."""

    def __init__(self, controller: Controller, undo: Undo) -> None:
        self._controller = controller
        self._undo = undo

    def __call__(self, taken: Taken, pod: str | None = None, *, check: bool = False, **given: t.Any) -> Thing:
        options = {
            "node": taken.target,
            "archives": [taken.entry],
            "source_definition": taken.pod,
            "pod": pod,
            "timeout": "1m",
            **given,
        }
        options = {name: value for name, value in options.items() if value is not None}
        return self._controller.task("checkpoint_restore", check=check, **options)

    def allow(self, taken: Taken, pod: str, namespace: str, **more: t.Any) -> None:
        ticket = {"namespace": namespace, "pod": pod, "container": "app"}
        given = {"security": security(taken.source, taken.target), "on_failure": "keep", **more}
        archive = {"archive": taken.entry["path"], "checksum": taken.entry["sha256"]}
        done = self._ticket(taken, **ticket, **archive, **given)
        assert done.get("changed"), done
        self._undo(lambda: self._ticket(taken, **ticket, state="absent"))

    def proof(self, taken: Taken, result: Thing) -> Thing:
        """The receipt for the restored container."""
        (container,) = [each for each in result["containers"] if each["restored_from"]]
        pod = {"namespace": result["pod"]["namespace"], "pod": result["pod"]["name"], "container": container["name"]}
        done = self._ticket(taken, **pod, state="used", container_id=container["container_id"], wait="20s")
        return dict(done["receipt"])

    def remove(self, pod: str, namespace: str | None = None, **given: t.Any) -> Thing:
        options = {"pod": pod, "state": "absent", **({"namespace": namespace} if namespace else {}), **given}
        return self._controller.task("checkpoint_restore", **options)

    def _ticket(self, taken: Taken, **given: t.Any) -> Thing:
        return self._controller.task("checkpoint_ticket", on=taken.target, keywords={"become": True}, **given)


@pytest.fixture
def restore(controller: Controller, undo: Undo) -> Restorer:
    return Restorer(controller, undo)


def there(cluster: Cluster, name: str) -> bool:
    return f"pod/{name}" in kubectl("get", "pods", "--namespace", cluster.namespace, "--output=name").split()


def tickets(cluster: Cluster, node: str) -> list[str]:
    """The tickets on the node for pods of the namespace."""
    there = node_run(node, f"ls {STORE}/tickets 2>/dev/null || true").split()
    return [name for name in there if name.startswith(f"{cluster.namespace}_")]


def goes_on(cluster: Cluster, name: str, taken: Taken) -> None:
    cluster.says(name, "count")
    assert "listening" not in cluster.logs(name)
    assert taken.before < counts(cluster, name)[0] <= taken.after + 1


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
def test_a_pod_comes_back(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], way: tuple[str, str]
) -> None:
    archive = taken[way]
    name = f"again-{archive.target}"
    foreseen = restore(archive, name, check=True)
    assert foreseen["changed"] and not there(cluster, name), foreseen
    assert foreseen["definition"]["spec"]["containers"][0]["image"].startswith(f"{REGISTRY}/counter@sha256:")
    (ticket,) = foreseen["tickets"]
    assert ticket == {
        "namespace": cluster.namespace,
        "pod": name,
        "container": "app",
        "archive": archive.entry["path"],
        "sha256": archive.entry["sha256"],
    }

    restore.allow(archive, name, cluster.namespace)
    result = restore(archive, name)
    assert result["changed"] and not result.get("failed"), result
    goes_on(cluster, name, archive)
    made = cluster.get(name)
    assert made["spec"]["nodeName"] == archive.target and made["spec"]["runtimeClassName"] == CLASS
    assert made["metadata"]["labels"] == archive.pod["metadata"]["labels"]
    # Admission has given it a token of its own.
    volumes = {each["name"] for each in archive.pod["spec"]["volumes"]}
    assert not volumes & {each["name"] for each in made["spec"]["volumes"]}
    assert [each["mountPath"] for each in made["spec"]["containers"][0]["volumeMounts"]] == [TOKENS]
    identity = made["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    sha256 = archive.entry["sha256"]
    assert result["containers"] == [{"name": "app", "container_id": identity, "restored_from": sha256}]
    assert restore.proof(archive, result)["outcome"] == "restored"

    again = restore(archive, name)
    assert not again["changed"] and again["tickets"] == [] and again["pod"] == result["pod"]
    assert restore.remove(name, cluster.namespace)["changed"] and not there(cluster, name)
    assert not restore.remove(name, cluster.namespace)["changed"]
    assert tickets(cluster, archive.target) == []


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
def test_from_the_archive_alone_and_under_its_own_name(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], way: tuple[str, str]
) -> None:
    archive = taken[way]
    name = archive.pod["metadata"]["name"]
    restore.allow(archive, name, cluster.namespace)
    result = restore(archive, source_definition=None)
    assert result["changed"] and not result.get("failed"), result
    assert [check["result"] for check in result["checks"] if check["name"] == "manifest"] == ["warning"]
    goes_on(cluster, name, archive)
    assert restore.remove(name, cluster.namespace)["changed"]


def test_from_the_live_pod(
    cluster: Cluster, controller: Controller, archives: Archives, restore: Restorer, undo: Undo
) -> None:
    archive = take(cluster, controller, archives, CRIO, CTD, "live")
    undo(lambda: cluster.delete("live"))
    blocked = restore(archive, source_definition=None)
    assert blocked["code"] == "pod_exists", blocked
    restore.allow(archive, "live-again", cluster.namespace)
    result = restore(archive, "live-again", source_definition=None)
    assert result["changed"], result
    warned = {check["name"] for check in result["checks"] if check["result"] == "warning"}
    assert warned == {"original_runs"}
    goes_on(cluster, "live-again", archive)
    assert restore.remove("live", cluster.namespace)["code"] == "not_ours"
    assert restore.remove("live-again", cluster.namespace)["changed"] and there(cluster, "live")


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
def test_one_container_of_two(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], way: tuple[str, str]
) -> None:
    archive = taken[way]
    name = f"two-{archive.target}"
    # A volume that the process had not does not disturb it.
    patch = with_volume({"emptyDir": {}})
    patch["spec"]["containers"].append({"name": "beside", "image": f"{REGISTRY}/pause:1"})
    assert restore(archive, name, patch=patch)["code"] == "others_refused"
    restore.allow(archive, name, cluster.namespace)
    result = restore(archive, name, patch=patch, others="cold")
    assert [bool(each["restored_from"]) for each in result["containers"]] == [True, False], result
    text = kubectl("logs", "--namespace", cluster.namespace, name, "--container=app")
    assert "listening" not in text
    assert restore.remove(name, cluster.namespace)["changed"]


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
def test_a_copy_that_reaches_nothing(
    restore: Restorer, taken: dict[tuple[str, str], Taken], way: tuple[str, str], undo: Undo
) -> None:
    archive = taken[way]
    name = f"copy-{archive.target}"
    inside = Cluster(f"isolated-{name}")
    undo(lambda: kubectl("delete", "namespace", inside.namespace, "--ignore-not-found", "--wait"))
    foreseen = restore(archive, name, check=True, isolated=True)
    assert foreseen["changed"] and inside.namespace not in kubectl("get", "namespaces", "--output=name"), foreseen
    restore.allow(archive, name, inside.namespace)
    result = restore(archive, name, isolated=True)
    assert result["changed"] and not result.get("failed"), result
    goes_on(inside, name, archive)
    made = inside.get(name)
    assert "app" not in made["metadata"]["labels"]
    assert made["spec"]["automountServiceAccountToken"] is False
    policies = json.loads(kubectl("get", "networkpolicies", "--namespace", inside.namespace, "--output=json"))["items"]
    assert [policy["spec"] for policy in policies] == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    assert policies[0]["metadata"]["creationTimestamp"] <= made["metadata"]["creationTimestamp"]
    pid = first_pid(inside, archive.target, name)
    assert node_run(archive.target, f"ls -A /proc/{pid}/root{TOKENS}/") == ""
    assert not restore(archive, name, isolated=True)["changed"]
    assert restore.remove(name, isolated=True)["changed"]
    assert inside.namespace not in kubectl("get", "namespaces", "--output=name").replace("namespace/", "").split()
    assert not restore.remove(name, isolated=True)["changed"]


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
def test_what_the_restore_runtime_says(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], way: tuple[str, str]
) -> None:
    archive = taken[way]
    name = f"strict-{archive.target}"
    restore.allow(archive, name, cluster.namespace, security="refuse")
    result = restore(archive, name, patch={"spec": {"containers": [{"name": "app", "securityContext": STRICT}]}})
    assert (result["code"], result["removed"]) == ("restore_failed", True), result
    assert "[capability:CAP_CHOWN]" in result["reason"] and "checkpoint-restore: " not in result["reason"]
    assert not result["reason"].endswith("unknown") and result["reason"] in result["message"]
    assert not there(cluster, name)
    # What is to become of it is for whoever left it to say.
    assert tickets(cluster, archive.target) == [f"{cluster.namespace}_{name}_app.json"]


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
def test_a_node_without_the_handler(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], way: tuple[str, str], undo: Undo
) -> None:
    archive = taken[way]
    name = "it-checkpoint-restore-nowhere"
    metadata = {"name": name}
    document = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": metadata, "handler": "nowhere"}
    kubectl("apply", "--filename=-", document=document)
    undo(lambda: kubectl("delete", "runtimeclass", name))
    result = restore(archive, "nowhere", runtime_class=name)
    assert (result["code"], result["removed"]) == ("runtime_handler_missing", True), result
    assert not there(cluster, "nowhere")


def test_an_isolated_pod_that_fails_leaves_no_namespace(restore: Restorer, taken: dict[tuple[str, str], Taken]) -> None:
    archive = taken[CRIO, CTD]
    image = {"containers": [{"name": "app", "image": f"{REGISTRY}/nowhere:1"}]}
    result = restore(archive, "lost", isolated=True, patch={"spec": image})
    assert (result["code"], result["removed"]) == ("image_pull_failed", True), result
    wait_until("the namespace to go", lambda: "isolated-lost" not in kubectl("get", "namespaces", "--output=name"))


def of_app(**change: t.Any) -> Thing:
    return {"spec": {"containers": [{"name": "app", **change}]}}


def with_volume(volume: Thing) -> Thing:
    mounts = [{"name": "data", "mountPath": "/data"}]
    return {"spec": {**of_app(volumeMounts=mounts)["spec"], "volumes": [{"name": "data", **volume}]}}


def with_claim(name: str) -> Thing:
    return with_volume({"persistentVolumeClaim": {"claimName": name}})


@pytest.fixture
def volumes(cluster: Cluster) -> t.Iterator[None]:
    """Two claims with a volume each: one that only the node with CRI-O has, and one that a pod there uses."""
    only = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [CRIO]}]
    for name, affinity in (("far", {"required": {"nodeSelectorTerms": [{"matchExpressions": only}]}}), ("used", None)):
        common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        claim = {"namespace": cluster.namespace, "name": name}
        volume: Thing = {
            **common,
            "capacity": {"storage": "1Mi"},
            "claimRef": claim,
            "hostPath": {"path": f"/run/{cluster.namespace}-{name}", "type": "DirectoryOrCreate"},
            **({"nodeAffinity": affinity} if affinity else {}),
        }
        wanted = {**common, "volumeName": f"it-restore-{name}", "resources": {"requests": {"storage": "1Mi"}}}
        made = [
            {"kind": "PersistentVolume", "metadata": {"name": f"it-restore-{name}"}, "spec": volume},
            {"kind": "PersistentVolumeClaim", "metadata": claim, "spec": wanted},
        ]
        for document in made:
            kubectl("apply", "--filename=-", document={"apiVersion": "v1", **document})
    user = cluster.pod("user", CRIO, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    user["spec"]["volumes"] = with_claim("used")["spec"]["volumes"]
    cluster.apply(user)
    yield
    cluster.delete("user")
    kubectl("delete", "pvc", "far", "used", "--namespace", cluster.namespace, "--wait")
    kubectl("delete", "pv", "it-restore-far", "it-restore-used", "--wait")
    node_run(CRIO, f"rm -rf /run/{cluster.namespace}-*")


# What the check says, and what comes of it without the checks. The laboratory has one architecture, and volumes of its
# node's own disk, which nothing keeps from being used twice: these two are only looked at.
CASES: dict[str, tuple[Thing, str, str | None]] = {
    "node": ({"node": "nowhere"}, "node", "unschedulable"),
    "placement": ({"patch": {"spec": {"nodeSelector": {"disk": "none"}}}}, "placement", "unschedulable"),
    "runtime-class": ({"runtime_class": "nowhere"}, "runtime_class", "pod_refused"),
    "account": ({"patch": {"spec": {"serviceAccountName": "nobody"}}}, "reference", "pod_refused"),
    "config-map": (
        {"patch": of_app(envFrom=[{"configMapRef": {"name": "nowhere"}}])},
        "reference",
        "restore_failed",
    ),
    "secret": (
        {
            "patch": with_volume({"secret": {"secretName": "nowhere"}}),
            "timeout": "10s",
        },
        "reference",
        "restore_timeout",
    ),
    "terminal": ({"patch": of_app(tty=True, stdin=True)}, "terminal", "restore_failed"),
    "no-claim": ({"patch": with_claim("nowhere")}, "claim", "unschedulable"),
    "far-claim": ({"patch": with_claim("far")}, "claim", "unschedulable"),
    "used-claim": ({"patch": with_claim("used")}, "claim", None),
}


@pytest.mark.usefixtures("volumes")
@pytest.mark.parametrize("case", CASES)
def test_a_check_refuses_what_would_fail(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], case: str
) -> None:
    archive = taken[CRIO, CTD]
    given, check, code = CASES[case]
    looked = restore(archive, case, **given)
    assert looked["code"] == "preflight_failed", looked
    assert [each["name"] for each in looked["checks"] if each["result"] == "failed"] == [check]
    if code is not None:
        restore.allow(archive, case, cluster.namespace)
        tried = restore(archive, case, preflight=False, **given)
        assert tried["code"] == code and tried["message"], tried
    assert not there(cluster, case)


@contextlib.contextmanager
def closed(how: str, node: str) -> t.Iterator[None]:
    """The node with a taint, or cordoned."""
    do, undo = {
        "cordon": (["cordon", node], ["uncordon", node]),
        "taints": (["taint", "node", node, "it=restore:NoSchedule"], ["taint", "node", node, "it=restore:NoSchedule-"]),
    }[how]
    kubectl(*do)
    try:
        yield
    finally:
        kubectl(*undo)


@pytest.mark.parametrize("how", ["cordon", "taints"])
def test_a_node_that_takes_no_pods(
    cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken], how: str
) -> None:
    archive = taken[CRIO, CTD]
    with closed(how, archive.target):
        looked = restore(archive, how)
        assert [each["name"] for each in looked["checks"] if each["result"] == "failed"] == [how], looked
        assert restore(archive, how, preflight=False)["code"] == "unschedulable"
    assert not there(cluster, how)


def test_another_architecture(restore: Restorer, taken: dict[tuple[str, str], Taken]) -> None:
    archive = taken[CRIO, CTD]
    other = {**archive.entry, "identity": {**archive.entry["identity"], "architecture": "aarch64"}}
    looked = restore(dataclasses.replace(archive, entry=other), "other")
    assert [each["name"] for each in looked["checks"] if each["result"] == "failed"] == ["architecture"], looked


def test_what_the_api_server_refuses(cluster: Cluster, restore: Restorer, taken: dict[tuple[str, str], Taken]) -> None:
    archive = taken[CRIO, CTD]
    for patch, told in (
        ({"spec": {"nodeSelecter": {"a": "b"}}}, "nodeSelecter"),
        (of_app(imagePullPolicy="Sometimes"), "imagePullPolicy"),
        (of_app(resources={"requests": {"cpu": "a lot"}}), "quantities"),
    ):
        result = restore(archive, "refused", check=True, patch=patch)
        assert result["code"] == "pod_refused" and told in result["message"], result
    assert not there(cluster, "refused")


def test_an_account_with_the_rights_for_it(
    cluster: Cluster, controller: Controller, restore: Restorer, taken: dict[tuple[str, str], Taken], undo: Undo
) -> None:
    archive = taken[CRIO, CTD]
    dest = str(controller.directory / "restorer")
    account = {"name": "restorer", "jobs": ["restore"], "namespaces": [cluster.namespace], "dest": dest}
    given = {"namespace": f"{cluster.namespace}-accounts", "accounts": [account]}
    undo(lambda: controller.task("checkpoint_access", state="absent", **given))
    assert controller.task("checkpoint_access", **given)["changed"]

    refused = restore(archive, "with-account", isolated=True, kubeconfig=dest)
    assert refused["code"] == "forbidden" and "networkpolicies" in refused["hint"], refused
    restore.allow(archive, "with-account", cluster.namespace)
    patch = of_app(
        envFrom=[{"configMapRef": {"name": "kube-root-ca.crt"}}, {"secretRef": {"name": "none", "optional": True}}]
    )
    result = restore(archive, "with-account", kubeconfig=dest, patch=patch)
    assert result["changed"] and not result.get("failed"), result
    goes_on(cluster, "with-account", archive)
    assert restore.remove("with-account", cluster.namespace, kubeconfig=dest)["changed"]


@pytest.mark.parametrize("node", [CRIO, CTD])
def test_by_image(
    cluster: Cluster, controller: Controller, archives: Archives, restore: Restorer, node: str, undo: Undo
) -> None:
    """On the node that the archive is of: the pod's own image is there."""
    archive = take(cluster, controller, archives, node, node, f"pictured-{node}")
    undo(lambda: cluster.delete(f"pictured-{node}"))
    name = f"{REGISTRY}/{cluster.namespace}/{node}:1"
    pushed = controller.task(
        "checkpoint_image", on=node, keywords={"become": True}, path=archive.entry["path"], name=name
    )
    entry = {"identity": archive.entry["identity"], "image": pushed["reference"]}
    archive = dataclasses.replace(archive, entry=entry)
    again = f"image-{node}"
    result = restore(archive, again, method="image")
    assert result["changed"] and not result.get("failed") and result["tickets"] == [], result
    assert result["containers"][0]["restored_from"] == pushed["reference"]
    cluster.says(again, f"count {archive.after + 3}")
    assert "runtimeClassName" not in cluster.get(again)["spec"]
    assert not restore(archive, again, method="image")["changed"]
    assert restore.remove(again, cluster.namespace)["changed"]


@pytest.mark.parametrize("node", [CRIO, CTD])
def test_by_image_whose_base_image_takes_a_secret(
    cluster: Cluster,
    controller: Controller,
    archives: Archives,
    restore: Restorer,
    facts: Thing,
    node: str,
    undo: Undo,
    tmp_path: pathlib.Path,
) -> None:
    """The node has the base image no more. CRI-O would not pull it, and containerd does so without a secret."""
    private = facts["private_registry"]
    login = (private["username"], private["password"])
    program = tmp_path / "counter"
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", program, WORKLOADS / "counter.c"], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    images.push(private["name"], "it-base", node, {"/counter": program}, entrypoint=["/counter"], auth=login, **where)
    secret = ("create", "secret", "docker-registry", f"base-{node}", "--namespace", cluster.namespace)
    kubectl(*secret, f"--docker-server={private['name']}", *(f"--docker-{key}={private[key]}" for key in PASSWORD))

    name, base = f"secret-{node}", f"{private['name']}/it-base:{node}"
    pod = cluster.pod(name, node)
    pod["spec"]["containers"][0]["image"] = base
    pod["spec"]["imagePullSecrets"] = [{"name": f"base-{node}"}]
    cluster.apply(pod)
    cluster.says(name, "count 3")
    path = archives.take(name, node, node)
    known = controller.task("checkpoint_info", on=node, keywords={"become": True}, paths=[path])["checkpoints"][0]
    reference = f"{REGISTRY}/{cluster.namespace}/base-{node}:1"
    pushed = controller.task("checkpoint_image", on=node, keywords={"become": True}, path=path, name=reference)
    before, said = cluster.get(name), cluster.ask(name)
    cluster.delete(name)
    node_run(node, f"crictl rmi {base}")

    entry = {"identity": known["identity"], "image": pushed["reference"]}
    archive = Taken(node, node, before, entry, 3, said["count"])
    without = restore(archive, name, method="image", patch={"spec": {"imagePullSecrets": None}})
    assert without["code"] == "image_pull_failed" and not there(cluster, name), without
    result = restore(archive, name, method="image")
    if node == CTD:
        assert result["code"] == "restore_failed" and "401 Unauthorized" in result["message"], result
        assert not there(cluster, name)
        return
    assert result["changed"] and not result.get("failed"), result
    assert "checkpoint-base-image" not in kubectl("get", "pods", "--namespace", cluster.namespace)
    undo(lambda: cluster.delete(name))
    assert cluster.ask(name)["since"] == said["since"]
