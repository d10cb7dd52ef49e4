# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking away what the pod does not grant, by changing the images before they are restored.

Sources: criu images/core.proto, creds.proto, mnt.proto; criu/pie/restorer.c (restore_creds), criu/mount.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import typing as t

from .._criu.images import Images
from .._criu.names import CAPABILITIES
from .bundle import Bundle
from .edit import Message, change, entries, field, write
from .security import MS_RDONLY, Excess, Granted, mask_patterns, point_of

THREAD_CORE = field("core_entry", "thread_core")
CREDS = field("thread_core_entry", "creds")
NO_NEW_PRIVS = field("creds_entry", "no_new_privs")
GRANTED_BY = {"cap_inh": "bounding", "cap_bnd": "bounding", "cap_prm": "permitted", "cap_eff": "permitted"}
GRANTED_BY["cap_amb"] = "permitted"
MOUNT_FLAGS = field("mnt_entry", "flags")
MOUNT_POINT = field("mnt_entry", "mountpoint")
MOUNT_ID = field("mnt_entry", "mnt_id")
MOUNT_PARENT = field("mnt_entry", "parent_mnt_id")


def _mask(names: t.Iterable[str]) -> int:
    """The bits of capabilities by name; those without a name are "bit N"."""
    mask = 0
    for name in names:
        mask |= 1 << (CAPABILITIES.index(name) if name in CAPABILITIES else int(name.rpartition(" ")[2]))
    return mask


def _around(point: str, mounts: t.Sequence[Message]) -> int:
    """The mnt_id of the mount that a path lies in."""
    depth, found = 0, 0
    for mount in mounts:
        place = point_of(mount.text(MOUNT_POINT))
        if (place == "/" or point.startswith(f"{place}/")) and len(place) > depth:
            depth, found = len(place), mount.number(MOUNT_ID)
    return found


class Clamp:
    """Takes away these excesses and nothing else."""

    def __init__(self, folder: str, images: Images, bundle: Bundle) -> None:
        self._folder = folder
        self._images = images
        self._granted = Granted(bundle)
        self._patterns = mask_patterns(images, bundle)

    def take(self, found: t.Sequence[Excess]) -> None:
        names = {excess.name for excess in found}
        capabilities = _mask(name.partition(":")[2] for name in names if name.startswith("capability:"))

        def core(message: Message) -> None:
            self._core(message, capabilities, "no_new_privs" in names)

        def mount(message: Message) -> None:
            if f"writable:{point_of(message.text(MOUNT_POINT))}" in names:
                message.set(MOUNT_FLAGS, message.number(MOUNT_FLAGS) | MS_RDONLY)

        for prefix, with_each in (("core", core), ("mountpoints", mount)):
            for identifier in self._images.ids(prefix):
                change(os.path.join(self._folder, f"{prefix}-{identifier}.img"), with_each)
        masked = sorted(name.partition(":")[2] for name in names if name.startswith("masked:"))
        for identifier in self._images.ids("mountpoints") if masked else ():
            self._mask(os.path.join(self._folder, f"mountpoints-{identifier}.img"), masked)

    def _mask(self, path: str, masked: t.Sequence[str]) -> None:
        """Add mounts over these paths, each like a mask that was dumped."""
        magic, mounts = entries(path)
        for point in masked:
            pattern = self._patterns[os.path.isdir(point)]
            like = next((message for message in mounts if message.number(MOUNT_ID) == pattern), None)
            if like is None:
                continue
            added = Message(bytes(like))
            written = like.text(MOUNT_POINT)
            added.set(MOUNT_ID, 1 + max(mount.number(MOUNT_ID) for mount in mounts))
            added.set(MOUNT_PARENT, _around(point, mounts))
            added.set(MOUNT_POINT, (("." if written.startswith(".") else "") + point).encode())
            mounts.append(added)
        write(path, magic, mounts)

    def _core(self, message: Message, capabilities: int, no_new_privs: bool) -> None:
        own = message.message(THREAD_CORE)
        creds = own.message(CREDS) if own is not None else None
        if own is None or creds is None:
            return
        for name, kind in GRANTED_BY.items():
            number = field("creds_entry", name)
            words = creds.numbers(number)
            keep = _mask(getattr(self._granted, kind)) | ~capabilities
            if words:
                creds.set(number, *(word & keep >> 32 * index & 0xFFFFFFFF for index, word in enumerate(words)))
        if no_new_privs:
            creds.set(NO_NEW_PRIVS, 1)
        own.set(CREDS, bytes(creds))
        message.set(THREAD_CORE, bytes(own))
