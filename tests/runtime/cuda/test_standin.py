"""The stand-in against CuPy itself, where that is installed; no GPU is needed for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.standin import ndarray, standin

OWN = {"state"}  # what only a stand-in has


def names(module: Any) -> list[str]:
    """Everything in the stand-in that code could ask CuPy for, by its dotted name."""
    found = []
    for name, value in vars(module).items():
        if name.startswith("__") or name in OWN:
            continue
        found += [f"{name}.{inner}" for inner in names(value)] if isinstance(value, SimpleNamespace) else [name]
    return found


def has(module: Any, name: str) -> bool:
    """Whether it has what the dotted name says; of a library of CUDA that is not installed nobody knows."""
    try:
        for part in name.split("."):
            module = getattr(module, part)
    except AttributeError:
        return False
    except ImportError:
        return True
    return True


def test_cupy_has_what_the_standin_has(host_kernels: HostKernels) -> None:
    cupy = pytest.importorskip("cupy", reason="needs CuPy", exc_type=ImportError)
    missing = [name for name in names(standin(host_kernels)) if not has(cupy, name)]
    assert missing == []
    kept = {name for name in dir(ndarray) if not hasattr(object, name)}
    of_instances = {"__dict__", "__module__", "__weakref__", "__annotations__"}
    assert kept - set(dir(cupy.ndarray)) - of_instances == set()
    assert {"shape", "dtype", "ndim", "strides", "data", "flags"} <= set(dir(cupy.ndarray))
    assert hasattr(cupy.RawModule, "compile")
    assert hasattr(cupy.RawModule, "get_function")


def test_the_standin_refuses_what_cupy_refuses(fake: Any) -> None:
    away, host = fake.asarray(np.ones((2, 3), np.float32)), np.ones((2, 3), np.float32)
    for mixed in (lambda: away + host, lambda: host * away, lambda: host / away[0]):
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(away)
    with pytest.raises(AttributeError):
        away.ptp()
