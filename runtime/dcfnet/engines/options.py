"""What an engine is built for: the shapes it takes, the GPUs it runs on, and how the builder works."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dcfnet.config import DEFAULT_PRESET
from dcfnet.errors import ConfigError
from dcfnet.model import Model
from dcfnet.settings import Rule, Settings, whole

AMPERE = "8.0"  # what TensorRT calls hardware compatible, and TensorRT-RTX builds for where none is named, begins here


@dataclass(frozen=True)
class BuildOptions(Settings):
    """How an engine is built. Raises ConfigError listing every value that breaks its rule.

    Patches (B, 3, S, S) from min to max are taken, opt is what it is fast for. compute_capabilities: "8.6,8.9"; none
    named is the GPU of this machine (TensorRT), or every GPU from Ampere on (TensorRT-RTX).
    """

    min_batch: int = 1
    opt_batch: int = 3
    max_batch: int = 3
    min_side: int = 108
    opt_side: int = 108
    max_side: int = 108
    compute_capabilities: str = ""
    optimisation_level: int = 3  # TensorRT's own default
    tf32: bool = False  # off: its products keep 10 bits, and a file that says float32 should mean it
    version_compatible: bool = False  # with later TensorRT of the same major version; no host code is put into the plan
    hardware_compatible: bool = False  # with every GPU from Ampere on

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind, (low, best, high) in {"batch": self.batches(), "side": self.sides()}.items():
            if not low <= best <= high:
                raise ConfigError(f"{kind}: min {low}, opt {best}, max {high} must not fall")

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        truth: Rule = (lambda v: isinstance(v, bool), "true or false")
        capabilities: Rule = (
            lambda v: isinstance(v, str) and re.fullmatch(r"(\d+\.\d(,\d+\.\d)*)?", v) is not None,
            "compute capabilities such as 8.6,8.9, or none",
        )
        batch, side = whole(1, 4096), whole(16, 1024)
        return {
            **dict.fromkeys(("min_batch", "opt_batch", "max_batch"), batch),
            **dict.fromkeys(("min_side", "opt_side", "max_side"), side),
            "compute_capabilities": capabilities,
            "optimisation_level": whole(0, 5),
            **dict.fromkeys(("tf32", "version_compatible", "hardware_compatible"), truth),
        }

    @classmethod
    def of(cls, model: Model, targets: int = 1, scales: int | None = None, **others: object) -> BuildOptions:
        """Options for the presets of a model: `targets` looked for in one call, at `scales` sizes each.

        scales: None is the most that a preset has.
        """
        presets: Mapping[str, int] = {name: config.patch_size for name, config in model.presets.items()}
        sides = sorted({*presets.values(), model.config.patch_size})
        most = max((config.scales for config in (model.config, *model.presets.values())), default=1)
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
        """Patches a call: fewest, best, most."""
        return self.min_batch, self.opt_batch, self.max_batch

    def sides(self) -> tuple[int, int, int]:
        """Side of a patch, px: least, best, most."""
        return self.min_side, self.opt_side, self.max_side

    def capabilities(self) -> list[str]:
        """The compute capabilities that were named."""
        return self.compute_capabilities.split(",") if self.compute_capabilities else []
