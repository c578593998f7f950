"""What a step must do at least, in bytes and operations, and how long a GPU takes for so much at its best.

A floor, not a forecast: every stage reads what it is given once and writes what it makes once, keeps what lies between
(the maps of the network's layers, the arrays of a solver) on the chip, and runs at the peak of the one that binds it,
memory or arithmetic. Stages hang on each other, so their times add up. Operations are those of convolutions, of matrix
products and of the filter's answer, a multiply-add counts as two; what else there is costs less than its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from dcfnet.colours import BINS
from dcfnet.config import TrackerConfig
from dcfnet.fourier import band_of_label
from dcfnet.layers import Convolution, Normalisation, read_layers
from dcfnet.model import Model
from dcfnet.response import RESPONSE_SIDE
from numpy.typing import DTypeLike

FLOAT, COMPLEX = 4, 8  # bytes
MULTIPLY_ADD, COMPLEX_MULTIPLY_ADD = 2, 8  # operations
BYTES_OF_A_PIXEL = 3  # BGR
CORES = {7: 64, 8: 128, 9: 128, 10: 128, 11: 128, 12: 128}  # float32 lanes of a multiprocessor, by capability
AMPERE_OF_SERVERS = "8.0"  # the one of its generation with 64


@dataclass(frozen=True)
class Peak:
    """A device at its best: bytes a second of its memory, float32 operations a second without tensor cores."""

    bandwidth: float
    rate: float

    @classmethod
    def of(cls, capability: str, multiprocessors: int, clock: float, memory_clock: float, bus: int) -> Peak:
        """From a device's properties; clocks in Hz, bus in bits, memory at double data rate.

        capability: such as "9.0"; one that is not known is taken for the newest that is.
        """
        cores = 64 if capability == AMPERE_OF_SERVERS else CORES.get(int(capability.split(".")[0]), max(CORES.values()))
        return cls(2 * memory_clock * bus / 8, 2.0 * cores * multiprocessors * clock)


@dataclass(frozen=True)
class Work:
    """Of a stage. reads, writes: bytes of the device's memory. operations: float32."""

    reads: float = 0
    writes: float = 0
    operations: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.reads + other.reads, self.writes + other.writes, self.operations + other.operations)

    def times(self, share: float) -> Work:
        """So many of it."""
        return Work(self.reads * share, self.writes * share, self.operations * share)

    def seconds(self, peak: Peak) -> float:
        """At least."""
        return max((self.reads + self.writes) / peak.bandwidth, self.operations / peak.rate)


@dataclass(frozen=True)
class Sizes:
    """What a pipeline's arrays measure. Spectra are (channels, rows, columns), responses (RESPONSE_SIDE,) * 2.

    pixel: bytes of a number of a patch.
    """

    config: TrackerConfig
    convolutions: tuple[Convolution, ...]
    norm: Normalisation
    stride: int
    map_side: int
    rows: int
    columns: int
    pixel: int

    @classmethod
    def of(cls, model: Model, config: TrackerConfig, patches: DTypeLike = np.float32) -> Sizes:
        """patches: their type. Raises ModelError for a file that the native backbone does not read."""
        convolutions, norm = read_layers(model)
        side = config.patch_size // model.stride
        band = band_of_label(side, config.label_sigma_in_patch() / model.stride, config.band)
        return cls(config, convolutions, norm, model.stride, side, 2 * band + 1, band + 1, np.dtype(patches).itemsize)

    @property
    def channels(self) -> int:
        """Of the features."""
        return len(self.norm.offset)

    @property
    def frequencies(self) -> int:
        """Of a channel's spectrum."""
        return self.rows * self.columns

    @property
    def spectrum(self) -> int:
        """Bytes of one target's numerator, or filter."""
        return self.channels * self.frequencies * COMPLEX

    def patches(self, patches: int) -> int:
        """Bytes of so many."""
        return patches * 3 * self.config.patch_size**2 * self.pixel

    def crop(self, patches: int, region: float) -> Work:
        """Patches out of `region` pixels of frames, which overlap of scales are counted once in."""
        return Work(region * BYTES_OF_A_PIXEL, self.patches(patches))

    def network(self, patches: int) -> Work:
        """Patches to features."""
        side, operations, weights = self.config.patch_size, 0, self.norm.band.size + self.norm.offset.size
        for layer in self.convolutions:
            side = layer.made_side(side)
            operations += MULTIPLY_ADD * layer.weight.size * side**2
            weights += layer.weight.size + layer.bias.size
        operations += MULTIPLY_ADD * int(np.count_nonzero(self.norm.band)) * side**2
        features = patches * self.channels * self.map_side**2
        return Work(self.patches(patches) + weights * FLOAT, features * FLOAT, patches * operations)

    def forward(self, patches: int) -> Work:
        """Features to spectra: real maps across, complex ones down."""
        across = MULTIPLY_ADD * self.map_side**2 * 2 * self.columns
        down = COMPLEX_MULTIPLY_ADD * self.rows * self.map_side * self.columns
        matrices = self.map_side * 2 * self.columns * FLOAT + self.rows * self.map_side * COMPLEX
        maps = patches * self.channels
        return Work(
            maps * self.map_side**2 * FLOAT + matrices, maps * self.frequencies * COMPLEX, maps * (across + down)
        )

    def respond(self, patches: int, targets: int) -> Work:
        """Spectra and filters to the spectra of responses."""
        answers = patches * self.frequencies
        reads = (patches + targets) * self.spectrum
        return Work(reads, answers * COMPLEX, COMPLEX_MULTIPLY_ADD * answers * self.channels)

    def inverse(self, patches: int) -> Work:
        """Spectra to responses."""
        down = COMPLEX_MULTIPLY_ADD * RESPONSE_SIDE * self.frequencies
        across = MULTIPLY_ADD * RESPONSE_SIDE**2 * 2 * self.columns
        matrices = RESPONSE_SIDE * (self.rows * COMPLEX + 2 * self.columns * FLOAT)
        responses = patches * RESPONSE_SIDE**2 * FLOAT
        return Work(patches * self.frequencies * COMPLEX + matrices, responses, patches * (down + across))

    def peaks(self, patches: int) -> Work:
        """Responses to some numbers a target."""
        return Work(patches * RESPONSE_SIDE**2 * FLOAT)

    def colours(self, targets: int) -> Work:
        """The pixels of patches that are looked at, and two histograms, to the colours' answer."""
        side = -(-self.config.patch_size // self.stride)  # pixels that are looked at
        operations = MULTIPLY_ADD * RESPONSE_SIDE * side * (side + RESPONSE_SIDE)
        answer, pixels = RESPONSE_SIDE**2 * FLOAT, 3 * side**2 * self.pixel
        looks = Work(pixels + 2 * BINS * FLOAT, answer, operations).times(bool(self.config.colour_share))
        return looks.times(targets)

    def histograms(self, targets: int) -> Work:
        """The pixels of templates, blended into two histograms."""
        side = -(-self.config.patch_size // self.stride)
        held = 2 * BINS * FLOAT
        return Work(3 * side**2 * self.pixel + held, held).times(targets * bool(self.config.colour_share))

    def solve(self, targets: int) -> Work:
        """Template spectra, blended into numerator and denominator, to the two filters."""
        config, per_image = self.config, 0
        if config.background_penalty:
            across = 2 * COMPLEX_MULTIPLY_ADD * self.frequencies * self.columns
            per_image = self.channels * (across + COMPLEX_MULTIPLY_ADD * self.rows * self.frequencies)
        images = 1 + config.solver_steps  # of the filter that is begun with, and of every direction
        spectra = 3 if config.background_penalty else 2  # template, numerator, focused; numerator, filter, focused
        moved = spectra * self.spectrum + self.frequencies * FLOAT
        return Work(targets * moved, targets * moved, targets * images * per_image)


def step(sizes: Sizes, targets: int, region: float) -> Mapping[str, Work]:
    """Stages of a frame, lessons as often as they come. region: pixels of the frame in a target's search region."""
    config, patches = sizes.config, targets * sizes.config.scales
    lessons = 1 / config.learn_every
    return {
        "crop": sizes.crop(patches, targets * region) + sizes.crop(targets, targets * region).times(lessons),
        "network": sizes.network(patches) + sizes.network(targets).times(lessons),
        "transform": sizes.forward(patches) + sizes.forward(targets).times(lessons),
        "respond": sizes.respond(patches, targets) + sizes.inverse(patches) + sizes.peaks(patches),
        "colours": sizes.colours(targets) + sizes.histograms(targets).times(lessons),
        "solve": sizes.solve(targets).times(lessons),
    }


def floor_ms(stages: Mapping[str, Work], peak: Peak) -> float:
    """Milliseconds that a frame takes at least."""
    return 1e3 * sum(work.seconds(peak) for work in stages.values())
