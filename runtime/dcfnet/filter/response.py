"""Peaks of response maps: value, position to a fraction of a pixel, PSR and APCE.

Frame of reference: a map is float32 (..., H, W). Pixel [0, 0] is shift zero. Rows and columns wrap around, so the last
column is shift -1. Shifts are (x, y), in map pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESPONSE_SIDE = 64  # px of each response map, for all patch sizes, so that PSR values are comparable
# The sidelobe excludes 7 x 7 px around the peak: PSR_EXCLUDED px on each side. This is the same share of the search
# region as 11 x 11 px (Bolme et al., MOSSE, CVPR 2010, section 3.5) in a map of 125 px.
PSR_EXCLUDED = 3

Maps = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Peak:
    """Peaks of N response maps.

    shift: float64 (N, 2), signed (x, y), map pixels, in (-W/2, W/2] and (-H/2, H/2].
    value: float64 (N,), the peak; 1 is the peak of the label.
    likeness: float64 (N,), the response of the first filter at the same pixel; 0 if there is none.
    psr: float64 (N,), peak-to-sidelobe ratio: (peak - mean) / std, both outside the peak's window; 0 for a flat map.
    apce: float64 (N,), average peak-to-correlation energy: (max - min)^2 / mean((g - min)^2); 0 for a flat map.
    """

    shift: NDArray[np.float64]
    value: NDArray[np.float64]
    psr: NDArray[np.float64]
    apce: NDArray[np.float64]
    likeness: NDArray[np.float64]

    @classmethod
    def concatenate(cls, parts: Sequence[Peak]) -> Peak:
        """The peaks of all parts, in order."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Peak:
        """The peaks of some maps."""
        return Peak(**{name: values[rows] for name, values in vars(self).items()})

    def put(self, rows: NDArray[np.intp], others: Peak) -> Peak:
        """The peaks, those of `rows` replaced by `others`."""
        changed = {name: values.copy() for name, values in vars(self).items()}
        for name, values in changed.items():
            values[rows] = getattr(others, name)
        return Peak(**changed)


def read_maps(maps: Maps, position_maps: Maps, first_maps: Maps, penalty: float) -> tuple[NDArray[np.intp], Peak]:
    """The winning scale of each pyramid, (N,), and its peak. maps: (N, S, H, W). penalty: see `best_scale`.

    position_maps: (N, S, H, W), the maps blended with the response of the colours, or the maps themselves. They give
    shift and value; `maps` give scale, PSR and APCE. If either contains NaN or infinity, shift and value are 0.
    first_maps: (N, 1, H, W), responses of the first filters. They give the likeness, which is 0 too then.
    """
    winner, targets = best_scale(maps, penalty), np.arange(len(maps))
    response = maps[targets, winner]
    peaks = find_peaks(response)
    position_map = position_maps[targets, winner]
    valid = _all_finite(response) & _all_finite(position_map)
    position_map = _zero_unless(valid, position_map)
    row, column = _highest(position_map)
    likeness = first_maps[targets, 0, row, column].astype(np.float64)
    likeness = np.where(valid & np.isfinite(likeness), likeness, 0.0)
    shift, value = _shift(position_map, row, column), position_map[targets, row, column]
    return winner, Peak(shift, value, peaks.psr, peaks.apce, likeness)


def scale_weights(scales: int, penalty: float) -> NDArray[np.float64]:
    """Factors for the peaks of S scales, (S,): penalty^k for a scale k steps from the middle one."""
    weights: NDArray[np.float64] = penalty ** np.abs(np.arange(scales) - scales // 2)
    return weights


def best_scale(maps: Maps, penalty: float) -> NDArray[np.intp]:
    """Index of the winning scale of each pyramid: maps (N, S, H, W) -> (N,). The middle scale wins a tie.

    The peak of a scale k steps from the middle one is multiplied by penalty^k, so only a clearly higher peak wins.
    """
    scales = maps.shape[1]
    offset = np.abs(np.arange(scales) - scales // 2)
    weighted = maps.max(axis=(2, 3)) * scale_weights(scales, penalty)
    order = np.argsort(offset, kind="stable")  # middle scale first, because argmax returns the first of equal peaks
    winner: NDArray[np.intp] = order[weighted[:, order].argmax(axis=1)]
    return winner


def find_peaks(maps: Maps) -> Peak:
    """Peaks of maps (N, H, W), without a likeness. For a map with NaN or infinity all values are 0."""
    maps = _zero_unless(_all_finite(maps), maps)
    row, column = _highest(maps)
    value = maps[np.arange(len(maps)), row, column]
    shift, psr, apce = _shift(maps, row, column), _psr(maps, row, column, value), _apce(maps, value)
    return Peak(shift, value, psr, apce, np.zeros(len(maps)))


def _zero_unless(valid: NDArray[np.bool_], maps: Maps) -> NDArray[np.float64]:
    """Maps (N, H, W) in float64; zeros for maps that are not valid, bool (N,)."""
    return np.where(valid[:, None, None], maps, 0).astype(np.float64)


def _all_finite(maps: Maps) -> NDArray[np.bool_]:
    """Which maps of (N, H, W) contain neither NaN nor infinity, bool (N,)."""
    return np.asarray(np.isfinite(maps).all(axis=(1, 2)))


def _highest(maps: Maps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column, (N,) each, of the first maximum of maps (N, H, W)."""
    return np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[2])


def _shift(maps: Maps, row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float64]:
    """Signed shifts (x, y), (N, 2), of the vertices of parabolas through these pixels and their neighbours."""
    (_, height, width), targets = maps.shape, np.arange(len(maps))
    shift_y = _wrap(row + _parabola(*(maps[targets, (row + k) % height, column] for k in (-1, 0, 1))), height)
    shift_x = _wrap(column + _parabola(*(maps[targets, row, (column + k) % width] for k in (-1, 0, 1))), width)
    return np.stack([shift_x, shift_y], axis=1)


def _wrap(position: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Position on a circle of this length -> signed shift."""
    return np.where(position > length / 2, position - length, position)


def _parabola(before: Maps, peak: Maps, after: Maps) -> NDArray[np.float64]:
    """Offset of the vertex of the parabola through three pixels, in [-0.5, 0.5] px; 0 if they are equal."""
    curvature = 2 * peak - before - after
    flat = curvature <= 0
    return np.where(flat, 0.0, 0.5 * (after - before) / np.where(flat, 1.0, curvature)).clip(-0.5, 0.5)


def _psr(maps: Maps, row: NDArray[np.intp], column: NDArray[np.intp], value: Maps) -> NDArray[np.float64]:
    count, height, width = maps.shape
    window = np.arange(-PSR_EXCLUDED, PSR_EXCLUDED + 1)
    rows = (row[:, None, None] + window[:, None]) % height
    columns = (column[:, None, None] + window[None, :]) % width
    excluded = maps[np.arange(count)[:, None, None], rows, columns]
    number = height * width - window.size**2
    if min(height, width) <= window.size:  # the window covers the map: there is no sidelobe
        return np.zeros(count)
    mean = (maps.sum(axis=(1, 2)) - excluded.sum(axis=(1, 2))) / number
    centred = maps - mean[:, None, None]
    variance = ((centred**2).sum(axis=(1, 2)) - ((excluded - mean[:, None, None]) ** 2).sum(axis=(1, 2))) / number
    return _ratio(value - mean, np.sqrt(np.maximum(variance, 0)))


def _apce(maps: Maps, value: Maps) -> NDArray[np.float64]:
    low = maps.min(axis=(1, 2))
    return _ratio((value - low) ** 2, ((maps - low[:, None, None]) ** 2).mean(axis=(1, 2)))


def _ratio(numerator: Maps, denominator: Maps) -> NDArray[np.float64]:
    """numerator / denominator; 0 if the denominator is almost 0."""
    flat = denominator < 1e-12
    return np.where(flat, 0.0, numerator / np.where(flat, 1.0, denominator))
