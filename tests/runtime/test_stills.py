"""Still images as users have them: without an end, of 16 bits, floats, CMYK, turned, empty or of another type."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.errors import ConfigError, SourceError
from dcfnet.io.decoding.images import decode_image, decode_mask, read_image
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.sources import open_source

from tests.runtime.inputs import write_images

WIDE = np.uint16


def encoded(suffix: str, image: np.ndarray, *options: int) -> bytes:
    done, content = cv2.imencode(suffix, image, list(options))
    assert done
    return content.tobytes()


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_has_the_same_pixels(
    frame: np.ndarray, missing: int, options: tuple[int, ...]
) -> None:
    content = encoded(".jpg", frame, *options)
    whole = decode_image(content, "whole")
    np.testing.assert_array_equal(decode_image(content[:-missing], "open"), whole)
    np.testing.assert_array_equal(decode_image(content + b"\0" * 32, "padded"), whole)


def test_half_a_jpeg_is_no_image(frame: np.ndarray) -> None:
    content = encoded(".jpg", frame)
    with pytest.raises(SourceError, match=r"half: not a readable image \(a JPEG of \d+ bytes that ends early"):
        decode_image(content[: len(content) // 2], "half")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "it has no bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"),
        (b"text", "4 bytes that OpenCV cannot decode"),
    ],
)
def test_the_cause_is_named(content: bytes, cause: str) -> None:
    with pytest.raises(SourceError, match=f"x: not a readable image.*{cause}"):
        decode_image(content, "x")
    with pytest.raises(SourceError, match="x: not a readable image"):
        decode_mask(content, "x")


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_16_bits_in_a_narrow_range_have_contrast_and_keep_it(frame: np.ndarray, suffix: str) -> None:
    levels = Levels()
    first = frame[..., 0].astype(WIDE) + 7300
    image = decode_image(encoded(suffix, first), "first", levels)
    assert image.shape == (*frame.shape[:2], 3)
    assert np.ptp(image) > 180
    brighter = decode_image(encoded(suffix, first + 10), "next", levels)  # the same map: it is brighter
    assert 0 < float(brighter.mean()) - float(image.mean()) < 12
    assert "uint16 pixels, levels 73" in levels.stored


def test_a_dead_pixel_does_not_choose_the_range(frame: np.ndarray) -> None:
    first = frame[..., 0].astype(WIDE) + 7300
    first[3, 4] = 65535
    assert np.ptp(decode_image(encoded(".png", first), "x")[100:]) > 180


def test_a_picture_that_uses_all_16_bits_looks_like_its_8_bits(frame: np.ndarray) -> None:
    deep = decode_image(encoded(".png", frame.astype(WIDE) * 257), "x")
    assert np.abs(deep.astype(int) - frame).max() <= 1
    for value in (0, 65535, 700):  # one colour stays one colour
        assert np.ptp(decode_image(encoded(".png", np.full((20, 20), value, WIDE)), "flat")) == 0


def test_the_range_can_be_given(frame: np.ndarray) -> None:
    content = encoded(".png", frame[..., 0].astype(WIDE) * 257)
    np.testing.assert_array_equal(decode_image(content, "x", Levels("full"))[..., 0], frame[..., 0])
    given = decode_image(content, "x", Levels("0,6553.5"))
    np.testing.assert_array_equal(given[..., 0], np.minimum(np.rint(frame[..., 0] * 10.0), 255))


@pytest.mark.parametrize("rule", ["", "last", "1", "5,1", "1,nan", "1,2,3"])
def test_an_invalid_range_is_an_error(rule: str) -> None:
    with pytest.raises(ConfigError, match="--range"):
        Levels(rule)


@pytest.mark.parametrize("suffix", [".tiff", ".pfm"])
def test_floats_are_mapped_and_nan_is_black(frame: np.ndarray, suffix: str) -> None:
    warm = frame[..., 0].astype(np.float32) / 100 + 293
    warm[:20, :20] = np.nan
    image = decode_image(encoded(suffix, warm), "x")
    assert np.ptp(image[30:]) > 180
    assert (image[:20, :20] == 0).all()


@pytest.mark.parametrize("level", [0.0, 1e30, -3e38])
def test_floats_of_any_size_are_mapped(level: float) -> None:
    """One level everywhere, and a range that is wider than that of float32."""
    constant = np.full((12, 16), level, np.float32)
    assert np.ptp(decode_image(encoded(".pfm", constant), "a.pfm")) <= 1
    constant[:, 8:] = 3e38
    assert decode_image(encoded(".pfm", constant), "a.pfm").max() > 200


def test_images_of_10_bits_are_read(frame: np.ndarray) -> None:
    values = frame[..., 0].astype(">u2") * 4
    content = b"P5\n320 240\n1023\n" + values.tobytes()
    assert np.ptp(decode_image(content, "x")) > 180


def test_8_bits_do_not_change(frame: np.ndarray) -> None:
    for suffix in (".png", ".bmp", ".ppm", ".tiff"):
        np.testing.assert_array_equal(decode_image(encoded(suffix, frame), suffix), frame)
    grey = decode_image(encoded(".pgm", frame[..., 0]), "grey")
    np.testing.assert_array_equal(grey, np.dstack([frame[..., 0]] * 3))
    opaque = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(decode_image(encoded(".png", opaque), "alpha"), frame)


def test_cmyk_and_the_orientation_of_a_camera_are_applied(frame: np.ndarray, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow writes the images of this test")
    picture = pillow.fromarray(frame[..., ::-1])
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "cmyk.jpg").astype(int) - frame).mean() < 12
    turned = pillow.Exif()
    turned[0x112] = 6  # the camera was turned by 90 degrees
    picture.save(tmp_path / "turned.png", exif=turned)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE))


def test_a_folder_goes_on_after_images_that_cannot_be_read(frame: np.ndarray, tmp_path: Path) -> None:
    write_images(tmp_path, [frame] * 6, [f"{t:04d}.png" for t in range(6)])
    (tmp_path / "0001.png").write_bytes(b"")
    (tmp_path / "0003.png").write_bytes(b"broken")
    source = open_source(tmp_path)
    found = list(source)
    assert [one.pixels is None for one in found] == [False, True, False, True, False, False]
    assert "0001.png: not a readable image (the file is empty)" in found[1].problem
    assert "2 of 6 images: " in source.report.problems[0]
    assert "0003.png" in source.report.problems[0]


def test_the_first_image_must_be_readable(frame: np.ndarray, tmp_path: Path) -> None:
    write_images(tmp_path, [frame] * 2, ["1.png", "2.png"])
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"1\.png: not a readable image"):
        next(iter(open_source(tmp_path)))


def test_an_animation_and_a_tiff_with_pages_are_sequences(frame: np.ndarray, tmp_path: Path) -> None:
    animation = cv2.Animation()
    animation.frames = [np.roll(frame, 10 * t, axis=1) for t in range(3)]
    animation.durations = [40, 80, 40]
    for name in ("a.webp", "a.png"):
        assert cv2.imwriteanimation(str(tmp_path / name), animation)
        found = list(open_source(tmp_path / name))
        assert [round(one.time, 3) for one in found] == [0, 0.04, 0.12]
        assert not any(one.frozen for one in found)
    pages = [(np.roll(frame[..., 0], 10 * t, axis=1).astype(WIDE) + 500) for t in range(3)]
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    source = open_source(tmp_path / "pages.tif")
    assert source.length == 3
    first = next(iter(source)).pixels
    assert first is not None
    assert np.ptp(first) > 180
    cv2.imwrite(str(tmp_path / "one.webp"), frame)
    with pytest.raises(SourceError, match=r"one\.webp: a single image"):
        open_source(tmp_path / "one.webp")
