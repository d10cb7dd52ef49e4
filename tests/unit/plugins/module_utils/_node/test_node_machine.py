# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel, control groups and system, from files. The lines are those of real kernels and distributions."""

from __future__ import annotations

import gzip
import os
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import facts, machine

RELEASE = "6.12.48-amd64"
CONFIG = 'CONFIG_CHECKPOINT_RESTORE=y\nCONFIG_UNIX_DIAG=m\n# CONFIG_TUN is not set\nCONFIG_LOCALVERSION="-x"\n'


@pytest.mark.parametrize(
    ("place", "packed"),
    [("proc/config.gz", True), (f"boot/config-{RELEASE}", False), (f"usr/lib/modules/{RELEASE}/config", False)],
)
def test_options_of_the_kernel(tmp_path: pathlib.Path, place: str, packed: bool) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(CONFIG.encode()) if packed else CONFIG.encode())

    options, source = machine.kernel_options(RELEASE, str(tmp_path))

    assert source == f"/{place}" and set(options) == set(machine.KERNEL_OPTIONS)
    assert (options["CONFIG_CHECKPOINT_RESTORE"], options["CONFIG_UNIX_DIAG"]) == ("y", "m")
    assert (options["CONFIG_TUN"], options["CONFIG_INET_DIAG"]) == ("n", "n")


def test_options_that_no_file_tells_are_not_known(tmp_path: pathlib.Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "config-5.10.0").write_text(CONFIG)

    options, source = machine.kernel_options(RELEASE, str(tmp_path))

    assert source is None and set(options.values()) == {None}


def test_a_broken_config_gz_is_passed_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "config.gz").write_bytes(gzip.compress(CONFIG.encode())[:20])
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / f"config-{RELEASE}").write_text(CONFIG)

    assert machine.kernel_options(RELEASE, str(tmp_path))[1] == f"/boot/config-{RELEASE}"


V1 = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0\n"
UNIFIED = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "mode"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", "v2"),
        (V1, "v1"),
        (V1 + UNIFIED, "hybrid"),
        ("proc /proc proc rw 0 0\n", None),
        ("", None),
    ],
)
def test_control_groups(mounts: str, mode: t.Optional[str]) -> None:
    assert machine.cgroup_mode(mounts) == mode


def test_operating_system(tmp_path: pathlib.Path) -> None:
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "usr" / "lib" / "os-release").write_text(
        'NAME="Flatcar"\nID=flatcar\nVERSION_ID=4230.2.1\nPRETTY_NAME="Flatcar Container Linux 4230.2.1"\n'
    )

    assert machine.operating_system(str(tmp_path)) == {
        "id": "flatcar",
        "version": "4230.2.1",
        "name": "Flatcar Container Linux 4230.2.1",
    }


def test_accelerators(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "kfd"):
        (tmp_path / "dev" / name).touch()

    assert machine.machine_facts(str(tmp_path))["gpu"] == {
        "nvidia": ["/dev/nvidia0", "/dev/nvidia1"],
        "amd": ["/dev/kfd"],
    }


MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=1600k
31 22 0:40 / /var/lib/kubelet/pods/with\\040blank rw - tmpfs tmpfs rw
33 22 8:2 / /var/lib rw,relatime - xfs /dev/sdb1 rw
34 22 8:3 / /var/lib rw,relatime - btrfs /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/runner", "ext4"),
        ("/run", "tmpfs"),
        ("/run/user/0", "tmpfs"),
        ("/var/lib/kubelet/checkpoints", "btrfs"),
        ("/var/lib/kubelet/pods/with blank", "tmpfs"),
    ],
)
def test_the_file_system_behind_a_path(path: str, kind: str) -> None:
    assert facts.filesystem(path, MOUNTINFO) == kind
    assert facts.filesystem(path, "nonsense\n") is None


def test_room_on_a_disk_that_is_there(tmp_path: pathlib.Path) -> None:
    info = os.statvfs(tmp_path)
    found = facts.disk(str(tmp_path / "not" / "yet"))

    assert found is not None and found["path"] == str(tmp_path / "not" / "yet")
    assert found["total"] == info.f_blocks * info.f_frsize and 0 < found["free"] <= found["total"]
    shown = os.popen(f"stat --file-system --format=%T {tmp_path}").read().strip()
    assert found["filesystem"] in (shown, {"ext2/ext3": "ext4", "overlayfs": "overlay"}.get(shown))
    assert facts.disk(None) is None
