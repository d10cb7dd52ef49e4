# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real versions of CRI-O and containerd against what checkpoint_node_info computes of them.

Runs every version on a spare node of the laboratory, with its switches off and on, asks the module what the node can
do, takes a checkpoint and restores it from an image, and compares. Then restores it with the restore runtime, and an
archive of the other container runtime as well. The result goes into the guide to versions. Ends with 1 where the module
was wrong or the restore runtime failed. ``make matrix`` runs it; it takes a quarter of an hour once everything is
compiled.

With names like ``containerd-2.3.5`` as arguments it runs these alone and leaves the guide as it is.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "lab")]
# ruff: noqa: E402
import image
import versions
from support import LAB, Cluster, Controller, kubectl, lab, node_run, wait_until

GUIDE = HERE.parents[1] / "docs" / "docsite" / "rst" / "guide_versions.rst"
BEGIN, END = ".. matrix: begin", ".. matrix: end"
NODES = {"cri-o": "crio-c", "containerd": "ctd-c"}
UNITS = {"cri-o": "crio", "containerd": "containerd"}
PLACE = "/opt/matrix"
TICKETED = "/root/matrix.tar"
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
    """``own`` and ``other``: the restore runtime, with an archive of this version and of the other runtime.

    A version that takes no checkpoints has none of its own.
    """

    case: Case
    computed: dict[str, t.Any]
    checkpoint: Outcome
    restore: Outcome
    own: t.Optional[Outcome]
    other: Outcome

    @property
    def agrees(self) -> bool:
        pairs = ((self.checkpoint, "checkpoint"), (self.restore, "restore_by_image"))
        right = all(outcome.worked is self.computed[name]["able"] for outcome, name in pairs)
        return right and self.other.worked and (self.own is None or self.own.worked)


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
        own = node_run(node, "cat /etc/containerd/config.toml")
        first, _end, rest = own.partition("\n")
        put(node, f"{PLACE}/{case.version}/config.toml", f"{first}\n{root}\n{rest}\n{setting}")
    node_run(node, f"systemctl daemon-reload && systemctl restart {UNITS[case.runtime]}")


def restore_node(node: str, runtime: str) -> None:
    """The node's own programs and configuration, and nothing left of the checkpoints."""
    images = 'crictl images --output json | grep -o \'"[^"]*/matrix:[^"]*"\' | tr -d \'"\''
    node_run(node, f"{images} | xargs --no-run-if-empty crictl rmi", check=False)
    node_run(node, f"rm -f {unit_drop_in(runtime)} /etc/crio/crio.conf.d/90-matrix.conf")
    node_run(node, f"rmdir {pathlib.PurePosixPath(unit_drop_in(runtime)).parent} /etc/crio/crio.conf.d", check=False)
    node_run(node, f"systemctl daemon-reload && systemctl restart {UNITS[runtime]}")
    node_run(node, "for m in $(grep -o '/[^ ]*matrix-[^ ]*' /proc/mounts); do umount -l $m; done", check=False)
    node_run(node, f"rm -rf {PLACE} /var/lib/containerd/matrix-*")
    wait_until(f"{node} to be Ready", lambda: ready(node), 120, 1)


def ready(node: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", node, "-o", path, check=False).startswith("True")


def runs_version(node: str, version: str) -> bool:
    path = "jsonpath={.status.nodeInfo.containerRuntimeVersion}"
    return (
        ready(node)
        and kubectl("get", "node", node, "-o", path, check=False).rpartition("://")[2].lstrip("v") == version
    )


def pod(cluster: Cluster, name: str, node: str, reference: str = "") -> dict[str, t.Any]:
    """Of the counter, or of another image. A token's folder would have to be in the other pod as well."""
    document = cluster.pod(name, node)
    document["spec"]["automountServiceAccountToken"] = False
    if reference:
        document["spec"]["containers"][0]["image"] = reference
    return document


def counter(cluster: Cluster, name: str) -> dict[str, t.Any]:
    """What the counter in a pod answers."""
    address = cluster.get(name)["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=5) as answer:
        return dict(json.load(answer))


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
    put(node, TICKETED, archive.path, "0600")
    ticket = {"namespace": cluster.namespace, "pod": "restored", "container": "app", "archive": TICKETED}
    # CRI-O grants fewer capabilities than containerd does.
    left = controller.task("checkpoint_ticket", on=node, keywords={"become": True}, security="clamp", **ticket)
    assert left.get("changed"), left
    document = pod(cluster, "restored", node)
    document["spec"]["runtimeClassName"] = "checkpoint-restore"
    try:
        return goes_on(cluster, document, archive.before)
    finally:
        lab("exec", node, "rm", TICKETED)


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
                    after = counter(cluster, "restored")
                    same = after["since"] == before["since"] and after["count"] >= before["count"]
                    return Outcome(same, "" if same else f"a fresh process runs: {after}")
                if waiting and waiting.get("reason") not in PASSING:
                    return Outcome(False, f"{waiting['reason']}: {waiting.get('message', '')}")
        return Outcome(False, f"nothing within {PATIENCE_S:.0f} s")
    finally:
        cluster.delete("restored")


def taken_from(
    controller: Controller, cluster: Cluster, node: str, path: pathlib.Path
) -> tuple[Outcome, t.Optional[Archive]]:
    """A checkpoint of a counter that is made for it; where it failed, no archive."""
    cluster.apply(pod(cluster, "source", node))
    cluster.says("source", "count 2")
    before = counter(cluster, "source")
    outcome = checkpoint(controller, cluster, "source", path)
    cluster.delete("source")
    return outcome, Archive(path, before) if outcome.worked else None


def run_version(runtime: str, version: str, folder: pathlib.Path, cluster: Cluster, other: Archive) -> t.Iterator[Row]:
    """All cases of a version on its node, which keeps the version. ``other``: an archive of the other runtime."""
    node = NODES[runtime]
    controller = Controller(folder)
    archive: t.Optional[Archive] = None
    install(node, runtime, version)
    for number, case in enumerate(cases(runtime, version)):
        say(f"{runtime} {version}, {case.title}")
        configure(node, case)
        wait_until(f"{node} to run {runtime} {version}", lambda: runs_version(node, version), 120, 1)
        facts = controller.task("checkpoint_node_info", on=node)
        assert facts["runtime"]["version"] == version, facts["runtime"]
        taken, fresh = taken_from(controller, cluster, node, folder / f"{runtime}-{version}-{number}.tar")
        archive = fresh or archive
        row = Row(
            case,
            facts["capabilities"],
            taken,
            restore_by_image(cluster, node, archive or other),
            restore_by_ticket(controller, cluster, node, archive) if archive else None,
            restore_by_ticket(controller, cluster, node, other),
        )
        say(f"  computed: {json.dumps(row.computed)}")
        say(f"  checkpoint: {taken}")
        say(f"  restore by image: {row.restore}")
        say(f"  restore runtime, own archive: {row.own}")
        say(f"  restore runtime, archive of the other runtime: {row.other}")
        say("  agrees" if row.agrees else "  DISAGREES")
        yield row


def table(rows: t.Sequence[Row]) -> str:
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
        "     - Restore runtime",
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
            f"     - {words[row.own.worked] if row.own else 'takes none'}",
            f"     - {words[row.other.worked]}",
        ]
    return "\n".join([*lines, "", END])


def environment() -> str:
    facts = json.loads((LAB.parents[1] / ".lab" / "lab.json").read_text())
    known = facts["versions"]
    return f"with Kubernetes {known['kubernetes']}, runc {known['runc']}, CRIU {known['criu']} and Linux {kernel()}"


def kernel() -> str:
    return ".".join(node_run(NODES["containerd"], "uname -r").split("-")[0].split(".")[:2])


def main(wanted: t.Sequence[str]) -> int:
    rows: list[Row] = []
    spares = {"nodes": ",".join(NODES.values()), "batch": len(NODES), "probe": False, "restore_runtime": True}
    playbook = "checkpoint_restore.kubernetes.prepare_nodes"
    lab("run", "ansible-playbook", playbook, "--extra-vars", json.dumps(spares), timeout=900)
    with tempfile.TemporaryDirectory() as directory, Cluster("matrix") as cluster, contextlib.ExitStack() as stack:
        for runtime, node in NODES.items():
            stack.callback(restore_node, node, runtime)
        # Called first: what runs belongs to a runtime that is about to go.
        stack.callback(kubectl, "delete", "pods", "--all", "--namespace", cluster.namespace, "--wait", "--now")
        folder = pathlib.Path(directory)
        others = {}
        for runtime, node in NODES.items():
            outcome, archive = taken_from(Controller(folder), cluster, node, folder / f"{runtime}.tar")
            assert archive, outcome.said
            others[runtime] = archive
        for runtime, version in versions.names():
            if not wanted or f"{runtime}-{version}" in wanted:
                (other,) = (archive for name, archive in others.items() if name != runtime)
                rows += run_version(runtime, version, folder, cluster, other)
    print(table(rows))
    if not wanted:
        head, _begin, rest = GUIDE.read_text().partition(BEGIN)
        GUIDE.write_text(head + table(rows) + rest.partition(END)[2])
    wrong = [row for row in rows if not row.agrees]
    say(f"{len(rows)} cases, {len(wrong)} in which something was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
