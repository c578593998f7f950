"""The interface of a backbone: a callable from patches to features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from dcfnet.filter.dcf import Array


class Backbone:
    """Patches -> features, the same array type in and out. Engines subclass it; `CallableBackbone` wraps a function.

    input_dtype: float32, or float16 if the engine reads it faster. Patches are whole numbers, exact in both.
    capturable: true if a call only queues kernels on the current stream, always the same ones for the same number of
    patches, and if other calls do not disturb them. Such a call can be part of a CUDA graph.
    """

    input_dtype: DTypeLike = np.float32
    capturable: bool = False

    def __call__(self, patches: Array) -> Array:
        """Patches (B, 3, S, S) of `input_dtype`, BGR, mean subtracted -> features float32 (B, C, H, W)."""
        raise NotImplementedError

    def for_capture(self) -> CaptureBackbone | None:
        """An instance for one captured program alone; None if this backbone has no such instance."""
        return None


class CaptureBackbone:
    """A backbone for the calls of one captured program."""

    def begin(self) -> None:
        """Starts the program again. Its calls have the same order and the same shapes each time."""
        raise NotImplementedError

    def __call__(self, patches: Array) -> Array | None:
        """Queues the calculation of features. None if this call cannot be part of a graph."""
        raise NotImplementedError


class CallableBackbone(Backbone):
    """A backbone made of any function from float32 patches to features."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self._function = function

    def __call__(self, patches: Array) -> Array:
        return self._function(patches)


def as_backbone(function: Backbone | Callable[[Array], Array]) -> Backbone:
    """The backbone itself, or a plain function as a backbone."""
    return function if isinstance(function, Backbone) else CallableBackbone(function)
