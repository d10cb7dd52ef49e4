# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_evidence as a module: what it asks the API server, writes and returns."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_evidence as module
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Cluster,
    Say,
    pod_object,
    serving,
    status_object,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import outcome

SECRET = "hunter2"
Result = dict[str, t.Any]


class Runner:
    """Runs the module's ``main()`` against an API server that answers as the script says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.asked: list[Asked] = []
        self.warnings: list[str] = []
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(
        self, state: str, script: t.Callable[[Asked], Say] | None = None, *, check: bool = False, **options: t.Any
    ) -> Result:
        with serving(script or Cluster([])) as server:
            given = {"state": state, "destination": str(self.folder), "host": server.url, "api_key": "token", **options}
            result, warnings = outcome(module, self._monkeypatch, self._capsys, check=check, **given)
            self.warnings += warnings
            self.asked = server.asked
        assert SECRET not in json.dumps(result)
        return result

    def opened(self, script: t.Callable[[Asked], Say], **options: t.Any) -> Result:
        return self("open", script, namespace="shop", incident="case", **options)

    @property
    def manifest(self) -> Result:
        return t.cast("Result", json.loads((self.folder / "case" / "manifest.json").read_text()))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, monkeypatch, capsys)


def with_secret(name: str) -> Result:
    pod = pod_object(name)
    pod["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": SECRET}]
    return pod


SHOP = Cluster([with_secret("web-0"), with_secret("web-1")])


def checkpoint(name: str) -> Result:
    identity = {"node": "n1", "node_address": "127.0.0.1", "namespace": "shop", "pod": name, "pod_uid": f"uid-{name}"}
    ids = {"container": "app", "container_id": f"id-{name}-app"}
    return {**identity, **ids, "path": f"/k/{name}.tar", "started": "2026-11-21T09:38:01.123Z", "duration": 0.5}


def documented(state: str) -> set[str]:
    every = yaml.safe_load(module.RETURN)
    wanted = ("success", f"success and O(state={state})")
    return {key for key, entry in every.items() if entry["returned"] in wanted}


def test_open_keeps_the_pods_and_names_what_to_checkpoint(run: Runner) -> None:
    result = run.opened(SHOP, collection_version="1.0.0")
    folder = run.folder / "case"
    assert result == {"changed": True, "incident": "case", "folder": str(folder), "pods": ["web-0", "web-1"]}
    assert set(result) == documented("open") | {"changed"}
    kept = [json.loads((folder / pod["file"]).read_text()) for pod in run.manifest["pods"]]
    assert kept == [with_secret("web-0"), with_secret("web-1")]
    assert run.manifest["nodes"]["n1"]["kubelet_version"] == "v1.36.2"
    (told,) = run.manifest["runs"]
    assert (told["collection_version"], told["ansible_version"]) == ("1.0.0", "2.19.14")
    assert told["selection"]["namespace"] == "shop"
    assert {asked.method for asked in run.asked} == {"GET"}


def test_open_names_an_incident_by_time_and_namespace(run: Runner) -> None:
    name = run("open", SHOP, namespace="shop")["incident"]
    assert name.endswith("Z-shop")
    assert (run.folder / name / "manifest.json").exists()


def test_open_in_check_mode_writes_nothing(run: Runner) -> None:
    assert run.opened(SHOP, check=True)["pods"] == ["web-0", "web-1"]
    assert list(run.folder.iterdir()) == []
    assert run("recorded", incident="case", checkpoints=[checkpoint("web-0")], check=True)["nodes"] == []
    assert run("closed", incident="case", check=True)["complete"] is True
    assert list(run.folder.iterdir()) == []


def test_what_is_not_there_is_said_before_anything_is_written(run: Runner) -> None:
    result = run.opened(SHOP, pod=["nope", "never"])
    assert (result["failed"], result["code"]) == (True, "pod_not_found")
    assert "shop/never, shop/nope" in result["msg"]
    assert run.opened(Cluster([]))["code"] == "no_match"
    assert list(run.folder.iterdir()) == []


def test_a_pod_that_is_missing_beside_others_is_noted(run: Runner) -> None:
    assert run.opened(SHOP, pod=["web-0", "nope"])["pods"] == ["web-0"]
    (failure,) = run.manifest["runs"][0]["failures"]
    assert (failure["stage"], failure["pod"], failure["code"]) == ("select", "nope", "pod_not_found")


def test_without_the_right_to_read_nodes_the_rest_is_collected(run: Runner) -> None:
    def script(asked: Asked) -> Say:
        return status_object(403, "nodes is forbidden") if "/nodes" in asked.path else SHOP(asked)

    result = run.opened(script)
    assert result["pods"] == ["web-0", "web-1"]
    assert "get on nodes is forbidden" in run.warnings[0]
    assert run.manifest["nodes"] == {}


def test_a_pod_that_goes_away_meanwhile_is_left_to_the_checkpoint(run: Runner) -> None:
    seen: list[str] = []

    def script(asked: Asked) -> Say:
        seen.append(asked.path)
        if asked.path.endswith("/pods/web-1"):
            return status_object(404, 'pods "web-1" not found')
        return SHOP(asked)

    assert run.opened(script, label_selectors=["app"])["pods"] == ["web-0", "web-1"]
    assert [pod["pod"] for pod in run.manifest["pods"]] == ["web-0"]


def test_the_way_through_all_states_and_again(run: Runner) -> None:
    run.opened(SHOP)
    failure = {**checkpoint("web-1"), "code": "criu_failed", "reason": "No", "hint": "Look", "message": ""}
    recorded = run("recorded", incident="case", checkpoints=[checkpoint("web-0")], failures=[failure])
    assert set(recorded) == documented("recorded") | {"changed"}
    (node,) = recorded["nodes"]
    assert (recorded["changed"], node["node"], node["node_address"]) == (True, "n1", "127.0.0.1")
    (archive,) = node["archives"]
    assert archive == {"path": "/k/web-0.tar", "name": "n1_shop_web-0_app_20261121T093801Z.tar"}
    closed = run("closed", incident="case", transfers=[{}])
    assert set(closed) == documented("closed") | {"changed"}
    assert closed["complete"] is False
    assert closed["summary"][0] == "Incident case: INCOMPLETE, 0 of 2 archives collected and verified"
    # The next run wants what it has no checkpoint of, and still waits for the archive that was not fetched.
    assert run.opened(SHOP)["pods"] == ["web-1"]
    assert run("recorded", incident="case")["nodes"] == [node]


def test_a_pod_that_is_gone_does_not_keep_an_incident_from_being_completed(run: Runner) -> None:
    run.opened(SHOP)
    run("recorded", incident="case", checkpoints=[checkpoint("web-0")])
    assert run.opened(Cluster([]))["pods"] == []


@pytest.mark.parametrize("state", ["recorded", "closed"])
def test_an_incident_has_to_be_opened_first(run: Runner, state: str) -> None:
    assert run(state, incident="case")["code"] == "incident_missing"


@pytest.mark.parametrize(("state", "needed"), [("open", "namespace"), ("recorded", "incident"), ("closed", "incident")])
def test_options_that_a_state_needs(run: Runner, state: str, needed: str) -> None:
    result = run(state)
    assert result["failed"] is True
    assert result["msg"].endswith(f"are missing: {needed}")


def test_a_name_that_leads_elsewhere_is_refused(run: Runner) -> None:
    assert run("open", SHOP, namespace="shop", incident="../elsewhere")["code"] == "incident_name_unsafe"
    assert run("open", SHOP, namespace="../../etc")["code"] == "incident_name_unsafe"
    assert list(run.folder.iterdir()) == []
    assert run.asked == []
