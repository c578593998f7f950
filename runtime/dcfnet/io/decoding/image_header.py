"""The sizes in the header of an image, checked before a decoder reserves memory for them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

MAX_PIXELS = 2**26  # 8,192 x 8,192 px; a decoder needs 3 to 12 bytes for each
# Also refused: an image with more than LARGE pixels and more than SPARSE pixels per byte of its file: a short file can
# claim any size.
LARGE, SPARSE = 2**24, 2000
PNG, GIFS, TIFFS = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a"), (b"II*\0", b"MM\0*")
JPEG, JPEG_2000, CODESTREAM = b"\xff\xd8", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG: starts of frames,
SCAN, ALONE = 0xDA, {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}  # of a scan, and those without a length
WIDTH, HEIGHT, SHORT = 256, 257, 3  # tags and type of TIFF
MOST_PAGES = 1000  # pages of a TIFF whose sizes are read
NETPBM = re.compile(rb"P[1-7Ff]\s+(?:#[^\n]*\s+)*(\d{1,9})\s+(?:#[^\n]*\s+)*(\d{1,9})\s")
NETPBM_ANY = re.compile(rb"P7\s.*?WIDTH\s+(\d{1,9}).*?HEIGHT\s+(\d{1,9})", re.DOTALL)
RADIANCE = re.compile(rb"\n[-+][XY] (\d{1,9}) [-+][XY] (\d{1,9})\n")


def refusal(content: bytes) -> str:
    """Why an image is refused before it is decoded; "" if its sizes are acceptable, or if its header is not known."""
    # OpenCV reserves the memory of a chunk before it reads it.
    if content.startswith(PNG) and any(end > len(content) for _, _, end in chunks(content)):
        return f"a PNG of {len(content)} bytes that ends early or is damaged"
    for width, height in _sizes(content):
        pixels = width * height
        if pixels > MAX_PIXELS or pixels > max(LARGE, SPARSE * len(content)):
            return (
                f"its header claims {width} x {height} px, the file has {len(content)} bytes; an image has at most "
                f"{MAX_PIXELS} px and at most {SPARSE} px per byte; make it smaller"
            )
    return ""


def _sizes(content: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of the image, or of each page or part of it; none if the header is incomplete or not known."""
    try:
        if content.startswith(PNG):
            places = {b"IHDR": 0, b"fcTL": 4}  # of the width; fcTL: a frame of an animation
            yield from (
                _numbers(">II", content, start + places[kind]) for kind, start, _ in chunks(content) if kind in places
            )
        elif content.startswith(JPEG):
            yield from _of_jpeg(content)
        elif content.startswith(TIFFS):
            yield from _of_tiff(content)
        elif content.startswith(GIFS):
            yield _numbers("<HH", content, 6)
        elif content.startswith(b"BM"):
            width, height = _numbers("<HH" if content[14] == 12 else "<ii", content, 18)
            yield abs(width), abs(height)
        elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            yield _of_webp(content)
        else:
            yield from _of_marked(content)
    except (struct.error, IndexError):  # the header ends early
        return


def chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the content and end of each chunk, up to the last one or to the end of the file."""
    place, kind = len(PNG), b""
    while kind != b"IEND" and place + 8 <= len(png):
        kind, start = png[place + 4 : place + 8], place + 8
        place = start + int.from_bytes(png[place : place + 4], "big") + 4  # 4: the checksum
        yield kind, start, place


def _numbers(form: str, content: bytes, start: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, content, start)
    return int(first), int(second)


def _of_jpeg(content: bytes) -> Iterator[tuple[int, int]]:
    """The size in each start of frame before the first scan. Bytes between segments are skipped, as in libjpeg."""
    place = content.find(b"\xff", 2)
    while 0 <= place < len(content) - 1:
        marker, start = content[place + 1], place + 2
        if marker in FRAMES:
            height, width = _numbers(">HH", content, start + 3)
            yield width, height
        elif marker == SCAN:
            return
        if marker not in ALONE:
            start += struct.unpack_from(">H", content, start)[0]
        place = content.find(b"\xff", start - (marker == 0xFF))


def _of_webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _numbers("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _of_tiff(content: bytes) -> Iterator[tuple[int, int]]:
    """The size of each page: the tags of one directory after the other."""
    order = "<" if content.startswith(b"II") else ">"
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    for _ in range(MOST_PAGES):
        (count,) = struct.unpack_from(f"{order}H", content, place)
        sides = {WIDTH: 0, HEIGHT: 0}
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", content, entry)
            if tag in sides:
                (sides[tag],) = struct.unpack_from(f"{order}{'H' if kind == SHORT else 'I'}", content, entry + 8)
        yield sides[WIDTH], sides[HEIGHT]
        (place,) = struct.unpack_from(f"{order}I", content, place + 2 + 12 * count)
        if not place:
            return


def _of_marked(content: bytes) -> Iterator[tuple[int, int]]:
    """The sizes of JPEG 2000, AVIF, PNM, PFM and Radiance: after a mark near the start of the file."""
    start = content[: 2**14]
    if content.startswith((JPEG_2000, CODESTREAM)):
        for mark in re.finditer(re.escape(CODESTREAM), start):
            yield _numbers(">II", content, mark.start() + 8)
    elif content[4:8] == b"ftyp":
        for mark in re.finditer(b"ispe", start):
            yield _numbers(">II", content, mark.start() + 8)
    else:
        found = NETPBM.match(start) or NETPBM_ANY.match(start)
        if found:
            yield int(found[1]), int(found[2])
        elif start.startswith(b"#?") and (found := RADIANCE.search(start)):
            yield int(found[2]), int(found[1])
