"""NVIDIA's run-time compiler, which needs no driver: the compilation of CUDA text."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = (75, 80, 86, 89, 90, 120)  # Turing to Blackwell


@dataclass(frozen=True)
class Compiled:
    """status: 0 if there is no error. size: of the machine code, bytes."""

    status: int
    log: str
    size: int
    ptx: str


def compiled(nvrtc: Any, source: str, options: Sequence[str], architecture: int) -> Compiled:
    """The result of NVRTC (the fixture `nvrtc`) for an architecture, for example 86."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    options = (*options, f"--gpu-architecture=sm_{architecture}")
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    texts = []
    for name in ("ProgramLog", "PTX"):
        size.value = 0
        getattr(nvrtc, f"nvrtcGet{name}Size")(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(max(size.value, 1))
        getattr(nvrtc, f"nvrtcGet{name}")(program, text)
        texts.append(text.value.decode())
    size.value = 0
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(status, texts[0], size.value, texts[1])
