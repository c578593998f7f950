"""A minimal protobuf reader for ONNX files, because the onnx package is much larger than this one."""

from __future__ import annotations

from collections.abc import Iterator


def messages(message: bytes, *numbers: int) -> list[bytes]:
    """The fields with these numbers, in order: nested messages, strings and bytes.

    All functions of this module raise ValueError or IndexError for bytes that are not a message.
    """
    return [as_bytes(value) for number, value in fields(message) if number in numbers]


def texts(message: bytes, number: int) -> list[str]:
    """The strings of the fields with this number, in order."""
    return [text.decode() for text in messages(message, number)]


def integers(message: bytes, number: int) -> list[int]:
    """The unsigned integers of the fields with this number, in order, packed or not."""
    values: list[int] = []
    for field, value in fields(message):
        if field == number:
            values += [value] if isinstance(value, int) else _unpacked(value)
    return values


def as_bytes(value: bytes | int) -> bytes:
    """The value of a field that must contain bytes."""
    if isinstance(value, int):
        raise ValueError("a number instead of bytes")
    return value


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, value) of a message, in order."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        else:
            length = {1: 8, 5: 4}.get(wire_type, -1)
        if length < 0 or position + length > len(message):
            raise ValueError("not protobuf")
        yield key >> 3, message[position : position + length]
        position += length


def _unpacked(packed: bytes) -> list[int]:
    position, values = 0, []
    while position < len(packed):
        value, position = _varint(packed, position)
        values.append(value)
    return values


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("not protobuf")
