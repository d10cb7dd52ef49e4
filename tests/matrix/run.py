# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real versions of CRI-O and containerd against what checkpoint_node_info computes of them.

Runs every version on a spare node of the laboratory, with its switches off and on, asks the module what the node can
do, takes a checkpoint and restores it from an image, and compares. Then has the role install the handler of the restore
runtime and restores with it, also an archive of the other container runtime. At last, runc and crun behind the restore
runtime, each with archives of both. The result goes into the guide to versions. Ends with 1 where the module was wrong
or the restore runtime failed. ``make matrix`` runs it; it takes a quarter of an hour once everything is compiled.

With names like ``containerd-2.3.5`` as arguments, or ``oci``, it runs these alone and leaves the guide as it is.
TEST_NODES=crio-d,ctd-d takes other nodes.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "lab")]
# ruff: noqa: E402
import image
import versions
from support import LAB, Cluster, Controller, kubectl, lab, node_run, wait_until

GUIDE = HERE.parents[1] / "docs" / "docsite" / "rst" / "guide_versions.rst"
BEGIN, END = ".. matrix: begin", ".. matrix: end"
NODES = dict(zip(("cri-o", "containerd"), os.environ.get("TEST_NODES", "crio-c,ctd-c").split(",")))
UNITS = {"cri-o": "crio", "containerd": "containerd"}
PLACE = "/opt/matrix"
TICKETED = "/root/matrix.tar"
# Its own, which nobody else removes meanwhile.
CLASS = "matrix"
# The node's configuration as containerd 1.7 reads it: version 2, with one plugin for all of the CRI.
BEFORE_2 = (
    ("version = 3", "version = 2"),
    (
        "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n  sandbox =",
        "[plugins.'io.containerd.grpc.v1.cri']\n  sandbox_image =",
    ),
    ("bin_dirs = ['/usr/lib/cni']", "bin_dir = '/usr/lib/cni'"),
    ("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"),
)
HANDLER = re.compile(r"\n?# BEGIN checkpoint_restore.kubernetes restore runtime\n.*?# END [^\n]*\n", re.DOTALL)
PATIENCE_S = 90.0
PASSING = ("ContainerCreating", "PodInitializing")


class Case(t.NamedTuple):
    """One configuration of one version; ``lines`` are put into ``table``."""

    runtime: str
    version: str
    title: str
    table: str = ""
    lines: str = ""


class Outcome(t.NamedTuple):
    """``said`` is the refusal, empty where it worked."""

    worked: bool
    said: str


class Archive(t.NamedTuple):
    """A checkpoint of the counter on the controller, and what the counter answered before it."""

    path: pathlib.Path
    before: dict[str, t.Any]


class Row(t.NamedTuple):
    """``own`` and ``other``: the restore runtime, with an archive of this container runtime and of the other one.

    ``own`` is of this version, or where that takes none, of the one that the node has otherwise.
    """

    case: Case
    computed: dict[str, t.Any]
    checkpoint: Outcome
    restore: Outcome
    own: Outcome
    other: Outcome

    @property
    def agrees(self) -> bool:
        pairs = ((self.checkpoint, "checkpoint"), (self.restore, "restore_by_image"))
        right = all(outcome.worked is self.computed[name]["able"] for outcome, name in pairs)
        return right and self.other.worked and self.own.worked


class OciRow(t.NamedTuple):
    """An archive of one OCI runtime, restored with one behind the restore runtime, on a container runtime."""

    runtime: str
    dumped: str
    behind: str
    outcome: Outcome


def cases(runtime: str, version: str) -> list[Case]:
    """As the version comes, then with each switch that it has turned the other way."""
    if runtime == "cri-o":
        off = ("crio.runtime", "enable_criu_support = false")
        return [Case(runtime, version, "as it comes"), Case(runtime, version, off[1], *off)]
    made = [Case(runtime, version, "as it comes")]
    number = tuple(int(part) for part in version.split("."))
    where = "plugins.'io.containerd.cri.v1.runtime'"
    if number >= (2, 2, 7):
        if number < (2, 4, 0):
            line = "enable_experimental_restore_via_create = true"
            made.append(Case(runtime, version, line, where, line))
        made.append(Case(runtime, version, "enable_criu = false", where, "enable_criu = false"))
    return made


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def put(node: str, path: str, content: t.Union[str, pathlib.Path], mode: str = "0644") -> None:
    command = [
        LAB / "lab",
        "exec",
        node,
        "sh",
        "-c",
        f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}",
    ]
    if isinstance(content, pathlib.Path):
        with content.open("rb") as file:
            subprocess.run(command, stdin=file, check=True)
    else:
        subprocess.run(command, input=content.encode(), check=True)


def unit_drop_in(runtime: str) -> str:
    return f"/etc/systemd/system/{UNITS[runtime]}.service.d/90-matrix.conf"


def install(node: str, runtime: str, version: str) -> None:
    """The programs of a version beside the node's own, which come back with ``restore_node``."""
    place = f"{PLACE}/{version}"
    for program in versions.programs(runtime, version, say):
        put(node, f"{place}/{program.name}", program, "0755")
    command = f"{place}/crio" if runtime == "cri-o" else f"{place}/containerd --config {place}/config.toml"
    path = f"PATH={place}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    put(node, unit_drop_in(runtime), f"[Service]\nEnvironment={path}\nExecStart=\nExecStart={command}\n")


def configure(node: str, case: Case) -> None:
    setting = f"[{case.table}]\n{case.lines}\n" if case.table else ""
    if case.runtime == "cri-o":
        put(node, "/etc/crio/crio.conf.d/90-matrix.conf", setting)
    else:
        # Its own root: an older version doesn't read the database of a newer one.
        root = f"root = '/var/lib/containerd/matrix-{case.version}'"
        own = HANDLER.sub("", node_run(node, "cat /etc/containerd/config.toml"))
        if case.version.startswith("1."):
            for newer, older in BEFORE_2:
                own = own.replace(newer, older)
        first, _end, rest = own.partition("\n")
        put(node, f"{PLACE}/{case.version}/config.toml", f"{first}\n{root}\n{rest}\n{setting}")
    node_run(node, f"systemctl daemon-reload && systemctl restart {UNITS[case.runtime]}")


def install_handler(controller: Controller, *nodes: str, behind: str = "runc") -> None:
    """The restore runtime, as the role installs it on what runs there."""
    done = controller.role("restore_runtime", *nodes, restore_runtime_class=CLASS, restore_runtime_runtime=behind)
    assert done.returncode == 0, controller.output


def remove_handler(controller: Controller) -> None:
    done = controller.role(
        "restore_runtime", *NODES.values(), restore_runtime_class=CLASS, restore_runtime_state="absent"
    )
    assert done.returncode == 0, controller.output


def restore_node(node: str, runtime: str) -> None:
    """The node's own programs and configuration, and nothing left of the checkpoints."""
    images = 'crictl images --output json | grep -o \'"[^"]*/matrix:[^"]*"\' | tr -d \'"\''
    node_run(node, f"{images} | xargs --no-run-if-empty crictl rmi", check=False)
    node_run(node, f"rm -f {unit_drop_in(runtime)} /etc/crio/crio.conf.d/90-matrix.conf")
    node_run(node, f"rmdir {pathlib.PurePosixPath(unit_drop_in(runtime)).parent} /etc/crio/crio.conf.d", check=False)
    node_run(node, f"systemctl daemon-reload && systemctl restart {UNITS[runtime]}")
    node_run(node, "for m in $(grep -o '/[^ ]*matrix-[^ ]*' /proc/mounts); do umount -l $m; done", check=False)
    node_run(node, f"rm -rf {PLACE} /var/lib/containerd/matrix-*")
    wait_until(f"{node} to be Ready", lambda: ready(node), 300, 1)


def ready(node: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", node, "-o", path, check=False).startswith("True")


def runs_version(node: str, version: str) -> bool:
    path = "jsonpath={.status.nodeInfo.containerRuntimeVersion}"
    return (
        ready(node)
        and kubectl("get", "node", node, "-o", path, check=False).rpartition("://")[2].lstrip("v") == version
    )


def pod(cluster: Cluster, name: str, node: str, reference: str = "", runtime_class: str = "") -> dict[str, t.Any]:
    """Of the counter, or of another image. A token's folder would have to be in the other pod as well."""
    document = cluster.pod(name, node)
    document["spec"]["automountServiceAccountToken"] = False
    if runtime_class:
        document["spec"]["runtimeClassName"] = runtime_class
    if reference:
        document["spec"]["containers"][0]["image"] = reference
    return document


def checkpoint(controller: Controller, cluster: Cluster, name: str, keep: pathlib.Path) -> Outcome:
    """Through the kubelet; the archive is moved here."""
    result = controller.task("kubelet_checkpoint", namespace=cluster.namespace, pod=[name], progress=False)
    if result["failed"]:
        return Outcome(False, str(result["msg"]))
    (taken,) = result["checkpoints"]
    with keep.open("wb") as file:
        subprocess.run([LAB / "lab", "exec", taken["node"], "cat", taken["path"]], stdout=file, check=True)
    lab("exec", taken["node"], "rm", taken["path"])
    return Outcome(True, "")


def restore_by_image(cluster: Cluster, node: str, archive: Archive) -> Outcome:
    reference = image.push(archive.path, "app", LAB.parents[1] / ".lab" / "ca.crt")
    return goes_on(cluster, pod(cluster, "restored", node, reference), archive.before)


def restore_by_ticket(controller: Controller, cluster: Cluster, node: str, archive: Archive) -> Outcome:
    """Worked means that the preflight foretold it as well."""
    put(node, TICKETED, archive.path, "0600")
    document = pod(cluster, "restored", node, runtime_class=CLASS)
    # CRI-O grants fewer capabilities than containerd does.
    asked = {"on": node, "keywords": {"become": True}, "security": "clamp"}
    foretold = controller.task("checkpoint_preflight", archives=[TICKETED], definition=document, handler=CLASS, **asked)
    ticket = {"namespace": cluster.namespace, "pod": "restored", "container": "app", "archive": TICKETED}
    left = controller.task("checkpoint_ticket", **ticket, **asked)
    assert left.get("changed"), left
    try:
        outcome = goes_on(cluster, document, archive.before)
    finally:
        lab("exec", node, "rm", TICKETED)
    if foretold["failed"]:
        return Outcome(False, f"the preflight said: {foretold['msg']} {outcome}")
    return outcome


def goes_on(cluster: Cluster, document: dict[str, t.Any], before: dict[str, t.Any]) -> Outcome:
    """Whether the process of the archive goes on in a pod: it knows when it was started."""
    cluster.apply(document, ready=False)
    end = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < end:
            time.sleep(0.5)
            statuses = cluster.get("restored")["status"].get("containerStatuses", [])
            for status in statuses:
                state = status["state"]
                waiting = state.get("waiting", {})
                if status["ready"]:
                    after = cluster.ask("restored")
                    same = after["since"] == before["since"] and after["count"] >= before["count"]
                    return Outcome(same, "" if same else f"a fresh process runs: {after}")
                if waiting and waiting.get("reason") not in PASSING:
                    return Outcome(False, f"{waiting['reason']}: {waiting.get('message', '')}")
        return Outcome(False, f"nothing within {PATIENCE_S:.0f} s")
    finally:
        cluster.delete("restored")


def taken_from(
    controller: Controller, cluster: Cluster, node: str, path: pathlib.Path, runtime_class: str = ""
) -> tuple[Outcome, t.Optional[Archive]]:
    """A checkpoint of a counter that is made for it; where it failed, no archive."""
    cluster.apply(pod(cluster, "source", node, runtime_class=runtime_class))
    cluster.says("source", "count 2")
    before = cluster.ask("source")
    outcome = checkpoint(controller, cluster, "source", path)
    cluster.delete("source")
    return outcome, Archive(path, before) if outcome.worked else None


def run_version(
    runtime: str, version: str, folder: pathlib.Path, cluster: Cluster, stock: t.Mapping[str, Archive]
) -> t.Iterator[Row]:
    """All cases of a version on its node, which keeps the version. ``stock``: an archive of each container runtime."""
    node = NODES[runtime]
    controller = Controller(folder)
    archive = stock[runtime]
    (other,) = (theirs for name, theirs in stock.items() if name != runtime)
    install(node, runtime, version)
    for number, case in enumerate(cases(runtime, version)):
        say(f"{runtime} {version}, {case.title}")
        configure(node, case)
        wait_until(f"{node} to run {runtime} {version}", lambda: runs_version(node, version), 300, 1)
        install_handler(controller, node)
        facts = controller.task("checkpoint_node_info", on=node)
        assert facts["runtime"]["version"] == version, facts["runtime"]
        taken, fresh = taken_from(controller, cluster, node, folder / f"{runtime}-{version}-{number}.tar")
        archive = fresh or archive
        row = Row(
            case,
            facts["capabilities"],
            taken,
            restore_by_image(cluster, node, archive),
            restore_by_ticket(controller, cluster, node, archive),
            restore_by_ticket(controller, cluster, node, other),
        )
        say(f"  computed: {json.dumps(row.computed)}")
        say(f"  checkpoint: {taken}")
        say(f"  restore by image: {row.restore}")
        say(f"  restore runtime, archive of {runtime}: {row.own}")
        say(f"  restore runtime, archive of the other runtime: {row.other}")
        say("  agrees" if row.agrees else "  DISAGREES")
        yield row


def run_oci(folder: pathlib.Path, cluster: Cluster, stock: t.Mapping[str, Archive]) -> t.Iterator[OciRow]:
    """runc and crun behind the restore runtime, on the nodes with their own versions."""
    controller = Controller(folder)
    archives = {"runc": stock["cri-o"]}
    for behind in ("crun", "runc"):
        install_handler(controller, *NODES.values(), behind=behind)
        if behind not in archives:
            outcome, fresh = taken_from(controller, cluster, NODES["cri-o"], folder / f"{behind}.tar", CLASS)
            assert fresh, outcome.said
            archives[behind] = fresh
        for runtime, node in NODES.items():
            for dumped, archive in archives.items():
                row = OciRow(runtime, dumped, behind, restore_by_ticket(controller, cluster, node, archive))
                say(f"{runtime}, {behind} behind the restore runtime, archive of {dumped}: {row.outcome}")
                yield row


def table(rows: t.Sequence[Row], oci: t.Sequence[OciRow]) -> str:
    """The rows as the guide has them."""
    words = {True: "yes", False: "no", None: "not known"}
    lines = [
        BEGIN,
        "",
        f"Run on {datetime.datetime.now(datetime.timezone.utc).date()}, {environment()}.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - Runtime",
        "     - Setting",
        "     - Checkpoint, computed",
        "     - Checkpoint, real",
        "     - Restore by image, computed",
        "     - Restore by image, real",
        "     - Restore runtime, archive of the same",
        "     - Restore runtime, archive of the other",
    ]
    for row in rows:
        lines += [
            f"   * - {row.case.runtime} {row.case.version}",
            f"     - {f'``{row.case.title}``' if row.case.table else row.case.title}",
            f"     - {words[row.computed['checkpoint']['able']]}",
            f"     - {words[row.checkpoint.worked]}",
            f"     - {words[row.computed['restore_by_image']['able']]}",
            f"     - {words[row.restore.worked]}",
            f"     - {words[row.own.worked]}",
            f"     - {words[row.other.worked]}",
        ]
    lines += [
        "",
        "runc and crun behind the restore runtime:",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - Runtime",
        "     - Dumped by",
        "     - Behind the restore runtime",
        "     - Restored",
    ]
    for entry in oci:
        lines += [
            f"   * - {entry.runtime}",
            f"     - {entry.dumped}",
            f"     - {entry.behind}",
            f"     - {words[entry.outcome.worked]}",
        ]
    return "\n".join([*lines, "", END])


def environment() -> str:
    facts = json.loads((LAB.parents[1] / ".lab" / "lab.json").read_text())
    known = facts["versions"]
    programs = ", ".join(f"{name} {known[name]}" for name in ("runc", "crun"))
    return f"with Kubernetes {known['kubernetes']}, {programs}, CRIU {known['criu']} and Linux {kernel()}"


def kernel() -> str:
    return ".".join(node_run(NODES["containerd"], "uname -r").split("-")[0].split(".")[:2])


def main(wanted: t.Sequence[str]) -> int:
    rows: list[Row] = []
    oci: list[OciRow] = []
    spares = {"nodes": ",".join(NODES.values()), "batch": len(NODES), "probe": False}
    playbook = "checkpoint_restore.kubernetes.prepare_nodes"
    lab("run", "ansible-playbook", playbook, "--extra-vars", json.dumps(spares), timeout=900)
    with tempfile.TemporaryDirectory() as directory, Cluster("matrix") as cluster, contextlib.ExitStack() as stack:
        folder = pathlib.Path(directory)
        stack.callback(remove_handler, Controller(folder))
        for runtime, node in NODES.items():
            stack.callback(restore_node, node, runtime)
        # Called first: what runs belongs to a runtime that is about to go.
        stack.callback(kubectl, "delete", "pods", "--all", "--namespace", cluster.namespace, "--wait", "--now")
        stock: dict[str, Archive] = {}
        for runtime, node in NODES.items():
            outcome, archive = taken_from(Controller(folder), cluster, node, folder / f"{runtime}.tar")
            assert archive, outcome.said
            stock[runtime] = archive
        if not wanted or "oci" in wanted:
            oci += run_oci(folder, cluster, stock)
        for runtime, version in versions.names():
            if not wanted or f"{runtime}-{version}" in wanted:
                rows += run_version(runtime, version, folder, cluster, stock)
    print(table(rows, oci))
    if not wanted:
        head, _begin, rest = GUIDE.read_text().partition(BEGIN)
        GUIDE.write_text(head + table(rows, oci) + rest.partition(END)[2])
    wrong = [row for row in rows if not row.agrees] + [row for row in oci if not row.outcome.worked]
    say(f"{len(rows) + len(oci)} cases, {len(wrong)} in which something was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
