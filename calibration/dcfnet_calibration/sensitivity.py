"""The cost of each convolution in int8: change of features and peaks, and saved file size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from dcfnet.backbones.selection import open_backbone
from dcfnet.filter import dcf
from dcfnet.filter.response import find_peaks
from dcfnet.model.file import Model
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.scores.tables import empty_table
from dcfnet_export.naming import convolutions
from dcfnet_export.precision.quantise import quantise
from dcfnet_export.precision.ranges import Ranges
from numpy.typing import NDArray
from onnx import load_from_string
from rich.table import Table

from dcfnet_calibration.patches import Patches

BATCH = 8  # views in one batch


@dataclass(frozen=True)
class Cost:
    """Cost of `layers` in int8, compared with float32.

    error: of the features, norm of the difference / norm. shifts: float64 (N,), shift of the peak in each held-out
    view, cells of the response map; the search region has 64 cells. kilobytes: reduction of the file size.
    """

    layers: tuple[str, ...]
    error: float
    shifts: NDArray[np.float64]
    kilobytes: float


def layer_costs(
    model: Model, ranges: Ranges, views: Patches, pipeline: Pipeline, form: str, on_layer: Callable[[], None]
) -> list[Cost]:
    """Cost of each single convolution in int8, first to last; with several convolutions, also the cost of all of them.

    views: not the views of the range measurement. pipeline: the tracker with the float32 model.
    form: of the int8 files, see `quantise`. on_layer: called after each cost.
    """
    names = convolutions(load_from_string(model.onnx).graph)
    choices = [(name,) for name in names] + [tuple(names)] * (len(names) > 1)
    expected, costs = Outputs.of(pipeline, views), []
    for layers in choices:
        file = quantise(model.onnx, ranges, layers, form)
        backbone = open_backbone(replace(model, onnx=file), "onnxruntime", pipeline.config.patch_size)
        outputs = Outputs.of(replace(pipeline, backbone=backbone), views)
        shifts = np.hypot(*(outputs.peaks - expected.peaks).T)
        costs.append(Cost(layers, outputs.error(expected), shifts, (len(model.onnx) - len(file)) / 1024))
        on_layer()
    return costs


def most_sensitive(costs: Sequence[Cost]) -> tuple[str, ...]:
    """Convolutions that cost more than they save. `mixed` keeps them out of int8.

    A convolution is sensitive if its share of the squared errors is above its share of the saved bytes. Both come from
    files with one convolution in int8. Each kind of share adds up to 1, so never all convolutions are sensitive.
    """
    single = [cost for cost in costs if len(cost.layers) == 1]
    names = list(dict.fromkeys(cost.layers[0] for cost in single))
    errors = {name: sum(cost.error**2 for cost in single if cost.layers == (name,)) for name in names}
    savings = {name: sum(cost.kilobytes for cost in single if cost.layers == (name,)) for name in names}
    costly = (errors[name] * sum(savings.values()) > savings[name] * sum(errors.values()) for name in names)
    return tuple(name for name, costs_more in zip(names, costly, strict=True) if costs_more and len(names) > 1)


def costs_table(costs: Sequence[Cost], form: str) -> Table:
    """The costs as a table, one row per set of layers."""
    names = ("error", "cells p50", "p95", "max", "> 1", "KB saved")
    table = empty_table(f"in int8 ({form})", *names)
    for cost in costs:
        p50, p95, largest = np.quantile(cost.shifts, [0.5, 0.95, 1])
        jumps = (cost.shifts > 1).mean()
        figures = (f"{cost.error:.4f}", f"{p50:.3f}", f"{p95:.3f}", f"{largest:.2f}", f"{jumps:.1%}")
        table.add_row(" ".join(cost.layers), *figures, f"{cost.kilobytes:.1f}")
    return table


@dataclass(frozen=True)
class Outputs:
    """Outputs of a pipeline for N views. features: of the search patches. peaks: float64 (N, 2), cells."""

    features: NDArray[np.float32]
    peaks: NDArray[np.float64]

    @classmethod
    def of(cls, pipeline: Pipeline, views: Patches) -> Outputs:
        """Learns each filter from the template patch and applies it to the search patch."""
        parts = np.array_split(np.arange(len(views)), -(-len(views) // BATCH))
        features, peaks = zip(*(cls._part(pipeline, views.template[p], views.search[p]) for p in parts), strict=True)
        return cls(np.concatenate(features), np.concatenate(peaks))

    @staticmethod
    def _part(
        pipeline: Pipeline, template: NDArray[np.float32], search: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        features = pipeline.backbone(search)
        template_f = pipeline.transform.forward(pipeline.backbone(template))
        response_f = dcf.respond(
            pipeline.transform.forward(features), pipeline.filter_update.initial(template_f).filter_f
        )
        maps = pipeline.backend.to_host(pipeline.transform.inverse(response_f[:, 0]))
        return features, find_peaks(maps).shift

    def error(self, expected: Outputs) -> float:
        """Norm of the difference of the features / norm of the expected features."""
        return float(np.linalg.norm(self.features - expected.features) / np.linalg.norm(expected.features))
