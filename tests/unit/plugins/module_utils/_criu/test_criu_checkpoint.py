# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no recorded checkpoint has: old image types, other architectures, parents, trees that make no sense."""

from __future__ import annotations

import io
import pathlib
import struct
import tarfile
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu import (
    ipc,
    process,
    sockets,
    surroundings,
    tasks,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.files import Files
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.images import Images
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.memory import SharedMemory
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.process import Process, Shared
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import made
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    encode,
    everything,
    image,
    images,
    pagemap,
)


def shared(found: Images) -> Shared:
    return Shared(found, Files(found), SharedMemory(found), tasks.SeccompFilters(found))


def tree(*pairs: tuple[int, int], **files: bytes) -> tuple[list[Process], dict[int, Process], Images]:
    content = {f"{name.replace('__', '-')}.img": data for name, data in files.items()}
    content["pstree.img"] = image("pstree", *({"pid": pid, "ppid": ppid, "threads": [pid]} for pid, ppid in pairs))
    found = images(content)
    roots, all_ = process.tree(found, shared(found))
    return roots, all_, found


def shape(roots: list[Process]) -> t.Any:
    return [(root.pid, shape(root.children)) for root in roots]


def test_a_tree() -> None:
    roots, all_, _images = tree((1, 0), (2, 1), (3, 2), (4, 1))
    assert shape(roots) == [(1, [(2, [(3, [])]), (4, [])])]
    assert sorted(all_) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pairs", "expected", "code"),
    [
        ([(1, 0), (5, 99)], [(1, []), (5, [])], "parent_missing"),
        ([(1, 2), (2, 1)], [(1, [(2, [])])], "parent_loop"),
        ([(1, 0), (3, 4), (4, 5), (5, 3)], [(1, []), (3, [(5, [(4, [])])])], "parent_loop"),
        ([(1, 0), (1, 0), (2, 1)], [(1, [(2, [])])], "pid_twice"),
        ([(7, 7)], [(7, [])], None),
    ],
)
def test_trees_that_make_no_sense(pairs: list[tuple[int, int]], expected: t.Any, code: t.Optional[str]) -> None:
    roots, _all, found = tree(*pairs)
    assert shape(roots) == expected
    assert code is None or code in found.notes.codes()


def test_a_chain_of_many_processes() -> None:
    """As deep as it gets: no recursion, no quadratic time."""
    began = time.monotonic()
    roots, all_, _images = tree(*((pid, pid - 1) for pid in range(1, 20_001)))
    assert (len(roots), len(all_)) == (1, 20_000)
    assert time.monotonic() - began < 10


def test_a_process_of_which_nothing_but_the_entry_is_there() -> None:
    roots, _all, found = tree((1, 0))
    one = roots[0]
    assert one.as_dict()["state"] == "unknown"
    assert (one.arguments, one.environment, one.executable, one.folder, one.descriptors) == (None, None, None, None, [])
    assert one.memory.areas == []
    missing = {note["where"] for note in found.notes if note["code"] == "image_missing"}
    assert {"core-1.img", "ids-1.img", "mm-1.img", "fs-1.img", "files.img"} <= missing


def test_a_zombie_that_a_signal_ended() -> None:
    roots, _all, found = tree((1, 0), core__1=image("core", {"mtype": 1, "tc": {"task_state": 2, "exit_code": 9}}))
    assert (roots[0].state, roots[0].exit_code, roots[0].exit_signal) == ("zombie", None, "SIGKILL")
    assert [note for note in found.notes if note["where"] != "files.img"] == []


ARM_CORE = {
    "mtype": 3,
    "tc": {"task_state": 3, "comm": "a\udcff", "loginuid": 1000, "stop_signo": 19},
    "ti_aarch64": {
        "clear_tid_addr": 0,
        "tls": 0,
        "gpregs": {"regs": list(range(31)), "sp": 0xAA, "pc": 0xBB, "pstate": 0},
    },
    "thread_core": {"sched_nice": -5, "sched_policy": 2, "sched_prio": 9, "seccomp_mode": 1, "pdeath_sig": 15},
}


def test_an_aarch64_process() -> None:
    roots, _all, found = tree((1, 0), core__1=image("core", ARM_CORE))
    one = roots[0]
    assert (one.machine, one.bits, one.state, one.login_uid) == ("aarch64", 64, "stopped", 1000)
    leader = one.leader
    assert (leader.instruction_pointer, leader.stack_pointer) == (0xBB, 0xAA)
    assert (leader.scheduler, leader.nice, leader.priority) == ("round_robin", -5, 9)
    assert leader.parent_death_signal == "SIGTERM"
    assert leader.seccomp == tasks.Seccomp("strict", [])
    assert leader.credentials is None
    arm = Files(found, arm=True)
    assert arm is not None


@pytest.mark.parametrize(
    ("core", "pointers"),
    [
        ({"thread_info": {"gpregs": {"ip": 5, "sp": 6}}}, (5, 6)),
        ({"ti_ppc64": {"gpregs": {"gpr": [1, 2, 3], "nip": 7}}}, (7, 2)),
        ({"ti_s390": {"gpregs": {"psw_addr": 8, "gprs": list(range(16))}}}, (8, 15)),
        ({"ti_loongarch64": {"gpregs": {"regs": [0, 1, 2], "pc": 9}}}, (9, None)),
        ({"ti_riscv64": {"gpregs": {"pc": 3, "sp": 4}}}, (3, 4)),
        ({"ti_mips": {"gpregs": {"cp0_epc": 1, "r29": 2}}}, (1, 2)),
        ({"ti_arm": {}}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_registers_of_all_architectures(core: dict[str, t.Any], pointers: tuple[t.Any, t.Any]) -> None:
    found = tasks.thread(1, core, tasks.SeccompFilters(images({})), {})
    assert (found.instruction_pointer, found.stack_pointer) == pointers


def test_a_32_bit_process() -> None:
    core = {"mtype": 1, "tc": {"task_state": 1}, "thread_info": {"gpregs": {"ip": 1, "sp": 2, "mode": 2}}}
    roots, _all, _images = tree((1, 0), core__1=image("core", core))
    assert roots[0].bits == 32


def texts(data: bytes, **fields: int) -> Process:
    """A process whose argument area holds ``data``."""
    mm = {"mm_arg_start": 0x1000, "mm_arg_end": 0x1000 + len(data), "vmas": [VMA], **fields}
    pages = data.ljust(0x2000, b"\0")
    found = images(
        {
            "mm-1.img": image("mm", mm),
            "pagemap-1.img": pagemap(1, {"vaddr": 0x1000, "nr_pages": 2, "flags": 4}),
            "pages-1.img": pages,
        }
    )
    return Process({"pid": 1}, shared(found))


VMA = {"start": 0x1000, "end": 0x3000, "prot": 3, "flags": 0x22, "status": 1}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\0two words\0\0", ["one", "two words", ""]),
        (
            b"nginx: master process /usr/sbin/nginx -g daemon off;",
            ["nginx: master process /usr/sbin/nginx -g daemon off;"],
        ),
        (b"a\xff\0", ["a\udcff"]),
        (b"line\nbreak\0", ["line\nbreak"]),
        (b"\0\0\0", None),
        (b"", []),
    ],
)
def test_command_lines(data: bytes, expected: t.Any) -> None:
    assert texts(data).arguments == expected


def test_titles_that_were_written_over_the_arguments() -> None:
    """What redis does: the first word of the stack says that there were three arguments."""
    area = b"redis-server *:6390\0\0\0\0\0\0"
    stack = area.ljust(0x100, b"\0") + (3).to_bytes(8, "little")
    found = texts(stack, mm_arg_end=0x1000 + len(area), mm_start_stack=0x1100)
    assert found.arguments == ["redis-server *:6390"]
    kept = texts(stack[:-8] + (6).to_bytes(8, "little"), mm_arg_end=0x1000 + len(area), mm_start_stack=0x1100)
    assert kept.arguments == ["redis-server *:6390", "", "", "", "", ""]


def test_titles_that_go_on_over_the_environment() -> None:
    """What nginx does: the NUL behind the arguments is gone, and so is the first part of what follows them."""
    area, rest = b"nginx: ma", b"ster process\0\0\0HOME=/root\0\0"
    places = {"mm_arg_end": 0x1009, "mm_env_start": 0x1009, "mm_env_end": 0x1009 + len(rest)}
    found = texts(area + rest, **places)
    assert (found.arguments, found.environment) == (["nginx: master process"], ["HOME=/root"])
    whole = texts(b"nginx -g\0" + rest, **places)
    assert (whole.arguments, whole.environment) == (["nginx -g"], ["ster process", "", "", "HOME=/root", ""])
    apart = texts(area + b"\0" + rest, **{name: place + (name != "mm_arg_end") for name, place in places.items()})
    assert apart.arguments == ["nginx: ma"]


def test_command_lines_that_are_not_there() -> None:
    assert texts(b"x", mm_arg_start=0).arguments is None
    assert texts(b"x", mm_arg_start=0x9000, mm_arg_end=0x9005).arguments is None
    assert texts(b"x", mm_arg_start=0x1000, mm_arg_end=0x5000).arguments is None
    assert texts(b"x", mm_arg_start=0x2000, mm_arg_end=0x1000).arguments == []
    huge = texts(b"x", mm_arg_start=0x1000, mm_arg_end=1 << 62)
    assert huge.arguments is None


def test_environment_entries_without_an_equals_sign() -> None:
    found = texts(b"", mm_env_start=0x1000, mm_env_end=0x1000)
    assert found.environment == []


def test_images_of_before_files_img() -> None:
    found = images(
        {
            "reg-files.img": image(
                "reg-files", {"id": 1, "flags": 0o2001, "pos": 7, "name": "./var/log/x", "mode": 0o100644}
            ),
            "pipes.img": image("pipes", {"id": 2, "pipe_id": 77, "flags": 1}),
            "eventpoll.img": image("eventpoll", {"id": 3, "flags": 2}),
            "eventpoll-tfd.img": image("eventpoll-tfd", {"id": 3, "tfd": 9, "events": 1, "data": 5}),
            "fdinfo-4.img": image(
                "fdinfo",
                {"id": 3, "flags": 0, "type": 7, "fd": 2},
                {"id": 1, "flags": 1, "type": 1, "fd": 0},
                {"id": 2, "flags": 0, "type": 2, "fd": 1},
            ),
        }
    )
    descriptors = Files(found).descriptors(4)
    assert [(one.number, one.type, one.path, one.cloexec) for one in descriptors] == [
        (0, "file", "/var/log/x", True),
        (1, "pipe", "pipe:[77]", False),
        (2, "epoll", "anon_inode:[eventpoll]", False),
    ]
    assert (descriptors[0].access, descriptors[0].flags, descriptors[0].details["position"]) == ("w", ["append"], 7)
    assert [watch["fd"] for watch in descriptors[2].details["watches"]] == [9]
    assert found.notes.as_list() == []


def test_credentials_of_before_they_were_in_core() -> None:
    creds = {
        "uid": 5,
        "euid": 6,
        "cap_eff": [1 << 10, 1 << 6],
        "cap_bnd": [0xFFFFFFFF, 0xFFFFFFFF],
        "secbits": 1 | 1 << 5,
    }
    roots, _all, _images = tree(
        (1, 0), core__1=image("core", {"mtype": 1, "tc": {"task_state": 1}}), creds__1=image("creds", creds)
    )
    found = roots[0].leader.credentials
    assert found is not None
    assert (found.uid, found.euid) == (5, 6)
    assert found.capabilities["effective"] == ["CAP_NET_BIND_SERVICE", "CAP_PERFMON"]
    assert len(found.capabilities["bounding"]) == 64
    assert found.capabilities["bounding"][-1] == "bit 63"
    assert found.securebits == ["noroot", "keep_caps_locked"]


def test_chains_of_seccomp_filters() -> None:
    filters = [{"filter": bytes(8 * number), "prev": number - 1, "flags": 2} for number in range(1, 4)]
    found = images({"seccomp.img": image("seccomp", {"seccomp_filters": [{"filter": bytes(16)}, *filters]})})
    chains = tasks.SeccompFilters(found)
    assert [one["index"] for one in chains.chain(3)] == [3, 2, 1, 0]
    assert chains.chain(3)[0] == {"index": 3, "instructions": 3, "flags": ["log"]}
    assert chains.chain(99) == []
    loop = images({"seccomp.img": image("seccomp", {"seccomp_filters": [{"filter": b"", "prev": 0}]})})
    assert len(tasks.SeccompFilters(loop).chain(0)) == 1


def test_signals_and_limits_of_old_images() -> None:
    roots, _all, _images = tree(
        (1, 0),
        core__1=image("core", {"mtype": 1, "tc": {"task_state": 1}}),
        sigacts__1=image("sigacts", *({"sigaction": number % 3, "flags": 0} for number in range(62))),
        rlimit__1=image("rlimit", {"cur": 5, "max": (1 << 64) - 1}),
        itimers__1=image("itimers", {"isec": 1, "vsec": 2}, {}, {}),
        posix__timers__1=image("posix-timers", {"it_id": 4, "clock_id": 0, "si_signo": 14}),
    )
    one = roots[0]
    assert one.signals["ignored"][:2] == ["SIGINT", "SIGTRAP"]
    assert "SIGKILL" not in one.signals["ignored"] + one.signals["caught"]
    assert one.limits == {"RLIMIT_CPU": {"soft": 5, "hard": None}}
    assert one.timers["real"] == {"remaining_us": 2_000_000, "interval_us": 1_000_000}
    assert one.timers["posix"][0]["id"] == 4


def test_waiting_signals() -> None:
    sent = struct.pack("<iiiiiI", 10, 0, 0, 0, 77, 1000).ljust(128, b"\0")
    kernel = struct.pack("<iiiiiI", 11, 0, 1, 0, 5, 5).ljust(128, b"\0")
    queue = {"signals": [{"siginfo": sent}, {"siginfo": kernel}, {"siginfo": b"short"}]}
    roots, _all, _images = tree(
        (1, 0), core__1=image("core", {"mtype": 1, "tc": {"task_state": 1, "signals_s": queue}})
    )
    assert roots[0].signals["pending"] == [
        {"signal": "SIGUSR1", "code": 0, "pid": 77, "uid": 1000},
        {"signal": "SIGSEGV", "code": 1, "pid": None, "uid": None},
    ]


@pytest.mark.parametrize(
    ("words", "family", "big", "expected"),
    [
        ([0x0100007F], 2, False, "127.0.0.1"),
        ([0x7F000001], 2, True, "127.0.0.1"),
        ([0, 0, 0, 0x01000000], 10, False, "::1"),
        ([0, 0, 0xFFFF0000, 0x0100007F], 10, False, "::ffff:127.0.0.1"),
        ([], 2, False, None),
        ([1, 2], 10, False, "0100000002000000"),
        (None, 2, False, None),
    ],
)
def test_addresses(words: t.Any, family: int, big: bool, expected: t.Optional[str]) -> None:
    assert sockets.address(words, family, big_endian=big) == expected


def test_unix_sockets_with_odd_names() -> None:
    assert sockets.unix_name(b"") is None
    assert sockets.unix_name(b"\0abs\0tract") == "@abs\0tract"
    assert sockets.unix_name(b"/run/x\xff\0") == "/run/x\udcff"


def test_descriptors_in_flight() -> None:
    """A message with descriptors (SCM_RIGHTS) waits in a socket."""
    found = images(
        {
            "files.img": image("files", {"type": 5, "id": 3, "usk": {"id": 3, "ino": 9, "type": 2, "state": 1}}),
            "fdinfo-1.img": image("fdinfo", {"id": 3, "flags": 0, "type": 5, "fd": 4}),
            "sk-queues.img": image("sk-queues", {"id_for": 3, "length": 1, "scm": [{"type": 1, "rights": [7]}]}, b"x"),
        }
    )
    assert Files(found).descriptors(1)[0].details["carries_descriptors"]


def test_other_descriptors() -> None:
    entries = [
        {"type": 12, "id": 1, "ffy": {"id": 1, "mark": [{"type": 2, "mask": 5, "me": {"mnt_id": 1, "path": "/data"}}]}},
        {"type": 15, "id": 2, "tunf": {"id": 2, "netdev": "tun0"}},
        {"type": 16, "id": 3, "ext": {"id": 3}},
        {"type": 19, "id": 4, "bpf": {"id": 4, "map_name": "counts", "max_entries": 8}},
        {"type": 20, "id": 5, "pidfd": {"id": 5, "nspid": 12}},
        {"type": 99, "id": 6},
    ]
    numbers = image("fdinfo", *({"id": one["id"], "flags": 0, "type": one["type"], "fd": one["id"]} for one in entries))
    found = images({"files.img": image("files", *entries), "fdinfo-1.img": numbers})
    descriptors = Files(found).descriptors(1)
    assert [one.type for one in descriptors] == ["fanotify", "tun", "external", "bpf_map", "pidfd", "99"]
    assert descriptors[0].details["marks"] == [{"on": "mount", "mask": "0x5", "path": "/data", "inode": None}]
    assert descriptors[1].details["interface"] == "tun0"
    assert descriptors[3].path == "bpf-map:counts"
    assert descriptors[4].details == {"pid": 12}
    assert found.notes.codes() == {"file_missing"}


def test_system_v_segments_with_their_bytes_behind() -> None:
    found = images(
        {
            "ipcns-shm-5.img": image(
                "ipcns-shm", {"desc": {"id": 3, "key": 0x10, "mode": 0o600}, "size": 5}, b"bytes\0\0\0"
            )
        }
    )
    (description, blob), *others = ipc.segments(found)
    assert others == []
    assert blob is not None
    assert (description["id"], description["namespace_id"], blob.read()) == (3, 5, b"bytes")


def test_network_and_user_namespaces() -> None:
    found = images(
        {
            "netdev-4.img": image(
                "netdev", {"type": 2, "ifindex": 2, "mtu": 1500, "flags": 1, "name": "eth0", "address": b"\2\0\1"}
            ),
            "netns-4.img": image("netns", {"ext_key": "extRootNetNS"}),
            "userns-6.img": image("userns", {"uid_map": [{"first": 0, "lower_first": 1000, "count": 65536}]}),
            "pidns-5.img": image("pidns", {"ext_key": "extRootPidNS"}),
        }
    )
    device = surroundings.network_devices(found)[0]
    assert (device["name"], device["type"], device["up"], device["address"]) == ("eth0", "veth", True, "02:00:01")
    spaces = surroundings.namespaces(found)
    assert spaces["net"] == [{"id": 4, "external": "extRootNetNS"}]
    assert spaces["user"][0]["uid_map"] == [{"inside": 0, "outside": 1000, "count": 65536}]
    assert spaces["pid"] == [{"id": 5, "external": "extRootPidNS"}]


def test_apparmor_namespaces() -> None:
    inner = {"name": "inner", "policies": [{"name": "profile", "blob": b"x"}]}
    found = images({"apparmor.img": image("apparmor", {"namespaces": [{"name": "outer", "namespaces": [inner]}]})})
    assert surroundings.apparmor(found) == [
        {"namespace": "outer", "policies": []},
        {"namespace": "outer//inner", "policies": ["profile"]},
    ]


def archive(folder: pathlib.Path, files: dict[str, bytes], links: t.Optional[dict[str, str]] = None) -> pathlib.Path:
    out = io.BytesIO(made(files))
    with tarfile.open(fileobj=out, mode="a") as found:
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            found.addfile(info)
    path = folder / "archive.tar"
    path.write_bytes(out.getvalue())
    return path


PAGE = 4096
DUMP = {
    "config.dump": b"{}",
    "checkpoint/inventory.img": image("inventory", {"img_version": 2}),
    "checkpoint/pstree.img": image("pstree", {"pid": 1, "ppid": 0}),
    "checkpoint/mm-1.img": image(
        "mm", {"vmas": [{"start": PAGE, "end": 3 * PAGE, "prot": 3, "flags": 0x22, "status": 1}]}
    ),
    "checkpoint/pagemap-1.img": pagemap(
        1, {"vaddr": PAGE, "nr_pages": 1, "flags": 1}, {"vaddr": 2 * PAGE, "nr_pages": 1, "flags": 4}
    ),
    "checkpoint/pages-1.img": b"N" * PAGE,
}
BEFORE = {
    "pre-checkpoint/inventory.img": image("inventory", {"img_version": 2}),
    "pre-checkpoint/pagemap-1.img": pagemap(1, {"vaddr": PAGE, "nr_pages": 2, "flags": 4}),
    "pre-checkpoint/pages-1.img": b"O" * 2 * PAGE,
}


def test_pages_of_a_dump_before(tmp_path: pathlib.Path) -> None:
    """Podman's --with-previous: the link "parent" leads to ../pre-checkpoint."""
    with open_archive(archive(tmp_path, {**DUMP, **BEFORE}, {"checkpoint/parent": "../pre-checkpoint"})) as found:
        checkpoint = Checkpoint(found)
        memory = checkpoint.by_pid[1].memory
        assert memory.read(PAGE, 2 * PAGE) == b"O" * PAGE + b"N" * PAGE
        assert checkpoint.inventory["pre_dump"]


@pytest.mark.parametrize("target", ["../missing", "/etc", "../../../etc", "checkpoint", "."])
def test_links_to_parents_lead_nowhere_else(tmp_path: pathlib.Path, target: str) -> None:
    with open_archive(archive(tmp_path, DUMP, {"checkpoint/parent": target})) as found:
        checkpoint = Checkpoint(found)
        assert checkpoint.images.parent is None
        assert "parent_images_missing" in found.notes.codes()
        pieces = list(checkpoint.by_pid[1].memory.pieces(PAGE, 3 * PAGE))
        assert [(piece.why, piece.size) for piece in pieces] == [("parent", PAGE), ("", PAGE)]


def test_parents_in_a_ring(tmp_path: pathlib.Path) -> None:
    links = {"checkpoint/parent": "../pre-checkpoint", "pre-checkpoint/parent": "../checkpoint"}
    with open_archive(archive(tmp_path, {**DUMP, **BEFORE}, links)) as found:
        everything(found)


def test_a_newer_version_of_the_images_is_named(tmp_path: pathlib.Path) -> None:
    content = {**DUMP, "checkpoint/inventory.img": image("inventory", {"img_version": 9})}
    with open_archive(archive(tmp_path, content)) as found:
        Checkpoint(found)
        assert "newer_images" in found.notes.codes()


def test_a_single_missing_image_costs_only_what_it_tells(tmp_path: pathlib.Path) -> None:
    for name in list(DUMP)[1:]:
        content = {key: value for key, value in DUMP.items() if key != name}
        with open_archive(archive(tmp_path, content)) as found:
            result = everything(found)
            if "pstree" not in name:
                assert len(result["processes"]) == 1, name
            assert result["warnings"]


def test_an_archive_without_images(tmp_path: pathlib.Path) -> None:
    """What was seen when the images were sent elsewhere by images-dir in runc.conf (checkpointctl issue 213)."""
    with open_archive(archive(tmp_path, {"config.dump": b"{}", "spec.dump": b"{}"})) as found:
        result = everything(found)
        assert result["processes"] == []
        assert "images_missing" in {note["code"] for note in result["warnings"]}


def test_no_checkpoint_at_all(tmp_path: pathlib.Path) -> None:
    with open_archive(archive(tmp_path, {"readme": b""})) as found, pytest.raises(CheckpointError) as caught:
        Checkpoint(found)
    assert caught.value.code == "not_a_checkpoint"


def test_tmpfs_that_cannot_be_read(tmp_path: pathlib.Path) -> None:
    mounts = image("mountpoints", {"fstype": 5, "mnt_id": 4, "root_dev": 50, "root": "/", "mountpoint": "/run"})
    content = {
        **DUMP,
        "checkpoint/mountpoints-3.img": mounts,
        "checkpoint/tmpfs-dev-50.tar.gz.img": made({"x/y": b"inside"}),
        "checkpoint/tmpfs-dev-51.tar.gz.img": b"rubbish",
    }
    with open_archive(archive(tmp_path, content)) as found:
        names = {one.name: b"".join(bytes(data) for _at, data in one.chunks()) for one in Checkpoint(found).payloads()}
        assert names == {"/run/x/y": b"inside"}
        assert "tmpfs_unreadable" in found.notes.codes()


def test_fields_of_a_newer_criu_are_named(tmp_path: pathlib.Path) -> None:
    raw = encode("pstree_entry", {"pid": 1, "ppid": 0}) + b"\xf8\x07\x01"
    content = {**DUMP, "checkpoint/pstree.img": image("pstree") + struct.pack("<I", len(raw)) + raw}
    with open_archive(archive(tmp_path, content)) as found:
        assert len(Checkpoint(found).processes) == 1
        assert [note["text"] for note in found.notes if note["code"] == "unknown_field"] == [
            "Field 127 of pstree_entry is not known here, perhaps of a newer CRIU"
        ]
