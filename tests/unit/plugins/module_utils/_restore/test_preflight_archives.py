# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives against nodes: real archives pass, and each check fails for the case that it is there for."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight import (
    check_all,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import made
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    REAL,
    image,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.crafted import (
    Made,
    checkpoint_folder,
    words,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._restore.preflights import (
    archive,
    checks,
    node,
    pod,
    result,
    wanted,
)

LEDGERS = ("containerd-2.1-ledger", "crio-runc-ledger", "crio-crun-ledger")
OF_NODE = {"criu", "handler", "host_paths", "restore_runtime", "disk", "memory"}


@pytest.mark.parametrize("name", LEDGERS)
def test_real_archives_pass_into_a_pod_like_theirs(tmp_path: pathlib.Path, name: str) -> None:
    runtime = "containerd" if name.startswith("containerd") else "cri-o"
    found = checks(archive(name, tmp_path), node(facts={"runtime": {"name": runtime}}), definition=pod())
    # The restore runtime itself is not on this machine.
    assert {check["name"] for check in found.values() if check["result"] != "passed"} == {"restore_runtime"}
    assert {check["container"] for check in found.values() if check["name"] not in OF_NODE} == {"ledger"}
    assert found["images"]["reason"] == "All 54 images are there"


def test_checks_are_sorted_and_whole(tmp_path: pathlib.Path) -> None:
    paths = [str(archive(name, tmp_path)) for name in LEDGERS]
    found = check_all([*paths, str(tmp_path / "nowhere.tar"), paths[0]], wanted(), node()).checks
    assert found == sorted(found, key=lambda check: (check["archive"] or "", check["name"]))
    assert {tuple(check) for check in found} == {("name", "result", "reason", "hint", "archive", "container")}
    missing = [check for check in found if check["archive"] == str(tmp_path / "nowhere.tar")]
    assert [(check["name"], check["result"], check["container"]) for check in missing] == [("archive", "failed", None)]
    assert len([check for check in found if check["archive"] == paths[0]]) == 17


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"hello" * 1000, 0o600, "tar"),
        (b"", 0o600, ""),
        (made({"hello": b"x"}), 0o600, "no checkpoint"),
        (made({"config.dump": b"{}"}), 0o600, "no images"),
        (None, 0o622, "others may write"),
    ],
)
def test_what_is_no_archive_to_restore(
    tmp_path: pathlib.Path, content: t.Optional[bytes], mode: int, said: str
) -> None:
    path = archive(LEDGERS[0], tmp_path)
    if content is not None:
        path.write_bytes(content)
    path.chmod(mode)
    found = checks(path)
    assert result(found, "archive") == "failed"
    assert said in found["archive"]["reason"]
    assert set(found) == {"archive", *OF_NODE}


@pytest.mark.parametrize(
    ("name", "facts", "expected"),
    [
        ("architecture", {"machine": {"architecture": "aarch64"}}, "failed"),
        ("architecture", {"machine": {"architecture": "amd64"}}, "passed"),
        ("kernel", {"machine": {"kernel": "6.12.48+deb13"}}, "warning"),
        ("kernel", {"machine": {"kernel": "7.0.1"}}, "passed"),
        ("kernel", {"machine": {"kernel": None}}, "skipped"),
        ("criu_version", {"criu": {"version": "4.1.1"}}, "failed"),
        ("criu_version", {"criu": {"version": "4.2"}}, "passed"),
        ("criu_version", {"criu": {"version": "5.0"}}, "passed"),
        ("criu_version", {"criu": {"version": None}}, "skipped"),
        ("cgroup", {"machine": {"cgroup": "v2"}}, "failed"),
        ("cgroup", {"machine": {"cgroup": "v1"}}, "passed"),
        ("criu", {"criu": {"path": None}}, "failed"),
        ("criu", {"criu": {"check": {"ok": False, "message": "no"}}}, "failed"),
        ("criu", {"machine": {"kernel_options": {"CONFIG_CHECKPOINT_RESTORE": "n"}}}, "failed"),
        ("handler", {"runtime": {"handlers": []}}, "failed"),
        ("handler", {"runtime": {"running": False}}, "failed"),
        ("handler", {"runtime": {"restart_needed": True}}, "warning"),
        ("handler", {"runtime": {"name": None}}, "failed"),
    ],
)
def test_another_node(tmp_path: pathlib.Path, name: str, facts: t.Any, expected: str) -> None:
    found = checks(archive(LEDGERS[0], tmp_path), node(facts=facts))
    assert result(found, name) == expected
    assert bool(found[name]["hint"]) == (expected in ("failed", "warning"))


def test_an_older_dump_on_a_node_of_before_it(tmp_path: pathlib.Path) -> None:
    path = archive("runc-criu-4.1.1-planted", tmp_path)
    assert result(checks(path, node(facts={"criu": {"version": "4.1"}})), "criu_version") == "passed"
    found = checks(path, node(facts={"criu": {"version": "3.19"}}))
    assert result(found, "criu_version") == "warning"
    assert "CRIU 4.1.1" in found["criu_version"]["reason"]
    assert "CRIU 3.19" in found["criu_version"]["reason"]


def test_a_dump_without_log_is_judged_by_its_images(tmp_path: pathlib.Path) -> None:
    path = archive("containerd-2.0-ledger", tmp_path)
    found = checks(path, node(facts={"criu": {"version": "4.1.1"}}))
    assert result(found, "criu_version") == "failed"
    assert "CRIU 4.2 or later" in found["criu_version"]["reason"]
    assert result(found, "kernel") == "skipped"


@pytest.mark.parametrize(
    ("changed", "expected", "said"),
    [
        ({"flags": ("fpu", "fxsr")}, "failed", "no xsave"),
        ({"flags": ("fpu", "fxsr", "xsave", "avx")}, "warning", "avx512f"),
        ({"vendor": "GenuineIntel"}, "warning", "AuthenticAMD"),
        ({"flags": ()}, "skipped", ""),
        ({}, "passed", ""),
    ],
)
def test_another_processor(tmp_path: pathlib.Path, changed: t.Any, expected: str, said: str) -> None:
    found = checks(archive(LEDGERS[0], tmp_path), node(**changed))
    assert result(found, "cpu") == expected
    assert said in found["cpu"]["reason"]


def test_the_processor_of_cpuinfo_img(tmp_path: pathlib.Path) -> None:
    folder = checkpoint_folder(tmp_path / "made", Made(1))
    capability = [0, 0, 0, 0, 1 << 20, 0, 0, 0, 0, 1 << 5 | 1 << 16]
    entry = {"vendor_id": 2, "capability_ver": 2, "capability": capability, "xfeatures_mask": 7}
    (folder / "checkpoint" / "cpuinfo.img").write_bytes(image("cpuinfo", {"x86_entry": [entry]}))
    found = checks(folder, node(flags=("avx", "avx2")))
    assert result(found, "cpu") == "warning"
    assert "avx512f, sse4_2" in found["cpu"]["reason"]


def test_runc_and_crun(tmp_path: pathlib.Path) -> None:
    crun = archive("crio-crun-ledger", tmp_path)
    assert result(checks(crun), "oci_runtime") == "passed"
    found = checks(crun, node(facts={"runtime": {"name": "cri-o"}}), method="image")
    assert result(found, "oci_runtime") == "failed"
    assert "made by crun" in found["oci_runtime"]["reason"]
    for kind, criu in (("other", None), ("crun", False)):
        handlers = [{"name": "checkpoint-restore", "kind": kind, "criu": criu, "path": "/x"}]
        assert result(checks(crun, node(facts={"runtime": {"handlers": handlers}})), "oci_runtime") == "failed"


@pytest.mark.parametrize(
    ("name", "runtime", "expected"),
    [
        ("containerd-2.1-ledger", "containerd", "passed"),
        ("containerd-2.0-ledger", "containerd", "failed"),
        ("containerd-2.1-ledger", "cri-o", "failed"),
        ("crio-runc-ledger", "cri-o", "passed"),
        ("crio-runc-ledger", "containerd", "failed"),
    ],
)
def test_an_image_restores_where_it_is_from(tmp_path: pathlib.Path, name: str, runtime: str, expected: str) -> None:
    path, here = archive(name, tmp_path), node(facts={"runtime": {"name": runtime}})
    assert result(checks(path, here, method="image"), "engine") == expected
    assert result(checks(path, here), "engine") == "passed"


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ({"kind": "always", "on": True}, "passed"),
        ({"kind": "removed", "on": False}, "failed"),
        ({"kind": "switch", "on": False, "key": "k", "table": "t", "enable": True}, "failed"),
        ({"kind": "switch", "on": None}, "warning"),
    ],
)
def test_restore_by_image_as_the_node_has_it(tmp_path: pathlib.Path, switch: t.Any, expected: str) -> None:
    here = node(facts={"runtime": {"restore_by_image": switch}})
    found = checks(archive(LEDGERS[0], tmp_path), here, method="image")
    assert result(found, "restore_by_image") == expected
    assert not {"handler", "restore_runtime"} & set(found)


def test_a_risky_restore_by_image_is_a_warning(tmp_path: pathlib.Path) -> None:
    here = node(facts={"runtime": {"advisories": ["CVE-2026-95837"]}})
    found = checks(archive(LEDGERS[0], tmp_path), here, method="image")
    assert result(found, "restore_by_image") == "warning"
    assert "CVE-2026-95837" in found["restore_by_image"]["hint"]


def test_room_and_memory(tmp_path: pathlib.Path) -> None:
    path = archive(LEDGERS[0], tmp_path)
    found = checks(path, node(memory=1000, room={"path": "/var/lib/checkpoint-restore", "free": 1 << 20}))
    assert (result(found, "disk"), result(found, "memory")) == ("failed", "warning")
    assert "1048576" in found["disk"]["reason"]
    assert "290816 bytes" in found["memory"]["reason"]
    unknown = checks(path, node(memory=None, room=None))
    assert (result(unknown, "disk"), result(unknown, "memory")) == ("skipped", "skipped")


def test_several_archives_need_room_together(tmp_path: pathlib.Path) -> None:
    paths = [str(archive(name, tmp_path)) for name in LEDGERS]

    def total(given: list[str]) -> int:
        found = check_all(given, wanted(), node()).checks
        reason = next(check["reason"] for check in found if check["name"] == "memory")
        return int(reason.split()[3])

    assert total(paths) == sum(total([path]) for path in paths)


def test_a_terminal(tmp_path: pathlib.Path) -> None:
    path = archive(LEDGERS[0], tmp_path)
    assert result(checks(path, definition=pod(container={"tty": True})), "terminal") == "failed"
    folder = checkpoint_folder(tmp_path / "made", Made(1), spec={"process": {"terminal": True}})
    assert result(checks(folder), "terminal") == "failed"


def sockets(folder: pathlib.Path, *given: dict[str, t.Any]) -> pathlib.Path:
    """A checkpoint whose process has these sockets."""
    files = [
        (3 + index, "isk", {"ino": 100 + index, "family": 2, "type": 1, "proto": 6, **fields})
        for index, fields in enumerate(given)
    ]
    return checkpoint_folder(folder / "made", Made(1, files=files))


CONNECTION = {"state": 1, "src_port": 4242, "dst_port": 5432, "dst_addr": words("10.0.0.9")}


def test_connections_will_be_closed(tmp_path: pathlib.Path) -> None:
    found = checks(sockets(tmp_path, {**CONNECTION, "src_addr": words("10.88.1.4")}))
    assert result(found, "connections") == "warning"
    assert "10.88.1.4:4242 to 10.0.0.9:5432" in found["connections"]["reason"]
    # CRIU does not bind what it closes.
    assert result(found, "addresses") == "passed"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"src_addr": words("10.88.1.4")}, "failed"),
        ({"src_addr": words("fd00::4"), "family": 10}, "failed"),
        ({"src_addr": words("::ffff:10.88.1.4"), "family": 10}, "failed"),
        ({"src_addr": words("10.88.1.4"), "proto": 17, "type": 2, "state": 7}, "failed"),
        ({"src_addr": words("10.88.1.4"), "ip_opts": {"freebind": True}}, "passed"),
        ({"src_addr": words("10.88.1.4"), "src_port": 0}, "passed"),
        ({"src_addr": words("0.0.0.0")}, "passed"),
        ({"src_addr": words("127.0.0.1")}, "passed"),
        ({"src_addr": words("::"), "family": 10}, "passed"),
        ({"src_addr": words("::1"), "family": 10}, "passed"),
    ],
)
def test_addresses_of_the_old_pod(tmp_path: pathlib.Path, fields: t.Any, expected: str) -> None:
    folder = sockets(tmp_path, {"state": 10, "src_port": 8080, **fields})
    found = checks(folder)
    assert result(found, "addresses") == expected
    assert result(found, "connections") == "passed"
    if expected == "failed":
        assert "port 8080" in found["addresses"]["reason"]
        assert result(checks(folder, definition=pod(hostNetwork=True)), "addresses") == "warning"


@pytest.mark.parametrize(
    ("plugins", "installed", "devices", "expected"),
    [
        ([], [], {}, "passed"),
        (["cuda_plugin"], [], {"nvidia": ["/dev/nvidia0"]}, "failed"),
        (["cuda_plugin"], ["cuda_plugin.so"], {"nvidia": []}, "failed"),
        (["cuda_plugin"], ["cuda_plugin.so"], {"nvidia": ["/dev/nvidia0"]}, "warning"),
        (["amdgpu_plugin"], ["amdgpu_plugin.so"], {"amd": []}, "failed"),
    ],
)
def test_accelerators(
    tmp_path: pathlib.Path, plugins: list[str], installed: list[str], devices: t.Any, expected: str
) -> None:
    folder = checkpoint_folder(tmp_path / "made", Made(1))
    inventory = {"img_version": 2, "fdinfo_per_id": True, "plugins_entry": {"plugins": plugins}}
    (folder / "checkpoint" / "inventory.img").write_bytes(image("inventory", inventory))
    here = node(facts={"criu": {"plugins": installed}, "machine": {"gpu": devices}})
    assert result(checks(folder, here), "gpu") == expected


@pytest.mark.parametrize("path", ["/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128"])
def test_device_files_of_accelerators(tmp_path: pathlib.Path, path: str) -> None:
    folder = checkpoint_folder(tmp_path / "made", Made(1, files=[(3, "reg", {"name": path, "flags": 2})]))
    assert result(checks(folder), "gpu") == "failed"
    both = {"nvidia": ["/dev/nvidia0"], "amd": ["/dev/kfd"]}
    found = checks(folder, node(facts={"machine": {"gpu": both}}))
    assert "plugin" in found["gpu"]["hint"]
    assert result(found, "gpu") == "failed"


def changed(path: pathlib.Path, change: t.Callable[[dict[str, bytes]], None]) -> pathlib.Path:
    """A recorded archive with other members."""
    with open_archive(path) as found:
        members = {member.name: member.read() for member in found.members if member.kind == "file"}
    change(members)
    path.write_bytes(made(members))
    return path


def cut(name: str, size: int) -> t.Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[f"checkpoint/{name}"] = members[f"checkpoint/{name}"][:size]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut("pages-1.img", 100), "pages-1.img is cut short"),
        (lambda members: members.pop("checkpoint/pages-2.img"), "pages-2.img is cut short"),
        (lambda members: members.pop("checkpoint/pagemap-1.img"), "pagemap-1.img is missing"),
        (cut("mountpoints-13.img", 1000), "mountpoints-13.img"),
        (cut("seccomp.img", 6), "seccomp.img"),
        (cut("pagemap-1.img", 30), "pagemap-1.img"),
        (lambda members: members.update({"checkpoint/parent": b"x"}), "incremental"),
        (lambda members: members.update({"rootfs-diff.tar": made({"../../etc/shadow": b"x"})}), "leads out of it"),
    ],
)
def test_images_that_are_not_whole(tmp_path: pathlib.Path, change: t.Any, said: str) -> None:
    path = changed(archive(LEDGERS[0], tmp_path), change)
    found = checks(path, definition=pod())
    assert result(found, "images") == "failed"
    assert said in found["images"]["reason"]


@pytest.mark.parametrize("name", sorted(REAL))
def test_images_of_real_archives_are_whole(tmp_path: pathlib.Path, name: str) -> None:
    assert result(checks(archive(name, tmp_path)), "images") == "passed"


def test_an_archive_that_is_cut_short(tmp_path: pathlib.Path) -> None:
    path = changed(archive(LEDGERS[0], tmp_path), lambda members: None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "failed" in {check["result"] for name, check in checks(path).items() if name not in OF_NODE}


def test_foreign_names_stay_readable(tmp_path: pathlib.Path) -> None:
    path = archive(LEDGERS[0], tmp_path)
    found = check_all([str(path)], wanted(definition=pod("other")), node()).checks
    assert json.loads(json.dumps(found)) == found
