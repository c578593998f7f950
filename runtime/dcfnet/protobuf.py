"""Just enough of protobuf to read an ONNX file: the onnx package is far heavier than this one."""

from __future__ import annotations

from collections.abc import Iterator


def messages(message: bytes, *numbers: int) -> list[bytes]:
    """The messages, strings and bytes within a message that are its fields of these numbers, in order.

    Raises ValueError or IndexError for bytes that are no message; so do all of these.
    """
    return [as_bytes(value) for number, value in fields(message) if number in numbers]


def texts(message: bytes, number: int) -> list[str]:
    """The strings that are a message's fields of this number, in order."""
    return [text.decode() for text in messages(message, number)]


def integers(message: bytes, number: int) -> list[int]:
    """The whole numbers, none below zero, that are a message's fields of this number: one by one, or packed."""
    found: list[int] = []
    for at, value in fields(message):
        if at == number:
            found += [value] if isinstance(value, int) else _unpacked(value)
    return found


def as_bytes(value: bytes | int) -> bytes:
    """The value of a field that must not be a number."""
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, value) of a message, in order."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if wire == 2:
            length, position = _varint(message, position)
        else:
            length = {1: 8, 5: 4}.get(wire, -1)
        if length < 0 or position + length > len(message):
            raise ValueError("not protobuf")
        yield key >> 3, message[position : position + length]
        position += length


def _unpacked(packed: bytes) -> list[int]:
    position, found = 0, []
    while position < len(packed):
        value, position = _varint(packed, position)
        found.append(value)
    return found


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("not protobuf")
