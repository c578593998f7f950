"""Numbers that the kernels and their launchers share. Each is defined only here; the compiler gets them with `-D`."""

from __future__ import annotations

from dcfnet.filter.colour_histogram import LEVELS
from dcfnet.io.pixel_formats import SHIFT
from dcfnet.io.texture import COARSE_SAMPLES
from dcfnet.model.confidence import TERMS

MAX_SHARED = 48 * 1024  # bytes of shared memory that a block gets on every CUDA device without an opt-in
# Peaks
READER_THREADS = 256  # threads of a block, which reads the maps of one target
NUMBERS_PER_TARGET = 7  # winning scale, shift along x and y, value, PSR, APCE, likeness
# Matrix products: rows and columns of the result that one thread computes. More results per loaded number are faster.
ROWS_PER_THREAD, COLUMNS_PER_THREAD = 4, 3
SUM_THREADS = 256  # at most, of a block that sums the rows of one map
# Products along both axes: threads of a block, which computes one map
SEPARABLE_THREADS = 128
# Convolutions, one kernel per layer: channels of the result that a thread sums for each pixel that it reads
OUTPUTS_PER_THREAD = 16
# Fused convolutions
LANES = 32  # threads of a warp
WARPS = 4  # warps of a block
WARP_OUTPUTS = 8  # channels of the features that a warp sums
GROUP_CHANNELS = 4  # intermediate channels that a block keeps in shared memory at a time
RUN_LENGTH = 5  # neighbouring intermediate pixels that a thread computes at once
MAX_OUTPUTS = WARPS * WARP_OUTPUTS  # channels of the features that a block can sum
# Fused convolutions on tensor cores
TENSOR_CHANNELS = 16  # intermediate channels in shared memory at a time: the depth of one product of matrices
PIXEL_NUMBERS = 4  # channels of a patch pixel in shared memory, one of them 0: four pixels are the depth of one product
TENSOR_ROWS = 16  # of the result of one product: pixels
TENSOR_STEP = 12  # words from one intermediate pixel to the next: eight pixels are then in different banks
DEFINES: tuple[tuple[str, int], ...] = (
    ("READER_THREADS", READER_THREADS),
    ("NUMBERS_PER_TARGET", NUMBERS_PER_TARGET),
    ("ROWS_PER_THREAD", ROWS_PER_THREAD),
    ("COLUMNS_PER_THREAD", COLUMNS_PER_THREAD),
    ("SEPARABLE_THREADS", SEPARABLE_THREADS),
    ("OUTPUTS_PER_THREAD", OUTPUTS_PER_THREAD),
    ("LANES", LANES),
    ("WARPS", WARPS),
    ("WARP_OUTPUTS", WARP_OUTPUTS),
    ("GROUP_CHANNELS", GROUP_CHANNELS),
    ("RUN_LENGTH", RUN_LENGTH),
    ("MAX_OUTPUTS", MAX_OUTPUTS),
    ("TENSOR_CHANNELS", TENSOR_CHANNELS),
    ("PIXEL_NUMBERS", PIXEL_NUMBERS),
    ("TENSOR_ROWS", TENSOR_ROWS),
    ("TENSOR_STEP", TENSOR_STEP),
    ("COLOUR_LEVELS", LEVELS),
    ("COLOUR_SHIFT", SHIFT),
    ("COARSE_SAMPLES", COARSE_SAMPLES),
    ("CONFIDENCE_TERMS", len(TERMS)),
)
