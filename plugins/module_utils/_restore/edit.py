# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing single fields of CRIU's images; every other byte stays as it was dumped.

Source of the wire format: protobuf.dev/programming-guides/encoding; of the framing: criu criu/image.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import typing as t

from .._common.errors import CheckpointError
from .._criu.fields import MESSAGES
from .._criu.image_types import BY_PREFIX, IMG_COMMON, IMG_SERVICE, split_name
from .._criu.wire import BYTES, FIXED32, FIXED64, VARINT, WireError, varint

MAX_IMAGE = 64 << 20
"""The largest image that is rewritten: those of mounts, files and threads are far smaller."""

FIXED = {FIXED64: 8, FIXED32: 4}


def field(message: str, name: str) -> int:
    """The number of a field, from the one table of them."""
    for entry in MESSAGES[message].split(";"):
        number, found, _kind = entry.split()
        if found == name:
            return int(number)
    raise KeyError(name)


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Message:
    """A message as a list of fields (number, wire type, value) in their order; of numbers the value is an int."""

    def __init__(self, data: bytes = b"") -> None:
        self.fields: list[tuple[int, int, t.Union[int, bytes]]] = []
        position = 0
        while position < len(data):
            key, position = varint(data, position)
            wire = key & 7
            value: t.Union[int, bytes]
            if wire == VARINT:
                value, position = varint(data, position)
            else:
                size = FIXED.get(wire, -1)
                if wire == BYTES:
                    size, position = varint(data, position)
                if size < 0 or size > len(data) - position:
                    raise WireError("a field is longer than its message")
                value = data[position : position + size]
                position += size
            self.fields.append((key >> 3, wire, value))

    def __bytes__(self) -> bytes:
        out = bytearray()
        for number, wire, value in self.fields:
            out += _varint(number << 3 | wire)
            if isinstance(value, int):
                out += _varint(value)
            else:
                out += (_varint(len(value)) if wire == BYTES else b"") + value
        return bytes(out)

    def remove(self, number: int) -> None:
        self.fields = [field for field in self.fields if field[0] != number]

    def set(self, number: int, *values: t.Union[int, bytes]) -> None:
        """Put these values in the place of all that the field had."""
        self.remove(number)
        self.fields += [(number, VARINT if isinstance(value, int) else BYTES, value) for value in values]

    def get(self, number: int) -> t.Optional[t.Union[int, bytes]]:
        """The last value of a field, as protobuf has it."""
        return next((value for found, _wire, value in reversed(self.fields) if found == number), None)

    def number(self, number: int) -> int:
        value = self.get(number)
        return value if isinstance(value, int) else 0

    def text(self, number: int) -> str:
        value = self.get(number)
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""

    def numbers(self, number: int) -> list[int]:
        """The values of a repeated field, packed or one by one."""
        values: list[int] = []
        for found, _wire, value in self.fields:
            if found == number and isinstance(value, int):
                values.append(value)
            elif found == number and isinstance(value, bytes):
                position = 0
                while position < len(value):
                    one, position = varint(value, position)
                    values.append(one)
        return values

    def message(self, number: int) -> t.Optional[Message]:
        value = self.get(number)
        return Message(value) if isinstance(value, bytes) else None


Change = t.Callable[[Message], None]


def entries(path: str) -> tuple[bytes, list[Message]]:
    """The magic numbers of an image and its messages. Only for images with nothing behind their messages."""
    kind = BY_PREFIX[split_name(os.path.basename(path))[0]]
    with open(path, "rb") as file:
        data = file.read(MAX_IMAGE + 1)
    start = 8 if data[:4] in (IMG_COMMON.to_bytes(4, "little"), IMG_SERVICE.to_bytes(4, "little")) else 4
    found: list[Message] = []
    try:
        if kind.extra or len(data) > MAX_IMAGE or data[start - 4 : start] != kind.magic.to_bytes(4, "little"):
            raise WireError("it is not an image that can be changed")
        position = start
        while position < len(data):
            end = position + 4 + int.from_bytes(data[position : position + 4], "little")
            if end > len(data):
                raise WireError("it ends within a message")
            found.append(Message(data[position + 4 : end]))
            position = end
    except WireError as error:
        raise CheckpointError(
            "images_damaged", f"The image {os.path.basename(path)} is damaged", message=str(error)
        ) from error
    return data[:start], found


def write(path: str, magic: bytes, messages: t.Iterable[Message]) -> None:
    """Put an image in the place of another; it may be a link to a file that must not change."""
    out = bytearray(magic)
    for message in messages:
        data = bytes(message)
        out += len(data).to_bytes(4, "little") + data
    new = path + ".new"
    with open(new, "xb") as file:
        file.write(out)
    os.replace(new, path)


def change(path: str, with_each: Change) -> None:
    """Change the messages of an image; it is written only if one has become another."""
    magic, messages = entries(path)
    before = [bytes(message) for message in messages]
    for message in messages:
        with_each(message)
    if [bytes(message) for message in messages] != before:
        write(path, magic, messages)
