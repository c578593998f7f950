"""Compiled CUDA programs and their kernel functions, each made once."""

from __future__ import annotations

from typing import Any

from dcfnet.devices.cuda.errors import library_errors
from dcfnet.devices.cuda.kernels.program import Program


class Modules:
    """A cache of kernel functions. `cupy` is the module: only device.py imports it."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._modules: dict[Program, Any] = {}
        self._functions: dict[tuple[Program, str], Any] = {}

    def function(self, program: Program, kernel: str) -> Any:
        """The kernel function, compiled on first use. Raises DeviceError as `compile` does."""
        function = self._functions.get((program, kernel))
        if function is None:
            self.compile(program)
            function = self._functions[program, kernel] = self._modules[program].get_function(kernel)
        return function

    def compile(self, program: Program) -> None:
        """Compiles a program for the current GPU; CuPy keeps the result on disk. Raises DeviceError if that fails."""
        if program in self._modules:
            return
        with library_errors(self._cupy, "the CUDA kernels cannot be compiled"):
            module = self._cupy.RawModule(code=program.source(), options=program.options())
            module.compile()
        self._modules[program] = module
