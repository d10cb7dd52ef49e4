# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a container may stay frozen before the kubelet kills it for a probe that fails.

Sources: kubernetes 1.36, pkg/kubelet/prober/worker.go (a probe runs every period, one at a time; so many failures on
end kill the container; while a startup probe has not succeeded, it takes the place of the liveness probe). Run on the
laboratory: a probe by exec cannot run in a paused container and counts for nothing; HTTP kills; TCP passes only until
the listener's queue is full, which a client can fill at once, and so counts as HTTP does.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._kube.api import Thing
from .._kube.manifest import restorable
from .._kube.restore_wait import statuses

PERIOD, THRESHOLD, TIMEOUT = 10, 3, 1
HANDLERS = ("httpGet", "tcpSocket", "grpc")


class Patience(t.NamedTuple):
    """The shortest time, in seconds, after which a probe may kill a frozen container; and which probe of which."""

    seconds: float
    container: str
    probe: str

    def __str__(self) -> str:
        return f"{self.seconds:g} s, by the {self.probe} of the container {self.container}"


def patience(pod: Thing) -> Patience | None:
    """The probe that limits the time for which all containers of the pod may be frozen; ``None``: no probe does."""
    there = statuses(pod)
    found = [
        Patience(_seconds(probe), str(container["name"]), name)
        for container in restorable(pod)
        for name, probe in _active(container, there.get(container["name"], {}))
        if any(probe.get(handler) for handler in HANDLERS)
    ]
    return min(found, default=None)


def _active(container: Thing, status: Thing) -> t.Iterator[tuple[str, Thing]]:
    name = "startupProbe" if container.get("startupProbe") and not status.get("started") else "livenessProbe"
    if container.get(name):
        yield name, container[name]


def _seconds(probe: Thing) -> float:
    """From a freeze right before the first probe that fails to the moment when the last one that is allowed has failed.

    The probe before may have failed already for another reason: that is not known here.
    """
    period = probe.get("periodSeconds") or PERIOD
    timeout = probe.get("timeoutSeconds") or TIMEOUT
    return float((probe.get("failureThreshold") or THRESHOLD) - 1) * max(period, timeout) + timeout
