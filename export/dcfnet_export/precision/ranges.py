"""Activation ranges for int8: the file of `dcfnet-calibrate ranges`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dcfnet.errors import DcfnetError
from dcfnet.io.files import read_json, write_atomically

from dcfnet_export.naming import CONVOLUTION

FORMAT = 1
LARGEST = 3.4e38  # the largest float32
RELU = "relu"  # prefix of the tensors that are never below 0


class RangesError(DcfnetError, ValueError):
    """The ranges are not usable, or of another model. The message shows the value and the rule."""


@dataclass(frozen=True)
class Ranges:
    """Activation ranges, under the tensor names of naming.py.

    method: of the measurement. weights_sha256: of the measured model. patches: number of measured patches.
    tensors: {name: (low, high)} for `patches`, each `conv*` and each `relu*`, in the float32 units of the model.
    sensitive: convolutions that mixed precision keeps out of int8.
    Raises RangesError with the tensor if a range is invalid.
    """

    method: str
    weights_sha256: str
    patches: int
    tensors: Mapping[str, tuple[float, float]]
    sensitive: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high) in self.tensors.items():
            if not (abs(low) <= LARGEST and abs(high) <= LARGEST):
                raise RangesError(f"range of {name} is [{low}, {high}]: both ends must be finite float32 numbers")
            if low >= high:
                raise RangesError(f"range of {name} is [{low}, {high}]: low must be below high")
            if name.startswith(RELU) and low < 0:
                raise RangesError(f"range of {name} is [{low}, {high}]: low must be at least 0 after a ReLU")
        layers = [name for name in self.tensors if name.startswith(CONVOLUTION)]
        unknown = [name for name in self.sensitive if name not in layers]
        if unknown:
            raise RangesError(f"sensitive: no convolution {', '.join(unknown)}; there are {', '.join(layers)}")
        if layers and set(self.sensitive) == set(layers):
            raise RangesError("sensitive: contains every convolution; mixed precision needs at least one in int8")

    @classmethod
    def read(cls, file: Path) -> Ranges:
        """The ranges in a file. Raises RangesError with the file and the fault."""
        try:
            values = read_json(file)
        except FileNotFoundError as error:
            raise RangesError(f"{file}: no such file; create it with dcfnet-calibrate ranges") from error
        except OSError as error:
            raise RangesError(f"{file}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise RangesError(f"{file}: not JSON ({error}); create it with dcfnet-calibrate ranges") from error
        try:
            return cls(**_checked(values))
        except RangesError as error:
            raise RangesError(f"{file}: {error}") from error

    def write(self, file: Path) -> None:
        """Writes the file atomically. Raises SinkError."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["tensors"] = {name: list(ends) for name, ends in self.tensors.items()}
        write_atomically((json.dumps({"format": FORMAT, **values}, indent=2) + "\n").encode(), file)

    def check_model(self, weights_sha256: str) -> None:
        """Raises RangesError if these ranges are of other weights than those with this hash."""
        if self.weights_sha256 != weights_sha256:
            raise RangesError(
                f"the ranges were measured on weights {self.weights_sha256:.12}, the model has {weights_sha256:.12}: "
                "measure ranges of this model with dcfnet-calibrate ranges"
            )


def _checked(values: Any) -> dict[str, Any]:
    """The fields of Ranges from a JSON value. Raises RangesError for unknown and missing keys and for wrong types."""
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = values.get("format") if isinstance(values, dict) else type(values).__name__
        raise RangesError(f"format {found!r}, this version reads {FORMAT}; measure again with dcfnet-calibrate ranges")
    keys, known = set(values) - {"format"}, {entry.name for entry in fields(Ranges)}
    if keys != known:
        unknown, missing = sorted(keys - known), sorted(known - keys)
        faults = [f"unknown {', '.join(unknown)}"] * bool(unknown) + [f"lacks {', '.join(missing)}"] * bool(missing)
        raise RangesError("; ".join(faults))
    for name in ("method", "weights_sha256"):
        if not isinstance(values[name], str):
            raise RangesError(f"{name} is {values[name]!r}: must be text")
    if not _whole(values["patches"]):
        raise RangesError(f"patches is {values['patches']!r}: must be a whole number above 0")
    return {name: values[name] for name in ("method", "weights_sha256", "patches")} | {
        "tensors": _tensors(values["tensors"]),
        "sensitive": _names(values["sensitive"]),
    }


def _tensors(values: Any) -> dict[str, tuple[float, float]]:
    if not isinstance(values, dict):
        raise RangesError(f"tensors is {values!r:.60}: must map names to [low, high]")
    for name, ends in values.items():
        if not isinstance(ends, list) or len(ends) != 2 or not all(map(_number, ends)):
            raise RangesError(f"range of {name} is {ends!r:.60}: must be two numbers, [low, high]")
    return {name: (float(low), float(high)) for name, (low, high) in values.items()}


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise RangesError(f"sensitive is {values!r:.60}: must be a list of names")
    return tuple(values)


def _number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= LARGEST  # a larger integer has no float
    return isinstance(value, float)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
