"""The kernels on the host: the same source, compiled as C++ by g++ with shim.h. Its threads run one after another."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from dcfnet.devices.cuda.kernels.program import SEPARATE

SHIM, OPERATIONS = (Path(__file__).with_name(name) for name in ("shim.h", "tensor_cores.h"))
INSTRUCTIONS = re.compile(r'#line 1 "tensor_cores.cu"\n.*?(?=#line)', re.DOTALL)  # PTX, which is replaced by OPERATIONS
KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(([^)]*)\)")
FLAGS = (
    *("-std=c++14", "-O3", "-ffp-contract=off", "-shared", "-fPIC"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
    "-Wl,-Bsymbolic",  # a kernel must not be replaced by a function of libc with the same name
)
# Slow kernels, from patches to features. Many tests run them on the same patches, so the features of a patch are kept.
# They depend on the patch and the weights only: the threads run one after another.
REMEMBERED = ("features", "features_half", "tensor_features", "tensor_features_half")
MOST_RESULTS = 300
ELEMENT_TYPES = {
    **{"float": np.float32, "double": np.float64, "int": np.int32},
    **{"Four": np.float32, "Half": np.float16, "Fragments": np.float16, "Complex": np.complex64},
}


def signatures(source: str) -> dict[str, list[str]]:
    """The parameters of each kernel, as in the source: {"crop": ["const Place* ...", ...]}."""
    found = KERNEL.findall(source)
    return {name: [" ".join(one.split()) for one in parameters.split(",")] for name, parameters in found}


class _Size(ctypes.Structure):
    """The size of a launch. `Size` of shim.h has the same layout."""

    _fields_: ClassVar = [(name, ctypes.c_uint) for name in ("blocks", "threads", "shared", "backwards")]


class HostKernels:
    """Compiled kernels with CuPy's calling convention: arrays and NumPy scalars.

    backwards: the threads of a block with shared memory run in reverse order. The results are the same unless a barrier
    is missing.
    """

    backwards = False

    def __init__(self, source: str, folder: Path, options: Sequence[str] = ()) -> None:
        """folder: of the compiled libraries. options: of the compiler, for example -DNAME=VALUE."""
        self.signatures = signatures(source)
        self._folder, self._programs = folder, {(source, tuple(options)): self}
        self._results: dict[bytes, np.ndarray] = {}
        text = INSTRUCTIONS.sub(lambda _: f'#line 1 "{OPERATIONS.name}"\n{OPERATIONS.read_text()}', source)
        library = _compile(f'#include "{SHIM}"\n{text}\n{_entry_point(self.signatures)}', folder, options)
        loaded = ctypes.CDLL(str(library))
        self._call = loaded.call
        self._sizes = {name: int(loaded[f"size_of_{name}"]()) for name in structures(self.signatures)}

    def program(self, source: str, options: Sequence[str]) -> HostKernels:
        """Another program, compiled at the first request. Returns the object itself for its own source and options."""
        key = (source, tuple(options))
        if key not in self._programs:
            self._programs[key] = HostKernels(source, self._folder, options)
        self._programs[key].backwards = self.backwards
        return self._programs[key]

    def launch(self, name: str, blocks: int, threads: int, arguments: Sequence[Any], shared: int = 0) -> None:
        """Runs a kernel. The types of the arguments must be those of its parameters.

        shared: bytes of shared memory per block. With shared memory, each thread runs until its next barrier in turn.
        """
        launch = (name, blocks, threads, arguments, shared)
        if name not in REMEMBERED:
            self._run(*launch)
            return
        patches, *weights, features = arguments
        common = repr((name, blocks // len(patches), threads, shared, self.backwards, features.shape[1:])).encode()
        common += b"".join(array.tobytes() for array in weights)
        keys = [hashlib.sha256(common + patch.tobytes()).digest() for patch in patches]
        known = [self._results.get(key) for key in keys]
        if any(result is None for result in known):
            self._run(*launch)
            self._results.update((key, result.copy()) for key, result in zip(keys, features, strict=True))
            for key in list(self._results)[:-MOST_RESULTS]:
                del self._results[key]
        else:
            features[...] = known

    def _run(self, name: str, blocks: int, threads: int, arguments: Sequence[Any], shared: int) -> None:
        parameters = self.signatures[name]
        strided = any("patch_stride" in text for text in parameters)  # arrays may have gaps along their first axis
        values = [_argument(value, text, strided) for value, text in zip(arguments, parameters, strict=True)]
        for value, text in zip(arguments, parameters, strict=True):
            size = self._sizes.get(pointed_type(text), 1)
            assert value.nbytes % size == 0, f"{name}: {text} has {size} bytes, the array {value.nbytes}"
            assert getattr(value, "ndim", 0) != 2 or size == 1 or value.shape[1] == size, (
                f"{name}: {text}, {value.shape}"
            )
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        size = _Size(blocks, threads, shared, self.backwards)
        assert self._call(name.encode(), size, pointers, len(values)) == 0, name


def pointed_type(parameter: str) -> str:
    """The type that a pointer parameter points to; "" for a number."""
    return parameter.replace("const ", "").split("*")[0].strip() if "*" in parameter else ""


def structures(kernels: dict[str, list[str]]) -> set[str]:
    """The structures of the project that parameters point to: Place, Grid."""
    types = {pointed_type(parameter) for parameters in kernels.values() for parameter in parameters}
    return types - set(ELEMENT_TYPES) - {"", "uint8"}


def _entry_point(kernels: dict[str, list[str]]) -> str:
    """C++ text: the shared memory, and a function that launches a kernel by name."""
    cases = "".join(
        f'    if (!std::strcmp(name, "{name}")) return run({name}, size, arguments, count);\n' for name in kernels
    )
    return (
        "alignas(16) thread_local Four shared[SHARED / sizeof(Four)];\n"
        "static unsigned char* block_memory() { return reinterpret_cast<unsigned char*>(shared); }\n"
        'extern "C" int call(const char* name, Size size, void** arguments, int count) {\n'
        f"{cases}    return 1;\n}}\n"
        + "".join(f'extern "C" int size_of_{name}() {{ return sizeof({name}); }}\n' for name in structures(kernels))
    )


def _compile(source: str, folder: Path, options: Sequence[str]) -> Path:
    """The shared library of the text. Its name is the hash of the command, the text and the shim.

    Processes that share the folder share the libraries: a complete library gets its name in one step.
    """
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (g++): kernels cannot run on the host")
    options = [option for option in options if option != SEPARATE]  # -ffp-contract=off is one of FLAGS
    command = [compiler, *FLAGS, *options, *os.environ.get("CXXFLAGS", "").split()]  # sanitizers: see docs/gpu.md
    command.append("-U_FORTIFY_SOURCE")  # it reports a jump to another stack as an error
    digest = hashlib.sha256("\0".join([*command, source, SHIM.read_text()]).encode()).hexdigest()
    library = folder / f"{digest[:32]}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=folder) as own:
        file, compiled = Path(own, "kernels.cpp"), Path(own, "kernels.so")
        file.write_text(source)
        done = subprocess.run([*command, str(file), "-o", str(compiled)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        compiled.replace(library)
    return library


def _argument(value: Any, parameter: str, strided: bool) -> Any:
    """The value as a C argument: a pointer for an array, a number of the parameter's type for a scalar."""
    if "*" in parameter:
        assert isinstance(value, np.ndarray), parameter
        assert value.flags.c_contiguous or (strided and value[0].flags.c_contiguous), parameter
        element = ELEMENT_TYPES.get(pointed_type(parameter), np.uint8)
        assert value.dtype == element, (parameter, value.dtype)
        return ctypes.c_void_p(value.ctypes.data)
    dtype, c_type = {"int": (np.int32, ctypes.c_int), "float": (np.float32, ctypes.c_float)}[parameter.split()[0]]
    assert type(value) is dtype, (parameter, type(value))
    return c_type(value)
