"""What each fault does to the pixels: from frames uint8 (H, W, 3) BGR to one such frame."""

from __future__ import annotations

import cv2
import numpy as np
from dcfnet.io.decoding.images import decode_image
from dcfnet.io.frame import Frame

NOISE = 25.0  # grey levels, standard deviation
TRAIL = 15  # px, length of the motion blur
DEFOCUS = 3.0  # px, standard deviation
BLOCK, LOST_BLOCKS, GREY = 16, 0.2, 128  # px: of a macroblock; share of lost ones; their level
QUALITY = 10  # of a JPEG, 0 to 100
FOG, FOG_LEVEL = 0.3, 120.0  # contrast that is left, and grey level that is added


def noisy(frame: Frame, rng: np.random.Generator) -> Frame:
    """Gaussian noise, another one in each channel."""
    noise = rng.normal(0, NOISE, frame.shape).astype(np.float32)
    return _as_frame(np.clip(np.rint(frame + noise), 0, 255))


def moved(frame: Frame) -> Frame:
    """Motion blur: the mean over a horizontal line."""
    return _as_frame(cv2.blur(frame, (TRAIL, 1)))


def defocused(frame: Frame) -> Frame:
    """A Gaussian blur."""
    return _as_frame(cv2.GaussianBlur(frame, (0, 0), DEFOCUS))


def black(frame: Frame) -> Frame:
    """All pixels are 0."""
    return np.zeros_like(frame)


def torn(frame: Frame, before: Frame, rng: np.random.Generator) -> Frame:
    """From a random row on, the pixels are those of the frame before, of the same size."""
    row = int(rng.integers(len(frame) // 4, 3 * len(frame) // 4 + 1))
    return np.concatenate([frame[:row], before[row:]])


def interlaced(frame: Frame, before: Frame) -> Frame:
    """Every second row is that of the frame before, of the same size."""
    woven = frame.copy()
    woven[1::2] = before[1::2]
    return woven


def without_blocks(frame: Frame, rng: np.random.Generator) -> Frame:
    """Some macroblocks are grey, as after lost packets."""
    rows, columns = (-(-side // BLOCK) for side in frame.shape[:2])
    lost = (rng.random((rows, columns)) < LOST_BLOCKS).repeat(BLOCK, 0).repeat(BLOCK, 1)
    damaged = frame.copy()
    damaged[lost[: frame.shape[0], : frame.shape[1]]] = GREY
    return damaged


def compressed(frame: Frame) -> Frame:
    """The frame after a strong JPEG compression."""
    content = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return decode_image(content.tobytes(), "a compressed frame")


def multiplied(frame: Frame, factor: float) -> Frame:
    """The levels of all pixels, multiplied."""
    return _as_frame(cv2.convertScaleAbs(frame, alpha=factor))


def foggy(frame: Frame) -> Frame:
    """Less contrast, and brighter."""
    return _as_frame(cv2.convertScaleAbs(frame, alpha=FOG, beta=FOG_LEVEL))


def grey(frame: Frame) -> Frame:
    """The frame without colour."""
    return _as_frame(cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))


def scaled(frame: Frame, factor: float) -> Frame:
    """The frame in another resolution."""
    return _as_frame(cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def _as_frame(pixels: object) -> Frame:
    return np.asarray(pixels, dtype=np.uint8)
