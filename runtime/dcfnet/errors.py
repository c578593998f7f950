"""What the package raises for what a programmer or an operator did.

    DcfnetError
    ├── InvalidBoxError (ValueError)      a box that cannot be tracked
    ├── InvalidFrameError (ValueError)    a frame of a wrong type, shape or size, at `init`
    ├── NotInitialisedError (RuntimeError) `update` before `init`
    ├── UnknownTargetError (KeyError)     an id that MultiTracker does not hold
    ├── CapacityError (RuntimeError)      more targets than MultiTracker was to have room for
    ├── ConfigError (ValueError)          an unknown or out-of-range setting
    ├── ModelError (ValueError)           a file that is not a model of this project
    │   └── EngineError                   a TensorRT engine that cannot be built, or is not to be run here
    ├── DeviceError (RuntimeError)        a GPU that is asked for and cannot be used
    ├── SourceError (OSError)             frames that cannot be read
    ├── SinkError (OSError)               results that cannot be written
    └── MissingDependencyError (ImportError) an optional package, with the extra that installs it

`update` raises none of them for what the world does (a black frame, a lost target): it answers with a status and a
reason instead. A GPU that fails, or is used where it cannot be, is a DeviceError in `update`, too.
"""

from __future__ import annotations


class DcfnetError(Exception):
    """Root of everything this package raises on purpose."""


class InvalidBoxError(DcfnetError, ValueError):
    """The box given cannot be tracked; the message shows the box and the rule it breaks."""


class InvalidFrameError(DcfnetError, ValueError):
    """The frame given is not an image this tracker reads; the message shows what came and what is accepted."""

    def __init__(self, message: str, *, empty: bool = False) -> None:
        """empty: there is no pixel in it, as at the end of a stream."""
        super().__init__(message)
        self.empty = empty


class NotInitialisedError(DcfnetError, RuntimeError):
    """`update` was called before `init`."""


class UnknownTargetError(DcfnetError, KeyError):
    """No target of this id is being tracked."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the message's repr


class CapacityError(DcfnetError, RuntimeError):
    """There is no slot left for another target; the message says how many there are."""


class ConfigError(DcfnetError, ValueError):
    """Settings that do not make a tracker; the message lists every problem at once."""


class ModelError(DcfnetError, ValueError):
    """A file that is not a usable model; the message names what is missing and how to make one."""


class EngineError(ModelError):
    """A TensorRT engine that cannot be built, or that is refused; the message names every field that differs."""


class DeviceError(DcfnetError, RuntimeError):
    """A GPU that is asked for and cannot be used; the message names what is missing."""


class SourceError(DcfnetError, OSError):
    """Frames cannot be read from the given source."""


class SinkError(DcfnetError, OSError):
    """Results cannot be written to the given place."""


class MissingDependencyError(DcfnetError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, found: str = "") -> None:
        """found: what there was in its place."""
        told = f" ({found})" if found else ""
        super().__init__(f"{package} is not installed{told}; it comes with: pip install 'dcfnet[{extra}]'")
