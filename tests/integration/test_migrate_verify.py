# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A move that ends with a command in the replacement, which has to end with 0."""

from __future__ import annotations

import pathlib
import subprocess
import time
import typing as t

import pytest
from labkit import images
from migrate_support import counts_on, nothing_left
from support import LAB, SOME_NODES, Cluster, Controller, kubectl, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

CRIO, CTD = SOME_NODES
ASKER = pathlib.Path(__file__).with_name("asker.c")
Thing = dict[str, t.Any]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, facts: Thing) -> str:
    """A counter, with the program that is asked."""
    folder = tmp_path_factory.mktemp("asked")
    files = {"/counter": folder / "counter", "/asker": folder / "asker"}
    for source, program in ((LAB / "workloads/counter.c", "counter"), (ASKER, "asker")):
        subprocess.run(["gcc", "-O2", "-static", "-s", "-o", folder / program, source], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    digest = images.push(facts["registry"], "it-asked", "1", files, entrypoint=["/counter"], **where)
    return f"{facts['registry']}/it-asked@{digest}"


def asked(controller: Controller, cluster: Cluster, pod: str, node: str, **verify: t.Any) -> Thing:
    return controller.task("checkpoint_migrate", namespace=cluster.namespace, pod=pod, node=node, verify=verify)


def test_a_command_that_ends_well_after_a_while_and_one_that_never_does(
    cluster: Cluster, controller: Controller, image: str
) -> None:
    pod = cluster.pod("asked", CRIO)
    other = {"name": "other", "image": image, "command": ["/counter", "8082"]}
    pod["spec"]["containers"][0]["image"] = image
    pod["spec"]["containers"].append(other)
    cluster.apply(pod)
    since = cluster.ask("asked")["since"]

    # Not before the pod is there: at least one run ends with another status.
    late = str(int(time.time()) + 15)
    result = asked(controller, cluster, "asked", CTD, command=["/asker", "3", late], timeout="60s")
    assert (result.get("outcome"), result.get("verified")) == ("moved", True), controller.output
    assert time.time() >= int(late) and result["seconds"]["answer"] > 0
    nothing_left(cluster)

    never = str(int(time.time()) + 10**8)
    wanted: Thing = {"command": ["/asker", "3", never], "container": "other", "timeout": "2s"}
    result = asked(controller, cluster, "asked", CRIO, **wanted)
    assert (result["code"], result["verified"], result["undone"]) == ("verify_failed", False, False), controller.output
    assert result["message"] == "exit status 3: said on standard error"
    assert "said on standard output" not in controller.output and never not in result["reason"]
    assert "said on standard output" not in pathlib.Path(result["state_file"]).read_text()
    assert cluster.get("asked")["spec"]["nodeName"] == CRIO and cluster.ask("asked")["since"] == since

    # The runtimes say it each in its own way.
    result = asked(controller, cluster, "asked", CRIO, command=["/no-such-program"], timeout="1s")
    assert result["code"] == "verify_failed" and "/no-such-program" in result["message"], result
    result = asked(controller, cluster, "asked", CRIO, command=["/asker", "3", "0"], container="other")
    assert (result.get("outcome"), result.get("verified")) == ("moved", True), controller.output
    nothing_left(cluster)
    result = asked(controller, cluster, "asked", CTD, command=["/no-such-program"], timeout="1s")
    assert result["code"] == "verify_failed" and "/no-such-program" in result["message"], result
    result = asked(controller, cluster, "asked", CTD, command=["/asker", "3", "0"])
    assert (result.get("outcome"), cluster.ask("asked")["since"]) == ("moved", since), controller.output
    nothing_left(cluster)
    cluster.delete("asked")


def test_what_cannot_be_asked_is_refused_before_anything_is_frozen(
    cluster: Cluster, controller: Controller, image: str
) -> None:
    pod = cluster.pod("stays", CRIO)
    pod["spec"]["containers"][0]["image"] = image
    cluster.apply(pod)
    before = cluster.get("stays")["metadata"]["uid"]
    result = asked(controller, cluster, "stays", CTD, command=["/asker"], container="nobody")
    assert result["code"] == "invalid_option" and "nobody" in result["msg"] and "app" in result["msg"], result
    assert asked(controller, cluster, "stays", CTD, command=[])["code"] == "invalid_option"
    for wrong in ({}, {"port": 1, "command": ["/asker"]}, {"port": 1, "container": "app"}):
        assert asked(controller, cluster, "stays", CTD, **wrong)["failed"]
    assert cluster.get("stays")["metadata"]["uid"] == before
    cluster.delete("stays")


def test_an_account_with_the_job_migrate_needs_exec_as_well(
    cluster: Cluster, controller: Controller, image: str, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> None:
    kubeconfig = str(controller.directory / "asker")
    account = {"name": "asker", "jobs": ["migrate"], "namespaces": [cluster.namespace], "dest": kubeconfig}
    access = {"namespace": cluster.namespace, "accounts": [account]}
    undo(lambda: controller.task("checkpoint_access", **access, state="absent"))
    assert controller.task("checkpoint_access", **access)["changed"]
    pod = cluster.pod("limited", CRIO)
    pod["spec"]["containers"][0]["image"] = image
    cluster.apply(pod)
    cluster.says("limited", "count 2")
    arguments: Thing = {"namespace": cluster.namespace, "pod": "limited", "node": CTD, "kubeconfig": kubeconfig}
    wanted = {"command": ["/asker", "3", "0"], "timeout": "1s"}
    result = controller.task("checkpoint_migrate", **arguments, verify=wanted)
    assert result["code"] == "verify_failed" and "pods/exec" in result["message"], result
    assert "create and get pods/exec" in result["hint"]

    place = ("--namespace", cluster.namespace)
    rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "exec"},
        "rules": [rule],
    }
    user = f"{cluster.namespace}:asker"
    kubectl("create", *place, "--filename=-", document=role)
    kubectl("create", "rolebinding", *place, "exec", "--role=exec", f"--serviceaccount={user}")
    can = ("auth", "can-i", *place, f"--as=system:serviceaccount:{user}", "get", "pods/exec")
    wait_until("the right to reach the API server", lambda: kubectl(*can, check=False).strip() == "yes")
    result = controller.task("checkpoint_migrate", **arguments, verify=wanted)
    assert (result.get("outcome"), result.get("verified")) == ("moved", True), (result, controller.output)
    counts_on(cluster, "limited", 1)
    cluster.delete("limited")
