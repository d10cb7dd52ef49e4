# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import kubelet as tested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Answer, Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.kubelet import KubeletClient
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Say,
    archive,
    serving,
)

PATH = ("shop", "web-0", "app")


def client(url: str = "https://api", *, through_api: bool = False, port: int | None = None, timeout: float = 300.0):
    return KubeletClient(Server(url=url), through_api=through_api, port=port, timeout=timeout)


@pytest.mark.parametrize(
    ("address", "own_port", "port", "expected"),
    [
        ("10.0.0.1", None, None, "https://10.0.0.1:10250"),
        ("10.0.0.1", None, 10255, "https://10.0.0.1:10255"),
        ("10.0.0.1", 1, 10255, "https://10.0.0.1:1"),
        ("fd00::1", None, None, "https://[fd00::1]:10250"),
        ("n1.example", None, None, "https://n1.example:10250"),
        (None, None, None, "https://n1:10250"),
    ],
)
def test_urls_of_kubelets(address: str | None, own_port: int | None, port: int | None, expected: str) -> None:
    url = client(port=own_port).url("n1", address, port, PATH)
    assert url == f"{expected}/checkpoint/shop/web-0/app?timeout=300"


@pytest.mark.parametrize(("port", "node"), [(None, "n1"), (10250, "n1:10250")])
def test_urls_through_the_api_server(port: int | None, node: str) -> None:
    url = client("https://api:6443/x", through_api=True, port=port).url("n1", "10.0.0.1", 99, PATH)
    assert url == f"https://api:6443/x/api/v1/nodes/{node}/proxy/checkpoint/shop/web-0/app?timeout=300"


def test_nothing_escapes_from_its_part_of_the_path() -> None:
    url = client().url("n1", None, None, ("a/../b", "c?d", "e#f"))
    assert "/checkpoint/a%2F..%2Fb/c%3Fd/e%23f?timeout=300" in url


@pytest.mark.parametrize(("timeout", "sent"), [(0.2, "1"), (90, "90"), (90.1, "91")])
def test_the_timeout_is_always_sent_in_whole_seconds(timeout: float, sent: str) -> None:
    assert client(timeout=timeout).url("n", None, None, PATH).endswith(f"?timeout={sent}")


@pytest.mark.parametrize(("timeout", "patience"), [(1, 150), (120, 150), (600, 630)])
def test_the_kubelet_always_gives_up_first(timeout: float, patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def request(_self: object, _method: str, _url: str, *, read_timeout: float) -> Answer:
        waited.append(read_timeout)
        return Answer(200, '{"items":["/a.tar"]}')

    monkeypatch.setattr(tested.HttpClient, "request", request)
    client(timeout=timeout).checkpoint("https://n")
    assert waited == [patience]


def test_the_path_of_the_archive() -> None:
    with serving(archive) as there:
        path = client().checkpoint(f"{there.url}/checkpoint/shop/web-0/app?timeout=5")
    assert path.startswith("/var/lib/kubelet/checkpoints/checkpoint-web-0_shop-app-")


@pytest.mark.parametrize(
    "body", ["", "ok", "[]", "{}", {"items": []}, {"items": [1]}, {"items": ["relative"]}, {"items": ["/a", "/b"]}]
)
def test_200_from_something_else_is_no_checkpoint(body: object) -> None:
    with serving(lambda _asked: Say(200, body)) as there, pytest.raises(KubeError) as caught:
        client().checkpoint(there.url)
    assert caught.value.code == "checkpoint_failed" and "not a kubelet" in caught.value.reason


def test_a_refusal_has_the_text_and_the_time_to_wait() -> None:
    said = Say(429, "Too many requests", headers={"Retry-After": "3"})
    with serving(lambda _asked: said) as there, pytest.raises(KubeError) as caught:
        client(there.url, through_api=True).checkpoint(there.url)
    assert (caught.value.code, caught.value.retry_after, caught.value.repeat) == ("throttled", 3.0, True)
