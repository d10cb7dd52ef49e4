# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Say,
    serving,
    status_object,
)


def page(*names: str, more: str = "") -> Say:
    return Say(200, {"items": [{"metadata": {"name": name}} for name in names], "metadata": {"continue": more}})


def names(things: list[dict[str, dict[str, str]]]) -> list[str]:
    return [thing["metadata"]["name"] for thing in things]


def test_pages_are_put_together() -> None:
    pages = {None: page("a", "b", more="x/y"), "x/y": page("c")}
    with serving(lambda asked: pages[asked.query.get("continue")]) as there:
        found = ApiSession(Server(url=there.url)).pods("shop", labels=["a=b", "c in (d, e)"], fields=["f=g"])
    assert names(found) == ["a", "b", "c"]
    first = there.asked[0]
    assert first.path == "/api/v1/namespaces/shop/pods"
    assert first.query == {"labelSelector": "a=b,c in (d, e)", "fieldSelector": "f=g", "limit": "500"}
    assert there.asked[1].query["continue"] == "x/y"


def test_a_page_that_has_expired_begins_anew_in_one_piece() -> None:
    def script(asked: Asked) -> Say:
        if "continue" in asked.query:
            return status_object(410, "The provided continue parameter is too old")
        return page("a", more="x") if "limit" in asked.query else page("a", "b")

    with serving(script) as there:
        assert names(ApiSession(Server(url=there.url)).nodes()) == ["a", "b"]


def test_all_namespaces_and_single_things() -> None:
    with serving(lambda asked: page() if asked.path.endswith("pods") else Say(200, {"it": asked.path})) as there:
        session = ApiSession(Server(url=there.url))
        assert session.pods(None) == []
        assert session.pod("s/x", "p") == {"it": "/api/v1/namespaces/s%2Fx/pods/p"}
        assert session.node("n") == {"it": "/api/v1/nodes/n"}
    assert there.asked[0].path == "/api/v1/pods"


def test_what_is_not_there() -> None:
    with serving(lambda _asked: status_object(404, "not found")) as there:
        session = ApiSession(Server(url=there.url))
        assert session.pod("s", "p") is None and session.node("n") is None
        with pytest.raises(KubeError, match="could not answer"):
            session.nodes()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (status_object(401, "Unauthorized"), "unauthorized"),
        (status_object(403, 'pods is forbidden: User "u" cannot list'), "forbidden"),
        (status_object(500, "etcdserver: leader changed"), "apiserver_failed"),
        (Say(200, "<html>log in</html>"), "apiserver_failed"),
    ],
)
def test_refusals(said: Say, code: str) -> None:
    with serving(lambda _asked: said) as there, pytest.raises(KubeError) as caught:
        ApiSession(Server(url=there.url)).pods(None)
    assert caught.value.code == code
    assert caught.value.details["phase"] == "select" and caught.value.details["http_status"] == said.status


def test_nobody_there() -> None:
    with pytest.raises(KubeError) as caught:
        ApiSession(Server(url="http://127.0.0.1:1")).nodes()
    assert caught.value.code == "apiserver_unreachable"
    assert "Max retries" not in caught.value.message
