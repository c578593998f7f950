"""The kernels as host C++: the same source, compiled by g++ behind shim.h, its threads run in turns."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

SHIM = Path(__file__).with_name("shim.h")
KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(([^)]*)\)")


def signatures(source: str) -> dict[str, list[str]]:
    """The parameters of every kernel, as they are written: {"crop": ["const Place* ...", ...]}."""
    found = KERNEL.findall(source)
    return {name: [" ".join(one.split()) for one in parameters.split(",")] for name, parameters in found}


class _Size(ctypes.Structure):
    """Of a launch, as in shim.h."""

    _fields_: ClassVar = [(name, ctypes.c_uint) for name in ("blocks", "threads", "shared", "backwards")]


class HostKernels:
    """Compiled kernels, called as CuPy calls them: arrays and NumPy's scalars.

    backwards: of threads that share memory the last goes first, which changes nothing unless a barrier is missing.
    """

    backwards = False

    def __init__(self, source: str, folder: Path) -> None:
        compiler = shutil.which("g++") or shutil.which("c++")
        if compiler is None:
            pytest.skip("no C++ compiler (g++): kernels cannot be run on the host")
        self.signatures = signatures(source)
        cases = "".join(
            f'    if (!std::strcmp(name, "{name}")) return run({name}, size, given, count);\n'
            for name in self.signatures
        )
        entry = (
            "alignas(16) thread_local Four shared[SHARED / sizeof(Four)];\n"
            "static unsigned char* block_memory() { return reinterpret_cast<unsigned char*>(shared); }\n"
            'extern "C" int call(const char* name, Size size, void** given, int count) {\n'
            f"{cases}    return 1;\n}}\n"
        )
        file, library = folder / "kernels.cpp", folder / "kernels.so"
        file.write_text(f'#include "{SHIM}"\n{source}\n{entry}')
        warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
        command = [
            compiler,
            "-std=c++14",
            "-O3",
            "-ffp-contract=off",
            *warnings,
            "-shared",
            "-fPIC",
            "-Wl,-Bsymbolic",
        ]  # no name of libc's
        command += os.environ.get("CXXFLAGS", "").split()  # such as sanitizers (docs/gpu.md)
        command.append("-U_FORTIFY_SOURCE")  # which takes a jump to another stack for a mistake
        done = subprocess.run([*command, str(file), "-o", str(library)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self._call = ctypes.CDLL(str(library)).call

    def launch(self, name: str, blocks: int, threads: int, arguments: Sequence[Any], shared: int = 0) -> None:
        """Runs a kernel. Arguments must be of the types that its parameters are written with.

        shared: bytes that the threads of a block share, which then run in turns from barrier to barrier.
        """
        parameters = self.signatures[name]
        apart = any("apart" in text for text in parameters)  # then arrays may have gaps along their first axis
        held = [_argument(value, text, apart) for value, text in zip(arguments, parameters, strict=True)]
        given = (ctypes.c_void_p * len(held))(*[ctypes.addressof(value) for value in held])
        assert self._call(name.encode(), _Size(blocks, threads, shared, self.backwards), given, len(held)) == 0, name


def _argument(value: Any, parameter: str, apart: bool) -> Any:
    """The value as C takes it; a pointer for an array, a number of the very type for a scalar."""
    if "*" in parameter:
        assert isinstance(value, np.ndarray), parameter
        assert value.flags.c_contiguous or (apart and value[0].flags.c_contiguous), parameter
        written = parameter.replace("const ", "").split("*")[0]
        numbers = {
            "float": np.float32,
            "double": np.float64,
            "int": np.int32,
            "Half": np.float16,
            "Complex": np.complex64,
        }
        element = numbers.get(written, np.uint8)
        assert value.dtype == element, (parameter, value.dtype)
        return ctypes.c_void_p(value.ctypes.data)
    kind = {"int": (np.int32, ctypes.c_int), "float": (np.float32, ctypes.c_float)}[parameter.split()[0]]
    assert type(value) is kind[0], (parameter, type(value))
    return kind[1](value)
