"""The stand-in has no names that CuPy lacks, and its views of arrays are those of CuPy."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.memory import Graph, Pool, Stream
from tests.runtime.cuda.standin import ndarray, standin

OWN_NAMES = {"state", "plans"}  # names that CuPy does not have


def names(module: Any) -> list[str]:
    """The dotted names of all functions, classes and values of the stand-in."""
    found = []
    for name, value in vars(module).items():
        if name.startswith("__") or name in OWN_NAMES:
            continue
        found += [f"{name}.{inner}" for inner in names(value)] if isinstance(value, SimpleNamespace) else [name]
    return found


def has(module: Any, name: str) -> bool:
    """Whether the module has a dotted name. True if the name needs a CUDA library that is not installed."""
    try:
        for part in name.split("."):
            module = getattr(module, part)
    except AttributeError:
        return False
    except ImportError:
        return True
    return True


def test_cupy_has_all_names_of_the_standin(cupy: Any) -> None:
    without_kernels: Any = None
    missing = [name for name in names(standin(without_kernels)) if not has(cupy, name)]
    assert missing == []
    defined = {name for name in dir(ndarray) if not hasattr(object, name)}
    of_all_classes = {"__dict__", "__module__", "__weakref__", "__annotations__"}
    assert defined - set(dir(cupy.ndarray)) - of_all_classes == set()
    assert {"shape", "dtype", "ndim", "strides", "data", "flags"} <= set(dir(cupy.ndarray))
    assert hasattr(cupy.RawModule, "compile")
    assert hasattr(cupy.RawModule, "get_function")
    for ours, theirs in ((Stream, cupy.cuda.Stream), (Graph, cupy.cuda.Graph), (Pool, cupy.cuda.MemoryPool)):
        given = {name for name, value in vars(ours).items() if callable(value) and not hasattr(object, name)}
        methods = {name for name in given if name.startswith("__") or not name.startswith("_")}
        assert methods - set(dir(theirs)) == set()
    assert {"begin_capture", "end_capture", "synchronize"} <= set(dir(cupy.cuda.Stream))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "part": lambda array: array[1:3],
    "row": lambda array: array[1],
    "step": lambda array: array[:, ::2],
    "column": lambda array: array[:, 1:2],
    "middle": lambda array: array[..., 1:3, 1:3],
    "backwards": lambda array: array[..., ::-1, :],
    "new axis": lambda array: array[:, None],
    "bytes": lambda array: array.view(np.uint8),
    "complex": lambda array: array.view(np.complex64),
    "real part": lambda array: array.view(np.complex64).real,
    "imaginary part": lambda array: array.view(np.complex64).imag,
    "reshaped": lambda array: array.reshape(-1, 4),
    "reshaped part": lambda array: array[1:].reshape(len(array) - 1, -1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_cupy_are_those_of_the_standin(cupy: Any, name: str) -> None:
    """A CuPy array on host memory needs no GPU, as long as nothing reads or writes its values."""
    values = np.zeros((4, 3, 4, 4), np.float32)
    memory = cupy.cuda.UnownedMemory(values.ctypes.data, values.nbytes, values, 0)
    found = VIEWS[name](cupy.ndarray(values.shape, np.float32, cupy.cuda.MemoryPointer(memory, 0)))
    expected = VIEWS[name](ndarray(values))
    for attribute in ("shape", "dtype", "ndim", "strides"):
        assert getattr(found, attribute) == getattr(expected, attribute)
    assert len(found) == len(expected)
    assert found.data.ptr == expected.data.ptr
    assert found.data.device_id == 0
    assert hasattr(expected.data, "device_id")  # its value needs a stand-in
    assert found.flags.c_contiguous == expected.flags.c_contiguous
