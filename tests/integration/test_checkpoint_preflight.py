# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight on real nodes: real archives pass, and what it refuses really fails without it."""

from __future__ import annotations

import io
import json
import pathlib
import re
import subprocess
import tarfile
import typing as t

import pytest
from labkit import images
from support import LAB, SOME_NODES, Cluster, Controller, kubectl, node_run, wait_until

CRIO, CTD = SOME_NODES
BOTH = [(source, target) for source in SOME_NODES for target in SOME_NODES]
CLASS = "checkpoint-restore"
STORE = "/var/lib/checkpoint-restore"
PLACE = "/root/preflight-test"
LISTENER = pathlib.Path(__file__).with_name("listener.c")
STRICT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
MACHINE = b"\x08\x01"
"""The first field of a core image, with the number of x86_64: CRIU images/core.proto, 4.2.1."""

Checks = dict[str, dict[str, t.Any]]


@pytest.fixture(scope="module", autouse=True)
def place(restore_runtime: None) -> t.Iterator[None]:
    """The folder on the nodes goes when all is over."""
    yield
    for node in SOME_NODES:
        node_run(node, f"rm -rf {PLACE}")


def fetched(node: str, path: str) -> bytes:
    return subprocess.run([str(LAB / "lab"), "exec", node, "cat", path], stdout=subprocess.PIPE, check=True).stdout


def put(node: str, name: str, data: bytes) -> str:
    """A file that is root's alone; its path."""
    path = f"{PLACE}/{name}.tar"
    command = ["exec", node, "sh", "-c", f"umask 077; mkdir -p {PLACE}; cat > {path}"]
    subprocess.run([str(LAB / "lab"), *command], input=data, check=True)
    return path


def checkpoint(cluster: Cluster, node: str, pod: str) -> bytes:
    """The archive of the container ``app``."""
    path = f"/api/v1/nodes/{node}/proxy/checkpoint/{cluster.namespace}/{pod}/app"
    answer = json.loads(kubectl("create", "--raw", path, "--filename=-", document={}))
    return fetched(node, answer["items"][0])


@pytest.fixture(scope="module")
def counters(cluster: Cluster) -> dict[str, bytes]:
    """An archive of a counter from each node, on both."""
    found: dict[str, bytes] = {}
    for node in SOME_NODES:
        name = f"source-{node}"
        cluster.apply(cluster.pod(name, node))
        cluster.says(name, "count 2")
        found[node] = checkpoint(cluster, node, name)
        for target in SOME_NODES:
            put(target, node, found[node])
        cluster.delete(name)
    return found


@pytest.fixture(scope="module")
def listener(facts: dict[str, t.Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of listener.c."""
    program = tmp_path_factory.mktemp("listener") / "listener"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-s", "-o", program, LISTENER], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    images.push(
        facts["registry"], "it-listener", "1", {"/bin/listener": program}, entrypoint=["/bin/listener"], **where
    )
    return "it-listener"


def restorable(cluster: Cluster, name: str, node: str, image: str = "counter", **container: t.Any) -> dict[str, t.Any]:
    pod = cluster.pod(name, node, image, **container)
    pod["spec"].update(runtimeClassName=CLASS, restartPolicy="Never")
    return pod


def planned(pod: dict[str, t.Any]) -> dict[str, t.Any]:
    """The pod as the API server would have it."""
    shown = kubectl("create", "--dry-run=server", "--output=json", "--filename=-", document=pod)
    return dict(json.loads(shown))


def preflight(controller: Controller, node: str, source: str, **given: t.Any) -> Checks:
    """What the module says of an archive on a node, by the names of the checks."""
    options = {"archives": [f"{PLACE}/{source}.tar"], "ignore_failures": True, **given}
    done = controller.task("checkpoint_preflight", on=node, keywords={"become": True}, **options)
    assert not done.get("failed"), done
    assert done["changed"] is False
    assert done["able"] == (not of(done["checks"], "failed"))
    return {check["name"]: check for check in done["checks"]}


def of(checks: t.Any, result: str) -> set[str]:
    """The names of the checks with a result."""
    found = checks.values() if isinstance(checks, dict) else checks
    return {check["name"] for check in found if check["result"] == result}


def excesses(text: str) -> set[str]:
    return set(re.findall(r"\[([a-z_]+(?::[^\]]*)?)\]", text))


def restore(
    controller: Controller, cluster: Cluster, node: str, source: str, pod: dict[str, t.Any], **more: t.Any
) -> None:
    """Leave a ticket and make the pod, without any preflight."""
    name = pod["metadata"]["name"]
    given = {
        "namespace": cluster.namespace,
        "pod": name,
        "container": "app",
        "archive": f"{PLACE}/{source}.tar",
        **more,
    }
    done = controller.task("checkpoint_ticket", on=node, keywords={"become": True}, **given)
    assert done.get("changed"), done
    cluster.apply(pod, ready=False)


def event(cluster: Cluster, pod: str, text: str) -> str:
    """The message of an event of the pod with this text."""
    found: list[str] = []

    def said() -> bool:
        selector = f"--field-selector=involvedObject.name={pod}"
        events = json.loads(kubectl("get", "events", "--namespace", cluster.namespace, selector, "--output=json"))
        found[:] = [item["message"] for item in events["items"] if text in item["message"]]
        return bool(found)

    wait_until(f"an event of {pod} with {text!r}", said, 90)
    return found[0]


def fails(
    controller: Controller, cluster: Cluster, node: str, source: str, pod: dict[str, t.Any], **more: t.Any
) -> str:
    """What the restore runtime says when the same is tried for real; nothing is left of it."""
    restore(controller, cluster, node, source, pod, **more)
    name = pod["metadata"]["name"]
    sentence = event(cluster, name, f"{CLASS}: ")
    cluster.delete(name)
    return sentence


@pytest.mark.parametrize(("source", "target"), BOTH)
def test_real_archives_pass_and_are_restored(
    cluster: Cluster, controller: Controller, counters: dict[str, bytes], source: str, target: str
) -> None:
    assert counters
    pod = restorable(cluster, f"again-{source}-{target}", target)
    # containerd grants a pod more capabilities than CRI-O does.
    differs = (source, target) == (CTD, CRIO)
    security = "clamp" if differs else "refuse"
    found = preflight(controller, target, source, definition=planned(pod), security=security)
    assert of(found, "failed") == set(), found
    assert of(found, "warning") == ({"security"} if differs else set()), found
    assert of(found, "skipped") == set(), found
    restore(controller, cluster, target, source, pod, security=security)
    cluster.says(pod["metadata"]["name"], "count")
    assert "listening" not in cluster.logs(pod["metadata"]["name"])
    cluster.delete(pod["metadata"]["name"])


@pytest.mark.parametrize(("source", "target"), [(CRIO, CTD), (CTD, CRIO)])
def test_the_same_excesses_are_named_as_in_a_real_restore(
    cluster: Cluster, controller: Controller, counters: dict[str, bytes], source: str, target: str
) -> None:
    assert counters
    contexts: dict[str, dict[str, t.Any]] = {
        "strict": STRICT,
        "user": {"runAsUser": 1001, "runAsGroup": 1001, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    for case, context in contexts.items():
        pod = restorable(cluster, f"{case}-{source}-{target}", target, securityContext=context)
        found = preflight(controller, target, source, definition=planned(pod))
        assert of(found, "failed") == {"security"}
        foreseen = excesses(found["security"]["reason"])
        assert foreseen == excesses(fails(controller, cluster, target, source, pod)), case
        assert foreseen


def test_nothing_is_said_of_a_pod_that_is_not_given(controller: Controller, counters: dict[str, bytes]) -> None:
    assert counters
    found = preflight(controller, CTD, CTD)
    assert of(found, "skipped") == {"container", "host_paths", "mounts", "open_files", "security"}
    assert of(found, "failed") == set()


def test_a_failure_fails_the_task(controller: Controller, counters: dict[str, bytes]) -> None:
    assert counters
    given = {"archives": [f"{PLACE}/{CTD}.tar", f"{PLACE}/nowhere.tar"], "handler": "it-none"}
    done = controller.task("checkpoint_preflight", on=CTD, keywords={"become": True}, check=True, **given)
    assert (done["failed"], done["code"], done["able"]) == (True, "preflight_failed", False)
    assert {check["name"] for check in done["checks"] if check["result"] == "failed"} == {"archive", "handler"}
    assert "has no handler it-none" in done["msg"]


def rewritten(data: bytes, change: t.Callable[[str, bytes], bytes]) -> bytes:
    """An archive with changed members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for info in old:
            content = old.extractfile(info) if info.isfile() else None
            changed = change(info.name, content.read()) if content is not None else b""
            info.size = len(changed)
            new.addfile(info, io.BytesIO(changed))
    return out.getvalue()


def foreign(name: str, content: bytes) -> bytes:
    """Of another architecture: AArch64, without its registers."""
    if "/core-" not in name:
        return content
    assert content[12:14] == MACHINE
    return content[:12] + b"\x08\x03" + content[14:]


def short(name: str, content: bytes) -> bytes:
    return content[: len(content) // 2] if "/pages-" in name else content


CHANGES: dict[str, tuple[t.Callable[[str, bytes], bytes], str, str]] = {
    "foreign": (foreign, "architecture", ""),
    "short": (short, "images", "is cut short"),
}


@pytest.mark.parametrize("case", sorted(CHANGES))
def test_archives_that_were_changed(
    cluster: Cluster, controller: Controller, counters: dict[str, bytes], case: str
) -> None:
    change, check, said = CHANGES[case]
    put(CTD, case, rewritten(counters[CTD], change))
    pod = restorable(cluster, case, CTD)
    found = preflight(controller, CTD, case, definition=planned(pod))
    assert of(found, "failed") == {check}, found
    assert said in found[check]["reason"]
    assert said in fails(controller, cluster, CTD, case, pod)


def test_mounts_that_the_new_pod_lacks(cluster: Cluster, controller: Controller) -> None:
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    source = cluster.pod("mounted", CRIO, **mounts)
    source["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    cluster.apply(source)
    cluster.says("mounted", "count")
    put(CTD, "mounted", checkpoint(cluster, CRIO, "mounted"))
    cluster.delete("mounted")
    pod = restorable(cluster, "without-data", CTD)
    found = preflight(controller, CTD, "mounted", definition=planned(pod), accept=["mount:/data"])
    assert of(found, "failed") == {"mounts"}, found
    assert "/data" in found["mounts"]["reason"]
    assert "a mount at /data" in fails(controller, cluster, CTD, "mounted", pod, accept=["mount:/data"])

    path = {"name": "data", "hostPath": {"path": "/root/preflight-none", "type": "Directory"}}
    pod = restorable(cluster, "with-data", CTD, **mounts)
    pod["spec"]["volumes"] = [path]
    found = preflight(controller, CTD, "mounted", definition=planned(pod))
    assert of(found, "failed") == {"host_paths"}, found
    restore(controller, cluster, CTD, "mounted", pod)
    event(cluster, "with-data", "hostPath type check failed")
    cluster.delete("with-data")
    gone = {"namespace": cluster.namespace, "pod": "with-data", "container": "app", "state": "absent"}
    assert controller.task("checkpoint_ticket", on=CTD, keywords={"become": True}, **gone)["changed"]


def test_a_socket_on_the_pods_own_address(cluster: Cluster, controller: Controller, listener: str) -> None:
    name, source, target = "own-address", CTD, CRIO
    own = [{"name": "OWN", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    cluster.apply(cluster.pod(name, source, listener, env=own, args=["$(OWN)"]))
    cluster.says(name, "ready 1")
    put(target, name, checkpoint(cluster, source, name))
    address = cluster.get(name)["status"]["podIP"]
    cluster.delete(name)
    pod = restorable(cluster, f"{name}-again", target, listener)
    found = preflight(controller, target, name, definition=planned(pod), security="clamp")
    assert of(found, "failed") == {"addresses"}, found
    assert f"{address} port 7070" in found["addresses"]["reason"]
    assert "Can't bind inet socket" in fails(controller, cluster, target, name, pod, security="clamp")


def test_connections_are_a_warning(
    cluster: Cluster, controller: Controller, listener: str, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> None:
    settings = "/etc/criu/runc.conf"
    node_run(CTD, f"cp -a {settings} {settings}.kept 2>/dev/null || true; echo tcp-established >> {settings}")
    undo(lambda: node_run(CTD, f"rm {settings}; mv {settings}.kept {settings} 2>/dev/null || true"))
    cluster.apply(cluster.pod("connected", CTD, listener))
    cluster.says("connected", "ready 1")
    put(CRIO, "connected", checkpoint(cluster, CTD, "connected"))
    cluster.delete("connected")
    pod = restorable(cluster, "connected-again", CRIO, listener)
    found = preflight(controller, CRIO, "connected", definition=planned(pod), security="clamp")
    assert of(found, "failed") == set(), found
    assert found["connections"]["result"] == "warning"
    assert "2 TCP connections" in found["connections"]["reason"]
    assert "to 127.0.0.1:7070" in found["connections"]["reason"]
    restore(controller, cluster, CRIO, "connected", pod, security="clamp")
    cluster.says("connected-again", "ready")
    assert "ready 1\n" not in cluster.logs("connected-again")
    cluster.delete("connected-again")


def test_a_terminal(cluster: Cluster, controller: Controller) -> None:
    cluster.apply(cluster.pod("terminal", CTD, tty=True, stdin=True))
    cluster.says("terminal", "count")
    put(CTD, "terminal", checkpoint(cluster, CTD, "terminal"))
    cluster.delete("terminal")
    console = {"accept": ["mount:/dev/console"]}
    for case, more in (("with", {"tty": True, "stdin": True}), ("without", {})):
        pod = restorable(cluster, f"terminal-{case}", CTD, **more)
        found = preflight(controller, CTD, "terminal", definition=planned(pod), **console)
        assert of(found, "failed") == {"terminal"}, found
        sentence = fails(controller, cluster, CTD, "terminal", pod, **console)
        assert "terminal" in sentence or "CRIU could not restore" in sentence


def test_a_full_disk(cluster: Cluster, controller: Controller, counters: dict[str, bytes]) -> None:
    assert counters
    folder = f"{PLACE}/huge.tar"
    unpack = f"tar --extract --no-same-owner --file={PLACE}/{CTD}.tar --directory={folder}"
    # A hole in a file takes no room until it is copied.
    node_run(CTD, f"umask 077; mkdir {folder} && {unpack} && truncate --size=4T {folder}/checkpoint/pages-1.img")
    pod = restorable(cluster, "full", CTD)
    found = preflight(controller, CTD, "huge", definition=planned(pod))
    assert of(found, "failed") == {"disk"}, found
    assert of(found, "warning") == {"memory"}, found
    assert f"{STORE}/restores has" in found["disk"]["reason"]
    assert "has not that much space left" in fails(controller, cluster, CTD, "huge", pod)


def test_a_handler_that_is_not_there(
    cluster: Cluster,
    controller: Controller,
    counters: dict[str, bytes],
    undo: t.Callable[[t.Callable[[], t.Any]], None],
) -> None:
    assert counters
    handler = "it-preflight-none"
    document = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": handler},
        "handler": handler,
    }
    undo(lambda: kubectl("delete", "runtimeclass", handler, "--ignore-not-found"))
    kubectl("create", "--filename=-", document=document)
    for node in SOME_NODES:
        found = preflight(controller, node, node, handler=handler)
        assert of(found, "failed") == {"handler"}, found
        pod = restorable(cluster, f"no-handler-{node}", node)
        pod["spec"]["runtimeClassName"] = handler
        cluster.apply(pod, ready=False)
        assert handler in event(cluster, f"no-handler-{node}", "Failed to create pod sandbox")
        cluster.delete(f"no-handler-{node}")
        # runc is there, and it is not the restore runtime.
        plain = preflight(controller, node, node, handler="runc")
        assert of(plain, "failed") == {"restore_runtime"}, plain


@pytest.mark.parametrize(("source", "target"), BOTH)
def test_restore_by_image(controller: Controller, counters: dict[str, bytes], source: str, target: str) -> None:
    assert counters
    found = preflight(controller, target, source, method="image")
    assert of(found, "failed") == (set() if source == target else {"engine"}), found
    assert found["restore_by_image"]["result"] == "warning"
    assert "CVE" in found["restore_by_image"]["hint"] or "turned it off" in found["restore_by_image"]["hint"]
    assert not {"handler", "restore_runtime"} & set(found)
