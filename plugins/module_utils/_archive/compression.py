# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed archives, read forward with bounded memory.

gzip, bzip2 and xz come with Python. zstd is read by Python's own module (3.14 and later), else by the ``zstandard``
package, else by the ``zstd`` program. What reads a format is imported when an archive has it: the usual archive is not
compressed, and listing a thousand of them must not wait for modules.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import importlib
import typing as t

from .._common.errors import CheckpointError
from .source import Reader, Source, StreamSource

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
"""First bytes and the name of the format: RFC 1952; bzip2 1.0.8; xz file format 1.2.0; RFC 8878.

A zstd stream may begin with a skippable frame (0x184d2a50 to 0x184d2a5f), see detect()."""

WINDOW_LOG_MAX = 27
"""The largest zstd window that is accepted: 128 MiB, the default bound of the zstd program."""

XZ_MEMORY = 128 << 20
"""The memory an xz stream may ask for: xz -9 needs 65 MiB to decompress."""

INPUT = 1 << 17


def detect(head: bytes) -> t.Optional[str]:
    """The name of the compression from the first bytes of a file, None for anything else."""
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
        return "zstd"
    return None


def damaged(name: str, error: t.Union[Exception, str]) -> CheckpointError:
    return CheckpointError(
        "archive_damaged",
        f"The {name} stream is damaged",
        hint="Fetch the archive again and compare its checksum",
        message=str(error),
    )


class _Input:
    """The compressed bytes of a source, one after another."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.offset = 0

    def read(self, size: int = INPUT) -> bytes:
        data = self._source.read_at(self.offset, size)
        self.offset += len(data)
        return data


class _Decoder(t.Protocol):
    """The part of bz2's, lzma's and (by _Gzip) zlib's decompressors that is used."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether it can go on only with more input."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """The next bytes, ``max_length`` of them at most; -1: all."""


class _Gzip:
    """zlib's decompressor with the manners of bz2's and lzma's."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(0, max_length))


def _bzip2() -> _Decoder:
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> _Decoder:
    import lzma

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


class _Streams:
    """One or more compressed streams behind one another, as gzip, bzip2 and xz allow them."""

    def __init__(self, name: str, make: t.Callable[[], _Decoder], source: Source) -> None:
        self._name = name
        self._make = make
        self._input = _Input(source)
        self._decoder: t.Optional[_Decoder] = make()
        self._fed = False

    @property
    def consumed(self) -> int:
        return max(1, self._input.offset)

    def read(self, size: int) -> bytes:
        while self._decoder is not None:
            data = self._input.read() if self._decoder.needs_input else b""
            if not data and self._decoder.needs_input:
                if self._fed:
                    raise damaged(self._name, "unexpected end of the compressed data")
                return b""
            out = self._decode(data, size)
            if self._decoder.eof:
                self._next()
            if out:
                return out
        return b""

    def _decode(self, data: bytes, size: int) -> bytes:
        if self._decoder is None:
            raise AssertionError("self._decoder is not set")
        self._fed = True
        try:
            return self._decoder.decompress(data, size)
        except Exception as error:
            # Each format has an error class of its own, beside OSError, EOFError, ValueError and MemoryError.
            raise damaged(self._name, error) from error

    def _next(self) -> None:
        """Begin the next stream, skipping padding of zeros; bytes of another kind end the data."""
        if self._decoder is None:
            raise AssertionError("self._decoder is not set")
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest:
            data = self._input.read()
            if not data:
                self._decoder = None
                return
            rest = data.lstrip(b"\0")
        if len(rest) < 6:
            rest += self._input.read()
        if detect(rest) != self._name:
            self._decoder = None
            return
        # Hand what was read ahead back to the input.
        self._input.offset -= len(rest)
        self._decoder = self._make()
        self._fed = False

    def close(self) -> None:
        self._decoder = None


class _ZstdObject:
    """A zstd reader object of Python's own module or of the zstandard package."""

    def __init__(self, source: Source, make: t.Callable[[t.Any], t.Any], errors: tuple[type[Exception], ...]) -> None:
        self._input = _Input(source)
        self._errors = errors
        self._stream = make(self._input)

    @property
    def consumed(self) -> int:
        return max(1, self._input.offset)

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except self._errors as error:
            raise damaged("zstd", error) from error

    def close(self) -> None:
        self._stream = None


class _ZstdProgram:
    """The zstd program, fed through a pipe by a thread of its own."""

    def __init__(self, source: Source, program: str) -> None:
        import subprocess
        import threading

        self._input = _Input(source)
        self._process = subprocess.Popen(
            [program, "-dcq", f"--long={WINDOW_LOG_MAX}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def _feed(self) -> None:
        if self._process.stdin is None:
            raise AssertionError("self._process.stdin is not set")
        try:
            while True:
                data = self._input.read()
                if not data:
                    break
                self._process.stdin.write(data)
        except (OSError, ValueError, CheckpointError):
            # The program ended first; its exit code tells.
            pass
        finally:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    @property
    def consumed(self) -> int:
        return max(1, self._input.offset)

    def read(self, size: int) -> bytes:
        if self._process.stdout is None:
            raise AssertionError("self._process.stdout is not set")
        if self._process.stderr is None:
            raise AssertionError("self._process.stderr is not set")
        data = self._process.stdout.read(size)
        if not data and self._process.wait() != 0:
            raise damaged("zstd", self._process.stderr.read(4096).decode("utf-8", "replace").strip())
        return data

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._feeder.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def _zstd(source: Source) -> Reader:
    try:
        own = importlib.import_module("compression.zstd")
    except ImportError:
        own = None
    if own is not None:
        options = {own.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
        return _ZstdObject(source, lambda raw: own.ZstdFile(raw, options=options), (own.ZstdError, EOFError, OSError))
    try:
        package = importlib.import_module("zstandard")
    except ImportError:
        package = None
    if package is not None:
        maker = package.ZstdDecompressor(max_window_size=1 << WINDOW_LOG_MAX)
        return _ZstdObject(
            source, lambda raw: maker.stream_reader(raw, read_across_frames=True), (package.ZstdError, OSError)
        )
    import shutil

    program = shutil.which("zstd")
    if program is not None:
        return _ZstdProgram(source, program)
    raise CheckpointError(
        "zstd_missing",
        "The archive is compressed with zstd, and this machine has nothing that reads it",
        hint="Install the zstd program or the Python package zstandard here, or read the archive on another machine",
    )


def reader(name: str, source: Source) -> Reader:
    """A reader for the compression ``name`` over ``source``. Raises CheckpointError zstd_missing."""
    if name == "gzip":
        return _Streams(name, _Gzip, source)
    if name == "bzip2":
        return _Streams(name, _bzip2, source)
    if name == "xz":
        return _Streams(name, _xz, source)
    return _zstd(source)


def opened(source: Source) -> tuple[Source, t.Optional[str]]:
    """The source itself, or a stream over it where it is compressed; and the compression's name or None."""
    name = detect(source.read_at(0, 6))
    if name is None:
        return source, None
    return StreamSource(lambda: reader(name, source)), name
