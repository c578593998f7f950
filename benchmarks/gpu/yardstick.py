"""A yardstick for the network: its convolutions by torch and cuDNN in a CUDA graph, beside the native kernels.

torch computes the convolutions and ReLUs. The native kernels also compute the normalisation, in the same kernel. For
tensor cores a second row has the difference of their features from those in float32, on the same device.
Patches and maps of torch are channels-last, the layout of cuDNN's kernels for tensor cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import TENSOR_CORES
from dcfnet.config import DEFAULT_PRESET
from dcfnet.model.layers import Convolution, read_layers

TARGETS = (1, 8, 64, 256)
MOST = 64  # patches whose features are compared
REPLAYS, ROUNDS = 50, 9  # of a graph between two events; medians are of the rounds
FORMS = (("float32", False), ("float32", True), ("float16", False))  # dtype, TF32
DEVICE = "cuda"  # of torch


class SkippedError(RuntimeError):
    """A form that cannot run on this machine. The message is the reason."""


def yardstick(targets: Sequence[int] = TARGETS) -> Iterator[dict[str, Any]]:
    """A row for each number of targets and form: ms of the network on all search patches, median of ROUNDS.

    A row has "skipped" and the reason if the form cannot run here, and "error" if it failed.
    """
    config = load_model("dcfnet").preset(DEFAULT_PRESET)
    for count in targets:
        shape = (count * config.scales, 3, config.patch_size, config.patch_size)
        forms: list[tuple[dict[str, Any], str, Callable[[], float]]] = [
            ({"by": "native"}, "ms", partial(native_ms, shape)),
            ({"by": TENSOR_CORES}, "ms", partial(native_ms, shape, tensor_cores=True)),
            ({"by": TENSOR_CORES}, "difference", partial(difference, shape)),
        ]
        for dtype, tf32 in FORMS:
            label = {"by": "torch", "dtype": dtype, "tf32": tf32}
            forms.append((label, "ms", partial(torch_ms, shape, dtype, tf32)))
        for label, unit, measure in forms:
            row = {"targets": count, "patches": shape[0], "side": shape[-1], **label}
            try:
                yield row | {unit: measure()}
            except SkippedError as reason:
                yield row | {"skipped": str(reason)}
            except Exception as error:  # for example no memory: the other rows are still valid
                yield row | {"error": repr(error)}


def native_ms(shape: tuple[int, ...], tensor_cores: bool = False) -> float:
    """Milliseconds of the native kernels on patches of this shape, float16, 64 per call as in the tracker."""
    import cupy
    from dcfnet.backbones.native import NativeBackbone
    from dcfnet.devices.cuda.backend import CudaBackend
    from dcfnet.devices.cuda.device import CudaDevice
    from dcfnet.devices.cuda.graph_capture import GraphCapture

    device, pool = CudaDevice(), cupy.cuda.MemoryPool()
    backbone = NativeBackbone(load_model("dcfnet"), device, tensor_cores)
    each = CudaBackend.patches_per_call
    patches = device.zeros(shape, backbone.input_dtype)

    def work() -> Any:
        return [backbone(patches[first : first + each]) for first in range(0, shape[0], each)]

    with device.capture_stream(pool) as stream:
        GraphCapture(device, stream, rehearsal=True).capture(work)
        stream.synchronize()
        graph = GraphCapture(device, stream, rehearsal=False)
        graph.capture(work)
    return _median_ms(graph.run, cupy.cuda.Event, lambda begin, end: float(cupy.cuda.get_elapsed_time(begin, end)))


def difference(shape: tuple[int, ...]) -> float:
    """The norm of the difference between features on tensor cores and in float32, divided by that of the latter.

    shape: of a batch of patches of noise, of which at most MOST are compared.
    """
    from dcfnet.backbones.native import NativeBackbone
    from dcfnet.devices.cuda.device import CudaDevice

    device, model = CudaDevice(), load_model("dcfnet")
    patches = np.random.default_rng(0).integers(-255, 256, (min(shape[0], MOST), *shape[1:])).astype(np.float16)
    found, expected = (NativeBackbone(model, device, on_tensor_cores)(patches) for on_tensor_cores in (True, False))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def torch_ms(shape: tuple[int, ...], dtype: str, tf32: bool) -> float:
    """Milliseconds of torch's convolutions on patches of this shape. tf32: whether float32 products may use TF32.

    Raises SkippedError without torch or without a GPU that it can use.
    """
    if find_spec("torch") is None:
        raise SkippedError("torch is not installed")
    import torch

    if not torch.cuda.is_available():
        raise SkippedError(f"torch {torch.__version__} has no CUDA device")
    kind = getattr(torch, dtype)
    network = as_torch(read_layers(load_model("dcfnet"))[0]).to(DEVICE, kind).to(memory_format=torch.channels_last)
    patches = torch.zeros(shape, dtype=kind, device=DEVICE).to(memory_format=torch.channels_last)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32), torch.no_grad():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):  # cuDNN chooses its algorithms here
                network(patches)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(patches)
    events = lambda: torch.cuda.Event(enable_timing=True)  # noqa: E731
    return _median_ms(graph.replay, events, lambda begin, end: float(begin.elapsed_time(end)))


def as_torch(convolutions: Sequence[Convolution]) -> Any:
    """The convolutions and ReLUs as a torch module: (B, 3, S, S) -> (B, C, H, H)."""
    import torch

    modules: list[Any] = []
    for layer in convolutions:
        outputs, inputs, kernel, _ = layer.weight.shape
        options = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        module = torch.nn.Conv2d(inputs, outputs, kernel, **options)
        module.weight.data, module.bias.data = (
            torch.from_numpy(np.array(values)) for values in (layer.weight, layer.bias)
        )
        modules += [module, *[torch.nn.ReLU()] * layer.rectified]
    return torch.nn.Sequential(*modules)


def _median_ms(run: Callable[[], Any], event: Callable[[], Any], elapsed: Callable[[Any, Any], float]) -> float:
    """Milliseconds of one run: REPLAYS runs between two events, the median of ROUNDS."""
    rounds = []
    for _ in range(ROUNDS):
        begin, end = event(), event()
        begin.record()
        for _ in range(REPLAYS):
            run()
        end.record()
        end.synchronize()
        rounds.append(elapsed(begin, end) / REPLAYS)
    return round(median(rounds), 4)
