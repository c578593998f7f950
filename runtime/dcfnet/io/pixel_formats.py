"""Frames in other formats: RGB, and NV12 from video decoders.

The format is never guessed: an array without `Rgb` or `Nv12` around it is BGR, BGRA or grey. Only the pixels that are
read are converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import ConfigError, InvalidFrameError
from dcfnet.io.frame import Array, Frame, check_frame, check_pixels, host_array
from dcfnet.io.rectangle import Rectangle, pixels_read

SHIFT = 20  # fractional bits of the factors below


class Colours(NamedTuple):
    """How the pixels of a frame are converted to BGR. `patches.cu` has the same structure and the same formula.

    red_first: 1 if the channels are in the order RGB. The other fields convert luma and chroma; factors are multiplied
    by 2 ** SHIFT. With Y = gain * max(luma - black, 0), and 128 subtracted from U and V:
    B = Y + blue_u U, G = Y + green_u U + green_v V, R = Y + red_v V.
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
        """The conversion of a standard. red, blue: their weights in luma; the weight of green is the rest to 1."""
        luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
        blue_u, red_v, green = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma, 1 - red - blue
        factors = luma, blue_u, -blue_u * blue / green, -red_v * red / green, red_v
        return cls(0, 0 if full_range else 16, *(round(factor * 2**SHIFT) for factor in factors))


BGR = Colours()
# ITU-R BT.601 and BT.709. The first equals OpenCV's COLOR_YUV2BGR_NV12 bit for bit; its factors have three digits.
STANDARDS = {
    ("bt601", False): Colours(0, 16, *(int(factor * 2**SHIFT) for factor in (1.164, 2.018, -0.391, -0.813, 1.596))),
    ("bt601", True): Colours.of(0.299, 0.114, True),
    ("bt709", False): Colours.of(0.2126, 0.0722, False),
    ("bt709", True): Colours.of(0.2126, 0.0722, True),
}


@dataclass(frozen=True, eq=False)
class Rgb:
    """A frame in RGB or RGBA.

    pixels: uint8 (H, W, 3) or (H, W, 4), on the host or on the tracker's GPU.
    """

    pixels: Any

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays."""
        return (self.pixels,)

    @property
    def colours(self) -> Colours:
        """The conversion to BGR."""
        return Colours(red_first=1)

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C)."""
        return tuple(self.pixels.shape)

    @property
    def texture_plane(self) -> Frame:
        """The pixels for the texture check: all channels. Their order makes no difference."""
        return self.pixels  # type: ignore[no-any-return]

    def planes(self, arrays: list[Array]) -> list[Array]:
        """The planes of the frame from `self.arrays`, or from copies of them. Raises InvalidFrameError."""
        check_pixels(arrays[0])
        if len(arrays[0].shape) != 3 or arrays[0].shape[2] == 1:
            raise InvalidFrameError(
                f"Rgb frame has shape {arrays[0].shape}: must be (height, width, 3) or (height, width, 4)"
            )
        return arrays

    def on_host(self) -> Rgb:
        """The frame, checked, as a NumPy array. Raises InvalidFrameError."""
        return Rgb(*self.planes([check_frame(self.pixels)]))

    def bgr(self, part: Rectangle) -> Frame:
        """The pixels of `part` in BGR: uint8 (h, w, 3)."""
        return np.ascontiguousarray(self.pixels[part.slices][..., 2::-1])


@dataclass(frozen=True, eq=False)
class Nv12:
    """A frame in NV12: one luma value per pixel, and one pair of chroma values (U, V) per 2 x 2 pixels.

    luma: uint8 (H, W). chroma: uint8 (H/2, W) or (H/2, W/2, 2), U and V interleaved. Without chroma, luma contains both
    planes: uint8 (H * 3/2, W). H and W are even; rows may have any pitch. The arrays are on the host or on the
    tracker's GPU.
    standard: "bt601" or "bt709" of ITU-R. full_range: luma is 0 .. 255, not 16 .. 235. The defaults are those of
    OpenCV's COLOR_YUV2BGR_NV12. Raises ConfigError for another standard.
    """

    luma: Any
    chroma: Any = None
    standard: str = "bt601"
    full_range: bool = False

    def __post_init__(self) -> None:
        if (self.standard, self.full_range) not in STANDARDS:
            names = " or ".join(sorted({name for name, _ in STANDARDS}))
            raise ConfigError(
                f"standard={self.standard!r}, full_range={self.full_range!r}: "
                f"standard must be {names}, full_range a bool"
            )

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays."""
        return (self.luma,) if self.chroma is None else (self.luma, self.chroma)

    @property
    def colours(self) -> Colours:
        """The conversion to BGR."""
        return STANDARDS[self.standard, self.full_range]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W). Valid only for separate planes, as `on_host` returns them."""
        return tuple(self.luma.shape)

    @property
    def texture_plane(self) -> Frame:
        """The pixels for the texture check: luma."""
        return self.luma  # type: ignore[no-any-return]

    def planes(self, arrays: list[Array]) -> list[Array]:
        """Luma (H, W) and chroma (H/2, W) or (H/2, W/2, 2), from `self.arrays` or from copies of them.

        Raises InvalidFrameError.
        """
        for array in arrays:
            if len(array.shape) != 3 or array.shape[2] != 2:
                check_pixels(array)
        shapes = " and ".join(str(tuple(array.shape)) for array in arrays)
        if len(arrays) == 1 and len(arrays[0].shape) == 2 and arrays[0].shape[0] % 3 == 0:
            rows = arrays[0].shape[0] * 2 // 3
            arrays = [arrays[0][:rows], arrays[0][rows:]]
        valid = len(arrays) == 2 and all(array.dtype == np.uint8 for array in arrays)
        if valid:
            height, width = (*arrays[0].shape, 0)[:2]
            chroma_shapes = ((height // 2, width), (height // 2, width // 2, 2))
            even = not (height % 2 or width % 2)
            valid = len(arrays[0].shape) == 2 and even and tuple(arrays[1].shape) in chroma_shapes
        if not valid:
            raise InvalidFrameError(
                f"Nv12 frame of {shapes}: must be uint8, luma (H, W) with chroma (H/2, W) or (H/2, W/2, 2), "
                "or both in one array (H * 3/2, W); H and W must be even"
            )
        return arrays

    def on_host(self) -> Nv12:
        """The frame, checked, as two contiguous NumPy planes. Raises InvalidFrameError."""
        luma, chroma = (np.ascontiguousarray(plane) for plane in self.planes([host_array(a) for a in self.arrays]))
        return Nv12(luma, chroma.reshape(len(chroma), -1), self.standard, self.full_range)

    def bgr(self, part: Rectangle) -> Frame:
        """The pixels of `part`, which has even ends, in BGR: uint8 (h, w, 3). 2 x 2 pixels share their chroma."""
        colours, (rows, columns) = self.colours, part.slices
        chroma = self.chroma[rows.start // 2 : rows.stop // 2, columns].astype(np.int32) - 128
        u, v = (chroma[:, first::2].repeat(2, axis=0).repeat(2, axis=1) for first in (0, 1))
        y = np.maximum(self.luma[rows, columns].astype(np.int32) - colours.black, 0) * colours.gain + (1 << SHIFT - 1)
        channels = y + colours.blue_u * u, y + colours.green_u * u + colours.green_v * v, y + colours.red_v * v
        levels: Frame = np.clip(np.stack(channels, axis=-1) >> SHIFT, 0, 255).astype(np.uint8)
        return levels


FormattedFrame = Rgb | Nv12
CheckedFrame = Frame | FormattedFrame  # on the host


def host_frame(frame: Any) -> CheckedFrame:
    """The frame, checked and on the host. Raises InvalidFrameError."""
    return frame.on_host() if isinstance(frame, FormattedFrame) else check_frame(frame)


def texture_plane(frame: CheckedFrame) -> Frame:
    """The pixels of a checked frame for the texture check."""
    return frame.texture_plane if isinstance(frame, FormattedFrame) else frame


def black_level(frame: CheckedFrame) -> int:
    """The level of black in the texture plane."""
    return frame.colours.black if isinstance(frame, FormattedFrame) else 0


def bgr_around(
    frame: CheckedFrame, centre: NDArray[np.float64], region: NDArray[np.float64]
) -> tuple[Frame, NDArray[np.float64]]:
    """Pixels in BGR, BGRA or grey that contain the patch, and the patch centre (x, y) in them.

    centre, region: (x, y) and (width, height), frame pixels. A frame without a format wrapper is returned as it is.
    """
    if not isinstance(frame, FormattedFrame):
        return frame, centre
    part = pixels_read(frame.shape, centre[None], region[None])
    part = part.even() if part else Rectangle(0, 0, 2, 2)  # the patch is outside the frame: any pixels are correct
    return frame.bgr(part), centre - (part.left, part.top)
