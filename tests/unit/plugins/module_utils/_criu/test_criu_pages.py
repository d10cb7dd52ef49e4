# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import lzma
import random
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.members import from_bytes
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.source import FileSource
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu import lz4
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.memory import (
    AddressSpace,
    SharedMemory,
    area,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.pages import Pages, Piece
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    encode,
    image,
    images,
    pagemap,
)

PAGE = 4096
PRESENT, PARENT, LAZY, ALIGNED = 4, 1, 2, 8


def page(number: int) -> bytes:
    return bytes([number]) * PAGE


def joined(pieces: t.Iterable[Piece]) -> list[tuple[int, int, t.Optional[bytes], str]]:
    return [
        (piece.address, piece.size, None if piece.data is None else bytes(piece.data), piece.why) for piece in pieces
    ]


def test_both_fields_of_the_page_count() -> None:
    """CRIU up to 4.1.1 counts in field 2, since 4.2 in field 5 with 0 in field 2."""
    for entry in ({"compat_nr_pages": 2}, {"compat_nr_pages": 0, "nr_pages": 2}):
        found = images(
            {"pagemap-1.img": pagemap(7, {"vaddr": PAGE, "flags": PRESENT, **entry}), "pages-7.img": page(1) + page(2)}
        )
        pages = Pages(found, "pagemap", 1)
        assert joined(pages.read(0, 1 << 64)) == [(PAGE, 2 * PAGE, page(1) + page(2), "")]
        assert joined(pages.read(2 * PAGE - 1, 2 * PAGE + 1)) == [(2 * PAGE - 1, 2, b"\x01\x02", "")]
        assert found.notes.as_list() == []


def test_old_images_without_flags() -> None:
    found = images(
        {
            "pagemap-1.img": pagemap(
                1, {"vaddr": 0, "compat_nr_pages": 1}, {"vaddr": PAGE, "compat_nr_pages": 1, "in_parent": True}
            ),
            "pages-1.img": page(9),
        }
    )
    assert joined(Pages(found, "pagemap", 1).read(0, 1 << 64)) == [
        (0, PAGE, page(9), ""),
        (PAGE, PAGE, None, "parent"),
    ]


def test_only_present_entries_have_bytes() -> None:
    found = images(
        {
            "pagemap-1.img": pagemap(
                1,
                {"vaddr": 0, "nr_pages": 1, "flags": PRESENT},
                {"vaddr": 1 * PAGE, "nr_pages": 3, "flags": LAZY},
                {"vaddr": 4 * PAGE, "nr_pages": 1, "flags": PRESENT | LAZY},
                {"vaddr": 5 * PAGE, "nr_pages": 2, "flags": 0},
                {"vaddr": 7 * PAGE, "nr_pages": 1, "flags": PRESENT},
            ),
            "pages-1.img": page(1) + page(2) + page(3),
        }
    )
    pages = Pages(found, "pagemap", 1)
    assert joined(pages.read(0, 1 << 64)) == [
        (0, PAGE, page(1), ""),
        (PAGE, 3 * PAGE, None, "lazy"),
        (4 * PAGE, PAGE, page(2), ""),
        (7 * PAGE, PAGE, page(3), ""),
    ]


def test_parents_behind_one_another() -> None:
    first = images(
        {
            "pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 4, "flags": PRESENT}),
            "pages-1.img": b"".join(map(page, (1, 2, 3, 4))),
        }
    )
    second = images(
        {
            "pagemap-1.img": pagemap(
                1,
                {"vaddr": 0, "nr_pages": 1, "flags": PARENT},
                {"vaddr": PAGE, "nr_pages": 1, "flags": PRESENT},
                {"vaddr": 2 * PAGE, "nr_pages": 4, "flags": PARENT},
            ),
            "pages-1.img": page(20),
        },
        parent=first,
    )
    third = images({"pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 6, "flags": PARENT})}, parent=second)
    assert joined(Pages(third, "pagemap", 1).read(0, 1 << 64)) == [
        (0, PAGE, page(1), ""),
        (PAGE, PAGE, page(20), ""),
        (2 * PAGE, 2 * PAGE, page(3) + page(4), ""),
        (4 * PAGE, 2 * PAGE, None, "parent"),
    ]


@pytest.mark.parametrize("size", [4096, 16384, 65536])
def test_the_page_size_follows_from_the_image(size: int) -> None:
    found = images(
        {
            "pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 3, "flags": PRESENT}),
            "pages-1.img": bytes(range(3)) + bytes(3 * size - 3),
        }
    )
    pages = Pages(found, "pagemap", 1)
    assert pages.page_size == size
    assert sum(piece.size for piece in pages.read(0, 1 << 64)) == 3 * size


def test_the_page_size_of_a_cut_image_is_that_of_the_others() -> None:
    found = images(
        {
            "pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 2, "flags": PRESENT}),
            "pages-1.img": bytes(2 * 65536),
            "pagemap-2.img": pagemap(2, {"vaddr": 0, "nr_pages": 2, "flags": PRESENT}),
            "pages-2.img": bytes(65536 + 5),
        }
    )
    assert [Pages(found, "pagemap", pid).page_size for pid in (1, 2)] == [65536, 65536]


def test_pages_that_are_cut_short() -> None:
    found = images(
        {
            "pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 4, "flags": PRESENT}),
            "pages-1.img": page(1) + page(2)[:100],
        }
    )
    assert joined(Pages(found, "pagemap", 1).read(0, 1 << 64)) == [
        (0, PAGE + 100, page(1) + page(2)[:100], ""),
        (PAGE + 100, 3 * PAGE - 100, None, "cut"),
    ]
    assert found.notes.codes() == {"pages_cut"}


def test_the_pages_are_missing() -> None:
    found = images({"pagemap-1.img": pagemap(3, {"vaddr": 0, "nr_pages": 4, "flags": PRESENT})})
    assert joined(Pages(found, "pagemap", 1).read(0, 1 << 64)) == [(0, 4 * PAGE, None, "cut")]
    assert "image_missing" in found.notes.codes()


@pytest.mark.parametrize(
    "entries",
    [
        [{"vaddr": 0, "nr_pages": 1 << 63, "flags": PRESENT}],
        [{"vaddr": 1 << 63, "nr_pages": 1 << 52, "flags": PRESENT}],
        [{"vaddr": 5, "nr_pages": 1, "flags": PRESENT}],
        [{"vaddr": 4 * PAGE, "nr_pages": 2, "flags": PRESENT}, {"vaddr": 5 * PAGE, "nr_pages": 1, "flags": PRESENT}],
        [{"vaddr": 4 * PAGE, "nr_pages": 2, "flags": PRESENT}, {"vaddr": 0, "nr_pages": 1, "flags": PRESENT}],
    ],
)
def test_pagemaps_that_cannot_be(entries: list[dict[str, int]]) -> None:
    found = images({"pagemap-1.img": pagemap(1, *entries), "pages-1.img": page(1) * 3})
    list(Pages(found, "pagemap", 1).read(0, 1 << 64))
    assert found.notes.codes() == {"image_damaged"}


def test_giant_counts_are_not_believed() -> None:
    found = images(
        {"pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 1 << 50, "flags": PRESENT}), "pages-1.img": page(1)}
    )
    assert [piece.why for piece in Pages(found, "pagemap", 1).read(0, 1 << 64)] == ["", "cut"]


def test_new_flags_are_named() -> None:
    found = images(
        {"pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 1, "flags": PRESENT | 64}), "pages-1.img": page(1)}
    )
    list(Pages(found, "pagemap", 1).read(0, 1 << 64))
    assert found.notes.codes() == {"unknown_page_flags"}


def test_signs_of_32_bit_addresses() -> None:
    found = images(
        {
            "pagemap-1.img": pagemap(
                1,
                {"vaddr": 0x08048000, "nr_pages": 1, "flags": PRESENT},
                {"vaddr": 0xFFFFFFFFBFFFF000, "nr_pages": 1, "flags": PRESENT},
            ),
            "pages-1.img": page(1) + page(2),
        }
    )
    assert [piece.address for piece in Pages(found, "pagemap", 1).read(0, 1 << 64)] == [0x08048000, 0xBFFFF000]


def cases() -> list[dict[str, t.Any]]:
    with lzma.open(FIXTURES / "lz4-pages.json.xz", "rt") as file:
        return t.cast("list[dict[str, t.Any]]", json.load(file)["cases"])


def flat(sizes: list[int], per_block: int) -> dict[str, t.Any]:
    fields: dict[str, t.Any] = {"blocks": sizes, "total_compressed_size": sum(sizes)}
    return {**fields, "region_pages": per_block} if per_block > 1 else fields


def message(sizes: list[int], per_block: int, *, padded: bool = False) -> dict[str, t.Any]:
    total = sum(-(-size // PAGE) * PAGE if padded else size for size in sizes)
    blocks = {"block_sizes": sizes, "total_payload_size": total, "pages_per_block": per_block, "padded": padded}
    return {"blocks": [encode("pagemap_blocks", blocks)]}


def packed(sizes: list[int], per_block: int) -> dict[str, t.Any]:
    """The first shape with field 6 packed, as a newer protobuf compiler may write it."""
    data = b"".join(encode("pagemap_head", {"pages_id": size})[1:] for size in sizes)
    return {**flat(sizes, per_block), "blocks": [data]}


SHAPES: dict[str, t.Callable[[list[int], int], dict[str, t.Any]]] = {
    "flat": flat,
    "packed": packed,
    "message": message,
    "padded": lambda sizes, per_block: message(sizes, per_block, padded=True),
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("own", [True, False])
def test_compressed_pages(shape: str, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks made by the lz4 package, in each shape that the field had, by the own decoder and by what is there."""
    if own:
        monkeypatch.setattr(
            "ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.pages.decompress",
            lz4.decode_block,
        )
    for case in cases():
        whole = bytes.fromhex(case["pages"])
        blocks = [bytes.fromhex(text) for text in case["blocks"]]
        padded = shape == "padded"
        stored = b"".join(data + bytes(-len(data) % PAGE if padded else 0) for data in blocks)
        entry = SHAPES[shape]([len(data) for data in blocks], case["pages_per_block"])
        count = len(whole) // PAGE
        raw_start = (count + 5) * PAGE
        alignment = bytes(-len(stored) % PAGE)
        found = images(
            {
                "pagemap-1.img": pagemap(
                    1,
                    {"vaddr": PAGE, "nr_pages": count, "flags": PRESENT, **entry},
                    {"vaddr": raw_start, "nr_pages": 1, "flags": PRESENT | ALIGNED},
                ),
                "pages-1.img": stored + alignment + page(77),
            }
        )
        pages = Pages(found, "pagemap", 1)
        data = b"".join(bytes(piece.data or b"") for piece in pages.read(0, PAGE + len(whole)))
        assert data == whole
        assert joined(pages.read(raw_start, raw_start + PAGE)) == [(raw_start, PAGE, page(77), "")]
        middle = joined(pages.read(PAGE + len(whole) // 2 - 5, PAGE + len(whole) // 2 + 5))
        assert b"".join(part[2] or b"" for part in middle) == whole[len(whole) // 2 - 5 : len(whole) // 2 + 5]
        assert found.notes.as_list() == []


def test_compressed_pages_that_are_damaged() -> None:
    case = next(case for case in cases() if case["pages_per_block"] == 4 and len(case["blocks"]) > 2)
    blocks = [bytes.fromhex(text) for text in case["blocks"]]
    sizes = [len(data) for data in blocks]
    random_ = random.Random(3)
    count = len(case["pages"]) // 2 // PAGE
    for _round in range(200):
        stored = bytearray(b"".join(blocks))
        for _change in range(3):
            stored[random_.randrange(len(stored))] = random_.randrange(256)
        entry = {"vaddr": 0, "nr_pages": count, "flags": PRESENT, **flat(sizes, 4)}
        found = images({"pagemap-1.img": pagemap(1, entry), "pages-1.img": bytes(stored[: random_.randrange(9999999)])})
        pieces = list(Pages(found, "pagemap", 1).read(0, 1 << 64))
        assert sum(piece.size for piece in pieces) == count * PAGE


@pytest.mark.parametrize(
    "entry",
    [
        {"blocks": [1, 2, 3], "total_compressed_size": 6},
        {"blocks": [1 << 30, 1], "total_compressed_size": 6},
        {"total_compressed_size": 6},
        {"blocks": [5], "region_pages": 1 << 30},
        {"blocks": [b"\xff\xff"]},
        {"blocks": [b""]},
    ],
)
def test_sizes_of_compressed_pages_that_cannot_be(entry: dict[str, t.Any]) -> None:
    found = images(
        {"pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 2, "flags": PRESENT, **entry}), "pages-1.img": page(1)}
    )
    list(Pages(found, "pagemap", 1).read(0, 1 << 64))
    assert "image_damaged" in found.notes.codes()


@pytest.mark.parametrize(
    "block", [b"", b"\x10", b"\xf0\xff", b"\x10a\x00\x00", b"\x10a\x05\x00", b"\x1fa\x01\x00" + b"\xff" * 50, b"\x20ab"]
)
def test_lz4_blocks_that_are_damaged(block: bytes) -> None:
    with pytest.raises(lz4.Lz4Error):
        lz4.decode_block(block, 100)


def test_lz4_copies_that_overlap() -> None:
    assert lz4.decode_block(b"\x1fa\x01\x00\x50\x10b", 101) == b"a" * 100 + b"b"
    assert lz4.decode_block(b"\x32abc\x03\x00\x10d", 10) == b"abcabcabcd"


class Nothing:
    def path(self, identifier: int) -> str:
        return f"/file-{identifier}"

    def shared_memory(self, identifier: int) -> t.Optional[int]:
        return None


def space(*areas: dict[str, int], pagemap_: bytes = b"", pages: bytes = b"", **shared: bytes) -> AddressSpace:
    files = {f"{name.replace('_', '-')}.img": data for name, data in shared.items()}
    if pagemap_:
        files.update({"pagemap-1.img": pagemap_, "pages-1.img": pages})
    found = images(files)
    return AddressSpace([area(fields, Nothing()) for fields in areas], Pages(found, "pagemap", 1), SharedMemory(found))


ANONYMOUS = {"prot": 3, "flags": 0x22, "status": 1 | 1 << 9}
FILE = {"prot": 5, "flags": 2, "status": 1 | 1 << 6, "shmid": 4, "pgoff": 8192}
SHARED = {"prot": 3, "flags": 0x21, "status": 1 | 1 << 8, "shmid": 5}


def test_gaps_have_reasons() -> None:
    memory = space(
        {"start": 0x1000, "end": 0x4000, **ANONYMOUS},
        {"start": 0x6000, "end": 0x9000, **FILE},
        pagemap_=pagemap(
            1,
            {"vaddr": 0x2000, "nr_pages": 1, "flags": PRESENT},
            {"vaddr": 0x3000, "nr_pages": 1, "flags": LAZY},
            {"vaddr": 0x8000, "nr_pages": 1, "flags": PRESENT},
        ),
        pages=page(1) + page(2),
    )
    assert [(piece.address, piece.size, piece.why) for piece in memory.pieces(0, 0xA000)] == [
        (0x0000, 0x1000, "unmapped"),
        (0x1000, 0x1000, "zero"),
        (0x2000, 0x1000, ""),
        (0x3000, 0x1000, "lazy"),
        (0x4000, 0x2000, "unmapped"),
        (0x6000, 0x2000, "file"),
        (0x8000, 0x1000, ""),
        (0x9000, 0x1000, "unmapped"),
    ]
    assert memory.read(0x1FFE, 4) == b"\0\0\x01\x01"
    assert memory.known(0x1000, 0x2000)
    assert not memory.known(0x3000, 1)
    assert not memory.known(0x6000, 1)
    file = memory.find(0x6000)
    assert file is not None
    assert (file.kind, file.name, file.offset, file.permissions) == ("file", "/file-4", 8192, "r-xp")
    assert memory.find(0x5000) is None
    assert memory.counts(file) == {"present": 1}


def test_shared_memory_is_read_by_its_offset() -> None:
    memory = space(
        {"start": 0x10000, "end": 0x12000, "pgoff": 0x1000, **SHARED},
        pagemap_shmem_5=image("pagemap-shmem", {"pages_id": 2}, {"vaddr": 0, "nr_pages": 2, "flags": PRESENT}),
        pages_2=page(1) + page(2),
    )
    assert memory.read(0x10000, 3) == b"\x02\x02\x02"
    assert [(piece.address, piece.size, piece.why) for piece in memory.pieces(0x10000, 0x12000)] == [
        (0x10000, 0x1000, ""),
        (0x11000, 0x1000, "zero"),
    ]


def test_select() -> None:
    memory = space(
        {"start": 0x1000, "end": 0x2000, "prot": 7, "flags": 0x22, "status": 1},
        {"start": 0x2000, "end": 0x3000, "prot": 3, "flags": 0x22, "status": 1 | 1 << 5},
        {"start": 0x3000, "end": 0x4000, **FILE},
    )
    assert [found.start for found in memory.select(permissions="wx")] == [0x1000]
    assert [found.start for found in memory.select(kinds=("heap",))] == [0x2000]
    assert [found.start for found in memory.select(name=lambda name: name == "/file-4")] == [0x3000]
    assert [found.start for found in memory.select(start=0x1FFF, end=0x2001)] == [0x1000, 0x2000]


def test_areas_that_overlap_or_make_no_sense() -> None:
    memory = space(
        {"start": 0x1000, "end": 0x5000, **ANONYMOUS},
        {"start": 0x2000, "end": 0x3000, **ANONYMOUS},
        {"start": 0x4000, "end": 0x6000, **ANONYMOUS},
        {"start": 0x9000, "end": 0x8000, **ANONYMOUS},
        {},
    )
    pieces = list(memory.pieces(0, 0xA000))
    assert sum(piece.size for piece in pieces) == 0xA000
    assert [piece.address for piece in pieces] == sorted(piece.address for piece in pieces)


def test_a_view_of_the_file_is_not_a_copy(tmp_path: t.Any) -> None:
    """From a plain archive a piece is a view of the mapped file."""
    path = tmp_path / "pages"
    path.write_bytes(page(1) * 3)
    with open(path, "rb") as file:
        found = images({"pagemap-1.img": pagemap(1, {"vaddr": 0, "nr_pages": 3, "flags": PRESENT})})
        member = from_bytes("pages-1.img", b"")
        member.source, member.size, member.available = FileSource(file.fileno(), owner=False), 3 * PAGE, 3 * PAGE
        pages = Pages(found, "pagemap", 1)
        pages.layers[0].pages = member
        assert [type(piece.data) for piece in pages.read(0, 1 << 64)] == [memoryview]
