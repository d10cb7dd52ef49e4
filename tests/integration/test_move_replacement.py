# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's replacement on another node, made by real controllers: who makes it, what it is, and what is left afterwards.

Nothing is frozen or restored here: without a ticket the replacement starts from its image.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import signal
import threading
import traceback
import types
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import access_objects
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.auth import api_server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import objects, policy, ways
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import plan as plans
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import state as state_files
from restore_support import CLASS, CRIO, CTD
from support import REGISTRY, Cluster, kubectl, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

Thing = dict[str, t.Any]

HOSTNAME = "kubernetes.io/hostname"
SECONDS = 60.0
NEVER = threading.Event()


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> t.Iterator[ApiSession]:
    """Of somebody who may do what the job ``migrate`` may, and nothing else."""
    name = f"{cluster.namespace}-tester"
    group = access_objects.RBAC_GROUP
    rules = access_objects.rules(access_objects.JOBS["migrate"])
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
    }
    cluster.apply(role, binding)
    yield ApiSession(api_server({"kubeconfig": os.environ["KUBECONFIG"], "impersonate_user": name}))
    kubectl("delete", "clusterrole,clusterrolebinding", name)


@pytest.fixture(scope="module")
def admin() -> ApiSession:
    return ApiSession(api_server({"kubeconfig": os.environ["KUBECONFIG"]}))


class Mover:
    """Moves of pods in a test's namespace, with their state files in a folder of the test's own."""

    def __init__(self, session: ApiSession, admin: ApiSession, namespace: str, folder: pathlib.Path) -> None:
        self.session = session
        self.admin = admin
        self.namespace = namespace
        self.folder = str(folder)
        self.numbers: set[str] = set()

    def plan(self, pod: str, **options: t.Any) -> plans.Plan:
        """To the other of the two nodes."""
        where = self.pod(pod)["spec"]["nodeName"]
        target = options.pop("target", CTD if where == CRIO else CRIO)
        plan = plans.make(self.session, self.namespace, pod, target, runtime_class=CLASS, **options)
        self.numbers.add(plan.number)
        return plan

    def begin(self, plan: plans.Plan) -> tuple[t.Any, t.Any]:
        return ways.begin(self.session, plan, self.folder)

    def move(self, pod: str, **options: t.Any) -> tuple[plans.Plan, Thing]:
        """The plan, and the replacement as it runs."""
        plan = self.plan(pod, **options)
        replacement, state = self.begin(plan)
        with state:
            replacement.prepare()
            replacement.prove(Deadline(SECONDS), NEVER)
            replacement.replace()
            made = replacement.wait(Deadline(SECONDS), NEVER)
            replacement.clean()
            state.end("moved")
            assert state.owed == []
        self.is_replacement(plan, made)
        return plan, made

    def is_replacement(self, plan: plans.Plan, made: Thing) -> None:
        metadata, spec = made["metadata"], made["spec"]
        assert metadata["uid"] != plan.uid and metadata["name"] == plan.replacement
        assert metadata["annotations"][objects.MOVE] == plan.number
        assert (spec["nodeName"], spec["runtimeClassName"]) == (plan.target, CLASS)
        assert spec["nodeSelector"][HOSTNAME] == plan.hostname
        assert [each["restartCount"] for each in made["status"]["containerStatuses"]] == [0]

    def pod(self, name: str) -> Thing:
        found = self.session.pod(self.namespace, name)
        assert found is not None, name
        return found

    def pods(self, **labels: str) -> list[Thing]:
        """Those that are not being deleted."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.session.pods(self.namespace, labels=wanted)
        return [each for each in found if not each["metadata"].get("deletionTimestamp")]

    def nothing_left(self) -> None:
        """No policy, binding, Lease or deletion cost of any of its moves; other tests may be at theirs."""
        collections = [*policy.collections("v1"), objects.collection("Lease", self.namespace)]
        of_moves = [each["metadata"] for path in collections for each in self.admin.things(path, labels=[objects.MOVE])]
        left = [each["name"] for each in of_moves if each["labels"][objects.MOVE] in self.numbers]
        costly = [each["metadata"]["name"] for each in self.pods() if objects.DELETION_COST in objects.notes(each)]
        assert left == costly == []


@pytest.fixture
def mover(session: ApiSession, admin: ApiSession, cluster: Cluster, tmp_path: pathlib.Path) -> t.Iterator[Mover]:
    made = Mover(session, admin, cluster.namespace, tmp_path / "moves")
    yield made
    made.nothing_left()


def refused(call: t.Callable[[], t.Any]) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        call()
    return caught.value


def failed(error: CheckpointError) -> list[str]:
    assert error.code == "preflight_failed"
    return [check["name"] for check in error.details["checks"] if check["result"] == "failed"]


def workload(cluster: Cluster, kind: str, name: str, **spec: t.Any) -> Thing:
    """A controller of pods of counter, on either of the two nodes."""
    terms = [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [CRIO, CTD]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    pod = {
        "terminationGracePeriodSeconds": 1,
        "affinity": affinity,
        "containers": [{"name": "app", "image": f"{REGISTRY}/counter:1"}],
        **({"restartPolicy": "Never"} if kind == "Job" else {}),
    }
    selector = {} if kind == "Job" else {"selector": {"matchLabels": {"name": name}}}
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {**selector, "template": {"metadata": {"labels": {"name": name}}, "spec": pod}, **spec},
    }


@pytest.fixture
def run(cluster: Cluster, mover: Mover, undo: t.Callable[[t.Callable[[], t.Any]], None]) -> t.Callable[..., list[str]]:
    """Applies a controller, and gives the names of its pods once they are Ready."""

    def applied(document: Thing, count: int = 1) -> list[str]:
        kind, name = document["kind"], document["metadata"]["name"]
        cluster.apply(document)
        undo(lambda: kubectl("delete", kind, name, "--namespace", cluster.namespace, "--ignore-not-found", "--wait"))
        wait_until(f"{count} pods of {name}", lambda: len(ready(mover, name)) == count)
        return ready(mover, name)

    return applied


def ready(mover: Mover, name: str) -> list[str]:
    pods = [each for each in mover.pods(name=name) if is_ready(each)]
    return sorted(each["metadata"]["name"] for each in pods)


def is_ready(pod: Thing) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def owner_of(pod: Thing) -> str:
    (reference,) = pod["metadata"]["ownerReferences"]
    assert reference["controller"]
    return f"{reference['kind']} {reference['name']}"


def uids(mover: Mover, name: str) -> dict[str, str]:
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in mover.pods(name=name)}


def test_a_bare_pod(cluster: Cluster, mover: Mover) -> None:
    document = cluster.pod("bare", CRIO)
    document["metadata"]["annotations"] = {"example.com/team": "shop"}
    cluster.apply(document)
    before = mover.pod("bare")
    plan, made = mover.move("bare")
    assert plan.way == "bare" and made["metadata"]["labels"] == before["metadata"]["labels"]
    assert made["metadata"]["annotations"]["example.com/team"] == "shop"
    mover.move("bare")
    cluster.delete("bare")


def test_a_stateful_set_keeps_name_and_claim(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    template = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    document = workload(cluster, "StatefulSet", "web", serviceName="web", replicas=2, volumeClaimTemplates=[template])
    mount = {"name": "data", "mountPath": "/data"}
    document["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
    for number in (0, 1):
        cluster.apply(shared_volume(cluster, f"data-web-{number}"))
    assert run(document, 2) == ["web-0", "web-1"]
    before = uids(mover, "web")
    plan, made = mover.move("web-0")
    assert (plan.way, plan.policy_version) == ("policy", "v1")
    assert owner_of(made) == "StatefulSet web"
    volumes = {each["name"]: each for each in made["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data-web-0"
    assert uids(mover, "web")["web-1"] == before["web-1"]


def shared_volume(cluster: Cluster, claim: str, *nodes: str) -> Thing:
    """A volume for one claim; of these nodes alone where there are any."""
    terms = [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": list(nodes)}]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{cluster.namespace}-{claim}"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Mi"},
            "claimRef": {"namespace": cluster.namespace, "name": claim},
            "hostPath": {"path": f"/tmp/{cluster.namespace}", "type": "DirectoryOrCreate"},
            **({"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if nodes else {}),
        },
    }


@pytest.fixture(autouse=True, scope="module")
def _no_volume_stays(cluster: Cluster) -> t.Iterator[None]:
    yield
    names = kubectl("get", "persistentvolume", "--output=name").split()
    own = [name for name in names if f"/{cluster.namespace}-" in name]
    if own:
        kubectl("delete", "--wait=false", *own)


def test_a_volume_of_one_node_does_not_follow(cluster: Cluster, mover: Mover) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "local", "namespace": cluster.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    pod = cluster.pod("local", CRIO, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "local"}}]
    cluster.apply(shared_volume(cluster, "local", CRIO), claim)
    cluster.apply(pod)
    assert failed(refused(lambda: mover.plan("local"))) == ["claim"]
    cluster.delete("local")


def test_a_deployment(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    names = run(workload(cluster, "Deployment", "shop", replicas=3), 3)
    before = uids(mover, "shop")
    plan, made = mover.move(names[0])
    assert plan.way == "policy" and owner_of(made).startswith("ReplicaSet shop-")
    assert set(uids(mover, "shop")) == {*names[1:], plan.replacement}
    assert {name: uid for name, uid in uids(mover, "shop").items() if name in before} == {
        name: before[name] for name in names[1:]
    }


def test_a_job_counts_no_failure(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    (name,) = run(workload(cluster, "Job", "batch", backoffLimit=0))
    _plan, made = mover.move(name)
    assert owner_of(made) == "Job batch" and objects.JOB_FINALIZER in made["metadata"]["finalizers"]
    status = mover.admin.get(objects.path("Job", cluster.namespace, "batch"))["status"]  # type: ignore[index]
    assert (status.get("active"), status.get("failed", 0)) == (1, 0)


def test_an_indexed_job_keeps_the_index(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    names = run(workload(cluster, "Job", "index", completionMode="Indexed", completions=2, parallelism=2), 2)
    others = {name: uid for name, uid in uids(mover, "index").items() if name != names[1]}
    plan, made = mover.move(names[1])
    index = objects.notes(made)[objects.JOB_INDEX]
    assert index == "1" and made["metadata"]["name"].startswith("index-1-")
    assert uids(mover, "index") == {**others, plan.replacement: made["metadata"]["uid"]}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_ten_in_a_row(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]], kind: str) -> None:
    more = {"serviceName": "row"} if kind == "StatefulSet" else {}
    (name,) = run(workload(cluster, kind, f"row-{kind.lower()}", **more))
    seen = set()
    for _round in range(10):
        # The API server may still have the policy of the one before.
        wait_until("the rollout to be over", functools.partial(movable, mover, name))
        plan, made = mover.move(name)
        seen.add(made["metadata"]["uid"])
        name = plan.replacement
        assert list(uids(mover, f"row-{kind.lower()}")) == [name]
    assert len(seen) == 10


def movable(mover: Mover, name: str, options: t.Mapping[str, t.Any] = types.MappingProxyType({})) -> bool:
    return refusal(lambda: mover.plan(name, **options)) is None


def test_a_policy_that_does_not_act_is_found_before_anything_is_touched(
    cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]
) -> None:
    (name,) = run(workload(cluster, "Deployment", "inactive"))
    plan = mover.plan(name)
    replacement, state = mover.begin(plan)
    with state:
        replacement.prepare()
        kubectl("delete", "mutatingadmissionpolicybinding", policy.object_name(plan.number))
        # It was known to the API server for a moment, perhaps.
        wait_until("the policy to act no longer", lambda: does_not_act(replacement))
        replacement.undo()
        assert state.owed == []
    assert uids(mover, "inactive") == {name: plan.uid}


def does_not_act(replacement: t.Any) -> bool:
    return refusal(lambda: replacement.prove(Deadline(0.5), NEVER)) == "policy_inactive"


def refusal(call: t.Callable[[], t.Any]) -> t.Optional[str]:
    """The code of the error, if there is one."""
    try:
        call()
    except CheckpointError as error:
        return error.code
    return None


def test_a_template_that_is_another_by_now(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    document = workload(cluster, "StatefulSet", "older", serviceName="older", updateStrategy={"type": "OnDelete"})
    run(document)
    document["spec"]["template"]["spec"]["containers"][0]["args"] = ["8080", "500"]
    cluster.apply(document)
    wait_until("the controller to see it", lambda: "rollout" in failed(refused(lambda: mover.plan("older-0"))))
    alone = workload(cluster, "ReplicaSet", "alone")
    (name,) = run(alone)
    alone["spec"]["template"]["spec"]["containers"][0]["args"] = ["8080", "500"]
    cluster.apply(alone)
    replacement, state = mover.begin(mover.plan(name))
    with state:
        replacement.prepare()
        error = refused(lambda: replacement.prove(Deadline(SECONDS), NEVER))
        assert error.code == "replacement_differs" and "args of app" in error.reason
        replacement.undo()


def test_a_pod_that_the_owner_makes_for_another_reason(
    cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]
) -> None:
    (name,) = run(workload(cluster, "Deployment", "more"))
    plan = mover.plan(name)
    replacement, state = mover.begin(plan)
    with state:
        replacement.prepare()
        replacement.prove(Deadline(SECONDS), NEVER)
        kubectl("scale", "deployment/more", "--namespace", cluster.namespace, "--replicas=3")
        wait_until("one of the two", lambda: came(mover, plan))
        assert refused(replacement.replace).code == "replacement_early"
        replacement.undo()
    assert mover.pod(name)["metadata"]["uid"] == plan.uid
    # The policy served one pod; without it the controller makes the other one as always.
    wait_until("three pods", lambda: len(ready(mover, "more")) == 3)
    marked = [each["metadata"]["name"] for each in mover.pods(name="more") if objects.MOVE in objects.notes(each)]
    assert marked == [plan.replacement]


def test_a_disruption_budget(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    (name,) = run(workload(cluster, "Deployment", "guarded"))
    replacement, state = mover.begin(mover.plan(name))
    with state:
        replacement.prepare()
        replacement.prove(Deadline(SECONDS), NEVER)
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "guarded", "namespace": cluster.namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"name": "guarded"}}},
        }
        cluster.apply(budget)
        place = f"/apis/policy/v1/namespaces/{cluster.namespace}/poddisruptionbudgets/guarded"
        wait_until("the budget to count", lambda: mover.admin.get(place)["status"].get("expectedPods") == 1)  # type: ignore[index]
        assert refused(replacement.replace).code == "budget_refuses"
        replacement.undo()
        assert state.owed == []
    mover.nothing_left()
    assert failed(refused(lambda: mover.plan(name))) == ["budget"]
    # With the replacement first there is never one less.
    plan, _made = mover.move(name, order="replacement_first")
    wait_until("the one to be left", lambda: list(uids(mover, "guarded")) == [plan.replacement])


def test_replacement_first(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    names = run(workload(cluster, "Deployment", "first", replicas=2), 2)
    plan = mover.plan(names[0], order="replacement_first")
    replacement, state = mover.begin(plan)
    with state:
        replacement.prepare()
        replacement.prove(Deadline(SECONDS), NEVER)
        replacement.replace()
        wait_until("three pods", lambda: len(ready(mover, "first")) == 3)
        replacement.undo()
    wait_until("the two of before", lambda: sorted(uids(mover, "first")) == names)
    assert uids(mover, "first")[names[0]] == plan.uid
    mover.nothing_left()
    wait_until("the Deployment to know", lambda: not refusal(lambda: mover.plan(names[0], order="replacement_first")))
    plan, _made = mover.move(names[0], order="replacement_first")
    wait_until("two pods", lambda: sorted(uids(mover, "first")) == sorted([names[1], plan.replacement]))
    scale = mover.session.get(objects.path("Deployment", cluster.namespace, "first"))
    assert scale is not None and scale["spec"]["replicas"] == 2


def test_adoption(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    names = run(workload(cluster, "Deployment", "adopt", replicas=2), 2)
    replacement, state = mover.begin(mover.plan(names[0], policies=False))
    with state:
        replacement.prepare()
        replacement.prove(Deadline(SECONDS), NEVER)
        replacement.replace()
        replacement.undo()
    assert ready(mover, "adopt") == names
    plan, made = mover.move(names[0], policies=False)
    assert plan.way == "adoption"
    wait_until("two pods", lambda: sorted(uids(mover, "adopt")) == sorted([names[1], plan.replacement]))
    made = mover.pod(plan.replacement)
    assert owner_of(made).startswith("ReplicaSet adopt-")


def test_orphaning(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    run(workload(cluster, "StatefulSet", "orphan", serviceName="orphan", replicas=2), 2)
    before = uids(mover, "orphan")
    place = objects.path("StatefulSet", cluster.namespace, "orphan")
    old = mover.session.get(place)
    plan, _made = mover.move("orphan-0", policies=False)
    assert plan.way == "orphaning"

    def adopted() -> bool:
        found = [each["metadata"].get("ownerReferences") for each in mover.pods(name="orphan")]
        return all(found) and len(found) == 2

    wait_until("the new set to adopt both", adopted)
    new = mover.session.get(place)
    assert old is not None and new is not None
    assert new["spec"] == old["spec"] and new["metadata"]["uid"] != old["metadata"]["uid"]
    wait_until("the set to be as it was", lambda: mover.session.get(place)["status"].get("readyReplicas") == 2)  # type: ignore[index]
    after = uids(mover, "orphan")
    assert after["orphan-1"] == before["orphan-1"] and owner_of(mover.pod("orphan-0")) == "StatefulSet orphan"
    revision = "controller-revision-hash"
    assert {each["metadata"]["labels"][revision] for each in mover.pods(name="orphan")} == {
        mover.session.get(place)["status"]["updateRevision"]  # type: ignore[index]
    }
    # Undone right after the set was deleted: it is there again, and nothing else has changed.
    replacement, state = mover.begin(mover.plan("orphan-1", policies=False))
    with state:
        replacement.prepare()
        replacement.undo()
    wait_until("the set to adopt its pods", adopted)
    assert uids(mover, "orphan") == after


def test_one_move_at_a_time_and_a_killed_one_is_undone_by_another(
    cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]
) -> None:
    names = run(workload(cluster, "Deployment", "once", replicas=2), 2)
    plan = mover.plan(names[0])
    replacement, state = mover.begin(plan)
    replacement.prepare()
    other, other_state = mover.begin(mover.plan(names[1]))
    with other_state:
        error = refused(other.prepare)
        assert error.code == "move_under_way" and plan.number in error.reason
        other.undo()
    # The lock goes with the process that had it.
    state.close()
    again, state = ways.resume(mover.session, plan.number, mover.folder)
    with state:
        assert dataclasses.asdict(again._plan) == dataclasses.asdict(plan)
        again.undo()
        state.end("undone")
    assert sorted(uids(mover, "once")) == names


class Killing(ApiSession):
    """Ends its process by SIGKILL once so many changes of the cluster are answered."""

    left = 0

    def _ask(self, path: str, query: t.Mapping[str, str], **more: t.Any) -> t.Optional[Thing]:
        answer = super()._ask(path, query, **more)
        body = more.get("body") or {}
        dry = query.get("dryRun") or "dryRun" in (body.get("deleteOptions") or {} if isinstance(body, dict) else {})
        if more.get("method", "GET") != "GET" and not dry:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return answer


def moved_until_killed(mover: Mover, pod: str, changes: int, options: Thing) -> bool:
    """Move in a process of its own that is killed after so many changes; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            mover.session = Killing(mover.session.server)
            mover.session.left = changes
            mover.move(pod, **options)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Deployment", {}),
        ("Deployment", {"order": "replacement_first"}),
        ("Deployment", {"policies": False}),
        ("StatefulSet", {"policies": False}),
        ("Job", {}),
    ],
    ids=["policy", "replacement_first", "adoption", "orphaning", "job"],
)
def test_killed_after_every_change(
    cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]], kind: str, options: Thing
) -> None:
    name = f"killed-{kind.lower()}-{len(options) + options.get('policies', True)}"
    (pod,) = run(workload(cluster, kind, name, **({"serviceName": "killed"} if kind == "StatefulSet" else {})))
    undone = forward = 0
    for changes in range(1, 30):
        wait_until("the pod to be movable", functools.partial(movable, mover, pod, options))
        before = mover.pod(pod)["metadata"]["uid"]
        if not moved_until_killed(mover, pod, changes, options):
            break
        (number,) = state_files.unfinished(mover.folder)
        again, state = ways.resume(mover.session, number, mover.folder)
        with state:
            if refusal(again.undo) == "too_late":
                forward += 1
                again.replace()
                again.wait(Deadline(SECONDS), NEVER)
                again.clean()
            else:
                undone += 1
                assert mover.pod(pod)["metadata"]["uid"] == before
            state.end("undone")
            assert state.owed == []
        wait_until("the one pod", functools.partial(only_one, mover, name))
        (pod,) = ready(mover, name)
        mover.nothing_left()
    else:
        raise AssertionError("it never came to its end")
    assert undone >= 2 and forward >= 1


def only_one(mover: Mover, name: str) -> bool:
    return len(uids(mover, name)) == len(ready(mover, name)) == 1


@pytest.mark.parametrize(("kind", "order"), [("StatefulSet", "source_first"), ("Deployment", "replacement_first")])
def test_back_to_its_node_where_the_replacement_fails(
    cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]], kind: str, order: t.Any
) -> None:
    name = f"back-{kind.lower()}"
    more = {"serviceName": "back"} if kind == "StatefulSet" else {}
    (pod,) = run(workload(cluster, kind, name, **more))
    plan = mover.plan(pod, order=order)
    replacement, state = mover.begin(plan)
    with state:
        replacement.prepare()
        replacement.prove(Deadline(SECONDS), NEVER)
        replacement.replace()
        wait_until("the replacement", lambda: came(mover, plan))
        # It is not waited for: the next one takes its place.
        again = ways.redirect(mover.session, plan, state, plan.node)
        again.prepare()
        again.prove(Deadline(SECONDS), NEVER)
        again.replace()
        made = again.wait(Deadline(SECONDS), NEVER)
        again.clean()
        assert state.owed == []
    assert (made["spec"]["nodeName"], made["metadata"]["annotations"][objects.MOVE]) == (plan.node, plan.number)
    wait_until("the one to be left", lambda: list(uids(mover, name)) == [made["metadata"]["name"]])


def came(mover: Mover, plan: plans.Plan) -> bool:
    found = mover.session.pod(mover.namespace, plan.replacement)
    return found is not None and found["metadata"]["uid"] != plan.uid


def test_a_daemon_sets_pod_stays(cluster: Cluster, mover: Mover, run: t.Callable[..., list[str]]) -> None:
    names = run(workload(cluster, "DaemonSet", "daemon"), 2)
    error = refused(lambda: mover.plan(names[0]))
    assert error.code == "owner_unsupported" and "DaemonSet" in error.reason
