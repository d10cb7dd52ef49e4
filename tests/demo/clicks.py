# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that adds to the laboratory's counter, one request after the other, while a command runs.

    python3 clicks.py NAMESPACE SERVICE COMMAND...

It follows the Service as a proxy on a node does, by its EndpointSlices: the laboratory has no such proxy. In the end it
says how many additions were acknowledged, whether the counter lost or repeated one, and for how long it was gone. Ends
as the command does, and with 1 if anything was lost. The counter has to grow by requests only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
import typing as t

import kubernetes
import urllib3

PATIENCE = 0.1
"""Seconds for an answer: a frozen process takes connections, and says nothing."""
AROUND = 1.0
"""Seconds of counting before and after the command."""


class Client:
    """Adds until it is left. All figures hold then.

    ``acknowledged``: additions that were answered. ``unanswered``: requests that may have been counted or not.
    ``lost``: where an answer told a number that another one had told before, or one that the requests do not explain.
    ``gap``: the longest time in seconds between two answers. ``starts``: of the processes that answered, Unix times.
    """

    def __init__(self, namespace: str, service: str) -> None:
        self.acknowledged = 0
        self.unanswered = 0
        self.lost: list[str] = []
        self.gap = 0.0
        self.starts: set[int] = set()
        self._address = ""
        self._last: t.Optional[int] = None
        self._between = 0
        self._stop = threading.Event()
        self._service = (namespace, f"kubernetes.io/service-name={service}")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._add)]

    def __enter__(self) -> Client:
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + 30
        while not self.acknowledged:
            if time.monotonic() > end:
                raise SystemExit("nobody answers the client")
            time.sleep(0.01)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self) -> None:
        kubernetes.config.load_kube_config()
        api = kubernetes.client.DiscoveryV1Api()
        namespace, selector = self._service
        while not self._stop.is_set():
            slices: dict[str, list[str]] = {}
            watch = kubernetes.watch.Watch()
            with contextlib.suppress(kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
                for event in watch.stream(
                    api.list_namespaced_endpoint_slice, namespace, label_selector=selector, timeout_seconds=5
                ):
                    one = event["object"]
                    ready = [] if event["type"] == "DELETED" else one.endpoints or []
                    slices[one.metadata.name] = [
                        address for each in ready if each.conditions.ready for address in each.addresses
                    ]
                    self._address = next((address for each in slices.values() for address in each), "")
                    if self._stop.is_set():
                        return

    def _add(self) -> None:
        answered = None
        while not self._stop.is_set():
            address = self._address
            told = self._ask(address) if address else None
            now = time.monotonic()
            if told is None:
                time.sleep(0.005)
                continue
            if answered is not None:
                self.gap = max(self.gap, now - answered)
            answered = now
            self._note(told)

    def _ask(self, address: str) -> t.Optional[dict[str, int]]:
        """What the counter answers; nothing if it does not."""
        connection = http.client.HTTPConnection(address, 8080, timeout=PATIENCE)
        try:
            connection.connect()
        except OSError:
            connection.close()
            return None
        try:
            connection.request("POST", "/add")
            return dict(json.load(connection.getresponse()))
        except (OSError, ValueError, http.client.HTTPException):
            self._between += 1
            return None
        finally:
            connection.close()

    def _note(self, told: dict[str, int]) -> None:
        count = told["count"]
        if self._last is not None:
            least, most = self._last + 1, self._last + 1 + self._between
            if not least <= count <= most:
                self.lost.append(f"{count} after {self._last}, with {self._between} requests without an answer between")
        self._last = count
        self.acknowledged += 1
        self.unanswered += self._between
        self._between = 0
        self.starts.add(told["since"])


def main() -> int:
    namespace, service, *command = sys.argv[1:]
    with Client(namespace, service) as client:
        time.sleep(AROUND)
        done = subprocess.run(command, check=False)
        time.sleep(AROUND)
    processes = "the same process all the time" if len(client.starts) == 1 else f"{len(client.starts)} processes"
    said = [
        f"{client.acknowledged} additions acknowledged",
        f"LOST: {'; '.join(client.lost)}" if client.lost else "none lost, none counted twice",
        f"{client.unanswered} requests without an answer",
        f"longest interruption {client.gap:.2f} s",
        processes,
    ]
    print(f"The client: {', '.join(said)}")
    return done.returncode or int(bool(client.lost) or len(client.starts) != 1)


if __name__ == "__main__":
    sys.exit(main())
