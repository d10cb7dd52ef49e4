# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement with CRIU's own crit, field by field, for every image of the fixtures and for every field there is.

How the recordings were made: tests/fixtures/README.md.
"""

from __future__ import annotations

import base64
import quopri
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.members import Member
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu import images
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.image_types import IMAGE_TYPES
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
    crit,
)

# The names that crit prints instead of numbers (criu images/*.proto, 4.2.1).
ENUMS: dict[str, tuple[str, ...]] = {
    "type": (),
    "lsmtype": ("NO_LSM", "SELINUX", "APPARMOR"),
    "shutdown": ("NONE", "READ", "WRITE", "BOTH"),
    "mtype": ("UNKNOWN", "X86_64", "ARM", "AARCH64", "PPC64", "S390", "MIPS", "LOONGARCH64", "RISCV64"),
    "seccomp_mode": ("disabled", "strict", "filter"),
    "old_seccomp_mode": ("disabled", "strict", "filter"),
    "remap_type": ("LINKED", "GHOST", "PROCFS"),
    "mode": ("", "NATIVE", "COMPAT"),
    "vendor_id": ("UNKNOWN", "INTEL", "AMD"),
    "endian": ("BIGENDIAN", "LITTLEENDIAN"),
}
KINDS = (
    "UND REG PIPE FIFO INETSK UNIXSK EVENTFD EVENTPOLL INOTIFY SIGNALFD PACKETSK TTY FANOTIFY NETLINKSK NS TUNF EXT",
    "- - - - - - - - - - - - - - - - - TIMERFD MEMFD BPFMAP PIDFD",
    "UNKNOWN PTY CONSOLE VT CTTY EXT_TTY SERIAL",
    "- INODE MOUNT",
    "- LOOPBACK VETH TUN EXTLINK VENET BRIDGE MACVLAN SIT",
    "- - - - - CTL_STR CTL_32",
)
TYPES = {name: number for names in KINDS for number, name in enumerate(names.split())}
TYPES.update({"CTL_TTY": 65534, "AUTOFS_PIPE": 65535})


def number(name: str, text: str) -> int:
    return TYPES[text] if name == "type" else ENUMS[name].index(text)


def same(ours: t.Any, theirs: t.Any, name: str = "") -> None:
    """Assert that a value is what crit says, whose numbers of enumerations are names and whose bytes are base64."""
    if isinstance(theirs, dict):
        assert sorted(ours) == sorted(theirs), name
        for key in theirs:
            same(ours[key], theirs[key], key)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), name
        for left, right in zip(ours, theirs):
            same(left, right, name)
    elif isinstance(theirs, str) and isinstance(ours, bytes):
        # Names of unix sockets are the only bytes that crit writes as quoted-printable.
        assert ours == (quopri.decodestring(theirs) if name == "name" else base64.b64decode(theirs)), name
    elif isinstance(theirs, str) and isinstance(ours, int):
        assert ours == number(name, theirs), name
    else:
        assert ours == theirs, name


def extra(entry: images.Entry) -> t.Any:
    """What follows an entry, in the shape that crit gives it."""
    if "received" in entry.blobs:
        return {"inq": entry.blobs["received"].read(), "outq": entry.blobs["unsent"].read()}
    if "keys" in entry.blobs:
        return entry.blobs["keys"].read() + entry.blobs["values"].read()
    if "values" in entry.blobs:
        raw = entry.blobs["values"].read()
        return [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]
    if "data" in entry.blobs:
        return entry.blobs["data"].read()
    return [part for fields, blob in entry.parts for part in (fields, blob.read())]


def compare(member: Member, theirs: dict[str, t.Any]) -> None:
    kind = next(kind for kind in IMAGE_TYPES if kind.name == theirs["magic"])
    expected = theirs["entries"]
    found = list(images.entries(member, kind))
    if kind.name == "GHOST_FILE" and len(expected) > 1:
        # crit gives the chunks as entries of their own.
        same(found[0].fields, expected[0])
        assert len(found[0].parts) == len(expected) - 1
        for (fields, blob), chunk in zip(found[0].parts, expected[1:]):
            same({**fields, "extra": blob.read()}, chunk)
        return
    assert len(found) == len(expected)
    for entry, recorded in zip(found, expected):
        wanted = dict(recorded)
        if kind.name == "PAGEMAP" and "vaddr" in wanted and "compat_nr_pages" not in wanted:
            # The crit of 4.1.1 knows the same field by its old name.
            wanted["compat_nr_pages"] = wanted.pop("nr_pages")
        if kind.name == "IPCNS_SHM" and entry.fields.get("in_pagemaps"):
            # crit takes bytes from behind the entry even where there are none.
            wanted.pop("extra")
        if "extra" in wanted:
            same(extra(entry), wanted.pop("extra"))
        same(entry.fields, wanted)


@pytest.mark.parametrize("name", [*REAL, "every-field"])
def test_every_image_reads_as_crit_reads_it(name: str) -> None:
    recorded = crit(name)
    with open_archive(FIXTURES / REAL.get(name, f"{name}.tar.xz")) as archive:
        folder = archive.image_folder()
        members = archive.images(folder or "")
        for file_name in sorted(recorded):
            if recorded[file_name] is not None:
                member = members.get(file_name) or archive.tree.file(file_name)
                assert member is not None, file_name
                compare(member, recorded[file_name])


def test_the_recordings_have_every_type_of_image_that_crit_knows() -> None:
    recorded = {image["magic"] for image in crit("every-field").values()}
    # pycriu 4.2.1 has no handler for these: pidfd and old signal images; VMAS is older than any handler of SIGNAL.
    assert {kind.name for kind in IMAGE_TYPES} - recorded == {"PIDFD", "SIGNAL", "BINFMT_MISC"}
