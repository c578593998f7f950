"""A pipeline from a model file: the choice of constants, device and engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import HOST_ENGINES, open_backbone
from dcfnet.config import DEFAULT_PRESET, TrackerConfig
from dcfnet.devices.selection import open_backend
from dcfnet.errors import ConfigError
from dcfnet.model.file import Model
from dcfnet.model.layers import unsupported_reason
from dcfnet.tracking.pipeline import Pipeline

ConfigLike = TrackerConfig | Mapping[str, Any] | str | None


def open_pipeline(
    model: str | Path | None = None,
    device: str = "auto",
    config: ConfigLike = None,
    engine: str = "auto",
    preset: str | None = None,
    threads: int | None = None,
) -> Pipeline:
    """The pipeline of a model file. See `Tracker` for the arguments and errors."""
    loaded = load_model(model)
    chosen = _chosen_config(config, preset, loaded)
    if device == "cpu" and loaded.is_engine and engine in ("auto", "tensorrt"):
        raise ConfigError(
            f"device='cpu': {loaded.name} is an engine for GPUs; use {loaded.name}.onnx, the model beside it"
        )
    backend = open_backend("cpu" if device == "auto" and _needs_host(loaded, engine) else device)
    with backend.guarded():
        backbone = open_backbone(loaded, engine, chosen.patch_size, backend.name, threads)
        described = (loaded.mean, loaded.stride, loaded.folded, loaded.levels, loaded.confidence)
        pipeline = Pipeline.build(chosen, backend, backbone, *described)
    return dataclasses.replace(pipeline, model=loaded.identity)


def _needs_host(model: Model, engine: str) -> bool:
    """Whether the requested engine, or the only engine for this model, accepts host arrays only."""
    host_only = not model.is_engine and unsupported_reason(model) is not None
    return engine in HOST_ENGINES or (engine == "auto" and host_only)


def _chosen_config(config: ConfigLike, preset: str | None, model: Model) -> TrackerConfig:
    """The constants to use. A mapping changes a preset; complete constants exclude a preset."""
    if config is None or isinstance(config, Mapping):
        return model.preset(preset or DEFAULT_PRESET).replace(**(config or {}))
    if preset is not None:
        raise ConfigError(
            f"preset={preset!r} and config={config!r}: give one of them, or a preset with single settings"
        )
    if isinstance(config, TrackerConfig):
        return config
    if isinstance(config, str):
        return _named_config(config, model)
    raise ConfigError(f"config={config!r}: must be a TrackerConfig, a mapping of settings or a name")


def _named_config(name: str, model: Model) -> TrackerConfig:
    """Named constants. They are for the model `dcfnet`; raises ConfigError if the patch does not fit another model."""
    config = TrackerConfig.named(name)
    if config.patch_size % model.stride:
        raise ConfigError(
            f"config={name!r}: its patch_size={config.patch_size} must be a multiple of the stride of {model.name}, "
            f"{model.stride}; use it with the model 'dcfnet', or use a preset: {', '.join(model.presets)}"
        )
    return config
