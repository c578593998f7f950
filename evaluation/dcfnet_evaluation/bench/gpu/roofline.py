"""Least bytes and operations of a tracking step, and the time that a GPU needs for them at its peak rates.

This is a floor, not a prediction. Every stage reads its inputs once and writes its outputs once. Intermediate arrays
(feature maps between layers, arrays of the solver) stay on the chip. A stage runs at the peak rate of memory or of
arithmetic, whichever takes longer. Stages depend on each other, so their times add up. Operations are those of
convolutions, matrix products and the filter response; a multiply-add counts as two. Other operations cost less time
than their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from dcfnet.config import TrackerConfig
from dcfnet.filter.colour_histogram import BINS
from dcfnet.filter.response import RESPONSE_SIDE
from dcfnet.filter.transform import band_of_label
from dcfnet.model.file import Model
from dcfnet.model.layers import Convolution, Normalisation, read_layers
from numpy.typing import DTypeLike

FLOAT, COMPLEX = 4, 8  # bytes
MULTIPLY_ADD, COMPLEX_MULTIPLY_ADD = 2, 8  # operations
BYTES_OF_A_PIXEL = 3  # BGR
CORES = {7: 64, 8: 128, 9: 128, 10: 128, 11: 128, 12: 128}  # float32 cores per multiprocessor, by major capability
AMPERE_DATA_CENTRE = "8.0"  # 64 cores, unlike other GPUs of its generation


@dataclass(frozen=True)
class Peak:
    """Peak rates of a device. bandwidth: bytes/s of memory. rate: float32 operations/s without tensor cores."""

    bandwidth: float
    rate: float

    @classmethod
    def of(cls, capability: str, multiprocessors: int, clock: float, memory_clock: float, bus: int) -> Peak:
        """Computes the rates from device properties. Clocks in Hz, bus in bits, memory at double data rate.

        capability: for example "9.0"; an unknown one counts as the newest known one.
        """
        cores = (
            64 if capability == AMPERE_DATA_CENTRE else CORES.get(int(capability.split(".")[0]), max(CORES.values()))
        )
        return cls(2 * memory_clock * bus / 8, 2.0 * cores * multiprocessors * clock)


@dataclass(frozen=True)
class Work:
    """Work of a stage. reads, writes: bytes of device memory. operations: float32 operations."""

    reads: float = 0
    writes: float = 0
    operations: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.reads + other.reads, self.writes + other.writes, self.operations + other.operations)

    def times(self, share: float) -> Work:
        """The work multiplied by `share`."""
        return Work(self.reads * share, self.writes * share, self.operations * share)

    def seconds(self, peak: Peak) -> float:
        """The least time, s."""
        return max((self.reads + self.writes) / peak.bandwidth, self.operations / peak.rate)


@dataclass(frozen=True)
class Sizes:
    """Sizes of the arrays of a pipeline. Spectra: (channels, rows, columns). Responses: (RESPONSE_SIDE, RESPONSE_SIDE).

    pixel: bytes of one value of a patch.
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
        """patches: dtype of the patches. Raises ModelError if the native backbone cannot read the model."""
        convolutions, norm = read_layers(model)
        side = config.patch_size // model.stride
        band = band_of_label(side, config.label_sigma_in_patch() / model.stride, config.band)
        return cls(config, convolutions, norm, model.stride, side, 2 * band + 1, band + 1, np.dtype(patches).itemsize)

    @property
    def channels(self) -> int:
        """Number of feature channels."""
        return len(self.norm.offset)

    @property
    def frequencies(self) -> int:
        """Number of frequencies in the spectrum of a channel."""
        return self.rows * self.columns

    @property
    def spectrum(self) -> int:
        """Bytes of the numerator of one target; its filter has the same size."""
        return self.channels * self.frequencies * COMPLEX

    def patches(self, patches: int) -> int:
        """Bytes of `patches` patches."""
        return patches * 3 * self.config.patch_size**2 * self.pixel

    def crop(self, patches: int, region: float) -> Work:
        """Crops patches from `region` pixels of frames. Pixels that several scales share count once."""
        return Work(region * BYTES_OF_A_PIXEL, self.patches(patches))

    def network(self, patches: int) -> Work:
        """Backbone: patches to features."""
        side, operations, weights = self.config.patch_size, 0, self.norm.band.size + self.norm.offset.size
        for layer in self.convolutions:
            side = layer.result_side(side)
            operations += MULTIPLY_ADD * layer.weight.size * side**2
            weights += layer.weight.size + layer.bias.size
        operations += MULTIPLY_ADD * int(np.count_nonzero(self.norm.band)) * side**2
        features = patches * self.channels * self.map_side**2
        return Work(self.patches(patches) + weights * FLOAT, features * FLOAT, patches * operations)

    def forward(self, patches: int) -> Work:
        """Features to spectra: a real transform of the rows, then a complex one of the columns."""
        across = MULTIPLY_ADD * self.map_side**2 * 2 * self.columns
        down = COMPLEX_MULTIPLY_ADD * self.rows * self.map_side * self.columns
        matrices = self.map_side * 2 * self.columns * FLOAT + self.rows * self.map_side * COMPLEX
        maps = patches * self.channels
        return Work(
            maps * self.map_side**2 * FLOAT + matrices, maps * self.frequencies * COMPLEX, maps * (across + down)
        )

    def respond(self, patches: int, targets: int) -> Work:
        """Spectra and filters to the spectra of responses."""
        response_values = patches * self.frequencies
        reads = (patches + targets) * self.spectrum
        return Work(reads, response_values * COMPLEX, COMPLEX_MULTIPLY_ADD * response_values * self.channels)

    def inverse(self, patches: int) -> Work:
        """Spectra to responses."""
        down = COMPLEX_MULTIPLY_ADD * RESPONSE_SIDE * self.frequencies
        across = MULTIPLY_ADD * RESPONSE_SIDE**2 * 2 * self.columns
        matrices = RESPONSE_SIDE * (self.rows * COMPLEX + 2 * self.columns * FLOAT)
        responses = patches * RESPONSE_SIDE**2 * FLOAT
        return Work(patches * self.frequencies * COMPLEX + matrices, responses, patches * (down + across))

    def likeness(self, targets: int) -> Work:
        """The responses of the first filters at scale 1. `respond` has just read the spectra: they are in the cache."""
        answered = self.respond(targets, targets)
        return Work(targets * self.spectrum, answered.writes, answered.operations) + self.inverse(targets)

    def peaks(self, patches: int) -> Work:
        """Response maps to a few numbers per target."""
        return Work(patches * RESPONSE_SIDE**2 * FLOAT)

    def colours(self, targets: int) -> Work:
        """Pixels of a subsampled patch and two histograms to the response of the colours."""
        side = -(-self.config.patch_size // self.stride)  # px of the subsampled patch
        operations = MULTIPLY_ADD * RESPONSE_SIDE * side * (side + RESPONSE_SIDE)
        response_bytes, pixels = RESPONSE_SIDE**2 * FLOAT, 3 * side**2 * self.pixel
        work = Work(pixels + 2 * BINS * FLOAT, response_bytes, operations).times(bool(self.config.colour_share))
        return work.times(targets)

    def histograms(self, targets: int) -> Work:
        """Blends the pixels of template patches into two histograms."""
        side = -(-self.config.patch_size // self.stride)
        histogram_bytes = 2 * BINS * FLOAT
        return Work(3 * side**2 * self.pixel + histogram_bytes, histogram_bytes).times(
            targets * bool(self.config.colour_share)
        )

    def solve(self, targets: int) -> Work:
        """Blends template spectra into numerator and denominator, and solves for the two filters."""
        config, per_product = self.config, 0
        if config.background_penalty:
            across = 2 * COMPLEX_MULTIPLY_ADD * self.frequencies * self.columns
            per_product = self.channels * (across + COMPLEX_MULTIPLY_ADD * self.rows * self.frequencies)
        products = 1 + config.solver_steps  # one for the initial filter, one for each search direction
        spectra = 3 if config.background_penalty else 2  # template, numerator, focused; numerator, filter, focused
        transferred = spectra * self.spectrum + self.frequencies * FLOAT
        return Work(targets * transferred, targets * transferred, targets * products * per_product)


def step(sizes: Sizes, targets: int, region: float) -> Mapping[str, Work]:
    """Stage -> work in a frame. Filter updates count with their frequency. region: frame pixels in a search region."""
    config, patches = sizes.config, targets * sizes.config.scales
    update_share = 1 / config.update_interval
    return {
        "crop": sizes.crop(patches, targets * region) + sizes.crop(targets, targets * region).times(update_share),
        "network": sizes.network(patches) + sizes.network(targets).times(update_share),
        "transform": sizes.forward(patches) + sizes.forward(targets).times(update_share),
        "respond": sizes.respond(patches, targets)
        + sizes.inverse(patches)
        + sizes.peaks(patches)
        + sizes.likeness(targets),
        "colours": sizes.colours(targets) + sizes.histograms(targets).times(update_share),
        "solve": sizes.solve(targets).times(update_share),
    }


def floor_ms(stages: Mapping[str, Work], peak: Peak) -> float:
    """The least time of a frame, ms."""
    return 1e3 * sum(work.seconds(peak) for work in stages.values())
