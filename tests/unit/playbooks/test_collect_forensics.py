# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""collect_forensics from its variables to its folder; the laboratory's tests do it on real nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import ansible_collections.checkpoint_restore.kubernetes as collection
import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Cluster,
    Say,
    ScriptedServer,
    pod_object,
    serving,
)

COLLECTION = Path(next(iter(collection.__path__)))
# Of plain runc: it records no pod that another one could be told from.
ARCHIVE = COLLECTION / "tests" / "fixtures" / "runc-criu-4.2.1-planted.tar.xz"
PLAYBOOK = COLLECTION / "playbooks" / "collect_forensics.yml"
BLANK = ("incident", "container", "label_selectors", "node", "max_concurrent", "max_concurrent_per_node", "context")


class Site:
    """Two nodes, reached as localhost, that write small archives, and the cluster they belong to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods = [pod_object("web-0", node="n1"), pod_object("web-1", node="n2"), pod_object("db-0", node="n2")]
        self.cluster = Cluster(self.pods, kubelet=self.checkpoint)
        self.refuse = ""
        hosts = {"n1": {}, "n2": {}}
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": local}}))

    def checkpoint(self, asked: Asked) -> Say:
        """A kubelet, behind the API server."""
        _checkpoint, namespace, pod, container = asked.path.split("/")[-4:]
        if pod == self.refuse:
            return Say(500, f"checkpointing of {namespace}/{pod}/{container} failed (criu failed: type NOTIFY errno 0)")
        path = self.folder / f"checkpoint-{pod}_{namespace}-{container}-2026-11-21T09:18:00Z.tar"
        shutil.copy(ARCHIVE, path)
        return Say(200, {"items": [str(path)]})

    def run(self, *arguments: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        """Run the playbook as from a shell, in ``folder``."""
        with serving(self.cluster) as server:
            return self._run(server, arguments, variables)

    def _run(
        self, server: ScriptedServer, arguments: t.Sequence[str], variables: t.Mapping[str, t.Any]
    ) -> subprocess.CompletedProcess[str]:
        given = ["-i", "inventory.yml", "-e", json.dumps({"via": "apiserver", "checkpoint_become": False, **variables})]
        kube = {"K8S_AUTH_HOST": server.url, "K8S_AUTH_API_KEY": "token", "XDG_STATE_HOME": str(self.folder / "state")}
        ansible = {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTION.parents[2]), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "checkpoint_restore.kubernetes.collect_forensics"]
            + [*given, *arguments],
            cwd=self.folder,
            env={**os.environ, **kube, **ansible},
            capture_output=True,
            text=True,
            check=False,
        )
        self.asked = server.asked
        return done

    @property
    def incident(self) -> Path:
        (folder,) = (self.folder / "evidence").iterdir()
        return folder


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_collects_with_commas_in_a_text_and_blanks_in_a_survey(site: Site) -> None:
    blanks = dict.fromkeys((*BLANK, "destination", "kubeconfig", "checkpoint_timeout"), "")
    done = site.run(namespace="shop", pod="web-0,web-1", **blanks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete, 2 of 2 archives collected and verified" in done.stdout
    manifest = json.loads((site.incident / "manifest.json").read_text())
    assert [(archive["node"], archive["pod"], archive["verified"]) for archive in manifest["archives"]] == [
        ("n1", "web-0", True),
        ("n2", "web-1", True),
    ]
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=site.incident, check=True, capture_output=True)


def test_what_failed_is_loud_and_the_next_run_completes_it(site: Site) -> None:
    site.refuse = "web-1"
    done = site.run(namespace="shop", pod=["web-0", "web-1"], incident="case")
    assert done.returncode == 2
    assert "INCOMPLETE, 1 of 2 archives collected and verified" in done.stdout
    assert "shop/web-1/app on n2: criu_failed" in done.stdout
    assert "-e incident=case" in done.stdout
    before = {path: path.read_bytes() for path in (site.incident / "archives").iterdir()}
    site.refuse = ""
    done = site.run(namespace="shop", pod="web-0,web-1", incident="case")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [asked.path.split("/")[-2] for asked in site.asked if asked.method == "POST"] == ["web-1"]
    after = {path: path.read_bytes() for path in (site.incident / "archives").iterdir()}
    assert len(after) == 2
    assert before.items() <= after.items()


def test_check_mode_takes_and_writes_nothing(site: Site) -> None:
    done = site.run("--check", namespace="shop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 containers would be checkpointed" in done.stdout
    assert [asked for asked in site.asked if asked.method != "GET"] == []
    assert not (site.folder / "evidence").exists()


@pytest.mark.parametrize(
    ("variables", "said"),
    [({}, "missing required arguments: namespace"), ({"namespace": ""}, "namespace is empty")],
)
def test_a_wrong_variable_is_a_sentence_and_touches_nothing(site: Site, variables: dict[str, str], said: str) -> None:
    done = site.run(pod="web-0", via="carrier pigeon", max_concurrent="many", **variables)
    assert done.returncode == 2
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("fatal:")]
    assert said in line
    assert "value of via must be one of: kubelet, apiserver, got: carrier pigeon" in line
    assert "max_concurrent" in line
    assert site.asked == []
    assert not (site.folder / "evidence").exists()


def test_becomes_root_unless_told_not_to(tmp_path: Path) -> None:
    plays = yaml.safe_load(PLAYBOOK.read_text())
    (expression,) = [task["become"] for play in plays for task in play["tasks"] if "become" in task]
    wanted_of = {True: ("", None, True, "true", "yes"), False: (False, "false", "no", 0)}
    given = [({"checkpoint_become": value}, wanted) for wanted, values in wanted_of.items() for value in values]
    tasks = [
        {
            "name": str(variables),
            "ansible.builtin.assert": {"that": "(become | bool) == expected"},
            "vars": {**variables, "become": expression, "expected": wanted},
        }
        for variables, wanted in [({}, True), *given]
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    command = [sys.executable, "-m", "ansible", "playbook", "play.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_variable_of_the_specification_is_used() -> None:
    meta = yaml.safe_load(PLAYBOOK.with_name("collect_forensics.meta.yml").read_text())
    text = PLAYBOOK.read_text()
    for variable in meta["argument_specs"]["main"]["options"]:
        assert f"{{{{ {variable} | default(" in text or f"'{variable}'" in text, variable
