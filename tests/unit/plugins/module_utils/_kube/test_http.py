# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import pathlib
import socket
import threading
import typing as t

import pytest
import urllib3
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import http as tested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import (
    HttpClient,
    Server,
    TransportError,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    HANG_UP,
    Asked,
    Authority,
    Say,
    serving,
)


def ok(_asked: Asked) -> Say:
    return Say(200, {"well": True})


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> Authority:
    return Authority(tmp_path)


def kind_of_failure(client: HttpClient, url: str, **rest: t.Any) -> str:
    with pytest.raises(TransportError) as caught:
        client.request("POST", url, **{"read_timeout": 5, **rest})
    return caught.value.kind


def test_what_is_sent() -> None:
    server = Server(headers=(("Impersonate-Group", "g"), ("Impersonate-Group", "h")), authorization=lambda: "Bearer t")
    with serving(ok) as there:
        answer = HttpClient(server).request("POST", f"{there.url}/x?timeout=3", read_timeout=5)
    (asked,) = there.asked
    assert (answer.status, answer.json()) == (200, {"well": True})
    assert (asked.method, asked.path, asked.query) == ("POST", "/x", {"timeout": "3"})
    assert asked.headers["Authorization"] == "Bearer t"
    assert asked.headers.get_all("Impersonate-Group") == ["g", "h"]
    assert asked.headers["Connection"] == "close"


def test_a_netrc_has_no_say(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(ok) as there:
        HttpClient(Server(authorization=lambda: "Bearer t")).request("GET", there.url, read_timeout=5)
    assert there.asked[0].headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_certificate_that_verifies(authority: Authority, address: str) -> None:
    with serving(ok, address=address, authority=authority) as there:
        assert HttpClient(Server(ca_file=authority.ca_file)).request("GET", there.url, read_timeout=5).status == 200


def test_certificates_that_do_not(authority: Authority, tmp_path: pathlib.Path) -> None:
    other = Authority(tmp_path, "other CA")
    other.sign("x")
    with serving(ok, authority=authority) as there:
        for server in (Server(), Server(ca_file=other.ca_file), Server(ca_file=authority.ca_file, server_name="other")):
            assert kind_of_failure(HttpClient(server), there.url) == "certificate"
        assert there.asked == []
        assert HttpClient(Server(verify=False)).request("GET", there.url, read_timeout=5).status == 200


def test_another_name_than_the_url_has(authority: Authority) -> None:
    with serving(ok, authority=authority) as there:
        by_name = there.url.replace("127.0.0.1", "localhost")
        assert kind_of_failure(HttpClient(Server(ca_file=authority.ca_file)), by_name) == "certificate"
        server = Server(ca_file=authority.ca_file, server_name="127.0.0.1")
        assert HttpClient(server).request("GET", by_name, read_timeout=5).status == 200


def test_a_client_certificate(authority: Authority) -> None:
    certificate, key = authority.sign("ops")
    with serving(ok, authority=authority, ask_for_client=True) as there:
        server = Server(ca_file=authority.ca_file, cert_file=certificate, key_file=key)
        HttpClient(server).request("GET", there.url, read_timeout=5)
    assert there.asked[0].peer is not None
    assert there.asked[0].peer["subject"] == ((("commonName", "ops"),),)


def test_no_tls_where_it_is_expected() -> None:
    with serving(ok) as there:
        assert kind_of_failure(HttpClient(Server()), there.url.replace("http:", "https:")) == "tls"
        assert there.asked == []


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
        assert kind_of_failure(HttpClient(Server()), url) == "refused"
    assert kind_of_failure(HttpClient(Server()), "https://nowhere.invalid") == "refused"


def test_a_listener_that_never_speaks_was_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        assert kind_of_failure(HttpClient(Server()), url, read_timeout=5) == "refused"


def test_asked_and_no_answer() -> None:
    with serving(lambda _asked: Say(200, "", seconds=0.6)) as there:
        assert kind_of_failure(HttpClient(Server()), there.url, read_timeout=0.2) == "silent"
        assert len(there.asked) == 1


def test_a_link_that_was_cut_is_no_connection_that_never_was() -> None:
    """The kernel's ETIMEDOUT, as seen by cutting a veth pair; sending again could checkpoint twice."""
    pool = urllib3.HTTPConnectionPool("10.0.0.1")
    error = urllib3.exceptions.ReadTimeoutError(pool, "/x", "Read timed out. (read timeout=330)")
    assert tested._transport_error(error, False).kind == "lost"
    assert tested._transport_error(error, True).kind == "silent"


def test_asked_and_hung_up_and_not_asked_again() -> None:
    with serving(lambda _asked: HANG_UP) as there:
        assert kind_of_failure(HttpClient(Server()), there.url) == "lost"
        assert len(there.asked) == 1


def test_half_an_answer_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def half() -> None:
            connection, _peer = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
            connection.close()

        threading.Thread(target=half, daemon=True).start()
        assert kind_of_failure(HttpClient(Server()), f"http://127.0.0.1:{listener.getsockname()[1]}") == "lost"


def test_reading_is_tried_again_but_not_for_ever() -> None:
    answers = iter([HANG_UP, Say(503, "", headers={"Retry-After": "0"}), Say(200, {})])
    with serving(lambda _asked: next(answers)) as there:
        assert HttpClient(Server()).request("GET", there.url, read_timeout=5, retries=2).status == 200
    with serving(lambda _asked: Say(503, "busy")) as there:
        answer = HttpClient(Server()).request("GET", there.url, read_timeout=5, retries=2)
        assert (answer.status, answer.text, len(there.asked)) == (503, "busy", 3)


def test_what_a_person_reads() -> None:
    status = {"kind": "Status", "message": "pods is forbidden"}
    answers = iter([Say(403, status, headers={"Retry-After": "7"}), Say(500, " plain\n"), Say(500, "[1]")])
    with serving(lambda _asked: next(answers)) as there:
        client = HttpClient(Server())
        first, second, third = (client.request("GET", there.url, read_timeout=5) for _number in range(3))
    assert (first.text, first.retry_after) == ("pods is forbidden", 7.0)
    assert (second.text, second.json(), second.retry_after) == ("plain", None, None)
    assert third.text == "[1]"


class Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy that refuses everything but remembers what it was asked."""

    asked: t.ClassVar[list[tuple[str, str | None]]] = []

    def do_CONNECT(self) -> None:
        self.asked.append((self.path, self.headers["Proxy-Authorization"]))
        self.send_error(407)

    def log_message(self, *_arguments: t.Any) -> None:
        pass


def test_a_proxy_and_who_goes_past_it(authority: Authority) -> None:
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy,
        serving(ok, authority=authority) as there,
    ):
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        server = Server(
            ca_file=authority.ca_file,
            proxy=url,
            no_proxy="127.0.0.0/8",
            proxy_headers={"proxy-authorization": "Basic x"},
        )
        assert HttpClient(server).request("GET", there.url, read_timeout=5).status == 200
        assert Proxy.asked == []
        assert kind_of_failure(HttpClient(server), "https://10.1.2.3:10250") == "refused"
        assert Proxy.asked == [("10.1.2.3:10250", "Basic x")]
        proxy.shutdown()


def test_a_proxy_that_is_none() -> None:
    with pytest.raises(KubeError) as caught:
        HttpClient(Server(proxy="socks9://x"))
    assert caught.value.code == "invalid_option"


@pytest.mark.parametrize("which", ["ca_file", "cert_file"])
def test_files_that_are_no_certificates(tmp_path: pathlib.Path, which: str) -> None:
    (tmp_path / "no.pem").write_text("no", encoding="utf-8")
    with pytest.raises(KubeError) as caught:
        HttpClient(Server(**{which: str(tmp_path / "no.pem")}))
    assert caught.value.code == "credentials_unusable" and "no.pem" in caught.value.reason
