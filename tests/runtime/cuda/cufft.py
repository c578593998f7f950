"""The stand-in's cuFFT: batched transforms of square maps by NumPy, with the rules and traps of cuFFT."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.runtime.cuda.memory import alias

R2C, C2R, FORWARD, INVERSE = 0x2A, 0x2C, -1, 1
ALIGNMENT = 8  # bytes: of every map and spectrum


def cufft(state: Any) -> Any:
    """Replaces cupy.cuda.cufft. plans: all plans that were made."""
    plans: list[PlanNd] = []

    def create(*arguments: Any) -> PlanNd:
        state.refuse_while_capturing("cufftMakePlanMany")
        plans.append(PlanNd(state, *arguments))
        return plans[-1]

    names = {"CUFFT_R2C": R2C, "CUFFT_C2R": C2R, "CUFFT_FORWARD": FORWARD, "CUFFT_INVERSE": INVERSE}
    return SimpleNamespace(PlanNd=create, plans=plans, CuFFTError=CuFFTError, **names)


class CuFFTError(RuntimeError):
    """Replaces CuFFTError."""


class PlanNd:
    """Replaces PlanNd, with the same arguments, for two axes. It has working memory, so its runs must not overlap.

    streams: of its runs. Each capture has a stream of its own, because two graphs can run at the same time.
    """

    def __init__(
        self, state: Any, shape: list[int], inembed: list[int], istride: int, idist: int, onembed: list[int],
        ostride: int, odist: int, fft_type: int, batch: int, order: str, last_axis: int, last_size: int,
    ) -> None:  # fmt: skip
        assert shape[0] == shape[1]
        assert (istride, ostride, order, last_axis) == (1, 1, "C", 1)
        assert (idist, odist) == (inembed[0] * inembed[1], onembed[0] * onembed[1])
        self.side, self.kind, self.batch = shape[0], fft_type, batch
        half = self.side // 2 + 1
        assert last_size == (half if fft_type == R2C else self.side)
        self.given, self.result = (batch, *inembed), (batch, *onembed)
        real, spectra = (self.given, self.result) if fft_type == R2C else (self.result, self.given)
        assert real[1] == spectra[1] == self.side
        assert (real[2] >= self.side) & (spectra[2] == half)
        self._state, self.work_area = state, state.allocate((512,), np.uint8)
        self.streams = set[int]()

    def fft(self, given: Any, result: Any, direction: int) -> None:
        kinds = (np.float32, np.complex64) if self.kind == R2C else (np.complex64, np.float32)
        assert direction == (FORWARD if self.kind == R2C else INVERSE)
        assert (given.shape, given.dtype) == (self.given, kinds[0])
        assert (result.shape, result.dtype) == (self.result, kinds[1])
        for array in (given, result):
            assert array.flags.c_contiguous
            assert array.data.ptr % ALIGNMENT == array.strides[0] % ALIGNMENT == 0, "misaligned"
        self._note_run()
        source, target = alias(given._values), alias(result._values)
        self._state.do(lambda: self._run(source, target))

    def _note_run(self) -> None:
        self.streams.add(self._state.stream)
        assert len(self.streams) == 1, "the working memory of a plan is used on two streams"

    def _run(self, source: np.ndarray, target: np.ndarray) -> None:
        side = self.side
        if self.kind == R2C:
            target[...] = np.fft.rfft2(source[..., :side])
        else:
            target[...] = np.fft.irfft2(source, s=(side, side)) * side**2
            source[...] = np.nan  # cuFFT may overwrite the input of a complex to real transform
