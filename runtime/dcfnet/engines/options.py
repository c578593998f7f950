"""Build options of an engine: the shapes of its patches, its GPUs, and settings of the builder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dcfnet.config import DEFAULT_PRESET
from dcfnet.config.settings import Rule, Settings, flag, whole
from dcfnet.errors import ConfigError
from dcfnet.model.file import Model

AMPERE = "8.0"  # lowest capability of hardware-compatible engines, and of TensorRT-RTX engines without named GPUs


@dataclass(frozen=True)
class BuildOptions(Settings):
    """Build options of an engine. Raises ConfigError that lists all values that break their rules.

    The engine accepts patches (B, 3, S, S) with B (batch) and S (side, px) from min to max, and is fastest for opt.
    compute_capabilities: for example "8.6,8.9". If empty, TensorRT builds for the GPU of this machine, and TensorRT-RTX
    for those from Ampere on that it supports (`Flavour.lacks`). optimisation_level: 0 to 5, TensorRT's builder
    optimisation level.
    """

    min_batch: int = 1
    opt_batch: int = 3
    max_batch: int = 3
    min_side: int = 108
    opt_side: int = 108
    max_side: int = 108
    compute_capabilities: str = ""
    optimisation_level: int = 3  # TensorRT's own default
    tf32: bool = False  # off: TF32 products have 10 bits of mantissa, but the file declares float32
    version_compatible: bool = False  # also runs on later TensorRT of the same major version; no host code
    hardware_compatible: bool = False  # runs on all GPUs from Ampere on

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind, (low, best, high) in {"batch": self.batches(), "side": self.sides()}.items():
            if not low <= best <= high:
                raise ConfigError(f"{kind}: min {low}, opt {best}, max {high}: must be min <= opt <= max")

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        capabilities: Rule = (
            lambda v: isinstance(v, str) and re.fullmatch(r"(\d+\.\d(,\d+\.\d)*)?", v) is not None,
            "compute capabilities, for example 8.6,8.9, or empty",
        )
        batch, side = whole(1, 4096), whole(16, 1024)
        return {
            **dict.fromkeys(("min_batch", "opt_batch", "max_batch"), batch),
            **dict.fromkeys(("min_side", "opt_side", "max_side"), side),
            "compute_capabilities": capabilities,
            "optimisation_level": whole(0, 5),
            **dict.fromkeys(("tf32", "version_compatible", "hardware_compatible"), flag()),
        }

    @classmethod
    def of(cls, model: Model, targets: int = 1, scales: int | None = None, **others: object) -> BuildOptions:
        """Options for all presets of a model.

        targets: number of targets in one call. scales: patches per target; None: the most of any preset. A preset with
        a margin reads all scales from one patch. others: options that replace the computed ones.
        """
        presets: Mapping[str, int] = {name: config.patch_size for name, config in model.presets.items()}
        sides = sorted({*presets.values(), model.config.patch_size})
        constants = (model.config, *model.presets.values())
        most = max(1 if config.margin else config.scales for config in constants)
        batch = targets * (scales or most)
        values = {
            "opt_batch": batch,
            "max_batch": batch,
            "min_side": sides[0],
            "opt_side": presets.get(DEFAULT_PRESET, model.config.patch_size),
            "max_side": sides[-1],
        }
        return cls.from_mapping(values | others)

    def batches(self) -> tuple[int, int, int]:
        """Patches per call: min, opt, max."""
        return self.min_batch, self.opt_batch, self.max_batch

    def sides(self) -> tuple[int, int, int]:
        """Side of a patch, px: min, opt, max."""
        return self.min_side, self.opt_side, self.max_side

    def capabilities(self) -> list[str]:
        """The compute capabilities as a list."""
        return self.compute_capabilities.split(",") if self.compute_capabilities else []
