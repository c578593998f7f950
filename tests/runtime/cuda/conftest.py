"""Fixtures that run the CUDA code on the stand-in for CuPy, and on CuPy itself if there is a GPU."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from dcfnet.devices import selection
from dcfnet.devices.cuda.kernels.program import TRACKER

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import Stream
from tests.runtime.cuda.standin import standin

# Modules that import CuPy. They are imported again for every stand-in.
CUPY_IMPORTERS = (
    "dcfnet.devices.cuda.device",
    "dcfnet.devices.cuda.backend",
    "dcfnet_evaluation.bench.gpu.speed",
    "dcfnet_evaluation.bench.gpu.timing",
)


@pytest.fixture(scope="session")
def host_kernels(run_folder: Path) -> HostKernels:
    """The tracker's kernels, compiled for the host. Other programs are compiled once per session."""
    folder = run_folder / "kernels"
    folder.mkdir(exist_ok=True)
    return HostKernels(TRACKER.source(), folder, TRACKER.options())


@pytest.fixture
def use_cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that installs a module as `cupy`. It returns the backend module, imported with it."""

    def use(module: Any) -> Any:
        monkeypatch.setitem(sys.modules, "cupy", module)
        for name in CUPY_IMPORTERS:
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(selection, "find_spec", lambda name: object())
        return importlib.import_module("dcfnet.devices.cuda.backend")

    yield use
    for name in CUPY_IMPORTERS:
        sys.modules.pop(name, None)
    selection._warn.cache_clear()


@pytest.fixture
def fake(host_kernels: HostKernels, use_cupy: Any) -> Iterator[Any]:
    """The stand-in, installed as `cupy`. At the end of the test it checks the copies that are still queued."""
    module = standin(host_kernels)
    use_cupy(module)
    yield module
    module.state.copies.finish()


@pytest.fixture
def clocked(fake: Any) -> Any:
    """The stand-in, with the properties of a GPU."""
    fake.__version__ = "14"
    properties = {"name": b"Stand-in", "totalGlobalMem": 1 << 30}
    fake.cuda.runtime.getDeviceProperties = lambda number: properties
    return fake


@pytest.fixture
def recorded_captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The streams of all graph captures on the stand-in since the start of the test."""
    captures: list[int] = []
    real = Stream.end_capture
    monkeypatch.setattr(Stream, "end_capture", lambda self: captures.append(self.ptr) or real(self))
    return captures


@pytest.fixture(params=["standin", pytest.param("gpu", marks=pytest.mark.gpu)])
def place(request: pytest.FixtureRequest) -> str:
    """Where the CUDA code runs in this test, "standin" or "gpu". A test with this fixture runs on both."""
    if request.param == "standin":
        request.getfixturevalue("fake")
    else:
        cupy = pytest.importorskip("cupy", reason="needs CuPy", exc_type=ImportError)
        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            pytest.skip(f"needs a GPU: {error}")
    return str(request.param)


@pytest.fixture(scope="module", params=["nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"], ids=["CUDA 13", "CUDA 12"])
def nvrtc(request: pytest.FixtureRequest) -> Any:
    """NVIDIA's run-time compiler, which needs no driver."""
    try:
        listed = metadata.files(request.param) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs {request.param}; the dev extra installs it on x86-64 Linux only")
    (library,) = (Path(str(file.locate())) for file in listed if file.name.startswith("libnvrtc.so"))
    return ctypes.CDLL(str(library))
