# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches over memory that a test made: borders, encodings, limits, expressions that never end."""

from __future__ import annotations

import gzip
import io
import pathlib
import random
import re
import tarfile
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.source import CHUNK
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics import search as searching
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.patterns import MAX_MATCH
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.search import Query, search
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._forensics.made import (
    BASE,
    PAGE,
    pages,
    write_checkpoint,
)


def found(folder: pathlib.Path, **query: t.Any) -> dict[str, t.Any]:
    with open_archive(folder) as archive:
        return search(Checkpoint(archive), Query(**query))


def places(result: dict[str, t.Any]) -> list[tuple[int, str, str]]:
    """(offset from BASE, encoding, match) of hits in memory."""
    return [
        (int(hit["address"], 16) - BASE, hit["encoding"], hit["match"])
        for hit in result["hits"]
        if hit["place"] == "memory"
    ]


@pytest.mark.parametrize("shift", [-9, -8, -1, 0, 1])
def test_across_pieces(tmp_path: pathlib.Path, shift: int) -> None:
    offset = CHUNK + shift
    write_checkpoint(tmp_path, {1: [(BASE, pages(b"needle-42", offset, 2 * CHUNK))]})
    assert places(found(tmp_path, literals=["needle-42"])) == [(offset, "utf-8", "needle-42")]
    assert places(found(tmp_path, regexes=["need[a-z]e-[0-9]+"])) == [(offset, "utf-8", "needle-42")]


def test_across_runs_that_touch_but_not_across_a_gap(tmp_path: pathlib.Path) -> None:
    first, second = pages(b"nee", PAGE - 3, PAGE), pages(b"dle", 0, PAGE)
    touching = write_checkpoint(tmp_path / "touching", {1: [(BASE, first), (BASE + PAGE, second)]})
    apart = write_checkpoint(tmp_path / "apart", {1: [(BASE, first), (BASE + 2 * PAGE, second)]})
    assert places(found(touching, literals=["needle"])) == [(PAGE - 3, "utf-8", "needle")]
    assert places(found(apart, literals=["needle"])) == []


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be"])
@pytest.mark.parametrize("offset", [64, 65, CHUNK - 5, CHUNK - 4, CHUNK - 1])
@pytest.mark.parametrize("text", ["Schluessel", "Schlüssel", "ключ"])
def test_utf_16(tmp_path: pathlib.Path, encoding: str, offset: int, text: str) -> None:
    write_checkpoint(tmp_path, {1: [(BASE, pages(b"\xff" + text.encode(encoding) + b"\xff", offset - 1, 2 * CHUNK))]})
    assert places(found(tmp_path, literals=[text])) == [(offset, encoding, text)]
    assert places(found(tmp_path, literals=[text.upper()], ignore_case=True)) == [(offset, encoding, text)]
    assert places(found(tmp_path, literals=[text.upper()])) == []


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be"])
@pytest.mark.parametrize("offset", [64, 65, CHUNK - 6, CHUNK - 1])
def test_regular_expression_in_utf_16(tmp_path: pathlib.Path, encoding: str, offset: int) -> None:
    content = b"\xffplain" + "user=alice7".encode(encoding) + b"\xff\xff"
    write_checkpoint(tmp_path, {1: [(BASE, pages(content, offset - 6, 2 * CHUNK))]})
    assert (offset, encoding, "user=alice7") in places(found(tmp_path, regexes=["user=[a-z]+[0-9]"]))


def test_every_case_of_ascii(tmp_path: pathlib.Path) -> None:
    write_checkpoint(tmp_path, {1: [(BASE, pages(b"PassWord and password", 100, PAGE))]})
    assert [
        match for unused, unused_too, match in places(found(tmp_path, literals=["PASSWORD"], ignore_case=True))
    ] == [
        "PassWord",
        "password",
    ]


def test_regular_expressions_do_not_depend_on_pieces(tmp_path: pathlib.Path) -> None:
    """The same matches as re gives over all bytes at once."""
    random.seed(4)
    data = bytes(random.choice(b"ab 01\x00") for unused in range(3 * CHUNK))
    write_checkpoint(tmp_path, {1: [(BASE, data)]})
    for expression in (rb"a+b", rb"(?<![ab])b[ab]*0", rb"\b1[01]{2,}\b", rb"b(?=aa)", rb"[ab]{4,}?0"):
        expected = [(match.start(), match.group().decode()) for match in re.finditer(expression, data)]
        result = places(found(tmp_path, regexes=[expression.decode()], limit=100_000))
        assert [(start, text) for start, encoding, text in result if encoding == "utf-8"] == expected


def test_long_matches_are_cut_wherever_they_begin(tmp_path: pathlib.Path) -> None:
    for shift in (0, 777):
        folder = write_checkpoint(
            tmp_path / str(shift),
            {1: [(BASE, pages(b"<" + b"x" * 3 * MAX_MATCH, CHUNK - MAX_MATCH + shift, 2 * CHUNK))]},
        )
        (hit,) = found(folder, regexes=["<x+"])["hits"]
        assert hit["size"] == MAX_MATCH


def test_hits_beyond_the_limit_are_counted(tmp_path: pathlib.Path) -> None:
    write_checkpoint(tmp_path, {1: [(BASE, b"spam" * PAGE)], 7: [(BASE, b"spam" * PAGE)]})
    result = found(tmp_path, literals=["spam"], limit=3)
    assert [pattern["hits"] for pattern in result["patterns"]] == [2 * PAGE]
    assert [hit["address"] for hit in result["hits"]] == [f"{BASE + offset:#x}" for offset in (0, 4, 8)]


def test_context(tmp_path: pathlib.Path) -> None:
    write_checkpoint(tmp_path, {1: [(BASE, pages(b"before-needle-\xff\x00after", CHUNK - 9, 2 * CHUNK))]})
    (hit,) = found(tmp_path, literals=["needle"], context=7)["hits"]
    assert bytes.fromhex(hit["context"]["hex"]) == b"before-needle-\xff\x00afte"
    assert (hit["context"]["before"], hit["context"]["text"]) == (7, "before-needle-..afte")


def test_bytes_that_are_no_text_are_escaped_and_said_so(tmp_path: pathlib.Path) -> None:
    write_checkpoint(tmp_path, {1: [(BASE, pages(b"a\\\xffb", 10, PAGE))]})
    result = found(tmp_path, hex=["615cff62"])
    assert result["hits"][0]["match"] == "a\\\\\\xffb"
    assert result["escaped"] == ["hits[0].match"]


@pytest.mark.parametrize("expression", ["(a+)+$x", "(?:a|aa)+b", "(a*)*b"])
def test_expressions_that_never_end_are_given_up(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.setattr(searching, "BUDGET_S", 0.2)
    write_checkpoint(tmp_path, {1: [(BASE, pages(b"a" * PAGE + b"!needle", 0, 2 * PAGE))]})
    result = found(tmp_path, regexes=[expression], literals=["needle"])
    assert [(pattern["pattern"], pattern["complete"]) for pattern in result["patterns"]] == [
        ("needle", True),
        (expression, False),
    ]
    assert [(note["code"], note["where"]) for note in result["notes"]] == [("regex_too_slow", expression)]
    assert [hit["pattern"] for hit in result["hits"]] == ["needle"]


def test_search_in_a_thread_knows_the_time_as_well(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "BUDGET_S", 0.0)
    write_checkpoint(tmp_path, {1: [(BASE, bytes(PAGE))]})
    results: list[dict[str, t.Any]] = []
    thread = threading.Thread(target=lambda: results.append(found(tmp_path, regexes=["needle"])))
    thread.start()
    thread.join()
    assert results[0]["patterns"][0]["complete"] is False


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"literals": [""]}, "literal_invalid"),
        ({"hex": ["xyz"]}, "hex_invalid"),
        ({"hex": ["abc"]}, "hex_invalid"),
        ({"hex": [" "]}, "hex_invalid"),
        ({"regexes": ["("]}, "regex_invalid"),
        ({"regexes": ["x*"]}, "regex_invalid"),
        ({"literals": ["x"], "limit": -1}, "limit_invalid"),
        ({"literals": ["x"], "context": 1 << 20}, "context_invalid"),
        ({"literals": ["x"], "pids": [99]}, "process_missing"),
    ],
)
def test_what_cannot_be_searched_for(tmp_path: pathlib.Path, query: dict[str, t.Any], code: str) -> None:
    write_checkpoint(tmp_path, {1: [(BASE, bytes(PAGE))]})
    with pytest.raises(CheckpointError) as caught:
        found(tmp_path, **query)
    assert caught.value.code == code


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_changed_files_also_compressed_ones(tmp_path: pathlib.Path, packed: bool) -> None:
    """containerd compresses the difference, whatever it is called; programs compress logs."""
    log = b"x" * 3 * CHUNK + b"needle"
    difference = tar_of({"var/log/app.1.gz": gzip.compress(log), "tmp/needle.txt": b"a needle"})
    others = {"rootfs-diff.tar": gzip.compress(difference) if packed else difference}
    write_checkpoint(tmp_path, {1: [(BASE, bytes(PAGE))]}, others)
    hits = found(tmp_path, literals=["needle"])["hits"]
    assert [(hit["place"], hit["file"], hit["offset"], hit["compression"]) for hit in hits] == [
        ("changed_file", "/tmp/needle.txt", 2, None),
        ("changed_file", "/var/log/app.1.gz", 3 * CHUNK, "gzip"),
        ("file_names", "names in /", 23, None),
    ]


def test_pages_that_no_process_has_and_images_that_are_damaged(tmp_path: pathlib.Path) -> None:
    others = {
        "checkpoint/pages-99.img": pages(b"needle", 5, PAGE),
        "checkpoint/pipes-data.img": b"not an image but a needle",
        "checkpoint/unheard-of.img": b"needle",
        "artifacts/needle": b"needle",
    }
    write_checkpoint(tmp_path, {1: [(BASE, bytes(PAGE))]}, others)
    hits = found(tmp_path, literals=["needle"])["hits"]
    assert [(hit["place"], hit["file"], hit["offset"]) for hit in hits] == [
        ("image", "checkpoint/pages-99.img", 5),
        ("image", "checkpoint/pipes-data.img", 19),
        ("image", "checkpoint/unheard-of.img", 0),
        ("other_file", "artifacts/needle", 0),
    ]
