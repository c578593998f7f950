"""Compiled programs and kernel functions: each is made once, and each geometry of the fused network is a program."""

from __future__ import annotations

from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones.fused_convolutions import FusedConvolutions, Tile
from dcfnet.devices.cuda.kernels.program import TRACKER
from dcfnet.model.layers import Convolution, Normalisation
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.definitions import convolved, normalised


class Modules:
    """Counts the modules and the kernel functions that are requested from CuPy."""

    def __init__(self, raw_module: Any) -> None:
        self._raw_module = raw_module
        self.options: list[tuple[str, ...]] = []  # of each module
        self.functions: list[tuple[tuple[str, ...], str]] = []

    def __call__(self, code: str, options: tuple[str, ...]) -> Any:
        module = self._raw_module(code=code, options=options)
        self.options.append(options)
        real = module.get_function
        module.get_function = lambda name: self.functions.append((options, name)) or real(name)
        return module


@pytest.fixture
def modules(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Modules:
    counted = Modules(fake.RawModule)
    monkeypatch.setattr(fake, "RawModule", counted)
    return counted


def open_device() -> Any:
    from dcfnet.devices.cuda.device import CudaDevice  # on the stand-in

    return CudaDevice()


def test_a_kernel_function_is_looked_up_once(modules: Modules) -> None:
    kernels = open_device()._kernels
    first = kernels.function(TRACKER, "blend")
    assert kernels.function(TRACKER, "blend") is first
    assert kernels.function(TRACKER, "respond") is not first
    kernels.compile(TRACKER)
    assert modules.options == [TRACKER.options()]
    assert [name for _, name in modules.functions] == ["blend", "respond"]


def test_no_frame_looks_up_a_kernel_function_again(modules: Modules, clip: Clip) -> None:
    """Without captures, because a captured program launches its kernels without the host."""
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config={"patch_size": 48, "update_interval": 1})
    tracker._pipeline.backend.captures = False  # type: ignore[attr-defined]
    tracker.init(clip.frame(0), clip.box(0))
    for index in range(1, 4):
        tracker.update(clip.frame(index))
    assert len(set(modules.functions)) == len(modules.functions) > 10
    assert len(set(modules.options)) == len(modules.options)


def small_network() -> tuple[list[Convolution], Normalisation]:
    """3 channels -> 1 -> 1, with weights of 1."""
    first = Convolution(np.ones((1, 3, 3, 3), np.float32), np.ones(1, np.float32), 1, 1, 1, True)
    second = Convolution(np.ones((1, 1, 1, 1), np.float32), np.ones(1, np.float32), 1, 0, 1, False)
    return [first, second], Normalisation(np.ones((1, 1), np.float32), np.ones(1, np.float32))


def test_each_geometry_is_a_program_that_is_compiled_at_its_first_launch(
    modules: Modules, rng: np.random.Generator
) -> None:
    device, (convolutions, norm) = open_device(), small_network()
    fused = FusedConvolutions(device, convolutions, norm)
    assert modules.options == []
    for side in (1, 2, 1):
        patches = rng.normal(size=(2, 3, side, side)).astype(np.float32)
        expected = normalised(convolved(convolved(patches, convolutions[0]), convolutions[1]), norm)
        np.testing.assert_allclose(device.to_host(fused(device.upload(patches))), expected, rtol=1e-5)
    assert len(modules.options) == 2
    assert all(f"-DPATCH_SIDE={side}" in options for side, options in zip((1, 2), modules.options, strict=True))
    assert [name for _, name in modules.functions] == ["features", "features"]
    programs = [fused._compiled(side, Tile.SMALL)[1] for side in (1, 2)]
    assert fused._compiled(1, Tile.SMALL)[1] is programs[0]
    assert programs[0].options() != programs[1].options()
    assert programs[0].source() == programs[1].source()
