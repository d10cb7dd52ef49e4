# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import nodes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.api import ApiSession
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import KubeError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.http import Server
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.targets import (
    Query,
    Target,
    explicit,
    select,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.scripted import (
    Asked,
    Cluster,
    Say,
    node_object,
    pod_object,
    serving,
    status_object,
)

RUNNING = "running"
ENDED = "terminated"


class Selected(t.NamedTuple):
    targets: list[Target]
    missed: list[tuple[str, str]]
    warnings: list[str]
    asked: list[Asked]

    @property
    def names(self) -> list[str]:
        return [f"{target.pod}/{target.container}" for target in self.targets]


def selected(cluster: t.Callable[[Asked], Say], *, need_address: bool = True, **query: t.Any) -> Selected:
    with serving(cluster) as there:
        found = select(ApiSession(Server(url=there.url)), Query(**query), need_address=need_address)
    missed = [(miss.failure.code, miss.target.name) for miss in found[1]]
    return Selected(found[0], missed, found[2], there.asked)


def test_everything_that_is_known_of_a_container() -> None:
    (target,) = selected(Cluster([pod_object("web-0")]), namespace="shop", labels=["app", "none"]).targets
    assert target.identity() == {
        "node": "n1",
        "node_address": "127.0.0.1",
        "namespace": "shop",
        "pod": "web-0",
        "pod_uid": "uid-web-0",
        "container": "app",
        "container_id": "id-web-0-app",
        "image": "image/app:1",
        "image_id": "image/app@sha256:1",
        "runtime": "cri-o",
        "runtime_version": "1.36.3",
        "labels": {"app": "web-0"},
    }


def test_sorted_by_node_namespace_pod_container() -> None:
    pods = [
        pod_object("b", "n2", z=RUNNING, a=RUNNING),
        pod_object("c", "n1", "zoo"),
        pod_object("d", "n1", "shop"),
        pod_object("a", "n2"),
    ]
    assert selected(Cluster(pods)).names == ["d/app", "c/app", "a/app", "b/a", "b/z"]


def test_a_namespace_is_not_another() -> None:
    pods = [pod_object("a"), pod_object("b", namespace="other")]
    assert selected(Cluster(pods), namespace="shop").names == ["a/app"]
    assert selected(Cluster(pods)).names == ["b/app", "a/app"]


def test_names_are_got_one_by_one_and_a_missing_one_is_missed() -> None:
    found = selected(Cluster([pod_object("a"), pod_object("b")]), namespace="shop", pods=["b", "x", "b"])
    assert found.names == ["b/app"]
    assert found.missed == [("pod_not_found", "shop/x/?")]
    assert not any(asked.path.endswith("pods") for asked in found.asked)


def test_names_in_all_namespaces() -> None:
    found = selected(Cluster([pod_object("a"), pod_object("b")]), pods=["b", "x"])
    assert (found.names, found.missed) == (["b/app"], [("pod_not_found", "?/x/?")])


def test_a_filter_may_leave_out_a_named_pod() -> None:
    found = selected(Cluster([pod_object("a")]), namespace="shop", pods=["a", "x"], label_selectors=["app=a"])
    assert (found.names, found.missed) == (["a/app"], [])


def test_nodes() -> None:
    cluster = Cluster([pod_object("a"), pod_object("b", "n2"), pod_object("c", "n3")])
    found = selected(cluster, nodes=["n1", "n3"], field_selectors=["status.phase=Running"])
    assert found.names == ["a/app", "c/app"]
    assert found.asked[0].query["fieldSelector"] == "status.phase=Running,spec.nodeName=n1"
    assert selected(cluster, nodes=["n9"]).missed == [("node_not_found", "?/?/?")]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([], ["a/app", "a/log-1", "a/log-2"]),
        (["app"], ["a/app"]),
        (["log-*"], ["a/log-1", "a/log-2"]),
        (["log-[12]", "app"], ["a/app", "a/log-1", "a/log-2"]),
        (["*-2"], ["a/log-2"]),
        (["none-*"], []),
    ],
)
def test_containers_by_name_and_pattern(containers: list[str], expected: list[str]) -> None:
    pod = pod_object("a", **{"app": RUNNING, "log-1": RUNNING, "log-2": RUNNING})
    found = selected(Cluster([pod]), namespace="shop", containers=containers)
    assert (found.names, found.missed) == (expected, [])


def test_a_container_that_no_selected_pod_has_is_missed() -> None:
    cluster = Cluster([pod_object("a"), pod_object("b", app=RUNNING, side=RUNNING)])
    assert selected(cluster, namespace="shop", containers=["side"]).missed == []
    found = selected(cluster, namespace="shop", pods=["a"], containers=["side"])
    assert (found.names, found.missed) == ([], [("container_not_found", "shop/a/side")])


class TestNotRunning:
    """A finished container: an error where it was named, nothing where it was not."""

    pods: t.ClassVar = [pod_object("job", app=ENDED), pod_object("half", app=RUNNING, init=ENDED), pod_object("web")]

    def test_left_out_by_a_selector_and_by_a_pattern(self) -> None:
        found = selected(Cluster(self.pods), namespace="shop")
        assert (found.names, found.missed) == (["half/app", "web/app"], [])
        assert selected(Cluster(self.pods), namespace="shop", containers=["app"]).missed == []

    def test_missed_where_pod_and_container_were_named(self) -> None:
        found = selected(Cluster(self.pods), namespace="shop", pods=["half"], containers=["init"])
        assert (found.names, found.missed) == ([], [("container_not_running", "shop/half/init")])

    def test_left_out_of_a_named_pod_while_something_runs_in_it(self) -> None:
        found = selected(Cluster(self.pods), namespace="shop", pods=["half"])
        assert (found.names, found.missed) == (["half/app"], [])

    def test_missed_where_nothing_runs_in_a_named_pod(self) -> None:
        found = selected(Cluster(self.pods), namespace="shop", pods=["job", "web"])
        assert (found.names, found.missed) == (["web/app"], [("container_not_running", "shop/job/app")])

    def test_says_the_state(self) -> None:
        with serving(Cluster(self.pods)) as there:
            session = ApiSession(Server(url=there.url))
            _targets, missed, _warnings = select(session, Query("shop", pods=["job"]), need_address=True)
        assert missed[0].failure.message == "terminated: Completed"
        assert missed[0].target.node == "n1"


def test_init_and_ephemeral_containers_only_when_named_exactly() -> None:
    pod = pod_object("a")
    for kind, name in (("init", "side"), ("ephemeral", "debug")):
        pod["spec"][f"{kind}Containers"] = [{"name": name, "image": "i"}]
        pod["status"][f"{kind}ContainerStatuses"] = [{"name": name, "state": {RUNNING: {}}, "containerID": "x://1"}]
    assert selected(Cluster([pod])).names == ["a/app"]
    assert selected(Cluster([pod]), containers=["*"]).names == ["a/app"]
    assert selected(Cluster([pod]), containers=["side", "debug"]).names == ["a/debug", "a/side"]


def test_a_pod_that_is_nowhere_yet() -> None:
    pod = pod_object("a")
    del pod["spec"]["nodeName"], pod["status"]["containerStatuses"]
    cluster = Cluster([])
    cluster.pods = [pod]
    assert selected(cluster, namespace="shop", pods=["a"]).missed == [("container_not_running", "shop/a/app")]


def test_without_the_right_to_get_nodes_the_pod_says_where() -> None:
    cluster = Cluster([pod_object("a")])

    def script(asked: Asked) -> Say:
        return status_object(403, "nodes is forbidden") if "/nodes/" in asked.path else cluster(asked)

    found = selected(script, namespace="shop")
    target = found.targets[0]
    assert (target.node_address, target.runtime, target.runtime_version) == ("127.0.0.1", "cri-o", None)
    assert "nodes" in found.warnings[0].lower()


def test_other_trouble_with_nodes_is_trouble() -> None:
    cluster = Cluster([pod_object("a")])

    def script(asked: Asked) -> Say:
        return status_object(500, "no") if "/nodes/" in asked.path else cluster(asked)

    with pytest.raises(KubeError, match="could not answer"):
        selected(script, namespace="shop")


def test_a_node_without_an_address() -> None:
    cluster = Cluster([pod_object("a")])
    cluster.nodes["n1"]["status"]["addresses"] = []
    del cluster.pods[0]["status"]["hostIP"]
    assert selected(cluster, namespace="shop").missed == [("node_address_unknown", "shop/a/app")]
    assert selected(cluster, namespace="shop", need_address=False).names == ["a/app"]


def test_explicit_targets_ask_nobody() -> None:
    entries = [
        {"node": "fd00::2", "namespace": "s", "pod": "p", "container": "c"},
        {"node": "10.0.0.1", "namespace": "s", "pod": "p", "container": "c"},
    ]
    first, second = explicit(entries, through_api=False)
    assert (first.node, first.node_address, second.node_address) == ("10.0.0.1", "10.0.0.1", "fd00::2")
    assert first.container_id is None and first.labels == {}
    assert explicit(entries, through_api=True)[0].node_address is None


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([("Hostname", "n"), ("ExternalIP", "9.9.9.9"), ("InternalIP", "10.0.0.1")], "10.0.0.1"),
        ([("Hostname", "n"), ("ExternalIP", "9.9.9.9")], "9.9.9.9"),
        ([("Hostname", "n.example")], "n.example"),
        ([("InternalIP", "fd00::1"), ("InternalIP", "10.0.0.1")], "fd00::1"),
        ([("InternalIP", "-oProxyCommand=reboot"), ("InternalIP", "10.0.0.1")], "10.0.0.1"),
        ([("InternalIP", "evil/path"), ("Hostname", "-x"), ("ExternalDNS", "n")], None),
        ([], None),
    ],
)
def test_addresses_of_nodes(addresses: list[tuple[str, str]], expected: str | None) -> None:
    node = node_object("n", addresses=[{"type": kind, "address": address} for kind, address in addresses])
    assert nodes.address(node) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cri-o://1.36.3", ("cri-o", "1.36.3")),
        ("containerd://2.1.9", ("containerd", "2.1.9")),
        ("odd", ("odd", None)),
        ("", (None, None)),
    ],
)
def test_runtimes_of_nodes(said: str, expected: tuple[str | None, str | None]) -> None:
    assert nodes.runtime(node_object("n", nodeInfo={"containerRuntimeVersion": said})) == expected


def test_the_port_that_a_node_reports() -> None:
    cluster = Cluster([pod_object("a")])
    cluster.nodes["n1"]["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 1234}}
    assert selected(cluster, namespace="shop").targets[0].kubelet_port == 1234
