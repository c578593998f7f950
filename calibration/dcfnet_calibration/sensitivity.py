"""What each convolution costs in int8: how far features and peaks move, and what it saves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from dcfnet import dcf
from dcfnet.backbones import open_backbone
from dcfnet.model import Model
from dcfnet.pipeline import Pipeline
from dcfnet.response import find_peaks
from dcfnet_evaluation.tables import empty_table
from dcfnet_export.naming import convolutions
from dcfnet_export.quantise import quantise
from dcfnet_export.ranges import Ranges
from numpy.typing import NDArray
from onnx import load_from_string
from rich.table import Table

from dcfnet_calibration.patches import Patches

AT_ONCE = 8  # views whose features are held in memory


@dataclass(frozen=True)
class Cost:
    """What it costs to have `layers` in int8, against float32.

    error: of the features, norm of the difference over the norm. shifts: float64 (N,), cells of the response, of 64 in
    a search region, by which the peak moves in every held-out view. kilobytes: what the file is smaller by.
    """

    layers: tuple[str, ...]
    error: float
    shifts: NDArray[np.float64]
    kilobytes: float


def layer_costs(
    model: Model, ranges: Ranges, views: Patches, pipeline: Pipeline, form: str, told: Callable[[], None]
) -> list[Cost]:
    """Costs of each convolution alone in int8, first to last, and, where there are several, of all of them at the end.

    views: patches that the ranges were not measured on. pipeline: the tracker with the float32 model.
    form: of the int8 files, see `quantise`. told: called after each.
    """
    names = convolutions(load_from_string(model.onnx).graph)
    choices = [(name,) for name in names] + [tuple(names)] * (len(names) > 1)
    expected, costs = Seen.of(pipeline, views), []
    for layers in choices:
        file = quantise(model.onnx, ranges, layers, form)
        backbone = open_backbone(replace(model, onnx=file), "onnxruntime", pipeline.config.patch_size)
        seen = Seen.of(replace(pipeline, backbone=backbone), views)
        shifts = np.hypot(*(seen.peaks - expected.peaks).T)
        costs.append(Cost(layers, seen.error(expected), shifts, (len(model.onnx) - len(file)) / 1024))
        told()
    return costs


def most_sensitive(costs: Sequence[Cost]) -> tuple[str, ...]:
    """Convolutions that cost more than they save: what `mixed` leaves out of int8.

    A convolution is one of them when its share of the squared errors, of each alone in int8, is above its share of the
    bytes that each alone saves. Both shares add up to 1, so that never all of them are.
    """
    alone = [cost for cost in costs if len(cost.layers) == 1]
    names = list(dict.fromkeys(cost.layers[0] for cost in alone))
    spent = {name: sum(cost.error**2 for cost in alone if cost.layers == (name,)) for name in names}
    saved = {name: sum(cost.kilobytes for cost in alone if cost.layers == (name,)) for name in names}
    costly = (spent[name] * sum(saved.values()) > saved[name] * sum(spent.values()) for name in names)
    return tuple(name for name, costs_more in zip(names, costly, strict=True) if costs_more and len(names) > 1)


def costs_table(costs: Sequence[Cost], form: str) -> Table:
    """The costs for reading, a row a choice."""
    names = ("error", "cells p50", "p95", "max", "> 1", "KB saved")
    table = empty_table(f"in int8 ({form})", *names)
    for cost in costs:
        median, often, most = np.quantile(cost.shifts, [0.5, 0.95, 1])
        jumps = (cost.shifts > 1).mean()
        figures = (f"{cost.error:.4f}", f"{median:.3f}", f"{often:.3f}", f"{most:.2f}", f"{jumps:.1%}")
        table.add_row(" ".join(cost.layers), *figures, f"{cost.kilobytes:.1f}")
    return table


@dataclass(frozen=True)
class Seen:
    """What a pipeline makes of N views: features of the search patches, and peaks, float64 (N, 2), cells."""

    features: NDArray[np.float32]
    peaks: NDArray[np.float64]

    @classmethod
    def of(cls, pipeline: Pipeline, views: Patches) -> Seen:
        """Each target is learnt from its template and looked for in its search patch."""
        parts = np.array_split(np.arange(len(views)), -(-len(views) // AT_ONCE))
        features, peaks = zip(*(cls._part(pipeline, views.template[p], views.search[p]) for p in parts), strict=True)
        return cls(np.concatenate(features), np.concatenate(peaks))

    @staticmethod
    def _part(
        pipeline: Pipeline, template: NDArray[np.float32], search: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        features = pipeline.backbone(search)
        template_f = pipeline.transform.forward(pipeline.backbone(template))
        response_f = dcf.respond(pipeline.transform.forward(features), pipeline.learning.first(template_f).filter_f)
        maps = pipeline.backend.to_host(pipeline.transform.inverse(response_f[:, 0]))
        return features, find_peaks(maps).shift

    def error(self, expected: Seen) -> float:
        """Norm of the features' difference over their norm."""
        return float(np.linalg.norm(self.features - expected.features) / np.linalg.norm(expected.features))
