"""CuPy compiles every kernel, and the parameters of the machine code are those that the tracker gives."""

from __future__ import annotations

import re
from typing import Any

import pytest
from dcfnet.devices.cuda.kernels.program import Program

from tests.runtime.cuda.host import signatures
from tests.runtime.cuda.test_kernels import PROGRAMS
from tests.with_cupy.conftest import Compile

ENTRY = re.compile(r"\.entry (\w+)\((.*?)\)", re.DOTALL)  # a kernel in PTX
SIZES = {"u64": 8, "u32": 4, "f32": 4}  # bytes of the types of PTX


def given_bytes(parameter: str) -> int:
    """The bytes that a launch gives for a parameter of the source: an address, or a NumPy scalar of this type."""
    return 8 if "*" in parameter else {"int": 4, "float": 4}[parameter.split()[0]]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("architecture", [75, 90, 120])
def test_cupy_compiles_every_kernel(compile_program: Compile, name: str, architecture: int) -> None:
    code, program = compile_program(PROGRAMS[name], architecture), PROGRAMS[name]
    assert code.startswith(b"\x7fELF")
    assert not [kernel for kernel in signatures(program.source()) if f".text.{kernel}\0".encode() not in code]


@pytest.mark.parametrize("name", PROGRAMS)
def test_parameters_have_the_sizes_that_a_launch_gives(
    compile_program: Compile, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA copies as many bytes per parameter as the kernel declares, without a check."""
    from cupy.cuda import compiler

    monkeypatch.setattr(compiler, "_use_ptx", True)
    text = compile_program(PROGRAMS[name], 90).decode()
    compiled = {
        kernel: [SIZES[kind] for kind in re.findall(r"\.param \.(\w+)", parameters)]
        for kernel, parameters in ENTRY.findall(text)
    }
    declared = signatures(PROGRAMS[name].source())
    assert compiled == {kernel: list(map(given_bytes, parameters)) for kernel, parameters in declared.items()}


def test_the_compiler_reports_an_error(compile_program: Compile, cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above might pass on anything."""
    program = PROGRAMS["tracker"]
    wrong = program.source().replace("rintf(", "rounded(")
    monkeypatch.setattr(Program, "source", lambda self: wrong)
    with pytest.raises(cupy.cuda.compiler.CompileException, match='"rounded" is undefined'):
        compile_program(program, 90)
