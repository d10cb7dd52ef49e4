# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
import struct
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.members import Member, from_bytes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu import (
    fields,
    image_types,
    images,
    wire,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.clean import clean, escape
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.wire import (
    Context,
    WireError,
    decode,
    varint,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu import support


def random_values(message: str, random_: random.Random, depth: int = 0) -> dict[str, t.Any]:
    """A message with some of its fields at random, the way the reader gives it back."""
    values: dict[str, t.Any] = {}
    for field in wire.fields_of(message).values():
        if random_.random() < 0.3 or (field.message and depth > 3) or field.kind == "any":
            continue

        def one(kind: str = field.kind, inner: str = field.message) -> t.Any:
            if inner:
                return random_values(inner, random_, depth + 1)
            if kind == "bool":
                return random_.random() < 0.5
            if kind in ("str", "bytes"):
                raw = random_.randbytes(random_.randrange(20))
                return raw if kind == "bytes" else raw.decode("utf-8", "surrogateescape")
            bits = int(kind[1:])
            value = random_.choice([0, 1, 127, 128, 300, random_.getrandbits(bits)]) & ((1 << bits) - 1)
            return value - (1 << bits) if kind[0] in "iz" and value >> (bits - 1) else value

        values[field.name] = [one() for _item in range(random_.randrange(1, 4))] if field.repeated else one()
    return values


@pytest.mark.parametrize("message", sorted(fields.MESSAGES))
def test_what_is_written_is_read(message: str) -> None:
    random_ = random.Random(message)
    for _round in range(10):
        values = random_values(message, random_)
        context = Context()
        assert decode(support.encode(message, values), message, context) == values
        assert context.unknown == set()


@pytest.mark.parametrize("message", ["core_entry", "file_entry", "mm_entry", "cgroup_entry", "pagemap_entry"])
def test_any_bytes_end_well(message: str) -> None:
    random_ = random.Random(message)
    good = support.encode(message, random_values(message, random.Random(1)))
    ended = {True: 0, False: 0}
    for _round in range(4000):
        data = bytearray(good)
        for _change in range(random_.randrange(1, 6)):
            data[random_.randrange(len(data))] = random_.randrange(256)
        data = data[: random_.randrange(1, len(data) + 1)]
        try:
            decode(bytes(data), message)
        except WireError:
            ended[False] += 1
        else:
            ended[True] += 1
    assert all(ended.values())


def test_varints() -> None:
    assert varint(b"\x96\x01", 0) == (150, 2)
    assert varint(b"\xff" * 9 + b"\x01", 0) == ((1 << 64) - 1, 10)
    for bad in (b"", b"\x80", b"\xff" * 11):
        with pytest.raises(WireError):
            varint(bad, 0)


def test_the_last_value_counts_and_repeated_ones_may_be_packed() -> None:
    assert decode(b"\x08\x01\x08\x02", "pstree_entry") == {"pid": 2}
    assert decode(b"\x2a\x03\x01\x02\x03\x28\x04", "pstree_entry") == {"threads": [1, 2, 3, 4]}
    packed = b"\x82\x01\x10" + struct.pack("<QQ", 5, 1 << 63)
    assert decode(packed, "sk_opts_entry") == {"so_filter": [5, 1 << 63]}
    with pytest.raises(WireError):
        decode(b"\x82\x01\x03abc", "sk_opts_entry")


def test_unknown_fields_are_named_not_misread() -> None:
    context = Context()
    data = b"\x08\x01" + b"\x98\x06\x05" + b"\xa2\x06\x02hi" + b"\xa9\x06" + bytes(8) + b"\xb5\x06" + bytes(4)
    assert decode(data, "pstree_entry", context) == {"pid": 1}
    assert sorted(context.unknown) == [("pstree_entry", number) for number in (99, 100, 101, 102)]


def test_a_known_number_of_another_type_is_unknown() -> None:
    context = Context()
    assert decode(b"\x0a\x01x\x10\x07", "pstree_entry", context) == {"ppid": 7}
    assert context.unknown == {("pstree_entry", 1)}


def test_text_that_is_not_utf_8_is_kept() -> None:
    found = decode(support.encode("utsns_entry", {"nodename": "a\udcffb"}), "utsns_entry")
    assert found["nodename"].encode("utf-8", "surrogateescape") == b"a\xffb"


def test_nesting_without_end() -> None:
    data = b""
    for _level in range(200):
        data = support.varint(2 << 3 | 2) + support.varint(len(data)) + data
    with pytest.raises(WireError, match="nest"):
        decode(data, "cgroup_dir_entry")


def test_values_without_end() -> None:
    with pytest.raises(WireError, match="more values"):
        decode(b"\x28\x01" * 2000, "pstree_entry", Context(1000))
    with pytest.raises(WireError, match="more values"):
        decode(b"\x2a\xd0\x0f" + b"\x01" * 2000, "pstree_entry", Context(1000))


def read(data: bytes, prefix: str = "pstree") -> list[images.Entry]:
    return list(images.entries(from_bytes("x.img", data), image_types.BY_PREFIX[prefix]))


def test_framing() -> None:
    image = support.image("pstree", {"pid": 1}, {"pid": 2})
    assert [entry.fields for entry in read(image)] == [{"pid": 1}, {"pid": 2}]
    old = support.image("pstree", {"pid": 1}, version=1)
    assert [entry.fields for entry in read(old)] == [{"pid": 1}]
    for size in range(len(image)):
        found: list[images.Entry] = []
        # Exactly between two entries nothing shows that there were more.
        if size in (8, 8 + 4 + 2):
            found += read(image[:size])
            continue
        with pytest.raises(WireError):
            found.extend(images.entries(from_bytes("x.img", image[:size]), image_types.BY_PREFIX["pstree"]))
        assert [entry.fields for entry in found] == [{"pid": 1}][: size > 14]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x02",
        struct.pack("<II", image_types.IMG_COMMON, image_types.INVENTORY),
        support.image("pstree") + struct.pack("<I", 0xFFFFFFFF) + b"x",
        support.image("pstree") + struct.pack("<I", 65 << 20) + b"x",
        support.image("pstree") + struct.pack("<I", 3) + b"\x08\xff\xff",
    ],
)
def test_images_that_are_damaged(data: bytes) -> None:
    with pytest.raises(WireError):
        read(data)


def test_entries_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_ENTRIES", 100)
    with pytest.raises(WireError, match="more than 100"):
        read(support.image("pstree") + bytes(4) * 101)


def test_bytes_behind_entries() -> None:
    data = support.image("pipes-data", {"pipe_id": 1, "bytes": 4}, b"pipe", {"pipe_id": 2, "bytes": 0}, b"")
    first, second = read(data, "pipes-data")
    assert (first.blobs["data"].read(), second.blobs["data"].size) == (b"pipe", 0)
    assert first.blobs["data"].read(1, 2) == b"ip"
    assert b"".join(bytes(part) for part in first.blobs["data"].chunks()) == b"pipe"


def test_bytes_behind_an_entry_are_cut_short() -> None:
    notes = support.images({"pipes-data.img": support.image("pipes-data", {"pipe_id": 1, "bytes": 400}, b"pipe")})
    entries = list(notes.each("pipes-data"))
    assert [entry.blobs["data"].read() for entry in entries] == [b"pipe"]
    assert notes.notes.codes() == {"image_damaged"}


def test_giant_counts_behind_entries() -> None:
    for prefix, entry in [
        ("pipes-data", {"bytes": 0xFFFFFFFF}),
        ("sk-queues", {"length": 0xFFFFFFFF}),
        ("ipcns-sem", {"nsems": 0xFFFFFFFF}),
        ("ipcns-shm", {"size": (1 << 64) - 1}),
        ("ipcns-msg", {"qnum": 0xFFFFFFFF}),
        ("tcp-stream", {"inq_len": 0xFFFFFFFF, "outq_len": 0xFFFFFFFF}),
        ("ghost-file", {"chunks": True, "size": 1 << 63}),
        ("bpfmap-data", {"keys_bytes": 0xFFFFFFFF, "values_bytes": 5}),
    ]:
        found = support.images({f"{prefix}.img": support.image(prefix, entry) + b"\xff\xff\xff\x7f"})
        assert len(list(found.each(prefix))) <= 1
        assert found.notes.codes() == {"image_damaged"}, prefix


def test_ghost_files_in_chunks() -> None:
    chunk = support.encode("ghost_chunk_entry", {"len": 4, "off": 8192})
    data = support.image("ghost-file", {"chunks": True, "size": 9000}) + struct.pack("<I", len(chunk)) + chunk + b"data"
    entry = read(data, "ghost-file")[0]
    assert [(fields, blob.read()) for fields, blob in entry.parts] == [({"len": 4, "off": 8192}, b"data")]


def test_unknown_images_are_named() -> None:
    names = ("hologram-5.img", "pages-1.img", "core-1.img", "descriptors.json", "tmpfs-dev-9.tar.gz.img")
    found = support.images(dict.fromkeys(names, b""))
    assert [(note["code"], note["where"]) for note in found.notes] == [("unknown_image", "hologram-5.img")]
    assert found.ids("tmpfs-dev") == ["9"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("core-1.img", ("core", "1")),
        ("pagemap-shmem-77.img", ("pagemap-shmem", "77")),
        ("pagemap-77.img", ("pagemap", "77")),
        ("tcp-stream-8a01f.img", ("tcp-stream", "8a01f")),
        ("inventory.img", ("inventory", "")),
        ("route6-10.img", ("route6", "10")),
        ("netns-ct-4.img", ("netns-ct", "4")),
        ("netns-4.img", ("netns", "4")),
        ("what-is-this.img", ("what-is-this", "")),
        ("stats-dump", ("", "")),
        (".img", ("", "")),
    ],
)
def test_names_of_images(name: str, expected: tuple[str, str]) -> None:
    assert image_types.split_name(name) == expected


def test_reading_in_windows() -> None:
    """An image larger than the window, with an entry across its end."""
    many = [{"pid": number, "threads": list(range(50))} for number in range(5000)]
    data = support.image("pstree", *many)
    assert len(data) > 1 << 18
    member = from_bytes("pstree.img", data)
    assert isinstance(member, Member)
    assert [entry.fields for entry in images.entries(member, image_types.BY_PREFIX["pstree"])] == many


@pytest.mark.parametrize("raw", [b"plain", "äöü".encode(), b"a\xffb", b"\\x41\xff\\", bytes(range(256)), b"\\"])
def test_escaping_loses_nothing(raw: bytes) -> None:
    text, escaped = escape(raw.decode("utf-8", "surrogateescape"))
    text.encode("utf-8")
    assert (support.unescape(text) if escaped else text.encode()) == raw


def test_clean_says_what_it_escaped() -> None:
    escaped: list[str] = []
    value = {"a": ["ok", "\udcff"], "b": {"c": b"\xfe"}, "d": 5, 7: None, "lone": "\ud800"}
    assert clean(value, "", escaped) == {
        "a": ["ok", "\\xff"],
        "b": {"c": "\\xfe"},
        "d": 5,
        "7": None,
        "lone": "\\xed\\xa0\\x80",
    }
    assert escaped == ["a[1]", "b.c", "lone"]
