# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few questions the laboratory itself asks its API server."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import typing as t

from . import topology
from .errors import LabError
from .pki import Pki


class Api:
    """GET by the admin's certificate, patient while the server comes up."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki

    def get(self, path: str, timeout: float = 2.0) -> tuple[int, bytes]:
        """Status and body; OSError where nobody answers."""
        context = ssl.create_default_context(cafile=str(self.pki.path("ca.crt")))
        context.load_cert_chain(self.pki.path("admin.crt"), self.pki.path("admin.key"))
        connection = http.client.HTTPSConnection(topology.CONTROL_PLANE, 6443, timeout=timeout, context=context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def exists(self, path: str) -> bool:
        try:
            return self.get(path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def node_ready(self, name: str) -> bool:
        try:
            status, body = self.get(f"/api/v1/nodes/{name}")
        except (OSError, http.client.HTTPException):
            return False
        if status != 200:
            return False
        conditions = json.loads(body)["status"].get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def wait_for(what: str, condition: t.Callable[[], bool], seconds: float, interval: float = 0.05) -> None:
    """Ask again and again; LabError with ``what`` when the time is up."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"Waited {seconds:.0f} s in vain for: {what}.")
        time.sleep(interval)
