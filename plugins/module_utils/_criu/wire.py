# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protobuf wire format, read by the table in fields.py. Bounded: no input can make it loop or grow without end.

Source: Protocol Buffers "Encoding" (protobuf.dev/programming-guides/encoding), proto2 rules: the last value of a
field that is not repeated counts, repeated numbers may be packed or not, unknown fields are passed over.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import struct
import typing as t

from .fields import MESSAGES

MAX_VALUES = 3_000_000
"""Values that are decoded from one image; an mm image with 262144 areas has about 2.6 million."""

MAX_DEPTH = 48
"""Messages within messages: only control group folders and AppArmor namespaces nest at all."""

MAX_UNKNOWN = 100
"""Different unknown fields that are remembered for one image."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Fields = dict[str, t.Any]


class WireError(ValueError):
    """The bytes are not a message; the text says why."""


def number(fields: Fields, name: str, default: int = 0) -> int:
    """A number of a decoded message."""
    value = fields.get(name, default)
    return value if isinstance(value, int) else default


def text(fields: Fields, name: str) -> str:
    """A text of a decoded message; empty where it is not there."""
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


class Context:
    """What is shared by all messages of one image: the bound on values, and what was not known."""

    def __init__(self, max_values: int = MAX_VALUES) -> None:
        self.left = max_values
        self.unknown: set[tuple[str, int]] = set()

    def spend(self, values: int) -> None:
        self.left -= values
        if self.left < 0:
            raise WireError("the image has more values than are read")


def varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it). Raises WireError."""
    value = shift = 0
    try:
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift > 63:
                raise WireError("a number is longer than ten bytes")
    except IndexError:
        raise WireError("the message ends within a number") from None


def _u32(value: int) -> int:
    return value & 0xFFFFFFFF


def _u64(value: int) -> int:
    return value


def _i32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def _i64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _z32(value: int) -> int:
    value &= 0xFFFFFFFF
    return (value >> 1) ^ -(value & 1)


def _z64(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


VARINTS: dict[str, t.Callable[[int], t.Any]] = {
    "u32": _u32,
    "u64": _u64,
    "i32": _i32,
    "i64": _i64,
    "z32": _z32,
    "z64": _z64,
    "bool": bool,
}

FIXED: dict[str, tuple[int, int]] = {"f64": (FIXED64, 8), "f32": (FIXED32, 4)}


class Field(t.NamedTuple):
    """How a field is read: ``convert`` for varints, ``fixed`` for its size, ``message`` for its name."""

    name: str
    repeated: bool
    wire: int
    kind: str
    convert: t.Optional[t.Callable[[int], t.Any]]
    fixed: int
    message: str


_compiled: dict[str, dict[int, Field]] = {}


def _field(text: str) -> tuple[int, Field]:
    number, name, kind = text.split()
    repeated = kind.endswith("*")
    kind = kind.rstrip("*")
    if kind in VARINTS:
        return int(number), Field(name, repeated, VARINT, kind, VARINTS[kind], 0, "")
    if kind in FIXED:
        return int(number), Field(name, repeated, FIXED[kind][0], kind, None, FIXED[kind][1], "")
    return int(number), Field(name, repeated, BYTES, kind, None, 0, "" if kind in ("str", "bytes", "any") else kind)


def fields_of(message: str) -> dict[int, Field]:
    """The fields of a message by number; the text of the table is taken apart when it is first needed."""
    found = _compiled.get(message)
    if found is None:
        found = dict(_field(text) for text in MESSAGES[message].split(";"))
        _compiled[message] = found
    return found


def _packed(data: bytes, field: Field, context: Context) -> list[t.Any]:
    if field.fixed:
        if len(data) % field.fixed:
            raise WireError("a packed field is cut short")
        count = len(data) // field.fixed
        context.spend(count)
        return list(struct.unpack(f"<{count}{'Q' if field.fixed == 8 else 'I'}", data))
    if field.convert is None:
        raise AssertionError("field.convert is not set")
    values: list[t.Any] = []
    position = 0
    while position < len(data):
        value, position = varint(data, position)
        context.spend(1)
        values.append(field.convert(value))
    return values


def decode(data: bytes, message: str, context: t.Optional[Context] = None, depth: int = 0) -> Fields:
    """The fields of a message that are there, by name; repeated ones as lists. Raises WireError.

    Text is decoded as UTF-8 with surrogates for what is not (PEP 383).
    """
    if context is None:
        context = Context()
    if depth > MAX_DEPTH:
        raise WireError("messages nest too deep")
    fields = fields_of(message)
    result: Fields = {}
    position, end = 0, len(data)
    spend = context.spend
    while position < end:
        key = data[position]
        if key < 0x80:
            position += 1
        else:
            key, position = varint(data, position)
        wire = key & 7
        field = fields.get(key >> 3)
        spend(1)
        value: t.Any
        if wire == VARINT:
            value, position = varint(data, position)
            if field is None or (field.convert is None and field.kind != "any"):
                field = None
            elif field.convert is not None:
                value = field.convert(value)
        elif wire == BYTES:
            size, position = varint(data, position)
            if size > end - position:
                raise WireError("a field is longer than its message")
            value = data[position : position + size]
            position += size
            if field is not None and field.wire != BYTES and field.repeated:
                result.setdefault(field.name, []).extend(_packed(value, field, context))
                continue
            if field is None or field.wire != BYTES:
                field = None
            elif field.message:
                value = decode(value, field.message, context, depth + 1)
            elif field.kind == "str":
                value = value.decode("utf-8", "surrogateescape")
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            if size > end - position:
                raise WireError("the message ends within a number")
            value = int.from_bytes(data[position : position + size], "little")
            position += size
            if field is not None and field.wire != wire:
                field = None
        else:
            raise WireError(f"wire type {wire} is not in use")
        if field is None:
            _unknown(message, key >> 3, context)
            continue
        if field.repeated:
            result.setdefault(field.name, []).append(value)
        else:
            result[field.name] = value
    return result


def _unknown(message: str, number: int, context: Context) -> None:
    """Remember a field that the table does not have, or has with another wire type."""
    if number == 0:
        raise WireError("a field has the number 0")
    if len(context.unknown) < MAX_UNKNOWN:
        context.unknown.add((message, number))
