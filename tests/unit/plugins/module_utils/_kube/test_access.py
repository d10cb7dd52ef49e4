# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of rights, and what must say the same. That the rights are enough, and no more, is tried on the lab."""

from __future__ import annotations

import base64
import json
import pathlib
import time
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.access_objects import (
    JOBS,
    Account,
    objects,
    rules,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.access_steps import others_in
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.access_token import (
    KubeconfigFile,
    kubeconfig,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_access
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    Script,
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import (
    Outcome,
    outcome,
    run,
    undocumented,
)

COLLECTION = pathlib.Path(__file__).parents[5]
MANIFESTS = {
    "checkpoint": "checkpoint-direct.yml",
    "checkpoint_apiserver": "checkpoint-apiserver.yml",
    "migrate": "migrate.yml",
    "read": "select-targets.yml",
    "restore": "restore.yml",
}
WORKER = Account("home", "worker", jobs=("checkpoint", "read", "restore"))


def load(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("job", JOBS)
def test_a_manifest_gives_what_the_job_needs(job: str) -> None:
    items = load(COLLECTION / "playbooks" / "files" / "rbac" / MANIFESTS[job])["items"]
    (role,) = [item for item in items if item["kind"] == "ClusterRole"]
    assert role["rules"] == rules(JOBS[job])


def test_there_is_a_manifest_for_each_job_and_no_other() -> None:
    there = {path.name for path in (COLLECTION / "playbooks" / "files" / "rbac").iterdir()}
    assert there == set(MANIFESTS.values()) and set(MANIFESTS) == set(JOBS)


def test_module_and_role_offer_these_jobs() -> None:
    assert list(JOBS) == checkpoint_access.JOBS
    options = load(COLLECTION / "roles" / "rbac" / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    assert options["rbac_accounts"]["options"]["jobs"]["choices"] == list(JOBS)
    defaults = load(COLLECTION / "roles" / "rbac" / "defaults" / "main.yml")
    assert defaults == {name: option["default"] for name, option in options.items() if "default" in option}


def test_rights_of_several_jobs_become_one_rule_for_each_resource() -> None:
    found = rules([right for job in WORKER.jobs for right in JOBS[job]], nodes=("b", "a", "a"))
    by_resource = {rule["resources"][0]: rule for rule in found}
    assert len(by_resource) == len(found)
    assert by_resource["nodes"] == {
        "apiGroups": [""],
        "resources": ["nodes"],
        "resourceNames": ["a", "b"],
        "verbs": ["get"],
    }
    assert by_resource["nodes/checkpoint"]["resourceNames"] == ["a", "b"]
    assert by_resource["pods"]["verbs"] == ["create", "delete", "get", "list", "watch"]
    assert "resourceNames" not in by_resource["pods"]


def test_with_namespaces_nothing_in_a_namespace_is_allowed_everywhere() -> None:
    made = objects(Account("home", "worker", jobs=("read", "restore"), namespaces=("b", "a", "a")))
    cluster_wide = next(thing for thing in made if thing["kind"] == "ClusterRole")
    assert [rule["resources"] for rule in cluster_wide["rules"]] == [
        ["nodes"],
        ["persistentvolumes"],
        ["runtimeclasses"],
    ]
    roles = [thing["metadata"]["namespace"] for thing in made if thing["kind"] == "Role"]
    bindings = [thing["metadata"]["namespace"] for thing in made if thing["kind"] == "RoleBinding"]
    assert roles == bindings == ["a", "b"]
    # Nothing of this job is in a namespace.
    assert not [thing for thing in objects(Account("h", "w", ("checkpoint",), ("a",))) if thing["kind"] == "Role"]


GROUPS = Say(200, {"groups": [{"preferredVersion": {"groupVersion": "apps/v1"}}]})


def namespace(**collections: list[str]) -> Script:
    """An API server that knows pods and configmaps, deployments, and what the cluster offers beside."""

    def resource(name: str, *verbs: str, namespaced: bool = True) -> dict[str, t.Any]:
        return {"name": name, "namespaced": namespaced, "verbs": verbs or ["create", "delete", "list"]}

    known = {
        "/api/v1": [
            resource("serviceaccounts"),
            resource("configmaps"),
            resource("events"),
            resource("pods/log", "get"),
            resource("nodes", namespaced=False),
        ],
        "/apis/apps/v1": [resource("deployments"), resource("metrics", "get", "list")],
    }

    def script(asked: Asked) -> Say:
        if asked.path == "/apis":
            return GROUPS
        if asked.path in known:
            return Say(200, {"resources": known[asked.path]})
        assert "/namespaces/home/" in asked.path, asked.path
        found = collections.get(asked.path.rpartition("/")[2], [])
        return Say(200, {"items": [{"metadata": {"name": name}} for name in found], "metadata": {}})

    return script


@pytest.mark.parametrize(
    ("script", "other"),
    [
        (namespace(serviceaccounts=["default", "worker"], configmaps=["kube-root-ca.crt"], events=["e"]), None),
        (namespace(serviceaccounts=["default", "worker", "else"]), "serviceaccounts/else"),
        (namespace(deployments=["shop"]), "deployments/shop"),
    ],
)
def test_what_else_is_in_a_namespace(script: Script, other: str | None) -> None:
    with serving(script) as there:
        assert others_in(ApiSession(Server(url=there.url)), "home", {("serviceaccounts", "worker")}) == other


def absent(script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Outcome:
    with serving(script) as there:
        given = {"host": there.url, "api_key": "k", "namespace": "home", "accounts": [{"name": "worker"}]}
        found = outcome(checkpoint_access, monkeypatch, capsys, check=True, state="absent", **given)
        assert not there.posts
    return found


def test_a_namespace_that_cannot_be_looked_through_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    label = {"app.kubernetes.io/managed-by": "checkpoint_restore.kubernetes"}

    def script(asked: Asked) -> Say:
        if asked.path == "/api/v1/namespaces/home":
            return Say(200, {"metadata": {"name": "home", "labels": label}})
        if asked.path == "/apis/apps/v1":
            # An aggregated API whose server is away.
            return status_object(503, "service unavailable")
        if asked.path.endswith("roles") or asked.path.endswith("rolebindings"):
            return Say(200, {"items": [], "metadata": {}})
        if asked.path.endswith("worker"):
            return status_object(404, "not found")
        return namespace()(asked)

    result, said = absent(script, monkeypatch, capsys)
    assert not result["changed"] and result["changes"] == []
    assert "cannot be listed (service unavailable)" in said[0]


def empty(asked: Asked) -> Say:
    """A cluster without any of the objects."""
    lists = asked.path.endswith("roles") or asked.path.endswith("rolebindings")
    return Say(200, {"items": [], "metadata": {}}) if lists else status_object(404, "not found")


def test_the_result_is_what_is_documented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    assert not absent(empty, monkeypatch, capsys).result["changed"]
    with serving(empty) as there:
        account = {"name": "worker", "jobs": ["read"], "dest": str(tmp_path / "kubeconfig")}
        given = {"host": there.url, "api_key": "k", "accounts": [account]}
        result = run(checkpoint_access, monkeypatch, capsys, check=True, **given)
        assert not there.posts
    diff = result.pop("diff")
    assert len(diff) == len(result["changes"]) - 1 and not list(tmp_path.iterdir())
    assert undocumented(result, checkpoint_access.RETURN) == []


def token(**claims: t.Any) -> str:
    """Three parts, as of a JSON Web Token; nobody here checks the signature."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2lnbmF0dXJl"


def claims(uid: str, seconds: float) -> dict[str, t.Any]:
    return {"exp": time.time() + seconds, "kubernetes.io": {"serviceaccount": {"name": "worker", "uid": uid}}}


def test_a_token_in_a_kubeconfig_counts_for_its_own_account_only(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "kubeconfig"
    good = token(**claims("u", 100))
    for value in (good, "no token at all", "a.b.c", "", token(exp="soon"), token(exp=1)):
        place.write_bytes(kubeconfig(Server(url="https://api:6443"), WORKER, value))
        file = KubeconfigFile(str(place), WORKER)
        found = file.token("u")
        assert (found.value if found else None) == (good if value == good else None)
        assert file.token("another") is None and file.token(None) is None


@pytest.mark.parametrize("content", ["", "apiVersion: v1\n", "[]", '{"users": null}', '{"users": [{"name": "admin"}]}'])
def test_any_other_file_is_refused(tmp_path: pathlib.Path, content: str) -> None:
    place = tmp_path / "kubeconfig"
    place.write_text(content)
    with pytest.raises(KubeError) as caught:
        KubeconfigFile(str(place), WORKER)
    assert caught.value.code == "object_not_ours" and place.read_text() == content


def test_a_kubeconfig_trusts_as_the_module_did(tmp_path: pathlib.Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("PEM")
    server = Server(url="https://api:6443", ca_file=str(ca), server_name="kubernetes")
    (cluster,) = json.loads(kubeconfig(server, WORKER, "t"))["clusters"]
    assert cluster["cluster"] == {
        "server": "https://api:6443",
        "certificate-authority-data": base64.b64encode(b"PEM").decode(),
        "tls-server-name": "kubernetes",
    }
    (cluster,) = json.loads(kubeconfig(Server(url="https://api:6443", verify=False), WORKER, "t"))["clusters"]
    assert cluster["cluster"] == {"server": "https://api:6443", "insecure-skip-tls-verify": True}
