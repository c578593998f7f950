"""Precision is a property of the file: one float32 model, made into what another precision runs.

    fp32    as it is
    fp16    convolutions in half precision (half.py)
    int8    convolutions in int8, from measured ranges (quantise.py)
    mixed   the same, but for the convolutions that the ranges call sensitive: those in half precision for TensorRT,
            float32 on a CPU, which has no faster half

The normalisation and the output are float32 in all of them, and so is the input, but in what TensorRT is given of a
first convolution in half precision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dcfnet.config import DEFAULT_PRESET
from dcfnet.errors import ConfigError
from dcfnet.model import CONFIG_KEY, FOLDED_KEY, PRECISION_KEY, PRECISIONS, PRESETS_KEY, Model, parse_model
from onnx import helper, load_from_string

from dcfnet_export.folding import fold
from dcfnet_export.half import halve
from dcfnet_export.naming import convolutions
from dcfnet_export.quantise import quantise
from dcfnet_export.ranges import Ranges, RangesError


def convert(
    model: Model,
    precision: str,
    form: str,
    ranges: Ranges | None = None,
    folded: Sequence[str] = (),
    per_channel: bool = True,
) -> Model:
    """A float32 model in another precision, what is in `folded` (see `Model`) put into its graph.

    form: "cpu" or "tensorrt", what int8 is made for. per_channel: see `quantise`.
    Raises ConfigError for another name, and RangesError for int8 and mixed without ranges, or with those of another
    model.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    made = _converted(model, precision, form, ranges, per_channel)
    if "window" in folded:
        model = _of_one_size(model)
    content = fold(replace(model, onnx=made), folded)
    presets = {name: config.changes_from(model.config) for name, config in model.presets.items()}
    stamps = {
        PRECISION_KEY: precision,
        FOLDED_KEY: json.dumps(list(folded)),
        CONFIG_KEY: json.dumps(model.config.to_mapping()),
        PRESETS_KEY: json.dumps(presets),
    }
    return parse_model(_stamped(content, stamps), model.name)


def _converted(model: Model, precision: str, form: str, ranges: Ranges | None, per_channel: bool) -> bytes:
    layers = convolutions(load_from_string(model.onnx).graph)
    if precision == "fp32":
        return model.onnx
    if precision == "fp16":
        return halve(model.onnx, layers, patches=form == "tensorrt")
    if ranges is None:
        raise RangesError(
            f"{precision} needs the ranges of activations: --ranges FILE, which dcfnet-calibrate ranges makes"
        )
    kept = ranges.sensitive if precision == "mixed" else ()
    content = quantise(model.onnx, ranges, [name for name in layers if name not in kept], form, per_channel)
    return halve(content, kept, patches=True) if form == "tensorrt" else content


def _of_one_size(model: Model) -> Model:
    """The model for the patches of the default preset alone."""
    size = model.preset(DEFAULT_PRESET).patch_size
    presets = {name: config for name, config in model.presets.items() if config.patch_size == size}
    return replace(model, config=model.config.replace(patch_size=size), presets=presets)


def _stamped(content: bytes, stamps: dict[str, str]) -> bytes:
    """The file with these metadata, the others as they were."""
    proto = load_from_string(content)
    helper.set_model_props(proto, {entry.key: entry.value for entry in proto.metadata_props} | stamps)
    stamped: bytes = proto.SerializeToString(deterministic=True)
    return stamped
