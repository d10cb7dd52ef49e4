# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods checkpoint_migrate moves, what it tells of each, and the question whether a replacement does its work."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_migrate
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented
from migrate_support import counts_on, term, workload
from support import SOME_NODES, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

CRIO, CTD = SOME_NODES
MOVES = "/var/lib/checkpoint-restore/moves"
Thing = dict[str, t.Any]


def migrate(controller: Controller, cluster: Cluster, **options: t.Any) -> Thing:
    result = controller.task("checkpoint_migrate", namespace=cluster.namespace, node=CTD, **options)
    # Ansible's own for what failed: where in Ansible that was.
    result.pop("exception", None)
    assert undocumented(result, checkpoint_migrate.RETURN) == []
    return result


def outcomes(result: Thing) -> dict[str, str]:
    return {entry["pod"]: entry["outcome"] for entry in result["moves"]}


def names(cluster: Cluster, name: str) -> list[str]:
    found = kubectl("get", "pods", "--namespace", cluster.namespace, f"--selector=name={name}", "--output=json")
    return [each["metadata"]["name"] for each in json.loads(found)["items"]]


def test_all_of_a_node_but_what_is_meant_to_stay(cluster: Cluster, controller: Controller) -> None:
    rather = [{"weight": 100, "preference": term(CRIO)}]
    either = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term(CRIO, CTD)]},
        "preferredDuringSchedulingIgnoredDuringExecution": rather,
    }
    only = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term(CRIO)]}}
    ended = cluster.pod("ended", CRIO)
    ended["spec"].update(restartPolicy="Never", activeDeadlineSeconds=1)
    cluster.apply(
        workload(cluster, "Deployment", "web", either, replicas=2), workload(cluster, "DaemonSet", "rooted", only)
    )
    cluster.apply(ended, ready=False)
    cluster.apply(cluster.pod("alone", CRIO))
    for name in ("deployment/web", "daemonset/rooted"):
        kubectl("rollout", "status", "--namespace", cluster.namespace, "--timeout=60s", name)
    (rooted,) = names(cluster, "rooted")
    web = names(cluster, "web")
    assert {cluster.get(name)["spec"]["nodeName"] for name in web} == {CRIO}
    wait_until("the short one to have ended", lambda: cluster.get("ended")["status"]["phase"] == "Failed")
    before = {name: cluster.ask(name) for name in ("alone", *web)}

    named = migrate(controller, cluster, pod=rooted)
    assert (named["failed"], named["code"], outcomes(named)) == (True, "owner_unsupported", {rooted: "failed"})

    result = migrate(controller, cluster, source_node=CRIO)
    assert result["changed"] and not result.get("failed"), controller.output
    told = {entry["pod"]: entry for entry in result["moves"]}
    assert outcomes(result) == {
        "alone": "moved",
        "ended": "skipped",
        rooted: "skipped",
        **dict.fromkeys(web, "moved"),
    }
    assert told[rooted]["code"] == "owner_unsupported" and "meant to stay" in told[rooted]["reason"]
    for name, was in before.items():
        now = cluster.ask(told[name]["replacement"])
        assert now["since"] == was["since"] and now["count"] >= was["count"]
        assert (told[name]["source"], told[name]["node"], told[name]["lost_seconds"]) == (CRIO, CTD, 0)
        assert 0 < told[name]["frozen_seconds"] < told[name]["down_seconds"] < told[name]["seconds"]["total"]
    assert [cluster.get(name)["spec"]["nodeName"] for name in names(cluster, "web")] == [CTD, CTD]
    head, *lines = result["table"]
    assert head.split() == ["POD", "FROM", "TO", "WAY", "FROZEN", "READY", "AFTER", "MOVED", "LOST"]
    assert len(lines) == 5 and any(re.fullmatch(rf"\S+/alone +{CRIO} +{CTD} +bare .* 0 s", line) for line in lines)
    kubectl("delete", "--namespace", cluster.namespace, "--wait", "deployment/web", "daemonset/rooted")
    cluster.delete("alone", "ended")


def test_the_playbook_ends_with_a_table_and_does_nothing_twice(cluster: Cluster, controller: Controller) -> None:
    cluster.apply(cluster.pod("one", CRIO), cluster.pod("two", CTD), cluster.pod("other", CRIO))
    cluster.says("one", "count 2")
    wanted = {"namespace": cluster.namespace, "label_selectors": "name in (one, two)", "to": CTD}
    verify = {"port": 8080, "path": "/"}
    done = controller.playbook("migrate", **wanted, verify=verify)
    assert done.returncode == 0, controller.output
    assert re.search(rf'"\S+/one +{CRIO} +{CTD} +bare +[\d.]+ s +[\d.]+ s +[\d.]+ .?i?B +0 s"', done.stdout), (
        done.stdout
    )
    assert re.search(r'"\S+/two +- +- +is there already"', done.stdout)
    counts_on(cluster, "one", 1)
    assert cluster.get("other")["spec"]["nodeName"] == CRIO
    again = controller.playbook("migrate", **wanted)
    assert again.returncode == 0 and "changed=0" in again.stdout, controller.output
    cluster.delete("one", "two", "other")


def test_what_cannot_be_moved_keeps_the_others_where_they_are_unless_told_otherwise(
    cluster: Cluster, controller: Controller
) -> None:
    cluster.apply(cluster.pod("can", CRIO), cluster.pod("cannot", CRIO, tty=True))
    result = migrate(controller, cluster, label_selectors=["name in (can, cannot)"])
    assert (result["failed"], result["changed"], result["code"]) == (True, False, "preflight_failed")
    assert outcomes(result) == {"can": None, "cannot": "failed"}
    assert "0 of 2 pods were moved" in result["msg"] and cluster.get("can")["spec"]["nodeName"] == CRIO
    result = migrate(controller, cluster, label_selectors=["name in (can, cannot)"], on_failure="continue")
    assert (result["failed"], result["changed"], result["code"]) == (True, True, "preflight_failed")
    assert outcomes(result) == {"can": "moved", "cannot": "failed"}
    assert cluster.get("can")["spec"]["nodeName"] == CTD
    cluster.delete("can", "cannot")


def test_a_replacement_that_does_not_answer_as_it_shall_is_told_and_its_images_stay(
    cluster: Cluster, controller: Controller
) -> None:
    cluster.apply(cluster.pod("mute", CRIO))
    since = cluster.ask("mute")["since"]
    options: Thing = {"pod": "mute", "verify": {"port": 8081, "timeout": "1s"}}
    result = migrate(controller, cluster, **options)
    assert (result["failed"], result["code"], result["verified"]) == (True, "verify_failed", False), controller.output
    assert result["undone"] is False and f"images stay on {CTD}" in result["hint"]
    kept = json.loads(pathlib.Path(result["state_file"]).read_text())
    assert kept["outcome"] is None and kept["steps"][-1]["name"] == "verify_failed" and kept["owed"] == []
    images = f"{MOVES}/{kept['number']}"
    assert node_run(CTD, f"ls {images}/app/checkpoint").split()
    # It runs on all the same.
    assert cluster.ask("mute")["since"] == since and cluster.get("mute")["spec"]["nodeName"] == CTD
    result = migrate(controller, cluster, **options)
    assert (result["failed"], result["code"], result["changed"]) == (True, "verify_failed", True)
    result = migrate(controller, cluster, pod="mute", verify={"port": 8080})
    assert (result["outcome"], result["verified"], result["node"]) == ("moved", True, CTD), controller.output
    assert node_run(CTD, f"ls -d {images}; true").strip() == ""
    assert cluster.ask("mute")["since"] == since
    cluster.delete("mute")


def test_an_account_with_the_job_migrate_moves_pods_in_its_namespaces_only(
    cluster: Cluster, controller: Controller, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> None:
    """A pod of a StatefulSet: its replacement is made by an admission policy."""
    kubeconfig = str(controller.directory / "mover")
    account = {"name": "mover", "jobs": ["migrate"], "namespaces": [cluster.namespace], "dest": kubeconfig}
    access = {"namespace": cluster.namespace, "accounts": [account]}
    undo(lambda: controller.task("checkpoint_access", **access, state="absent"))
    made = controller.task("checkpoint_access", **access)
    assert made["changed"], made
    places = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term(CRIO, CTD)]}}
    cluster.apply(workload(cluster, "StatefulSet", "limited", places, serviceName="limited"))
    undo(lambda: kubectl("delete", "statefulset", "limited", "--namespace", cluster.namespace, "--wait"))
    cluster.says("limited-0", "count 2")
    since = cluster.ask("limited-0")["since"]
    target = CTD if cluster.get("limited-0")["spec"]["nodeName"] == CRIO else CRIO
    arguments = {"kubeconfig": kubeconfig, "pod": "limited-0", "node": target}
    refused = controller.task("checkpoint_migrate", **arguments, namespace="default")
    assert refused["code"] == "forbidden", refused
    moved = controller.task("checkpoint_migrate", **arguments, namespace=cluster.namespace)
    assert moved.get("outcome") == "moved" and moved["way"] == "policy", (moved, controller.output)
    assert cluster.ask("limited-0")["since"] == since
