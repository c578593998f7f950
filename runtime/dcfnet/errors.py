"""The errors of the package.

    DcfnetError
    ├── InvalidBoxError (ValueError)      the box cannot be tracked
    ├── InvalidFrameError (ValueError)    the frame has a wrong type, shape or dtype, or is empty (`init`, `add`)
    │   └── FrameTypeError (TypeError)    the argument can never be a frame, for example a list (`update` too)
    ├── TimestampError (ValueError)       the time of a frame is not a finite number of seconds
    ├── NotInitialisedError (RuntimeError) `update`, `correct` or `save` before `init`
    ├── UnknownTargetError (KeyError)     the id is not a target of the MultiTracker
    ├── CapacityError (RuntimeError)      all slots of the MultiTracker are in use
    ├── ConfigError (ValueError)          a setting is unknown or out of range
    ├── ModelError (ValueError)           the file is not a model of this project
    │   └── EngineError                   a TensorRT engine cannot be built or must not run here
    ├── StateError (ValueError)           the file is not a state that this tracker can continue from (`restore`)
    ├── DeviceError (RuntimeError)        the requested GPU cannot be used, or the process is a fork
    ├── SourceError (OSError)             frames cannot be read
    ├── SinkError (OSError)               results cannot be written
    └── MissingDependencyError (ImportError) an optional package is not installed

`update` raises no error because of the content of a frame, for example a black frame or a lost target. Its result then
has a status and a reason. It raises FrameTypeError for an argument that can never be a frame, and TimestampError for a
time that is not a number. Both are errors in the calling program. It raises DeviceError if a GPU fails or cannot be
used, and in a fork of the process that made the tracker.
"""

from __future__ import annotations


class DcfnetError(Exception):
    """Base class of all errors of this package."""


class InvalidBoxError(DcfnetError, ValueError):
    """The box cannot be tracked. The message gives the box and the rule."""

    def __init__(self, message: str, *, no_texture: bool = False) -> None:
        """no_texture: the box is valid, but the frame has one flat colour there."""
        super().__init__(message)
        self.no_texture = no_texture


class InvalidFrameError(DcfnetError, ValueError):
    """The frame is invalid. The message gives its type, dtype or shape, and the accepted formats."""

    def __init__(self, message: str, *, empty: bool = False) -> None:
        """empty: the frame is None or has no pixels, for example at the end of a stream."""
        super().__init__(message)
        self.empty = empty


class FrameTypeError(InvalidFrameError, TypeError):
    """The argument can never be a frame: text, a number, a path or a Python container. Or a key is not a source."""


class TimestampError(DcfnetError, ValueError):
    """The time of a frame is not a finite number of seconds, or its source has no frame."""


class NotInitialisedError(DcfnetError, RuntimeError):
    """`update`, `correct` or `save` was called before `init`."""


class UnknownTargetError(DcfnetError, KeyError):
    """No target with this id is tracked."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError prints the repr of the message


class CapacityError(DcfnetError, RuntimeError):
    """All slots for targets are in use. The message gives their number."""


class ConfigError(DcfnetError, ValueError):
    """Invalid settings. The message lists all problems."""


class ModelError(DcfnetError, ValueError):
    """The file is not a valid model. The message gives the problem and the remedy."""


class EngineError(ModelError):
    """A TensorRT engine cannot be built or must not run here. The message lists all fields that differ."""


class StateError(DcfnetError, ValueError):
    """A tracker cannot continue from the state in a file. The message gives the difference and the remedy."""


class DeviceError(DcfnetError, RuntimeError):
    """The requested GPU cannot be used, or the process is a fork. The message names the missing part."""


class SourceError(DcfnetError, OSError):
    """Frames cannot be read from a source."""


class SinkError(DcfnetError, OSError):
    """Results cannot be written to a file."""


class MissingDependencyError(DcfnetError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, found: str = "") -> None:
        """extra: the extra of dcfnet that installs the package. found: what was found instead, for the message."""
        detail = f" ({found})" if found else ""
        super().__init__(f"{package} is not installed{detail}; install it with: pip install 'dcfnet[{extra}]'")
