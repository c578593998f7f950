"""What is written of one checkpoint: an ONNX file, and an engine with what belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dcfnet.engines.flavour import Flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.model import ENGINE, Model
from dcfnet.sinks import write_whole
from dcfnet_train.checkpoint import Checkpoint, load_checkpoint, load_shipped

from dcfnet_export.precision import convert
from dcfnet_export.ranges import Ranges
from dcfnet_export.released import read_released

FULL = "fp32"


@dataclass(frozen=True)
class Made:
    """A file that was written. model: what it computes; engine: whether it is an engine. text: about it, one line."""

    file: Path
    model: Model
    engine: bool
    text: str


@dataclass(frozen=True)
class Files:
    """What is to be written: a float32 model in a precision, with what is folded in, into a folder.

    ranges, per_channel: for int8 and mixed, see `convert`.
    """

    model: Model
    precision: str
    ranges: Ranges | None
    folded: Sequence[str]
    folder: Path
    per_channel: bool = True

    @property
    def name(self) -> str:
        """Of the files, without suffix."""
        return self.model.name + f"-{self.precision}" * (self.precision != FULL)

    def write_onnx(self) -> Made:
        """The ONNX file, in the form that CPUs run fast. Raises SinkError, and as `convert`."""
        file = self.folder / f"{self.name}.onnx"
        model = replace(self._converted("cpu"), name=str(file))
        write_whole(model.onnx, file)
        return Made(file, model, False, f"{file}: {len(model.onnx) / 1024:.0f} KB, {self._claim()}")

    def write_engine(
        self, flavour: Flavour, targets: int, scales: int | None, timing_cache: Path | None, asked: dict[str, Any]
    ) -> Made:
        """The engine's files. asked: settings of BuildOptions. Raises as `convert` and `make_engine`."""
        from dcfnet.engines.bundle import SOURCE, beside  # these want a library of their own, which ONNX files do not
        from dcfnet.engines.make import make_engine

        file = self.folder / f"{self.name}{ENGINE}"
        model = replace(self._converted("tensorrt"), name=str(beside(file, SOURCE)))
        options = BuildOptions.of(model, targets, scales, **asked)
        calibration = {"method": self.ranges.method, "patches": self.ranges.patches} if self.ranges else {}
        passport, there = make_engine(model, file, options, flavour, timing_cache, calibration)
        done = "stands already, asked for in the same words," if there else "built"
        told = f"{file}: {file.stat().st_size / 1024:.0f} KB, {done} with {passport.flavour} {passport.version}"
        return Made(file, model, True, f"{told}, not executed; {self._claim('its graph')}")

    def _converted(self, form: str) -> Model:
        return convert(self.model, self.precision, form, self.ranges, self.folded, self.per_channel)

    def _claim(self, computed: str = "") -> str:
        """What is known of a file of which nothing has been verified yet; computed: the part of it that was."""
        if self.precision != FULL:
            return "not yet compared with torch: --verify DATA does"
        return f"{computed or 'its network' * bool(self.folded)} equal to torch".strip()


def load(file: Path | None) -> tuple[Checkpoint, str]:
    """The checkpoint and the name of what is made of it; the shipped one without a file. Raises ModelError."""
    if file is None:
        return load_shipped(), "dcfnet"
    return (read_released(file) if file.suffix == ".npz" else load_checkpoint(file)), file.stem
