# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles criu, kubelet, crio and containerd on nodes of the laboratory."""

from __future__ import annotations

import json
import os
import re
import typing as t

import pytest
from labkit import topology
from support import LAB, SOME_NODES, Cluster, Controller, kubectl, lab, node_run, wait_until

PACKAGES = "criu libcriu2 libcompel1 libnet9"
STORE = "/var/lib/checkpoint-restore"
SETTINGS: dict[str, t.Any] = {
    "criu_tcp_close": True,
    "criu_skip_in_flight": True,
    "kubelet_runtime_request_timeout": "4m",
    "crio_extra": {"crio.runtime": {"log_level": "debug"}},
    "containerd_extra": {"debug": {"level": "debug"}},
}
BROKEN: dict[str, dict[str, t.Any]] = {
    "crio": {"crio_extra": {"crio.runtime": {"cgroup_manager": "none such"}}},
    "containerd": {
        "containerd_extra": {
            'plugins."io.containerd.cri.v1.runtime".containerd': {"default_runtime_name": "none-such"}
        },
        # It runs on, without its CRI.
        "containerd_restart_timeout": "20s",
    },
    "kubelet": {"kubelet_extra": {"cgroupRoot": "/none-such"}},
}
REFUSED: dict[str, dict[str, t.Any]] = {
    "crio": {"crio_extra": {"crio.runtime": {"log_level": 5}}},
    "containerd": {"containerd_extra": {'plugins."io.containerd.cri.v1.runtime"': {"enable_cdi": "maybe"}}},
    "kubelet": {"kubelet_extra": {"readOnlyPort": 70000}},
    "criu": {"criu_extra_options": ["none-such"]},
}


class Played(t.NamedTuple):
    """A run of roles on one node: what each says that it changed, and how many tasks did."""

    ok: bool
    changes: dict[str, list[dict[str, t.Any]]]
    changed: int
    output: str


def play(controller: Controller, node: str, *roles: str, check: bool = False, **variables: t.Any) -> Played:
    result = controller.directory / "changes.json"
    result.unlink(missing_ok=True)
    keep = {
        "name": "Keep what was changed",
        "ansible.builtin.copy": {
            "content": "{{ " + "{" + ", ".join(f"'{role}': {role}_changes" for role in roles) + "} | to_json }}",
            "dest": str(result),
            "mode": "0600",
        },
        "delegate_to": "localhost",
        "become": False,
        "check_mode": False,
        "changed_when": False,
    }
    tasks = [
        {"name": role, "ansible.builtin.include_role": {"name": f"checkpoint_restore.kubernetes.{role}"}}
        for role in roles
    ]
    document = [{"name": "Roles", "hosts": node, "become": True, "gather_facts": False, "tasks": [*tasks, keep]}]
    playbook = controller.directory / "roles.json"
    playbook.write_text(json.dumps(document))
    options = ["--check"] if check else []
    done = lab("run", "ansible-playbook", *options, "--extra-vars", json.dumps(variables), str(playbook), check=False)
    output = done.stdout + done.stderr
    recap = re.search(rf"^{node} .*changed=(\d+)", output, re.MULTILINE)
    assert recap, output
    changes = json.loads(result.read_text()) if result.exists() else {}
    return Played(done.returncode == 0, changes, int(recap[1]), output)


def runtime(node: str) -> str:
    return topology.named(node).runtime


def everything(node: str) -> dict[str, str]:
    """What the roles may touch: each file below /etc with mode, owner and digest, and the packages."""
    # apt rewrites its caches of libraries and of its own; they hold nothing that anybody set.
    command = (
        "cd /etc; find . -type f ! -name ld.so.cache ! -path './.pwd.lock' -printf '%p %m %u %g ' "
        "-exec sha256sum {} ';'; dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n'"
    )
    lines = node_run(node, command).splitlines()
    return {line.split(" ")[0]: line for line in lines if not line.endswith((" config-files", " not-installed"))}


def containers(cluster: Cluster, pod: str) -> tuple[t.Any, ...]:
    status = cluster.get(pod)["status"]["containerStatuses"][0]
    return status["containerID"], status["state"]["running"]["startedAt"], status["restartCount"]


def ready(node: str) -> bool:
    condition = "{.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", node, f"--output=jsonpath={condition}") == "True"


@pytest.fixture(params=SOME_NODES)
def node(request: pytest.FixtureRequest, controller: Controller) -> t.Iterator[str]:
    """A node without CRIU and without any setting of ours; prepared again afterwards."""
    name = str(request.param)
    node_run(
        name,
        f"apt-get purge --yes --quiet {PACKAGES} >/dev/null 2>&1; rm -rf {STORE} /etc/criu; "
        f"{'systemctl restart crio' if runtime(name) == 'crio' else 'true'}",
    )
    yield name
    absent = {f"{role}_state": "absent" for role in ("criu", "kubelet", runtime(name))}
    play(controller, name, "criu", "kubelet", runtime(name), **absent)
    node_run(name, f"rm -rf {STORE} /etc/criu")
    lab("run", "ansible-playbook", "--limit", name, str(LAB / "prepare.yml"))
    wait_until(f"{name} to be Ready", lambda: ready(name))


def test_foretold_done_once_and_taken_back(node: str, controller: Controller, cluster: Cluster) -> None:
    roles = ("criu", "kubelet", runtime(node))
    pod = f"counter-{node}"
    cluster.apply(cluster.pod(pod, node))
    before, running = everything(node), containers(cluster, pod)

    foretold = play(controller, node, *roles, check=True, **SETTINGS)
    assert foretold.ok, foretold.output
    assert everything(node) == before
    done = play(controller, node, *roles, **SETTINGS)
    assert done.ok, done.output
    assert done.changes == foretold.changes
    whats = {role: [entry["what"] for entry in entries] for role, entries in done.changes.items()}
    assert any(re.fullmatch(r"package criu \d+\.\d+\S*", what) for what in whats["criu"])
    assert "tcp-close, skip-in-flight" in whats["criu"]
    assert whats["kubelet"] == ["runtimeRequestTimeout: 4m"]
    assert len(whats[runtime(node)]) == 1

    # Whatever else is on the node is as it was, and what was foretold is all that is new.
    after = everything(node)
    paths = {entry["path"] for entries in done.changes.values() for entry in entries if entry["path"]}
    touched = {line for line in after if line.startswith("./") and after[line] != before.get(line)}
    assert {f"/etc/{path[2:]}" for path in touched} - paths <= owned_by_packages(node, touched)
    assert set(before) <= set(after)

    # It holds, pods run on, and the node can checkpoint.
    assert ready(node)
    configz = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))
    assert configz["kubeletconfig"]["runtimeRequestTimeout"] == "4m0s"
    assert containers(cluster, pod) == running
    path = f"/api/v1/nodes/{node}/proxy/checkpoint/{cluster.namespace}/{pod}/app"
    archive = json.loads(kubectl("create", "--raw", path, "--filename=-", document={}))["items"][0]
    node_run(node, f"rm -f '{archive}'")

    again = play(controller, node, *roles, **SETTINGS)
    assert again.ok and again.changed == 0, again.output
    assert again.changes == {role: [] for role in roles}

    absent = {**SETTINGS, **{f"{role}_state": "absent" for role in roles}}
    foretold = play(controller, node, *roles, check=True, **absent)
    assert everything(node) == after
    gone = play(controller, node, *roles, **absent)
    assert gone.ok, gone.output
    assert gone.changes == foretold.changes
    assert everything(node) == before
    assert containers(cluster, pod) == running
    again = play(controller, node, *roles, **absent)
    assert again.ok and again.changed == 0, again.output


def owned_by_packages(node: str, paths: t.Iterable[str]) -> set[str]:
    """Those of the files that came with a package."""
    names = [f"/etc/{path[2:]}" for path in paths]
    owned = node_run(node, f"for file in {' '.join(names)}; do dpkg -S $file >/dev/null 2>&1 && echo $file; done; true")
    return set(owned.split())


@pytest.mark.parametrize("name", SOME_NODES)
def test_a_broken_configuration_is_put_back(name: str, controller: Controller, cluster: Cluster) -> None:
    pod = f"held-{name}"
    cluster.apply(cluster.pod(pod, name))
    before, running = everything(name), containers(cluster, pod)
    for role in (runtime(name), "kubelet"):
        played = play(controller, name, role, **BROKEN[role])
        assert not played.ok
        words = "does not come up with its new configuration; it has its old one back and is well with it"
        assert words in " ".join(played.output.split())
        assert everything(name) == before
        assert node_run(name, f"ls -A {STORE}/settings").split() == []
        wait_until(f"{name} to be Ready", lambda: ready(name))
    assert containers(cluster, pod) == running
    assert play(controller, name, runtime(name), "kubelet").changed == 0


@pytest.mark.parametrize("name", SOME_NODES)
def test_what_a_component_refuses_is_not_written(name: str, controller: Controller) -> None:
    before = everything(name)
    started = "systemctl show crio containerd kubelet --property=ActiveEnterTimestampMonotonic"
    since = node_run(name, started)
    for role in ("criu", "kubelet", runtime(name)):
        for check in (True, False):
            played = play(controller, name, role, check=check, **REFUSED[role])
            assert not played.ok
            assert "refuses the new configuration, so nothing was changed" in " ".join(played.output.split())
    assert everything(name) == before
    assert node_run(name, started) == since


def test_a_restart_that_was_missed_is_made_up_for(controller: Controller, undo: t.Any) -> None:
    name = SOME_NODES[-1]
    undo(lambda: play(controller, name, "kubelet", kubelet_state="absent"))
    settings = {"runtime_request_timeout": "5m"}
    changed = controller.task(
        "checkpoint_node_config", on=name, component="kubelet", settings=settings, keywords={"become": True}
    )
    assert changed["restart"] == ["kubelet"] and changed["validated"] == "kubelet"
    played = play(controller, name, "kubelet", kubelet_runtime_request_timeout="5m")
    assert played.ok and played.changed > 0 and played.changes == {"kubelet": []}, played.output
    configz = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{name}/proxy/configz"))
    assert configz["kubeletconfig"]["runtimeRequestTimeout"] == "5m0s"
    assert play(controller, name, "kubelet", kubelet_runtime_request_timeout="5m").changed == 0


def test_what_is_not_confirmed_can_be_reverted(controller: Controller) -> None:
    name = SOME_NODES[-1]
    before = everything(name)
    played = play(controller, name, "kubelet", kubelet_runtime_request_timeout="6m", kubelet_confirm=False)
    assert played.ok, played.output
    become = {"become": True}
    foretold = controller.task(
        "checkpoint_node_config", on=name, check=True, component="kubelet", state="reverted", keywords=become
    )
    assert foretold["changed"] and foretold["restart"] == ["kubelet"] and everything(name) != before
    reverted = controller.task(
        "checkpoint_node_config", on=name, component="kubelet", state="reverted", keywords=become
    )
    assert reverted["changes"] == foretold["changes"]
    assert everything(name) == before
    restarted = controller.task("checkpoint_node_service", on=name, keywords=become, name="kubelet")
    assert restarted["ended"] == [] and restarted["pid"] > 0
    assert (
        controller.task("checkpoint_node_config", on=name, component="kubelet", state="reverted", keywords=become)[
            "changed"
        ]
        is False
    )


def test_a_unit_that_would_take_its_containers_along_is_not_restarted(
    controller: Controller, cluster: Cluster, undo: t.Any
) -> None:
    name = next(node for node in SOME_NODES if runtime(node) == "containerd")
    cluster.apply(cluster.pod("spared", name))
    running = containers(cluster, "spared")
    folder = "/run/systemd/system/containerd.service.d"
    undo(lambda: node_run(name, f"rm -r {folder}; systemctl daemon-reload"))
    unit = "[Service]\\nKillMode=control-group\\n"
    node_run(name, f"mkdir -p {folder}; printf '{unit}' >{folder}/test.conf; systemctl daemon-reload")
    refused = controller.task("checkpoint_node_service", on=name, keywords={"become": True}, name="containerd")
    assert refused["code"] == "restart_refused", refused
    assert containers(cluster, "spared") == running


@pytest.mark.parametrize("scenario", ["criu", "kubelet", "crio", "containerd", "rbac"])
def test_molecule(scenario: str) -> None:
    fit = [node for node in SOME_NODES if scenario in ("criu", "kubelet", runtime(node))]
    lab(
        "run",
        "molecule",
        "test",
        "--scenario-name",
        scenario,
        cwd=LAB.parents[1] / "extensions",
        env={**os.environ, "MOLECULE_NODES": ":".join(fit)},
    )
