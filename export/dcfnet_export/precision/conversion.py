"""Converts a float32 model to another precision. The precision is a property of the file.

    fp32    unchanged
    fp16    convolutions in half precision (half.py)
    int8    convolutions in int8, from measured ranges (quantise.py)
    mixed   as int8, except for the sensitive convolutions of the ranges: half precision for TensorRT, float32 for a
            CPU, on which half precision is not faster

The normalisation and the output are always float32. The input is float32 too, with one exception: if the first
convolution is in half precision, TensorRT reads float16.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dcfnet.config import DEFAULT_PRESET
from dcfnet.errors import ConfigError
from dcfnet.model.file import CONFIG_KEY, FOLDED_KEY, PRECISION_KEY, PRECISIONS, PRESETS_KEY, Model, parse_model
from onnx import helper, load_from_string

from dcfnet_export.naming import convolutions
from dcfnet_export.precision.folding import fold
from dcfnet_export.precision.half import halve
from dcfnet_export.precision.quantise import check_levels, quantise
from dcfnet_export.precision.ranges import Ranges, RangesError


def convert(
    model: Model,
    precision: str,
    form: str,
    ranges: Ranges | None = None,
    folded: Sequence[str] = (),
    per_channel: bool = True,
) -> Model:
    """A float32 model in another precision, with the steps `folded` (see `Model`) in its graph.

    form: "cpu" or "tensorrt". ranges: for int8 and mixed. per_channel: see `quantise`.
    Raises ConfigError for an unknown name, for int8 or mixed of a model with several levels, and for the window in a
    model with a margin. Raises RangesError if int8 or mixed has no ranges, or those of another model.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if "window" in folded and model.config.margin:
        raise ConfigError(
            f"--fold window: {model.name} has margin={model.config.margin}, so its features are larger than the "
            "window; fold only the mean, or use a model without a margin, such as dcfnet"
        )
    converted = _converted(model, precision, form, ranges, per_channel)
    if "window" in folded:
        model = _single_size(model)
    content = fold(replace(model, onnx=converted), folded)
    presets = {name: config.changes_from(model.config) for name, config in model.presets.items()}
    metadata = {
        PRECISION_KEY: precision,
        FOLDED_KEY: json.dumps(list(folded)),
        CONFIG_KEY: json.dumps(model.config.to_mapping()),
        PRESETS_KEY: json.dumps(presets),
    }
    return parse_model(_with_metadata(content, metadata), model.name)


def _converted(model: Model, precision: str, form: str, ranges: Ranges | None, per_channel: bool) -> bytes:
    layers = convolutions(load_from_string(model.onnx).graph)
    if precision == "fp32":
        return model.onnx
    if precision == "fp16":
        return halve(model.onnx, layers, patches=form == "tensorrt")
    check_levels(model)
    if ranges is None:
        raise RangesError(f"{precision} needs activation ranges: add --ranges FILE, a file of dcfnet-calibrate ranges")
    kept = ranges.sensitive if precision == "mixed" else ()
    content = quantise(model.onnx, ranges, [name for name in layers if name not in kept], form, per_channel)
    return halve(content, kept, patches=True) if form == "tensorrt" else content


def _single_size(model: Model) -> Model:
    """The model with only the presets that have the patch size of the default preset."""
    size = model.preset(DEFAULT_PRESET).patch_size
    presets = {name: config for name, config in model.presets.items() if config.patch_size == size}
    return replace(model, config=model.config.replace(patch_size=size), presets=presets)


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """The file with these metadata entries; the other entries stay."""
    proto = load_from_string(content)
    helper.set_model_props(proto, {entry.key: entry.value for entry in proto.metadata_props} | metadata)
    updated: bytes = proto.SerializeToString(deterministic=True)
    return updated
