"""Energy of a GPU from its own counter, through NVML."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Meter = Callable[[], float | None]  # joules since an arbitrary start; None without a counter


def meter(bus: str) -> Meter:
    """The energy meter of the GPU at a PCI bus, for example "0000:01:00.0".

    It returns None without nvidia-ml-py, without NVML, and on GPUs before Volta, which have no counter. The counter
    changes about ten times per second and includes the work of other processes on the GPU.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(bus.encode())
    except Exception:  # no package, no driver or no such GPU: there is no energy value
        return lambda: None

    def joules() -> float | None:
        with suppress(pynvml.NVMLError):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        return None

    return joules
