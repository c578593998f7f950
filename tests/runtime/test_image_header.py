"""Sizes in the headers of images: read for every format, and refused before memory is reserved for them."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from dcfnet.errors import SourceError
from dcfnet.io.decoding.image_header import MAX_PIXELS, _sizes, refusal
from dcfnet.io.decoding.images import decode_image, decode_mask, decode_moving

SHAPE = (44, 70)  # height, width


def picture(suffix: str) -> np.ndarray:
    scene = np.random.default_rng(0).integers(0, 256, size=(*SHAPE, 3), dtype=np.uint8)
    return scene.astype(np.float32) if suffix in (".pfm", ".hdr", ".exr") else scene


def encoded(suffix: str, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, picture(suffix), options)[1])


FILES = {
    **{
        suffix: encoded(suffix) for suffix in (".png", ".bmp", ".tiff", ".gif", ".ppm", ".pfm", ".hdr", ".avif", ".jp2")
    },
    "baseline.jpg": encoded(".jpg"),
    "progressive.jpg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart.jpg": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "lossy.webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless.webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "comment.pgm": b"P5\n# a comment\n70 44\n# another\n255\n" + bytes(70 * 44),
    "any.pam": b"P7\nWIDTH 70\nHEIGHT 44\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + bytes(70 * 44),
}


@pytest.mark.parametrize("name", FILES)
def test_the_size_of_every_format_is_read(name: str) -> None:
    assert set(_sizes(FILES[name])) == {SHAPE[::-1]}
    assert not refusal(FILES[name])


def test_the_size_of_every_page_and_of_every_frame_is_read() -> None:
    small = picture(".png")[:20, :30]
    pages = cv2.imencodemulti(".tiff", [picture(".tiff"), small])[1]
    assert list(_sizes(bytes(pages))) == [(70, 44), (30, 20)]
    animation = cv2.Animation()
    animation.frames, animation.durations = [picture(".png")] * 2, [40, 40]
    assert set(_sizes(bytes(cv2.imencodeanimation(".png", animation)[1]))) == {(70, 44)}
    assert set(_sizes(bytes(cv2.imencodeanimation(".webp", animation)[1]))) == {(70, 44)}


@pytest.mark.parametrize("name", FILES)
def test_a_header_that_ends_early_is_no_error(name: str) -> None:
    for length in range(0, 120, 3):
        assert isinstance(refusal(FILES[name][:length]), str)


def test_bytes_of_a_comment_are_not_taken_for_a_size() -> None:
    """A start of frame inside a segment, as in the thumbnail of a camera."""
    other = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 60000, 60000)
    comment = b"\xff\xfe" + struct.pack(">H", len(other) + 2) + other
    jpeg = FILES["baseline.jpg"]
    assert set(_sizes(jpeg[:2] + comment + jpeg[2:])) == {(70, 44)}
    assert set(_sizes(jpeg[:2] + b"\0" * 9 + jpeg[2:])) == {(70, 44)}  # libjpeg skips such bytes too


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A PNG of less than 100 bytes that claims side x side pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5000, 25000])
def test_a_small_file_that_claims_many_pixels_is_refused(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("memory was reserved")

    for name in ("imdecode", "imdecodeanimation"):
        monkeypatch.setattr(cv2, name, decoded)
    for read in (decode_image, decode_mask):
        with pytest.raises(
            SourceError, match=rf"bomb: not a readable image \(its header claims {side} x {side} px, the"
        ):
            read(bomb(side), "bomb")
    assert decode_moving(bomb(side), ".png") == ([], [])


def test_a_chunk_that_claims_more_than_the_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV would reserve the memory of the chunk: 4 GB for a file of 100 bytes."""
    monkeypatch.setattr(cv2, "imdecode", None)
    content = bomb(8).replace(struct.pack(">I", len(zlib.compress(b"\0"))) + b"IDAT", b"\xff\0\0\0IDAT")
    with pytest.raises(SourceError, match=r"a PNG of .* bytes that ends early or is damaged"):
        decode_image(content, "bomb")


def test_large_images_of_a_usual_density_are_accepted() -> None:
    """A flat picture of 8K in colour, the most compact one that a camera's software writes, and the largest size."""
    flat = cv2.imencode(".png", np.full((4320, 7680, 3), 90, np.uint8))[1]
    assert not refusal(bytes(flat))
    side = int(MAX_PIXELS**0.5)
    assert not refusal(f"P5 {side} {side} 255\n".encode() + bytes(2**16))
    assert refusal(f"P5 {side} {side + 1} 255\n".encode() + bytes(2**16))
