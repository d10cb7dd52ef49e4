# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real archives against pods: what a pod document grants and mounts, held against what was dumped."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.preflight import (
    check_all,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import image
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.crafted import (
    Made,
    checkpoint_folder,
    tar_of,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._restore.preflights import (
    archive,
    checks,
    node,
    pod,
    result,
    wanted,
)

CTD, CRIO = "containerd-2.1-ledger", "crio-runc-ledger"
ON_CTD = node()
ON_CRIO = node(facts={"runtime": {"name": "cri-o"}})
NINE = {
    f"capability:CAP_{name}"
    for name in ("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL")
}
FIVE = {f"capability:CAP_{name}" for name in ("MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT", "AUDIT_WRITE")}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    folder = tmp_path_factory.mktemp("recorded")
    return {name: archive(name, folder) for name in (CTD, CRIO)}


def names(check: dict[str, t.Any]) -> set[str]:
    """The excesses that a check names."""
    return set(re.findall(r"\[([^\]]+)\]", check["reason"]))


def security(path: pathlib.Path, here: t.Any = ON_CRIO, **given: t.Any) -> tuple[str, set[str]]:
    context, spec = given.pop("context", {}), given.pop("spec", {})
    definition = pod(container={"securityContext": context}, **spec)
    check = checks(path, here, definition=definition, **given)["security"]
    return check["result"], names(check)


STRICT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
# Files of the runtime are read-only where the root is.
FILES = {"writable:/", "writable:/etc/hostname", "writable:/etc/resolv.conf", "writable:/run/.containerenv"}


def test_a_strict_pod_names_every_excess(recorded: dict[str, pathlib.Path]) -> None:
    assert security(recorded[CRIO], context=STRICT) == ("failed", {*NINE, "no_new_privs", *FILES})


def test_files_that_only_the_old_runtime_makes_are_not_the_pods(recorded: dict[str, pathlib.Path]) -> None:
    found = security(recorded[CRIO], ON_CTD, context=STRICT)[1]
    assert FILES - found == {"writable:/run/.containerenv"}


def test_clamp_takes_it_away_with_a_warning(recorded: dict[str, pathlib.Path]) -> None:
    found = security(recorded[CRIO], context=STRICT, security="clamp")
    assert found == ("warning", {*NINE, "no_new_privs", *FILES})


def test_what_cannot_be_taken_away_fails_with_clamp_too(recorded: dict[str, pathlib.Path]) -> None:
    context = {"runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}}
    kind, found = security(recorded[CRIO], context=context, security="clamp")
    assert kind == "failed"
    assert {"uid:0", "seccomp"} <= found
    assert "no_new_privs" not in found


def test_what_is_accepted_is_kept_with_a_warning(recorded: dict[str, pathlib.Path]) -> None:
    context = {"capabilities": {"drop": ["KILL"]}}
    assert security(recorded[CRIO], context=context) == ("failed", {"capability:CAP_KILL"})
    accepted = security(recorded[CRIO], context=context, accept=("capability:CAP_KILL",))
    assert accepted == ("warning", {"capability:CAP_KILL"})


def test_an_image_cannot_be_clamped(recorded: dict[str, pathlib.Path]) -> None:
    context = {"capabilities": {"drop": ["KILL"]}}
    found = security(recorded[CRIO], context=context, security="clamp", method="image")
    assert found == ("failed", {"capability:CAP_KILL"})


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"capabilities": {"add": ["ALL"]}},
        {"capabilities": {"add": ["CAP_NET_RAW", "sys_chroot"]}},
        {"seccompProfile": {"type": "Unconfined"}},
        {"allowPrivilegeEscalation": True},
    ],
)
def test_pods_that_grant_as_much(recorded: dict[str, pathlib.Path], context: dict[str, t.Any]) -> None:
    assert security(recorded[CRIO], context=context)[0] == "passed"


def test_a_privileged_pod_masks_nothing(recorded: dict[str, pathlib.Path]) -> None:
    kind, found = security(recorded[CRIO], context={"privileged": True, "capabilities": {"drop": ["ALL"]}})
    assert kind == "failed"
    assert {name.rpartition("/")[0] for name in found} <= {"mount:/proc", "mount:/sys"}
    assert "mount:/proc/acpi" in found


def test_the_default_rights_are_those_of_the_nodes_runtime(recorded: dict[str, pathlib.Path]) -> None:
    # Seen on the laboratory: a default pod of containerd has five more than one of CRI-O.
    kind, found = security(recorded[CTD])
    assert (kind, {name for name in found if name.startswith("capability:")}) == ("failed", FIVE)
    assert security(recorded[CRIO], ON_CTD)[0] == "passed"
    generous = node(facts={"runtime": {"name": "cri-o"}}, crio_capabilities=[*_plain(NINE), *_plain(FIVE)])
    assert not {name for name in security(recorded[CTD], generous)[1] if name.startswith("capability:")}


def _plain(found: set[str]) -> list[str]:
    return [name.partition("CAP_")[2] for name in found]


def test_the_pods_own_context_counts_where_the_container_is_silent(recorded: dict[str, pathlib.Path]) -> None:
    spec = {"securityContext": {"runAsUser": 1001, "runAsGroup": 1001, "seccompProfile": {"type": "RuntimeDefault"}}}
    assert {"uid:0", "gid:0", "seccomp"} <= security(recorded[CRIO], spec=spec)[1]
    over = {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "Unconfined"}}
    assert security(recorded[CRIO], spec=spec, context=over)[0] == "passed"


def test_groups(tmp_path: pathlib.Path) -> None:
    user = {"uid": 7, "gid": 5, "additionalGids": [5, 9]}
    spec = {"process": {"user": user}, "annotations": {"io.kubernetes.container.name": "app"}}
    folder = checkpoint_folder(tmp_path / "made", Made(1), spec=spec)
    own = {"uid": 7, "euid": 7, "suid": 7, "fsuid": 7, "gid": 5, "egid": 5, "sgid": 5, "fsgid": 5}
    held = {**own, "groups": [9, 2000, 3000]}
    core = {"mtype": 1, "tc": {"task_state": 1, "comm": "x"}, "thread_core": {"creds": held}}
    (folder / "checkpoint" / "core-1.img").write_bytes(image("core", core))

    def excess(**context: t.Any) -> set[str]:
        found = names(checks(folder, definition=pod("app", securityContext=context))["security"])
        return {name for name in found if name.startswith("gid:")}

    assert excess() == {"gid:2000", "gid:3000"}
    assert excess(fsGroup=2000, supplementalGroups=[3000]) == set()
    assert excess(runAsGroup=6) == {"gid:5", "gid:2000", "gid:3000"}
    # Another user is not in the groups of that of the image.
    assert excess(runAsUser=8, runAsGroup=5, supplementalGroups=[2000, 3000]) == {"gid:9"}


def test_a_container_that_the_pod_does_not_have(recorded: dict[str, pathlib.Path]) -> None:
    found = checks(recorded[CRIO], ON_CRIO, definition=pod("other"))
    assert [result(found, name) for name in ("container", "mounts", "security")] == ["failed", "skipped", "skipped"]
    assert "other" in found["container"]["reason"]
    none = checks(recorded[CRIO], ON_CRIO)
    kinds = {name: result(none, name) for name in ("container", "mounts", "open_files", "security", "host_paths")}
    assert set(kinds.values()) == {"skipped"}


def test_a_definition_that_is_no_pod(recorded: dict[str, pathlib.Path]) -> None:
    for given in ({"kind": "ConfigMap"}, {"spec": {"containers": "x"}}, {"spec": []}):
        with pytest.raises(CheckpointError) as caught:
            check_all([str(recorded[CRIO])], wanted(definition=given), ON_CRIO)
        assert caught.value.code == "invalid_option"


def mounted(tmp_path: pathlib.Path, *points: str, spec: t.Sequence[str] = (), **fields: t.Any) -> pathlib.Path:
    """A checkpoint with bind mounts at these points; ``spec``: where its old configuration had them, if elsewhere."""
    mounts: list[dict[str, t.Any]] = [{"fstype": 17, "mnt_id": 1, "mountpoint": "./", "flags": 0}]
    mounts += [
        {"fstype": 0, "mnt_id": index + 2, "mountpoint": f".{point}", "ext_key": point, "flags": 0, **fields}
        for index, point in enumerate(points)
    ]
    binds = [{"destination": path, "type": "bind", "options": ["rw"]} for path in (spec or points)]
    return checkpoint_folder(
        tmp_path / "made",
        Made(1),
        mounts=mounts,
        spec={"mounts": binds},
        documents={"status.dump": {"labels": {"io.kubernetes.container.name": "app"}}},
    )


def volumes(*paths: str, read_only: bool = False) -> dict[str, t.Any]:
    """A pod of the container app without a token that mounts an emptyDir at each path."""
    container = {"volumeMounts": [{"name": "data", "mountPath": path, "readOnly": read_only} for path in paths]}
    container["terminationMessagePath"] = "/dev/termination-log"  # type: ignore[assignment]
    return pod(
        "app", container=container, automountServiceAccountToken=False, volumes=[{"name": "data", "emptyDir": {}}]
    )


USUAL = ("/dev/termination-log", "/etc/hosts")


def test_mounts_that_the_pod_lacks_or_adds(tmp_path: pathlib.Path) -> None:
    folder = mounted(tmp_path, *USUAL, "/data", "/cache")
    found = checks(folder, definition=volumes("/data"))
    assert result(found, "mounts") == "failed"
    assert "/cache" in found["mounts"]["reason"]
    assert "/data" not in found["mounts"]["reason"]
    assert result(checks(folder, definition=volumes("/data/", "/cache")), "mounts") == "passed"
    more = checks(folder, definition=volumes("/data", "/cache", "/more"))
    assert result(more, "mounts") == "warning"
    assert "/more" in more["mounts"]["reason"]


def test_files_that_runtimes_make_are_no_missing_mounts(tmp_path: pathlib.Path) -> None:
    folder = mounted(tmp_path, *USUAL, "/run/.containerenv", "/etc/hostname", "/sys/fs/cgroup/memory", "/proc/keys")
    assert result(checks(folder, definition=volumes()), "mounts") == "passed"


def test_a_link_of_the_image_is_seen_through(tmp_path: pathlib.Path) -> None:
    old = "/var/run/secrets/kubernetes.io/serviceaccount"
    folder = mounted(tmp_path, *USUAL, old.removeprefix("/var"), spec=(*USUAL, old), flags=1)
    definition = volumes()
    definition["spec"]["automountServiceAccountToken"] = True
    found = checks(folder, definition=definition)
    assert result(found, "mounts") == "passed"
    assert not {name for name in names(found["security"]) if "serviceaccount" in name}


def test_a_volume_that_is_read_only_now(tmp_path: pathlib.Path) -> None:
    folder = mounted(tmp_path, *USUAL, "/data")
    assert "writable:/data" in names(checks(folder, definition=volumes("/data", read_only=True))["security"])
    assert "writable:/data" not in names(checks(folder, definition=volumes("/data"))["security"])
    definition = volumes("/data")
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        definition["spec"]["volumes"] = [{"name": "data", kind: {}}]
        assert "writable:/data" in names(checks(folder, definition=definition)["security"])


def test_files_that_were_open_in_volumes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "log").write_text("x")
    files = [(3, "reg", {"name": "/data/log", "flags": 1}), (4, "reg", {"name": "/etc/passwd", "flags": 0})]
    annotations = {"annotations": {"io.kubernetes.container.name": "app"}}
    folder = checkpoint_folder(tmp_path / "made", Made(1, files=files), spec=annotations)

    def said(volume: dict[str, t.Any], **mount: t.Any) -> str:
        definition = volumes("/data")
        definition["spec"]["containers"][0]["volumeMounts"][0].update(mount)
        definition["spec"]["volumes"] = [{"name": "data", **volume}]
        return result(checks(folder, definition=definition), "open_files")

    assert said({"hostPath": {"path": str(tmp_path / "here")}}) == "passed"
    assert said({"hostPath": {"path": str(tmp_path)}}, subPath="here") == "passed"
    assert said({"hostPath": {"path": str(tmp_path)}}) == "failed"
    assert said({"hostPath": {"path": str(tmp_path / "nowhere")}}) == "failed"
    assert said({"emptyDir": {}}) == "warning"
    assert said({"persistentVolumeClaim": {"claimName": "data"}}) == "passed"


@pytest.mark.parametrize(("uid", "expected"), [(1001, True), (0, False)])
def test_files_that_run_as_their_owner(tmp_path: pathlib.Path, uid: int, expected: bool) -> None:
    folder = checkpoint_folder(
        tmp_path / "made",
        Made(1, uids=(uid,) * 4),
        rootfs=tar_of({"tmp/root": (b"x", 0o4755)}),
        documents={"status.dump": {"labels": {"io.kubernetes.container.name": "app"}}},
    )
    definition = pod("app", container={"securityContext": {"runAsUser": uid, "runAsGroup": 0}})
    assert ("set_id:/tmp/root" in names(checks(folder, definition=definition)["security"])) == expected


def test_paths_of_the_node(tmp_path: pathlib.Path, recorded: dict[str, pathlib.Path]) -> None:
    (tmp_path / "file").write_text("x")
    cases = {
        ("", ""): "passed",
        ("", "Directory"): "passed",
        ("/file", "File"): "passed",
        ("/file", "Directory"): "failed",
        ("", "File"): "failed",
        ("/file", "DirectoryOrCreate"): "failed",
        ("", "FileOrCreate"): "failed",
        ("/none", "DirectoryOrCreate"): "passed",
        ("/none", "FileOrCreate"): "passed",
        ("/none", "Directory"): "failed",
        ("/none", "Socket"): "failed",
        ("/none", "BlockDevice"): "failed",
        ("/file", "CharDevice"): "failed",
        ("/none", ""): "warning",
    }
    for (path, kind), expected in cases.items():
        volume = {"name": "host", "hostPath": {"path": f"{tmp_path}{path}", **({"type": kind} if kind else {})}}
        found = checks(recorded[CRIO], ON_CRIO, definition=pod(volumes=[volume]))
        assert result(found, "host_paths") == expected, (path, kind)
