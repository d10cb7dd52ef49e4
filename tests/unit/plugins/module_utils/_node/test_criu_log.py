# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRIU's log explained. The lines are those of real logs of CRIU 4.2.1 on the laboratory where nothing else is said."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import criu_log

GUIDE = pathlib.Path(criu_log.__file__).parents[3] / "docs" / "docsite" / "rst" / "guide_guard.rst"
BEGINNING = """\
(00.000000) Unable to get $HOME directory, local configuration file will not be used.
(00.000055) Version: 4.2.1 (gitid 0)
(00.000825) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
"""
FAILED = """\
(00.059295) Error (criu/cr-dump.c:1545): Dump files (pid: 501) failed with -1
(00.107595) Error (criu/cr-dump.c:1975): Dumping FAILED.
"""
TCP = "(00.059284) Error (criu/sk-inet.c:200): inet: Connected TCP socket, consider using --tcp-established option.\n"


def explained(*lines: str, runtime: str | None = None) -> criu_log.Finding:
    found = criu_log.explain("".join(lines), runtime)
    assert found is not None
    return found


def test_neither_the_harmless_beginning_nor_the_end_is_the_cause() -> None:
    found = explained(BEGINNING, TCP, FAILED, runtime="runc")
    assert found.code == "criu_tcp_established"
    assert found.version == "4.2.1"
    assert found.errors == (TCP + FAILED).splitlines()
    assert "/etc/criu/runc.conf" in found.hint and "crun" not in found.hint
    assert "/etc/criu/crun.conf" in explained(BEGINNING, TCP, FAILED, runtime="crun").hint


@pytest.mark.parametrize(
    ("line", "code"),
    [
        # The texts are out of the program of CRIU 4.2.1, with values put in as its format strings say.
        ("criu/sk-inet.c:1): inet: In-flight connection (l) for 1f", "criu_tcp_in_flight"),
        ("criu/sk-inet.c:1): inet: Unsupported proto 132 for socket 1f", "criu_socket_unsupported"),
        ("criu/sk-inet.c:1): inet: Unsupported proto 262 for socket 1f", "criu_mptcp"),
        (
            "criu/sk-unix.c:1): unix: External socket is used. Consider using --ext-unix-sk option.",
            "criu_unix_external",
        ),
        (
            "criu/file-lock.c:1): Some file locks are hold by dumping tasks! You can try --file-locks to dump them.",
            "criu_file_locks",
        ),
        ("criu/files-reg.c:1): Can't dump ghost file /tmp/x of 99 size, increase limit", "criu_ghost_too_large"),
        ("criu/files-reg.c:1): File bin/app has bad size 5 (expect 6)", "criu_file_changed"),
        ("criu/mount.c:1): mnt: No mapping for 12:(null) mountpoint", "criu_mount_missing"),
        ("criu/mount.c:1): mnt: Mount 9:/x is autodetected external mount. Try ...", "criu_mount_external"),
        ("criu/files.c:1): Can't dump file 5 of that type [20666] (chr 195:255)", "criu_device"),
        ("criu/cr-dump.c:1): The root process 1 is not a session leader. Consider using --shell-job", "criu_terminal"),
        ("criu/lsm.c:1): apparmor LSM specified but apparmor not supported by kernel", "criu_lsm"),
        ("criu/cgroup.c:1): cg: Failed opening cgroup.procs: No such file or directory", "criu_cgroup"),
        ("criu/vdso.c:1): vdso: Can't find rt vDSO", "criu_vdso"),
        ("criu/cr-check.c:1): System call kcmp is not supported: Function not implemented", "criu_kernel"),
        ("criu/sockets.c:1): sockets: Can't get 1:16 opt: Operation not supported", "criu_socket_option"),
        ("criu/image.c:1): Can't write image: No space left on device", "criu_disk_full"),
        ("pie/restorer.c:1): Unable to restore capabilities: -1", "criu_permission"),
        ("compel/infect.c:1): Unseizable non-zombie 5 found, state t, err -1/0", "criu_traced"),
        (
            "criu/sk-inet.c:1): inet: Can't bind inet socket (id 4): Cannot assign requested address",
            "criu_address_taken",
        ),
    ],
)
def test_causes(line: str, code: str) -> None:
    assert explained(BEGINNING, f"(00.050000) Error ({line}\n", FAILED).code == code
    # A restored process has its ID before the message.
    assert explained(BEGINNING, f"(00.050000)      7: Error ({line}\n", FAILED).code == code


def test_an_unknown_cause_is_quoted() -> None:
    found = explained(BEGINNING, "(00.05) Error (criu/x.c:1): Something new: 42\n", FAILED)
    assert found.code == "criu_unknown_cause" and found.reason == "CRIU says: Something new: 42"


def test_a_log_that_ends_in_the_middle_says_where() -> None:
    found = explained(BEGINNING, "(00.001865) SEIZE 749 (comm ledger-threads): success\n")
    assert found.code == "criu_unfinished" and "SEIZE 749 (comm ledger-threads): success" in found.reason


def test_what_went_well_is_no_failure() -> None:
    assert criu_log.explain(BEGINNING + "(00.2) Dumping finished successfully\n") is None
    assert criu_log.explain("") is None


def test_what_is_quoted_is_bounded(tmp_path: pathlib.Path) -> None:
    line = "(00.05) Error (criu/x.c:1): " + "x" * 5000 + "\n"
    found = explained(*[line] * 1000, TCP)
    assert len(found.errors) == criu_log.MOST_LINES and found.errors[-1] == TCP.strip()
    assert max(map(len, found.errors)) <= criu_log.LONGEST_LINE and len(found.reason) < 400
    large = tmp_path / "dump.log"
    large.write_bytes(BEGINNING.encode() + b"\xff" * (2 * criu_log.LARGEST) + b"\n" + TCP.encode())
    text = criu_log.read_log(str(large))
    assert len(text) < 5 * criu_log.LARGEST and explained(text).code == "criu_tcp_established"


def test_the_guide_has_every_cause() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for cause in criu_log.CAUSES:
        assert f"``{cause.code}``\n     - {cause.reason}." in text, cause.code
        assert cause.hint.format(conf="CRIU's configuration") in text, cause.code
