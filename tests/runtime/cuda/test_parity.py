"""The CUDA backend against the CPU backend. The same tests run on the stand-in and on a GPU (`./justw gpu`)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.native import NativeBackbone
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.model.file import Model
from dcfnet.result import Box, Reason
from dcfnet.tracking.geometry import to_centre_grid, to_step_grid
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.device_arrays import on_device, written_late

MEAN = np.array([104, 117, 123], np.float32)
LAYOUTS = {"bgr": (60, 91, 3), "bgra": (60, 91, 4), "one channel": (60, 91, 1), "grey": (60, 91)}
STRIDES = {"conv1": 1, "dilation": 2, "conv2": 2, "released": 3}
SIZES = {"standin": (4, 12), "gpu": (64, 40)}  # targets of a batch, frames of a clip


def random_places(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres inside and outside the frame, and regions from a few pixels to more than the frame."""
    return rng.uniform([-30, -30], [121, 90], size=(count, 2)), rng.uniform(4, 200, size=(count, 2))


@pytest.mark.parametrize("size", [16, 33])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_patches_equal_those_of_the_cpu(place: str, rng: np.random.Generator, layout: str, size: int) -> None:
    """To one level, with few differences: half-way between two levels the order of a float32 sum decides."""
    backend = open_backend("cuda")
    frames = [rng.integers(0, 256, size=LAYOUTS[layout], dtype=np.uint8) for _ in range(2)]
    regions = (rng.integers(0, 2, size=60), *random_places(rng, 60), size, MEAN)
    found = backend.to_host(backend.crop([backend.frame(frame) for frame in frames], *regions))
    expected = CpuBackend().crop(frames, *regions)
    assert found.dtype == np.float32
    differences = np.abs(found - expected)
    assert differences.max() <= 1
    assert (differences > 0).mean() < 5e-4


@pytest.mark.parametrize("layout", [*LAYOUTS, "nv12"])
def test_patches_in_another_light_equal_those_of_the_cpu(place: str, rng: np.random.Generator, layout: str) -> None:
    """Outside the frame they are exactly 0."""
    on_host = rng.integers(0, 90, size=LAYOUTS.get(layout, (90, 60)), dtype=np.uint8)
    given = dcfnet.Nv12(on_host) if layout == "nv12" else on_host
    on_gpu = dcfnet.Nv12(on_device(on_host)) if layout == "nv12" else on_device(on_host)
    cpu, backend = CpuBackend(), open_backend("cuda")
    centres, regions = random_places(rng, 40)
    places = (np.zeros(40, int), to_centre_grid(centres), to_step_grid(regions, 16), 16)
    light = np.rint(rng.uniform(0.2, 5, 40) * 1024) / 1024
    for frames, device in (([given], cpu), ([given], backend), ([on_gpu], backend)):
        checked = [device.frame(frame) for frame in frames]
        patches = device.to_host(device.sample_patches(device.patch_places(checked, *places, light), 16, MEAN))
        if device is cpu:
            expected = patches
        assert np.abs(patches - expected).max() <= 1
        assert (patches != expected).mean() < 5e-4
    relit, usual = expected, cpu.crop([cpu.frame(given)], *places, MEAN)
    assert (np.abs(relit - usual).max(axis=(1, 2, 3)) > 10).mean() > 0.5


@pytest.mark.parametrize("layout", [*LAYOUTS, "nv12"])
def test_turned_patches_equal_those_of_the_cpu(place: str, rng: np.random.Generator, layout: str) -> None:
    """Also for frames in pinned memory or copied in part: the pixels of the turned regions are on the GPU."""
    pixels = rng.integers(0, 256, size=LAYOUTS.get(layout, (90, 60)), dtype=np.uint8)
    given = dcfnet.Nv12(pixels) if layout == "nv12" else pixels
    backend, (centres, regions), angle = open_backend("cuda"), random_places(rng, 40), rng.uniform(-4, 4, 40)
    angle[:4] = 0
    places = (np.zeros(40, int), centres, regions, 16, None, angle)
    found, expected = (
        device.to_host(device.sample_patches(device.patch_places([device.frame(given)], *places), 16, MEAN))
        for device in (backend, CpuBackend())
    )
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 2e-3


@pytest.mark.parametrize("sides", [(90, 60), (1920, 1080), (7680, 200)])
def test_patches_of_a_tracker_equal_those_of_the_cpu(
    place: str, rng: np.random.Generator, sides: tuple[int, int]
) -> None:
    """Sample positions of a tracker are exact in float32, so only about one sample in a million differs."""
    backend, frame = open_backend("cuda"), rng.integers(0, 256, size=(*sides[::-1], 3), dtype=np.uint8)
    for size in (48, 80, 108):
        centres = to_centre_grid(rng.uniform(0, 1, (20, 2)) * sides)
        regions = to_step_grid(rng.uniform(20, 600, (20, 2)), size)
        crops = (np.zeros(20, int), centres, regions, size, MEAN)
        found = backend.to_host(backend.crop([backend.frame(frame)], *crops))
        differences = np.abs(found - CpuBackend().crop([frame], *crops))
        assert differences.max() <= 1
        assert (differences > 0).sum() <= 3


@pytest.mark.parametrize("captures", [True, False])
@pytest.mark.parametrize("frames_on_device", [True, False])
def test_a_dark_camera_has_the_results_of_the_cpu(
    place: str, clip: Clip, captures: bool, frames_on_device: bool
) -> None:
    trackers = [dcfnet.MultiTracker("dcfnet", device=device, config={"patch_size": 48}) for device in ("cpu", "cuda")]
    trackers[1]._pipeline.backend.captures = captures  # type: ignore[misc]
    for tracker in trackers:
        for source in (0, 1, 2):
            tracker.add(clip.frame(0), clip.box(0), source)
    dark_cameras: tuple[set[int], ...] = ({0, 2}, {1}, {0, 1, 2}, set())
    for index, dark in enumerate(dark_cameras, start=1):
        frames = {source: clip.frame(index) * (source not in dark) for source in range(3)}
        same = {source: on_device(frame) if frames_on_device else frame for source, frame in frames.items()}
        expected, found = trackers[0].update(frames), trackers[1].update(same)
        for id_, result in expected.items():
            assert found[id_].reason is result.reason
            assert (result.reason is Reason.NO_TEXTURE) == (id_ in dark)
            np.testing.assert_allclose(tuple(found[id_].box), tuple(result.box), atol=0.1)


@pytest.mark.parametrize("captures", [True, False])
@pytest.mark.parametrize("frames_on_device", [True, False])
def test_a_camera_in_another_light_has_the_results_of_the_cpu(
    place: str, clip: Clip, captures: bool, frames_on_device: bool
) -> None:
    """The light of one of two targets drops in the second frame: more than its first search is needed."""
    config = {"patch_size": 48, "update_interval": 1}
    trackers = [dcfnet.MultiTracker("dcfnet", device=device, config=config) for device in ("cpu", "cuda")]
    trackers[1]._pipeline.backend.captures = captures  # type: ignore[misc]
    for tracker in trackers:
        for source in (0, 1):
            tracker.add(clip.frame(0), clip.box(0), source)
    for index in (1, 2, 3):
        frames = {0: clip.frame(index), 1: np.rint(clip.frame(index) * 0.1).astype(np.uint8)}
        same = {source: on_device(frame) if frames_on_device else frame for source, frame in frames.items()}
        expected, found = trackers[0].update(frames), trackers[1].update(same)
        for id_, result in expected.items():
            np.testing.assert_allclose(tuple(found[id_].box), tuple(result.box), atol=0.1)
            assert found[id_].status == result.status
    lights = [tracker._state.light.tolist() for tracker in trackers if tracker._state is not None]
    assert lights[0] == lights[1]
    assert lights[0] == [1, pytest.approx(10, rel=0.1)]


def test_a_patch_outside_the_frame_is_zero(place: str, rng: np.random.Generator) -> None:
    backend = open_backend("cuda")
    frame = backend.frame(rng.integers(0, 256, size=(60, 90, 3), dtype=np.uint8))
    far = np.array([[-400.0, 30], [500, 30], [45, -1e9], [45, 1e30], [np.nan, 30]])
    patches = backend.to_host(backend.crop([frame], np.zeros(5, int), far, np.full((5, 2), 31.0), 31, MEAN))
    assert not patches.any()


def test_frames_on_the_device_give_the_patches_of_host_frames(place: str, rng: np.random.Generator) -> None:
    """The whole frame, a slice with a pitch, the frame upside down, every second column, and one channel."""
    backend, whole = open_backend("cuda"), rng.integers(0, 256, size=(60, 91, 3), dtype=np.uint8)
    whole_on_device, regions = on_device(whole), (np.zeros(20, int), *random_places(rng, 20))
    slices = [np.s_[:, :], np.s_[5:50, 7:80], np.s_[::-1], np.s_[:, ::2], np.s_[:, :, 0]]
    for part in slices:
        host, device = backend.frame(np.ascontiguousarray(whole[part])), backend.frame(whole_on_device[part])
        assert host.texture_plane is not None
        assert device.texture_plane is None  # checked on the device
        expected, found = (backend.to_host(backend.crop([frame], *regions, 16, MEAN)) for frame in (host, device))
        np.testing.assert_array_equal(found, expected)
        textured = [backend.check_texture([frame], *regions)() for frame in (host, device)]
        np.testing.assert_array_equal(*textured)


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_a_frame_is_complete_when_it_is_read(place: str, rng: np.random.Generator) -> None:
    """Another stream writes the frame after some milliseconds of work. The interface names this stream."""
    whole = rng.integers(0, 256, size=(600, 800, 3), dtype=np.uint8)
    frame, stream = written_late(whole)
    producer = SimpleNamespace(__cuda_array_interface__={**frame.__cuda_array_interface__, "stream": stream.ptr})
    backend, region = (
        open_backend("cuda"),
        (np.zeros(1, int), np.array([[400.0, 300]]), np.full((1, 2), 300.0), 64, MEAN),
    )
    found = backend.to_host(backend.crop([backend.frame(producer)], *region))
    assert np.abs(found - CpuBackend().crop([whole], *region)).max() <= 1


def test_the_texture_check_has_the_results_of_the_cpu(place: str, rng: np.random.Generator) -> None:
    backend = open_backend("cuda")
    scene = rng.integers(100, 110, size=(70, 90, 4), dtype=np.uint8)  # textured if a region has levels 100 and 109
    scene[:, :40, :3] = 104
    scene[:, :40, 3] = rng.integers(0, 256, size=(70, 40))  # alpha does not count as texture
    frames = [scene, np.ascontiguousarray(scene[..., 0])]
    regions = (rng.integers(0, 2, size=80), *random_places(rng, 80))
    expected = CpuBackend().check_texture(frames, *regions)()
    assert 10 < expected.textured.sum() < 70
    assert len(set(expected.levels.tolist())) > 40
    for convert in (on_device, np.asarray):
        found = backend.check_texture([backend.frame(convert(frame)) for frame in frames], *regions)()
        np.testing.assert_array_equal(found.textured, expected.textured)
        np.testing.assert_array_equal(found.levels, expected.levels)


def test_pixels_on_the_host_are_those_of_the_frame(place: str, rng: np.random.Generator) -> None:
    backend, frame = open_backend("cuda"), rng.integers(0, 256, size=(70, 90, 4), dtype=np.uint8)
    for whole in (frame, np.ascontiguousarray(frame[..., 0])):
        for convert in (on_device, np.asarray):
            found = backend.read_pixels(backend.frame(convert(whole)), slice(3, 60, 7), slice(1, 88, 5))
            np.testing.assert_array_equal(found, whole[3:60:7, 1:88:5])


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize(
    ("left_shape", "right_shape"),
    [((5, 3, 7, 11), (11, 6)), ((7, 11), (5, 3, 11, 6)), ((9, 4), (4, 1)), ((1, 33, 2), (2, 21)), ((3, 2), (1, 2, 5))],
)
def test_matrix_products_equal_those_of_numpy(
    place: str, rng: np.random.Generator, left_shape: tuple[int, ...], right_shape: tuple[int, ...], dtype: type
) -> None:
    backend = open_backend("cuda")
    left, right = (rng.normal(size=(2, *shape)).astype(np.float32) for shape in (left_shape, right_shape))
    left, right = ((a[0] + 1j * a[1] if dtype is np.complex64 else a[0]).astype(dtype) for a in (left, right))
    product = backend.to_host(backend.matmul(backend.asarray(left), backend.asarray(right)))
    assert product.dtype == dtype
    np.testing.assert_allclose(product, left @ right, rtol=1e-5, atol=1e-5)
    flipped = backend.matmul(backend.asarray(left)[..., ::-1], backend.asarray(right))
    np.testing.assert_allclose(backend.to_host(flipped), left[..., ::-1] @ right, rtol=1e-5, atol=1e-5)


def test_shapes_and_types_without_a_product_are_an_error(place: str) -> None:
    backend = open_backend("cuda")
    matrix, stack = (backend.asarray(np.ones(shape, np.float32)) for shape in ((2, 3), (4, 2, 3)))
    for pair in ((matrix, matrix), (stack, stack), (matrix, backend.asarray(np.ones((3, 3), np.complex64)))):
        with pytest.raises(ValueError, match=r"cannot multiply .* by .*: types and inner sizes must be equal"):
            backend.matmul(*pair)


@pytest.mark.parametrize("parts", [[2], [1, 3], [2, 2, 1, 5, 1]])
def test_concatenated_arrays_equal_those_of_numpy(place: str, rng: np.random.Generator, parts: list[int]) -> None:
    backend = open_backend("cuda")
    arrays = [(rng.normal(size=(count, 3, 2)) * (1 + 1j)).astype(np.complex64) for count in parts]
    whole = backend.to_host(backend.concatenate([backend.asarray(array) for array in arrays]))
    np.testing.assert_array_equal(whole, np.concatenate(arrays))


@pytest.fixture(scope="module", params=STRIDES)
def model(request: pytest.FixtureRequest) -> Model:
    """A model of each architecture with initial weights. Other tests of this file need no onnx."""
    pytest.importorskip("onnx", reason="needs the extra export")
    from tests.export.models import exported

    return exported(request.param, STRIDES[request.param])


def test_features_equal_those_of_onnx_runtime(place: str, model: Model, rng: np.random.Generator) -> None:
    native, reference = NativeBackbone(model), OrtBackbone(model)
    fused = len(native._convolutions) == 2
    assert native.input_dtype is (np.float16 if fused else np.float32)  # separate layers would need a conversion
    for side in (7 * model.stride, 30):
        patches = rng.normal(0, 60, size=(3, 3, side, side)).astype(np.float32)
        expected = reference(patches)
        assert native(patches).dtype == np.float32
        for found in (native(patches), open_backend("cuda").to_host(native(on_device(patches)))):
            np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def boxes_of(tracker: dcfnet.Tracker, clip: Clip, count: int, convert: Any = lambda frame: frame) -> np.ndarray:
    tracker.init(convert(clip.frame(0)), clip.box(0))
    return np.array([tuple(tracker.update(convert(clip.frame(index))).box) for index in range(1, count)])


def test_boxes_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    count = SIZES[place][1]
    expected = boxes_of(dcfnet.Tracker("dcfnet", device="cpu"), clip, count)
    assert np.abs(expected[-1] - tuple(clip.box(count - 1))).max() < 8  # the tracker follows the target
    np.testing.assert_allclose(boxes_of(dcfnet.Tracker("dcfnet", device="cuda"), clip, count), expected, atol=0.1)


def test_boxes_from_frames_on_the_device_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    count, config = SIZES[place][1], {"patch_size": 56}
    expected = boxes_of(dcfnet.Tracker("dcfnet", device="cpu", config=config), clip, count)
    found = boxes_of(dcfnet.Tracker("dcfnet", device="cuda", config=config), clip, count, on_device)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_boxes_of_a_batch_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    """Two cameras, one with a blank frame, so that only some targets are searched; one target is removed."""
    targets, count = SIZES[place]
    config = {"patch_size": 56 if place == "standin" else 108}
    trackers = [dcfnet.MultiTracker("dcfnet", device=device, config=config) for device in ("cpu", "cuda")]
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
        for cpu_id, cuda_id in ids:
            assert found[0][cpu_id].reason == found[1][cuda_id].reason
            np.testing.assert_allclose(tuple(found[1][cuda_id].box), tuple(found[0][cpu_id].box), atol=0.1)


def test_the_filters_stay_in_single_precision(place: str, clip: Clip) -> None:
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config={"patch_size": 48, "update_interval": 1})
    boxes_of(tracker, clip, 3)
    state = tracker._state
    assert state is not None
    kinds = {name: array.dtype for name, array in state.filters.arrays.by_name().items()}
    assert kinds == {
        "numerator": "c8",
        "denominator": "f4",
        "filter_f": "c8",
        "focused_f": "c8",
        "colours": "f4",
        "first_f": "c8",
        "first_colours": "f4",
    }
    assert load_model("dcfnet").stride == 2  # patch sides are multiples of it
