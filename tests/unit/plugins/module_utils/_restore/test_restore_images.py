# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of real checkpoints: compared with a pod, clamped and repaired; read again by the reader afterwards."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.image_types import (
    BY_PREFIX,
    split_name,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.wire import number, text
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import edit
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.clamp import Clamp
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.repairs import (
    Repairs,
    criu_options,
    keeps_connections,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.security import (
    dumped_mounts,
    excesses,
    judge,
    mount_point,
    threads,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpack import (
    Opened,
    check_pages,
    images_in,
    unpack,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._restore.bundles import Case

KUBERNETES = ("containerd-2.1-ledger", "crio-runc-ledger", "crio-crun-ledger")
NOTHING: dict[str, t.Any] = {"capabilities": {}, "noNewPrivileges": True}


@pytest.fixture(params=KUBERNETES)
def case(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Case:
    return Case(request.param, tmp_path)


def names(case: Case, **changed: t.Any) -> set[str]:
    return {excess.name for excess in excesses(images_in(str(case.images_folder)), case.bundle(**changed))}


def test_every_image_stays_as_it_is_when_nothing_is_changed(case: Case) -> None:
    count = 0
    for path in case.images_folder.iterdir():
        kind = BY_PREFIX.get(split_name(path.name)[0])
        if kind is not None and not kind.extra:
            before = path.read_bytes()
            magic, messages = edit.entries(str(path))
            edit.write(str(path), magic, messages)
            assert path.read_bytes() == before, path.name
            count += 1
    assert count > 15


def test_a_pod_like_the_old_one_grants_all(case: Case) -> None:
    assert names(case) == set()


def test_what_a_strict_pod_does_not_grant(case: Case) -> None:
    held = case.spec["process"]["capabilities"]["bounding"]
    found = names(case, **NOTHING, root={"readonly": True})
    assert found == {*(f"capability:{name}" for name in held), "no_new_privs", "writable:/"}


def test_users_groups_and_seccomp(case: Case) -> None:
    user = {"uid": 1001, "gid": 1001, "additionalGids": [1001]}
    found = names(case, user=user, linux={"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}})
    assert {"uid:0", "gid:0", "seccomp"} <= found


def test_a_mask_and_a_mount_of_the_pod(case: Case) -> None:
    mounts = [mount for mount in case.spec["mounts"] if mount["destination"] != "/dev/termination-log"]
    # These exist on any machine, and no runtime masks them.
    found = names(case, linux={"maskedPaths": ["/proc/version"], "readonlyPaths": ["/proc/uptime"]}, mounts=mounts)
    assert {"masked:/proc/version", "writable:/proc/uptime", "mount:/dev/termination-log"} <= found


def test_a_clamped_image_holds_no_more_than_the_pod_grants(case: Case) -> None:
    strict = {**NOTHING, "root": {"readonly": True}}
    bundle = case.bundle(**strict)
    Clamp(str(case.images_folder), case.images, bundle).take(judge(excesses(case.images, bundle), "clamp", ()))
    again = images_in(str(case.images_folder))
    assert names(case, **strict) == set()
    for thread in threads(again):
        assert thread.credentials is not None
        assert thread.credentials.no_new_privs
        assert not any(thread.credentials.capabilities.values())


def test_a_clamped_image_has_the_masks_of_the_pod(case: Case) -> None:
    # These exist on any machine, and no runtime masks them.
    linux = {"maskedPaths": [*case.spec["linux"]["maskedPaths"], "/proc/version", "/proc/tty"]}
    assert names(case, linux=linux) == {"masked:/proc/version", "masked:/proc/tty"}
    bundle = case.bundle(linux=linux)
    Clamp(str(case.images_folder), case.images, bundle).take(judge(excesses(case.images, bundle), "clamp", ()))
    assert names(case, linux=linux) == set()
    before, after = (list(dumped_mounts(images)) for images in (case.images, images_in(str(case.images_folder))))
    assert after[: len(before)] == before
    added = {mount_point(fields): fields for fields in after[len(before) :]}
    assert set(added) == {"/proc/version", "/proc/tty"}
    proc = next(number(fields, "mnt_id") for fields in before if mount_point(fields) == "/proc")
    assert {number(fields, "parent_mnt_id") for fields in added.values()} == {proc}
    assert text(added["/proc/version"], "ext_key")
    assert not text(added["/proc/tty"], "ext_key")
    assert len({number(fields, "mnt_id") for fields in after}) == len(after)


def test_a_mask_without_a_pattern_cannot_be_added(case: Case) -> None:
    found = excesses(case.images, case.bundle(linux={"maskedPaths": ["/proc/version"]}))
    with pytest.raises(CheckpointError) as caught:
        judge(found, "clamp", ())
    assert "masked:/proc/version" in caught.value.details["excesses"]


def test_what_a_ticket_accepts_is_kept(case: Case) -> None:
    bundle = case.bundle(capabilities={})
    taken = judge(excesses(case.images, bundle), "clamp", ("capability:CAP_KILL",))
    Clamp(str(case.images_folder), case.images, bundle).take(taken)
    assert names(case, capabilities={}) == {"capability:CAP_KILL"}


def test_refuse_names_every_excess(case: Case) -> None:
    with pytest.raises(CheckpointError) as caught:
        judge(excesses(case.images, case.bundle(**NOTHING)), "refuse", ())
    assert caught.value.code == "excess"
    assert "no_new_privs" in caught.value.details["excesses"]
    assert "[capability:CAP_CHOWN]" in str(caught.value)


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_masked_files_have_the_key_of_the_restoring_runtime(case: Case, runtime: str) -> None:
    bundle = case.bundle()
    Repairs(str(case.images_folder), case.images, bundle, runtime).run()
    seen = 0
    for fields in dumped_mounts(images_in(str(case.images_folder))):
        point = mount_point(fields)
        if text(fields, "ext_key"):
            assert number(fields, "shared_id") == number(fields, "master_id") == 0
        if point in bundle.linux["maskedPaths"] and text(fields, "ext_key"):
            assert text(fields, "ext_key") == ("/dev/null" if runtime == "runc" else point)
            seen += 1
    assert seen


def test_repairs_of_files_and_inventory(case: Case) -> None:
    Repairs(str(case.images_folder), case.images, case.bundle(oomScoreAdj=999), "runc").run()
    again = images_in(str(case.images_folder))
    assert number(again.one("inventory"), "network_lock_method") == 2
    before = {entry.fields["id"]: entry.fields for entry in case.images.each("files")}
    for entry in again.each("files"):
        mode = number(before[entry.fields["id"]].get("reg", {}), "mode")
        kept = "mode" in entry.fields.get("reg", {})
        assert kept == (mode != 0 and mode & 0o170000 != 0o040000)
    for identifier in again.ids("core"):
        task = again.one("core", identifier).get("tc")
        assert task is None or number(task, "oom_score_adj") >= 999


def test_a_mount_that_only_the_other_runtime_makes(tmp_path: pathlib.Path) -> None:
    case = Case("crio-runc-ledger", tmp_path)
    mounts = [mount for mount in case.spec["mounts"] if mount["destination"] != "/run/.containerenv"]
    added = Repairs(str(case.images_folder), case.images, case.bundle(mounts=mounts), "runc").missing_mounts()
    assert [mount["destination"] for mount in added] == ["/run/.containerenv"]
    assert pathlib.Path(added[0]["source"]).read_bytes() == b""
    mounts = [mount for mount in mounts if mount["destination"] != "/dev/shm"]
    with pytest.raises(CheckpointError) as caught:
        Repairs(str(case.images_folder), case.images, case.bundle(mounts=mounts), "runc").missing_mounts()
    assert caught.value.code == "mount_missing"
    assert "/dev/shm" in caught.value.reason


@pytest.mark.parametrize("link", [None, "../../../shadow", "/shadow"])
def test_such_a_mount_holds_what_the_image_has_there(tmp_path: pathlib.Path, link: t.Optional[str]) -> None:
    case = Case("crio-runc-ledger", tmp_path)
    mounts = [mount for mount in case.spec["mounts"] if mount["destination"] != "/run/.containerenv"]
    bundle = case.bundle(mounts=mounts)
    file = pathlib.Path(bundle.root, "run", ".containerenv")
    file.parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(bundle.root, "shadow").write_text("inside")
    (tmp_path / "shadow").write_text("outside")
    if link is None:
        file.write_text("inside")
    else:
        file.symlink_to(link)
    added = Repairs(str(case.images_folder), case.images, bundle, "runc").missing_mounts()
    assert pathlib.Path(added[0]["source"]).read_text() == "inside"


def test_a_timer_that_was_caught_expired_goes_on() -> None:
    def timer(**fields: int) -> edit.Message:
        inner = edit.Message()
        for name, value in fields.items():
            inner.set(edit.field("timerfd_entry", name), value)
        entry = edit.Message()
        entry.set(edit.field("file_entry", "tfd"), bytes(inner))
        return entry

    from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import repairs

    for given, left in (({"isec": 1, "vsec": 0, "vnsec": 0}, 1), ({"isec": 1, "vnsec": 7}, 7), ({"isec": 0}, 0)):
        entry = timer(**given)
        repairs._open_file(entry)
        inner = entry.message(edit.field("file_entry", "tfd"))
        assert inner is not None
        assert inner.number(edit.field("timerfd_entry", "vnsec")) == left


def test_pages_that_are_cut_short(case: Case) -> None:
    check_pages(case.images)
    pages = next(iter(sorted(case.images_folder.glob("pages-*.img"))))
    with open(pages, "r+b") as file:
        file.truncate(pages.stat().st_size - 1)
    with pytest.raises(CheckpointError) as caught:
        check_pages(images_in(str(case.images_folder)))
    assert caught.value.code == "images_damaged"
    assert pages.name in caught.value.reason


def test_another_file_than_the_tickets(case: Case, tmp_path: pathlib.Path) -> None:
    opened = Opened(str(case.path))
    target = tmp_path / "other"
    target.mkdir()
    try:
        with pytest.raises(CheckpointError) as caught:
            unpack(opened, "0" * 64, str(target))
    finally:
        opened.close()
    assert caught.value.code == "digest_wrong"


def test_an_archive_that_others_may_write_to(case: Case) -> None:
    case.path.chmod(0o620)
    with pytest.raises(CheckpointError) as caught:
        Opened(str(case.path))
    assert caught.value.code == "archive_untrusted"


def test_connections_are_closed_only_where_there_are_some(tmp_path: pathlib.Path) -> None:
    images = Case("crio-runc-counter", tmp_path).images
    assert criu_options(images) == [] and not keeps_connections(images)


def of_a_socket(change: t.Callable[[edit.Message], None]) -> t.Callable[[edit.Message], None]:
    """The change of the accepted end of the planted connection."""

    def with_each(entry: edit.Message) -> None:
        socket = entry.message(edit.field("file_entry", "isk"))
        ports = (
            [socket.number(edit.field("inet_sk_entry", name)) for name in ("src_port", "dst_port")] if socket else []
        )
        if socket is not None and ports[0] == 8080 and ports[1]:
            change(socket)
            entry.set(edit.field("file_entry", "isk"), bytes(socket))

    return with_each


def put(what: tuple[int, ...], socket: edit.Message) -> None:
    socket.set(*what)


def test_connections_within_the_container_are_kept_if_there_are_no_others(tmp_path: pathlib.Path) -> None:
    """The planted process has one connection, with itself, and was dumped with its state."""
    case = Case("runc-criu-4.2.1-planted", tmp_path)
    assert criu_options(case.images) == [] and keeps_connections(case.images)
    address, family = (edit.field("inet_sk_entry", name) for name in ("dst_addr", "family"))
    files = str(case.images_folder / "files.img")
    before = (case.images_folder / "files.img").read_bytes()

    # The same end as a socket of IPv6 that serves IPv4 has it: ::ffff:127.0.0.1.
    def mapped(socket: edit.Message) -> None:
        socket.set(family, 10)
        for name in ("src_addr", "dst_addr"):
            socket.set(edit.field("inet_sk_entry", name), 0, 0, 0xFFFF0000, 0x0100007F)

    edit.change(files, of_a_socket(mapped))
    assert keeps_connections(images_in(str(case.images_folder)))
    (case.images_folder / "files.img").write_bytes(before)
    # 10.0.0.1, another port, and what is no address: the end is elsewhere.
    cut = (edit.field("inet_sk_entry", "src_addr"), 1, 2)
    for elsewhere in ((address, 0x0100000A), (edit.field("inet_sk_entry", "dst_port"), 1), cut):
        edit.change(files, of_a_socket(functools.partial(put, elsewhere)))
        images = images_in(str(case.images_folder))
        assert criu_options(images) == ["tcp-close"] and not keeps_connections(images)
        (case.images_folder / "files.img").write_bytes(before)
    # Dumped with tcp-close, there is nothing of it that could be kept.
    closed = edit.field("inventory_entry", "tcp_close")
    edit.change(str(case.images_folder / "inventory.img"), lambda entry: entry.set(closed, 1))
    images = images_in(str(case.images_folder))
    assert criu_options(images) == ["tcp-close"] and not keeps_connections(images)
