"""Checks an animated PNG completely before OpenCV decodes it: OpenCV 5.0 crashes in some damaged ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from dcfnet.io.decoding.image_header import PNG, chunks

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples of a pixel
FILTERS = 5  # kinds of filters of a row
NUMBER = 4  # bytes before the data of an fdAT chunk
Stream = tuple[int, int, bytes]  # width, height and compressed rows of a picture


def is_animated(content: bytes) -> bool:
    """Whether these bytes are a PNG with a chunk that announces an animation."""
    return content.startswith(PNG) and any(kind == b"acTL" for kind, _, _ in chunks(content))


def is_complete(png: bytes) -> bool:
    """Whether all checksums are right, and each picture has all its rows. False for an interlaced animation."""
    try:
        header = struct.unpack_from(">IIBBBBB", png, len(PNG) + 8)
        if not all(_sum_is_right(png, start, end) for _, start, end in chunks(png)) or header[6]:
            return False
        bits = header[2] * SAMPLES[header[3]]
        pictures = list(_pictures(png, header[0], header[1]))
        return len(pictures) > 0 and all(_has_all_rows(picture, bits) for picture in pictures)
    except (struct.error, KeyError, zlib.error):
        return False


def _sum_is_right(png: bytes, start: int, end: int) -> bool:
    return png[end - 4 : end] == zlib.crc32(png[start - 4 : end - 4]).to_bytes(4, "big")


def _pictures(png: bytes, width: int, height: int) -> Iterator[Stream]:
    """The main picture, and each frame with data of its own. Raises struct.error for a frame outside the main one."""
    size, data = (width, height), bytearray()
    for kind, start, end in chunks(png):
        if kind in (b"fcTL", b"IEND") and data:
            yield (*size, bytes(data))
            data.clear()
        if kind == b"fcTL":
            frame_width, frame_height, x, y = struct.unpack_from(">IIII", png, start + 4)
            if not (0 < frame_width <= width - x and 0 < frame_height <= height - y):
                raise struct.error
            size = frame_width, frame_height
        elif kind == b"IDAT":
            data += png[start : end - 4]
        elif kind == b"fdAT":
            data += png[start + NUMBER : end - 4]


def _has_all_rows(picture: Stream, bits: int) -> bool:
    """Whether the data are exactly the rows, each with a valid filter. bits: of a pixel."""
    width, height, data = picture
    stride = (width * bits + 7) // 8 + 1  # 1: the filter of the row
    unpacker = zlib.decompressobj()
    rows = unpacker.decompress(data, stride * height + 1)
    return unpacker.eof and len(rows) == stride * height and max(rows[::stride]) < FILTERS
