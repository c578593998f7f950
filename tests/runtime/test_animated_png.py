"""Damaged animations are refused before OpenCV decodes them: it would end the process."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from dcfnet.io.decoding.animated_png import is_animated, is_complete
from dcfnet.io.decoding.image_header import PNG, chunks
from dcfnet.io.decoding.images import decode_moving

Image = pytest.importorskip("PIL.Image", reason="needs Pillow to write animations")


def animation(mode: str = "RGB", **options: object) -> bytes:
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (12, 16, *channels), np.uint8), mode) for _ in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], duration=40, **options)
    return file.getvalue()


def changed(png: bytes, kind: bytes, change: object) -> bytes:
    """A copy in which the first chunk of a kind has other content, with a right checksum. change: content -> chunk."""
    _, start, end = next(chunk for chunk in chunks(png) if chunk[0] == kind)
    new_kind, content = change(png[start : end - 4])  # type: ignore[operator]
    sum_ = struct.pack(">I", zlib.crc32(new_kind + content))
    return png[: start - 8] + struct.pack(">I", len(content)) + new_kind + content + sum_ + png[end:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_an_animation_is_decoded(mode: str) -> None:
    png = animation(mode)
    assert is_animated(png)
    assert is_complete(png)
    pictures, seconds = decode_moving(png, ".png")
    assert len(pictures) == 3
    assert seconds == [0.04] * 3


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (b"IDAT", lambda content: (b"IDAT", content[:-1] + b"\0")),  # checksum of the rows
        (b"IDAT", lambda content: (b"IDAT", zlib.compress(b"\x09" + zlib.decompress(content)[1:]))),  # filter
        (b"IDAT", lambda content: (b"IDAT", zlib.compress(zlib.decompress(content)[:-49]))),  # a row is missing
        (b"fdAT", lambda content: (b"fdAT", content[:9])),
        (b"fcTL", lambda content: (b"fcTL", content[:4] + struct.pack(">I", 17) + content[8:])),  # wider than the file
        (b"IHDR", lambda content: (b"IHDR", content[:9] + b"\x05" + content[10:])),  # colour type
        (b"IHDR", lambda content: (b"IHDR", content[:12] + b"\x01")),  # interlaced
    ],
)
def test_a_damaged_animation_is_refused(kind: bytes, change: object) -> None:
    png = changed(animation(), kind, change)
    assert not is_complete(png)
    assert decode_moving(png, ".png") == ([], [])


def test_wrong_checksums_are_refused() -> None:
    png = animation()
    _, start, _ = next(chunk for chunk in chunks(png) if chunk[0] == b"fcTL")
    damaged = png[: start - 3] + b"k" + png[start - 2 :]
    assert not is_complete(damaged)


def test_a_still_png_is_no_animation() -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    assert file.getvalue().startswith(PNG)
    assert not is_animated(file.getvalue())
