"""Frames that are not BGR, and say so: RGB, and NV12 as video decoders give it.

Nothing is guessed from an array: what is not wrapped is BGR, BGRA or grey. Only what is looked at is converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array, Frame
from dcfnet.errors import ConfigError, InvalidFrameError
from dcfnet.pixels import check_frame, check_pixels, host_array
from dcfnet.rectangle import Rectangle, touched

SHIFT = 20  # bits behind the point of the factors below


class Colours(NamedTuple):
    """How blue, green and red are made of what a frame holds; in patches.cu word for word.

    red_first: the channels come the other way round. The rest is for luma and chroma, factors times 2 ** SHIFT: with
    Y = gain * max(luma - black, 0), U and V less 128: B = Y + blue_u U, G = Y + green_u U + green_v V, R = Y + red_v V.
    """

    red_first: int = 0
    black: int = 0
    gain: int = 0
    blue_u: int = 0
    green_u: int = 0
    green_v: int = 0
    red_v: int = 0

    @classmethod
    def of(cls, red: float, blue: float, full_range: bool) -> Colours:
        """Of a standard whose luma is `red` parts of red, `blue` of blue, and green for the rest."""
        luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
        to_blue, to_red, green = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma, 1 - red - blue
        factors = luma, to_blue, -to_blue * blue / green, -to_red * red / green, to_red
        return cls(0, 0 if full_range else 16, *(round(factor * 2**SHIFT) for factor in factors))


BGR = Colours()
# ITU-R BT.601 and BT.709. The first is OpenCV's COLOR_YUV2BGR_NV12 to the bit, whose factors have three digits.
STANDARDS = {
    ("bt601", False): Colours(0, 16, *(int(factor * 2**SHIFT) for factor in (1.164, 2.018, -0.391, -0.813, 1.596))),
    ("bt601", True): Colours.of(0.299, 0.114, True),
    ("bt709", False): Colours.of(0.2126, 0.0722, False),
    ("bt709", True): Colours.of(0.2126, 0.0722, True),
}


@dataclass(frozen=True, eq=False)
class Rgb:
    """A frame whose channels are red, green, blue and, where there is a fourth, alpha.

    pixels: uint8 (H, W, 3) or (H, W, 4), of the host, or of the tracker's GPU.
    """

    pixels: Any

    @property
    def given(self) -> tuple[Any, ...]:
        """The arrays."""
        return (self.pixels,)

    @property
    def colours(self) -> Colours:
        """How it is read."""
        return Colours(red_first=1)

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C)."""
        return tuple(self.pixels.shape)

    @property
    def shown(self) -> Frame:
        """What its texture is judged by: all of it, the order of colours is no matter."""
        return self.pixels  # type: ignore[no-any-return]

    def planes(self, arrays: list[Array]) -> list[Array]:
        """The arrays of `given`, wherever they lie by now, as planes of pixels. Raises InvalidFrameError."""
        check_pixels(arrays[0])
        if len(arrays[0].shape) != 3 or arrays[0].shape[2] == 1:
            raise InvalidFrameError(f"Rgb frame has shape {arrays[0].shape}: must be (height, width, 3) or (.., 4)")
        return arrays

    def on_host(self) -> Rgb:
        """The same, checked, with arrays of NumPy. Raises InvalidFrameError."""
        return Rgb(*self.planes([check_frame(self.pixels)]))

    def bgr(self, part: Rectangle) -> Frame:
        """A part of it, uint8 (h, w, 3) BGR."""
        return np.ascontiguousarray(self.pixels[part.slices][..., 2::-1])


@dataclass(frozen=True, eq=False)
class Nv12:
    """A frame as decoders give it: luma for every pixel, and blue and red chroma by turns for every 2 x 2 of them.

    luma: uint8 (H, W); chroma: uint8 (H/2, W) or (H/2, W/2, 2); or luma alone: uint8 (H * 3/2, W), both in one array.
    Rows at any pitch; H and W even; of the host, or of the tracker's GPU. standard: "bt601" or "bt709", ITU-R's.
    full_range: luma 0 .. 255 in place of 16 .. 235. What is not said is as in OpenCV's COLOR_YUV2BGR_NV12.
    Raises ConfigError for another standard.
    """

    luma: Any
    chroma: Any = None
    standard: str = "bt601"
    full_range: bool = False

    def __post_init__(self) -> None:
        if (self.standard, self.full_range) not in STANDARDS:
            known = ", ".join(sorted({name for name, _ in STANDARDS}))
            raise ConfigError(f"standard={self.standard!r}, full_range={self.full_range!r}: must be of {known}, a bool")

    @property
    def given(self) -> tuple[Any, ...]:
        """The arrays."""
        return (self.luma,) if self.chroma is None else (self.luma, self.chroma)

    @property
    def colours(self) -> Colours:
        """How it is read."""
        return STANDARDS[self.standard, self.full_range]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W), once its planes are apart."""
        return tuple(self.luma.shape)

    @property
    def shown(self) -> Frame:
        """What its texture is judged by: luma."""
        return self.luma  # type: ignore[no-any-return]

    def planes(self, arrays: list[Array]) -> list[Array]:
        """Luma (H, W) and chroma (H/2, W) or (H/2, W/2, 2) of the arrays of `given`. Raises InvalidFrameError."""
        for array in arrays:
            if len(array.shape) != 3 or array.shape[2] != 2:
                check_pixels(array)
        shapes = " and ".join(str(tuple(array.shape)) for array in arrays)
        if len(arrays) == 1 and len(arrays[0].shape) == 2 and arrays[0].shape[0] % 3 == 0:
            rows = arrays[0].shape[0] * 2 // 3
            arrays = [arrays[0][:rows], arrays[0][rows:]]
        fits = len(arrays) == 2 and all(array.dtype == np.uint8 for array in arrays)
        if fits:
            height, width = (*arrays[0].shape, 0)[:2]
            halves = ((height // 2, width), (height // 2, width // 2, 2))
            fits = len(arrays[0].shape) == 2 and not (height % 2 or width % 2) and tuple(arrays[1].shape) in halves
        if not fits:
            raise InvalidFrameError(
                f"Nv12 frame of {shapes}: must be uint8, luma (H, W) with chroma (H/2, W) or (H/2, W/2, 2), "
                "or both in one, (H * 3/2, W); H and W even"
            )
        return arrays

    def on_host(self) -> Nv12:
        """The same, checked, with two planes of NumPy, rows packed. Raises InvalidFrameError."""
        luma, chroma = (np.ascontiguousarray(plane) for plane in self.planes([host_array(a) for a in self.given]))
        return Nv12(luma, chroma.reshape(len(chroma), -1), self.standard, self.full_range)

    def bgr(self, part: Rectangle) -> Frame:
        """A part of it, with even ends, uint8 (h, w, 3) BGR: a pixel has the chroma of its 2 x 2."""
        colours, (rows, columns) = self.colours, part.slices
        halves = self.chroma[rows.start // 2 : rows.stop // 2, columns].astype(np.int32) - 128
        u, v = (halves[:, first::2].repeat(2, axis=0).repeat(2, axis=1) for first in (0, 1))
        y = np.maximum(self.luma[rows, columns].astype(np.int32) - colours.black, 0) * colours.gain + (1 << SHIFT - 1)
        made = y + colours.blue_u * u, y + colours.green_u * u + colours.green_v * v, y + colours.red_v * v
        levels: Frame = np.clip(np.stack(made, axis=-1) >> SHIFT, 0, 255).astype(np.uint8)
        return levels


Wrapped = Rgb | Nv12
HostLike = Frame | Wrapped  # a checked frame of the host


def host_frame(given: Any) -> HostLike:
    """What is given as a frame of the host, checked. Raises InvalidFrameError."""
    return given.on_host() if isinstance(given, Wrapped) else check_frame(given)


def shown(frame: HostLike) -> Frame:
    """The array that a checked frame's texture is judged by."""
    return frame.shown if isinstance(frame, Wrapped) else frame


def near(
    frame: HostLike, centre: NDArray[np.float64], region: NDArray[np.float64]
) -> tuple[Frame, NDArray[np.float64]]:
    """What a patch is cut out of, BGR, BGRA or grey, and its centre (x, y) in there; of BGR frames they themselves."""
    if not isinstance(frame, Wrapped):
        return frame, centre
    part = touched(frame.shape, centre[None], region[None])
    part = part.even() if part else Rectangle(0, 0, 2, 2)  # all of the patch is outside: any part will do
    return frame.bgr(part), centre - (part.left, part.top)
