# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on recorded roots: what is written where, that it holds, and that it can be taken back byte for byte."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings import (
    containerd,
    crio,
    criu,
    kept,
    kubelet,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._settings.changes import Plan
from recorded_nodes import append, files, node, run, write

MARK = "  # checkpoint_restore.kubernetes"
PLANS: dict[str, t.Callable[..., Plan]] = {
    "containerd": containerd.plan,
    "crio": crio.plan,
    "criu": criu.plan,
    "kubelet": kubelet.plan,
}
K3S_KUBELET = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/90-checkpoint-restore.conf"
K3S_CONTAINERD = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/90-checkpoint-restore.toml"
RKE2_KUBELET = "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d/90-checkpoint-restore.conf"
HEAD = f"apiVersion: kubelet.config.k8s.io/v1beta1{MARK}\nkind: KubeletConfiguration{MARK}\n"


class Case(t.NamedTuple):
    layout: str
    component: str
    versions: dict[str, t.Any]
    settings: dict[str, t.Any]
    path: str
    action: str
    lines: str
    units: tuple[str, ...]


CASES = (
    Case(
        "kubeadm",
        "kubelet",
        {"kubelet": "v1.29.3"},
        {"runtime_request_timeout": "10m"},
        "/var/lib/kubelet/config.yaml",
        "change",
        f"# checkpoint_restore.kubernetes instead of: runtimeRequestTimeout: 0s\nruntimeRequestTimeout: 10m{MARK}\n"
        f"...featureGates:{MARK}\n  ContainerCheckpoint: true{MARK}\n",
        ("kubelet",),
    ),
    Case(
        "rhel-crio",
        "kubelet",
        {"kubelet": "v1.28.15"},
        {},
        "/var/lib/kubelet/config.yaml",
        "change",
        f"featureGates:\n  ContainerCheckpoint: true{MARK}\n  NodeSwap: true\n",
        ("kubelet",),
    ),
    Case(
        "kubeadm-flags",
        "kubelet",
        {"kubelet": "v1.27.16"},
        {"runtime_request_timeout": "10m"},
        "/var/lib/kubelet/kubeadm-flags.env",
        "change",
        " --read-only-port=10255 --feature-gates=ContainerCheckpoint=true --runtime-request-timeout=10m"
        ' --read-only-port=0"\n',
        ("kubelet",),
    ),
    Case(
        "k3s",
        "kubelet",
        {"kubelet": "v1.34.1+k3s1"},
        {"runtime_request_timeout": "10m"},
        K3S_KUBELET,
        "create",
        f"{HEAD}runtimeRequestTimeout: 10m{MARK}\n",
        ("k3s",),
    ),
    Case(
        "k3s-1.29",
        "kubelet",
        {"kubelet": "v1.29.15+k3s1"},
        {"runtime_request_timeout": "10m"},
        "/etc/rancher/k3s/config.yaml.d/90-checkpoint-restore.yaml",
        "create",
        f"kubelet-arg+:{MARK}\n  - feature-gates=ContainerCheckpoint=true{MARK}\n"
        f"  - runtime-request-timeout=10m{MARK}\n",
        ("k3s-agent",),
    ),
    Case(
        "rke2",
        "kubelet",
        {"kubelet": "v1.34.1+rke2r1"},
        {"runtime_request_timeout": "10m"},
        RKE2_KUBELET,
        "create",
        f"{HEAD}runtimeRequestTimeout: 10m{MARK}\n",
        ("rke2-server",),
    ),
    Case(
        "microshift",
        "kubelet",
        {"kubelet": "1.31.0"},
        {"runtime_request_timeout": "10m"},
        "/etc/microshift/config.d/90-checkpoint-restore.yaml",
        "create",
        f"kubelet:{MARK}\n  runtimeRequestTimeout: 10m{MARK}\n",
        ("microshift",),
    ),
    Case(
        "rhel-crio",
        "crio",
        {"crio": "1.29.5", "crio_table": False},
        {},
        "/etc/crio/crio.conf.d/90-checkpoint-restore.conf",
        "create",
        f"[crio.runtime]{MARK}\nenable_criu_support = true{MARK}\n",
        ("crio",),
    ),
    Case(
        "microshift",
        "crio",
        {"crio": "1.36.6", "crio_table": True},
        {"restore_by_image": True},
        "/etc/crio/crio.conf.d/90-checkpoint-restore.conf",
        "create",
        f'[crio.checkpoint_restore]{MARK}\ncontainer_level_enabled = "checkpoint_restore"{MARK}\n',
        ("crio",),
    ),
    Case(
        "kubeadm",
        "containerd",
        {"containerd": "v2.3.5"},
        {"restore_by_image": True},
        "/etc/containerd/conf.d/90-checkpoint-restore.toml",
        "create",
        f'version = 4{MARK}\n[plugins."io.containerd.cri.v1.runtime"]{MARK}\n'
        f"enable_experimental_restore_via_create = true{MARK}\n",
        ("containerd",),
    ),
    Case(
        "kubeadm-flags",
        "containerd",
        {"containerd": "v2.1.9"},
        {"extra": {"debug": {"level": "debug"}, 'plugins."io.containerd.cri.v1.runtime"': {"tolerate_missing": True}}},
        "/etc/containerd/config.toml",
        "change",
        "# checkpoint_restore.kubernetes instead of:   level = ''\n"
        f'  level = "debug"{MARK}\n...    tolerate_missing = true{MARK}\n',
        ("containerd",),
    ),
    Case(
        "k3s",
        "containerd",
        {"containerd": "v2.3.5-k3s1"},
        {"restore_by_image": True},
        K3S_CONTAINERD,
        "create",
        f'version = 3{MARK}\n[plugins."io.containerd.cri.v1.runtime"]{MARK}\n'
        f"enable_experimental_restore_via_create = true{MARK}\n",
        ("k3s",),
    ),
    Case(
        "rke2",
        "containerd",
        {"containerd": "v2.3.5-k3s1"},
        {"restore_by_image": True},
        K3S_CONTAINERD.replace("k3s", "rke2"),
        "create",
        f"enable_experimental_restore_via_create = true{MARK}\n",
        ("rke2-server",),
    ),
    Case(
        "kubeadm",
        "criu",
        {"crun_reads": None},
        {"tcp_close": True, "skip_in_flight": True, "ghost_limit": "4M", "log_level": 4, "extra": ["link-remap"]},
        "/etc/criu/runc.conf",
        "create",
        "# checkpoint_restore.kubernetes\ntcp-close\n# checkpoint_restore.kubernetes\nskip-in-flight\n"
        "# checkpoint_restore.kubernetes\nghost-limit 4M\n# checkpoint_restore.kubernetes\nverbosity 4\n"
        "# checkpoint_restore.kubernetes\nlink-remap\n",
        (),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layout} {case.component}")
class TestLayouts:
    def test_writes_what_is_missing_and_nothing_the_second_time(self, case: Case, tmp_path: pathlib.Path) -> None:
        root = node(case.layout, tmp_path)
        plan = PLANS[case.component](root, case.settings, case.versions, "present")
        assert [(change.path, change.action) for change in plan.changes] == [(case.path, case.action)]
        assert plan.restart == case.units
        kept.apply(root, plan)
        written = pathlib.Path(root, case.path.lstrip("/")).read_text()
        for piece in case.lines.split("..."):
            assert piece in written
        assert PLANS[case.component](root, case.settings, case.versions, "present").changes == ()

    def test_goes_back_byte_for_byte(self, case: Case, tmp_path: pathlib.Path) -> None:
        root = node(case.layout, tmp_path)
        before = files(root)
        kept.apply(root, PLANS[case.component](root, case.settings, case.versions, "present"))
        assert files(root) != before
        kept.apply(root, PLANS[case.component](root, {}, {}, "absent"))
        assert files(root) == before

    def test_old_files_come_back(self, case: Case, tmp_path: pathlib.Path) -> None:
        root = node(case.layout, tmp_path)
        before = files(root)
        kept.apply(root, PLANS[case.component](root, case.settings, case.versions, "present"))
        assert kept.put_back(root, case.component) == [case.path]
        assert files(root) == before
        assert kept.journal(root, case.component) is None

    def test_what_others_add_stays(self, case: Case, tmp_path: pathlib.Path) -> None:
        root = node(case.layout, tmp_path)
        before = files(root)
        kept.apply(root, PLANS[case.component](root, case.settings, case.versions, "present"))
        append(root, [case.path], "# note of the site\n")
        kept.apply(root, PLANS[case.component](root, {}, {}, "absent"))
        was = before.get(case.path.lstrip("/"), (0, b""))[1]
        assert pathlib.Path(root, case.path.lstrip("/")).read_bytes() == was + b"# note of the site\n"


NOTHING_TO_DO = (
    ("kubeadm", "kubelet", {"kubelet": "v1.30.0"}, {}),
    ("kubeadm", "kubelet", {"kubelet": "v1.34.0"}, {"runtime_request_timeout": "2m0s"}),
    ("k3s-1.29", "kubelet", {"kubelet": "v1.30.0+k3s1"}, {}),
    ("rke2", "kubelet", {"kubelet": "v1.34.1+rke2r1"}, {}),
    ("microshift", "kubelet", {"kubelet": "1.31.0"}, {}),
    ("rhel-crio", "crio", {"crio": "1.34.0", "crio_table": False}, {}),
    ("rhel-crio", "crio", {"crio": "1.36.6", "crio_table": True}, {}),
    ("kubeadm", "containerd", {"containerd": "v2.3.5"}, {}),
    ("kubeadm", "containerd", {"containerd": "v2.4.2"}, {}),
    ("kubeadm-flags", "containerd", {"containerd": "v2.0.14"}, {}),
    ("kubeadm", "criu", {"crun_reads": None}, {}),
)


@pytest.mark.parametrize(("layout", "component", "versions", "settings"), NOTHING_TO_DO)
def test_no_file_where_all_is_well(
    layout: str, component: str, versions: dict[str, t.Any], settings: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    assert PLANS[component](node(layout, tmp_path), settings, versions, "present").changes == ()


def refusal(root: str, component: str, versions: dict[str, t.Any], **settings: t.Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        PLANS[component](root, settings, versions, "present")
    return caught.value


def test_refuses_what_the_version_cannot(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    assert refusal(root, "kubelet", {"kubelet": "v1.24.9"}).code == "not_supported"
    assert refusal(root, "containerd", {"containerd": "1.7.24"}).code == "not_supported"
    assert refusal(root, "containerd", {"containerd": "v2.4.2"}, restore_by_image=True).code == "not_supported"
    assert refusal(root, "containerd", {"containerd": "v2.0.14"}, restore_by_image=True).code == "not_supported"
    assert refusal(root, "crio", {"crio": "1.24.1"}).code == "not_supported"


def test_names_the_advisories_of_restore_by_image(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    plan = containerd.plan(root, {"restore_by_image": True}, {"containerd": "v2.3.5"}, "present")
    assert "CVE-2026-95837" in plan.warnings[0]
    assert containerd.plan(root, {}, {"containerd": "v2.3.5"}, "present").warnings == ()


def test_warns_of_a_kubelet_with_an_open_hole(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    assert "CVE-2025-0426" in kubelet.plan(root, {}, {"kubelet": "v1.31.5"}, "present").warnings[0]
    assert kubelet.plan(root, {}, {"kubelet": "v1.31.6"}, "present").warnings == ()


def test_a_gate_that_somebody_switched_off_is_left_alone(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    append(root, ["/var/lib/kubelet/config.yaml"], "featureGates:\n  ContainerCheckpoint: false\n")
    assert refusal(root, "kubelet", {"kubelet": "v1.34.0"}).code == "conflicting_setting"


def test_flags_and_later_files_stand_above_ours(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    run(root, 812, "/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml", "--runtime-request-timeout=3m")
    versions = {"kubelet": "v1.34.0"}
    assert "--runtime-request-timeout=3m" in refusal(root, "kubelet", versions, runtime_request_timeout="10m").reason
    k3s = node("k3s", tmp_path)
    write(k3s, K3S_KUBELET.replace("90-checkpoint-restore", "95-site"), "runtimeRequestTimeout: 1m\n")
    assert "95-site.conf" in refusal(k3s, "kubelet", versions, runtime_request_timeout="10m").reason
    append(k3s, ["/etc/rancher/k3s/config.yaml"], "  - runtime-request-timeout=5m\n")
    assert refusal(k3s, "kubelet", versions, runtime_request_timeout="10m").code == "conflicting_setting"
    rhel = node("rhel-crio", tmp_path)
    write(rhel, "/etc/crio/crio.conf.d/99-site.conf", "[crio.runtime]\nenable_criu_support = false\n")
    assert "99-site.conf" in refusal(rhel, "crio", {"crio": "1.34.0", "crio_table": False}).reason


def test_ours_stands_above_earlier_files(tmp_path: pathlib.Path) -> None:
    root = node("rhel-crio", tmp_path)
    write(root, "/etc/crio/crio.conf.d/20-site.conf", '[crio.checkpoint_restore]\ncontainer_level_enabled = "none"\n')
    plan = crio.plan(root, {}, {"crio": "1.36.6", "crio_table": True}, "present")
    assert 'container_level_enabled = "checkpoint_only"' in (plan.changes[0].after or "")


def test_what_is_not_asked_for_any_more_is_taken_back(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    versions = {"containerd": "v2.3.5"}
    kept.apply(root, containerd.plan(root, {"restore_by_image": True}, versions, "present"))
    assert [change.action for change in containerd.plan(root, {}, versions, "present").changes] == ["remove"]


def test_a_generated_configuration_without_imports_is_refused(tmp_path: pathlib.Path) -> None:
    root = node("k3s-1.29", tmp_path)
    error = refusal(root, "containerd", {"containerd": "v2.3.5"}, restore_by_image=True)
    assert error.code == "configuration_form" and "k3s" in error.reason


def test_forms_that_cannot_be_edited_are_said_so(tmp_path: pathlib.Path) -> None:
    root = node("kubeadm", tmp_path)
    write(root, "/var/lib/kubelet/config.yaml", '{"kind": "KubeletConfiguration"}')
    assert refusal(root, "kubelet", {"kubelet": "v1.29.0"}).code == "configuration_form"
    write(root, "/etc/containerd/config.toml", "[plugins]\n")
    assert "version 1" in refusal(root, "containerd", {"containerd": "v2.1.9"}).reason
    write(
        root, "/etc/containerd/config.toml", "version = 3\nplugins.'io.containerd.cri.v1.runtime'.enable_cdi = true\n"
    )
    extra = {'plugins."io.containerd.cri.v1.runtime"': {"enable_selinux": True}}
    assert refusal(root, "containerd", {"containerd": "v2.1.9"}, extra=extra).code == "configuration_form"
    run(root, 812, "/usr/bin/other")
    assert refusal(root, "kubelet", {"kubelet": "v1.29.0"}).code == "kubelet_not_found"


@pytest.mark.parametrize(
    ("component", "settings"),
    [
        ("kubelet", {"runtime_request_timeout": "ten minutes"}),
        ("kubelet", {"extra": {"evictionHard": ["a"]}}),
        ("containerd", {"extra": {"": {"a": 1}}}),
        ("containerd", {"extra": {"debug": {"level": None}}}),
        ("containerd", {"extra": ["debug"]}),
        ("criu", {"tcp_established": True, "tcp_close": True}),
        ("criu", {"ghost_limit": "4 MB"}),
        ("criu", {"log_level": 5}),
        ("criu", {"extra": ["--tcp-close"]}),
        ("criu", {"extra": ["tcp-close\nlibdir /tmp"]}),
    ],
)
def test_settings_that_make_no_sense(component: str, settings: dict[str, t.Any], tmp_path: pathlib.Path) -> None:
    versions = {"kubelet": "v1.34.0", "containerd": "v2.3.5"}
    assert refusal(node("kubeadm", tmp_path), component, versions, **settings).code == "invalid_option"


class TestCriu:
    def test_lines_of_others_stay_and_are_not_repeated(self, tmp_path: pathlib.Path) -> None:
        root = node("kubeadm", tmp_path)
        write(root, "/etc/criu/runc.conf", "# the site's\ntcp-close\nghost-limit=4M")
        plan = criu.plan(root, {"tcp_close": True, "ghost_limit": "4M", "file_locks": True}, {}, "present")
        kept.apply(root, plan)
        text = pathlib.Path(root, "etc/criu/runc.conf").read_text()
        assert text.startswith("# the site's\ntcp-close\nghost-limit=4M\n") and "file-locks" in text
        assert text.count("tcp-close") == 1
        kept.apply(root, criu.plan(root, {}, {}, "absent"))
        assert pathlib.Path(root, "etc/criu/runc.conf").read_text() == "# the site's\ntcp-close\nghost-limit=4M"

    def test_a_contrary_line_of_others_is_an_error(self, tmp_path: pathlib.Path) -> None:
        root = node("kubeadm", tmp_path)
        write(root, "/etc/criu/runc.conf", "tcp-established\nghost-limit 1M\n")
        assert "tcp-established" in refusal(root, "criu", {}, tcp_close=True).reason
        assert "ghost-limit 1M" in refusal(root, "criu", {}, ghost_limit="4M").reason

    def test_writes_where_crun_looks(self, tmp_path: pathlib.Path) -> None:
        root = node("kubeadm", tmp_path)
        paths = [
            change.path
            for change in criu.plan(root, {"tcp_close": True}, {"crun_reads": criu.DEFAULT}, "present").changes
        ]
        assert paths == ["/etc/criu/runc.conf", "/etc/criu/default.conf"]
        versions = {"crun_reads": criu.CRUN}
        paths = [change.path for change in criu.plan(root, {"tcp_close": True}, versions, "present").changes]
        assert paths == ["/etc/criu/runc.conf"]
        write(root, "/etc/criu/crun.conf", "link-remap\n")
        paths = [change.path for change in criu.plan(root, {"tcp_close": True}, versions, "present").changes]
        assert paths == ["/etc/criu/runc.conf", "/etc/criu/crun.conf"]

    def test_a_crun_tells_what_it_reads(self, tmp_path: pathlib.Path) -> None:
        write(str(tmp_path), "/old", "…/var/run…")
        write(str(tmp_path), "/new", "…\0/etc/criu/crun.conf\0…")
        assert criu.crun_reads("/old", str(tmp_path)) == "/etc/criu/default.conf"
        assert criu.crun_reads("/new", str(tmp_path)) == "/etc/criu/crun.conf"
        assert criu.crun_reads("/none", str(tmp_path)) is None

    @pytest.mark.parametrize(
        ("version", "kernel", "fits"),
        [
            ("4.2.1", "6.18.44", True),
            ("4.1.1", "6.18.44", False),
            ("3.17.1", "6.18.44", False),
            ("3.17.1", "6.1.0-28-amd64", True),
            ("3.15", "5.10.0", False),
            (None, "6.18.44", True),
        ],
    )
    def test_refuses_a_version_that_the_kernel_cannot_use(self, version: t.Any, kernel: str, fits: bool) -> None:
        if fits:
            criu.check_version(version, kernel)
        else:
            with pytest.raises(CheckpointError, match="CRIU"):
                criu.check_version(version, kernel)
