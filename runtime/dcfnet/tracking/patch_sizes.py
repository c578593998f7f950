"""Which patch sizes and margins fit a model and its scales."""

from __future__ import annotations

from collections.abc import Sequence

from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError


def check_sizes(config: TrackerConfig, stride: int, folded: Sequence[str], largest_scale: float) -> None:
    """Raises ConfigError for a patch size or a margin that does not fit the model or the scales."""
    if config.patch_size % stride:
        raise ConfigError(f"patch_size={config.patch_size}: must be a multiple of the model's stride, {stride}")
    if not config.margin:
        return
    if config.margin % stride or config.search_side() < 2 * stride:
        raise ConfigError(
            f"margin={config.margin}: must be a multiple of the model's stride, {stride}, and leave room for the "
            f"search region in patch_size={config.patch_size}"
        )
    if config.search_side() * largest_scale > config.patch_size:
        raise ConfigError(
            f"margin={config.margin}: too small for the largest scale, {largest_scale:.3f}; it must be at least "
            f"{config.search_side() * (largest_scale - 1) / 2:.1f} px"
        )
    if "window" in folded:
        raise ConfigError(
            f"margin={config.margin}: the model contains the cosine window; export it without --fold window"
        )
