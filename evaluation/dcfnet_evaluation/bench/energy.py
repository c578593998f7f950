"""What a GPU's own counter of energy says, through NVML, where that can be had."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Meter = Callable[[], float | None]  # joules since whenever, or None where nothing counts them


def meter(bus: str) -> Meter:
    """Of the GPU at a PCI bus, such as "0000:01:00.0"; None without nvidia-ml-py, NVML or, before Volta, a counter.

    The counter moves some ten times a second, and counts what others do on the GPU as well.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(bus.encode())
    except Exception:  # not installed, no driver, no such GPU: the figure is left out
        return lambda: None

    def joules() -> float | None:
        with suppress(pynvml.NVMLError):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        return None

    return joules
