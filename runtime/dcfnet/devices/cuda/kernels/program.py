"""CUDA programs: which source files they are made of, and the constants they are compiled with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from dcfnet.devices.cuda.kernels.constants import DEFINES
from dcfnet.devices.cuda.kernels.structures import STRUCTURES, c_structure
from dcfnet.devices.records import CELL_SAMPLES, HOST, REPEAT, SEARCH, SECOND, UPDATE, VIEW, VIEW_SIDE
from dcfnet.filter.dcf import Array
from dcfnet.io.texture import FLAT_RANGE, SAMPLES
from dcfnet.result import Reason, Status

SEPARATE = "--fmad=false"  # NVRTC's option: a product and a sum are two operations, as in NumPy


@dataclass(frozen=True, eq=False)  # compared by identity, so that it is a fast dictionary key for launches
class Program:
    """Source files, in order, additional constants, and names of STRUCTURES; all programs have DEFINES.

    contracted: whether the compiler may fuse a product and a sum, which rounds once instead of twice.
    """

    files: tuple[str, ...]
    defines: tuple[tuple[str, int], ...] = ()
    structures: tuple[str, ...] = ()
    contracted: bool = True

    def source(self) -> str:
        """The structures, then the text of all files. `#line` lets a compiler name file and line."""
        folder = files("dcfnet.devices.cuda.kernels")
        header = "".join(c_structure(name, STRUCTURES[name]) for name in self.structures)
        return header + "".join(f'#line 1 "{name}"\n{(folder / name).read_text()}' for name in self.files)

    def options(self) -> tuple[str, ...]:
        """The compiler's options: one `-DNAME=VALUE` per constant, and `SEPARATE` for a program without contraction."""
        defines = tuple(f"-D{name}={value}" for name, value in (*DEFINES, *self.defines))
        return defines if self.contracted else (*defines, SEPARATE)


TRACKER = Program(
    (
        *("common.cu", "pixel_types.cu", "texture.cu", "patches.cu", "peaks.cu", "matrices.cu"),
        *("separable.cu", "filters.cu"),
        *("fourier.cu", "normalisation.cu", "layers.cu"),
    ),
    structures=("Place", "Grid"),
)

_STATUSES, _REASONS = list(Status), list(Reason)
_DECIDED = ("LOW_PSR", "OUT_OF_VIEW", "UNLIKE", "OCCLUDED", "LOW_CONFIDENCE", "SCALE_LIMIT", "FOUND", "NO_TEXTURE")
DECISIONS = Program(
    ("common.cu", "places.cu", "views.cu", "decisions.cu"),
    (
        *(("FLAG_SEARCH", SEARCH), ("FLAG_SECOND", SECOND), ("FLAG_HOST", HOST), ("FLAG_REPEAT", REPEAT)),
        *(("FLAG_UPDATE", UPDATE), ("FLAG_VIEW", VIEW), ("FLAT_RANGE", FLAT_RANGE), ("TEXTURE_SAMPLES", SAMPLES)),
        *(("VIEW_SIDE", VIEW_SIDE), ("CELL_SAMPLES", CELL_SAMPLES)),
        *((f"STATUS_{status.name}", index) for index, status in enumerate(_STATUSES)),
        *((f"REASON_{name}", _REASONS.index(Reason[name])) for name in _DECIDED),
    ),
    structures=("Place", "Grid", "Target", "Outcome", "Rules"),
    contracted=False,
)


def features_program(defines: dict[str, int]) -> Program:
    """The fused network of one geometry; see features.cu and tiles.cu for the constants."""
    return Program((*_FUSED, "features.cu"), tuple(defines.items()))


def tensor_program(defines: dict[str, int]) -> Program:
    """The same on tensor cores; see also tensor_features.cu and tensor_cores.cu."""
    return Program((*_FUSED, "tensor_cores.cu", "tensor_features.cu"), tuple(defines.items()))


_FUSED = ("common.cu", "pixel_types.cu", "normalisation.cu", "tiles.cu")


def for_pixels(kernel: str, patches: Array) -> str:
    """The name of the kernel variant for the dtype of these patches, float32 or float16."""
    return f"{kernel}_half" if patches.dtype == np.float16 else kernel
