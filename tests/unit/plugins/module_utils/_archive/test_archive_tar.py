# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import random
import struct
import tarfile
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive import tar, tarheader
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import (
    END,
    header,
    made,
    member,
    padded,
    pax,
    pax_raw,
    scan,
    summed,
)


def contents(data: bytes) -> dict[str, bytes]:
    return {found.name: found.read() for found in scan(data).members}


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_tarfile_writes(style: int) -> None:
    """Many random archives, in each of the three formats, with names of all lengths."""
    random_ = random.Random(style)
    for _round in range(40):
        members: dict[str, bytes] = {}
        for _member in range(random_.randrange(1, 12)):
            limit = 90 if style == tarfile.USTAR_FORMAT else 400
            name = "/".join(
                "".join(random_.choice("abcdeXYZ 0-_.ü") for _item in range(random_.randrange(1, 40))).strip(". ")
                or "x"
                for _item in range(random_.randrange(1, 6))
            )[: limit // 2].rstrip("/ .")
            members[name or "x"] = random_.randbytes(random_.choice([0, 1, 511, 512, 513, random_.randrange(5000)]))
        assert contents(made(members, style)) == members


def test_metadata_of_all_kinds() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind, name in [(tarfile.DIRTYPE, "folder"), (tarfile.FIFOTYPE, "fifo"), (tarfile.CHRTYPE, "null")]:
            info = tarfile.TarInfo(name)
            info.type = kind
            archive.addfile(info)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 200
        archive.addfile(link)
        info = tarfile.TarInfo("file")
        info.mode, info.uid, info.gid, info.mtime = 0o4711, 3_000_000, 7, 1795255005.5
        archive.addfile(info)
    tree = scan(out.getvalue())
    assert [found.kind for found in tree.members] == ["directory", "fifo", "character_device", "symlink", "file"]
    assert tree.members[3].link == "t" * 200
    file = tree.file("file")
    assert file is not None
    assert (file.mode, file.uid, file.gid, file.mtime) == (0o4711, 3_000_000, 7, 1795255005)
    assert tree.notes.as_list() == []


def test_extended_attributes_and_device_numbers() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("disk")
        info.type, info.devmajor, info.devminor = tarfile.BLKTYPE, 254, 7
        info.pax_headers = {"SCHILY.xattr.user.note": "a=b\nc", "SCHILY.xattr.user.empty": ""}
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("plain"))
    disk, plain = scan(out.getvalue()).members
    assert (disk.device, disk.xattrs) == ((254, 7), {"user.note": b"a=b\nc", "user.empty": b""})
    assert (plain.device, plain.xattrs) == ((0, 0), {})


def test_extended_attributes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_XATTRS", 1000)
    records = pax(SCHILY__xattr__user__a="x" * 700)
    tree = scan(records + member(b"first") + records + member(b"second") + END)
    assert [found.name for found in tree.members] == ["first"]
    assert tree.notes.codes() == {"archive_cut"}


def test_ustar_prefix() -> None:
    block = header(b"name", 0, tail=b"a/long/prefix")
    assert [found.name for found in scan(block + END).members] == ["a/long/prefix/name"]


def test_gnu_long_name_and_long_link() -> None:
    data = member(b"././@LongLink", b"n" * 300 + b"\0", b"L") + member(b"././@LongLink", b"l" * 300 + b"\0", b"K")
    tree = scan(data + header(b"short", 0, b"2", link=b"short", magic=b"ustar  \0") + END)
    assert (tree.members[0].name, tree.members[0].link) == ("n" * 300, "l" * 300)


def test_base_256_numbers() -> None:
    big = (8 << 33).to_bytes(12, "big")
    tree = scan(header(b"big", b"\x80" + big[1:]))
    assert (tree.members[0].size, tree.members[0].available) == (8 << 33, 0)
    assert tree.notes.codes() == {"archive_cut"}


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"\xc0" + bytes(11), b"-0000000001\0", b"99999999999\0", b"0x000000001\0"]
)
def test_sizes_that_are_none(size: bytes) -> None:
    tree = scan(member(b"good", b"data") + header(b"bad", size) + END)
    assert [found.name for found in tree.members] == ["good"]
    assert tree.notes.codes() == {"archive_cut"}


def test_giant_sizes_cost_nothing() -> None:
    for size in (b"\x80" + b"\xff" * 11, b"77777777777\0"):
        tree = scan(header(b"bomb", size) + END)
        assert tree.members[0].read(0, 4096) == END
        with pytest.raises(CheckpointError, match="too large") as caught:
            tar.Member("x", "file", 1 << 60, tree.source, 0).read()
        assert caught.value.code == "member_too_large"


def test_pax_wins_over_the_header() -> None:
    data = pax(path="ä/" + "x" * 300, size="5", uid="99", mtime="12.75", linkpath="to") + header(b"old", 0)
    tree = scan(data + padded(b"12345") + END)
    found = tree.members[0]
    assert (found.name, found.read(), found.uid, found.mtime) == ("ä/" + "x" * 300, b"12345", 99, 12)


def test_global_pax_headers_hold_for_all_that_follow() -> None:
    records = pax(uid="5")
    shared = summed(records[:156] + b"g" + records[157:512]) + records[512:]
    assert [found.uid for found in scan(shared + member(b"a") + member(b"b") + END).members] == [5, 5]


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"99 path=a\n", b"5 path", b"-1 path=a\n", b"11 path=abc", b"9999999999999999999999 a=b\n", b"3 a\n"],
)
def test_pax_records_that_are_damaged(data: bytes) -> None:
    if not data:
        assert tarheader.pax_records(data) == []
        return
    with pytest.raises(tarheader.BadHeader):
        tarheader.pax_records(data)
    tree = scan(member(b"first") + member(b"pax", data, b"x") + member(b"second") + END)
    assert [found.name for found in tree.members] == ["first"]


def test_huge_extension_headers_are_refused() -> None:
    tree = scan(member(b"first") + header(b"pax", 1 << 30, b"x") + END)
    assert tree.notes.codes() == {"archive_cut"}
    loop = b"".join(pax(uid=str(number)) for number in range(100))
    assert scan(member(b"first") + loop + member(b"second")).notes.codes() == {"archive_cut"}


SPARSE = b"A" * 512 + bytes(1024) + b"B" * 100


def test_old_gnu_sparse() -> None:
    tail = bytearray(512 - 345)
    entries = [(0, 512), (1536, 100)]
    for index, (offset, size) in enumerate(entries):
        tail[41 + 24 * index : 41 + 24 * index + 24] = b"%011o\0%011o\0" % (offset, size)
    tail[483 - 345 : 495 - 345] = b"%011o\0" % len(SPARSE)
    block = header(b"sparse", 612, b"S", magic=b"ustar  \0", tail=bytes(tail))
    tree = scan(block + b"A" * 512 + padded(b"B" * 100) + member(b"after") + END)
    assert [found.name for found in tree.members] == ["sparse", "after"]
    assert tree.members[0].read() == SPARSE
    assert tree.members[0].read(500, 1100) == SPARSE[500:1600]
    assert b"".join(bytes(part) for part in tree.members[0].chunks()) == SPARSE


def test_old_gnu_sparse_with_an_extension() -> None:
    count = 20
    tail = bytearray(512 - 345)
    pairs = [(1024 * index, 512) for index in range(count)]
    for index, (offset, size) in enumerate(pairs[:4]):
        tail[41 + 24 * index : 65 + 24 * index] = b"%011o\0%011o\0" % (offset, size)
    tail[482 - 345] = 1
    tail[483 - 345 : 495 - 345] = b"%011o\0" % (1024 * count)
    more = b"".join(b"%011o\0%011o\0" % pair for pair in pairs[4:])
    block = header(b"sparse", 512 * count, b"S", magic=b"ustar  \0", tail=bytes(tail))
    tree = scan(block + padded(more) + b"Z" * 512 * count + END)
    assert tree.members[0].read() == (b"Z" * 512 + bytes(512)) * count


@pytest.mark.parametrize(
    ("records", "front"),
    [
        ([("GNU.sparse.size", "1636"), ("GNU.sparse.map", "0,512,1536,100")], b""),
        (
            [
                ("GNU.sparse.size", "1636"),
                ("GNU.sparse.numblocks", "2"),
                ("GNU.sparse.offset", "0"),
                ("GNU.sparse.numbytes", "512"),
                ("GNU.sparse.offset", "1536"),
                ("GNU.sparse.numbytes", "100"),
            ],
            b"",
        ),
        (
            [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "1636")],
            padded(b"2\n0\n512\n1536\n100\n"),
        ),
    ],
)
def test_pax_sparse(records: list[tuple[str, str]], front: bytes) -> None:
    data = pax_raw([*records, ("GNU.sparse.name", "real"), ("path", "GNUSparseFile.0/real")])
    tree = scan(data + member(b"x", front + b"A" * 512 + b"B" * 100) + member(b"after") + END)
    assert [found.name for found in tree.members] == ["real", "after"]
    assert tree.members[0].read() == SPARSE


@pytest.mark.parametrize(
    "records",
    [
        [("GNU.sparse.size", "-1"), ("GNU.sparse.map", "0,1")],
        [("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,100")],
        [("GNU.sparse.size", "9" * 30), ("GNU.sparse.map", "0,1")],
        [("GNU.sparse.size", "100"), ("GNU.sparse.map", "50,10,0,10")],
        [("GNU.sparse.size", "100"), ("GNU.sparse.map", "x")],
        [("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "100")],
    ],
)
def test_sparse_maps_that_cannot_be(records: list[tuple[str, str]]) -> None:
    tree = scan(member(b"first") + pax_raw(records) + member(b"x", b"12345678") + END)
    assert [found.name for found in tree.members] == ["first"]
    assert tree.notes.codes() == {"archive_cut"}


def test_a_giant_sparse_file_is_read_in_parts() -> None:
    tree = scan(pax(GNU__sparse__size=str(1 << 60), GNU__sparse__map="0,4") + member(b"x", b"data") + END)
    found = tree.members[0]
    assert (found.size, found.read(0, 6)) == (1 << 60, b"data\0\0")
    assert found.read((1 << 60) - 2, 10) == bytes(2)


def test_cut_anywhere_gives_the_members_up_to_there() -> None:
    members = {f"member-{number}": bytes([number]) * 700 for number in range(4)}
    data = made(members)
    for size in range(0, len(data) - 1024, 100):
        if size < 512:
            with pytest.raises(CheckpointError) as caught:
                scan(data[:size])
            assert caught.value.code == "archive_not_tar"
            continue
        tree = scan(data[:size])
        assert tree.notes.codes() <= {"archive_cut"}
        for found in tree.members:
            whole = members[found.name]
            assert found.read() == whole[: found.available]
            assert found.complete == (found.available == len(whole))
        assert len(tree.members) == min(4, size // 1536 + (size % 1536 >= 512))


def test_damage_in_the_middle() -> None:
    data = bytearray(made({"a": b"1" * 600, "b": b"2", "c": b"3"}))
    data[1536 + 5] ^= 0xFF
    tree = scan(bytes(data))
    assert [found.name for found in tree.members] == ["a"]
    assert "checksum" in tree.notes.as_list()[0]["text"]


def test_signed_checksums_of_old_tools() -> None:
    block = bytearray(header("naïve".encode("latin-1")))
    signed = sum(byte - 256 if byte > 127 else byte for byte in bytes(block[:148]) + b" " * 8 + bytes(block[156:]))
    block[148:156] = b"%06o\0 " % signed
    assert scan(bytes(block) + END).members[0].name == "na\udcefve"


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", ".."])
def test_names_that_lead_out_are_listed_but_not_found(name: str) -> None:
    tree = scan(member(name.encode(), b"data") + END)
    assert tree.members[0].unsafe
    assert tree.notes.codes() == {"unsafe_name"}
    assert tree.get(tree.members[0].name) is None


def test_a_name_with_nul() -> None:
    tree = scan(pax(path="config.dump\0x") + member(b"x", b"data") + END)
    assert tree.members[0].unsafe
    assert tree.get("config.dump") is None


def test_the_last_of_duplicates_counts() -> None:
    tree = scan(member(b"config.dump", b"old") + member(b"./config.dump", b"new") + END)
    found = tree.file("config.dump")
    assert found is not None
    assert found.read() == b"new"
    assert tree.notes.codes() == {"duplicate_member"}


def test_links() -> None:
    data = member(b"real", b"data") + header(b"hard", 0, b"1", link=b"./real") + header(b"soft", 0, b"2", link=b"real")
    data += header(b"lost", 0, b"1", link=b"nowhere") + header(b"self", 0, b"1", link=b"self")
    tree = scan(data + END)
    hard = tree.file("hard")
    assert hard is not None
    assert hard.read() == b"data"
    assert tree.file("soft") is None
    assert tree.file("lost") is None
    assert tree.file("self") is None


def test_links_claim_no_data() -> None:
    """The size of a link counts for nothing, as with GNU tar and Go: the next header follows at once."""
    tree = scan(header(b"link", 512, b"2", link=b"x") + member(b"next", b"data") + END)
    assert [found.name for found in tree.members] == ["link", "next"]


def test_unknown_types_are_stepped_over() -> None:
    tree = scan(member(b"volume", b"x" * 600, b"V") + member(b"next", b"data") + END)
    assert [(found.name, found.kind) for found in tree.members] == [("volume", "other"), ("next", "file")]


def test_the_tail_of_an_older_file_is_noticed() -> None:
    """CRI-O does not cut a longer file of the same name (lab-findings)."""
    assert scan(made({"a": b"1"}) + b"leftover").notes.codes() == {"trailing_bytes"}
    assert scan(made({"a": b"1"})).notes.codes() == set()


def test_a_missing_end_mark_is_noticed() -> None:
    assert scan(member(b"a", b"1")).notes.codes() == {"archive_cut"}


@pytest.mark.parametrize("data", [b"", b"hello", bytes(10240), b"\x7fELF" + bytes(600), b"{}" * 400])
def test_what_is_no_tar(data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        scan(data)
    assert caught.value.code == "archive_not_tar"


def test_a_million_members_end_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(tar.Source):
        size = 1 << 40
        block = header(b"same")

        def read_at(self, offset: int, size: int) -> bytes:
            return self.block[:size]

    monkeypatch.setattr(tar, "MAX_MEMBERS", 20_000)
    began = time.monotonic()
    tree = tar.scan(Endless(), tar.Notes())
    assert len(tree.members) == 20_000
    assert "too_many_members" in tree.notes.codes()
    assert time.monotonic() - began < 30


def test_random_blocks_end_well() -> None:
    """Headers with random bytes and a right checksum: whatever they say, a clear end."""
    random_ = random.Random(7)
    for _round in range(3000):
        block = bytearray(random_.choice([header(b"name", 5), header(b"x", 40, b"x"), header(b"s", 512, b"S")]))
        for _change in range(random_.randrange(1, 20)):
            block[random_.randrange(512)] = random_.randrange(256)
        data = summed(bytes(block)) + random_.randbytes(1024) + member(b"next", b"data") + END
        # The first header is never damaged, so that there always is an archive.
        tree = scan(member(b"first", b"1") + data)
        assert tree.members[0].name == "first"
        for found in tree.members:
            assert len(found.read(0, 100)) <= 100


def test_numbers() -> None:
    assert tarheader.number(b"0000644\0") == 0o644
    assert tarheader.number(b"  644 \0\0") == 0o644
    assert tarheader.number(bytes(8)) == 0
    assert tarheader.number(b"\x80" + struct.pack(">Q", 1 << 40)[1:]) == 1 << 40
    assert tarheader.number(b"\xff" * 8) == -1


def test_folder_by_a_trailing_slash() -> None:
    tree = scan(member(b"folder/", b"") + member(b"folder/file", b"1") + member(b"folder/sub/file", b"2") + END)
    assert tree.members[0].kind == "directory"
    assert list(tree.under("folder")) == ["file"]


@pytest.mark.parametrize("position", range(0, 512, 3))
def test_one_byte_wrong_in_a_header(position: int) -> None:
    data = bytearray(member(b"first", b"1") + member(b"second", b"2" * 600) + member(b"third", b"3") + END)
    data[1024 + position] ^= 0x55
    tree = scan(bytes(data))
    assert tree.members[0].read() == b"1"
    assert tree.notes.codes() == {"archive_cut"}
