"""The parameters of the node: names, defaults, ranges and descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Value = bool | int | float | str


class Parameter(NamedTuple):
    """A parameter. range: lowest and highest value, for numbers. choices: all valid values, for text."""

    name: str
    default: Value
    description: str
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()


PARAMETERS = (
    Parameter("model", "deep", "Shipped model (deep, dcfnet), or a file: .onnx or .engine."),
    Parameter(
        "device", "auto", "Device: auto (the GPU if it can be used), cpu or cuda.", None, ("auto", "cpu", "cuda")
    ),
    Parameter("preset", "balanced", "Operating point.", None, ("accurate", "balanced", "fast")),
    Parameter("threads", 0, "Threads of ONNX Runtime on the CPU. 0: one per core.", (0, 256)),
    Parameter("image_transport", "raw", "raw or compressed.", None, ("raw", "compressed")),
    Parameter(
        "levels", "first", "Levels of images of more than 8 bits that become black and white: first, full or A,B."
    ),
    Parameter("min_score", 0.0, "Boxes below this score are not used.", (-1e6, 1e6)),
    Parameter(
        "births", 1, "A target starts when no target took a box in this number of messages. 0: never.", (0, 1000)
    ),
    Parameter("birth_score", 0.5, "Boxes below this score start no target.", (-1e6, 1e6)),
    Parameter("deaths", 0, "A target ends after this number of frames without it in a row. 0: never.", (0, 1000000)),
    Parameter("max_targets", 50, "No target starts if there are this many.", (1, 65536)),
    Parameter("kept_frames", 10, "Newest frames that are kept for boxes of a slow detector.", (1, 300)),
    Parameter("max_age", 0.2, "Age of a frame at its result, s, above which diagnostics warn.", (0.001, 3600.0)),
    Parameter("stale_after", 2.0, "Time without an image, s, after which diagnostics report an error.", (0.01, 3600.0)),
    Parameter("state_file", "", "File of ~/save_state. Empty: the service refuses."),
    Parameter("restore_state", False, "Continue from state_file when the node is configured, if the file exists."),
    Parameter("build_engine_only", False, "Build the TensorRT engine of the parameter model again, and exit."),
    Parameter("autostart", False, "Configure and activate at the start, without a lifecycle manager."),
)


@dataclass(frozen=True)
class Settings:
    """The values of the parameters, as `PARAMETERS` describes them."""

    model: str
    device: str
    preset: str
    threads: int
    image_transport: str
    levels: str
    min_score: float
    births: int
    birth_score: float
    deaths: int
    max_targets: int
    kept_frames: int
    max_age: float
    stale_after: float
    state_file: str
    restore_state: bool
    build_engine_only: bool
    autostart: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """The settings with these values. Raises ValueError for text that is not one of the choices of a parameter."""
        for parameter in PARAMETERS:
            value = values[parameter.name]
            if parameter.choices and value not in parameter.choices:
                raise ValueError(f"{parameter.name}: {value!r} must be one of {', '.join(parameter.choices)}")
        return cls(**{parameter.name: values[parameter.name] for parameter in PARAMETERS})
