# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an old pod, or from archives alone, to the manifest of the new one."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import manifest, sandbox
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.manifest_images import image_of
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.manifest_patch import merged
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.restore_request import (
    ANNOTATION,
    Archive,
    Request,
    request,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.restorables import (
    DIGEST,
    SHA256,
    archive,
    identity,
    options,
    web_0,
)

Thing = dict[str, t.Any]


def copy_of(source: Thing, **given: t.Any) -> Thing:
    wanted = request(options(**given))
    pod = manifest.from_source(source, wanted.archives)
    pod = sandbox.isolated(pod) if wanted.isolated else manifest.without_tokens(pod)
    return manifest.finished(pod, wanted, "n2.example.com")


def refused(**given: t.Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        copy_of(web_0(), **given)
    return caught.value


def test_a_copy_lacks_what_only_the_old_pod_can_carry() -> None:
    before = web_0()
    made = copy_of(before)
    assert before == web_0()
    assert set(made) == {"apiVersion", "kind", "metadata", "spec"}
    assert made["metadata"] == {
        "name": "web-0",
        "namespace": "shop",
        "labels": {"app": "web"},
        "annotations": {"example.com/team": "shop", ANNOTATION: f'{{"web": "{SHA256}"}}'},
    }
    spec = made["spec"]
    assert set(spec) == {
        "containers",
        "hostname",
        "initContainers",
        "nodeSelector",
        "restartPolicy",
        "runtimeClassName",
        "serviceAccountName",
        "subdomain",
        "tolerations",
        "volumes",
    }
    assert spec["nodeSelector"] == {"disk": "ssd", "kubernetes.io/hostname": "n2.example.com"}
    assert spec["runtimeClassName"] == "checkpoint-restore"
    assert [each["name"] for each in spec["volumes"]] == ["data"]
    web, log = spec["containers"]
    assert web["volumeMounts"] == [{"mountPath": "/data", "name": "data"}] and log["volumeMounts"] == []
    assert web["image"] == f"registry.example.com/shop/web@{DIGEST}"
    assert log["image"] == "registry.example.com/log:2"


def test_another_name_takes_no_host_name_along() -> None:
    made = copy_of(web_0(), pod="web-again", namespace="lab")
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("web-again", "lab")
    assert "hostname" not in made["spec"] and made["spec"]["subdomain"] == "web"
    fixed = web_0()
    fixed["spec"]["hostname"] = "fixed"
    assert copy_of(fixed, pod="web-again")["spec"]["hostname"] == "fixed"


def test_a_daemon_sets_pod_forgets_its_node() -> None:
    source = web_0()
    required = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}
    source["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    assert copy_of(source)["spec"]["affinity"] == {"nodeAffinity": {}}
    own = {"key": "disk", "operator": "Exists"}
    required["nodeSelectorTerms"][0]["matchExpressions"] = [own]
    kept = copy_of(source)["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert kept == {"nodeSelectorTerms": [{"matchExpressions": [own]}]}


@pytest.mark.parametrize(
    ("told", "asked", "image"),
    [
        ({}, "other:1", f"registry.example.com/shop/web@{DIGEST}"),
        ({"image_digest": None}, "web", f"registry.example.com/shop/web@{DIGEST}"),
        ({"image_digest": None, "pod_uid": "another"}, "web", "registry.example.com/shop/web:1.4"),
        ({"image_digest": None, "image": "registry.example.com/else:1"}, "web", "registry.example.com/else:1"),
        ({"image": "registry:5000/web"}, "web", f"registry:5000/web@{DIGEST}"),
        ({"image": "web:1"}, "web", f"web@{DIGEST}"),
        ({"image": f"web@{DIGEST}", "image_digest": None}, "web", f"web@{DIGEST}"),
        ({"image": "5713" * 16}, "registry.example.com/web:1", "registry.example.com/web:1"),
        ({"image": None, "image_digest": None, "pod_uid": "another"}, "busybox", "busybox"),
    ],
)
def test_the_image_is_the_one_that_ran(told: Thing, asked: str, image: str) -> None:
    assert image_of(Archive("web", identity(**told)), asked, web_0()) == image


def test_a_name_without_registry_is_the_same_as_with_it() -> None:
    source = web_0()
    source["status"]["containerStatuses"][0]["imageID"] = f"docker.io/library/nginx@{DIGEST}"
    archive_ = Archive("web", identity(image="nginx:1", image_digest=None))
    assert image_of(archive_, "nginx:1", source) == f"nginx@{DIGEST}"


def test_from_archives_alone() -> None:
    wanted = request(options(archives=[archive(), archive(identity=identity(container="log", image="log:1"))]))
    made = manifest.finished(manifest.from_archives(wanted.archives), wanted, "n2")
    assert made["spec"]["containers"] == [
        {"name": "log", "image": f"log@{DIGEST}"},
        {"name": "web", "image": f"registry.example.com/shop/web@{DIGEST}"},
    ]
    assert "labels" not in made["metadata"]
    (check,) = manifest.findings(made, wanted, None)
    assert (check.name, check.result) == ("manifest", "warning")


def test_an_archive_that_names_no_image() -> None:
    wanted = request(options(archives=[archive(identity=identity(image=None, image_name="5713" * 16))]))
    with pytest.raises(CheckpointError) as caught:
        manifest.from_archives(wanted.archives)
    assert caught.value.code == "manifest_unknown" and "source_definition" in caught.value.hint


def test_by_image() -> None:
    source = web_0()
    source["spec"]["runtimeClassName"] = "checkpoint-restore"
    image = "registry.example.com/checkpoints/web:1"
    made = copy_of(source, method="image", archives=[archive(image=image)])
    assert [each["image"] for each in made["spec"]["containers"]] == [image, "registry.example.com/log:2"]
    assert "runtimeClassName" not in made["spec"]
    source["spec"]["runtimeClassName"] = "site"
    assert copy_of(source, method="image", archives=[archive(image=image)])["spec"]["runtimeClassName"] == "site"
    assert request(options(method="image", archives=[archive(image=image)])).tickets == []


def test_without_a_runtime_class_the_pods_own_stays() -> None:
    source = web_0()
    assert "runtimeClassName" not in copy_of(source, runtime_class="")["spec"]
    source["spec"]["runtimeClassName"] = "site"
    assert copy_of(source, runtime_class="")["spec"]["runtimeClassName"] == "site"
    assert copy_of(source)["spec"]["runtimeClassName"] == "checkpoint-restore"


def test_containers_without_archive_and_archives_without_container() -> None:
    assert refused(others="refuse").code == "others_refused"
    assert "log" in refused(others="refuse").reason
    error = refused(archives=[archive(container="wbe")])
    assert error.code == "container_not_found" and "log, web" in error.reason
    # An init container that runs to its end can be restored by nobody.
    assert refused(archives=[archive(container="migrate")]).code == "container_not_found"
    sidecar = web_0()
    sidecar["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    assert copy_of(sidecar, archives=[archive(container="migrate")])


def test_findings_of_the_manifest() -> None:
    source = web_0()
    source["spec"]["containers"][0]["tty"] = True
    source["metadata"]["uid"] = "another"
    wanted = request(options())
    found = manifest.findings(copy_of(source), wanted, source)
    assert [(check.name, check.result) for check in found] == [
        ("manifest", "warning"),
        ("owner", "warning"),
        ("terminal", "failed"),
        ("init_containers", "warning"),
        ("others", "warning"),
    ]
    assert "migrate" in found[3].reason and "log" in found[4].reason


@pytest.mark.parametrize(
    ("patch", "made"),
    [
        ({"a": None, "b": {"c": 2}}, {"b": {"c": 2, "d": 1}, "l": [1, 2]}),
        ({"l": [3]}, {"a": 1, "b": {"c": 1, "d": 1}, "l": [3]}),
        ({"b": "text"}, {"a": 1, "b": "text", "l": [1, 2]}),
        ({"l": {"x": None, "y": 1}}, {"a": 1, "b": {"c": 1, "d": 1}, "l": {"y": 1}}),
    ],
)
def test_a_merge_patch(patch: Thing, made: Thing) -> None:
    assert merged({"a": 1, "b": {"c": 1, "d": 1}, "l": [1, 2]}, patch) == made


def test_containers_are_patched_and_volumes_replaced_by_name() -> None:
    patch = {
        "spec": {
            "containers": [{"name": "web", "env": [], "image": "web:2"}, {"name": "new", "image": "new:1"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "subdomain": None,
        }
    }
    spec = copy_of(web_0(), patch=patch)["spec"]
    assert [each["name"] for each in spec["containers"]] == ["web", "log", "new"]
    web = spec["containers"][0]
    assert (web["env"], web["image"]) == ([], "web:2") and web["volumeMounts"]
    assert spec["volumes"] == [{"name": "data", "emptyDir": {}}]
    assert "subdomain" not in spec


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"archives": []}, "invalid_option"),
        ({"archives": [archive(), archive()]}, "archive_twice"),
        ({"archives": [archive(), archive(identity=identity(container="log", pod="web-1"))]}, "archives_differ"),
        ({"archives": [archive(), archive(identity=identity(container="log", pod_uid="x"))]}, "archives_differ"),
        ({"archives": [archive(identity=identity(container=None))]}, "invalid_option"),
        ({"archives": [archive(sha256="12")]}, "invalid_option"),
        ({"archives": [archive(sha256=None)]}, "invalid_option"),
        ({"archives": [archive(path="web-0.tar")]}, "invalid_option"),
        ({"method": "image"}, "invalid_option"),
        ({"archives": [archive(identity={"container": "web"})]}, "invalid_option"),
        ({"archives": [archive(identity={"container": "web"})], "pod": "web-0"}, "invalid_option"),
        ({"definition": {"kind": "Deployment", "spec": {"containers": []}}}, "invalid_option"),
        ({"source_definition": {"spec": {"containers": "web"}}}, "invalid_option"),
        ({"timeout": "soon"}, "invalid_option"),
    ],
)
def test_requests_that_cannot_be_meant(given: Thing, code: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        request(options(**given))
    assert caught.value.code == code and caught.value.hint


def test_tickets_are_for_the_new_pod() -> None:
    wanted = request(options(pod="again", namespace="lab", archives=[archive(sha256=f"sha256:{SHA256}")]))
    (ticket,) = wanted.tickets
    assert ticket == {
        "namespace": "lab",
        "pod": "again",
        "container": "web",
        "archive": "/srv/web-0.tar",
        "sha256": SHA256,
    }


def isolated(source: Thing, **given: t.Any) -> Thing:
    made = copy_of(source, isolated=True, **given)
    sandbox.require_isolation(made)
    return made


def test_an_isolated_copy() -> None:
    patch = {"spec": {"volumes": [{"name": "data", "emptyDir": {}}]}}
    made = isolated(web_0(), patch=patch)
    assert made["metadata"]["namespace"] == "isolated-web-0"
    assert made["metadata"]["labels"] == sandbox.LABELS
    spec = made["spec"]
    assert (spec["automountServiceAccountToken"], spec["serviceAccountName"]) == (False, "default")
    # The process had a mount there, and is restored with it.
    assert spec["volumes"] == [
        {"name": "data", "emptyDir": {}},
        {"name": "kube-api-access-x7k2p", "emptyDir": {}},
        {"name": sandbox.NO_TOKEN, "emptyDir": {}},
    ]
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]] == ["/data", sandbox.TOKEN_PATH]
    # One that has none gets one: of a manifest nobody can tell whether admission would have added it.
    (mount,) = spec["initContainers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (sandbox.NO_TOKEN, sandbox.TOKEN_PATH)


def test_tokens_are_taken_out_of_projected_volumes() -> None:
    source = web_0()
    token = {"serviceAccountToken": {"path": "token", "audience": "vault"}}
    kept = {"configMap": {"name": "settings"}}
    source["spec"]["volumes"] = [
        {"name": "mixed", "projected": {"sources": [token, kept]}},
        {"name": "only", "projected": {"sources": [token]}},
    ]
    volumes = isolated(source)["spec"]["volumes"]
    assert volumes[:2] == [{"name": "mixed", "projected": {"sources": [kept]}}, {"name": "only", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, "volume data (persistentVolumeClaim)"),
        ({"hostPID": True}, "hostPID"),
        ({"hostNetwork": True}, "hostNetwork"),
        ({"hostIPC": True}, "hostIPC"),
        ({"volumes": [{"name": "sock", "hostPath": {"path": "/run"}}]}, "volume sock (hostPath)"),
        ({"volumes": [{"name": "share", "nfs": {}}]}, "volume share (nfs)"),
        ({"containers": [{"name": "web", "securityContext": {"privileged": True}}]}, "privileged container web"),
        ({"containers": [{"name": "log", "ports": [{"hostPort": 80}]}]}, "hostPort of container log"),
        ({"containers": [{"name": "web", "volumeDevices": [{}]}]}, "volumeDevices of container web"),
    ],
)
def test_what_leads_out_of_the_sandbox(change: Thing, named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        isolated(web_0(), patch={"spec": change})
    assert caught.value.code == "isolation_impossible" and named in caught.value.reason


def test_the_namespace_of_a_sandbox_is_a_label() -> None:
    def named(**given: t.Any) -> str:
        made: Request = request(options(isolated=True, **given))
        return made.namespace

    assert named(pod="web.example") == "isolated-web-example"
    assert len(named(pod="w" * 200)) == 63
    assert named(namespace="shop", isolated_namespace="analysis") == "analysis"
