# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore keeps, seen from inside: everything that ledger plants, programs of Debian, and a pod with everything.

What it does not keep: the pod's address and the connections to it, as the new pod has its own; what mounts hold, as
they are the new pod's; what the container has printed, as the log is the new container's.
"""

from __future__ import annotations

import base64
import json
import pathlib
import re
import socket
import typing as t
import urllib.request

import debian_image
import pytest
from restore_support import (
    CRIO,
    CTD,
    STORE,
    Archives,
    first_pid,
    leftovers,
    security,
    ticket,
    to_be_restored,
)
from support import Cluster, Controller, kubectl, lab, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

LEDGER_ON_NODE = pathlib.Path(__file__).with_name("ledger_on_node.py")
WAYS = [(CRIO, CTD), (CTD, CRIO)]
SECRET = "planted-before-the-checkpoint"

# Answers every request with all that it knows. A nonce stands for the process: another one would have another.
WEB = """
import http.server, json, os, secrets
known = {"nonce": secrets.token_hex(8), "pid": os.getpid(), "count": 0, "words": [], "probes": 0}
journal = open(os.environ["JOURNAL"], "a", buffering=1) if "JOURNAL" in os.environ else None

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        action, _mark, word = self.path.partition("?")
        more = {}
        if action == "/add":
            known["count"] += 1
            known["words"].append(word)
            if journal:
                print(word, file=journal)
        elif action == "/read":
            with open(word) as file:
                more["read"] = file.read()
        elif action == "/probe":
            known["probes"] += 1
        body = json.dumps({**known, **more}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""

NGINX = """
daemon off;
user www-data;
worker_processes 2;
pid /tmp/nginx.pid;
events {}
http {
    access_log /tmp/access.log;
    server {
        listen 8000;
        location / { return 200 "$pid $connection"; }
    }
}
"""
START_NGINX = f"printf '%s' '{NGINX}' >/tmp/nginx.conf && exec nginx -e stderr -c /tmp/nginx.conf"
REDIS = ["redis-server", "--port", "8000", "--protected-mode", "no", "--save", ""]


@pytest.fixture(scope="module")
def debian(facts: dict[str, t.Any]) -> str:
    """The image's reference."""
    return debian_image.push(pathlib.Path(facts["ca"]))


def address(cluster: Cluster, pod: str) -> str:
    return str(cluster.get(pod)["status"]["podIP"])


def ask(host: str, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{host}:8000{path}", timeout=10) as answer:
        return str(answer.read().decode())


def answers(host: str) -> str:
    """Wait until somebody listens; where that is."""

    def listens() -> bool:
        try:
            socket.create_connection((host, 8000), timeout=5).close()
        except OSError:
            return False
        return True

    wait_until(f"{host} to listen", listens)
    return host


def inside(cluster: Cluster, pod: str, *command: str) -> str:
    return kubectl("exec", "--namespace", cluster.namespace, pod, "--", *command)


def runs_restored(cluster: Cluster, pod: str, *containers: str) -> None:
    """The runtime's receipts say that these very containers were restored, and the kubelet has not restarted them."""
    seen = cluster.get(pod)
    for status in seen["status"]["containerStatuses"]:
        assert (status["restartCount"], status["ready"]) == (0, True)
        if status["name"] in containers:
            path = f"{STORE}/receipts/{cluster.namespace}_{pod}_{status['name']}.json"
            receipt = json.loads(node_run(seen["spec"]["nodeName"], f"cat {path}"))
            assert (receipt["outcome"], receipt["reason"]) == ("restored", "")
            assert receipt["container_id"] == status["containerID"].rpartition("/")[2]


# ledger


def ask_ledger(host: str) -> int:
    with socket.create_connection((host, 8081), timeout=10) as connection:
        return int(connection.makefile().readline())


class Source(t.NamedTuple):
    pod: dict[str, t.Any]
    planted: dict[str, t.Any]
    number: int
    archive: str


@pytest.fixture(scope="module")
def ledgers(cluster: Cluster, archives: Archives) -> dict[str, Source]:
    """An archive of a ledger of each node, on both nodes."""
    found = {}
    environment = [{"name": "LEDGER_SECRET", "value": SECRET}]
    pods = {node: cluster.pod(f"ledger-{node}", node, "ledger", env=environment) for node in (CRIO, CTD)}
    cluster.apply(*pods.values())
    for (node, pod), other in zip(pods.items(), (CTD, CRIO)):
        name = pod["metadata"]["name"]
        cluster.says(name, '"listener"')
        planted = json.loads(cluster.logs(name))
        host = address(cluster, name)
        wait_until("the number to have grown", lambda host=host: ask_ledger(host) > 10)
        number = ask_ledger(host)
        archive = archives.take(name, node, other)
        archives.carry(other, archive, node, pathlib.PurePath(archive).name)
        found[node] = Source(pod, planted, number, archive)
        cluster.delete(name)
    return found


@pytest.mark.parametrize("target", [CTD, CRIO])
@pytest.mark.parametrize("source", [CRIO, CTD])
def test_ledger_holds_what_it_held(
    cluster: Cluster, controller: Controller, ledgers: dict[str, Source], source: str, target: str
) -> None:
    taken = ledgers[source]
    name = f"ledger-{source}-{target}"
    ticket(controller, cluster, target, name, taken.archive, security=security(source, target))
    pod = to_be_restored(taken.pod, name, target)
    # A process has read its environment long ago: what the new pod says does not reach it.
    other = {**pod["spec"]["containers"][0], "env": [{"name": "LEDGER_SECRET", "value": "of the new pod"}]}
    pod["spec"].update(containers=[other], restartPolicy="Never")
    cluster.apply(pod)
    runs_restored(cluster, name, "app")
    # It printed that once, when it began.
    assert cluster.logs(name) == ""

    host = address(cluster, name)
    number = ask_ledger(host)
    assert number >= taken.number
    wait_until("the number to grow", lambda: ask_ledger(host) > number)

    planted, pid = taken.planted, first_pid(cluster, target, name)
    command = ("exec", target, "python3", "-", str(pid), json.dumps(planted))
    holds = json.loads(lab(*command, input=LEDGER_ON_NODE.read_text()).stdout)
    threads, middle, leaf = planted["threads"], planted["middle"], planted["leaf"]
    assert holds == {
        "tree": {
            "1": ["ledger", 0, [1]],
            str(threads["pid"]): ["ledger-threads", 1, sorted(threads["tids"])],
            str(middle): ["ledger-middle", 1, [middle]],
            str(leaf): ["ledger-leaf", middle, [leaf]],
        },
        "deleted": [f"{planted['deleted']['path']} (deleted)", planted["deleted"]["text"]],
        "memfd": [f"/memfd:{planted['memfd']['name']} (deleted)", planted["memfd"]["text"]],
        "pipe": planted["pipe"]["text"],
        "socketpair": planted["socketpair"]["text"],
        "eventfd": planted["eventfd"]["value"],
        # SIGINT, SIGTERM, SIGCHLD: bit N - 1 stands for signal N.
        "signalfd": f"{1 << 1 | 1 << 14 | 1 << 16:016x}",
        "epoll": sorted(planted["epoll"]["watches"]),
        "heap": planted["heap"]["hex"],
        "environment": [f"LEDGER_SECRET={SECRET}"],
        "shared": [planted["shared"]["text"]] * 2,
        "segments": [planted["shared"]["id"]],
        "host name": taken.pod["metadata"]["name"],
    }

    # Its signalfd and its epoll bring it the signal, and its children end with it.
    node_run(target, f"kill -TERM {pid}")
    wait_until("it to end", lambda: cluster.get(name)["status"]["phase"] == "Succeeded")
    cluster.delete(name)
    assert leftovers(target) == ""


# Programs of Debian


def moved(
    cluster: Cluster, controller: Controller, archives: Archives, pod: dict[str, t.Any], way: tuple[str, str]
) -> tuple[str, str]:
    """A running pod's copy, restored on the other node; its name and address."""
    source, target = way
    old = pod["metadata"]["name"]
    new = f"{old}-restored"
    ticket(controller, cluster, target, new, archives.take(old, source, target), security=security(source, target))
    cluster.delete(old)
    cluster.apply(to_be_restored(pod, new, target))
    runs_restored(cluster, new, "app")
    return new, address(cluster, new)


def debian_pod(cluster: Cluster, name: str, node: str, image: str, command: list[str]) -> dict[str, t.Any]:
    pod = cluster.pod(name, node, "debian", command=command)
    pod["spec"]["containers"][0]["image"] = image
    return pod


@pytest.mark.parametrize("way", WAYS)
def test_a_web_server_in_python(
    cluster: Cluster, controller: Controller, archives: Archives, debian: str, way: tuple[str, str]
) -> None:
    pod = debian_pod(cluster, f"web-{way[0]}", way[0], debian, ["python3", "-c", WEB])
    cluster.apply(pod)
    host = answers(address(cluster, pod["metadata"]["name"]))
    for word in ("one", "two"):
        before = json.loads(ask(host, f"/add?{word}"))

    new, host = moved(cluster, controller, archives, pod, way)
    after = json.loads(ask(host, "/add?three"))
    assert after == {**before, "count": 3, "words": ["one", "two", "three"]}
    cluster.delete(new)


def redis(host: str, *commands: str) -> str:
    """What it answers to commands on one connection, as it writes it."""
    with socket.create_connection((host, 8000), timeout=10) as connection:
        connection.sendall("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
        return connection.makefile(newline="").read()


@pytest.mark.parametrize("way", WAYS)
def test_redis(cluster: Cluster, controller: Controller, archives: Archives, debian: str, way: tuple[str, str]) -> None:
    pod = debian_pod(cluster, f"redis-{way[0]}", way[0], debian, REDIS)
    cluster.apply(pod)
    host = answers(address(cluster, pod["metadata"]["name"]))
    stored = [f"SET key-{number} value-{number}" for number in range(1000)]
    assert redis(host, *stored, "INCR visits", "INCR visits").endswith(":1\r\n:2\r\n+OK\r\n")
    # Made up at its start.
    run_id = re.findall(r"run_id:\w+", redis(host, "INFO server"))
    assert len(run_id) == 1

    new, host = moved(cluster, controller, archives, pod, way)
    answer = "$9\r\nvalue-999\r\n:1001\r\n:3\r\n+OK\r\n+OK\r\n"
    assert redis(host, "GET key-999", "DBSIZE", "INCR visits", "SET more data") == answer
    assert re.findall(r"run_id:\w+", redis(host, "INFO server")) == run_id
    cluster.delete(new)


def nginx_processes(cluster: Cluster, pod: str) -> dict[str, tuple[str, str]]:
    """Process -> parent and user of the nginx processes."""
    text = inside(cluster, pod, "sh", "-c", "grep -E '^(Name|PPid|Uid):' /proc/[0-9]*/status")
    found: dict[str, dict[str, str]] = {}
    for pid, key, value in re.findall(r"^/proc/(\d+)/status:(\w+):\s*(\S+)", text, re.MULTILINE):
        found.setdefault(pid, {})[key] = value
    return {pid: (item["PPid"], item["Uid"]) for pid, item in found.items() if item["Name"] == "nginx"}


@pytest.mark.parametrize("way", WAYS)
def test_nginx(cluster: Cluster, controller: Controller, archives: Archives, debian: str, way: tuple[str, str]) -> None:
    pod = debian_pod(cluster, f"nginx-{way[0]}", way[0], debian, ["sh", "-c", START_NGINX])
    cluster.apply(pod)
    old = pod["metadata"]["name"]
    host = answers(address(cluster, old))
    before = [ask(host).split() for _request in range(6)]
    processes = nginx_processes(cluster, old)
    workers = set(processes) - {"1"}
    assert len(workers) == 2 and {processes[pid] for pid in workers} == {("1", "33")}

    new, host = moved(cluster, controller, archives, pod, way)
    assert nginx_processes(cluster, new) == processes
    after = [ask(host).split() for _request in range(6)]
    assert {worker for worker, _connection in before + after} <= workers
    # The workers count connections in memory that they share.
    numbers = [int(connection) for _worker, connection in before + after]
    assert numbers == sorted(set(numbers)) and numbers[6] == numbers[5] + 1
    # The log is a file that they had open in the changed root file system: its lines are there, and new ones follow.
    log = inside(cluster, new, "cat", "/tmp/access.log").splitlines()
    assert len(log) == len(before) + len(after)
    cluster.delete(new)


# A pod with everything


def big_pod(cluster: Cluster, name: str, node: str, image: str) -> dict[str, t.Any]:
    """Three containers: a web server with volumes and probes, a counter, another counter."""
    pod = debian_pod(cluster, name, node, image, ["python3", "-c", WEB])
    web = pod["spec"]["containers"][0]
    mounts = {"data": "/data", "settings": "/etc/settings", "token": "/run/token"}
    probing = {"periodSeconds": 1, "failureThreshold": 20}
    web.update(
        name="web",
        env=[{"name": "JOURNAL", "value": "/data/journal"}],
        volumeMounts=[{"name": key, "mountPath": path} for key, path in mounts.items()],
        livenessProbe={"httpGet": {"path": "/probe", "port": 8000}, **probing},
        readinessProbe={"exec": {"command": ["test", "-e", "/data/journal"]}, **probing},
        resources={"limits": {"cpu": "1", "memory": "128Mi"}},
    )
    counters = [
        {**cluster.pod(name, node, args=[port])["spec"]["containers"][0], "name": own}
        for own, port in (("side", "8001"), ("cold", "8002"))
    ]
    strict = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    user = {"runAsNonRoot": True, "runAsUser": 1001, "runAsGroup": 1001, "fsGroup": 1001}
    pod["spec"].update(
        containers=[{**container, "securityContext": strict} for container in (web, *counters)],
        securityContext={**user, "seccompProfile": {"type": "RuntimeDefault"}},
        volumes=[
            {"name": "data", "emptyDir": {}},
            {"name": "settings", "configMap": {"name": f"settings-of-{name}"}},
            {"name": "token", "projected": {"sources": [token]}},
        ],
    )
    return pod


def settings(cluster: Cluster, name: str) -> dict[str, t.Any]:
    metadata = {"name": f"settings-of-{name}", "namespace": cluster.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"greeting": f"hello {name}"}}


def counts(cluster: Cluster, pod: str, container: str) -> list[str]:
    return kubectl("logs", "--namespace", cluster.namespace, pod, "--container", container, check=False).splitlines()


def volume(cluster: Cluster, pod: str) -> str:
    """Where the node has the pod's emptyDir."""
    return f"/var/lib/kubelet/pods/{cluster.get(pod)['metadata']['uid']}/volumes/kubernetes.io~empty-dir/data"


def memory_limit(node: str, pid: int) -> int:
    """Bytes that the process's control group allows, of the first or of the second version."""
    groups = dict(re.findall(r"^\d+:(memory|):(.*)$", node_run(node, f"cat /proc/{pid}/cgroup"), re.MULTILINE))
    first = f"/sys/fs/cgroup/memory{groups.get('memory')}/memory.limit_in_bytes"
    second = f"/sys/fs/cgroup{groups.get('')}/memory.max"
    return int(node_run(node, f"cat {first if 'memory' in groups else second}"))


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_pod_with_everything(
    cluster: Cluster, controller: Controller, archives: Archives, debian: str, source: str, target: str
) -> None:
    old, new = f"big-{source}", f"big-{source}-restored"
    cluster.apply(settings(cluster, old), settings(cluster, new), big_pod(cluster, old, source, debian))
    host = answers(address(cluster, old))
    for word in ("one", "two"):
        before = json.loads(ask(host, f"/add?{word}"))
    wait_until("the counter to count", lambda: "count 2" in counts(cluster, old, "side"))
    taken = {name: archives.take(old, source, target, name) for name in ("web", "side")}
    counted = len(counts(cluster, old, "side"))
    data = f"{archives.folder}/data.tar"
    packing = f"tar --create --file={data} --directory={volume(cluster, old)} ."
    node_run(source, f"umask 077; mkdir -p {archives.folder}; {packing}")
    archives.carry(source, data, target, "data.tar")
    cluster.delete(old)

    ticket(controller, cluster, target, new, taken["web"], container="web", volumes={"/data": data})
    ticket(controller, cluster, target, new, taken["side"], container="side")
    cluster.apply(to_be_restored(big_pod(cluster, new, target, debian), new, target))
    runs_restored(cluster, new, "web", "side")
    host, pid = address(cluster, new), first_pid(cluster, target, new, "web")

    # Values go on: of the two, and not of the third.
    after = json.loads(ask(host, "/add?three"))
    assert after == {**before, "count": 3, "words": ["one", "two", "three"], "probes": after["probes"]}
    wait_until("the counter to count", lambda: bool(counts(cluster, new, "side")))
    assert 2 < int(counts(cluster, new, "side")[0].removeprefix("count ")) <= counted + 1
    assert counts(cluster, new, "cold")[0] == "listening on 8002"

    # The mounts are the new pod's, and the process sees them.
    assert json.loads(ask(host, "/read?/etc/settings/greeting"))["read"] == f"hello {new}"
    claims = json.loads(ask(host, "/read?/run/token/token"))["read"].split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert told["kubernetes.io"]["pod"]["name"] == new
    # It goes on writing to the file that came along.
    assert node_run(target, f"cat {volume(cluster, new)}/journal").split() == ["one", "two", "three"]

    # The limits are the new pod's.
    status = dict(line.split(":", 1) for line in node_run(target, f"cat /proc/{pid}/status").splitlines())
    held = {key: value.split() for key, value in status.items()}
    assert held["Uid"] == held["Gid"] == ["1001"] * 4
    assert held["CapPrm"] == held["CapEff"] == held["CapBnd"] == ["0" * 16]
    assert (held["NoNewPrivs"], held["Seccomp"]) == (["1"], ["2"])
    root = next(line for line in node_run(target, f"cat /proc/{pid}/mountinfo").splitlines() if line.split()[4] == "/")
    assert "ro" in root.split()[5].split(",")
    assert memory_limit(target, pid) == 128 << 20

    # Its probes reach it.
    wait_until("probes", lambda: json.loads(ask(host))["probes"] > after["probes"] + 2)
    runs_restored(cluster, new, "web", "side")
    cluster.delete(new)
    assert leftovers(target) == ""
