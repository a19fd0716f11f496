"""Just enough of Protocol Buffers' wire format to read other trackers' files without their packages.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Union

Value = Union[int, bytes]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field in its order: varints as unsigned numbers, all other kinds as bytes.

    Raises:
        ValueError: this is no message, or its end is missing.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place + size > end:
            raise ValueError("a message that is cut off")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("a number that is cut off")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def signed(value: Value) -> int:
    """A varint as an int64."""
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def double(value: Value) -> float:
    """Eight bytes as a float."""
    return float(struct.unpack("<d", _raw(value))[0])


def single(value: Value) -> float:
    """Four bytes as a float."""
    return float(struct.unpack("<f", _raw(value))[0])


def text(value: Value) -> str:
    return _raw(value).decode("utf-8", "replace")


def message(value: Value) -> bytes:
    """The bytes of a field that is a message.

    Raises:
        ValueError: it is a number.
    """
    return _raw(value)


def _raw(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value
