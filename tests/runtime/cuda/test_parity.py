"""The CUDA path against the CPU's, one body for the stand-in and for a GPU (`just gpu`)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
import torch
from dcfnet.backbones.native import NativeBackbone
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backend import select
from dcfnet.config import TrackerConfig
from dcfnet.cpu import CpuBackend
from dcfnet.geometry import Box, on_grid, on_steps
from dcfnet.model import Model, load_model
from dcfnet.result import Reason
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.graph import make_model
from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.recipe import Recipe

from tests.runtime.cuda.given import on_device, written_late

MEAN = np.array([104, 117, 123], np.float32)
LAYOUTS = {"bgr": (60, 91, 3), "bgra": (60, 91, 4), "one channel": (60, 91, 1), "grey": (60, 91)}
STRIDES = {"conv1": 1, "dilation": 2, "conv2": 2, "released": 3}
FORMS = {"standin": (4, 12), "gpu": (64, 40)}  # targets of a batch, frames of a clip


def places_of(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres inside the frame, over its border and beyond; regions from a few pixels to more than the frame."""
    return rng.uniform([-30, -30], [121, 90], size=(count, 2)), rng.uniform(4, 200, size=(count, 2))


@pytest.mark.parametrize("size", [16, 33])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_patches_are_the_cpus(place: str, rng: np.random.Generator, layout: str, size: int) -> None:
    """To one level, and that seldom: where a sample lies between two levels, the order of float32's sums decides."""
    backend = select("cuda")
    frames = [rng.integers(0, 256, size=LAYOUTS[layout], dtype=np.uint8) for _ in range(2)]
    where = (rng.integers(0, 2, size=60), *places_of(rng, 60), size, MEAN)
    found = backend.to_host(backend.crop([backend.frame(frame) for frame in frames], *where))
    expected = CpuBackend().crop(frames, *where)
    assert found.dtype == np.float32
    differences = np.abs(found - expected)
    assert differences.max() <= 1
    assert (differences > 0).mean() < 5e-4


@pytest.mark.parametrize("sides", [(90, 60), (1920, 1080), (7680, 200)])
def test_patches_that_a_tracker_cuts_are_the_cpus(place: str, rng: np.random.Generator, sides: tuple[int, int]) -> None:
    """Every place that is sampled is a float32 number there: a level in a million lies half-way between two."""
    backend, frame = select("cuda"), rng.integers(0, 256, size=(*sides[::-1], 3), dtype=np.uint8)
    for size in (48, 80, 108):
        centres = on_grid(rng.uniform(0, 1, (20, 2)) * sides)
        regions = on_steps(rng.uniform(20, 600, (20, 2)), size)
        where = (np.zeros(20, int), centres, regions, size, MEAN)
        found = backend.to_host(backend.crop([backend.frame(frame)], *where))
        differences = np.abs(found - CpuBackend().crop([frame], *where))
        assert differences.max() <= 1
        assert (differences > 0).sum() <= 3


@pytest.mark.parametrize("captures", [True, False])
@pytest.mark.parametrize("on_its_device", [True, False])
def test_a_covered_lens_is_told_as_on_the_cpu(place: str, clip: Clip, captures: bool, on_its_device: bool) -> None:
    trackers = [dcfnet.MultiTracker(device=device, config={"patch_size": 48}) for device in ("cpu", "cuda")]
    trackers[1]._pipeline.backend.captures = captures  # type: ignore[misc]
    for tracker in trackers:
        for source in (0, 1, 2):
            tracker.add(clip.frame(0), clip.box(0), source)
    covered: tuple[set[int], ...] = ({0, 2}, {1}, {0, 1, 2}, set())
    for index, dark in enumerate(covered, start=1):
        frames = {source: clip.frame(index) * (source not in dark) for source in range(3)}
        away = {source: on_device(frame) if on_its_device else frame for source, frame in frames.items()}
        expected, found = trackers[0].update(frames), trackers[1].update(away)
        for id_, result in expected.items():
            assert found[id_].reason is result.reason
            assert (result.reason is Reason.NO_TEXTURE) == (id_ in dark)
            np.testing.assert_allclose(tuple(found[id_].box), tuple(result.box), atol=0.1)


def test_outside_the_frame_a_patch_is_exactly_zero(place: str, rng: np.random.Generator) -> None:
    backend = select("cuda")
    frame = backend.frame(rng.integers(0, 256, size=(60, 90, 3), dtype=np.uint8))
    far = np.array([[-400.0, 30], [500, 30], [45, -1e9], [45, 1e30], [np.nan, 30]])
    patches = backend.to_host(backend.crop([frame], np.zeros(5, int), far, np.full((5, 2), 31.0), 31, MEAN))
    assert not patches.any()


def test_frames_on_the_device_are_those_of_the_host(place: str, rng: np.random.Generator) -> None:
    """Whole, cut out of a wider one (rows at a pitch), upside down, and with columns left out."""
    backend, whole = select("cuda"), rng.integers(0, 256, size=(60, 91, 3), dtype=np.uint8)
    away, where = on_device(whole), (np.zeros(20, int), *places_of(rng, 20))
    cuts = [np.s_[:, :], np.s_[5:50, 7:80], np.s_[::-1], np.s_[:, ::2], np.s_[:, :, 0]]
    for cut in cuts:
        host, device = backend.frame(np.ascontiguousarray(whole[cut])), backend.frame(away[cut])
        assert device.host is None
        one, other = (backend.to_host(backend.crop([frame], *where, 16, MEAN)) for frame in (host, device))
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(backend.textured([host], *where)(), backend.textured([device], *where)())


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_a_frame_is_waited_for_while_its_producer_writes_it(place: str, rng: np.random.Generator) -> None:
    """On a stream of its own, behind some milliseconds of work, and told by the interface."""
    whole = rng.integers(0, 256, size=(600, 800, 3), dtype=np.uint8)
    frame, stream = written_late(whole)
    told = SimpleNamespace(__cuda_array_interface__={**frame.__cuda_array_interface__, "stream": stream.ptr})
    backend, where = select("cuda"), (np.zeros(1, int), np.array([[400.0, 300]]), np.full((1, 2), 300.0), 64, MEAN)
    found = backend.to_host(backend.crop([backend.frame(told)], *where))
    assert np.abs(found - CpuBackend().crop([whole], *where)).max() <= 1


def test_texture_is_judged_as_on_the_cpu(place: str, rng: np.random.Generator) -> None:
    backend = select("cuda")
    scene = rng.integers(100, 110, size=(70, 90, 4), dtype=np.uint8)  # textured where both ends are seen
    scene[:, :40, :3] = 104
    scene[:, :40, 3] = rng.integers(0, 256, size=(70, 40))  # alpha is no colour
    frames = [scene, np.ascontiguousarray(scene[..., 0])]
    where = (rng.integers(0, 2, size=80), *places_of(rng, 80))
    expected = CpuBackend().textured(frames, *where)()
    assert 10 < expected.sum() < 70
    found = backend.textured([backend.frame(on_device(frame)) for frame in frames], *where)()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [np.float32, np.complex64])
@pytest.mark.parametrize(
    ("one", "other"),
    [((5, 3, 7, 11), (11, 6)), ((7, 11), (5, 3, 11, 6)), ((9, 4), (4, 1)), ((1, 33, 2), (2, 21)), ((3, 2), (1, 2, 5))],
)
def test_products_are_numpys(
    place: str, rng: np.random.Generator, one: tuple[int, ...], other: tuple[int, ...], kind: type
) -> None:
    backend = select("cuda")
    left, right = (rng.normal(size=(2, *shape)).astype(np.float32) for shape in (one, other))
    left, right = ((a[0] + 1j * a[1] if kind is np.complex64 else a[0]).astype(kind) for a in (left, right))
    made = backend.to_host(backend.product(backend.asarray(left), backend.asarray(right)))
    assert made.dtype == kind
    np.testing.assert_allclose(made, left @ right, rtol=1e-5, atol=1e-5)
    flipped = backend.product(backend.asarray(left)[..., ::-1], backend.asarray(right))
    np.testing.assert_allclose(backend.to_host(flipped), left[..., ::-1] @ right, rtol=1e-5, atol=1e-5)


def test_products_that_are_none_are_refused(place: str) -> None:
    backend = select("cuda")
    one, other, whole = (backend.asarray(np.ones(shape, np.float32)) for shape in ((2, 3), (2, 3), (4, 2, 3)))
    for pair in ((one, other), (whole, whole), (one, backend.asarray(np.ones((3, 3), np.complex64)))):
        with pytest.raises(ValueError, match="no product of"):
            backend.product(*pair)


@pytest.mark.parametrize("parts", [[2], [1, 3], [2, 2, 1, 5, 1]])
def test_arrays_are_joined_as_numpy_joins_them(place: str, rng: np.random.Generator, parts: list[int]) -> None:
    backend = select("cuda")
    arrays = [(rng.normal(size=(count, 3, 2)) * (1 + 1j)).astype(np.complex64) for count in parts]
    joined = backend.to_host(backend.joined([backend.asarray(array) for array in arrays]))
    np.testing.assert_array_equal(joined, np.concatenate(arrays))


@pytest.fixture(scope="module", params=STRIDES)
def model(request: pytest.FixtureRequest) -> Model:
    """An export of each architecture, fresh weights."""
    torch.manual_seed(0)
    weights = Backbone(ARCHITECTURES[request.param]).state_dict()
    made = Checkpoint(weights, Recipe(architecture=request.param), 0, {})
    return make_model(made, TrackerConfig(patch_size=30), request.param, stride=STRIDES[request.param])


def test_features_are_onnx_runtimes(place: str, model: Model, rng: np.random.Generator) -> None:
    native, reference = NativeBackbone(model), OrtBackbone(model)
    fused = len(native._convolutions) == 2
    assert native.takes is (np.float16 if fused else np.float32)  # layer by layer they would be cast first
    for side in (7 * model.stride, 30):
        patches = rng.normal(0, 60, size=(3, 3, side, side)).astype(np.float32)
        expected = reference(patches)
        assert native(patches).dtype == np.float32
        for found in (native(patches), select("cuda").to_host(native(on_device(patches)))):
            np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def boxes_of(tracker: dcfnet.Tracker, clip: Clip, count: int, place: Any = lambda frame: frame) -> np.ndarray:
    tracker.init(place(clip.frame(0)), clip.box(0))
    return np.array([tuple(tracker.update(place(clip.frame(index))).box) for index in range(1, count)])


def test_boxes_are_the_cpus(place: str, clip: Clip) -> None:
    count = FORMS[place][1]
    expected = boxes_of(dcfnet.Tracker(device="cpu"), clip, count)
    assert np.abs(expected[-1] - tuple(clip.box(count - 1))).max() < 8  # it does follow the target
    np.testing.assert_allclose(boxes_of(dcfnet.Tracker(device="cuda"), clip, count), expected, atol=0.1)


def test_boxes_of_frames_on_the_device_are_the_cpus(place: str, clip: Clip) -> None:
    count, config = FORMS[place][1], {"patch_size": 56}
    expected = boxes_of(dcfnet.Tracker(device="cpu", config=config), clip, count)
    found = boxes_of(dcfnet.Tracker(device="cuda", config=config), clip, count, on_device)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_batch_has_the_boxes_of_the_cpu(place: str, clip: Clip) -> None:
    """Targets that come and go, of two cameras; some see nothing for a frame, so that rows are taken and put back."""
    targets, count = FORMS[place]
    config = {"patch_size": 56 if place == "standin" else 108}
    trackers = [dcfnet.MultiTracker(device=device, config=config) for device in ("cpu", "cuda")]
    x, y, w, h = clip.box(0)
    ids = []
    for index in range(targets):
        box = Box(x + index % 8, y + index // 8, w, h)
        ids.append([tracker.add(clip.frame(0), box, source=index % 2) for tracker in trackers])
    for index in range(1, count):
        second = clip.frame(index) if index != 4 else np.zeros((240, 320, 3), np.uint8)
        if index == 6:
            for tracker, name in zip(trackers, ids.pop(), strict=True):
                tracker.remove(name)
        found = [tracker.update({0: clip.frame(index), 1: second}) for tracker in trackers]
        for one, other in ids:
            assert found[0][one].reason == found[1][other].reason
            np.testing.assert_allclose(tuple(found[1][other].box), tuple(found[0][one].box), atol=0.1)


def test_the_state_stays_in_float32(place: str, clip: Clip) -> None:
    tracker = dcfnet.Tracker(device="cuda", config={"patch_size": 48, "learn_every": 1})
    boxes_of(tracker, clip, 3)
    state = tracker._state
    assert state is not None
    kinds = {name: array.dtype for name, array in state.filters.arrays.each().items()}
    assert kinds == {"numerator": "c8", "denominator": "f4", "filter_f": "c8", "focused_f": "c8", "colours": "f4"}
    assert load_model().stride == 2  # so that a preset's side is no multiple of four features by chance alone
