# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_access: each account can do its job and is refused the jobs of the others; nothing is left of it."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from labkit.cgroups import Cgroup
from labkit.pki import Pki
from support import LAB, Cluster, Controller, kubectl, lab, node_run, wait_until

Undo = t.Callable[[t.Callable[[], t.Any]], None]
Right = tuple[str, str, str]

PREFIX = "it-rbac"
HOME = f"{PREFIX}-accounts"
LABEL = "app.kubernetes.io/managed-by=checkpoint_restore.kubernetes"
PORT = 6444
CLIENT = "it-rbac-kubelet-client"
ADMISSION = "admissionregistration.k8s.io"
# Not in a namespace.
WIDE = (
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "nodes",
    "persistentvolumes",
    "runtimeclasses",
    "users",
)
# Verb, group, resource. Those that a job has are its own; the last ones nobody has.
JOBS: dict[str, list[Right]] = {
    "checkpoint": [("create", "", "nodes/checkpoint")],
    "checkpoint_apiserver": [("create", "", "nodes/proxy")],
    "migrate": [
        ("list", "", "events"),
        ("get", "", "nodes"),
        ("list", "", "nodes"),
        ("get", "", "persistentvolumeclaims"),
        ("get", "", "persistentvolumes"),
        *((verb, "", "pods") for verb in ("create", "delete", "get", "list", "patch")),
        ("create", "", "pods/eviction"),
        *((verb, ADMISSION, "mutatingadmissionpolicies") for verb in ("create", "delete", "get", "update")),
        *((verb, ADMISSION, "mutatingadmissionpolicybindings") for verb in ("create", "delete", "get")),
        ("get", "apps", "deployments"),
        ("get", "apps", "deployments/scale"),
        ("patch", "apps", "deployments/scale"),
        ("get", "apps", "replicasets"),
        *((verb, "apps", "statefulsets") for verb in ("create", "delete", "get")),
        ("list", "autoscaling", "horizontalpodautoscalers"),
        ("get", "batch", "jobs"),
        *((verb, "coordination.k8s.io", "leases") for verb in ("create", "delete", "get")),
        ("get", "node.k8s.io", "runtimeclasses"),
    ],
    "read": [("get", "", "nodes"), ("list", "", "nodes"), ("get", "", "pods"), ("list", "", "pods")],
    "restore": [
        ("get", "", "nodes"),
        ("get", "", "pods"),
        ("list", "", "pods"),
        ("watch", "", "pods"),
        ("create", "", "pods"),
        ("delete", "", "pods"),
        ("list", "", "events"),
        ("get", "", "persistentvolumeclaims"),
        ("get", "", "persistentvolumes"),
        ("get", "node.k8s.io", "runtimeclasses"),
    ],
}
NOBODY: list[Right] = [
    ("create", "", "pods/exec"),
    ("get", "", "pods/exec"),
    ("create", "", "pods/attach"),
    ("create", "", "pods/portforward"),
    ("update", "", "pods/ephemeralcontainers"),
    ("get", "", "pods/log"),
    ("update", "", "pods"),
    ("update", "apps", "deployments"),
    ("update", "apps", "statefulsets"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("get", "", "nodes/proxy"),
    ("create", "", "serviceaccounts/token"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ("impersonate", "", "users"),
]


def name_of(job: str) -> str:
    return job.replace("_", "-")


def mine(account: str = "") -> list[str]:
    """The objects with our label that these tests made, as kind, namespace and name."""
    kinds = "serviceaccounts,clusterroles,clusterrolebindings,roles,rolebindings,namespaces"
    items = json.loads(kubectl("get", kinds, "--all-namespaces", f"--selector={LABEL}", "--output=json"))["items"]
    found = [(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items]
    return sorted(f"{kind} {place} {name}" for kind, place, name in found if PREFIX in place + name and account in name)


def as_account(kubeconfig: str, *arguments: str, **rest: t.Any) -> subprocess.CompletedProcess[str]:
    options = {"input": json.dumps(rest["document"])} if "document" in rest else {}
    return lab("kubectl", f"--kubeconfig={kubeconfig}", *arguments, check=False, **options)


def allowed(kubeconfig: str, namespace: str, rights: t.Sequence[Right]) -> list[bool]:
    """What the API server says about these rights of the account in the kubeconfig."""
    reviews = []
    for verb, group, resource in rights:
        kind, _separator, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": kind, "subresource": part, "namespace": namespace}
        if kind in WIDE:
            del attributes["namespace"]
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        reviews.append({**review, "spec": {"resourceAttributes": attributes}})
    document = {"apiVersion": "v1", "kind": "List", "items": reviews}
    done = as_account(kubeconfig, "create", "--filename=-", "--output=jsonpath={.status.allowed} ", document=document)
    assert done.returncode == 0, done.stderr
    answers = [word == "true" for word in done.stdout.split()]
    assert len(answers) == len(rights), done.stdout
    return answers


class Accounts:
    """One account for each job; ``kubeconfig`` has the path of its kubeconfig."""

    def __init__(self, controller: Controller, cluster: Cluster) -> None:
        self.controller = controller
        self.kubeconfig = {job: str(controller.directory / name_of(job)) for job in JOBS}
        self.given = [
            {
                "name": name_of(job),
                "jobs": [job],
                "dest": self.kubeconfig[job],
                "namespaces": [cluster.namespace] if job in ("migrate", "restore") else [],
            }
            for job in JOBS
        ]

    def task(self, **more: t.Any) -> dict[str, t.Any]:
        return self.controller.task("checkpoint_access", namespace=HOME, accounts=self.given, **more)


@pytest.fixture(scope="module")
def accounts(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Accounts]:
    cluster.apply(*(cluster.pod(f"counter-{node}", node) for node in ("crio-a", "ctd-a")))
    made = Accounts(Controller(tmp_path_factory.mktemp("accounts")), cluster)
    result = made.task()
    assert result["changed"], made.controller.output
    yield made
    made.task(state="absent")
    assert not mine(), "something is left"


@pytest.fixture
def gone(controller: Controller) -> t.Iterator[t.Callable[..., dict[str, t.Any]]]:
    """Calls checkpoint_access for one account; takes that back when the test is over."""
    names: set[tuple[str, str]] = set()

    def call(name: str, namespace: str = HOME, check: bool = False, **rest: t.Any) -> dict[str, t.Any]:
        names.add((name, namespace))
        own = {key: rest.pop(key) for key in ("jobs", "namespaces", "nodes", "dest", "token") if key in rest}
        account = {"name": name, **own}
        return controller.task("checkpoint_access", check=check, namespace=namespace, accounts=[account], **rest)

    yield call
    for name, namespace in names:
        controller.task("checkpoint_access", namespace=namespace, accounts=[{"name": name}], state="absent")


def targets(cluster: Cluster, facts: dict[str, t.Any], by_address: bool, *nodes: str) -> list[dict[str, str]]:
    return [
        {
            "node": facts["nodes"][node]["address"] if by_address else node,
            "namespace": cluster.namespace,
            "pod": f"counter-{node}",
            "container": "app",
        }
        for node in nodes
    ]


def remove_archives(result: dict[str, t.Any]) -> None:
    for item in result.get("checkpoints", []):
        node = item["pod"].removeprefix("counter-")
        if item["path"]:
            assert node_run(node, f"stat --format=%s '{item['path']}'").strip() != "0"
            node_run(node, f"rm -f '{item['path']}'")


@pytest.mark.parametrize("job", JOBS)
def test_the_api_server_grants_a_job_its_rights_and_no_other(accounts: Accounts, cluster: Cluster, job: str) -> None:
    every = list(dict.fromkeys([right for rights in JOBS.values() for right in rights] + NOBODY))
    answers = dict(zip(every, allowed(accounts.kubeconfig[job], cluster.namespace, every)))
    assert {right for right, answer in answers.items() if answer} == set(JOBS[job])


def test_nobody_may_exec_or_read_secrets(accounts: Accounts, cluster: Cluster) -> None:
    for kubeconfig in accounts.kubeconfig.values():
        for words in (["exec", "counter-crio-a", "--", "true"], ["get", "secrets"]):
            done = as_account(kubeconfig, "--namespace", cluster.namespace, *words)
            assert done.returncode != 0 and "orbidden" in done.stderr, (kubeconfig, words, done)


def test_checkpoint_goes_straight_to_kubelets_and_nowhere_else(
    accounts: Accounts, cluster: Cluster, controller: Controller, facts: dict[str, t.Any]
) -> None:
    kubeconfig = accounts.kubeconfig["checkpoint"]
    direct = targets(cluster, facts, True, "crio-a", "ctd-a")
    taken = controller.task("kubelet_checkpoint", kubeconfig=kubeconfig, targets=direct)
    assert not taken["failed"] and len(taken["checkpoints"]) == 2, taken
    remove_archives(taken)
    through = targets(cluster, facts, False, "crio-a")
    refused = controller.task("kubelet_checkpoint", kubeconfig=kubeconfig, targets=through, via="apiserver")
    assert [entry["code"] for entry in refused["failures"]] == ["forbidden"], refused
    selected = controller.task("kubelet_checkpoint", kubeconfig=kubeconfig, namespace=cluster.namespace)
    assert selected["failed"] and "forbidden" in json.dumps(selected), selected


def test_checkpoint_through_the_api_server_does_not_reach_a_kubelet_itself(
    accounts: Accounts, cluster: Cluster, controller: Controller, facts: dict[str, t.Any]
) -> None:
    kubeconfig = accounts.kubeconfig["checkpoint_apiserver"]
    through = targets(cluster, facts, False, "crio-a", "ctd-a")
    taken = controller.task("kubelet_checkpoint", kubeconfig=kubeconfig, targets=through, via="apiserver")
    assert not taken["failed"] and len(taken["checkpoints"]) == 2, taken
    remove_archives(taken)
    direct = targets(cluster, facts, True, "ctd-a")
    refused = controller.task("kubelet_checkpoint", kubeconfig=kubeconfig, targets=direct)
    assert [entry["code"] for entry in refused["failures"]] == ["forbidden"], refused


def test_read_finds_containers_and_nodes_and_checkpoints_nothing(
    accounts: Accounts, cluster: Cluster, controller: Controller
) -> None:
    kubeconfig = accounts.kubeconfig["read"]
    selection: dict[str, t.Any] = {"namespace": cluster.namespace, "label_selectors": ["app=counter"]}
    found = controller.task("kubelet_checkpoint", check=True, kubeconfig=kubeconfig, **selection)
    assert {item["node"] for item in found["checkpoints"]} == {"crio-a", "ctd-a"}, found
    source = controller.directory / "lab.checkpoint_nodes.yml"
    source.write_text(f"plugin: checkpoint_restore.kubernetes.nodes\nkubeconfig: {kubeconfig}\n")
    assert "crio-a" in lab("run", "ansible-inventory", "-i", str(source), "--list").stdout
    refused = controller.task("kubelet_checkpoint", kubeconfig=kubeconfig, **selection)
    assert [entry["code"] for entry in refused["failures"]] == ["forbidden", "forbidden"], refused


def test_restore_makes_pods_in_its_namespaces_only(accounts: Accounts, cluster: Cluster) -> None:
    kubeconfig = accounts.kubeconfig["restore"]
    pod = cluster.pod("restored", "ctd-a")
    made = as_account(kubeconfig, "create", "--filename=-", document=pod)
    assert made.returncode == 0, made.stderr
    inside = ("--namespace", cluster.namespace)
    ready = as_account(kubeconfig, *inside, "wait", "--for=condition=Ready", "--timeout=60s", "pod/restored")
    assert ready.returncode == 0, ready.stderr
    assert as_account(kubeconfig, *inside, "get", "events").returncode == 0
    assert as_account(kubeconfig, *inside, "delete", "pod", "restored", "--now", "--wait").returncode == 0
    pod["metadata"]["namespace"] = "default"
    refused = as_account(kubeconfig, "create", "--filename=-", document=pod)
    assert refused.returncode != 0 and "forbidden" in refused.stderr


def test_a_limit_to_nodes_is_kept_by_kubelets(
    cluster: Cluster,
    accounts: Accounts,
    controller: Controller,
    facts: dict[str, t.Any],
    gone: t.Callable[..., dict[str, t.Any]],
    undo: Undo,
) -> None:
    dest = str(controller.directory / "kubeconfig")
    gone("one-node", jobs=["checkpoint", "read"], nodes=["crio-a"], dest=dest)
    both = targets(cluster, facts, True, "crio-a", "ctd-a")
    result = controller.task("kubelet_checkpoint", kubeconfig=dest, targets=both)
    undo(lambda: remove_archives(result))
    assert [item["pod"] for item in result["checkpoints"] if item.get("path")] == ["counter-crio-a"], result
    assert [entry["code"] for entry in result["failures"]] == ["forbidden"], result
    assert as_account(dest, "get", "node", "crio-a").returncode == 0
    for words in (["get", "node", "ctd-a"], ["get", "nodes"]):
        assert "forbidden" in as_account(dest, *words).stderr


def test_check_mode_foretells_exactly_and_writes_nothing(
    controller: Controller, facts: dict[str, t.Any], gone: t.Callable[..., dict[str, t.Any]]
) -> None:
    place, dest = f"{HOME}-checked", controller.directory / "kubeconfig"
    wanted: dict[str, t.Any] = {
        "namespace": place,
        "jobs": ["restore", "read"],
        "namespaces": ["default", place],
        "dest": str(dest),
        "kubelet_client": True,
    }
    user = {"impersonate_user": "it-rbac-checker", "impersonate_groups": ["system:masters"]}
    log = pathlib.Path(facts["audit_log"])
    offset = log.stat().st_size
    foretold = gone("checked", check=True, **wanted, **user)
    assert foretold["changed"] and foretold["accounts"][0]["token"] is None
    assert not dest.exists() and "checked" not in "".join(mine())

    def events() -> list[dict[str, t.Any]]:
        with log.open(encoding="utf-8") as stream:
            stream.seek(offset)
            lines = [json.loads(line) for line in stream if line.endswith("\n")]
        checked = [line for line in lines if line.get("impersonatedUser", {}).get("username") == "it-rbac-checker"]
        # What goes on to a kubelet is written down at its beginning as well.
        return [line for line in checked if line["stage"] == "ResponseComplete"]

    wait_until("the audit log", lambda: len(events()) > 5)
    wrote = [event for event in events() if event["verb"] not in ("get", "list")]
    # The one question to a kubelet, about a pod of a name that cannot be.
    assert [(event["verb"], event["requestURI"].split("?")[0].split("/")[-3:]) for event in wrote] == [
        ("create", ["default", "-", "probe"])
    ]
    done = gone("checked", **wanted)
    assert done["changes"] == foretold["changes"] and done["diff"] == foretold["diff"]
    again = gone("checked", **wanted)
    assert not again["changed"] and again["changes"] == again["diff"] == []
    assert again["accounts"] == done["accounts"]

    back = gone("checked", check=True, state="absent", **wanted)
    assert dest.exists() and any(place in line for line in mine())
    really = gone("checked", state="absent", **wanted)
    assert really["changes"] == back["changes"] and really["diff"] == back["diff"]
    assert {change["what"] for change in back["changes"]} == {change["what"] for change in done["changes"]}
    assert not dest.exists() and not any("checked" in line for line in mine())
    assert not gone("checked", state="absent", **wanted)["changed"]


def test_what_others_changed_is_put_right(cluster: Cluster, gone: t.Callable[..., dict[str, t.Any]]) -> None:
    wanted: dict[str, t.Any] = {"jobs": ["restore"], "namespaces": [cluster.namespace]}
    gone("drift", **wanted)
    title = f"checkpoint-restore:{HOME}:drift"
    inside = ("--namespace", cluster.namespace)
    more = [{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}}]
    kubectl("patch", "clusterrole", title, "--type=json", f"--patch={json.dumps(more)}")
    others = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}]
    kubectl("patch", "rolebinding", title, *inside, "--type=merge", f"--patch={json.dumps({'subjects': others})}")
    kubectl("delete", "clusterrolebinding", title)
    binding = ("create", "clusterrolebinding", title, "--clusterrole=view", f"--serviceaccount={HOME}:drift")
    kubectl(*binding)
    kubectl("label", "clusterrolebinding", title, LABEL)
    kubectl("annotate", "role", title, *inside, "team=ours")

    result = gone("drift", **wanted)
    assert [(change["action"], change["what"].split()[0]) for change in result["changes"]] == [
        ("change", "ClusterRole"),
        ("change", "ClusterRoleBinding"),
        ("change", "RoleBinding"),
    ], result
    assert "secrets" not in kubectl("get", "clusterrole", title, "--output=json")
    assert "eve" not in kubectl("get", "rolebinding", title, *inside, "--output=json")
    assert title in kubectl("get", "clusterrolebinding", title, "--output=jsonpath={.roleRef.name}")
    assert "ours" in kubectl("get", "role", title, *inside, "--output=jsonpath={.metadata.annotations}")

    gone("drift", jobs=["restore"], namespaces=["default"])
    assert [line for line in mine("drift") if line.split()[0] in ("Role", "RoleBinding")] == [
        f"Role default {title}",
        f"RoleBinding default {title}",
    ]
    fewer = gone("drift", jobs=["checkpoint"])
    assert {(change["action"], change["what"].split()[0]) for change in fewer["changes"]} == {
        ("remove", "Role"),
        ("remove", "RoleBinding"),
        ("change", "ClusterRole"),
    }


def test_objects_of_others_are_not_touched(cluster: Cluster, gone: t.Callable[..., dict[str, t.Any]]) -> None:
    inside = ("--namespace", cluster.namespace)
    kubectl("create", "serviceaccount", "backup", *inside)

    def version() -> str:
        return kubectl("get", "serviceaccount", "backup", *inside, "--output=jsonpath={.metadata.resourceVersion}")

    before = version()
    refused = gone("backup", cluster.namespace, jobs=["read"])
    assert refused["code"] == "object_not_ours" and "ServiceAccount backup" in refused["reason"], refused
    left = gone("backup", cluster.namespace, state="absent")
    assert not left["changed"] and "made by others" in " ".join(left["warnings"]), left
    assert version() == before
    # Nothing half done: the name was looked at before anything was made.
    assert not mine(f"{cluster.namespace}:backup")


def test_a_namespace_with_something_of_others_stays(gone: t.Callable[..., dict[str, t.Any]], undo: Undo) -> None:
    place = f"{HOME}-shared"
    gone("shared", place, jobs=["read"])
    undo(lambda: kubectl("delete", "namespace", place, "--ignore-not-found", "--wait"))
    kubectl("create", "configmap", "theirs", "--namespace", place)
    result = gone("shared", place, state="absent")
    assert "configmaps/theirs" in " ".join(result["warnings"]), result
    assert kubectl("get", "configmap", "theirs", "--namespace", place, "--output=name")
    assert mine() == [line for line in mine() if "shared" not in line or line == f"Namespace  {place}"]
    kubectl("delete", "configmap", "theirs", "--namespace", place)
    last = gone("shared", place, state="absent")
    assert [change["what"] for change in last["changes"]] == [f"Namespace {place}"]


def test_tokens_and_kubeconfigs(controller: Controller, gone: t.Callable[..., dict[str, t.Any]]) -> None:
    dest = controller.directory / "kubeconfig"

    def call(**more: t.Any) -> dict[str, t.Any]:
        return gone("tokens", jobs=["read"], dest=str(dest), **more)

    first = call(token_expiration="1d", token_renew_before="1h")
    content = dest.read_bytes()
    assert dest.stat().st_mode & 0o777 == 0o600 and "eyJ" not in json.dumps(first)
    assert not call(token_expiration="1d", token_renew_before="1h")["changed"] and dest.read_bytes() == content

    dest.chmod(0o644)
    assert call(token_renew_before="1h")["changed"]
    assert dest.stat().st_mode & 0o777 == 0o600 and dest.read_bytes() == content

    foretold = call(check=True, token_renew_before="2d")
    assert foretold["changed"] and dest.read_bytes() == content
    renewed = call(token_expiration="4d", token_renew_before="2d")
    assert renewed["changed"] and dest.read_bytes() != content
    assert renewed["accounts"][0]["expires"] > first["accounts"][0]["expires"]
    assert as_account(str(dest), "get", "nodes").returncode == 0

    asked = [call(token=True)["accounts"][0]["token"] for _time in range(2)]
    assert asked[0] != asked[1] and json.loads(dest.read_text())["users"][0]["user"]["token"] == asked[1]

    # The token of an account that was removed is worth nothing to the next one of that name.
    kubectl("delete", "serviceaccount", "tokens", "--namespace", HOME)
    assert "nauthorized" in as_account(str(dest), "get", "nodes").stderr
    assert call()["changed"] and as_account(str(dest), "get", "nodes").returncode == 0

    foreign = controller.directory / "foreign"
    shutil.copy(LAB.parents[1] / ".lab" / "kubeconfig", foreign)
    before = foreign.read_bytes()
    for state in ("present", "absent"):
        refused = gone("tokens", jobs=["read"], dest=str(foreign), state=state)
        assert refused["code"] == "object_not_ours" and str(foreign) in refused["reason"], refused
    assert foreign.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"jobs": []}, "no jobs"),
        ({"jobs": ["read"], "namespaces": ["it-rbac-nowhere"]}, "no namespace it-rbac-nowhere"),
        ({"jobs": ["read"], "dest": "/nonexistent/kubeconfig"}, "directory"),
        ({"jobs": ["read"], "token_expiration": "soon"}, "token_expiration"),
    ],
)
def test_wrong_options_are_named(gone: t.Callable[..., dict[str, t.Any]], given: dict[str, t.Any], word: str) -> None:
    refused = gone("wrong", **given)
    assert refused["code"] == "invalid_option" and word in refused["msg"], refused
    assert not mine("wrong")


def test_somebody_without_rights_is_told_what_is_needed(
    accounts: Accounts, controller: Controller, gone: t.Callable[..., dict[str, t.Any]]
) -> None:
    refused = gone("greedy", jobs=["restore"], kubeconfig=accounts.kubeconfig["read"])
    assert refused["code"] == "forbidden" and "administrator" in refused["hint"], refused


@pytest.fixture
def weak_api_server(tmp_path: pathlib.Path) -> t.Iterator[str]:
    """A second API server of the cluster, whose client at the kubelets is no administrator; tokens last an hour."""
    (pid,) = (pid for pid in Cgroup("kube-apiserver").pids() if "apiserver" in _command(pid)[0])
    options = dict(part.removeprefix("--").partition("=")[::2] for part in _command(pid)[1:])
    pki = Pki(tmp_path / "pki")
    pki.directory.mkdir(mode=0o700)
    for name in ("ca.crt", "ca.key"):
        shutil.copy(pathlib.Path(options["client-ca-file"]).with_name(name), pki.path(name))
    pki.certificate(CLIENT, f"/CN={CLIENT}")
    options |= {
        "secure-port": str(PORT),
        "kubelet-client-certificate": str(pki.path(f"{CLIENT}.crt")),
        "kubelet-client-key": str(pki.path(f"{CLIENT}.key")),
        "audit-log-path": str(tmp_path / "audit.log"),
        # It must not be taken for the cluster's own: its end would take the service's address away.
        "endpoint-reconciler-type": "none",
        "service-account-max-token-expiration": "1h",
    }
    command = [_command(pid)[0], *(f"--{name}={value}" if value else f"--{name}" for name, value in options.items())]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(tmp_path / "apiserver.log", "wb"))
        process = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "--", *command], stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        url = f"https://{options['bind-address']}:{PORT}"

        def ready() -> bool:
            assert process.poll() is None, (tmp_path / "apiserver.log").read_text()[-2000:]
            return kubectl(f"--server={url}", "get", "--raw=/readyz", check=False) == "ok"

        wait_until("the second API server", ready, 120, 1)
        yield url


def _command(pid: int) -> list[str]:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def test_the_api_servers_own_client_gets_the_right_it_lacks(
    accounts: Accounts, cluster: Cluster, controller: Controller, weak_api_server: str, undo: Undo
) -> None:
    # As clusters have it that bind their client to nothing but that role.
    kubectl("create", "clusterrolebinding", CLIENT, "--clusterrole=system:kubelet-api-admin", f"--user={CLIENT}")
    undo(lambda: kubectl("delete", "clusterrolebinding", CLIENT))
    target = {"node": "ctd-a", "namespace": cluster.namespace, "pod": "counter-ctd-a", "container": "app"}

    def checkpoint() -> dict[str, t.Any]:
        return controller.task("kubelet_checkpoint", host=weak_api_server, via="apiserver", targets=[target])

    def access(**more: t.Any) -> dict[str, t.Any]:
        return controller.task("checkpoint_access", host=weak_api_server, kubelet_client=True, **more)

    # The cluster's own API server has the right by another way: nothing is given.
    assert not controller.task("checkpoint_access", kubelet_client=True)["changed"]
    refused = checkpoint()
    assert [entry["code"] for entry in refused["failures"]] == ["apiserver_kubelet_forbidden"], refused

    undo(lambda: access(state="absent"))
    foretold = access(check=True)
    given = access()
    assert given["changes"] == foretold["changes"] and len(given["changes"]) == 2, given
    assert given["kubelet_client_user"] == CLIENT
    assert not access()["changed"]
    # A kubelet remembers a refusal for half a minute.
    taken: dict[str, t.Any] = {}

    def works() -> bool:
        taken.update(checkpoint())
        return not taken["failed"]

    wait_until("the kubelet to know the right", works, 60, 5)
    remove_archives(taken)
    assert not access()["changed"], "a grant of ours that helps was taken away"

    back = access(state="absent")
    assert {change["action"] for change in back["changes"]} == {"remove"} and len(back["changes"]) == 2
    assert not access(state="absent")["changed"]

    # By name, no kubelet has to be asked.
    named = access(kubelet_client_user=CLIENT)
    assert named["kubelet_client_user"] == CLIENT and len(named["changes"]) == 2
    assert not access(kubelet_client_user=CLIENT)["changed"]

    # This API server shortens tokens, and the result says so.
    short = controller.task(
        "checkpoint_access",
        host=weak_api_server,
        namespace=HOME,
        accounts=[{"name": "read", "jobs": ["read"], "token": True}],
    )
    long = controller.task(
        "checkpoint_access", namespace=HOME, accounts=[{"name": "read", "jobs": ["read"], "token": True}]
    )
    assert short["accounts"][0]["expires"] < long["accounts"][0]["expires"]
    assert "lets the token live only until" in " ".join(short["warnings"]), short
    assert not long.get("warnings"), long
