# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a pod goes by image, and when it may not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import fallback
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.objects import MOVE
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.policy import GATE, Effect
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.template import bound
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import pod

GIVEN = {"image": "registry.example.com/checkpoints"}
UNREACHED = CheckpointError("host_unknown", "The node n1 is not in the inventory", hint="Add it")
IMAGES = {"app": "registry.example.com/checkpoints@sha256:" + "0" * 64}


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ({"fallback": GIVEN, "strategy": "move"}, "host_unknown", True),
        ({"fallback": GIVEN}, "agent_not_started", True),
        ({"fallback": None}, "host_unknown", False),
        ({"fallback": GIVEN, "strategy": "copy"}, "host_unknown", False),
        ({"fallback": GIVEN}, "preflight_failed", False),
    ],
)
def test_only_for_who_asked_for_it_and_where_it_helps(options: dict[str, t.Any], code: str, expected: bool) -> None:
    assert fallback.allowed(options, CheckpointError(code, "…")) is expected


def test_the_hint_names_the_option_once() -> None:
    error = fallback.offered({}, fallback.offered({}, UNREACHED))
    assert error.hint.startswith("Add it; or give fallback") and error.hint.count("fallback") == 1
    assert fallback.offered({"fallback": GIVEN}, CheckpointError("host_unknown", "…", hint="Add it")).hint == "Add it"


def node(version: str) -> dict[str, t.Any]:
    return {"status": {"nodeInfo": {"containerRuntimeVersion": version}}}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("cri-o://1.36.3", "cri-o://1.35.0", "passed"),
        ("containerd://2.1.9", "containerd://2.2.3", "passed"),
        ("containerd://2.1.9", "containerd://2.2.8", "warning"),
        ("cri-o://1.36.3", "cri-o://1.36.6", "warning"),
        ("containerd://2.1.9", "containerd://2.4.2", "failed"),
        ("containerd://1.7.24", "containerd://2.1.9", "failed"),
        ("cri-o://1.36.3", "containerd://2.1.9", "failed"),
        ("docker://27.0.1", "docker://27.0.1", "failed"),
        ("cri-o://", "cri-o://", "warning"),
    ],
)
def test_which_runtimes_restore_by_image(source: str, target: str, expected: str) -> None:
    (check,) = fallback._engines(node(source), node(target))
    assert (check.name, check.result) == ("engine", expected)


def test_a_policy_is_seen_to_give_the_image_and_to_keep_the_pod_waiting() -> None:
    effect = Effect("048291736405", "shop", "uid", (), "web-x", "n2", "", images=IMAGES)
    made = bound({**pod("web-x"), "spec": {**pod()["spec"]}}, effect.number, effect.hostname, "", IMAGES)
    assert made["metadata"]["annotations"][MOVE] == effect.number and "runtimeClassName" not in made["spec"]
    assert not effect.reached(made)
    made["spec"]["schedulingGates"] = [{"name": GATE}]
    assert effect.reached(made)
    made["spec"]["containers"][0]["image"] = "registry.example.com/web:1"
    assert not effect.reached(made)
