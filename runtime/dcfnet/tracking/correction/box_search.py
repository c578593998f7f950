"""Searches for targets at the boxes of a detector, with the present filter and, where it is doubtful, the first one.

`association.py` searches each possible pair of a target and a box once. `moving.py` uses the searches of the boxes that
are taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.result import Box
from dcfnet.tracking.geometry import to_centre_grid
from dcfnet.tracking.light import search_in_light
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.first_filter import FOUND_STRENGTH, as_sure, doubtful
from dcfnet.tracking.redetection.present_filter import REDETECTED_PEAK
from dcfnet.tracking.redetection.searches import STRONGER
from dcfnet.tracking.search import Detection
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import confidence_of, relative_strength

MIN_AGREEMENT = 0.5  # IoU of a box and of the detection around it: with less, the search found another object beside it
PROBABLE = 0.5  # confidence above which the target is rather at a position than not
PROBABLE_PEAK = 0.6  # share of the typical peak that is enough with that confidence, instead of REDETECTED_PEAK


@dataclass(frozen=True)
class BoxSearch:
    """The searches for N targets, each at one box. All arrays are (N,).

    found: the detections. by_first: bool, whether the first filter made it, because it shows the target there.
    shown: bool, whether the detection shows the target. response: in [0, 1], how probably it does.
    light: factor of the pixels. levels: grey levels at the box, see `Texture`.
    """

    found: Detection
    by_first: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    response: NDArray[np.float64]
    light: NDArray[np.float64]
    levels: NDArray[np.float64]

    @classmethod
    def concatenate(cls, parts: Sequence[BoxSearch]) -> BoxSearch:
        """The searches of all parts, in order."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]) if name != "found"
        }
        return cls(Detection.concatenate([part.found for part in parts]), **arrays)

    def take(self, rows: NDArray[np.intp]) -> BoxSearch:
        """The searches of some targets."""
        arrays = {name: values[rows] for name, values in vars(self).items() if name != "found"}
        return BoxSearch(self.found.take(rows), **arrays)


def search_at_box(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], box: Box, here: Detection | None
) -> BoxSearch:
    """The searches for N targets at one box.

    here: detections at the target boxes; None without a fit for the confidence.
    """
    boxes = [box] * len(state)
    there, found, levels = search_in_light(pipeline, at_boxes(state, boxes), frames)
    agreement, belief = agreements(found, boxes), probability(pipeline, state, found)
    probable = (belief >= PROBABLE) & (pipeline.confidence is not None)
    share = np.where(probable, PROBABLE_PEAK, REDETECTED_PEAK)
    # The PSR depends on the background, so it need not be near the typical one, as in `redetect`.
    shown = (found.peak.psr >= pipeline.config.confident_psr) & (agreement >= MIN_AGREEMENT)
    shown &= found.peak.value >= share * state.typical[:, 1]
    response, by_first = belief * agreement, np.zeros(len(state), np.bool_)
    again, rows = seen_by_first_filter(pipeline, state, frames, boxes, here)
    if again is not None:
        best = probability(pipeline, state.take(rows), again) * agreements(again, [box] * len(rows))
        response[rows] = np.maximum(best, np.where(shown[rows], response[rows], 0.0))
        shown[rows] = by_first[rows] = True
        found = found.put(rows, again)
    return BoxSearch(found, by_first, shown, response, there.light, levels)


def seen_by_first_filter(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], boxes: Sequence[Box], here: Detection | None
) -> tuple[Detection | None, NDArray[np.intp]]:
    """The R of N targets that their first filters show at their boxes: detections there, and rows (R,).

    Only doubtful and improbable targets are searched: their present filters have perhaps learnt something else.
    here: as for `search_at_box`. As in `find_doubtful`, the strength must be high beside that of the sure frames and
    that at the target box.
    """
    if here is None:
        return None, np.zeros(0, np.intp)
    (rows,) = (
        state.sure_response.all(axis=1) & (doubtful(pipeline, state) | improbable(pipeline, state, here))
    ).nonzero()
    if not len(rows):
        return None, rows
    part, own = state.take(rows), [boxes[row] for row in rows.tolist()]
    first = as_sure(part)
    _, found, _ = search_in_light(pipeline, at_boxes(first, own), frames)
    strength = relative_strength(first, found)
    shown = (strength >= FOUND_STRENGTH) & (strength > STRONGER * relative_strength(first, here.take(rows)))
    shown &= (agreements(found, own) >= MIN_AGREEMENT) & (probability(pipeline, part, found) >= PROBABLE)
    return found.take(shown), rows[shown]


def agreements(found: Detection, boxes: Sequence[Box]) -> NDArray[np.float64]:
    """IoU of N detections and the boxes that they were searched at, (N,)."""
    places = zip(found.centre, found.size, boxes, strict=True)
    return np.array([Box.of(centre, size).iou(box) for centre, size, box in places])


def probability(pipeline: Pipeline, state: TrackState, found: Detection) -> NDArray[np.float64]:
    """The confidence of N detections, in [0, 1]; without a fit for it the likeness, cut to [0, 1]."""
    confidence = confidence_of(pipeline, state, found)
    return found.peak.likeness.clip(0, 1) if confidence is None else confidence


def improbable(pipeline: Pipeline, state: TrackState, here: Detection | None) -> NDArray[np.bool_]:
    """Whether the target is probably not in its box, bool (N,); false without a fit for the confidence.

    here: detections at the target boxes.
    """
    if here is None:
        return np.zeros(len(state), dtype=np.bool_)
    unlikely: NDArray[np.bool_] = probability(pipeline, state, here) < PROBABLE
    return unlikely


def at_boxes(state: TrackState, boxes: Sequence[Box]) -> TrackState:
    """The state of N targets with centres and sizes of these N boxes; the filters are the same."""
    centre = to_centre_grid(np.array([box.centre for box in boxes]))
    return state.replace(centre=centre, size=np.array([box.size for box in boxes], dtype=np.float64))
