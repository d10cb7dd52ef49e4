# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making images fit the node and the runtime that restore them: what differs there has nothing to do with rights.

Each repair has its reason beside it. Sources: criu images/mnt.proto, regfile.proto, timerfd.proto, inventory.proto;
criu/files-reg.c, criu/mount-v2.c, criu/timerfd.c, criu/net.c, 4.2.1; runc libcontainer/criu_linux.go 1.1.15 to 1.4.0;
crun src/libcrun/criu.c 1.21.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import stat
import typing as t

from .._common.errors import CheckpointError
from .._criu import sockets
from .._criu.images import Images
from .._criu.wire import Fields, number, text
from .bundle import Bundle, resolve
from .edit import Message, change, field
from .security import ALWAYS, dumped_mounts, mount_point, point_of

NULL = "/dev/null"
MAX_FILE = 1 << 20
NETWORK_LOCK_SKIP = 2
"""criu images/rpc.proto, CriuNetworkLockMethod."""

IPPROTO_TCP = 6
UNCONNECTED = (7, 10)
"""TCP_CLOSE and TCP_LISTEN, linux/tcp_states.h."""

MOUNT_POINT = field("mnt_entry", "mountpoint")
EXT_KEY = field("mnt_entry", "ext_key")
SHARING = (field("mnt_entry", "shared_id"), field("mnt_entry", "master_id"))
NETWORK_LOCK = field("inventory_entry", "network_lock_method")
REG, TIMER = field("file_entry", "reg"), field("file_entry", "tfd")
FILE_MODE = field("reg_file_entry", "mode")
LEFT, EVERY = (("vsec", "vnsec"), ("isec", "insec"))
TASK = field("core_entry", "tc")
OOM_SCORE_ADJ = field("task_core_entry", "oom_score_adj")


class Repairs:
    """The repairs of the images in a folder, for a container in a bundle, restored by ``runtime`` (runc or crun)."""

    def __init__(self, folder: str, images: Images, bundle: Bundle, runtime: str) -> None:
        self._folder = folder
        self._images = images
        self._bundle = bundle
        self._runtime = runtime

    def run(self) -> None:
        self._each("mountpoints", self._mount)
        self._each("files", _open_file)
        self._each("inventory", _inventory)
        self._each("core", self._task)

    def _each(self, prefix: str, with_each: t.Callable[[Message], None]) -> None:
        for identifier in self._images.ids(prefix):
            name = f"{prefix}-{identifier}.img" if identifier else f"{prefix}.img"
            change(os.path.join(self._folder, name), with_each)

    def _mount(self, entry: Message) -> None:
        key = entry.text(EXT_KEY)
        if not key:
            return
        point = point_of(entry.text(MOUNT_POINT))
        if point in (self._bundle.linux.get("maskedPaths") or ()):
            # runc maps all masked files by one key, crun each by its own path.
            entry.set(EXT_KEY, (point if self._runtime == "crun" else NULL).encode())
        if not self._propagates(point):
            # A bind mount that is a slave of the node's mounts: CRIU wants all mounts of one sharing group on one file
            # system, which they are on no other node.
            for number_ in SHARING:
                entry.set(number_, 0)

    def _propagates(self, point: str) -> bool:
        wanted = {"shared", "rshared", "slave", "rslave"}
        return any(mount.path == point and mount.options & wanted for mount in self._bundle.mounts)

    def _task(self, core: Message) -> None:
        """The kubelet ranks containers for the kernel's memory killer by the new pod's class, not the old one's."""
        task = core.message(TASK)
        own = self._bundle.process.get("oomScoreAdj")
        if task is None or not isinstance(own, int) or task.get(OOM_SCORE_ADJ) is None:
            return
        dumped = task.number(OOM_SCORE_ADJ)
        dumped -= 1 << 64 if dumped >> 63 else 0
        task.set(OOM_SCORE_ADJ, max(own, dumped))
        core.set(TASK, bytes(task))

    def missing_mounts(self) -> list[dict[str, t.Any]]:
        """Mounts for config.json that the dumping runtime made by itself and this one does not.

        They are files beside config.json, to live as long as the container, with what the image has there. Raises
        CheckpointError mount_missing for any other mount that the new pod does not have.
        """
        there = {mount.path for mount in self._bundle.mounts}
        added: list[dict[str, t.Any]] = []
        for fields in dumped_mounts(self._images):
            point = mount_point(fields)
            if not text(fields, "ext_key") or point in there or not self._needs_source(point):
                continue
            if point not in ALWAYS:
                raise CheckpointError(
                    "mount_missing",
                    f"The process had a mount at {point}, the new pod has none there",
                    hint="Give the new pod the mounts of the old one",
                )
            source = os.path.join(self._bundle.path, "restored" + point.replace("/", "-"))
            with open(source, "wb") as file:
                file.write(self._of_the_image(point))
            added.append(
                {"destination": point, "type": "bind", "source": source, "options": ["bind", "rw", "rprivate"]}
            )
        return added

    def _of_the_image(self, point: str) -> bytes:
        root = os.path.realpath(self._bundle.root)
        path = root + resolve(root, point)
        # A path that still has links in it leads who knows where.
        if os.path.realpath(path) != path or not os.path.isfile(path):
            return b""
        with open(path, "rb") as file:
            return file.read(MAX_FILE)

    def _needs_source(self, point: str) -> bool:
        masked = self._bundle.linux.get("maskedPaths") or ()
        return point not in masked and not point.startswith("/sys/fs/cgroup")


def _open_file(entry: Message) -> None:
    reg = entry.message(REG)
    if reg is not None and stat.S_ISDIR(reg.number(FILE_MODE)):
        # The mode of the root folder differs between storage drivers, and CRIU compares the modes of what was open.
        reg.remove(FILE_MODE)
        entry.set(REG, bytes(reg))
    timer = entry.message(TIMER)
    if timer is not None:
        left, every = (sum(timer.number(field("timerfd_entry", name)) for name in names) for names in (LEFT, EVERY))
        if every and not left:
            # It expired between the freeze and the dump; restored like this, it would never expire again.
            timer.set(field("timerfd_entry", "vnsec"), 1)
            entry.set(TIMER, bytes(timer))


def _inventory(entry: Message) -> None:
    """Without connections to keep, rules against packets serve nothing, and a failed restore would leave them."""
    entry.set(NETWORK_LOCK, NETWORK_LOCK_SKIP)


def criu_options(images: Images) -> list[str]:
    """Options for CRIU that no image can say: connections are closed, as the new pod has another address."""
    if number(images.one("inventory"), "tcp_close") or (_connections(images) and not keeps_connections(images)):
        return ["tcp-close"]
    return []


def keeps_connections(images: Images) -> bool:
    """Whether there are TCP connections that can live on: all of them, both ends of each here, by loopback addresses.

    An image that was dumped with ``tcp-close`` has nothing of a connection's state. One option holds for all of them.
    """
    ends = [_ends(fields) for fields in _connections(images)]
    closed = number(images.one("inventory"), "tcp_close")
    return bool(ends) and len(sockets.within(ends)) == len(ends) and not closed


def _connections(images: Images) -> list[Fields]:
    found = (entry.fields.get("isk") for entry in images.each("files"))
    return [fields for fields in found if fields and connected(fields)]


def _ends(fields: Fields) -> tuple[sockets.End, sockets.End]:
    """Address and port of this end and of the other one."""
    one, other = (
        sockets.end(fields.get(f"{which}_addr"), number(fields, "family"), number(fields, f"{which}_port"))
        for which in ("src", "dst")
    )
    return one, other


def connected(fields: Fields) -> bool:
    return number(fields, "proto") == IPPROTO_TCP and number(fields, "state") not in UNCONNECTED
