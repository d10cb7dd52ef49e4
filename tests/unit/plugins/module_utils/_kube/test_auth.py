# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import auth
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import Authority


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in (
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "https_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def kubeconfig(user: dict[str, t.Any], **cluster: t.Any) -> dict[str, t.Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://one:6443", **cluster}},
            {"name": "d", "cluster": {"server": "https://two:6443/", **cluster}},
        ],
        "users": [{"name": "u", "user": user}],
    }


def written(path: pathlib.Path, config: t.Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> tuple[str, str]:
    return Authority(tmp_path).sign("client")


def test_host_and_token_need_no_kubeconfig() -> None:
    server = auth.api_server({"host": "https://h:1/", "api_key": " t "})
    assert (server.url, server.authorization(), server.verify) == ("https://h:1", "Bearer t", True)
    assert auth.api_server({"host": "https://h", "api_key": "Bearer t"}).authorization() == "Bearer t"


def test_host_and_password_need_no_kubeconfig() -> None:
    server = auth.api_server({"host": "https://h", "username": "u", "password": "p"})
    assert server.authorization() == "Basic " + base64.b64encode(b"u:p").decode()


def test_host_and_client_certificate_need_no_kubeconfig(pair: tuple[str, str]) -> None:
    server = auth.api_server({"host": "https://h", "client_cert": pair[0], "client_key": pair[1]})
    assert (server.cert_file, server.key_file, server.authorization()) == (*pair, None)


def test_a_dictionary_and_its_contexts() -> None:
    config = kubeconfig({"token": "t"}, **{"tls-server-name": "kubernetes", "proxy-url": "http://p:1"})
    server = auth.api_server({"kubeconfig": config})
    assert (server.url, server.authorization(), server.server_name) == ("https://one:6443", "Bearer t", "kubernetes")
    assert server.proxy == "http://p:1"
    assert auth.api_server({"kubeconfig": config, "context": "two"}).url == "https://two:6443"


def test_a_path_and_several(tmp_path: pathlib.Path) -> None:
    first = written(tmp_path / "first", kubeconfig({"token": "t"}))
    assert auth.api_server({"kubeconfig": first}).url == "https://one:6443"
    assert auth.api_server({"kubeconfig": f"{tmp_path}/none:{first}"}).url == "https://one:6443"


def test_the_default_place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "home" / ".kube" / "config", kubeconfig({"token": "home"}))
    assert auth.api_server({}).authorization() == "Bearer home"
    other = written(tmp_path / "other", kubeconfig({"token": "env"}))
    monkeypatch.setenv("KUBECONFIG", other)
    assert auth.api_server({}).authorization() == "Bearer env"
    assert auth.api_server({"context": "two"}).url == "https://two:6443"


def test_inside_a_pod_the_service_account_comes_before_the_default_kubeconfig(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    written(tmp_path / "home" / ".kube" / "config", kubeconfig({"token": "home"}))
    (tmp_path / "token").write_text("pod", encoding="utf-8")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", Authority(tmp_path).sign("x")[0])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    server = auth.api_server({})
    assert (server.url, (server.authorization() or "").lower()) == ("https://[fd00::1]:443", "bearer pod")
    assert auth.api_server({"context": "two"}).authorization() == "Bearer home"


def test_options_win_over_the_kubeconfig(tmp_path: pathlib.Path) -> None:
    config = kubeconfig({"token": "t"}, **{"insecure-skip-tls-verify": True})
    server = auth.api_server({"kubeconfig": config})
    assert not server.verify
    ca_file = Authority(tmp_path).sign("x")[0]
    server = auth.api_server(
        {
            "kubeconfig": config,
            "host": "https://h",
            "api_key": "own",
            "validate_certs": True,
            "ca_cert": ca_file,
            "proxy": "http://q:1",
            "no_proxy": "10.0.0.0/8",
        }
    )
    assert (server.url, server.authorization(), server.verify, server.ca_file) == (
        "https://h",
        "Bearer own",
        True,
        ca_file,
    )
    assert (server.proxy, server.no_proxy) == ("http://q:1", "10.0.0.0/8")


def test_a_token_given_takes_the_place_of_a_client_certificate_of_the_kubeconfig(pair: tuple[str, str]) -> None:
    """An API server looks at the certificate first: the token would never be seen."""
    config = kubeconfig({"client-certificate": pair[0], "client-key": pair[1]})
    assert auth.api_server({"kubeconfig": config}).cert_file == pair[0]
    server = auth.api_server({"kubeconfig": config, "api_key": "own"})
    assert (server.cert_file, server.key_file, server.authorization()) == (None, None, "Bearer own")


def test_impersonation_and_proxy_headers() -> None:
    server = auth.api_server(
        {
            "host": "https://h",
            "api_key": "t",
            "impersonate_user": "u",
            "impersonate_groups": ["g", "h"],
            "proxy_headers": {"proxy_basic_auth": "a:b", "basic_auth": None, "user_agent": "me"},
        }
    )
    assert server.headers == (("Impersonate-User", "u"), ("Impersonate-Group", "g"), ("Impersonate-Group", "h"))
    assert server.proxy_headers == {"proxy-authorization": "Basic YTpi", "user-agent": "me"}


def plugin(tmp_path: pathlib.Path, script: str) -> dict[str, t.Any]:
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path), "interactiveMode": "Never"}}


def test_a_credential_plugin(tmp_path: pathlib.Path) -> None:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "fresh"}}
    config = kubeconfig(plugin(tmp_path, f"echo '{json.dumps(said)}'"))
    assert auth.api_server({"kubeconfig": config}).authorization() == "Bearer fresh"


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo no luck >&2; exit 3", "no luck"), ("echo garbage", "decode"), ("echo '{}'", "missing")],
)
def test_a_credential_plugin_that_fails_is_no_anonymous_request(
    tmp_path: pathlib.Path, script: str, message: str
) -> None:
    with pytest.raises(KubeError) as caught:
        auth.api_server({"kubeconfig": kubeconfig(plugin(tmp_path, script))})
    assert caught.value.code == "kubeconfig_unusable"
    assert "plugin" in caught.value.reason and message in caught.value.message


def test_a_credential_plugin_that_is_not_there(tmp_path: pathlib.Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(tmp_path / "none")}}
    with pytest.raises(KubeError, match="plugin"):
        auth.api_server({"kubeconfig": kubeconfig(user)})


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ({}, "kubeconfig_unusable", "There is no kubeconfig at ~/.kube/config"),
        ({"kubeconfig": "/none"}, "kubeconfig_unusable", "There is no kubeconfig at /none"),
        ({"kubeconfig": "/"}, "kubeconfig_unusable", "The kubeconfig / cannot be used"),
        ({"kubeconfig": {}}, "kubeconfig_unusable", "There is no kubeconfig"),
        ({"kubeconfig": {"a": 1}}, "kubeconfig_unusable", "The kubeconfig given cannot be used"),
        ({"kubeconfig": {**kubeconfig({}), "users": 7}}, "kubeconfig_unusable", "The kubeconfig given cannot be used"),
        ({"kubeconfig": kubeconfig({}), "context": "x"}, "kubeconfig_unusable", "The kubeconfig has no context x"),
        ({"kubeconfig": ["a"]}, "invalid_option", "kubeconfig is neither a path nor a dictionary"),
        ({"host": "h:6443", "api_key": "t"}, "invalid_option", "host is not a URL: 'h:6443'"),
        ({"host": "https://h", "api_key": "t", "ca_cert": "/none"}, "credentials_unusable", "ca_cert: the file /none"),
        (
            {"host": "https://h", "client_cert": "/n", "client_key": "/n"},
            "credentials_unusable",
            "client_cert: the file",
        ),
    ],
)
def test_what_cannot_be_used_is_a_sentence(options: dict[str, t.Any], code: str, reason: str) -> None:
    with pytest.raises(KubeError) as caught:
        auth.api_server(options)
    assert caught.value.code == code
    assert caught.value.reason.startswith(reason)
    assert caught.value.hint


def test_a_damaged_file_is_a_sentence(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad").write_text("a: [", encoding="utf-8")
    with pytest.raises(KubeError, match="cannot be used"):
        auth.api_server({"kubeconfig": str(tmp_path / "bad")})


def test_the_library_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(KubeError) as caught:
        auth.api_server({"kubeconfig": kubeconfig({})})
    assert caught.value.code == "library_missing" and "pip install kubernetes" in caught.value.hint


def test_secrets_of_a_dictionary() -> None:
    user = {
        "token": "t0",
        "password": "p0",
        "client-key-data": "k0",
        "client-key": "/path",
        "username": "u0",
        "auth-provider": {"name": "oidc", "config": {"id-token": "i0", "client-secret": "s0", "client-id": "c0"}},
        "exec": {
            "command": "aws",
            "args": ["eks", "get-token"],
            "env": [{"name": "AWS_PROFILE", "value": "default"}, {"name": "AWS_SECRET_ACCESS_KEY", "value": "a0"}],
        },
    }
    assert auth.kubeconfig_secrets(kubeconfig(user)) == {"t0", "p0", "k0", "i0", "s0", "a0"}
    for odd in (None, "path", {}, {"users": None}, {"users": ["x", {"user": None}]}):
        assert auth.kubeconfig_secrets(odd) == set()


class TestKubelet:
    """What kubelets are given of all that."""

    api = Server(
        url="https://h",
        ca_file="/ca",
        cert_file="/c",
        key_file="/k",
        verify=False,
        server_name="kubernetes",
        headers=(("Impersonate-User", "u"),),
        authorization=lambda: "Bearer api",
    )

    def test_what_the_api_server_gets(self) -> None:
        server = auth.kubelet_server({}, lambda: self.api)
        assert (server.ca_file, server.cert_file, server.authorization()) == ("/ca", "/c", "Bearer api")

    def test_but_not_its_laxness_nor_its_name_nor_impersonation(self) -> None:
        server = auth.kubelet_server({"validate_certs": False}, lambda: self.api)
        assert (server.verify, server.server_name, server.headers) == (True, None, ())
        assert not auth.kubelet_server({"kubelet_validate_certs": False}, lambda: self.api).verify

    def test_its_own_token_takes_the_place_of_everything(self, tmp_path: pathlib.Path) -> None:
        ca_file = Authority(tmp_path).sign("x")[0]
        server = auth.kubelet_server({"kubelet_api_key": "own", "kubelet_ca_cert": ca_file}, lambda: self.api)
        assert (server.authorization(), server.cert_file, server.ca_file) == ("Bearer own", None, ca_file)

    def test_its_own_certificate_takes_the_place_of_everything(self, pair: tuple[str, str]) -> None:
        server = auth.kubelet_server({"kubelet_client_cert": pair[0], "kubelet_client_key": pair[1]}, lambda: self.api)
        assert (server.authorization(), server.cert_file, server.key_file) == (None, *pair)

    @pytest.mark.parametrize("options", [{"kubelet_api_key": "own"}, {"api_key": "own"}])
    def test_targets_with_credentials_need_no_cluster(self, options: dict[str, str]) -> None:
        def no_cluster() -> Server:
            raise AssertionError("asked for the API server")

        server = auth.kubelet_server({"targets": [{}], **options}, no_cluster)
        assert server.authorization() == "Bearer own"

    def test_targets_without_credentials_take_those_of_the_cluster(self) -> None:
        assert auth.kubelet_server({"targets": [{}]}, lambda: self.api).authorization() == "Bearer api"
        given = {"targets": [{}], "kubeconfig": "x", "kubelet_api_key": "own"}
        assert auth.kubelet_server(given, lambda: self.api).ca_file == "/ca"
