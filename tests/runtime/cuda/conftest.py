"""The CUDA path with and without a GPU: on the stand-in everywhere, on CuPy where a GPU is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from dcfnet import backend, kernels

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.standin import standin

STANDING_UPON_CUPY = ("dcfnet.device", "dcfnet.cuda", "dcfnet_evaluation.bench.gpu")


@pytest.fixture(scope="session")
def host_kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    """The kernels, compiled for the host once."""
    return HostKernels(kernels.source(), tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def use_cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts a module in CuPy's place, and gives dcfnet.cuda as it stands upon it."""

    def use(module: Any) -> Any:
        monkeypatch.setitem(sys.modules, "cupy", module)
        for name in STANDING_UPON_CUPY:
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(backend, "find_spec", lambda name: object())
        return importlib.import_module("dcfnet.cuda")

    yield use
    for name in STANDING_UPON_CUPY:
        sys.modules.pop(name, None)
    backend._warn.cache_clear()


@pytest.fixture
def fake(host_kernels: HostKernels, use_cupy: Any) -> Iterator[Any]:
    """The stand-in, in CuPy's place; every copy that is still queued at the end is looked at."""
    module = standin(host_kernels)
    use_cupy(module)
    yield module
    module.state.copies.finish()


@pytest.fixture(params=["standin", pytest.param("gpu", marks=pytest.mark.gpu)])
def place(request: pytest.FixtureRequest) -> str:
    """Where the CUDA path runs in this test: every test that asks runs on both."""
    if request.param == "standin":
        request.getfixturevalue("fake")
    else:
        cupy = pytest.importorskip("cupy", reason="needs CuPy", exc_type=ImportError)
        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            pytest.skip(f"needs a GPU: {error}")
    return str(request.param)
