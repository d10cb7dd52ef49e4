# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of versions, and what follows from facts of a node."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils import _capabilities as table


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.36.2", (1, 36, 2)),
        ("v1.30.4+k3s1", (1, 30, 4)),
        ("2.4.0-rc.1", (2, 4, 0)),
        ("1.7.24~ds1", (1, 7, 24)),
        ("4.2", (4, 2, 0)),
        (" 3 ", (3, 0, 0)),
        ("", None),
        (None, None),
        ("unknown", None),
        ("v", None),
    ],
)
def test_versions_are_read_however_they_are_decorated(text: t.Optional[str], version: t.Any) -> None:
    assert table.parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "gate"),
    [
        ("1.24.17", "absent"),
        ("v1.25.0", "off"),
        ("v1.29.14", "off"),
        ("v1.30.0", "on"),
        ("v1.36.2+k3s1", "on"),
        ((1, 28, 3), "off"),
    ],
)
def test_gate(version: t.Any, gate: str) -> None:
    assert table.kubelet_gate(version) == gate


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("1.24.0", False),
        ("1.29.13", True),
        ("1.29.14", False),
        ("1.30.9", True),
        ("1.30.10", False),
        ("1.31.5", True),
        ("1.31.6", False),
        ("1.32.1", True),
        ("1.32.2", False),
        ("1.33.0", False),
    ],
)
def test_read_only_port(version: str, affected: bool) -> None:
    assert table.kubelet_read_only_port_cve(version) is affected


@pytest.mark.parametrize(
    ("version", "checkpoint", "restore", "checkpoint_key", "restore_key"),
    [
        ("1.7.24~ds1", "none", "none", None, None),
        ("2.0.14", "always", "none", None, None),
        ("2.1.0", "always", "always", None, None),
        ("2.1.9", "always", "always", None, None),
        ("2.2.6", "always", "always", None, None),
        ("2.2.7", "switch", "switch", "enable_criu", "enable_experimental_restore_via_create"),
        ("2.3.3", "always", "always", None, None),
        ("2.3.4", "switch", "switch", "enable_criu", "enable_experimental_restore_via_create"),
        ("2.3.5", "switch", "switch", "enable_criu", "enable_experimental_restore_via_create"),
        ("2.4.0-rc.1", "switch", "removed", "enable_criu", None),
        ("2.5.1", "switch", "removed", "enable_criu", None),
    ],
)
def test_containerd(
    version: str, checkpoint: str, restore: str, checkpoint_key: t.Optional[str], restore_key: t.Optional[str]
) -> None:
    switches = table.runtime_switches("containerd", version)

    assert (switches.checkpoint, switches.restore) == (checkpoint, restore)
    assert (switches.checkpoint_key, switches.restore_key) == (checkpoint_key, restore_key)
    assert (switches.checkpoint_table is None) == (checkpoint_key is None)
    assert switches.restore_on is (True if restore_key else None)
    assert switches.restore_default is (False if restore_key else None)


@pytest.mark.parametrize(
    ("version", "key", "checkpoint_default", "restore"),
    [
        ("1.25.0", "enable_criu_support", False, "none"),
        ("1.26.0", "enable_criu_support", False, "always"),
        ("1.29.9", "enable_criu_support", False, "always"),
        ("1.30.0", "enable_criu_support", True, "always"),
        ("1.33.20", "enable_criu_support", True, "always"),
        ("1.34.13", "enable_criu_support", True, "always"),
        ("1.34.14", "container_level_enabled", "checkpoint_only", "switch"),
        ("1.35.8", "enable_criu_support", True, "always"),
        ("1.35.9", "container_level_enabled", "checkpoint_only", "switch"),
        ("1.36.3", "enable_criu_support", True, "always"),
        ("1.36.6", "container_level_enabled", "checkpoint_only", "switch"),
        ("1.37.0", "container_level_enabled", "checkpoint_only", "switch"),
    ],
)
def test_crio(version: str, key: str, checkpoint_default: t.Any, restore: str) -> None:
    switches = table.runtime_switches("cri-o", version)

    assert (switches.checkpoint, switches.restore) == ("switch", restore)
    assert switches.checkpoint_key == key and switches.checkpoint_default == checkpoint_default
    assert switches.restore_key == (key if restore == "switch" else None)
    assert switches.restore_default == ("checkpoint_only" if restore == "switch" else None)


def test_what_crio_lists_itself_outdoes_its_version() -> None:
    assert table.runtime_switches("cri-o", "1.33.9", crio_table=True).checkpoint_key == "container_level_enabled"
    assert table.runtime_switches("cri-o", "1.36.9", crio_table=False).checkpoint_key == "enable_criu_support"
    assert table.runtime_switches("cri-o", "1.24.0").checkpoint == "none"


@pytest.mark.parametrize(
    ("name", "version", "has", "lacks"),
    [
        ("containerd", "2.0.14", set(), {"CVE-2026-95837"}),
        ("containerd", "2.1.8", {"CVE-2026-53492", "CVE-2026-95837"}, set()),
        ("containerd", "2.1.9", {"CVE-2026-95837"}, {"CVE-2026-53492"}),
        ("containerd", "2.2.4", {"CVE-2026-50195"}, set()),
        ("containerd", "2.3.5", {"CVE-2026-95837"}, {"CVE-2026-50195"}),
        ("containerd", "2.4.2", set(), {"CVE-2026-95837"}),
        ("cri-o", "1.29.7", {"CVE-2024-8676"}, set()),
        ("cri-o", "1.30.5", {"CVE-2024-8676"}, set()),
        ("cri-o", "1.36.3", {"cri-o #10327, which turned it off"}, {"CVE-2024-8676"}),
    ],
)
def test_advisories(name: str, version: str, has: set[str], lacks: set[str]) -> None:
    advisories = set(table.runtime_switches(name, version).advisories)

    assert has <= advisories and not lacks & advisories


@pytest.mark.parametrize(("name", "version"), [("docker", "27.0.0"), ("containerd", "latest")])
def test_what_is_not_in_the_table_is_refused(name: str, version: str) -> None:
    with pytest.raises(ValueError, match="is n"):
        table.runtime_switches(name, version)


FACTS: dict[str, t.Any] = {
    "machine": {"kernel": "6.18.4", "kernel_options": {"CONFIG_CHECKPOINT_RESTORE": "y"}},
    "criu": {"path": "/usr/sbin/criu", "version": "4.2.1", "check": {"ok": True, "message": ""}},
    "kubelet": {"version": "v1.36.2", "gate": {"by_version": "on", "configured": None}, "read_only_port": 0},
    "runtime": {
        "name": "containerd",
        "version": "2.3.5",
        "advisories": ["CVE-2026-95837"],
        "restart_needed": False,
        "handlers": [{"name": "runc", "kind": "runc", "criu": None, "default": True}],
        "checkpoint": {
            "kind": "switch",
            "table": 'plugins."io.containerd.cri.v1.runtime"',
            "key": "enable_criu",
            "value": True,
            "on": True,
            "enable": True,
        },
        "restore_by_image": {
            "kind": "switch",
            "table": 'plugins."io.containerd.cri.v1.runtime"',
            "key": "enable_experimental_restore_via_create",
            "value": False,
            "on": False,
            "enable": True,
        },
    },
}


def judged(**changes: t.Any) -> dict[str, t.Any]:
    """FACTS with some of them changed; keys are paths with two underscores between the names."""
    facts = copy.deepcopy(FACTS)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = facts
        for parent in parents:
            place = place[parent]
        place[last] = value
    return table.capabilities(facts)


def test_a_node_in_order() -> None:
    found = judged()

    assert found["checkpoint"] == {"able": True, "reasons": [], "hints": []}
    assert found["restore_by_image"]["able"] is False
    assert "enable_experimental_restore_via_create" in found["restore_by_image"]["reasons"][0]


def test_restore_that_is_on_names_its_risk() -> None:
    found = judged(runtime__restore_by_image__on=True)["restore_by_image"]

    assert found["able"] is True and "CVE-2026-95837" in found["hints"][0]


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        ({"criu": {"path": None}}, "CRIU is not installed", "Install CRIU"),
        ({"criu__version": "3.15"}, "CRIU 3.15 is too old", "Install CRIU"),
        ({"criu__check": {"ok": False, "message": "no vDSO"}}, "criu check: no vDSO", "criu check"),
        ({"machine__kernel_options": {"CONFIG_CHECKPOINT_RESTORE": "n"}}, "CONFIG_CHECKPOINT_RESTORE", "kernel"),
        ({"kubelet__version": "v1.24.1"}, "has no checkpoints", "Upgrade"),
        ({"kubelet__version": "v1.28.1"}, "off unless set in Kubernetes 1.28", "feature gate"),
        ({"kubelet__gate__configured": False}, "switched off", "Remove"),
        ({"runtime__checkpoint__kind": "none"}, "containerd 2.3.5 has no checkpoint", "containerd 2.0"),
        ({"runtime__checkpoint__on": False}, "switched off in containerd 2.3.5 by enable_criu", "to true"),
        (
            {"runtime__checkpoint__on": False, "runtime__restart_needed": True},
            "started without CRIU",
            "Restart containerd",
        ),
        ({"runtime__handlers": [{"name": "kata", "kind": "other", "default": True}]}, "No runtime handler", "runc"),
        (
            {"runtime__handlers": [{"name": "crun", "kind": "crun", "criu": False, "default": True}]},
            "No runtime handler",
            "CRIU",
        ),
    ],
)
def test_what_speaks_against_a_checkpoint(changes: dict[str, t.Any], reason: str, hint: str) -> None:
    found = judged(**changes)["checkpoint"]

    assert found["able"] is False
    assert any(reason in text for text in found["reasons"]), found
    assert any(hint in text for text in found["hints"]), found


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"criu": None}, "whether CRIU is installed"),
        ({"criu__version": None}, "version of CRIU"),
        ({"kubelet__version": None}, "kubelet's version"),
        ({"runtime__name": "docker"}, "docker 2.3.5 is not a runtime"),
        ({"runtime__name": None}, "The container runtime is not a runtime"),
        ({"runtime__checkpoint__on": None}, "whether checkpoint is switched on"),
    ],
)
def test_what_is_not_known_decides_nothing(changes: dict[str, t.Any], text: str) -> None:
    found = judged(**changes)["checkpoint"]

    assert found["able"] is None
    assert any(text in reason for reason in found["reasons"]), found


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"criu__version": "4.1.1"}, "TCP or UDP socket"),
        ({"kubelet__version": "v1.32.1", "kubelet__read_only_port": 10255}, "CVE-2025-0426"),
        ({"kubelet__version": "v1.32.1", "kubelet__read_only_port": None}, "is not known"),
        (
            {
                "runtime__handlers": [
                    {"name": "kata", "kind": "other", "default": True},
                    {"name": "runc", "kind": "runc", "criu": None, "default": False},
                ]
            },
            "kata does not checkpoint, runc does",
        ),
    ],
)
def test_what_is_to_be_minded(changes: dict[str, t.Any], hint: str) -> None:
    found = judged(**changes)["checkpoint"]

    assert found["able"] is True
    assert any(hint in text for text in found["hints"]), found


def test_an_old_gate_that_is_set_is_on() -> None:
    assert judged(kubelet__version="v1.28.1", kubelet__gate__configured=True)["checkpoint"]["able"] is True


def test_restore_that_was_removed() -> None:
    found = judged(runtime__restore_by_image__kind="removed", runtime__version="2.4.0")["restore_by_image"]

    assert found["able"] is False and "removed" in found["reasons"][0]


def test_restore_needs_the_switch_for_checkpoints_too() -> None:
    found = judged(runtime__checkpoint__on=False, runtime__restore_by_image__value=True)["restore_by_image"]

    assert found["able"] is False and "by enable_criu in" in found["reasons"][0]


def test_what_does_not_run_does_nothing() -> None:
    assert "containerd is not running" in judged(runtime__running=False)["checkpoint"]["reasons"]
    assert "No kubelet runs on the node" in judged(kubelet__running=False)["checkpoint"]["reasons"]


def test_a_configuration_that_is_not_in_force_yet() -> None:
    found = judged(runtime__checkpoint__on=None, runtime__restart_needed=True)["checkpoint"]

    assert found["able"] is None and "Restart containerd" in found["hints"][0]


def test_no_facts_at_all() -> None:
    assert {name: entry["able"] for name, entry in table.capabilities({}).items()} == {
        "checkpoint": None,
        "restore_by_image": None,
    }
