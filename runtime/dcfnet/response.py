"""Reading a response map: its peak, where it is to a fraction of a pixel, and how sharply it stands out.

Frame of reference: a map is float32 (..., H, W), its pixel [0, 0] is shift zero and rows and columns wrap around, so
that the last column is a shift of -1. Shifts are (x, y), in pixels of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESPONSE_SIDE = 64  # px of every response, whatever the patch and its features: what is read from it compares
# The 7 x 7 px around the peak are no sidelobe: the share of a search region that the 11 x 11 px of Bolme et al. are of
# a map of 125 (MOSSE, CVPR 2010, section 3.5).
PSR_EXCLUDED = 3

Maps = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Peak:
    """Peaks of N response maps.

    shift: float64 (N, 2), signed (x, y), map pixels, in (-W/2, W/2] and (-H/2, H/2].
    value: float64 (N,), height of the peak; 1 would be the label's own.
    psr: float64 (N,), peak-to-sidelobe ratio: (peak - mean) / std outside the peak's window; 0 for a flat map.
    apce: float64 (N,), average peak-to-correlation energy: (max - min)^2 / mean((g - min)^2); 0 for a flat map.
    """

    shift: NDArray[np.float64]
    value: NDArray[np.float64]
    psr: NDArray[np.float64]
    apce: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Peak:
        """The peaks of some maps."""
        return Peak(**{name: values[rows] for name, values in vars(self).items()})

    def put(self, rows: NDArray[np.intp], others: Peak) -> Peak:
        """The peaks with those of `rows` replaced."""
        changed = {name: values.copy() for name, values in vars(self).items()}
        for name, values in changed.items():
            values[rows] = getattr(others, name)
        return Peak(**changed)


def read_maps(maps: Maps, placed: Maps, penalty: float) -> tuple[NDArray[np.intp], Peak]:
    """The winning scale of each pyramid, (N,), and its peaks: maps (N, S, H, W), penalty as in `best_scale`.

    placed: (N, S, H, W), the maps with another answer in them, or the maps themselves. It says where the target is, and
    `value`; scale, PSR and APCE are of the maps. Where either has NaN or infinity there is no shift and no value.
    """
    winner, targets = best_scale(maps, penalty), np.arange(len(maps))
    won = maps[targets, winner]
    peaks = find_peaks(won)
    if placed is maps:
        return winner, peaks
    won_placed = placed[targets, winner]
    sound = _all_finite(won) & _all_finite(won_placed)
    answers = _where(sound, won_placed)
    row, column = _highest(answers)
    return winner, Peak(_shift(answers, row, column), answers[targets, row, column], peaks.psr, peaks.apce)


def scale_weights(scales: int, penalty: float) -> NDArray[np.float64]:
    """What the peaks of S scales are multiplied by, (S,): k steps off the middle one penalty^k."""
    weights: NDArray[np.float64] = penalty ** np.abs(np.arange(scales) - scales // 2)
    return weights


def best_scale(maps: Maps, penalty: float) -> NDArray[np.intp]:
    """Index of the winning scale of each pyramid: maps (N, S, H, W) -> (N,), the middle one where they tie.

    A peak k steps off the middle scale counts penalty^k: changing scale must earn it.
    """
    scales = maps.shape[1]
    offset = np.abs(np.arange(scales) - scales // 2)
    weighted = maps.max(axis=(2, 3)) * scale_weights(scales, penalty)
    order = np.argsort(offset, kind="stable")  # nearest to the middle first, so that argmax breaks ties towards it
    winner: NDArray[np.intp] = order[weighted[:, order].argmax(axis=1)]
    return winner


def find_peaks(maps: Maps) -> Peak:
    """Peaks of maps (N, H, W). A map with NaN or infinity gives value, PSR and APCE 0 and no shift."""
    maps = _where(_all_finite(maps), maps)
    row, column = _highest(maps)
    value = maps[np.arange(len(maps)), row, column]
    return Peak(_shift(maps, row, column), value, _psr(maps, row, column, value), _apce(maps, value))


def _where(sound: NDArray[np.bool_], maps: Maps) -> NDArray[np.float64]:
    """Maps (N, H, W) in float64, zeros in place of those that are not sound, (N,)."""
    return np.where(sound[:, None, None], maps, 0).astype(np.float64)


def _all_finite(maps: Maps) -> NDArray[np.bool_]:
    """Which of maps (N, H, W) have neither NaN nor infinity."""
    return np.asarray(np.isfinite(maps).all(axis=(1, 2)))


def _highest(maps: Maps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column, (N,) each, of the first highest pixel of maps (N, H, W)."""
    return np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[2])


def _shift(maps: Maps, row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float64]:
    """Signed shifts (x, y), (N, 2), of the tops of the parabolas through these pixels of maps (N, H, W)."""
    (_, height, width), targets = maps.shape, np.arange(len(maps))
    shift_y = _wrap(row + _parabola(*(maps[targets, (row + k) % height, column] for k in (-1, 0, 1))), height)
    shift_x = _wrap(column + _parabola(*(maps[targets, row, (column + k) % width] for k in (-1, 0, 1))), width)
    return np.stack([shift_x, shift_y], axis=1)


def _wrap(position: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Position on a circle of `length` -> signed shift."""
    return np.where(position > length / 2, position - length, position)


def _parabola(before: Maps, peak: Maps, after: Maps) -> NDArray[np.float64]:
    """Offset, in [-0.5, 0.5] px, of the top of the parabola through three neighbours; 0 where they are level."""
    curvature = 2 * peak - before - after
    level = curvature <= 0
    return np.where(level, 0.0, 0.5 * (after - before) / np.where(level, 1.0, curvature)).clip(-0.5, 0.5)


def _psr(maps: Maps, row: NDArray[np.intp], column: NDArray[np.intp], value: Maps) -> NDArray[np.float64]:
    count, height, width = maps.shape
    window = np.arange(-PSR_EXCLUDED, PSR_EXCLUDED + 1)
    rows = (row[:, None, None] + window[:, None]) % height
    columns = (column[:, None, None] + window[None, :]) % width
    excluded = maps[np.arange(count)[:, None, None], rows, columns]
    number = height * width - window.size**2
    if min(height, width) <= window.size:  # the window is the map: there is no sidelobe to stand out from
        return np.zeros(count)
    mean = (maps.sum(axis=(1, 2)) - excluded.sum(axis=(1, 2))) / number
    centred = maps - mean[:, None, None]
    variance = ((centred**2).sum(axis=(1, 2)) - ((excluded - mean[:, None, None]) ** 2).sum(axis=(1, 2))) / number
    return _ratio(value - mean, np.sqrt(np.maximum(variance, 0)))


def _apce(maps: Maps, value: Maps) -> NDArray[np.float64]:
    low = maps.min(axis=(1, 2))
    return _ratio((value - low) ** 2, ((maps - low[:, None, None]) ** 2).mean(axis=(1, 2)))


def _ratio(numerator: Maps, denominator: Maps) -> NDArray[np.float64]:
    """numerator / denominator, 0 where the denominator vanishes."""
    flat = denominator < 1e-12
    return np.where(flat, 0.0, numerator / np.where(flat, 1.0, denominator))
