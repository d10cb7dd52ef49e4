# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an archive to a folder of images that CRIU may be given: verified, bounded, nothing but images.

The archive is hashed while it is copied, from one open file. Only members of the image folder with the name of an
image are written, each into a new file; everything else in the archive is read in place.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import typing as t

from .._archive import folder
from .._archive.archive import Archive, open_archive, open_nested
from .._archive.members import Member
from .._archive.notes import Notes
from .._archive.source import FileSource
from .._common.errors import CheckpointError
from .._criu.image_types import BY_PREFIX, RAW_PREFIXES, split_name
from .._criu.images import Images
from .._criu.pages import PE_PRESENT, page_count, page_flags
from . import trusted

MARGIN = 64 << 20
"""What has to stay free on the disk."""

DESCRIPTORS = "descriptors.json"
"""What standard input, output and error were: runc and crun write and read it."""

MAX_DESCRIPTORS = 1 << 20
PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")


class Opened:
    """An archive that may be restored: opened once, root's, and not to be written by anybody else.

    Raises CheckpointError archive_missing or archive_untrusted, and what open_archive() raises.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor, info = trusted.opened(path)
        try:
            self.unpacked = stat.S_ISDIR(info.st_mode)
            # By the descriptor, so that what is checked is what is read.
            self.archive: Archive = open_archive(f"/proc/self/fd/{self.descriptor}")
            if self.unpacked:
                for member in self.archive.members:
                    found = os.stat(member.name, dir_fd=self.descriptor, follow_symlinks=False)
                    trusted.require_trusted(found, member.name)
                trusted.read_by_descriptor(self.archive.tree, self.descriptor)
        except BaseException:
            os.close(self.descriptor)
            raise

    def close(self) -> None:
        self.archive.close()
        os.close(self.descriptor)

    def sha256(self) -> str:
        return trusted.sha256(self.descriptor)


def unpack(opened: Opened, sha256: t.Optional[str], into: str) -> Images:
    """Write the images into a folder that exists and is empty, and see that the archive has the digest of the ticket.

    Raises CheckpointError digest_wrong, not_a_checkpoint, images_damaged, incremental or no_space.
    """
    if opened.unpacked != (sha256 is None):
        raise CheckpointError("ticket_invalid", "A ticket has a SHA-256 for an archive, and none for an unpacked one")
    archive = opened.archive
    name = archive.image_folder()
    if name is None:
        raise CheckpointError("not_a_checkpoint", "The archive has no images of CRIU")
    if archive.tree.get(f"{name}/parent" if name else "parent") is not None:
        raise CheckpointError(
            "incremental", "The images are those of an incremental dump, and need the dump before them as well"
        )
    members = {
        base: member for base, member in archive.images(name).items() if member.kind == "file" and _wanted(base, member)
    }
    check_space(sum(member.size for member in members.values()), into)
    found: list[t.Union[str, BaseException]] = []
    hashing = threading.Thread(target=_hash, args=(opened, found), daemon=True)
    hashing.start()
    try:
        for base, member in members.items():
            _copy(opened, member, os.path.join(into, base), link=opened.unpacked and base.startswith("pages-"))
    finally:
        hashing.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    if found[0] != (sha256 or ""):
        raise CheckpointError(
            "digest_wrong",
            f"The archive {opened.path} is not the one that the ticket is for: its SHA-256 is {found[0]}",
            hint="Fetch the archive again, or leave a ticket for this one",
        )
    return images_in(into)


def images_in(path: str) -> Images:
    notes = Notes()
    members = {member.name: member for member in folder.scan(path, notes).members}
    return Images(members, notes)


def _wanted(base: str, member: Member) -> bool:
    if not member.complete:
        raise CheckpointError("images_damaged", f"The archive is cut short within {base}")
    if base == DESCRIPTORS:
        return member.size <= MAX_DESCRIPTORS
    prefix = split_name(base)[0]
    return bool(PLAIN_NAME.fullmatch(base)) and (prefix in BY_PREFIX or prefix in RAW_PREFIXES)


def check_space(needed: int, into: str) -> None:
    """Raise CheckpointError no_space unless so many bytes fit into a folder, and MARGIN stays free."""
    free = os.statvfs(into)
    if needed + MARGIN > free.f_bavail * free.f_frsize:
        raise CheckpointError(
            "no_space", f"Unpacked, the images take {needed} bytes, and {into} has not that much space left"
        )


def _hash(opened: Opened, found: list[t.Union[str, BaseException]]) -> None:
    try:
        found.append("" if opened.unpacked else opened.sha256())
    except BaseException as error:
        found.append(error)


def _copy(opened: Opened, member: Member, path: str, link: bool) -> None:
    if link:
        # Pages are only read, and everything else may be changed: a second name for those, a copy for these. Not a
        # symbolic link, as CRIU reads pages from within the new container's mounts.
        with contextlib.suppress(OSError):
            os.link(member.name, path, src_dir_fd=opened.descriptor, follow_symlinks=False)
            return
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if isinstance(member.source, FileSource) and member.source is opened.archive.tree.source:
            position, end = member.offset, member.offset + member.size
            while position < end:
                sent = os.sendfile(out, opened.descriptor, position, end - position)
                if not sent:
                    raise CheckpointError("images_damaged", f"The archive ends within {member.name}")
                position += sent
            return
        with os.fdopen(os.dup(out), "wb", buffering=0) as file:
            written = sum(file.write(piece) or 0 for piece in member.chunks())
        if written != member.size:
            raise CheckpointError("images_damaged", f"The archive ends within {member.name}")
    finally:
        os.close(out)


def check_pages(images: Images) -> None:
    """See that every page that the images speak of is there: CRIU itself looks for a missing one for ever.

    Raises CheckpointError images_damaged.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    needed: dict[str, int] = {}
    for prefix in ("pagemap", "pagemap-shmem"):
        for identifier in images.ids(prefix):
            pages_id = "-"
            for index, entry in enumerate(images.each(prefix, identifier)):
                if index == 0:
                    pages_id = str(entry.fields.get("pages_id", "-"))
                elif page_flags(entry.fields) & PE_PRESENT:
                    needed[pages_id] = needed.get(pages_id, 0) + page_count(entry.fields)
    for pages_id, count in needed.items():
        member = images.member("pages", pages_id)
        if member is None or member.size < count * page:
            raise CheckpointError(
                "images_damaged",
                f"The image pages-{pages_id}.img is cut short: {count} pages belong in it",
                hint="Fetch the archive again",
            )
    for identifier in images.ids("mm"):
        if images.member("pagemap", identifier) is None:
            raise CheckpointError("images_damaged", f"The image pagemap-{identifier}.img is missing")
    damaged = next((note for note in images.notes if note["code"] in ("image_damaged", "image_missing")), None)
    if damaged is not None:
        raise CheckpointError("images_damaged", f"{damaged['where']}: {damaged['text']}")


def check_tmpfs(images: Images) -> None:
    """See that the tar files of file systems in memory stay within them; CRIU has the node's tar unpack them.

    Raises CheckpointError images_damaged.
    """
    for prefix in ("tmpfs", "tmpfs-dev"):
        for identifier in images.ids(prefix):
            packed = images.member(prefix, identifier)
            for member in open_nested(packed, images.notes).members if packed is not None and packed.size else ():
                if member.unsafe or member.kind == "block_device":
                    raise CheckpointError("images_damaged", f"A file system in memory holds {member.name!a}")
