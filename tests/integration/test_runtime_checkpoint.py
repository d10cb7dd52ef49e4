# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""runtime_checkpoint on real nodes: nothing happens while a container is frozen, and nothing is left when it fails."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import re
import subprocess
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_guard, runtime_checkpoint
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import undocumented
from labkit import images
from restore_support import CLASS, CRIO, CTD, STORE, Archives, first_pid, leftovers, security, ticket
from support import REGISTRY, Cluster, Controller, kubectl, node_run, wait_until

pytestmark = pytest.mark.usefixtures("restore_runtime")

Thing = dict[str, t.Any]
Undo = t.Callable[[t.Callable[[], t.Any]], None]
BOTH = pytest.mark.parametrize("node", [CRIO, CTD])
BECOME = {"become": True}
TICKER = pathlib.Path(__file__).with_name("ticker.c")

# Runs on a node: waits for a dump, and kills CRIU, or the module that has started it.
STRIKE = """
import os, signal, sys, time
def read(path):
    try:
        return open(path, "rb").read()
    except OSError:
        return b""
end = time.monotonic() + 60
while time.monotonic() < end:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = read(f"/proc/{pid}/cmdline")
        if sys.argv[1] == "criu" and words.startswith(b"criu: dump"):
            os.kill(int(pid), signal.SIGKILL)
            sys.exit()
        dumps = b"\\0checkpoint\\0--leave-running" in words and read(f"/proc/{pid}/comm") != b"unshare\\n"
        if sys.argv[1] != "criu" and dumps:
            parent = int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1])
            os.kill(parent, signal.SIGTERM if sys.argv[1] == "term" else signal.SIGKILL)
            sys.exit()
    time.sleep(0.002)
sys.exit("no dump came")
"""


@pytest.fixture(scope="module", autouse=True)
def ticker(facts: Thing, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The image of ticker.c."""
    program = tmp_path_factory.mktemp("ticker") / "ticker"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-s", "-o", program, TICKER], check=True)
    where = {"ca_file": pathlib.Path(facts["ca"]), "address": facts["registry_address"]}
    images.push(facts["registry"], "it-ticker", "1", {"/bin/ticker": program}, entrypoint=["/bin/ticker"], **where)


class Dumper:
    """The module for one container, with archives in the test module's folder on the node."""

    def __init__(self, controller: Controller, cluster: Cluster, archives: Archives, node: str, pod: str) -> None:
        self.controller, self.cluster, self.node, self.pod = controller, cluster, node, pod
        self.folder = archives.folder
        node_run(node, f"umask 077; rm -rf {self.folder}; mkdir -p {self.folder}")

    def __call__(self, name: str = "", check: bool = False, **options: t.Any) -> Thing:
        given = {"namespace": self.cluster.namespace, "pod": self.pod, "container": "app", **options}
        if name:
            given["destination"] = f"{self.folder}/{name}"
        result = self.controller.task("runtime_checkpoint", on=self.node, keywords=BECOME, check=check, **given)
        # A failure says nothing of the container's state. The rest is Ansible's own, of a module that was killed too.
        ansibles = ("exception", "module_stdout", "module_stderr", "rc")
        known = {key: value for key, value in {"frozen": False, **result}.items() if key not in ansibles}
        assert undocumented(known, runtime_checkpoint.RETURN) == []
        return result

    def guard(self, **options: t.Any) -> list[Thing]:
        selection = {"namespace": [self.cluster.namespace], "pod": [self.pod]}
        result = self.controller.task("checkpoint_guard", on=self.node, keywords=BECOME, **selection, **options)
        assert undocumented(result, checkpoint_guard.RETURN) == []
        return list(result["containers"])

    def ticks(self) -> list[int]:
        return numbers(self.cluster.logs(self.pod))

    def goes_on(self) -> None:
        """It ticks, and has not missed a number."""
        before = self.ticks()[-1]
        wait_until(f"{self.pod} to go on", lambda: self.ticks()[-1] > before + 2, 20)
        found = self.ticks()
        assert found == list(range(found[0], found[0] + len(found)))
        assert self.cluster.get(self.pod)["status"]["containerStatuses"][0]["restartCount"] == 0

    def left(self) -> str:
        """Half-written files, files of frozen containers, processes, mounts, and rules that cut a pod off."""
        pid = first_pid(self.cluster, self.node, self.pod)
        status = self.cluster.get(self.pod)["status"]["containerStatuses"][0]
        identifier = status["containerID"].rpartition("/")[2]
        parts = [
            f"find {self.folder} -name '.*' -mindepth 1",
            f"find {STORE}/frozen -name '{identifier}*' 2>/dev/null",
            "pgrep -x criu",
            "grep criu /proc/self/mounts",
            f"nsenter --net=/proc/{pid}/ns/net iptables-save | grep CRIU",
        ]
        return node_run(self.node, "; ".join([*parts, "true"]))


def numbers(log: str) -> list[int]:
    return [int(number) for number in re.findall(r"^(?:tick|count) (\d+)$", log, re.MULTILINE)]


@pytest.fixture
def dumper(cluster: Cluster, controller: Controller, archives: Archives, undo: Undo, node: str) -> Dumper:
    """A ticker on the node."""
    return started(cluster, controller, archives, undo, node)


def started(
    cluster: Cluster, controller: Controller, archives: Archives, undo: Undo, node: str, **spec: t.Any
) -> Dumper:
    pod = cluster.pod(f"ticker-{node}", node, "it-ticker")
    pod["spec"].update(spec)
    cluster.apply(pod)
    undo(
        lambda: kubectl(
            "delete", "pod", "--namespace", cluster.namespace, "--now", "--ignore-not-found", f"ticker-{node}"
        )
    )
    cluster.says(f"ticker-{node}", "tick 20")
    return Dumper(controller, cluster, archives, node, f"ticker-{node}")


def member(node: str, archive: str, name: str) -> str:
    return node_run(node, f"tar --force-local --extract --to-stdout --file='{archive}' '{name}'")


def restored(cluster: Cluster, controller: Controller, node: str, archive: str, source: str) -> int:
    """The first number of a pod that was restored from the archive; it goes on, and has what it had changed."""
    name = f"restored-{node}"
    pod = cluster.pod(name, node, "it-ticker")
    pod["spec"].update(runtimeClassName=CLASS, restartPolicy="Never")
    ticket(controller, cluster, node, name, archive, security=security(source, node))
    cluster.apply(pod)
    cluster.says(name, "tick")
    first = numbers(cluster.logs(name))[0]
    cluster.says(name, f"tick {first + 5}")
    root = f"/proc/{first_pid(cluster, node, name)}/root"
    assert node_run(node, f"tail -n 1 {root}/etc/passwd") == "added:at:run:time\n"
    program = f"import os; print(os.getxattr('{root}/etc/passwd', 'user.note').decode())"
    assert node_run(node, f'python3 -c "{program}"') == "kept\n"
    assert node_run(node, f"ls {root}/tmp; ls {root}/etc/group 2>/dev/null", check=False) == "kept\n"
    cluster.delete(name)
    assert leftovers(node) == ""
    return first


@BOTH
def test_it_runs_on_and_its_archive_is_the_engines_own(
    cluster: Cluster, controller: Controller, archives: Archives, dumper: Dumper, node: str
) -> None:
    would = dumper("own.tar", check=True)
    assert would["changed"] and not would["frozen"] and node_run(node, f"ls -A {dumper.folder}") == ""
    made = dumper("own.tar")
    assert made["changed"] and made["pid"] == first_pid(cluster, node, dumper.pod), made
    assert node_run(node, f"stat --format='%a %u %s' {made['destination']}").split() == ["600", "0", str(made["size"])]
    assert node_run(node, f"sha256sum {made['destination']}").split()[0] == made["sha256"]
    dumper.goes_on()
    assert dumper.left() == ""
    again = dumper("own.tar")
    assert again["code"] == "destination_exists", again

    theirs = archives.checkpoint(dumper.pod, node)
    known = [
        controller.task("checkpoint_info", on=node, keywords=BECOME, paths=[path])["checkpoints"][0]
        for path in (made["destination"], theirs)
    ]
    assert known[0]["identity"].keys() == known[1]["identity"].keys()
    own, their = ({key: value for key, value in one["identity"].items() if key != "checkpointed"} for one in known)
    assert own == their
    names = [
        set(node_run(node, f"tar --force-local --list --file='{path}'").split())
        for path in (made["destination"], theirs)
    ]
    outside = [{name for name in found if not name.startswith("checkpoint/")} for found in names]
    # CRI-O has deletions, but loses the changed file of the image, and containerd has them in its layer.
    assert outside[0] == outside[1] | ({"deleted.files"} if node == CRIO else set()), outside
    documents = ("config.dump", "bind.mounts") if node == CRIO else ("config.dump", "status", "status.dump")
    for name in (*documents, "spec.dump"):
        mine, other = (json.loads(member(node, path, name)) for path in (made["destination"], theirs))
        if name == "config.dump":
            assert mine.pop("checkpointedTime") < other.pop("checkpointedTime")
        assert mine == other, name
    looked = controller.task("checkpoint_inspect", on=node, keywords=BECOME, path=made["destination"])
    assert not looked["failed"] and not looked["notes"], looked
    node_run(node, f"rm '{theirs}'")

    log = {CRIO: "io.kubernetes.cri-o.LogPath", CTD: "container.log"}[node]
    written = [
        int(number) for number in re.findall(r"tick (\d+)$", member(node, made["destination"], log), re.MULTILINE)
    ]
    target = {CRIO: CTD, CTD: CRIO}[node]
    there = archives.carry(node, made["destination"], target, f"own-{node}.tar")
    first = restored(cluster, controller, target, there, node)
    # The log is read when it runs again, and has at least what was printed before.
    assert written[0] < first <= written[-1] + 1
    for one in (node, target):
        node_run(one, f"rm -r {dumper.folder}")


@BOTH
def test_frozen_nothing_happens_until_it_goes_on(dumper: Dumper) -> None:
    made = dumper("frozen.tar", leave="frozen", deadline="5m", owner="a test")
    assert made["frozen"] and made["deadline"] and made["frozen_seconds"] is None, made
    before = dumper.ticks()
    (entry,) = dumper.guard(thaw=True)
    assert entry["verdict"] == "on_purpose" and not entry["thawed"] and entry["state"] == "frozen"
    assert entry["frozen_on_purpose"]["owner"] == "a test"
    assert entry["frozen_on_purpose"]["deadline"] == made["deadline"]
    assert dumper("second.tar")["code"] == "already_frozen"
    assert dumper(state="ended", timeout="500ms")["code"] == "not_stopping"
    assert dumper.ticks() == before
    resumed = dumper(state="resumed")
    assert resumed["changed"] and not resumed["frozen"] and resumed["pid"] == made["pid"]
    assert not dumper(state="resumed")["changed"]
    assert dumper(state="ended")["code"] == "not_frozen"
    dumper.goes_on()
    assert dumper.guard() == []
    assert dumper.left() == ""
    node_run(dumper.node, f"rm -r {dumper.folder}")


@BOTH
def test_moved_without_a_line_twice_or_never(
    cluster: Cluster, controller: Controller, dumper: Dumper, node: str
) -> None:
    """Frozen, dumped into a folder, deleted, killed, and restored from the folder: the next number is the next one."""
    made = dumper("moved", format="folder", leave="frozen", deadline="5m")
    assert made["frozen"] and made["sha256"] is None, made
    assert node_run(node, f"find {made['destination']} -perm /077") == ""
    last = dumper.ticks()[-1]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ended = pool.submit(dumper, state="ended", timeout="30s")
        following = pool.submit(cluster.logs, dumper.pod, False)
        cluster.delete(dumper.pod)
        assert ended.result()["changed"], ended.result()
        assert numbers(following.result())[-1:] in ([last], [])
    assert not dumper(state="ended")["changed"]
    assert restored(cluster, controller, node, made["destination"], node) == last + 1
    node_run(node, f"rm -r {dumper.folder}")


@BOTH
def test_nobody_has_to_come_back(dumper: Dumper) -> None:
    """The module is long gone when the deadline comes. The second time, the process that waits for it is gone too."""
    dumper("first.tar", leave="frozen", deadline="3s")
    before = dumper.ticks()[-1]
    wait_until("the deadline", lambda: dumper.ticks()[-1] > before, 30)
    dumper.goes_on()
    wait_until("nothing to be left", lambda: dumper.left() == "", 10)

    made = dumper("second.tar", leave="frozen", deadline="40s")
    found = node_run(dumper.node, "pgrep -x checkpoint-thaw").split()
    assert len(found) == 1, found
    node_run(dumper.node, f"kill -KILL {found[0]}")
    assert dumper.guard(thaw=True)[0]["verdict"] == "on_purpose"
    wait_until("the time to be over", lambda: dumper.guard()[0]["verdict"] == "abandoned", 90)
    (entry,) = dumper.guard(thaw=True)
    assert entry["thawed"] and entry["frozen_on_purpose"]["deadline"] == made["deadline"]
    dumper.goes_on()
    assert dumper.left() == ""
    node_run(dumper.node, f"rm -r {dumper.folder}")


@BOTH
def test_whatever_fails_it_runs_on_and_nothing_is_left(
    cluster: Cluster, controller: Controller, archives: Archives, undo: Undo, node: str
) -> None:
    """CRIU killed, the module killed and told to stop, and no space, for an archive and for a folder."""
    name = f"hog-{node}"
    cluster.hog(name, node, 256)
    undo(lambda: cluster.delete(name))
    dumper = Dumper(controller, cluster, archives, node, name)
    since = cluster.get(name)["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for victim, codes in (
            ("criu", {"criu_unfinished", "dump_failed"}),
            ("term", {"interrupted"}),
            ("module", set()),
        ):
            strike = pool.submit(node_run, node, f"python3 -c '{STRIKE}' {victim}")
            result = dumper(f"{victim}.tar")
            strike.result()
            assert result["failed"] and (not codes or result["code"] in codes), (victim, result)
            wait_until(f"nothing to be left after {victim}", lambda: dumper.left() == "", 20)
            assert node_run(node, f"ls -A {dumper.folder}") == "" and dumper.guard() == []
    small = f"{dumper.folder}/small"
    node_run(node, f"mkdir {small} && mount -t tmpfs -o size=32m tmpfs {small}")
    undo(lambda: node_run(node, f"umount {small} && rmdir {small}"))
    for form, codes in (("archive", {"no_space"}), ("folder", {"criu_disk_full", "no_space"})):
        result = dumper("small/full", format=form)
        assert result["code"] in codes, result
        assert node_run(node, f"ls -A {small}") == "" and dumper.left() == "" and dumper.guard() == []
    assert dumper("whole.tar")["size"] > 256 << 20
    running = cluster.get(name)["status"]["containerStatuses"][0]
    assert running["restartCount"] == 0 and running["state"]["running"]["startedAt"] == since
    node_run(node, f"rm {dumper.folder}/whole.tar")


@BOTH
def test_what_hangs_is_given_up_in_time(
    cluster: Cluster, controller: Controller, archives: Archives, undo: Undo, node: str
) -> None:
    """A process that is stopped by a signal keeps CRIU waiting."""
    name = f"stopped-{node}"
    cluster.apply(cluster.pod(name, node, "ledger"))
    undo(lambda: cluster.delete(name))
    cluster.says(name)
    dumper = Dumper(controller, cluster, archives, node, name)
    pid = first_pid(cluster, node, name)
    freezer = f"/sys/fs/cgroup/freezer$(grep :freezer: /proc/{pid}/cgroup | cut -d: -f3)"
    leaf = max(int(word) for word in node_run(node, f"cat {freezer}/cgroup.procs").split())
    node_run(node, f"kill -STOP {leaf}")
    result = dumper("late.tar", timeout="4s")
    assert result["code"] == "timeout", result
    assert node_run(node, f"cat {freezer}/freezer.state").strip() == "THAWED"
    assert dumper.left() == "" and dumper.guard() == []
    node_run(node, f"kill -CONT {leaf}")
    assert dumper("then.tar")["changed"]
    node_run(node, f"rm -r {dumper.folder}")


@BOTH
def test_an_established_connection_is_refused_or_left_out(
    cluster: Cluster, controller: Controller, archives: Archives, undo: Undo, node: str
) -> None:
    """That of the container that goes on is not touched."""
    name = f"chatty-{node}"
    cluster.apply(cluster.pod(name, node, "chatty"))
    undo(lambda: cluster.delete(name))
    cluster.says(name, "exchange 2")
    dumper = Dumper(controller, cluster, archives, node, name)
    refused = dumper("refused.tar")
    assert refused["code"] == "criu_tcp_established" and "tcp_established" in refused["hint"], refused
    made = dumper("closed.tar", tcp_established="close")
    assert made["changed"], made
    last = int(re.findall(r"exchange (\d+)", cluster.logs(name))[-1])
    cluster.says(name, f"exchange {last + 2}")
    assert cluster.get(name)["status"]["containerStatuses"][0]["restartCount"] == 0
    assert dumper.left() == ""
    node_run(node, f"rm -r {dumper.folder}")


@BOTH
def test_restored_by_image(cluster: Cluster, controller: Controller, archives: Archives, undo: Undo, node: str) -> None:
    """As the engine's own archives are, by CRI-O and containerd themselves."""
    name = f"counter-{node}"
    cluster.apply(cluster.pod(name, node))
    undo(lambda: cluster.delete(name))
    cluster.says(name, "count 3")
    before = cluster.ask(name)
    dumper = Dumper(controller, cluster, archives, node, name)
    made = dumper("image.tar")
    image = f"{REGISTRY}/{cluster.namespace}/{node}:1"
    pushed = controller.task("checkpoint_image", on=node, keywords=BECOME, path=made["destination"], name=image)
    assert pushed["changed"], pushed
    pod = cluster.pod(f"image-{node}", node)
    pod["spec"]["containers"][0]["image"] = pushed["reference"]
    cluster.apply(pod)
    now = cluster.ask(f"image-{node}")
    # The same process: a cold start would have begun at another time, and count from nothing.
    assert now["since"] == before["since"] and now["count"] >= before["count"]
    wait_until("the next number", lambda: cluster.ask(f"image-{node}")["count"] > now["count"])
    cluster.delete(f"image-{node}")
    node_run(node, f"rm -r {dumper.folder}")


def test_a_container_of_crun(cluster: Cluster, controller: Controller, archives: Archives, undo: Undo) -> None:
    """Frozen, gone on, and killed in time; CRI-O has a handler for crun."""
    document = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "crun"}
    kubectl("apply", "--filename=-", document={**document, "metadata": {"name": "it-dump-crun"}})
    undo(lambda: kubectl("delete", "runtimeclass", "it-dump-crun"))
    dumper = started(cluster, controller, archives, undo, CRIO, runtimeClassName="it-dump-crun")
    assert dumper("crun.tar")["changed"]
    dumper.goes_on()
    made = dumper("crun", format="folder", leave="frozen", deadline="5m")
    assert made["frozen"], made
    assert dumper(state="resumed")["changed"]
    dumper.goes_on()
    assert dumper.left() == ""
    made = dumper("crun-moved", format="folder", leave="frozen", deadline="5m")
    last = dumper.ticks()[-1]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ended = pool.submit(dumper, state="ended", timeout="30s")
        cluster.delete(dumper.pod)
        assert ended.result()["changed"], ended.result()
    assert restored(cluster, controller, CRIO, made["destination"], CRIO) == last + 1
    node_run(CRIO, f"rm -r {dumper.folder}")
