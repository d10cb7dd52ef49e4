# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubelet_checkpoint on real kubelets: selection, results, concurrency, check mode, rights."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import pathlib
import re
import typing as t

import pytest
from support import LAB, NODES, Cluster, Controller, configure_kubelet, kubectl, lab, node_run, wait_until

RBAC = LAB.parents[1] / "playbooks" / "files" / "rbac"


@pytest.fixture(scope="module")
def counters(cluster: Cluster) -> Cluster:
    """One counter on each node, named after it."""
    cluster.apply(*(cluster.pod(f"counter-{node}", node) for node in NODES))
    return cluster


def whole_tar(node: str, path: str) -> None:
    """GNU tar reads the archive to its end, and a CRIU inventory is in it."""
    listing = node_run(node, f"tar --force-local -tf '{path}'")
    assert "checkpoint/inventory.img" in listing


@pytest.mark.every_core
def test_one_call_takes_every_runtime(counters: Cluster, controller: Controller, facts: dict[str, t.Any]) -> None:
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, label_selectors=["app=counter"])
    assert not result["failed"] and result["changed"], result
    assert result["failures"] == []
    taken = result["checkpoints"]
    assert [item["node"] for item in taken] == list(NODES)
    for item in taken:
        pod = counters.get(item["pod"])
        status = pod["status"]["containerStatuses"][0]
        assert item["container"] == "app"
        assert item["namespace"] == counters.namespace
        assert item["pod_uid"] == pod["metadata"]["uid"]
        assert item["container_id"] in status["containerID"]
        assert item["image"] == "registry.lab:5000/counter:1"
        assert item["image_id"] == status["imageID"]
        assert item["node_address"] == facts["nodes"][item["node"]]["address"]
        assert item["runtime"] == ("cri-o" if item["node"].startswith("crio") else "containerd")
        assert item["runtime_version"] == ("1.36.3" if item["node"].startswith("crio") else "2.1.9")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", item["started"])
        assert 0 < item["duration"] < 60
        assert item["path"].startswith(
            f"/var/lib/kubelet/checkpoints/checkpoint-{item['pod']}_{counters.namespace}-app-"
        )
        whole_tar(item["node"], item["path"])


@pytest.mark.every_core
def test_progress_has_a_line_for_each_container(counters: Cluster, controller: Controller) -> None:
    controller.task("kubelet_checkpoint", namespace=counters.namespace, label_selectors=["app=counter"])
    for node in NODES:
        assert f"{counters.namespace}/counter-{node}/app" in controller.output
    controller.task("kubelet_checkpoint", namespace=counters.namespace, label_selectors=["app=counter"], progress=False)
    assert f"{counters.namespace}/counter-crio-a/app" not in controller.output
    quiet = {"no_log": True}
    controller.task("kubelet_checkpoint", namespace=counters.namespace, label_selectors=["app=counter"], keywords=quiet)
    assert f"{counters.namespace}/counter-crio-a/app" not in controller.output


def test_check_mode_only_reads(counters: Cluster, controller: Controller, facts: dict[str, t.Any]) -> None:
    def checkpoints_of_kubelets() -> list[str]:
        pattern = 'kubelet_runtime_operations_total{operation_type="checkpoint_container"}'
        lines = [kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics").splitlines() for node in NODES]
        return [line for per_node in lines for line in per_node if line.startswith(pattern)]

    before, log = checkpoints_of_kubelets(), pathlib.Path(facts["audit_log"])
    offset = log.stat().st_size
    # Other tests may be asking as well.
    user = {"impersonate_user": "it-checkpoint-checker", "impersonate_groups": ["system:masters"]}
    result = controller.task(
        "kubelet_checkpoint", check=True, namespace=counters.namespace, label_selectors=["app=counter"], **user
    )
    assert result["changed"] and [item["node"] for item in result["checkpoints"]] == list(NODES)
    assert all(item["path"] is None for item in result["checkpoints"])
    assert checkpoints_of_kubelets() == before
    with log.open(encoding="utf-8") as stream:
        stream.seek(offset)
        events = [json.loads(line) for line in stream if line.endswith("\n")]
    by_module = [event for event in events if "it-checkpoint-checker" in str(event.get("impersonatedUser"))]
    assert by_module and {event["verb"] for event in by_module} <= {"get", "list"}
    # A POST to a kubelet would have made it ask the API server for a review of nodes/checkpoint.
    assert not list((controller.directory / "state").rglob("*.json"))


def test_two_calls_at_once_for_one_container_give_two_whole_archives(counters: Cluster, controller: Controller) -> None:
    others = []
    for number in (1, 2):
        directory = controller.directory / str(number)
        directory.mkdir()
        others.append(Controller(directory))
    for node in ("crio-a", "ctd-a"):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [
                pool.submit(one.task, "kubelet_checkpoint", namespace=counters.namespace, pod=[f"counter-{node}"])
                for one in others
            ]
            results = [run.result() for run in runs]
        paths = {result["checkpoints"][0]["path"] for result in results}
        assert len(paths) == 2, results
        for path in paths:
            whole_tar(node, path)


def test_not_older_than_returns_what_this_user_took(counters: Cluster, controller: Controller) -> None:
    selection = {"namespace": counters.namespace, "pod": ["counter-crio-b"], "not_older_than": "10m"}
    first = controller.task("kubelet_checkpoint", **selection)
    again = controller.task("kubelet_checkpoint", **selection)
    assert first["changed"] and not again["changed"]
    assert again["checkpoints"][0]["reused"] and again["checkpoints"][0]["path"] == first["checkpoints"][0]["path"]


def test_explicit_targets_need_no_api_server(
    counters: Cluster, controller: Controller, facts: dict[str, t.Any]
) -> None:
    directory = LAB.parents[1] / ".lab"
    admin = json.loads((directory / "kubeconfig").read_text())["users"][0]["user"]
    files = {}
    for name in ("client-certificate-data", "client-key-data"):
        files[name] = controller.directory / name
        files[name].write_bytes(base64.b64decode(admin[name]))
    for address in (facts["nodes"]["ctd-b"]["address"], facts["nodes"]["ctd-b"]["address6"]):
        target = {"node": address, "namespace": counters.namespace, "pod": "counter-ctd-b", "container": "app"}
        result = controller.task(
            "kubelet_checkpoint",
            env={"K8S_AUTH_KUBECONFIG": "/nonexistent", "KUBECONFIG": "/nonexistent"},
            keywords={"environment": {"K8S_AUTH_KUBECONFIG": "", "KUBECONFIG": "/nonexistent"}},
            targets=[target],
            kubelet_ca_cert=facts["ca"],
            kubelet_client_cert=str(files["client-certificate-data"]),
            kubelet_client_key=str(files["client-key-data"]),
        )
        assert not result["failed"], result
        item = result["checkpoints"][0]
        assert item["path"] and item["pod_uid"] is None and item["node"] == address
        whole_tar("ctd-b", item["path"])


def test_static_pods_go_by_their_mirror_name(
    counters: Cluster, controller: Controller, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> None:
    manifest = counters.pod("still", "ctd-a")
    del manifest["spec"]["nodeName"]
    directory = "/etc/kubernetes/manifests"
    node_run("ctd-a", f"mkdir -p {directory} && echo '{json.dumps(manifest)}' > {directory}/still.yaml")
    undo(lambda: configure_kubelet("ctd-a"))
    undo(lambda: node_run("ctd-a", f"rm -r {directory}"))
    configure_kubelet("ctd-a", staticPodPath=directory)
    wait = ("wait", "--namespace", counters.namespace, "--for=condition=Ready", "--timeout=5s", "pod/still-ctd-a")
    wait_until("the mirror pod", lambda: "condition met" in kubectl(*wait, check=False))
    result = controller.task("kubelet_checkpoint", namespace=counters.namespace, pod=["still-ctd-a"])
    assert not result["failed"], result
    whole_tar("ctd-a", result["checkpoints"][0]["path"])


def test_nothing_matches(counters: Cluster, controller: Controller) -> None:
    selection: dict[str, t.Any] = {"namespace": counters.namespace, "label_selectors": ["app=nobody"]}
    refused = controller.task("kubelet_checkpoint", **selection)
    assert refused["failed"] and "no_match" in json.dumps(refused)
    accepted = controller.task("kubelet_checkpoint", allow_empty=True, **selection)
    assert not accepted["failed"] and not accepted["changed"] and accepted["checkpoints"] == []


@pytest.fixture
def account(counters: Cluster) -> t.Iterator[t.Callable[[str], str]]:
    """Call it with a manifest of the collection: the token of the ServiceAccount that the manifest makes."""
    applied: list[str] = []

    def apply(name: str) -> str:
        manifest = str(RBAC / name)
        applied.append(manifest)
        kubectl("apply", "--filename", manifest)
        made = json.loads(kubectl("get", "--filename", manifest, "--output=json"))
        found = next(item["metadata"] for item in made["items"] if item["kind"] == "ServiceAccount")
        return kubectl("create", "token", found["name"], "--namespace", found["namespace"]).strip()

    yield apply
    for manifest in applied:
        kubectl("delete", "--filename", manifest, "--ignore-not-found", check=False)


def test_least_privilege_of_each_way(
    counters: Cluster, controller: Controller, account: t.Callable[[str], str], facts: dict[str, t.Any]
) -> None:
    """nodes/checkpoint create is enough for via: kubelet with explicit targets, and for nothing else."""
    nothing = {"K8S_AUTH_KUBECONFIG": ""}
    target = {
        "node": facts["nodes"]["crio-a"]["address"],
        "namespace": counters.namespace,
        "pod": "counter-crio-a",
        "container": "app",
    }
    token = account("checkpoint-direct.yml")
    common = {"host": facts["api_server"], "api_key": token, "ca_cert": facts["ca"]}
    direct = controller.task("kubelet_checkpoint", keywords={"environment": nothing}, targets=[target], **common)
    assert not direct["failed"], direct
    target["node"] = "crio-a"
    refused = controller.task(
        "kubelet_checkpoint", keywords={"environment": nothing}, via="apiserver", targets=[target], **common
    )
    assert refused["failed"] and refused["failures"][0]["code"] == "forbidden", refused
    through = account("checkpoint-apiserver.yml")
    allowed = controller.task(
        "kubelet_checkpoint",
        keywords={"environment": nothing},
        via="apiserver",
        targets=[target],
        **{**common, "api_key": through},
    )
    assert not allowed["failed"], allowed
    whole_tar("crio-a", allowed["checkpoints"][0]["path"])


def test_nodes_inventory(controller: Controller, facts: dict[str, t.Any]) -> None:
    source = controller.directory / "lab.checkpoint_nodes.yml"
    source.write_text("plugin: checkpoint_restore.kubernetes.nodes\n")
    listed = lab("run", "ansible-inventory", "-i", str(source), "--list").stdout
    # Facts from outside are marked as not to be templated.
    found = json.loads(listed, object_hook=lambda item: item.get("__ansible_unsafe", item))["_meta"]["hostvars"]
    # Spare nodes may be there as well.
    hosts = {name: variables for name, variables in found.items() if name in NODES}
    assert sorted(hosts) == list(NODES)
    for name, variables in hosts.items():
        assert variables["ansible_host"] == facts["nodes"][name]["address"]
