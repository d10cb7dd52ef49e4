# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is dumped, on its way through a channel while CRIU still writes it: files whose sizes nobody knows before.

A tar has each size in front of its file, so it cannot carry them. Records, one after the other:

    N  length (2 bytes), name      a file begins: CONTAINER/config.dump, CONTAINER/checkpoint/pages-1.img, …
    D  length (4 bytes), bytes     more of it
    E  size (8 bytes)              the file ends, and has so many bytes
    Z  count (4 bytes)             there were so many files, and this is the end

Numbers have their most significant byte first. A digest is not in it: the channel lets nothing be changed, and a line
that was cut has no Z.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import struct
import threading
import typing as t

from .._common.errors import CheckpointError
from .._transfer.channel import FRAME_BYTES, Line

NAME, DATA, END, LAST = b"N", b"D", b"E", b"Z"
SHORT, LONG, HUGE = struct.Struct("!H"), struct.Struct("!I"), struct.Struct("!Q")
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")
"""Of a name. CRIU and the engines have no others; a container's name is a label of DNS, or shorter."""

MOST_FILES = 200_000
SMALL = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Sending:
    """An output of a dump (see _dump/output.py) that says everything into a line. ``folder``: of the container.

    Small pieces are said together. ``told`` is called now and then with the bytes so far.
    """

    def __init__(self, line: Line, told: t.Callable[[int], None] = lambda _bytes: None) -> None:
        self._line = line
        self._told = told
        self._kept = bytearray()
        self.folder = ""
        self.files = 0
        self.bytes = 0

    @contextlib.contextmanager
    def member(self, name: str) -> t.Iterator[t.Any]:
        """A file to write to, front to back."""
        path = f"{self.folder}/{name}".encode()
        self._say(NAME + SHORT.pack(len(path)) + path)
        before = self.bytes
        yield self
        self._say(END + HUGE.pack(self.bytes - before))
        self.files += 1

    def write(self, data: t.Any) -> int:
        """More of the file. Raises CheckpointError ``connection_lost``, ``offer_expired``."""
        view = memoryview(data).cast("B")
        # A frame has room for both.
        most = FRAME_BYTES - SMALL
        for start in range(0, len(view), most):
            piece = view[start : start + most]
            self._say(DATA + LONG.pack(len(piece)))
            self._say(piece)
        self.bytes += len(view)
        self._told(self.bytes)
        return len(view)

    def flush(self) -> None:
        """Nothing waits for long."""

    def end(self) -> None:
        """That was all."""
        self._say(LAST + LONG.pack(self.files))
        self._out()
        self._line.end()

    def _say(self, data: t.Any) -> None:
        if len(data) < SMALL:
            self._kept += data
            if len(self._kept) >= SMALL:
                self._out()
        else:
            self._out()
            self._line.say(data)

    def _out(self) -> None:
        for start in range(0, len(self._kept), FRAME_BYTES):
            self._line.say(bytes(self._kept[start : start + FRAME_BYTES]))
        self._kept.clear()


def send(sending: Sending, folder: str, stop: threading.Event) -> None:
    """Say what receive() made of a container: all files in ``folder``, which is root's alone, and in its checkpoint.

    Raises CheckpointError ``interrupted``, ``connection_lost``, ``offer_expired`` and OSError.
    """
    for place in ("", "checkpoint/"):
        for name in sorted(os.listdir(os.path.join(folder, place))):
            path = os.path.join(folder, place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb", buffering=0) as file, sending.member(place + name):
                    while piece := file.read(FRAME_BYTES):
                        if stop.is_set():
                            raise CheckpointError("interrupted", "It was stopped from outside", hint="Run it again")
                        sending.write(piece)


class Landed(t.NamedTuple):
    """What arrived."""

    files: int
    bytes: int


def receive(line: Line, folder: str, containers: t.Collection[str]) -> Landed:
    """Take everything into new folders, one for each container, in ``folder``, which is root's alone and exists.

    The folders get their names at the end: ``folder``/CONTAINER, mode 0700, files 0600. Nothing is left where it fails.
    Raises CheckpointError ``connection_lost``, ``offer_expired``, ``no_space``, ``destination_refused``,
    ``destination_exists``, ``stream_wrong``.
    """
    taking = {name: os.path.join(folder, f".{name}.arriving") for name in containers}
    try:
        with _blaming(folder):
            for path in taking.values():
                # What a run left that was killed.
                shutil.rmtree(path, ignore_errors=True)
                os.mkdir(path, 0o700)
                os.mkdir(os.path.join(path, "checkpoint"), 0o700)
            landed = _Taking(line, taking).run()
            for name, path in taking.items():
                destination = os.path.join(folder, name)
                if os.path.lexists(destination):
                    raise CheckpointError("destination_exists", f"{destination} is there already")
                os.rename(path, destination)
        return landed
    finally:
        for path in taking.values():
            shutil.rmtree(path, ignore_errors=True)


class _Taking:
    def __init__(self, line: Line, folders: dict[str, str]) -> None:
        self._line = line
        self._folders = folders
        self._files = 0
        self._bytes = 0

    def run(self) -> Landed:
        while True:
            kind = self._read(1)
            if kind == LAST:
                (count,) = LONG.unpack(self._read(LONG.size))
                if count != self._files:
                    raise _wrong(f"{self._files} files came of {count}")
                if self._line.read(1):
                    raise _wrong("there is more behind its end")
                return Landed(self._files, self._bytes)
            if kind != NAME:
                raise _wrong(f"no record begins with {kind!a}")
            (length,) = SHORT.unpack(self._read(SHORT.size))
            self._take(self._read(length).decode("ascii", "replace"))

    def _take(self, name: str) -> None:
        container, *rest = name.split("/")
        # Only what stands in this list becomes a path.
        inner = "/".join(rest)
        plain = all(PART.fullmatch(part) for part in rest)
        if container not in self._folders or not plain or len(rest) > 2 or rest[:-1] not in ([], ["checkpoint"]):
            raise _wrong(f"no dump has a file of this name: {name!a}")
        if self._files >= MOST_FILES:
            raise _wrong(f"it has more than {MOST_FILES} files")
        self._files += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.join(self._folders[container], inner), flags, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            size = self._fill(file)
        self._bytes += size

    def _fill(self, file: t.Any) -> int:
        size = 0
        while True:
            kind = self._read(1)
            if kind == END:
                (wanted,) = HUGE.unpack(self._read(HUGE.size))
                if wanted != size:
                    raise _wrong(f"{size} bytes came of {wanted}")
                return size
            if kind != DATA:
                raise _wrong(f"no record within a file begins with {kind!a}")
            (length,) = LONG.unpack(self._read(LONG.size))
            if length > FRAME_BYTES:
                raise _wrong("a record is longer than a frame")
            rest = memoryview(self._read(length))
            size += length
            while rest:
                rest = rest[file.write(rest) :]

    def _read(self, size: int) -> bytes:
        data = self._line.read(size)
        if len(data) != size:
            raise _wrong("it ends in the middle of a record")
        return data


def _wrong(what: str) -> CheckpointError:
    return CheckpointError("stream_wrong", f"What the source sends is no dump: {what}")


@contextlib.contextmanager
def _blaming(folder: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            reason, hint = f"The disk of {folder} is full", "Free some space there"
            raise CheckpointError("no_space", reason, hint=hint, message=str(error)) from error
        reason = f"The images cannot be written to {folder}"
        raise CheckpointError("destination_refused", reason, message=str(error)) from error
