# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's side of a transfer: what an archive is there, and what the node is.

Private to this collection. Runs on nodes: standard library only, Python 3.9 or later, memory does not grow with the
archive.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import typing as t

from .._common.errors import CheckpointError
from .._common.moments import utc

BLOCK_BYTES = 1 << 20
"""Bytes read or written at once. A transfer is resumed at a multiple of it, so that plain ``dd skip=`` can seek."""

_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_CRIU_SECONDS = 10.0


class NotAFileError(OSError):
    """There is something, but not a regular file."""


def open_file(path: str) -> t.BinaryIO:
    """A regular file to be read without a buffer, never through a link and never waiting. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFileError(errno.EINVAL, "Not a regular file", path)
    return t.cast("t.BinaryIO", os.fdopen(descriptor, "rb", buffering=0))


def digest_of(stream: t.BinaryIO) -> tuple[str, int]:
    """SHA-256 (hexadecimal) and number of the bytes from here to the end of an unbuffered file."""
    digest = hashlib.sha256()
    count = 0
    while block := stream.read(BLOCK_BYTES):
        digest.update(block)
        count += len(block)
    return digest.hexdigest(), count


def describe_archive(path: str) -> dict[str, t.Any]:
    """What one archive on this node is, its SHA-256 included.

    Returns ``path``, ``size`` (bytes), ``mtime`` (UTC text), ``mode`` (``0600``), ``owner`` and ``sha256``.
    Raises :class:`CheckpointError` with ``path_invalid``, ``archive_missing``, ``archive_is_link``,
    ``archive_not_a_file``, ``archive_unreadable`` or ``archive_changing``.
    """
    if not os.path.isabs(path) or "\0" in path:
        raise CheckpointError("path_invalid", f"{path!r} is not an absolute path on the node", path=path)
    try:
        with open_file(path) as archive:
            before = os.fstat(archive.fileno())
            sha256, count = digest_of(archive)
            after = os.fstat(archive.fileno())
    except OSError as error:
        raise cannot_read(path, error) from error
    if (count, before.st_size, before.st_mtime_ns) != (before.st_size, after.st_size, after.st_mtime_ns):
        raise CheckpointError(
            "archive_changing",
            f"{path} changed while it was read",
            hint="The checkpoint is still being written, or another one goes to the same name; fetch it again later",
            path=path,
        )
    return {
        "path": path,
        "size": after.st_size,
        "mtime": utc(after.st_mtime_ns / 1e9, "microseconds"),
        "mode": f"{stat.S_IMODE(after.st_mode):04o}",
        "owner": _user_name(after.st_uid),
        "sha256": sha256,
    }


def describe_archives(paths: t.Iterable[str]) -> tuple[list[dict[str, t.Any]], list[dict[str, t.Any]]]:
    """All of them: what :func:`describe_archive` says, and the errors as data (each has its ``path``)."""
    described: list[dict[str, t.Any]] = []
    failures: list[dict[str, t.Any]] = []
    for path in paths:
        with _collecting(failures):
            described.append(describe_archive(path))
    return described, failures


def node_facts() -> dict[str, t.Any]:
    """What custody asks about the node: ``hostname``, ``kernel``, ``machine``, ``criu_version`` (None without CRIU)."""
    system = os.uname()
    return {
        "hostname": system.nodename,
        "kernel": system.release,
        "machine": system.machine,
        "criu_version": _criu_version(),
    }


@contextlib.contextmanager
def _collecting(failures: list[dict[str, t.Any]]) -> t.Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        failures.append(error.as_dict())


def cannot_read(path: str, error: OSError) -> CheckpointError:
    """``archive_missing``, ``archive_is_link``, ``archive_not_a_file`` or ``archive_unreadable``."""
    if isinstance(error, NotAFileError):
        return CheckpointError("archive_not_a_file", f"{path} is not a regular file on the node", path=path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return CheckpointError("archive_missing", f"{path} does not exist on the node", message=str(error), path=path)
    if error.errno == errno.ELOOP:
        return CheckpointError(
            "archive_is_link",
            f"{path} is a symbolic link",
            hint="Name the archive itself: a link could lead to any file of the node",
            message=str(error),
            path=path,
        )
    return CheckpointError(
        "archive_unreadable",
        f"{path} cannot be read on the node",
        hint="Archives belong to root; use become",
        message=str(error),
        path=path,
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _criu_version() -> str | None:
    # "criu --version" prints "Version: 4.2.1" and, for builds out of git, "GitID: ..." below it (criu/crtools.c).
    program = shutil.which("criu", path=_SEARCH_PATH)
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_CRIU_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(rb"Version:\s*(\S+)", done.stdout)
    return found.group(1).decode("ascii", "replace") if found else None
