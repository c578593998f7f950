"""CuPy itself, without a GPU. `./justw test-cupy` installs it, for CUDA 12 and for CUDA 13."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from dcfnet.devices.cuda.kernels.program import Program

Compile = Callable[[Program, int], bytes]  # a program, an architecture (90 for SM 9.0) -> machine code, or PTX as text


@pytest.fixture(scope="session")
def cupy() -> Any:
    """CuPy. The test is skipped if it is missing."""
    return pytest.importorskip("cupy", reason="needs CuPy; ./justw test-cupy installs it", exc_type=ImportError)


@pytest.fixture
def without_gpu(cupy: Any) -> Any:
    """CuPy on a machine without a GPU."""
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return cupy
    pytest.skip("needs a machine without a GPU")


@pytest.fixture
def compile_program(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> Compile:
    """A function that compiles as `RawModule.compile` does: CuPy's own options, include folders and compiler.

    Only two things that need a driver are replaced: the question for the architecture, and the loading of the result.
    """
    from cupy._core import raw
    from cupy.cuda import compiler, function

    class Loaded(function.Module):  # type: ignore[misc]
        def load(self, code: bytes) -> None:
            self.code = code

    def compiled(program: Program, architecture: int) -> bytes:
        monkeypatch.setattr(compiler, "_get_arch", lambda: str(architecture))
        log = io.StringIO()
        settings = ("nvrtc", False, False, False, None, log)  # the defaults of RawModule
        module = raw._get_raw_module.__wrapped__(program.source(), None, program.options(), *settings)
        assert log.getvalue() == ""  # no warning
        return bytes(module.code)

    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "1")  # otherwise the result of an earlier run is read from the disk
    monkeypatch.setattr(compiler, "function", SimpleNamespace(Module=Loaded, LinkState=None))
    of_every_gpu = compiler._get_arch_for_options_for_nvrtc.__wrapped__
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", of_every_gpu)
    return compiled
