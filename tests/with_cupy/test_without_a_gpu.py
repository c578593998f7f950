"""The CUDA code imports CuPy, and says what is missing, on a machine without a GPU."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import dcfnet
import pytest
from dcfnet.cli.run import app
from dcfnet.devices import selection
from dcfnet.devices.cuda.fft_plans import FftPlans
from dcfnet.devices.cuda.kernels.program import TRACKER
from dcfnet.devices.cuda.modules import Modules
from dcfnet.errors import DeviceError
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

# Imports every module of the CUDA code, and those that time it. Prints the version of CUDA that CuPy is built for.
IMPORTS = """
import importlib, pkgutil
import benchmarks.gpu_report, benchmarks.host_share
packages = ("dcfnet.devices.cuda", "dcfnet.devices.cuda.kernels", "dcfnet.backbones")
for package in map(importlib.import_module, (*packages, "dcfnet_evaluation.bench.gpu", "benchmarks.gpu")):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
from dcfnet.devices.cuda.device import cupy
print(cupy.cuda.runtime.runtimeGetVersion() // 1000)
"""
NO_GPU = r"no GPU can be used: cudaError(InsufficientDriver|NoDevice).*; install NVIDIA's driver, or use device='cpu'"


def test_all_modules_of_the_cuda_code_can_be_imported(cupy: Any) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", IMPORTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("12", "13")


def test_a_missing_driver_is_an_error_for_cuda(without_gpu: Any) -> None:
    with pytest.raises(DeviceError, match=NO_GPU):
        dcfnet.Tracker("dcfnet", device="cuda")


def test_auto_uses_the_cpu_and_gives_one_warning(without_gpu: Any, clip: Clip) -> None:
    selection._warn.cache_clear()
    with pytest.warns(RuntimeWarning, match=f"device='auto' uses the CPU: {NO_GPU}"):
        tracker = dcfnet.Tracker("dcfnet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dcfnet.Tracker("dcfnet")
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_dcfnet_run_ends_with_the_reason(without_gpu: Any) -> None:
    result = CliRunner().invoke(app, ["clip.mp4", "--init", "1,2,30,40", "--device", "cuda"])
    assert result.exit_code == 1
    assert "dcfnet-run: no GPU can be used: cudaError" in " ".join(result.output.split())


def test_an_error_of_a_library_names_the_package_for_the_cuda_of_this_cupy(without_gpu: Any) -> None:
    """There is no driver here, and cuFFT is installed for CUDA 12 only."""
    remedy = rf"pip install 'cupy-cuda{without_gpu.cuda.runtime.runtimeGetVersion() // 1000}x\[ctk\]'"
    with pytest.raises(DeviceError, match=rf"the CUDA kernels cannot be compiled: .*{remedy}"):
        Modules(without_gpu).compile(TRACKER)
    try:
        without_gpu.cuda.cufft  # noqa: B018
    except ImportError:
        with pytest.raises(DeviceError, match=rf"cuFFT cannot be used: .*{remedy}"):
            FftPlans(without_gpu)._library  # noqa: B018


@pytest.mark.parametrize("real_input", [True, False])
def test_cufft_refuses_a_plan_without_a_gpu(without_gpu: Any, real_input: bool) -> None:
    """The library is loaded, and gets the arguments of the tracker. Its error is one of this package."""
    reason = "needs cuFFT; ./justw test-cupy installs it for CUDA 12"
    cufft = pytest.importorskip("cupy.cuda.cufft", reason=reason, exc_type=ImportError)
    assert {"fft"} <= set(dir(cufft.PlanNd))
    assert cufft.CUFFT_FORWARD != cufft.CUFFT_INVERSE
    with pytest.raises(DeviceError, match=r"cuFFT failed: CUFFT_.*; use transform='matrices'") as raised:
        FftPlans(without_gpu)._new_plan(real_input, 4, 64, 64)
    assert isinstance(raised.value.__cause__, cufft.CuFFTError)
