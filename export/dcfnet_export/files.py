"""Writes the files of one network: an ONNX file, and an engine with its companion files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dcfnet.backbones.loading import ENGINE
from dcfnet.engines.flavour import Flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.io.files import write_atomically
from dcfnet.model.file import Model

from dcfnet_export.changes import Source
from dcfnet_export.precision import convert
from dcfnet_export.precision.ranges import Ranges

FP32 = "fp32"


@dataclass(frozen=True)
class ExportedFile:
    """A written file. model: its graph. engine: whether it is a TensorRT engine. text: a summary in one line."""

    file: Path
    model: Model
    engine: bool
    text: str


@dataclass(frozen=True)
class Exporter:
    """Writes the float32 model of a source in one precision into a folder.

    folded: names of FOLDABLE to put into the graph. ranges, per_channel: for int8 and mixed, see `convert`.
    """

    source: Source
    precision: str
    ranges: Ranges | None
    folded: Sequence[str]
    folder: Path
    per_channel: bool = True

    @property
    def name(self) -> str:
        """Name of the files without suffix."""
        return self.source.model.name + f"-{self.precision}" * (self.precision != FP32)

    def write_onnx(self) -> ExportedFile:
        """Writes the ONNX file in the form for CPUs. Raises SinkError, and the errors of `convert`."""
        file = self.folder / f"{self.name}.onnx"
        model = replace(self._converted("cpu"), name=str(file))
        write_atomically(model.onnx, file)
        return ExportedFile(file, model, False, f"{file}: {len(model.onnx) / 1024:.0f} KB, {self._parity()}")

    def write_engine(
        self,
        flavour: Flavour,
        targets: int,
        scales: int | None,
        timing_cache: Path | None,
        build_options: dict[str, Any],
    ) -> ExportedFile:
        """Writes the files of the engine. build_options: settings of BuildOptions.

        Raises the errors of `convert` and `make_engine`.
        """
        from dcfnet.engines.bundle import SOURCE, companion_file  # needs libraries that ONNX files do not need
        from dcfnet.engines.make import make_engine

        file = self.folder / f"{self.name}{ENGINE}"
        model = replace(self._converted("tensorrt"), name=str(companion_file(file, SOURCE)))
        options = BuildOptions.of(model, targets, scales, **build_options)
        calibration = {"method": self.ranges.method, "patches": self.ranges.patches} if self.ranges else {}
        passport, existed = make_engine(model, file, options, flavour, timing_cache, calibration)
        state = "already built for these options" if existed else "built"
        text = f"{file}: {file.stat().st_size / 1024:.0f} KB, {state} with {passport.flavour} {passport.version}"
        return ExportedFile(file, model, True, f"{text}, not executed; {self._parity('graph')}")

    def _converted(self, form: str) -> Model:
        return convert(self.source.model, self.precision, form, self.ranges, self.folded, self.per_channel)

    def _parity(self, part: str = "") -> str:
        """Parity with the reference before --verify. part: the part of the file that the parity check covers."""
        if self.precision != FP32 or not self.source.compared:
            return f"not yet compared with {self.source.reference_name}, use --verify DATA"
        return f"{part or 'network' * bool(self.folded)} equal to {self.source.reference_name}".strip()
