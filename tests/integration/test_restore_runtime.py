# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore runtime on real nodes: real pods, real archives, both container runtimes, both directions."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import typing as t
from unittest import mock

import pytest
from labkit import images
from restore_support import CLASS, CRIO, CTD, STORE, Archives, leftovers, security, ticket
from support import Cluster, Controller, kubectl, lab, node_run, wait_until

PLACE = "/root/it-restore-runtime"
DIARY = pathlib.Path(__file__).with_name("diary.c")
ON_NODE = pathlib.Path(__file__).with_name("restore_on_node.py")
STRICT = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
}


def role(directory: pathlib.Path, **variables: t.Any) -> tuple[int, str]:
    """Run the role on both nodes; its exit status and output."""
    controller = Controller(directory)
    return controller.role("restore_runtime", CRIO, CTD, **variables).returncode, controller.output


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[pathlib.Path]:
    """The role's work: programs, handlers, RuntimeClass."""
    directory = tmp_path_factory.mktemp("role")
    status, output = role(directory)
    assert status == 0, output
    yield directory
    status, output = role(directory, restore_runtime_state="absent")
    assert status == 0, output
    for node in (CRIO, CTD):
        assert node_run(node, f"ls -d {STORE}/[rt]* /opt/checkpoint-restore 2>/dev/null", check=False) == ""
    assert CLASS not in kubectl("get", "runtimeclasses")


@pytest.fixture(scope="module")
def counters(cluster: Cluster, archives: Archives) -> dict[str, tuple[int, int]]:
    """An archive of a counter from each node, on both nodes; how far each had counted before it and after it."""
    found: dict[str, tuple[int, int]] = {}
    for source in (CRIO, CTD):
        name = f"source-{source}"
        cluster.apply(cluster.pod(name, source))
        cluster.says(name, "count 3")
        before = last_count(cluster.logs(name))
        archive = archives.checkpoint(name, source)
        found[source] = (before, last_count(cluster.logs(name)))
        for target in (CRIO, CTD):
            archives.carry(source, archive, target, f"{source}.tar")
        cluster.delete(name)
    return found


def at(name: str) -> str:
    """Where an archive lies on both nodes."""
    return f"{PLACE}/{name}.tar"


def last_count(text: str) -> int:
    return int(re.findall(r"^count (\d+)$", text, re.MULTILINE)[-1])


def first_count(text: str) -> int:
    return int(re.findall(r"^count (\d+)$", text, re.MULTILINE)[0])


def restorable(cluster: Cluster, name: str, node: str, **container: t.Any) -> dict[str, t.Any]:
    pod = cluster.pod(name, node, **container)
    pod["spec"].update(runtimeClassName=CLASS, restartPolicy="Never")
    return pod


def used(controller: Controller, cluster: Cluster, node: str, pod: str, **more: t.Any) -> dict[str, t.Any]:
    """What the ticket for the container ``app`` of a pod says of its use."""
    given = {"namespace": cluster.namespace, "pod": pod, "container": "app", "state": "used", **more}
    return controller.task("checkpoint_ticket", on=node, keywords={"become": True}, **given)


def container_id(cluster: Cluster, pod: str) -> str:
    return str(cluster.get(pod)["status"]["containerStatuses"][0]["containerID"])


def says_no(cluster: Cluster, pod: str) -> str:
    """The sentence of the restore runtime in an event of the pod."""
    found: list[str] = []

    def refused() -> bool:
        selector = f"--field-selector=involvedObject.name={pod}"
        events = json.loads(kubectl("get", "events", "--namespace", cluster.namespace, selector, "--output=json"))
        found[:] = [event["message"] for event in events["items"] if "checkpoint-restore: " in event["message"]]
        return bool(found)

    wait_until(f"{pod} to be refused", refused)
    return found[0]


def first_process(cluster: Cluster, node: str, pod: str) -> int:
    """The PID on the node."""
    container = container_id(cluster, pod).rpartition("/")[2]
    return int(json.loads(node_run(node, f"crictl inspect {container}"))["info"]["pid"])


def process(cluster: Cluster, node: str, pod: str) -> dict[str, str]:
    """/proc/PID/status of the container's first process, and its root mount's options as "root"."""
    pid = first_process(cluster, node, pod)
    status = dict(line.split(":", 1) for line in node_run(node, f"cat /proc/{pid}/status").splitlines())
    root = next(line for line in node_run(node, f"cat /proc/{pid}/mountinfo").splitlines() if line.split()[4] == "/")
    return {key: value.strip() for key, value in {**status, "root": root.split()[5]}.items()}


def test_the_role_changes_nothing_twice(installed: pathlib.Path) -> None:
    status, output = role(installed)
    assert status == 0, output
    assert re.findall(r"changed=(\d+)", output) == ["0", "0"], output


@pytest.mark.parametrize("target", [CTD, CRIO])
@pytest.mark.parametrize("source", [CRIO, CTD])
def test_counter_goes_on(
    cluster: Cluster, controller: Controller, counters: dict[str, tuple[int, int]], source: str, target: str
) -> None:
    name = f"counter-{source}-{target}"
    # containerd grants a pod more capabilities than CRI-O does.
    ticket(controller, cluster, target, name, at(source), security=security(source, target))
    cluster.apply(restorable(cluster, name, target))
    cluster.says(name, "count")
    log = cluster.logs(name)
    before, after = counters[source]
    assert "listening" not in log
    assert before < first_count(log) <= after + 1
    status = cluster.get(name)["status"]["containerStatuses"][0]
    assert (status["restartCount"], status["ready"]) == (0, True)
    proved = used(controller, cluster, target, name, container_id=status["containerID"], wait="10s")
    assert not proved["failed"], proved
    assert proved["receipt"]["outcome"] == "restored"
    assert proved["receipt"]["sha256"] == node_run(target, f"sha256sum {PLACE}/{source}.tar").split()[0]
    assert used(controller, cluster, target, name, container_id="0" * 64)["code"] == "another_container"
    assert leftovers(target) == ""


def test_an_unpacked_archive(cluster: Cluster, controller: Controller, counters: dict[str, tuple[int, int]]) -> None:
    folder = f"{PLACE}/unpacked"
    node_run(
        CTD, f"umask 077; mkdir {folder}; tar --extract --no-same-owner --file={PLACE}/{CTD}.tar --directory={folder}"
    )
    digests = node_run(CTD, f"cd {folder}; sha256sum checkpoint/*")
    ticket(controller, cluster, CTD, "unpacked", folder)
    cluster.apply(restorable(cluster, "unpacked", CTD))
    cluster.says("unpacked", "count")
    assert first_count(cluster.logs("unpacked")) > counters[CTD][0]
    # It can serve again: what is repaired is repaired in copies.
    assert node_run(CTD, f"cd {folder}; sha256sum checkpoint/*") == digests
    assert leftovers(CTD) == ""


@pytest.mark.parametrize("target", [CTD, CRIO])
def test_more_than_the_pod_grants(
    cluster: Cluster, controller: Controller, counters: dict[str, tuple[int, int]], target: str
) -> None:
    assert counters
    refused, clamped = f"refused-{target}", f"clamped-{target}"
    ticket(controller, cluster, target, refused, at(CRIO))
    ticket(controller, cluster, target, clamped, at(CRIO), security="clamp")
    cluster.apply(
        restorable(cluster, refused, target, **STRICT), restorable(cluster, clamped, target, **STRICT), ready=False
    )
    sentence = says_no(cluster, refused)
    for name in ("capability:CAP_CHOWN", "capability:CAP_SETUID", "no_new_privs", "writable:/"):
        assert f"[{name}]" in sentence
    told = used(controller, cluster, target, refused)
    assert (told["code"], told["receipt"]["code"]) == ("restore_failed", "excess")
    assert told["message"] in sentence
    cluster.says(clamped, "count")
    assert "listening" not in cluster.logs(clamped)
    held = process(cluster, target, clamped)
    assert {held[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert held["NoNewPrivs"] == "1"
    assert "ro" in held["root"].split(",")
    cluster.delete(refused)
    assert leftovers(target) == ""


@pytest.mark.parametrize("target", [CTD, CRIO])
def test_what_cannot_be_taken_away_is_refused(
    cluster: Cluster, controller: Controller, counters: dict[str, tuple[int, int]], target: str
) -> None:
    assert counters
    name = f"strict-{target}"
    ticket(controller, cluster, target, name, at(CRIO), security="clamp")
    context = {"runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}}
    cluster.apply(restorable(cluster, name, target, securityContext=context), ready=False)
    sentence = says_no(cluster, name)
    for excess in ("uid:0", "gid:0", "seccomp"):
        assert f"[{excess}]" in sentence or excess == "gid:0"
    cluster.delete(name)
    assert leftovers(target) == ""


@pytest.mark.parametrize("target", [CTD, CRIO])
def test_tickets_that_do_not_fit(
    cluster: Cluster, controller: Controller, counters: dict[str, tuple[int, int]], target: str
) -> None:
    assert counters
    names = {case: f"{case}-{target}" for case in ("none", "other", "expired", "replaced")}
    node_run(target, f"cp {PLACE}/{CRIO}.tar {PLACE}/replaced.tar")
    ticket(controller, cluster, target, names["other"], at(CRIO), container="sidecar")
    ticket(controller, cluster, target, names["expired"], at(CRIO), expires_in="1s")
    ticket(controller, cluster, target, names["replaced"], at("replaced"))
    node_run(target, f"cp {PLACE}/{CTD}.tar {PLACE}/replaced.tar")
    cluster.apply(*(restorable(cluster, name, target) for name in names.values()), ready=False)
    assert "expired at" in says_no(cluster, names["expired"])
    assert "is not the one that the ticket is for" in says_no(cluster, names["replaced"])
    told = {case: used(controller, cluster, target, name) for case, name in names.items()}
    codes = {case: (result["code"], result.get("receipt", {}).get("code")) for case, result in told.items()}
    assert codes == {
        "none": ("receipt_missing", None),
        "other": ("receipt_missing", None),
        "expired": ("restore_failed", "ticket_expired"),
        "replaced": ("restore_failed", "digest_wrong"),
    }
    assert used(controller, cluster, target, names["other"], container="sidecar")["code"] == "not_restored"
    for case in ("none", "other"):
        cluster.says(names[case], "listening")
    cluster.delete(*names.values())
    done = controller.task(
        "checkpoint_ticket",
        on=target,
        namespace=cluster.namespace,
        pod=names["other"],
        container="sidecar",
        state="absent",
        keywords={"become": True},
    )
    assert done["changed"], done
    assert leftovers(target) == ""


def test_a_restored_container_restarts_cold_and_a_kept_ticket_serves_the_next_try(
    cluster: Cluster, controller: Controller, counters: dict[str, tuple[int, int]]
) -> None:
    name = "kept"
    node_run(CTD, f"cp {PLACE}/{CRIO}.tar {PLACE}/kept.tar")
    ticket(controller, cluster, CTD, name, at("kept"), on_failure="keep")
    node_run(CTD, f"mv {PLACE}/kept.tar {PLACE}/away.tar")
    pod = restorable(cluster, name, CTD)
    pod["spec"]["restartPolicy"] = "Always"
    cluster.apply(pod, ready=False)
    assert "cannot be opened" in says_no(cluster, name)
    assert used(controller, cluster, CTD, name)["receipt"]["code"] == "archive_missing"
    node_run(CTD, f"mv {PLACE}/away.tar {PLACE}/kept.tar")
    cluster.says(name, "count")
    assert first_count(cluster.logs(name)) > counters[CRIO][0]
    container = container_id(cluster, name)
    assert used(controller, cluster, CTD, name, container_id=container)["receipt"]["outcome"] == "restored"
    node_run(CTD, f"crictl stop --timeout 0 {container.rpartition('/')[2]}")
    cluster.says(name, "listening")
    assert used(controller, cluster, CTD, name, container_id=container_id(cluster, name))["code"] == "another_container"
    assert leftovers(CTD) == ""


def on_node(cluster: Cluster, what: str) -> dict[str, t.Any]:
    """Run restore_on_node.py beside a running pod."""
    name = f"beside-{what}"
    # Not the port that the restored counter wants in the same network namespace.
    cluster.apply(restorable(cluster, name, CTD, args=["9090"]))
    cluster.says(name, "listening on 9090")
    container = container_id(cluster, name).rpartition("/")[2]
    arguments = ("exec", CTD, "python3", "-", what, container, f"{PLACE}/{CTD}.tar")
    done = lab(*arguments, input=ON_NODE.read_text(), timeout=900)
    cluster.delete(name)
    return dict(json.loads(done.stdout))


def is_faithful(found: dict[str, t.Any]) -> None:
    """What ``restore_on_node.py faithful`` found is as it should be."""
    assert {name: case["said"] for name, case in found.items() if case["status"]} == {"masks-refused": mock.ANY}
    assert {name: case["left"] for name, case in found.items() if case["left"]} == {}
    refused = found["masks-refused"]["receipt"]
    assert refused["code"] == "excess"
    assert all(f"[masked:{path}]" in refused["reason"] for path in ("/proc/version", "/proc/tty"))
    assert found["masks-clamped"]["seen"] == {"version": "", "tty": []}
    assert found["difference"]["seen"] == {
        "attributes": {"user.note": "kept", "security.capability": found["difference"]["seen"]["capability"]},
        "capability": "0100000200200000000000000000000000000000",
        "gone": False,
        "folder": ["new"],
        "mode": "0o4755",
    }
    assert found["difference-not-root"]["seen"]["attributes"] == {"user.note": "kept"}
    assert found["difference-not-root"]["seen"]["mode"] == "0o755"


@pytest.fixture
def with_crun(installed: pathlib.Path) -> t.Iterator[None]:
    """crun behind the restore runtime, for a while, with no container of it before and after."""
    kubectl("delete", "pods", "--namespace", "it-restore-runtime", "--all", "--wait", "--now")
    status, output = role(installed, restore_runtime_runtime="crun")
    assert status == 0, output
    yield
    kubectl("delete", "pods", "--namespace", "it-restore-runtime", "--all", "--wait", "--now")
    status, output = role(installed)
    assert status == 0, output


@pytest.mark.usefixtures("with_crun")
def test_crun_restores_what_crun_and_runc_have_dumped(
    cluster: Cluster,
    controller: Controller,
    installed: pathlib.Path,
    archives: Archives,
    counters: dict[str, tuple[int, int]],
) -> None:
    made = ["crun-source"]
    cluster.apply(restorable(cluster, "crun-source", CRIO))
    cluster.says("crun-source", "count 2")
    archive = archives.checkpoint("crun-source", CRIO)
    for target in (CRIO, CTD):
        archives.carry(CRIO, archive, target, "crun.tar")
        for source in ("crun", CRIO):
            name = f"crun-{target}-of-{source}"
            made.append(name)
            ticket(controller, cluster, target, name, at(source))
            cluster.apply(restorable(cluster, name, target))
            cluster.says(name, "count")
            log = cluster.logs(name)
            assert "listening" not in log
            assert first_count(log) > (1 if source == "crun" else counters[CRIO][0])
            assert process(cluster, target, name)["Name"] == "counter"
    is_faithful(on_node(cluster, "faithful"))
    # Its containers can be stopped by no other runtime.
    status, output = role(installed)
    assert status != 0
    assert "another runtime could not stop them" in output
    cluster.delete(*made)
    assert leftovers(CRIO) == leftovers(CTD) == ""


@pytest.fixture(scope="module")
def diaries(
    cluster: Cluster, archives: Archives, facts: dict[str, t.Any], tmp_path_factory: pytest.TempPathFactory
) -> t.Callable[[str, str], dict[str, t.Any]]:
    """The image of diary.c, and for each node an archive of it and the content of its volume, on both nodes."""
    program = tmp_path_factory.mktemp("diary") / "diary"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-s", "-o", program, DIARY], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    images.push(facts["registry"], "it-diary", "1", {"/bin/diary": program}, entrypoint=["/bin/diary"], **where)

    def pod(name: str, node: str) -> dict[str, t.Any]:
        mounts = [{"name": "data", "mountPath": "/data"}]
        made = cluster.pod(name, node, "it-diary", volumeMounts=mounts)
        made["spec"].update(volumes=[{"name": "data", "emptyDir": {}}], restartPolicy="Never")
        return made

    for source in (CRIO, CTD):
        name = f"diary-{source}"
        cluster.apply(pod(name, source))
        cluster.says(name, "read 2")
        archive = archives.checkpoint(name, source)
        uid = cluster.get(name)["metadata"]["uid"]
        content = f"{PLACE}/content.tar"
        volume = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/data"
        node_run(source, f"umask 077; mkdir -p {PLACE}; tar --create --file={content} --directory={volume} .")
        for target in (CRIO, CTD):
            archives.carry(source, archive, target, f"diary-{source}.tar")
            archives.carry(source, content, target, f"diary-{source}-data.tar")
        cluster.delete(name)
    return pod


@pytest.mark.parametrize(("source", "target"), [(CRIO, CTD), (CTD, CRIO)])
def test_the_contents_of_an_emptydir_volume(
    cluster: Cluster,
    controller: Controller,
    diaries: t.Callable[[str, str], dict[str, t.Any]],
    source: str,
    target: str,
) -> None:
    archive, content = f"diary-{source}", f"{PLACE}/diary-{source}-data.tar"
    cases: dict[str, dict[str, str]] = {"without": {}, "unknown": {"/other": content}, "with": {"/data": content}}
    for case, volumes in cases.items():
        pod = diaries(f"{case}-{target}", target)
        pod["spec"]["runtimeClassName"] = CLASS
        ticket(controller, cluster, target, f"{case}-{target}", at(archive), security="clamp", volumes=volumes)
        cluster.apply(pod, ready=False)
    assert "not in the volumes of the new pod: '/data/diary'" in says_no(cluster, f"without-{target}")
    assert "has no volume at /other" in says_no(cluster, f"unknown-{target}")
    restored = f"with-{target}"
    cluster.says(restored, "three lines")
    assert int(re.findall(r"read (\d+)", cluster.logs(restored))[0]) > 2
    root = f"/proc/{first_process(cluster, target, restored)}/root"
    assert node_run(target, f"cat {root}/data/diary; stat --format=%a {root}/data/diary") == "one\ntwo\nthree\n600\n"
    if source == CRIO:
        # containerd's archives have no extended attributes but security.capability.
        program = f"import os; print(os.getxattr('{root}/changed', 'user.note').decode())"
        assert node_run(target, f'python3 -c "{program}"') == "kept\n"
    assert node_run(target, f"ls {root}/tmp; ls {root}/etc/group 2>/dev/null", check=False) == "kept\n"
    cluster.delete(*(f"{case}-{target}" for case in cases))
    assert leftovers(target) == ""


def test_hostile_and_broken_archives(cluster: Cluster, counters: dict[str, tuple[int, int]]) -> None:
    assert counters
    found = on_node(cluster, "hostile")
    assert len(found) > 50
    assert {name: case["left"] for name, case in found.items() if case["left"]} == {}
    wrong = {name: case for name, case in found.items() if (case["status"] == 0) != case["good"]}
    assert wrong == {}
    for name, case in found.items():
        if not case["good"]:
            # In front of it may stand what runc prints by itself.
            sentence = case["said"].splitlines()[-1]
            assert sentence.startswith("checkpoint-restore: "), (name, case["said"])
            assert "not foreseen" not in sentence, (name, sentence)
            assert sentence == f"checkpoint-restore: {case['receipt']['reason']}"
        assert case["receipt"]["outcome"] == ("restored" if case["good"] else "failed"), (name, case)


def test_killed_at_any_moment(cluster: Cluster, counters: dict[str, tuple[int, int]]) -> None:
    assert counters
    found = on_node(cluster, "killed")
    assert {delay: case["left"] for delay, case in found.items() if case["left"]} == {}
    # The moments cover a restore from before it takes its ticket to after it is done.
    stages = {tuple(case["stage"]) for case in found.values()}
    assert () in stages
    assert any("ticket.json" in stage for stage in stages)
    assert any("waiting" in stage for stage in stages)
    for case in found.values():
        if "ticket.json" in case["stage"] and "waiting" not in case["stage"]:
            assert case["receipt"]["code"] == "killed", case


def test_what_a_restore_does_to_the_root_and_its_masks(cluster: Cluster, counters: dict[str, tuple[int, int]]) -> None:
    assert counters
    is_faithful(on_node(cluster, "faithful"))


def test_the_runtime_class(controller: Controller, undo: t.Callable[[t.Callable[[], t.Any]], None]) -> None:
    name = "it-restore-class"
    undo(lambda: kubectl("delete", "runtimeclass", name, "--ignore-not-found"))

    def asked(**given: t.Any) -> dict[str, t.Any]:
        return controller.task("checkpoint_runtime_class", name=name, **given)

    def there() -> dict[str, t.Any]:
        return dict(json.loads(kubectl("get", "runtimeclass", name, "--output=json")))

    assert asked(check=True)["changed"]
    assert name not in kubectl("get", "runtimeclasses")
    assert [asked()["changed"], asked()["changed"]] == [True, False]
    assert there()["handler"] == name
    before = there()["metadata"]["uid"]
    assert asked(node_selector={"disk": "fast"})["changed"]
    assert there()["scheduling"]["nodeSelector"] == {"disk": "fast"}
    assert there()["metadata"]["uid"] == before
    assert asked(handler="other", node_selector={"disk": "fast"})["changed"]
    assert there()["handler"] == "other"
    kubectl("label", "runtimeclass", name, "app.kubernetes.io/managed-by-")
    assert asked(state="absent")["code"] == "not_ours"
    kubectl("label", "runtimeclass", name, "app.kubernetes.io/managed-by=checkpoint_restore.kubernetes")
    assert [asked(state="absent")["changed"], asked(state="absent")["changed"]] == [True, False]


def test_absent_refuses_while_pods_of_the_class_are_there(cluster: Cluster, installed: pathlib.Path) -> None:
    cluster.apply(restorable(cluster, "in-the-way", CTD))
    status, output = role(installed, restore_runtime_state="absent")
    assert status != 0
    assert "Pods of the RuntimeClass checkpoint-restore are there" in output
    assert node_run(CTD, "ls /opt/checkpoint-restore").split() == [
        "checkpoint-restore-runtime",
        "checkpoint-restore.pyz",
    ]
