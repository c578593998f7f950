"""The yardstick of the GPU report: torch's convolutions, on a stand-in for torch.cuda."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpu import yardstick


def test_the_yardstick_computes_the_convolutions_of_the_network(clocked: Any, rng: Any) -> None:
    torch = pytest.importorskip("torch")
    from dcfnet.backbones.loading import load_model
    from dcfnet.model.layers import read_layers

    from tests.runtime.cuda.definitions import convolved

    layers = read_layers(load_model("dcfnet"))[0]
    patches = rng.normal(0, 60, (2, 3, 24, 24)).astype("float32")
    expected = patches
    for layer in layers:
        expected = convolved(expected, layer)
    with torch.no_grad():
        found = yardstick.as_torch(layers)(torch.from_numpy(patches)).numpy()
    assert abs(found - expected).max() < 1e-4 * abs(expected).max()


def test_the_yardstick_skips_torch_without_cuda_and_says_why(clocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events of the stand-in are 2 ms apart. torch has no CUDA device here."""
    torch = pytest.importorskip("torch")
    rows = list(yardstick.yardstick(targets=(1,)))
    kinds = ["native", "native-fp16", "native-fp16", *["torch"] * 3]
    assert [(row["by"], row["patches"]) for row in rows] == [(kind, 3) for kind in kinds]
    assert [row["ms"] for row in rows[:2]] == [2.0 / yardstick.REPLAYS] * 2
    assert 1e-5 < rows[2]["difference"] < 1e-3
    assert [(row["dtype"], row["tf32"]) for row in rows[3:]] == list(yardstick.FORMS)
    assert {row["skipped"] for row in rows[3:]} == {f"torch {torch.__version__} has no CUDA device"}
    monkeypatch.setattr(yardstick, "find_spec", lambda name: None)
    assert {row.get("skipped") for row in yardstick.yardstick(targets=(1,))} == {None, "torch is not installed"}


class TorchCuda:
    """Replaces the functions of torch.cuda that the yardstick uses. Events of a graph's replay are 0.5 ms apart."""

    def __init__(self) -> None:
        self.captured: list[Any] = []  # what the captured graphs contain: dtype, layout, TF32
        self.capturing, self.time = False, 0.0

    def is_available(self) -> bool:
        return True

    def synchronize(self) -> None: ...

    def Stream(self) -> TorchCuda:  # noqa: N802
        return self

    def stream(self, stream: TorchCuda) -> Any:
        return contextlib.nullcontext()

    def CUDAGraph(self) -> TorchCuda:  # noqa: N802
        return self

    @contextlib.contextmanager
    def graph(self, graph: TorchCuda) -> Iterator[None]:
        self.capturing = True
        yield
        self.capturing = False

    def replay(self) -> None:
        assert self.captured
        self.time += 0.5

    def Event(self, enable_timing: bool) -> Any:  # noqa: N802
        event = SimpleNamespace(synchronize=lambda: None, elapsed_time=lambda end: end.time - event.time)
        event.record = lambda: setattr(event, "time", self.time)
        return event


@pytest.fixture
def torch_cuda(monkeypatch: pytest.MonkeyPatch) -> TorchCuda:
    torch, cuda = pytest.importorskip("torch"), TorchCuda()
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(yardstick, "DEVICE", "cpu")
    real = torch.nn.Conv2d.forward

    def forward(layer: Any, maps: Any) -> Any:
        if cuda.capturing:
            layout = maps.is_contiguous(memory_format=torch.channels_last)
            cuda.captured.append((maps.dtype, layout, torch.backends.cudnn.allow_tf32))
        return real(layer, maps)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    return cuda


@pytest.mark.parametrize(("dtype", "tf32"), yardstick.FORMS)
def test_the_yardstick_times_both_convolutions_in_a_graph(torch_cuda: TorchCuda, dtype: str, tf32: bool) -> None:
    import torch

    before = torch.backends.cudnn.allow_tf32
    assert yardstick.torch_ms((2, 3, 24, 24), dtype, tf32) == 0.5
    assert torch_cuda.captured == [(getattr(torch, dtype), True, tf32)] * 2
    assert torch_cuda.time == 0.5 * yardstick.REPLAYS * yardstick.ROUNDS
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_form_that_fails_leaves_the_other_rows(
    clocked: Any, torch_cuda: TorchCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(yardstick, "FORMS", (("float32", False), ("float16", False)))
    monkeypatch.setattr(yardstick, "difference", lambda shape: 0.0)
    rows = list(yardstick.yardstick(targets=(1,)))
    assert [row.get("ms") for row in rows] == [*[2.0 / yardstick.REPLAYS] * 2, None, 0.5, 0.5]
    monkeypatch.setattr(torch_cuda, "replay", fail)
    monkeypatch.setattr(yardstick, "difference", fail)
    first, second, *rows = yardstick.yardstick(targets=(1,))
    assert first["ms"] == second["ms"] == 2.0 / yardstick.REPLAYS
    assert [row["error"] for row in rows] == ["RuntimeError('CUDA out of memory')"] * 3
