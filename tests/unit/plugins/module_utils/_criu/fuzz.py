# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutations of the recorded checkpoints: each must end in a result or in a CheckpointError, soon and in little memory.

    PYTHONPATH=<the folder that ansible_collections is in> python fuzz.py [COUNT [SEED]]

Bytes are changed, cut out and put in, in whole archives and in single images (where they get past the tar headers);
members are lost, doubled, swapped and renamed. Each is read in full, inspected, searched, and compared with the
archive that it was made from: see STEPS. An audit hook sees to it that nothing is opened for writing, run or removed
meanwhile.
"""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import random
import resource
import sys
import tempfile
import time
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import (
    Archive,
    open_archive,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.diff import diff
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.inspection import (
    Wishes,
    inspected,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.patterns_sets import SETS
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.search import Query, search
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.tree import render
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import made
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
    everything,
)

LIMIT_SECONDS = 2.0
LIMIT_MEMORY = 200 << 20
LARGEST = 1 << 16

EXTREMES = (
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x00\x00\x00\x00",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
)

Members = dict[str, bytes]


def load(name: str) -> Members:
    """The members of a fixture; of the largest ones (memory pages) the beginning, or each round would take long."""
    with open_archive(FIXTURES / REAL[name]) as archive:
        return {found.name: found.read(0, LARGEST) for found in archive.members if found.kind == "file"}


def change_bytes(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _change in range(random_.choice((1, 1, 2, 5, 20))):
        if changed:
            changed[random_.randrange(len(changed))] = random_.randrange(256)
    return bytes(changed)


def put_in(data: bytes, random_: random.Random) -> bytes:
    position = random_.randrange(len(data) + 1)
    piece = random_.choice((*EXTREMES, random_.randbytes(random_.randrange(1, 9))))
    if random_.random() < 0.5:
        return data[:position] + piece + data[position + len(piece) :]
    return data[:position] + piece + data[position:]


def cut_out(data: bytes, random_: random.Random) -> bytes:
    position = random_.randrange(len(data) + 1)
    if random_.random() < 0.5:
        return data[:position]
    return data[:position] + data[position + random_.randrange(1, 64) :]


def doubled(data: bytes, random_: random.Random) -> bytes:
    begin = random_.randrange(len(data) + 1)
    return data[:begin] + data[begin : begin + random_.randrange(1, 256)] * random_.randrange(2, 20) + data[begin:]


IN_DATA: tuple[t.Callable[[bytes, random.Random], bytes], ...] = (change_bytes, change_bytes, put_in, cut_out, doubled)


def in_members(members: Members, random_: random.Random) -> Members:
    """One or a few members changed, lost, swapped or renamed."""
    changed = dict(members)
    for _change in range(random_.choice((1, 1, 1, 2, 4))):
        if not changed:
            break
        # Sizes count for nothing: the small images are those with structure.
        name = random_.choice(sorted(changed))
        other = random_.choice(sorted(changed))
        what = random_.random()
        if what < 0.8:
            changed[name] = random_.choice(IN_DATA)(changed[name], random_)
        elif what < 0.87:
            del changed[name]
        elif what < 0.94:
            changed[name], changed[other] = changed[other], changed[name]
        else:
            changed[name.replace("-1.", "-2.") if "-1." in name else other] = changed[name]
    return changed


def mutation(members: Members, random_: random.Random) -> bytes:
    """A mutated archive: mostly single images, sometimes the archive as a whole, sometimes compressed."""
    if random_.random() < 0.75:
        data = made(in_members(members, random_))
    else:
        data = random_.choice(IN_DATA)(made(members), random_)
    if random_.random() < 0.1:
        data = gzip.compress(data, 1)
        if random_.random() < 0.5:
            data = random_.choice(IN_DATA)(data, random_)
    return data


class Watch:
    """An audit hook that cannot be taken out again, but is only awake within the with statement."""

    FORBIDDEN = frozenset({"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod"})

    def __init__(self) -> None:
        self.awake = False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[t.Any, ...]) -> None:
        if not self.awake:
            return
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            ):
                self.seen.append(f"open {arguments}")
        elif event in self.FORBIDDEN:
            self.seen.append(f"{event} {arguments}")

    def __enter__(self) -> Watch:
        self.awake = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.awake = False


def inspect(archive: Archive, _original: Archive) -> t.Any:
    """All sections, and the tree of them."""
    found = inspected(Checkpoint(archive), Wishes(sections=("everything",)))
    render(found).encode("utf-8")
    return found


def look_for(archive: Archive, _original: Archive) -> t.Any:
    """Every kind of pattern, everywhere."""
    query = Query(("planted",), ("7f454c46",), (r"[a-z]{4}=\S+",), tuple(SETS), ignore_case=True, limit=20)
    return search(Checkpoint(archive), query)


def compare(archive: Archive, original: Archive) -> t.Any:
    """With what it was made from, as the later of the two."""
    return diff(Checkpoint(original), Checkpoint(archive))


STEPS: tuple[t.Callable[[Archive, Archive], t.Any], ...] = (
    lambda archive, _original: everything(archive),
    inspect,
    look_for,
    compare,
)
"""What is asked of a mutated archive and of its original; each is given LIMIT_SECONDS of processor time, because the
machine may be busy with other things."""


def attempt(path: pathlib.Path, original: Archive, watch: Watch) -> tuple[str, float]:
    """How it ended ("read", or the code of the first error), and how long the slowest step took (seconds).

    Whatever is not a CheckpointError is raised.
    """
    end, slowest = "read", 0.0
    with watch:
        for step in STEPS:
            began = time.process_time()
            try:
                with open_archive(path) as archive:
                    json.dumps(step(archive, original)).encode("utf-8")
            except CheckpointError as error:
                end = error.code if end == "read" else end
            slowest = max(slowest, time.process_time() - began)
    return end, slowest


def run(count: int, seed: int, folder: pathlib.Path, say: t.Callable[[str], None]) -> dict[str, int]:
    """How often each end came; AssertionError with the seed of the mutation where one ended badly."""
    fixtures = [load(name) for name in sorted(REAL)]
    path, original = folder / "mutated.tar", folder / "original.tar"
    watch = Watch()
    ends: dict[str, int] = {}
    slowest = 0.0
    for number in range(count):
        one = f"{seed}/{number}"
        random_ = random.Random(one)
        members = random_.choice(fixtures)
        path.write_bytes(mutation(members, random_))
        original.write_bytes(made(members))
        try:
            with open_archive(original) as opened:
                end, took = attempt(path, opened, watch)
        except Exception as error:
            raise AssertionError(f"mutation {one} ended with {error!r}") from error
        slowest = max(slowest, took)
        assert took < LIMIT_SECONDS, f"mutation {one} took {took:.1f} s"
        assert not watch.seen, f"mutation {one} did {watch.seen}"
        ends[end] = ends.get(end, 0) + 1
        if (number + 1) % 1000 == 0:
            say(f"{number + 1} mutations, slowest {slowest:.2f} s, {ends}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    say(f"{count} mutations, slowest {slowest:.2f} s, peak memory {peak >> 20} MiB, {ends}")
    return ends


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as folder:
        run(count, seed, pathlib.Path(folder), print)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert peak < LIMIT_MEMORY, f"{peak >> 20} MiB of memory were used"
    return 0


if __name__ == "__main__":
    sys.exit(main())
