"""Frames in other pixel formats and from other libraries on a GPU: copies, waits and colours."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.errors import DeviceError, InvalidFrameError
from dcfnet.io.pixel_formats import STANDARDS
from dcfnet.result import Reason
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.device_arrays import on_device, written_late
from tests.runtime.test_pixel_formats import nv12_of

MEAN = np.array([104, 117, 123], np.float32)
SMALL = {"patch_size": 56}  # px; at 48 px two scales have equal peaks in a frame, so that rounding decides


def padded(array: np.ndarray) -> Any:
    """A copy on the device with a pitch larger than the pixels of a row."""
    wide = np.zeros((array.shape[0], array.shape[1] + 7, *array.shape[2:]), np.uint8)
    wide[:, : array.shape[1]] = array
    return on_device(wide)[:, : array.shape[1]]


Conversion = Callable[[np.ndarray], Any]
MEMORIES: dict[str, Conversion] = {
    "host": lambda array: array,
    "device": on_device,
    "device, pitched": padded,
}


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("kind", ["rgb", "rgba", "packed", "planes", "pairs"])
def test_patches_of_other_formats_equal_those_of_the_cpu(
    place: str, rng: np.random.Generator, kind: str, memory: str
) -> None:
    """To one level, with few differences. Later calls need more pixels of the same frame."""
    convert, backend = MEMORIES[memory], open_backend("cuda")
    pixels = rng.integers(0, 256, size=(60, 90, 3 if kind == "rgb" else 4), dtype=np.uint8)
    packed = rng.integers(0, 256, size=(90, 90), dtype=np.uint8)
    luma, chroma = packed[:60], packed[60:]
    pairs = chroma.reshape(30, 45, 2)
    nv12: dict[str, tuple[Any, Any]] = {
        "packed": (dcfnet.Nv12(packed), lambda: dcfnet.Nv12(convert(packed))),
        "planes": (dcfnet.Nv12(luma, chroma), lambda: dcfnet.Nv12(convert(luma), convert(chroma))),
        "pairs": (dcfnet.Nv12(luma, chroma), lambda: dcfnet.Nv12(convert(luma), convert(pairs))),
    }
    on_host, converted = nv12.get(kind, (dcfnet.Rgb(pixels), lambda: dcfnet.Rgb(convert(pixels))))
    frames, differences = (CpuBackend().frame(on_host), backend.frame(converted())), []
    assert frames[1].shape[:2] == (60, 90)
    for _ in range(12):
        regions = (np.zeros(3, int), rng.uniform(-20, 110, size=(3, 2)), rng.uniform(3, 40, size=(3, 2)))
        found = backend.to_host(backend.crop([frames[1]], *regions, 16, MEAN))
        differences.append(np.abs(found - CpuBackend().crop([frames[0]], *regions, 16, MEAN)))
        textured = backend.check_texture([frames[1]], *regions)(), CpuBackend().check_texture([frames[0]], *regions)()
        np.testing.assert_array_equal(*textured)
    assert np.max(differences) <= 1
    assert (np.array(differences) > 0).mean() < 5e-4


@pytest.mark.parametrize(("standard", "full_range"), STANDARDS)
def test_colours_of_nv12_equal_those_of_the_cpu_bit_for_bit(
    place: str, rng: np.random.Generator, standard: str, full_range: bool
) -> None:
    """Each patch pixel is a frame pixel, without interpolation."""
    backend, packed = open_backend("cuda"), rng.integers(0, 256, size=(96, 64), dtype=np.uint8)
    region = (np.zeros(1, int), np.full((1, 2), 31.5), np.full((1, 2), 64.0), 64, MEAN)
    on_host = dcfnet.Nv12(packed, None, standard, full_range)
    on_gpu = dcfnet.Nv12(on_device(packed), None, standard, full_range)
    expected = CpuBackend().crop([CpuBackend().frame(on_host)], *region)
    for frame in (on_host, on_gpu):
        np.testing.assert_array_equal(backend.to_host(backend.crop([backend.frame(frame)], *region)), expected)


def test_nv12_needs_half_as_many_bytes(place: str, rng: np.random.Generator) -> None:
    backend, packed = open_backend("cuda"), rng.integers(0, 256, size=(1080, 1280), dtype=np.uint8)
    frame = backend.frame(dcfnet.Nv12(packed))
    backend.crop([frame], np.zeros(1, int), np.array([[601.0, 301]]), np.array([[160.0, 120]]), 16, MEAN)
    pixels = (1.25 * 160 + 7) * (1.25 * 120 + 7)
    assert 160 * 120 * 1.5 < backend._uploads.copied <= pixels * 1.5


def boxes(tracker: dcfnet.Tracker, clip: Clip, convert: Conversion) -> np.ndarray:
    tracker.init(convert(clip.frame(0)), clip.box(0))
    return np.array([tuple(tracker.update(convert(clip.frame(index))).box) for index in range(1, 8)])


@pytest.mark.parametrize("memory", MEMORIES)
def test_boxes_of_nv12_equal_those_of_the_cpu(place: str, clip: Clip, memory: str) -> None:
    expected = boxes(
        dcfnet.Tracker("dcfnet", device="cpu", config=SMALL), clip, lambda frame: dcfnet.Nv12(nv12_of(frame))
    )
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    found = boxes(tracker, clip, lambda frame: dcfnet.Nv12(MEMORIES[memory](nv12_of(frame))))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_planes_on_the_host_and_on_a_gpu_are_an_error(place: str) -> None:
    luma, chroma = np.zeros((60, 90), np.uint8), np.zeros((30, 90), np.uint8)
    backend = open_backend("cuda")
    with pytest.raises(
        InvalidFrameError, match="one plane of the frame is on the host, the other on a GPU; put both on the same side"
    ):
        backend.frame(dcfnet.Nv12(luma, on_device(chroma)))
    with pytest.raises(InvalidFrameError, match=r"Nv12 frame of \(60, 90\) and \(20, 90\)"):
        backend.frame(dcfnet.Nv12(on_device(luma), on_device(chroma[:20])))
    with pytest.raises(InvalidFrameError, match="Rgb frame has shape"):
        backend.frame(dcfnet.Rgb(on_device(luma)))


class Producer:
    """An array of another library with DLPack only. It has its values after a consumer has requested it."""

    def __init__(self, pixels: np.ndarray, kind: int = 2, number: int = 0) -> None:
        self.pixels, self.device, self.streams = pixels.copy(), (kind, number), []
        self.pending = self.pixels.copy()
        self.pixels[...] = 0

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        self.streams.append(stream)
        self.pixels[...] = self.pending
        return self.pixels.__dlpack__()


@pytest.mark.parametrize("kind", [2, 13], ids=["CUDA", "managed"])
def test_the_producer_of_a_dlpack_frame_gets_the_stream_of_the_tracker(fake: Any, clip: Clip, kind: int) -> None:
    """The frame is used without a copy."""
    expected = boxes(dcfnet.Tracker("dcfnet", device="cpu", config=SMALL), clip, lambda frame: frame)
    producers: list[Producer] = []
    fake.state.stream = 7

    def convert(frame: np.ndarray) -> Producer:
        producers.append(Producer(frame, kind))
        return producers[-1]

    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    np.testing.assert_allclose(boxes(tracker, clip, convert), expected, atol=0.1)
    assert {tuple(producer.streams) for producer in producers} == {(7,)}
    assert tracker._pipeline.backend._uploads.copied == 0


def test_the_default_stream_has_the_number_1_in_dlpack(fake: Any, clip: Clip) -> None:
    frame = Producer(clip.frame(0))
    open_backend("cuda").frame(frame)
    assert frame.streams == [1]


def test_dlpack_is_preferred_to_an_interface_without_a_stream(fake: Any, clip: Clip) -> None:
    """The interface of torch has no stream, so a consumer cannot wait for pending writes."""

    class Both(Producer):
        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            return {
                "shape": self.pixels.shape,
                "typestr": "|u1",
                "data": (self.pixels.ctypes.data, False),
                "version": 2,
            }

    frame = Both(clip.frame(0))
    open_backend("cuda").frame(frame)
    assert frame.streams == [1]


def test_a_dlpack_frame_on_another_gpu_does_not_change_the_state(fake: Any, clip: Clip) -> None:
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    state, frame = tracker._state, Producer(clip.frame(1), number=1)
    with pytest.raises(InvalidFrameError, match="frame is on GPU 1, the tracker on GPU 0; copy the frame to GPU 0"):
        tracker.init(frame, clip.box(1))
    assert tracker.update(frame).reason is Reason.BAD_FRAME
    assert tracker._state is state
    assert frame.streams == []  # the array was not requested


def test_an_error_of_a_producer_is_reported(fake: Any, clip: Clip) -> None:
    def fail(**_: Any) -> Any:
        raise BufferError("Can't export tensors that require gradient")

    frame = SimpleNamespace(__dlpack_device__=lambda: (2, 0), __dlpack__=fail)
    with pytest.raises(InvalidFrameError, match="frame cannot be read on the GPU: Can't export tensors"):
        open_backend("cuda").frame(frame)
    fake.from_dlpack = lambda producer: raise_error(fake.cuda.runtime.CUDARuntimeError("cudaErrorIllegalAddress"))
    with pytest.raises(DeviceError, match="the GPU failed: cudaErrorIllegalAddress"):
        open_backend("cuda").frame(frame)


def raise_error(error: Exception) -> Any:
    raise error


def test_pinned_tensors_need_no_staging_buffer(fake: Any, clip: Clip) -> None:
    """A tensor of torch in pinned host memory, read with DLPack."""
    torch = pytest.importorskip("torch", reason="needs the extra train")
    backend = open_backend("cuda")
    buffer = backend._device.pinned(clip.frame(0).size).reshape(clip.frame(0).shape)
    buffer[...] = clip.frame(0)
    frame = backend.frame(torch.from_numpy(buffer))
    backend.crop([frame], np.zeros(1, int), np.full((1, 2), 90.0), np.full((1, 2), 60.0), 16, MEAN)
    assert [len(buffer._memory) for buffer in backend._uploads._buffers] == [0, 0]
    assert fake.state.copies.bytes > 0
    backend._uploads.finish()
    assert not fake.state.copies.queued


def test_a_dlpack_frame_on_a_gpu_is_an_error_of_a_cpu_tracker(clip: Clip) -> None:
    with pytest.raises(InvalidFrameError, match="it is on a GPU: use device='cuda', or copy it to the host"):
        dcfnet.Tracker("dcfnet", device="cpu").init(Producer(clip.frame(0)), clip.box(0))


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_dlpack_frames_of_cupy_are_complete_when_they_are_read(place: str, rng: np.random.Generator) -> None:
    """The frame has DLPack only. Another stream, which is current in CuPy's exporter, writes it late."""
    whole = rng.integers(0, 256, size=(600, 800, 3), dtype=np.uint8)
    frame, stream = written_late(whole)

    def shared(**options: Any) -> Any:
        with stream:  # CuPy's exporter makes the consumer's stream wait for the current stream
            return frame.__dlpack__(**options)

    producer = SimpleNamespace(__dlpack_device__=frame.__dlpack_device__, __dlpack__=shared)
    backend, region = (
        open_backend("cuda"),
        (np.zeros(1, int), np.array([[400.0, 300]]), np.full((1, 2), 300.0), 64, MEAN),
    )
    found = backend.to_host(backend.crop([backend.frame(producer)], *region))
    assert np.abs(found - CpuBackend().crop([whole], *region)).max() <= 1
