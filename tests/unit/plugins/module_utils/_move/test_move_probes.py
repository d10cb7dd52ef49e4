# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a container may stay frozen: the shortest time after which a probe has failed often enough."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.probes import Patience, patience
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._move.movables import pod

HTTP = {"httpGet": {"port": 80}}
EXEC = {"exec": {"command": ["true"]}}


def limited(started: bool = True, **probes: t.Any) -> Patience | None:
    containers = [{"name": "app", "image": "web", **probes}, {"name": "log", "image": "log"}]
    made = pod(containers=containers)
    made["status"]["containerStatuses"][0]["started"] = started
    return patience(made)


@pytest.mark.parametrize(
    ("probe", "seconds"),
    [
        ({**HTTP, "periodSeconds": 2, "failureThreshold": 3}, 5.0),
        # The defaults of the API.
        (HTTP, 21.0),
        ({**HTTP, "failureThreshold": 1}, 1.0),
        # A probe that is waited for longer than its period holds the next one up.
        ({"grpc": {"port": 9}, "periodSeconds": 1, "timeoutSeconds": 4, "failureThreshold": 2}, 8.0),
        ({"tcpSocket": {"port": 80}, "periodSeconds": 5, "failureThreshold": 2}, 6.0),
    ],
)
def test_liveness(probe: dict[str, t.Any], seconds: float) -> None:
    assert limited(livenessProbe=probe) == Patience(seconds, "app", "livenessProbe")


def test_what_kills_nobody() -> None:
    assert limited() is None
    assert limited(livenessProbe=EXEC) is None
    assert limited(readinessProbe=HTTP) is None


def test_a_startup_probe_counts_until_it_has_succeeded() -> None:
    probes = {"livenessProbe": HTTP, "startupProbe": {**HTTP, "failureThreshold": 30}}
    assert limited(started=False, **probes) == Patience(291.0, "app", "startupProbe")
    assert limited(started=True, **probes) == Patience(21.0, "app", "livenessProbe")
    assert limited(started=False, livenessProbe=HTTP, startupProbe=EXEC) is None


def test_the_most_impatient_of_all_containers_sidecars_included() -> None:
    sidecar = {"name": "log", "image": "log", "restartPolicy": "Always", "livenessProbe": {**HTTP, "periodSeconds": 1}}
    made = pod(containers=[{"name": "app", "image": "web", "livenessProbe": HTTP}], initContainers=[sidecar])
    found = patience(made)
    assert found == Patience(3.0, "log", "livenessProbe")
    assert str(found) == "3 s, by the livenessProbe of the container log"
