# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression of a layer, as a stream: gzip with Python itself, zstd with whatever the machine has.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
import tempfile
import threading
import typing as t

from .._common.errors import CheckpointError

KINDS = ("none", "gzip", "zstd")

GZIP_LEVEL = 1
"""Memory compresses little better at higher levels, and takes several times as long."""

ZSTD_LEVEL = 3
"""The default of zstd itself."""

PIECE = 1 << 18


def check(compression: str) -> None:
    """Raise CheckpointError zstd_missing where the machine cannot compress that way."""
    if compression == "zstd" and _library("compression.zstd") is None and _library("zstandard") is None:
        _program()


def compressed(compression: str, chunks: t.Iterator[bytes]) -> t.Iterator[bytes]:
    """The compressed bytes of the chunks. The same machine gives the same bytes every time."""
    if compression == "none":
        return chunks
    if compression == "gzip":
        import zlib

        # Without a name and a time in the header, unlike Python's module gzip.
        return _object(zlib.compressobj(GZIP_LEVEL, wbits=31), chunks)
    own = _library("compression.zstd")
    if own is not None:
        return _object(own.ZstdCompressor(level=ZSTD_LEVEL), chunks)
    package = _library("zstandard")
    if package is not None:
        return _object(package.ZstdCompressor(level=ZSTD_LEVEL).compressobj(), chunks)
    return _piped([_program(), "-cq", f"-{ZSTD_LEVEL}"], chunks)


def _library(name: str) -> t.Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _program() -> str:
    program = shutil.which("zstd")
    if program is None:
        raise CheckpointError(
            "zstd_missing",
            "This machine has nothing that compresses with zstd",
            hint="Install the zstd program or the Python package zstandard there, or take compression gzip or none",
        )
    return program


def _object(compressor: t.Any, chunks: t.Iterator[bytes]) -> t.Iterator[bytes]:
    for chunk in chunks:
        out = compressor.compress(chunk)
        if out:
            yield out
    yield compressor.flush()


def _piped(command: list[str], chunks: t.Iterator[bytes]) -> t.Iterator[bytes]:
    """The output of a program, which a thread of its own feeds."""
    failures: list[BaseException] = []

    def feed(into: t.IO[bytes]) -> None:
        try:
            with into:
                for chunk in chunks:
                    into.write(chunk)
        except BaseException as error:
            # Of the chunks, or because the program ended first.
            failures.append(error)

    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as stack:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the program has no pipes")
        feeder = threading.Thread(target=feed, args=(process.stdin,), daemon=True)
        stack.callback(process.stdout.close)
        stack.callback(feeder.join)
        stack.callback(process.wait)
        stack.callback(process.kill)
        feeder.start()
        while True:
            out = process.stdout.read(PIECE)
            if not out:
                break
            yield out
        feeder.join()
        for failure in failures:
            if not isinstance(failure, BrokenPipeError):
                raise failure
        if process.wait() != 0:
            said.seek(0)
            text = said.read(4096).decode("utf-8", "replace").strip()
            raise CheckpointError("compression_failed", "The zstd program failed", message=text)
