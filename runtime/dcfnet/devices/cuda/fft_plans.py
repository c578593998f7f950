"""Plans of cuFFT, owned by one transform. CuPy's own cache of plans is not safe for several streams (cupy#8079).

A plan has working memory, so two runs of it must not overlap. There is one plan for each size, batch and stream. A
captured program needs plans that nothing else uses. A plan cannot be made during a capture (cupy#7559): the rehearsal
before the capture makes and runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dcfnet.devices.cuda.errors import library_errors
from dcfnet.errors import DeviceError
from dcfnet.filter.dcf import Array


class FftPlans:
    """Batched transforms of square maps. cupy: the module, which only device.py imports."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._plans: dict[tuple[bool, int, int, int], Any] = {}

    def forward(self, maps: Array, spectra: Array) -> None:
        """Queues float32 (N, H, P) -> complex64 (N, H, H // 2 + 1), unnormalised. P: H or more, even.

        With an even P every map begins at a multiple of 8 bytes, which cuFFT needs (cupy#9229).
        """
        plan = self._plan(True, len(maps), maps.shape[1], maps.shape[2])
        with self._errors():
            plan.fft(maps, spectra, self._library.CUFFT_FORWARD)

    def inverse(self, spectra: Array, maps: Array) -> None:
        """Queues complex64 (N, G, G // 2 + 1) -> float32 (N, G, G), not divided. It may overwrite the spectra."""
        plan = self._plan(False, len(spectra), spectra.shape[1], spectra.shape[1])
        with self._errors():
            plan.fft(spectra, maps, self._library.CUFFT_INVERSE)

    @property
    def _library(self) -> Any:
        """The module of cuFFT. Raises DeviceError if its library cannot be loaded."""
        with library_errors(self._cupy, "cuFFT cannot be used"):
            from_cupy = self._cupy.cuda.cufft
        return from_cupy

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """A context in which errors of cuFFT raise DeviceError. A lack of memory is an error of CuPy."""
        try:
            yield
        except self._library.CuFFTError as error:
            remedy = "use transform='matrices', or restart the process"
            raise DeviceError(f"cuFFT failed: {error}; {remedy}") from error

    def _plan(self, real_input: bool, count: int, side: int, pitch: int) -> Any:
        """The plan for this size and batch on the current stream."""
        stream = int(self._cupy.cuda.get_current_stream().ptr)
        key = (real_input, count, side, stream)
        if key not in self._plans:
            self._plans[key] = self._new_plan(real_input, count, side, pitch)
        return self._plans[key]

    def _new_plan(self, real_input: bool, count: int, side: int, pitch: int) -> Any:
        half = side // 2 + 1
        real, spectrum = ([side, pitch], 1, side * pitch), ([side, half], 1, side * half)
        library = self._library
        if real_input:
            layouts, kind, last_size = (*real, *spectrum), library.CUFFT_R2C, half
        else:
            layouts, kind, last_size = (*spectrum, *real), library.CUFFT_C2R, side
        with self._errors():
            return library.PlanNd([side, side], *layouts, kind, count, "C", 1, last_size)
