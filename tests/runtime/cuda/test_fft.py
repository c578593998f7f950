"""The setting transform="fft" on a device: cuFFT through owned plans, captured and not, against the CPU."""

from __future__ import annotations

from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.errors import DeviceError
from dcfnet.filter.windows import cosine_window
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip

SMALL = {"patch_size": 48, "transform": "fft"}


@pytest.mark.parametrize(
    ("side", "band", "response_side", "margin"), [(63, 20, 64, 0), (125, 62, 64, 0), (40, 12, 64, 3), (7, 3, 8, 2)]
)
def test_spectra_and_responses_equal_those_of_the_cpu(
    place: str, rng: np.random.Generator, side: int, band: int, response_side: int, margin: int
) -> None:
    """Repeated: cuFFT overwrites the input of an inverse, and odd maps are not aligned. Their order of sums differs."""
    backend, sizes = open_backend("cuda"), (side, band, response_side, cosine_window(side), margin)
    found, expected = backend.fourier_transform(*sizes), CpuBackend().fourier_transform(*sizes)
    for shape in ((3, 5), (2, 1), (3, 5)):
        maps = rng.normal(size=(*shape, side + 2 * margin, side + 2 * margin)).astype(np.float32)
        spectra = expected.forward(maps)
        response, on_device = expected.inverse(spectra), backend.asarray(spectra)
        tolerance = 1e-5 * np.abs(spectra).max()
        np.testing.assert_allclose(backend.to_host(found.forward(backend.asarray(maps))), spectra, atol=tolerance)
        for _ in range(2):
            inverse = backend.to_host(found.inverse(on_device))
            assert inverse.shape == (*shape, response_side, response_side)
            np.testing.assert_allclose(inverse, response, atol=1e-5 * np.abs(response).max())


def boxes(clip: Clip, device: str, captures: bool = True, **config: Any) -> np.ndarray:
    """The boxes of targets of which one is added later, so that there are more slots than before."""
    tracker, found = dcfnet.MultiTracker("dcfnet", device=device, config=config), []
    if device == "cuda":
        tracker._pipeline.backend.captures = captures  # type: ignore[misc]
    (x, y, w, h), ids = clip.box(0), []
    for index in range(1, 7):
        if index in (1, 4):
            ids.append(tracker.add(clip.frame(index - 1), Box(x + index, y, w, h)))
        found += [tuple(result.box) for result in tracker.update(clip.frame(index)).values()]
    return np.array(found)


@pytest.mark.parametrize("captures", [True, False], ids=["captured", "call by call"])
def test_boxes_equal_those_of_the_cpu_and_of_the_matrices(place: str, clip: Clip, captures: bool) -> None:
    config = {**SMALL, "update_interval": 1, "second_pass_distance": 0.0}
    found = boxes(clip, "cuda", captures, **config)
    np.testing.assert_allclose(found, boxes(clip, "cpu", **config), atol=0.1)
    matrices = boxes(clip, "cpu", **{**config, "transform": "matrices"})
    np.testing.assert_allclose(found, matrices, atol=0.1)
    assert np.median(np.abs(found - matrices)) == 0


def test_every_capture_has_its_own_plans(fake: Any, clip: Clip, recorded_captures: list[int]) -> None:
    """The working memory of a plan must not be used by two graphs, which may run at the same time on two streams."""
    first = dcfnet.Tracker("dcfnet", device="cuda", config={**SMALL, "update_interval": 1})
    second = dcfnet.Tracker.of(first._pipeline)
    for tracker in (first, second):
        tracker.init(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
    plans = fake.cuda.cufft.plans
    assert len(recorded_captures) == 4
    assert [len([plan for plan in plans if stream in plan.streams]) for stream in recorded_captures] == [2, 1, 2, 1]
    assert all(len(plan.streams) == 1 for plan in plans)
    count = len(plans)
    first.update(clip.frame(2))
    with fake.cuda.Stream(non_blocking=True):
        second.update(clip.frame(2))
    assert len(plans) == count


def test_trackers_that_are_not_captured_have_plans_for_each_stream(fake: Any, clip: Clip) -> None:
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    tracker._pipeline.backend.captures = False  # type: ignore[attr-defined]
    tracker.init(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    with fake.cuda.Stream(non_blocking=True):
        assert tracker.update(clip.frame(2)).box.iou(clip.box(2)) > 0.7


def test_a_failing_plan_is_an_error_that_names_the_other_transform(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise fake.cuda.cufft.CuFFTError("CUFFT_INTERNAL_ERROR")

    monkeypatch.setattr(fake.cuda.cufft, "PlanNd", fail)
    with pytest.raises(DeviceError, match="cuFFT failed: CUFFT_INTERNAL_ERROR; use transform='matrices'"):
        dcfnet.Tracker("dcfnet", device="cuda", config=SMALL).init(clip.frame(0), clip.box(0))


def test_a_missing_library_is_reported_with_the_command_that_installs_it(fake: Any, clip: Clip) -> None:
    del fake.cuda.cufft
    with pytest.raises(DeviceError, match=r"cuFFT cannot be used: .*cufft.*; CUDA's libraries come with: pip install"):
        dcfnet.Tracker("dcfnet", device="cuda", config=SMALL).init(clip.frame(0), clip.box(0))
