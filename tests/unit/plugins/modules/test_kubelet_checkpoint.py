# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: a process of its own, options as JSON, the result as JSON."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import argument_spec
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import kubelet_checkpoint
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Authority,
    Cluster,
    Say,
    archive,
    pod_object,
    serving,
)


class Result(dict[str, t.Any]):
    """What the module printed as JSON; ``stderr`` beside it."""

    stderr = ""


class Module:
    """Runs the module in an environment of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.environ = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def start(self, check_mode: bool = False, **options: t.Any) -> subprocess.Popen[str]:
        arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check_mode}}
        process = subprocess.Popen(
            [sys.executable, "-m", kubelet_checkpoint.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
            cwd=self.folder,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps(arguments))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, check_mode: bool = False, **options: t.Any) -> Result:
        return finished(self.start(check_mode, **options))


def finished(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=60)
    assert out, err
    result = Result(json.loads(out))
    result.stderr = err
    assert process.returncode == (1 if result.get("failed") else 0)
    return result


@pytest.fixture
def module(tmp_path: pathlib.Path) -> Module:
    return Module(tmp_path)


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> Authority:
    return Authority(tmp_path)


def target(container: str, node: str = "n1") -> dict[str, str]:
    return {"node": node, "namespace": "shop", "pod": "web-0", "container": container}


def test_what_it_returns_is_what_it_documents(module: Module) -> None:
    documented = yaml.safe_load(kubelet_checkpoint.RETURN)

    def kubelet(asked: Asked) -> Say:
        return Say(404, "pod does not exist") if "web-1" in asked.path else archive(asked)

    with serving(Cluster([pod_object("web-0"), pod_object("web-1")], kubelet)) as there:
        result = module.run(host=there.url, api_key="secret-token", namespace="shop", via="apiserver")
    assert result["failed"] and result["changed"]
    for name in ("checkpoints", "failures"):
        (item,) = result[name]
        described = documented[name]["contains"]
        assert set(item) == set(described)
        python = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict}
        for key, value in item.items():
            if value is not None:
                assert isinstance(value, python[described[key]["type"]]), key
    assert "secret-token" not in json.dumps(result)


def test_ignored_failures_are_green(module: Module) -> None:
    with serving(lambda _asked: Say(404, "pod does not exist")) as there:
        result = module.run(
            host=there.url, api_key="token-0", targets=[target("app")], via="apiserver", ignore_failures=True
        )
    assert not result.get("failed")
    assert (result["changed"], result["failures"][0]["code"]) == (False, "pod_not_found")


def test_what_concerns_all_of_it_stands_at_the_top(module: Module) -> None:
    result = module.run(namespace="shop", ignore_failures=True)
    assert result["failed"]
    assert (result["code"], result["phase"], result["checkpoints"], result["failures"]) == (
        "kubeconfig_unusable",
        "configure",
        [],
        [],
    )
    assert result["msg"].startswith("There is no kubeconfig at ~/.kube/config. ")
    assert "Traceback" not in result["msg"] + result.stderr
    documented = yaml.safe_load(kubelet_checkpoint.RETURN)
    assert {name for name, what in documented.items() if "always" not in what["returned"]} <= set(result)


def test_check_mode_only_reads(module: Module) -> None:
    with serving(Cluster([pod_object("web-0")])) as there:
        result = module.run(check_mode=True, host=there.url, api_key="token-0", namespace="shop", via="apiserver")
    assert (result["changed"], result["checkpoints"][0]["path"]) == (True, None)
    assert {asked.method for asked in there.asked} == {"GET"}
    assert not (module.folder / "state").exists()


def test_straight_to_a_kubelet_by_ipv6_and_tls(module: Module, authority: Authority) -> None:
    certificate, key = authority.sign("ops")
    with serving(archive, address="::1", authority=authority, ask_for_client=True) as there:
        result = module.run(
            targets=[target("app", "::1")],
            kubelet_port=there.port,
            kubelet_ca_cert=authority.ca_file,
            kubelet_client_cert=certificate,
            kubelet_client_key=key,
        )
    assert result["checkpoints"][0]["node_address"] == "::1"
    assert there.asked[0].peer is not None


def test_a_certificate_that_does_not_verify_names_the_ways_out(module: Module, authority: Authority) -> None:
    with serving(archive, authority=authority) as there:
        options = {"targets": [target("app", "127.0.0.1")], "kubelet_port": there.port, "kubelet_api_key": "token-0"}
        result = module.run(**options)
        assert result["failures"][0]["code"] == "certificate_untrusted"
        assert there.asked == []
        assert all(way in result["msg"] for way in ("kubelet_ca_cert", "via: apiserver", "kubelet_validate_certs"))
        assert not module.run(**options, kubelet_validate_certs=False).get("failed")


def test_secrets_in_a_dictionary_do_not_come_out(module: Module) -> None:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "hidden-token", "password": "hidden-password"}}],
    }
    result = module.run(kubeconfig=config, namespace="shop")
    assert result["code"] == "apiserver_unreachable"
    assert "hidden-" not in json.dumps(result) + result.stderr


class TestEnvironment:
    """Every variable that kubernetes.core reads and AWX injects, one at a time."""

    def asked(self, module: Module, options: dict[str, t.Any], environ: dict[str, str]) -> Asked:
        """The one request of a run that selects nothing."""
        module.environ |= {f"K8S_AUTH_{name}": value for name, value in environ.items()}
        with serving(Cluster([])) as there:
            given = {name: there.url if value == "URL" else value for name, value in options.items()}
            module.environ |= {name: there.url for name, value in module.environ.items() if value == "URL"}
            result = module.run(namespace="shop", allow_empty=True, **given)
        assert not result.get("failed"), result
        return there.asked[0]

    def test_host(self, module: Module) -> None:
        assert self.asked(module, {"api_key": "token-0"}, {"HOST": "URL"}).path.endswith("/pods")

    def test_api_key(self, module: Module) -> None:
        assert self.asked(module, {"host": "URL"}, {"API_KEY": "token-0"}).headers["Authorization"] == "Bearer token-0"

    def test_an_option_wins_over_its_variable(self, module: Module) -> None:
        asked = self.asked(module, {"host": "URL", "api_key": "own"}, {"API_KEY": "token-0"})
        assert asked.headers["Authorization"] == "Bearer own"

    def test_username_and_password(self, module: Module) -> None:
        asked = self.asked(module, {"host": "URL"}, {"USERNAME": "u", "PASSWORD": "pass-0"})
        assert asked.headers["Authorization"] == "Basic dTpwYXNzLTA="

    def test_impersonate_user(self, module: Module) -> None:
        asked = self.asked(module, {"host": "URL", "api_key": "token-0"}, {"IMPERSONATE_USER": "u"})
        assert asked.headers["Impersonate-User"] == "u"

    def test_impersonate_groups(self, module: Module) -> None:
        asked = self.asked(module, {"host": "URL", "api_key": "token-0"}, {"IMPERSONATE_GROUPS": "g,h"})
        assert asked.headers.get_all("Impersonate-Group") == ["g", "h"]

    def kubeconfig(self, folder: pathlib.Path, url: str) -> str:
        contexts = [{"name": name, "context": {"cluster": name, "user": "u"}} for name in ("one", "two")]
        servers = {"one": "http://127.0.0.1:1", "two": url}
        config = {
            "current-context": "one",
            "contexts": contexts,
            "clusters": [{"name": name, "cluster": {"server": server}} for name, server in servers.items()],
            "users": [{"name": "u", "user": {"token": "kc"}}],
        }
        (folder / "kc").write_text(yaml.safe_dump(config), encoding="utf-8")
        return str(folder / "kc")

    def test_kubeconfig_and_context(self, module: Module) -> None:
        with serving(Cluster([])) as there:
            path = self.kubeconfig(module.folder, there.url)
            module.environ |= {"K8S_AUTH_KUBECONFIG": path, "K8S_AUTH_CONTEXT": "two"}
            assert not module.run(namespace="shop", allow_empty=True).get("failed")
        assert there.asked[0].headers["Authorization"] == "Bearer kc"

    def test_persist_config(self, module: Module) -> None:
        module.environ["K8S_AUTH_PERSIST_CONFIG"] = "perhaps"
        result = module.run(namespace="shop")
        assert "persist_config" in result["msg"]

    @pytest.mark.parametrize("name", ["CA_CERT", "SSL_CA_CERT"])
    def test_ca_cert(self, module: Module, authority: Authority, name: str) -> None:
        with serving(Cluster([]), authority=authority) as there:
            module.environ[f"K8S_AUTH_{name}"] = authority.ca_file
            assert not module.run(host=there.url, api_key="token-0", namespace="shop", allow_empty=True).get("failed")

    @pytest.mark.parametrize("name", ["VALIDATE_CERTS", "VERIFY_SSL"])
    @pytest.mark.parametrize("value", ["False", "false", "0", "no"])
    def test_validate_certs(self, module: Module, authority: Authority, name: str, value: str) -> None:
        """AWX injects K8S_AUTH_VERIFY_SSL."""
        with serving(Cluster([]), authority=authority) as there:
            module.environ[f"K8S_AUTH_{name}"] = value
            assert not module.run(host=there.url, api_key="token-0", namespace="shop", allow_empty=True).get("failed")

    def test_certificates_are_checked_without_a_word(self, module: Module, authority: Authority) -> None:
        with serving(Cluster([]), authority=authority) as there:
            result = module.run(host=there.url, api_key="token-0", namespace="shop")
        assert result["code"] == "apiserver_certificate_untrusted"

    @pytest.mark.parametrize(("cert", "key"), [("CLIENT_CERT", "CLIENT_KEY"), ("CERT_FILE", "KEY_FILE")])
    def test_client_certificate(self, module: Module, authority: Authority, cert: str, key: str) -> None:
        with serving(Cluster([]), authority=authority, ask_for_client=True) as there:
            module.environ[f"K8S_AUTH_{cert}"], module.environ[f"K8S_AUTH_{key}"] = authority.sign("ops")
            result = module.run(host=there.url, ca_cert=authority.ca_file, namespace="shop", allow_empty=True)
        assert not result.get("failed"), result
        assert there.asked[0].peer is not None

    def test_proxy_and_its_headers(self, module: Module) -> None:
        """For http a proxy is asked for the whole URL."""
        environ = {
            "PROXY": "URL",
            "PROXY_HEADERS_PROXY_BASIC_AUTH": "a:b",
            "PROXY_HEADERS_USER_AGENT": "me",
            "PROXY_HEADERS_BASIC_AUTH": "c:d",
        }
        asked = self.asked(module, {"host": "http://api.invalid", "api_key": "token-0"}, environ)
        assert asked.path == "/api/v1/namespaces/shop/pods"
        assert (asked.headers["Host"], asked.headers["Proxy-Authorization"]) == ("api.invalid", "Basic YTpi")

    def test_no_proxy(self, module: Module) -> None:
        environ = {"PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}
        assert self.asked(module, {"host": "URL", "api_key": "token-0"}, environ)

    def test_every_variable_has_a_test_here(self) -> None:
        def variables(spec: dict[str, dict[str, t.Any]]) -> t.Iterator[str]:
            for option in spec.values():
                if "options" in option:
                    yield from variables(option["options"])
                else:
                    yield from option["fallback"][1]

        text = pathlib.Path(__file__).read_text(encoding="utf-8")
        for variable in variables(argument_spec.auth_options(lambda: None)):
            assert f'"{variable.removeprefix("K8S_AUTH_")}"' in text or f'"{variable}"' in text, variable


def test_two_runs_at_the_same_time_keep_a_second_between_them(module: Module) -> None:
    def kubelet(asked: Asked) -> Say:
        return Say(200, archive(asked).body, seconds=0.3)

    with serving(kubelet) as there:
        options = {"host": there.url, "api_key": "token-0", "via": "apiserver", "targets": [target("app")]}
        both = [module.start(**options) for _number in range(2)]
        paths = {finished(process)["checkpoints"][0]["path"] for process in both}
        assert there.most_at_once == 1
    first, second = there.posts
    assert second.began - first.began >= 1.3
    assert len(paths) == 2


def test_sigterm_lets_what_runs_finish(module: Module) -> None:
    def kubelet(asked: Asked) -> Say:
        return Say(200, archive(asked).body, seconds=1.0)

    with serving(kubelet) as there:
        process = module.start(
            host=there.url, api_key="token-0", via="apiserver", targets=[target("a"), target("b")], max_concurrent=1
        )
        while not there.posts:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        result = finished(process)
    assert [item["container"] for item in result["checkpoints"]] == ["a"]
    assert (result["failures"][0]["code"], len(there.posts)) == ("not_started", 1)
    assert "interrupted" in result["failures"][0]["reason"]
