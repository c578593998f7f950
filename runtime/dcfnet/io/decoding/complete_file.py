"""Whether a video file is shorter than its container says: evidence that it is truncated, without decoding it."""

from __future__ import annotations

from pathlib import Path

HEAD = 64  # bytes that contain the header of a Matroska file
MOST_BOXES = 100_000  # of an MP4 that are read; a crafted file can have a box in every 8 bytes
MATROSKA, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"uuid", b"pnot", b"mfra")


def is_truncated(file: Path) -> bool:
    """Whether an AVI, MP4, MOV, MKV or WebM ends before its container says. False for all other files."""
    with file.open("rb") as content:
        head = content.read(HEAD).ljust(HEAD + 16, b"\0")
        size = file.stat().st_size
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[4:8] in BOXES:
            return _last_box_end(file, size) > size
        if head[:4] == MATROSKA:
            return _segment_end(head) > size
    return False


def _last_box_end(file: Path, size: int) -> int:
    """Where the last top-level box of an MP4 ends, bytes."""
    end = 0
    with file.open("rb") as content:
        for _ in range(MOST_BOXES):
            if end >= size:
                break
            content.seek(end)
            head = content.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # the length is in the next 8 bytes
                length = int.from_bytes(head[8:16], "big")
            if length < 8:  # 0: to the end of the file; other values are damage of another kind
                return size
            end += length
    return end


def _segment_end(head: bytes) -> int:
    """Where the first segment of a Matroska file ends, bytes; 0 if its length is unknown."""
    header, place = _length(head, 4)
    start = place + header
    if head[start : start + 4] != SEGMENT:
        return 0
    length, place = _length(head, start + 4)
    return place + length


def _length(content: bytes, place: int) -> tuple[int, int]:
    """A length of variable size at this place, and the place after it. All ones mean unknown: 0."""
    width = 9 - content[place].bit_length()
    value = int.from_bytes(content[place : place + width], "big") & ((1 << 7 * width) - 1)
    return (0 if value == (1 << 7 * width) - 1 else value), place + width
