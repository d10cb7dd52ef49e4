# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart a kubelet or a container runtime, and be sure that it is well again and no container ended over it.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import http.client
import time
import typing as t
import urllib.parse

from .._common.errors import CheckpointError
from . import cri
from .containers import containers
from .programs import run

INTERVAL = 0.5
STEADY = 3.0
"""Seconds that a unit has to go on with one process before it counts as well: systemd restarts a daemon that ends at
once every RestartSec, and between two ends it is active."""
SYSTEMCTL_TIMEOUT = 120.0
# Where a kubelet says that it is well unless configured otherwise (kubernetes 1.36.2, healthzPort), and the runtimes'
# sockets. Which of them belong to a unit is told by which answered before it was restarted.
PLACES = (
    "http://127.0.0.1:10248/healthz",
    "/run/crio/crio.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
)
PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "Result", "KillMode", "ControlGroup")

# Container ID -> its name for a person, and its process 1.
Running = dict[str, tuple[str, int]]


class Unit(t.NamedTuple):
    """What systemd says of a unit (systemd.service(5), systemctl show)."""

    active: bool
    pid: int
    restarts: int
    kill_mode: str
    group: str
    text: str

    @classmethod
    def look(cls, name: str) -> Unit:
        """Raises CheckpointError ``service_unknown`` where systemd has no such unit or is not there."""
        answer = run(["systemctl", "show", name, "--property=" + ",".join(PROPERTIES)], SYSTEMCTL_TIMEOUT)
        values = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
        if not answer.ok or values.get("LoadState") != "loaded":
            raise CheckpointError(
                "service_unknown",
                f"systemd has no unit {name}",
                hint="Give the unit that runs the kubelet or the container runtime on this node",
                message=answer.stderr or values.get("LoadState", ""),
            )
        active = values.get("ActiveState") == "active" and values.get("SubState") == "running"
        text = " ".join(values.get(key, "") for key in ("ActiveState", "SubState", "Result")).strip()
        return cls(
            active,
            int(values.get("MainPID") or 0),
            int(values.get("NRestarts") or 0),
            values.get("KillMode", ""),
            values.get("ControlGroup", ""),
            text,
        )


def restart(name: str, *, timeout: float) -> dict[str, t.Any]:
    """Restart a unit and wait at most ``timeout`` seconds until it is well.

    That is: running with one process for a while, and everything of PLACES that answered before answers again. Returns
    ``pid``, ``seconds``, ``containers`` (how many ran before and run on) and ``ended`` (those that do not). Raises
    CheckpointError ``service_unknown``, ``service_failed`` (it does not come up, with the end of its journal) and
    ``containers_ended`` (none runs on).
    """
    Unit.look(name)
    before, places, began = _running(), [place for place in PLACES if _answers(place)], time.monotonic()
    end = began + timeout
    answer = run(["systemctl", "restart", name], timeout)
    if not answer.ok:
        raise _failed(name, answer.stderr.strip())
    unit = _steady(name, end)
    missing = [place for place in places if not _answers_by(place, end)]
    if missing:
        raise _failed(name, f"{', '.join(missing)} does not answer any more")
    ended = _ended(name, before)
    seconds = round(time.monotonic() - began, 3)
    return {"pid": unit.pid, "seconds": seconds, "containers": len(before) - len(ended), "ended": ended}


def _steady(name: str, end: float) -> Unit:
    """The unit once it has gone on with one process for a while."""
    first, since = Unit.look(name), time.monotonic()
    while True:
        unit = Unit.look(name)
        if not unit.active or unit.pid != first.pid or unit.restarts != first.restarts:
            if unit.restarts > first.restarts:
                raise _failed(name, f"it ended and was started again {unit.restarts} times")
            first, since = unit, time.monotonic()
        elif time.monotonic() - since >= STEADY:
            return unit
        if time.monotonic() > end:
            raise _failed(name, unit.text)
        time.sleep(INTERVAL)


def _answers_by(place: str, end: float) -> bool:
    while not _answers(place):
        if time.monotonic() > end:
            return False
        time.sleep(INTERVAL)
    return True


def _answers(place: str) -> bool:
    try:
        if place.startswith("/"):
            return cri.answers(place, 5)
        return _healthy(place)
    except (OSError, http.client.HTTPException):
        return False


def _healthy(url: str) -> bool:
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=5)
    try:
        connection.request("GET", place.path)
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _running() -> Running:
    return {one.id: (one.text(), one.pid) for one in containers() if one.pid is not None}


def _ended(name: str, before: Running) -> list[str]:
    """Those that ran before and do not now. One or another may have ended by itself; all of them do not."""
    after = _running()
    ended = sorted(text for identifier, (text, pid) in before.items() if after.get(identifier, ("", 0))[1] != pid)
    if before and len(ended) == len(before):
        raise CheckpointError(
            "containers_ended",
            f"After the restart of {name} none of the {len(before)} containers runs that ran before",
            hint="Look at the pods with: kubectl describe pod",
            message=", ".join(ended),
        )
    return ended


def _failed(name: str, text: str) -> CheckpointError:
    journal = run(["journalctl", "--unit", name, "--lines=100", "--no-pager", "--output=cat"], 20).stdout.strip()
    return CheckpointError(
        "service_failed",
        f"{name} does not come up again" + (f": {text}" if text else ""),
        hint=f"Read its log on the node: journalctl -u {name}",
        message=journal,
    )
