# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each finding: that it fires on what it is about, and what it says; and that an ordinary container has none."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics import findings
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings_rules import RULES
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.crafted import (
    EXECUTE,
    MEMFD,
    OWN,
    PAGE,
    READ,
    REGULAR,
    WRITE,
    Made,
    capability_words,
    findings_of,
    tar_of,
    words,
)

INNOCENT = Made(1)
LISTEN, ESTABLISHED, CLOSE = 10, 1, 7
TCP, UDP = 6, 17
NAMESPACES = [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
ANONYMOUS = 1 << 9 | 1
PRIVATE = 2

Piece = dict[str, t.Any]


def inet(
    local: tuple[str, int], remote: tuple[str, int] = ("0.0.0.0", 0), state: int = LISTEN, proto: int = TCP, **more: int
) -> dict[str, t.Any]:
    family = 10 if ":" in local[0] else 2
    return {
        "ino": 4000 + local[1],
        "family": family,
        "type": 1 if proto == TCP else 2,
        "proto": proto,
        "state": state,
        "src_port": local[1],
        "dst_port": remote[1],
        "src_addr": words(local[0]),
        "dst_addr": words(remote[0]),
        "flags": 2,
        **more,
    }


def area(start: int, prot: int, status: int = ANONYMOUS, **more: int) -> dict[str, t.Any]:
    return {"start": start, "end": start + PAGE, "prot": prot, "flags": PRIVATE, "status": status, **more}


def bind(source: str, destination: str, *options: str) -> dict[str, t.Any]:
    return {"type": "bind", "source": source, "destination": destination, "options": ["rbind", *options]}


@pytest.fixture
def look(tmp_path: pathlib.Path) -> t.Callable[..., dict[str, list[Piece]]]:
    def found(*processes: Made, **options: t.Any) -> dict[str, list[Piece]]:
        return findings_of(tmp_path, *processes, **options)

    return found


Look = t.Callable[..., dict[str, list[Piece]]]


def only(found: dict[str, list[Piece]], identifier: str) -> list[Piece]:
    """The evidence of a finding, when it is the only one."""
    assert set(found) == {identifier}
    return found[identifier]


def test_ordinary_container_has_no_findings(look: Look) -> None:
    assert look(INNOCENT, Made(7, 1)) == {}


def test_table_has_each_rule_once_and_explains_it() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(len(rule.text) > 40 and rule.text.endswith(".") for rule in RULES)


def test_executable_deleted(look: Look) -> None:
    # The first file that a process gets is its executable.
    piece = only(look(INNOCENT, Made(7, 1, name="miner", executable="/tmp/miner"), ghosts=[3]), "executable_deleted")[0]
    assert (piece["pid"], piece["process"], piece["path"], piece["severity"]) == (7, "miner", "/tmp/miner", "high")


def test_executable_memfd(look: Look) -> None:
    piece = only(look(Made(1, executable="/memfd:kit (deleted)")), "executable_memfd")[0]
    assert (piece["path"], piece["severity"]) == ("/memfd:kit", "high")


def test_executable_not_in_image_but_written(look: Look) -> None:
    rootfs = tar_of({"opt/data/run": (b"#!/bin/sh\n", 0o644)})
    piece = only(look(Made(1, executable="/opt/data/run"), rootfs=rootfs), "executable_not_in_image")[0]
    assert (piece["path"], piece["severity"]) == ("/opt/data/run", "high")


@pytest.mark.parametrize(("filesystem", "severity"), [("tmpfs", "high"), ("ext4", "medium")])
def test_executable_not_in_image_but_on_a_mount(look: Look, filesystem: str, severity: str) -> None:
    mounts = [
        {"mnt_id": 1, "mountpoint": "./", "root": "/", "fsname": "overlay"},
        {"mnt_id": 2, "mountpoint": "./data", "root": "/", "fsname": filesystem},
    ]
    piece = only(look(Made(1, executable="/data/run"), mounts=mounts), "executable_not_in_image")[0]
    assert piece["severity"] == severity
    assert f"/data ({filesystem})" in piece["detail"]


def test_memory_writable_executable(look: Look) -> None:
    made = Made(1, areas=[area(0x10000, READ | WRITE | EXECUTE)])
    piece = only(look(made), "memory_writable_executable")[0]
    assert (piece["address"], piece["path"]) == ("0x10000-0x11000", None)
    assert "rwxp" in piece["detail"]


def test_memory_anonymous_executable(look: Look) -> None:
    made = Made(1, areas=[area(0x10000, READ | EXECUTE), area(0x30000, READ | EXECUTE, 1 | 1 << 3)])
    piece = only(look(made), "memory_anonymous_executable")
    assert [(one["address"], one["severity"]) for one in piece] == [("0x10000-0x11000", "medium")]


def test_memory_executable_from_a_memfd_is_grave(look: Look) -> None:
    memfd = {"name": "lib", "size": PAGE, "shmid": 5, "inode_id": 5, "uid": 0, "gid": 0, "seals": 0}
    made = Made(
        1, files=[(5, "memfd", {"id": 77, "inode_id": 5, "flags": 2})], areas=[area(0x10000, 5, MEMFD | 1, shmid=77)]
    )
    piece = only(look(made, memfds=[memfd]), "memory_anonymous_executable")[0]
    assert (piece["severity"], piece["path"]) == ("high", "/memfd:lib (deleted)")


def test_program_code_is_no_finding(look: Look) -> None:
    assert look(Made(1, areas=[area(0x10000, READ | EXECUTE, REGULAR | 1, shmid=1)])) == {}


def test_deleted_files(look: Look) -> None:
    file = {"id": 50, "name": "/tmp/loot", "flags": 2, "mode": 0o100600}
    shared = (4, "reg", file)
    piece = only(look(Made(1, files=[shared]), Made(7, 1, files=[shared]), ghosts=[50]), "deleted_files")
    assert [(one["pid"], one["path"], one["severity"]) for one in piece] == [(1, "/tmp/loot", "low")]
    assert "4 bytes" in piece[0]["detail"]


def test_deleted_library(look: Look) -> None:
    file = (4, "reg", {"id": 50, "name": "/tmp/evil.so", "flags": 0})
    made = Made(1, files=[file], areas=[area(0x10000, READ, REGULAR | 1, shmid=50)])
    pieces = only(look(made, ghosts=[50]), "deleted_files")
    assert [(one["severity"], one["path"]) for one in pieces] == [("medium", "/tmp/evil.so"), ("low", "/tmp/evil.so")]


def process_spec(**process: t.Any) -> dict[str, t.Any]:
    return {"process": process, "linux": {"namespaces": NAMESPACES, "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}}


def test_capabilities_beyond_the_default(look: Look) -> None:
    spec = process_spec(capabilities={"bounding": ["CAP_NET_ADMIN", "CAP_CHOWN", "CAP_WAKE_ALARM"]})
    mild = Made(1, capabilities=capability_words("CAP_CHOWN", "CAP_WAKE_ALARM"))
    mighty = Made(7, 1, capabilities=capability_words("CAP_CHOWN", "CAP_NET_ADMIN"))
    taken = Made(8, 1, capabilities=capability_words("CAP_LEASE"))
    pieces = only(look(mild, mighty, taken, spec=spec), "capabilities")
    assert {(one["pid"], one["severity"], one["detail"]) for one in pieces} == {
        (1, "medium", "CAP_WAKE_ALARM"),
        (7, "high", "CAP_NET_ADMIN"),
        (8, "high", "CAP_LEASE, not all of them in the specification"),
    }


@pytest.mark.parametrize(
    ("asked", "uids", "severity"),
    [(1000, (1000, 0, 0, 0), "high"), (1000, (33, 33, 33, 33), "medium"), (0, (33, 33, 33, 33), "info")],
)
def test_user_changed(look: Look, asked: int, uids: tuple[int, int, int, int], severity: str) -> None:
    piece = only(look(Made(1, uids=uids), spec=process_spec(user={"uid": asked})), "user_changed")[0]
    assert piece["severity"] == severity
    assert f"the specification has {asked}" in piece["detail"]


def test_reverse_shell_over_the_network(look: Look) -> None:
    connection = inet(("10.0.0.9", 41000), ("10.0.0.66", 4444), ESTABLISHED, id=60)
    streams = [(number, "isk", connection) for number in (0, 1, 2)]
    piece = only(look(INNOCENT, Made(7, 1, session=7, executable="/bin/sh", files=streams)), "reverse_shell")[0]
    assert (piece["severity"], piece["address"], piece["path"]) == ("high", "10.0.0.66:4444", "/bin/sh")
    assert "0, 1, 2" in piece["detail"]


def test_reverse_shell_by_a_terminal_of_an_orphan(look: Look) -> None:
    terminal = (0, "tty", {"id": 61, "tty_info_id": 1, "flags": 2})
    pieces = only(look(INNOCENT, Made(7, 1, session=7, files=[terminal])), "reverse_shell")
    assert [(one["pid"], one["severity"]) for one in pieces] == [(7, "high")]


def test_reverse_shell_by_a_unix_socket_of_an_orphan(look: Look) -> None:
    stream = (1, "usk", {"id": 62, "ino": 9, "type": 1, "state": 1, "flags": 2})
    pieces = only(look(INNOCENT, Made(7, 1, session=7, files=[stream])), "reverse_shell")
    assert [(one["pid"], one["severity"]) for one in pieces] == [(7, "medium")]


def test_own_children_with_the_terminal_of_the_container_are_no_finding(look: Look) -> None:
    terminal = (0, "tty", {"id": 61, "tty_info_id": 1, "flags": 2})
    assert look(Made(1, files=[terminal]), Made(7, 1, files=[terminal]), Made(8, 1, session=8, files=[terminal])) == {}


def test_listeners_not_declared(look: Look) -> None:
    files = [
        (3, "isk", inet(("0.0.0.0", 8080))),
        (4, "isk", inet(("0.0.0.0", 31337))),
        (5, "isk", inet(("::1", 6060))),
        (6, "isk", inet(("0.0.0.0", 53), state=CLOSE, proto=UDP)),
        (7, "isk", inet(("0.0.0.0", 40000), state=CLOSE, proto=UDP)),
    ]
    pieces = only(look(Made(1, files=files), declared_ports=["8080", "53/tcp"]), "listener_undeclared")
    assert {(one["address"], one["severity"]) for one in pieces} == {
        ("0.0.0.0:31337", "medium"),
        ("[::1]:6060", "low"),
        ("0.0.0.0:53", "low"),
        ("0.0.0.0:40000", "info"),
    }


def test_ports_from_the_kubelets_annotation(look: Look) -> None:
    ports = '[{"name":"http","containerPort":8080,"protocol":"TCP"}]'
    containerd = {"status.dump": {"annotations": {"io.kubernetes.container.ports": ports}}}
    assert look(Made(1, files=[(3, "isk", inet(("0.0.0.0", 8080)))]), documents=containerd) == {}


def test_ports_from_crio(look: Look) -> None:
    inner = '{"io.kubernetes.container.ports":"[{\\"containerPort\\":8080,\\"protocol\\":\\"TCP\\"}]"}'
    spec = {"annotations": {"io.kubernetes.cri-o.Annotations": inner}}
    assert look(Made(1, files=[(3, "isk", inet(("0.0.0.0", 8080)))]), spec=spec) == {}


def test_ports_from_podman(look: Look) -> None:
    config = {"config.dump": {"newPortMappings": [{"container_port": 8080, "host_port": 80, "protocol": "tcp"}]}}
    assert look(Made(1, files=[(3, "isk", inet(("0.0.0.0", 8080)))]), documents=config) == {}


@pytest.mark.parametrize(
    ("remote", "severity"),
    [
        ("203.0.113.9", "medium"),
        ("2001:db8::9", "medium"),
        ("::ffff:203.0.113.9", "medium"),
        ("169.254.169.254", "high"),
    ],
)
def test_connection_outside(look: Look, remote: str, severity: str) -> None:
    local = "::" if ":" in remote else "10.0.0.9"
    made = Made(1, files=[(3, "isk", inet((local, 41000), (remote, 443), ESTABLISHED))])
    piece = only(look(made), "connection_outside")[0]
    assert piece["severity"] == severity
    assert remote in piece["address"]


@pytest.mark.parametrize("remote", ["10.96.0.1", "192.168.7.7", "127.0.0.1", "::ffff:10.0.0.1", "fd00::7"])
def test_connection_inside(look: Look, remote: str) -> None:
    local = "::" if ":" in remote else "10.0.0.9"
    assert look(Made(1, files=[(3, "isk", inet((local, 41000), (remote, 443), ESTABLISHED))])) == {}


def test_connection_by_the_networks_that_are_given(look: Look) -> None:
    files = [
        (3, "isk", inet(("10.0.0.9", 41000), ("203.0.113.9", 443), ESTABLISHED)),
        (4, "isk", inet(("10.0.0.9", 41001), ("192.168.7.7", 443), ESTABLISHED)),
    ]
    found = look(Made(1, files=files), cluster_networks=["203.0.113.0/24"])
    assert [one["address"] for one in only(found, "connection_outside")] == ["192.168.7.7:443"]


def test_preload(look: Look) -> None:
    spec = process_spec(env=["LD_PRELOAD=/usr/lib/jemalloc.so"])
    given = Made(1, environment=["LD_PRELOAD=/usr/lib/jemalloc.so"])
    added = Made(7, 1, environment=["LD_AUDIT=/tmp/evil.so"])
    rootfs = tar_of({"etc/ld.so.preload": (b"/tmp/evil.so\n", 0o644)})
    pieces = only(look(given, added, spec=spec, rootfs=rootfs), "preload")
    assert {(one["pid"], one["severity"], one["path"]) for one in pieces} == {
        (1, "medium", "/usr/lib/jemalloc.so"),
        (7, "high", "/tmp/evil.so"),
        (None, "high", "/etc/ld.so.preload"),
    }


def test_executable_added(look: Look) -> None:
    rootfs = tar_of(
        {
            "usr/bin/nc": (b"", 0o755),
            "tmp/miner": (b"", 0o700),
            "usr/lib/libevil.so.1": (b"", 0o644),
            "bin/su2": (b"", 0o4755),
            "var/log/app.log": (b"", 0o644),
        }
    )
    pieces = only(look(INNOCENT, rootfs=rootfs), "executable_added")
    assert {(one["path"], one["severity"]) for one in pieces} == {
        ("/usr/bin/nc", "medium"),
        ("/tmp/miner", "medium"),
        ("/usr/lib/libevil.so.1", "medium"),
        ("/bin/su2", "high"),
    }


def test_credentials_in_the_environment_without_their_values(look: Look) -> None:
    environment = ["PATH=/bin", "DB_PASSWORD=hunter2", "CACHE=redis://:hunter2@cache:6379", "PASSWORD_FILE=/run/secret"]
    pieces = only(
        look(Made(1, environment=environment), Made(7, 1, environment=environment)), "credentials_environment"
    )
    assert [one["detail"] for one in pieces] == ["DB_PASSWORD (also in 7)", "CACHE (also in 7)"]
    assert "hunter2" not in str(pieces)


def test_credentials_on_the_command_line_without_their_values(look: Look) -> None:
    made = Made(1, arguments=["server", "--password", "hunter2", "--api-key=hunter2", "--verbose"])
    pieces = only(look(made), "credentials_arguments")
    assert [one["detail"] for one in pieces] == ["--password ********", "--api-key=********"]


def test_host_namespaces_by_what_is_shared(look: Look) -> None:
    made = Made(1, namespaces={**OWN, "net_ns_id": 2, "uts_ns_id": 4})
    pieces = only(look(made, Made(7, 1)), "host_namespace")
    assert {(one["pid"], one["severity"], one["detail"]) for one in pieces} == {
        (1, "high", "Shares the node's network namespace"),
        (1, "low", "Shares the node's uts namespace"),
    }


def test_host_namespaces_by_the_specification(look: Look) -> None:
    spec = {"linux": {"namespaces": [one for one in NAMESPACES if one["type"] != "pid"]}}
    piece = only(look(INNOCENT, spec=spec), "host_namespace")[0]
    assert (piece["severity"], piece["detail"]) == ("high", "The specification gives no pid namespace of its own")


def test_host_mounts(look: Look) -> None:
    spec: dict[str, t.Any] = {
        "annotations": {"io.container.manager": "cri-o"},
        "mounts": [
            bind("/", "/host", "ro"),
            bind("/etc", "/host-etc", "rw"),
            bind("/srv/data", "/data", "rw"),
            bind("/usr/share/zoneinfo", "/usr/share/zoneinfo", "ro"),
            bind("/var/lib/kubelet/pods/0b1c/volumes/kubernetes.io~empty-dir/x", "/cache", "rw"),
            bind("/var/lib/containers/storage/volumes/named/_data", "/named", "rw"),
            {"type": "proc", "source": "proc", "destination": "/proc"},
        ],
    }
    config = {"config.dump": {"id": "c0ffee", "name": "k8s_web_web-0_shop_0b1c_0"}}
    pieces = only(look(INNOCENT, spec=spec, documents=config), "host_mount")
    assert {(one["path"], one["severity"]) for one in pieces} == {
        ("/", "medium"),
        ("/etc", "high"),
        ("/srv/data", "medium"),
        ("/usr/share/zoneinfo", "low"),
    }


@pytest.mark.parametrize("source", ["/run/containerd/containerd.sock", "/var/run/docker.sock", "/run/crio"])
def test_runtime_socket_mounted(look: Look, source: str) -> None:
    piece = only(look(INNOCENT, spec={"mounts": [bind(source, "/sock", "rw")]}), "runtime_socket")[0]
    assert (piece["path"], piece["severity"]) == (source, "high")


def test_runtime_socket_in_use(look: Look) -> None:
    files: list[tuple[int, str, dict[str, t.Any]]] = [
        (3, "usk", {"id": 70, "ino": 5, "type": 1, "state": 1, "flags": 2, "peer": 6}),
        (4, "usk", {"id": 71, "ino": 6, "type": 1, "state": 1, "flags": 2, "name": b"/run/crio/crio.sock"}),
    ]
    pieces = only(look(Made(1, files=files)), "runtime_socket")
    assert {(one["path"], one["detail"]) for one in pieces} == {
        ("/run/crio/crio.sock", "Open as descriptor 3"),
        ("/run/crio/crio.sock", "Open as descriptor 4"),
    }


@pytest.mark.parametrize(("spec", "severity"), [({}, "low"), (process_spec(), "high")])
def test_seccomp_off(look: Look, spec: dict[str, t.Any], severity: str) -> None:
    piece = only(look(Made(1, seccomp=0), spec=spec), "seccomp_off")[0]
    assert (piece["pid"], piece["severity"]) == (1, severity)


@pytest.mark.parametrize("profile", ["", "unconfined"])
def test_lsm_off(look: Look, profile: str) -> None:
    piece = only(look(Made(1, profile=profile)), "lsm_off")[0]
    assert (piece["severity"], piece["detail"]) == ("medium", "Not confined, although the node has apparmor")


def test_lsm_off_although_asked_for(look: Look) -> None:
    spec = process_spec(apparmorProfile="cri-containerd.apparmor.d")
    piece = only(look(Made(1, profile=""), spec=spec), "lsm_off")[0]
    assert piece["severity"] == "high"


def test_node_without_lsm(look: Look) -> None:
    piece = only(look(Made(1, profile=""), lsm=0), "lsm_off")[0]
    assert (piece["severity"], piece["pid"]) == ("info", None)


def test_every_rule_has_a_test() -> None:
    text = pathlib.Path(__file__).read_text(encoding="utf-8")
    assert [rule.id for rule in RULES if f'"{rule.id}"' not in text] == []


@pytest.mark.parametrize("value", [5, "x", [], [5], [{}], {"a": 5}, None, True])
def test_documents_that_make_no_sense(look: Look, value: t.Any) -> None:
    spec = {
        "process": {"capabilities": value, "user": value, "env": value, "apparmorProfile": value},
        "linux": {"namespaces": value, "seccomp": value},
        "mounts": [value, {"type": value, "source": "/x", "destination": value, "options": value}],
        "annotations": {"io.kubernetes.container.ports": value},
    }
    documents = {"config.dump": {"newPortMappings": value}, "status.dump": {"annotations": value}}
    files = [(3, "isk", inet(("0.0.0.0", 8080)))]
    made = Made(1, files=files, environment=["LD_PRELOAD=/x"], seccomp=0, uids=(5, 5, 5, 5))
    assert "preload" in look(made, spec=spec, documents=documents)


def test_evidence_is_bounded_and_counted() -> None:
    evidence: list[Piece] = [{"pid": number} for number in range(200)]
    found = findings.finding("x", "low", "text", evidence)
    assert (found["count"], len(found["evidence"])) == (200, findings.MAX_EVIDENCE)


@pytest.mark.parametrize("text", ["http", "70000", "80/icmp", "", "-1"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        findings.ports([text])
    assert caught.value.code == "invalid_option"


def test_networks_that_are_none() -> None:
    with pytest.raises(CheckpointError) as caught:
        findings.networks(["10.0.0.0/33"])
    assert caught.value.code == "invalid_option"
