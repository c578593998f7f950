"""TensorRT or TensorRT-RTX, whichever is installed. Only this module imports tensorrt and tensorrt_rtx."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dcfnet.errors import ConfigError, MissingDependencyError

RTX = "tensorrt_rtx"
FLAVOURS = {
    "tensorrt": "trt",
    RTX: "rtx",
}  # module: the extra that installs it; "auto" uses the first installed one


@dataclass(frozen=True)
class Flavour:
    """An imported TensorRT. module: the imported module. log: its logger; `log.lines` are its messages."""

    name: str
    version: str
    module: Any
    log: Any

    def capabilities(self) -> dict[str, Any]:
        """The compute capabilities that an engine can be built for by name: {"8.6": ComputeCapability.SM86}."""
        enum = getattr(self.module, "ComputeCapability", None)
        names = [name for name in dir(enum) if name.startswith("SM") and name[2:].isdecimal()]
        by_number = sorted(names, key=lambda name: int(name[2:]))
        return {f"{name[2:-1]}.{name[-1]}": getattr(enum, name) for name in by_number}

    def lacks(self, capability: str) -> bool:
        """Whether no engine of this TensorRT can run on a GPU of this compute capability.

        TensorRT-RTX 1.7 has 7.5, 8.0, 8.6, 8.9, 12.0 and 12.1, so it lacks Hopper (9.0) and Orin (8.7).
        """
        return self.name == RTX and capability not in self.capabilities()

    def errors(self) -> str:
        """The last error messages, in one line."""
        errors = [line for level, line in self.log.lines if "ERROR" in level]
        return "; ".join(errors[-3:]) or "it gives no reason"


def open_flavour(name: str = "auto") -> Flavour:
    """Imports TensorRT by the name of its module; "auto" is the first of FLAVOURS that can be imported.

    Raises ConfigError for another name, and MissingDependencyError with the errors of the imports.
    """
    if name != "auto" and name not in FLAVOURS:
        raise ConfigError(f"no TensorRT flavour {name!r}; there are auto, {', '.join(FLAVOURS)}")
    names = tuple(FLAVOURS) if name == "auto" else (name,)
    failures = []
    for flavour in names:
        try:
            module = import_module(flavour)
        except Exception as error:  # its loader raises various errors if its libraries cannot be opened
            failures.append(f"{flavour}: {error}")
            continue
        return Flavour(flavour, str(module.__version__), module, _create_log(module))
    raise MissingDependencyError(" or ".join(names), FLAVOURS[names[-1]], "; ".join(failures))


def _create_log(trt: Any) -> Any:
    """A logger that stores the messages instead of printing them: `lines` are (level, message), in order."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: Any, message: str) -> None:
            self.lines.append((severity.name, message))

    return Log()
