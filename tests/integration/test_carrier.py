# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint archive brought out of a node by the API server alone, from both runtimes, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import sys
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import auth, carrier
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from labkit import images, topology
from restore_support import Archives
from support import LAB, REGISTRY, SOME_NODES, Cluster, kubectl, node_run, wait_until

CRIO, CTD = SOME_NODES
IMAGE = f"{REGISTRY}/counter:1"
MIB = 1024 * 1024

# In a process of its own, as the most that a process ever used does not go down again.
MEASURED = f"""
import json, pathlib, re, sys, threading
from {carrier.__name__.rpartition(".")[0]} import api, auth, carrier
node, path, destination, image = sys.argv[1:]
told = []
digest = carrier.carry(
    api.ApiSession(auth.api_server({{}})), node, path, destination, image=image, stop=threading.Event(),
    tell=lambda *numbers: told.append(numbers),
)
most = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
print(json.dumps([digest, told, int(most)]))
"""
# Whatever loads it ends with a status that no program of the host ends with.
HOSTILE = """
#include <unistd.h>
__attribute__((constructor)) static void begin(void) { _exit(66); }
"""


@pytest.fixture
def session() -> ApiSession:
    return ApiSession(auth.api_server({}))


def carry(session: ApiSession, node: str, path: str, destination: pathlib.Path, **more: t.Any) -> str:
    given = {"image": IMAGE, "stop": threading.Event(), **more}
    return carrier.carry(session, node, path, str(destination), **given)


def refused(session: ApiSession, node: str, path: str, destination: pathlib.Path, **more: t.Any) -> CheckpointError:
    """Why nothing is brought here; nothing of it stays, neither here nor in the cluster."""
    before = sorted(destination.parent.iterdir())
    with pytest.raises(CheckpointError) as caught:
        carry(session, node, path, destination, **more)
    assert sorted(destination.parent.iterdir()) == before
    no_pods()
    return caught.value


def no_pods() -> None:
    def gone() -> bool:
        return "checkpoint-carrier-" not in kubectl("get", "pods", "--namespace", carrier.NAMESPACE, "--output=name")

    wait_until("the pods to be gone", gone, 20)


def sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(MIB), b""):
            digest.update(piece)
    return digest.hexdigest()


def there(node: str, path: str) -> str:
    return node_run(node, f"sha256sum '{path}' 2>/dev/null || true").partition(" ")[0]


@pytest.mark.parametrize("node", SOME_NODES)
def test_an_archive_comes_whole_and_is_removed_only_if_asked(
    session: ApiSession, cluster: Cluster, archives: Archives, tmp_path: pathlib.Path, node: str
) -> None:
    cluster.apply(cluster.pod(f"small-{node}", node))
    path, other = (archives.checkpoint(f"small-{node}", node) for _time in range(2))
    expected = there(node, path)
    destination = tmp_path / "one.tar"
    assert carry(session, node, path, destination) == expected == sha256(destination)
    assert destination.stat().st_mode & 0o7777 == 0o600 and list(tmp_path.iterdir()) == [destination]
    no_pods()
    assert there(node, path) == expected

    error = refused(session, node, path, destination)
    assert error.code == "destination_exists" and sha256(destination) == expected
    assert carry(session, node, path, tmp_path / "two.tar", remove=True) == expected
    assert there(node, path) == "" and there(node, other) != ""
    assert refused(session, node, path, tmp_path / "three.tar").code == "archive_missing"
    node_run(node, f"rm '{other}'")
    cluster.delete(f"small-{node}")


@pytest.mark.parametrize("node", SOME_NODES)
def test_a_large_one_is_never_held_in_memory_and_its_progress_is_told(
    session: ApiSession, cluster: Cluster, archives: Archives, tmp_path: pathlib.Path, node: str
) -> None:
    cluster.hog(f"large-{node}", node, 300)
    path = archives.checkpoint(f"large-{node}", node)
    cluster.delete(f"large-{node}")
    try:
        command = [sys.executable, "-c", MEASURED, node, path, str(tmp_path / "it.tar"), IMAGE]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        digest, told, most = json.loads(done.stdout)
        size = (tmp_path / "it.tar").stat().st_size
        assert digest == there(node, path) == sha256(tmp_path / "it.tar") and size > 300 * MIB
        assert most * 1024 < 150 * MIB
        assert told[-1] == [size, size] and told == sorted(told) and all(total == size for _arrived, total in told)
        assert len(told) > 1

        stop = threading.Event()
        error = refused(session, node, path, tmp_path / "no.tar", stop=stop, tell=lambda *_numbers: stop.set())
        assert error.code == "interrupted"
    finally:
        node_run(node, f"rm '{path}'")


@pytest.mark.parametrize("node", SOME_NODES)
def test_nothing_of_the_image_runs(
    session: ApiSession, cluster: Cluster, archives: Archives, tmp_path: pathlib.Path, node: str
) -> None:
    """Its libraries are in every place from which the loader might take one."""
    (tmp_path / "hostile.c").write_text(HOSTILE)
    library = tmp_path / "hostile.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-o", library, tmp_path / "hostile.c", "-lc"], check=True)
    (tmp_path / "preload").write_text("/hostile/libc.so.6\n")
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "hostile").mkdir()
    (tmp_path / "root" / "hostile" / "libc.so.6").write_bytes(library.read_bytes())
    (tmp_path / "root" / "etc" / "ld.so.conf").write_text("/hostile\n")
    subprocess.run(["ldconfig", "-r", tmp_path / "root"], check=True)
    files = {
        "/hostile/libc.so.6": library,
        "/etc/ld.so.preload": tmp_path / "preload",
        "/etc/ld.so.cache": tmp_path / "root" / "etc" / "ld.so.cache",
        "/usr/bin/cat": library,
        "/lib/x86_64-linux-gnu/libc.so.6": library,
    }
    digest = images.push(
        REGISTRY,
        "hostile",
        "1",
        files,
        entrypoint=["/hostile"],
        ca_file=LAB.parents[1] / ".lab" / "ca.crt",
        address=topology.CONTROL_PLANE,
        env={"LD_PRELOAD": "/hostile/libc.so.6", "LD_LIBRARY_PATH": "/hostile", "PATH": "/hostile"},
    )
    cluster.apply(cluster.pod(f"victim-{node}", node))
    path = archives.checkpoint(f"victim-{node}", node)
    expected = there(node, path)
    image = f"{REGISTRY}/hostile@{digest}"
    assert carry(session, node, path, tmp_path / "it.tar", image=image) == expected == sha256(tmp_path / "it.tar")
    # Each way works where it is left open: then the host's program does not run, but ends at once.
    for name, left_open in (
        ("environment", "LD_PRELOAD"),
        ("cache", "LD_LIBRARY_PATH"),
        ("file", "/etc/ld.so.preload"),
    ):
        pod = carrier._pod(node, "/root", image, "amd64", writable=False)
        pod["metadata"] = {"name": f"{name}-{node}", "namespace": cluster.namespace}
        (container,) = pod["spec"]["containers"]
        for each in container["env"]:
            if each["name"] == left_open:
                each["value"] = "/hostile/libc.so.6" if name == "environment" else ""
        container["volumeMounts"] = [each for each in container["volumeMounts"] if each["mountPath"] != left_open]
        cluster.apply(pod, ready=False)

    def failed() -> bool:
        pods = [cluster.get(f"{name}-{node}") for name in ("environment", "cache", "file")]
        return {pod["status"]["phase"] for pod in pods} == {"Failed"}

    wait_until("the pods to fail", failed, 30)
    node_run(node, f"rm '{path}'")
    cluster.delete(*(f"{name}-{node}" for name in ("victim", "environment", "cache", "file")))


def test_what_is_no_archive_of_a_kubelet_is_not_even_looked_for(session: ApiSession, tmp_path: pathlib.Path) -> None:
    for path in (
        "/etc/shadow",
        "/var/lib/kubelet/checkpoints/../pki/checkpoint-a.tar",
        "/var/lib/kubelet/checkpoints/checkpoint-/a.tar",
        "checkpoints/checkpoint-a.tar",
    ):
        assert refused(session, CRIO, path, tmp_path / "it.tar").code == "path_invalid"
    path = "/var/lib/kubelet/checkpoints/checkpoint-no.tar"
    assert refused(session, CRIO, path, tmp_path / "it.tar").code == "archive_missing"
    assert refused(session, "no-such-node", path, tmp_path / "it.tar").code == "node_not_found"
    error = refused(session, CTD, path, tmp_path / "it.tar", image=f"{REGISTRY}/no-such-image:1")
    assert error.code == "carrier_failed" and "cannot be pulled" in error.message


def test_an_account_needs_pods_there_and_their_exec(
    session: ApiSession, cluster: Cluster, tmp_path: pathlib.Path, undo: t.Callable[[t.Callable[[], t.Any]], None]
) -> None:
    path = "/var/lib/kubelet/checkpoints/checkpoint-no.tar"
    name, place = "it-carrier", f"--namespace={carrier.NAMESPACE}"
    account = f"{cluster.namespace}:default"
    undo(lambda: kubectl("delete", "clusterrole,clusterrolebinding", name, "--ignore-not-found"))
    undo(lambda: kubectl("delete", place, "role,rolebinding", name, "--ignore-not-found"))
    kubectl("create", "clusterrole", name, "--verb=get", "--resource=nodes")
    kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={account}")
    token = kubectl("create", "token", "default", "--namespace", cluster.namespace).strip()
    ca_cert = str(LAB.parents[1] / ".lab" / "ca.crt")
    weak = ApiSession(auth.api_server({"host": session.server.url, "api_key": token, "ca_cert": ca_cert}))

    error = refused(weak, CRIO, path, tmp_path / "it.tar")
    assert (error.code, error.hint) == ("forbidden", carrier.RIGHTS)
    kubectl("create", place, "role", name, "--verb=create,get,delete", "--resource=pods")
    kubectl("create", place, "rolebinding", name, f"--role={name}", f"--serviceaccount={account}")

    def allowed(verb: str, what: str) -> bool:
        user = f"--as=system:serviceaccount:{account}"
        return kubectl("auth", "can-i", place, user, verb, what, check=False).strip() == "yes"

    wait_until("the right to reach the API server", lambda: allowed("create", "pods"))
    error = refused(weak, CRIO, path, tmp_path / "it.tar")
    assert (error.code, error.hint) == ("forbidden", carrier.RIGHTS) and "pods/exec" in error.message
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "delete"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]},
    ]
    kubectl("patch", place, "role", name, "--type=merge", f"--patch={json.dumps({'rules': rules})}")
    wait_until("the right to reach the API server", lambda: allowed("get", "pods/exec"))
    assert refused(weak, CRIO, path, tmp_path / "it.tar").code == "archive_missing"


def test_a_disk_without_room(
    session: ApiSession,
    cluster: Cluster,
    archives: Archives,
    tmp_path: pathlib.Path,
    undo: t.Callable[[t.Callable[[], t.Any]], None],
) -> None:
    cluster.hog("roomy", CRIO, 4)
    path = archives.checkpoint("roomy", CRIO)
    undo(lambda: node_run(CRIO, f"rm '{path}'"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=True)
    undo(lambda: subprocess.run(["umount", tmp_path], check=True))
    assert refused(session, CRIO, path, tmp_path / "it.tar").code == "destination_full"
    cluster.delete("roomy")
