"""Frames of other formats and of other libraries on a GPU: what is taken from where, when, and as which colours."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
import torch
from dcfnet.backend import select
from dcfnet.cpu import CpuBackend
from dcfnet.errors import DeviceError, InvalidFrameError
from dcfnet.formats import STANDARDS
from dcfnet.result import Reason
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.given import on_device, written_late
from tests.runtime.test_formats import nv12_of

MEAN = np.array([104, 117, 123], np.float32)
SMALL = {"patch_size": 56}  # px; at 48 two scales are level in a frame of the clip, and rounding decides


def padded(array: np.ndarray) -> Any:
    """On the device, rows at a pitch of more than their pixels."""
    wide = np.zeros((array.shape[0], array.shape[1] + 7, *array.shape[2:]), np.uint8)
    wide[:, : array.shape[1]] = array
    return on_device(wide)[:, : array.shape[1]]


Given = Callable[[np.ndarray], Any]
PLACES: dict[str, Given] = {
    "host": lambda array: array,
    "device": on_device,
    "device, pitched": padded,
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", ["rgb", "rgba", "packed", "planes", "pairs"])
def test_patches_of_other_formats_are_the_cpus(place: str, rng: np.random.Generator, kind: str, where: str) -> None:
    """To one level, and that seldom, from either memory; in one call and over several that each ask for more."""
    put, backend = PLACES[where], select("cuda")
    pixels = rng.integers(0, 256, size=(60, 90, 3 if kind == "rgb" else 4), dtype=np.uint8)
    packed = rng.integers(0, 256, size=(90, 90), dtype=np.uint8)
    luma, chroma = packed[:60], packed[60:]
    made: dict[str, tuple[Any, Any]] = {
        "packed": (dcfnet.Nv12(packed), lambda: dcfnet.Nv12(put(packed))),
        "planes": (dcfnet.Nv12(luma, chroma), lambda: dcfnet.Nv12(put(luma), put(chroma))),
        "pairs": (dcfnet.Nv12(luma, chroma), lambda: dcfnet.Nv12(put(luma), put(chroma.reshape(30, 45, 2)))),
    }
    on_cpu, given = made.get(kind, (dcfnet.Rgb(pixels), lambda: dcfnet.Rgb(put(pixels))))
    frames, differences = (CpuBackend().frame(on_cpu), backend.frame(given())), []
    assert frames[1].shape[:2] == (60, 90)
    for _ in range(12):
        asked = (np.zeros(3, int), rng.uniform(-20, 110, size=(3, 2)), rng.uniform(3, 40, size=(3, 2)))
        found = backend.to_host(backend.crop([frames[1]], *asked, 16, MEAN))
        differences.append(np.abs(found - CpuBackend().crop([frames[0]], *asked, 16, MEAN)))
        seen = backend.textured([frames[1]], *asked)(), CpuBackend().textured([frames[0]], *asked)()
        np.testing.assert_array_equal(*seen)
    assert np.max(differences) <= 1
    assert (np.array(differences) > 0).mean() < 5e-4


@pytest.mark.parametrize(("standard", "full_range"), STANDARDS)
def test_colours_are_the_cpus_to_the_bit(place: str, rng: np.random.Generator, standard: str, full_range: bool) -> None:
    """Patch pixels that are frame pixels: nothing is interpolated."""
    backend, packed = select("cuda"), rng.integers(0, 256, size=(96, 64), dtype=np.uint8)
    asked = (np.zeros(1, int), np.full((1, 2), 31.5), np.full((1, 2), 64.0), 64, MEAN)
    given = dcfnet.Nv12(packed, None, standard, full_range)
    away = dcfnet.Nv12(on_device(packed), None, standard, full_range)
    expected = CpuBackend().crop([CpuBackend().frame(given)], *asked)
    for frame in (given, away):
        np.testing.assert_array_equal(backend.to_host(backend.crop([backend.frame(frame)], *asked)), expected)


def test_of_nv12_half_as_many_bytes_are_copied(place: str, rng: np.random.Generator) -> None:
    backend, packed = select("cuda"), rng.integers(0, 256, size=(1080, 1280), dtype=np.uint8)
    frame = backend.frame(dcfnet.Nv12(packed))
    backend.crop([frame], np.zeros(1, int), np.array([[601.0, 301]]), np.array([[160.0, 120]]), 16, MEAN)
    pixels = (1.25 * 160 + 7) * (1.25 * 120 + 7)
    assert 160 * 120 * 1.5 < backend._uploads.copied <= pixels * 1.5


def boxes(tracker: dcfnet.Tracker, clip: Clip, given: Given) -> np.ndarray:
    tracker.init(given(clip.frame(0)), clip.box(0))
    return np.array([tuple(tracker.update(given(clip.frame(index))).box) for index in range(1, 8)])


@pytest.mark.parametrize("where", PLACES)
def test_boxes_of_nv12_are_the_cpus(place: str, clip: Clip, where: str) -> None:
    expected = boxes(dcfnet.Tracker(device="cpu", config=SMALL), clip, lambda frame: dcfnet.Nv12(nv12_of(frame)))
    tracker = dcfnet.Tracker(device="cuda", config=SMALL)
    found = boxes(tracker, clip, lambda frame: dcfnet.Nv12(PLACES[where](nv12_of(frame))))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_planes_of_two_memories_are_refused(place: str) -> None:
    luma, chroma = np.zeros((60, 90), np.uint8), np.zeros((30, 90), np.uint8)
    backend = select("cuda")
    with pytest.raises(InvalidFrameError, match="one plane of the frame lies on the host, the other on a GPU"):
        backend.frame(dcfnet.Nv12(luma, on_device(chroma)))
    with pytest.raises(InvalidFrameError, match=r"Nv12 frame of \(60, 90\) and \(20, 90\)"):
        backend.frame(dcfnet.Nv12(on_device(luma), on_device(chroma[:20])))
    with pytest.raises(InvalidFrameError, match="Rgb frame has shape"):
        backend.frame(dcfnet.Rgb(on_device(luma)))


class Producer:
    """Another library's array, shared by DLPack alone; its last bytes are written once a stream waits for it."""

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
def test_a_dlpack_frame_is_waited_for(fake: Any, clip: Clip, kind: int) -> None:
    """On the tracker's stream, which its producer is told; where it lies: nothing is copied."""
    expected = boxes(dcfnet.Tracker(device="cpu", config=SMALL), clip, lambda frame: frame)
    made: list[Producer] = []
    fake.state.stream = 7

    def given(frame: np.ndarray) -> Producer:
        made.append(Producer(frame, kind))
        return made[-1]

    tracker = dcfnet.Tracker(device="cuda", config=SMALL)
    np.testing.assert_allclose(boxes(tracker, clip, given), expected, atol=0.1)
    assert {tuple(each.streams) for each in made} == {(7,)}
    assert tracker._pipeline.backend._uploads.copied == 0


def test_the_default_stream_has_the_protocols_number(fake: Any, clip: Clip) -> None:
    frame = Producer(clip.frame(0))
    select("cuda").frame(frame)
    assert frame.streams == [1]


def test_dlpack_goes_before_an_interface_that_names_no_stream(fake: Any, clip: Clip) -> None:
    """As torch's: its interface says where the array lies, and nothing of what is still being written."""

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
    select("cuda").frame(frame)
    assert frame.streams == [1]


def test_a_dlpack_frame_of_another_gpu_moves_nothing(fake: Any, clip: Clip) -> None:
    tracker = dcfnet.Tracker(device="cuda", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    state, frame = tracker._state, Producer(clip.frame(1), number=1)
    with pytest.raises(InvalidFrameError, match="frame lies on GPU 1, the tracker on GPU 0"):
        tracker.init(frame, clip.box(1))
    assert tracker.update(frame).reason is Reason.BAD_FRAME
    assert tracker._state is state
    assert frame.streams == []  # never touched


def test_what_a_producer_raises_is_told(fake: Any, clip: Clip) -> None:
    def fail(**_: Any) -> Any:
        raise BufferError("Can't export tensors that require gradient")

    frame = SimpleNamespace(__dlpack_device__=lambda: (2, 0), __dlpack__=fail)
    with pytest.raises(InvalidFrameError, match="frame cannot be read on the GPU: Can't export tensors"):
        select("cuda").frame(frame)
    fake.from_dlpack = lambda given: fail_as(fake.cuda.runtime.CUDARuntimeError("cudaErrorIllegalAddress"))
    with pytest.raises(DeviceError, match="the GPU failed: cudaErrorIllegalAddress"):
        select("cuda").frame(frame)


def fail_as(error: Exception) -> Any:
    raise error


def test_pinned_tensors_are_copied_from_where_they_are(fake: Any, clip: Clip) -> None:
    """As torch's pin_memory makes them: memory of the host, by DLPack."""
    backend = select("cuda")
    buffer = backend._device.pinned(clip.frame(0).size).reshape(clip.frame(0).shape)
    buffer[...] = clip.frame(0)
    frame = backend.frame(torch.from_numpy(buffer))
    backend.crop([frame], np.zeros(1, int), np.full((1, 2), 90.0), np.full((1, 2), 60.0), 16, MEAN)
    assert [len(staging._memory) for staging in backend._uploads._turns] == [0, 0]
    assert fake.state.copies.bytes > 0
    backend._uploads.settle()


def test_a_cpu_tracker_says_where_a_dlpack_frame_lies(clip: Clip) -> None:
    with pytest.raises(InvalidFrameError, match="it lies on a GPU, which device='cuda' takes it from"):
        dcfnet.Tracker(device="cpu").init(Producer(clip.frame(0)), clip.box(0))


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_cupys_own_dlpack_frames_are_taken(place: str, rng: np.random.Generator) -> None:
    """Seen through the protocol alone, written by a stream that was given to CuPy's exporter as the current one."""
    whole = rng.integers(0, 256, size=(600, 800, 3), dtype=np.uint8)
    frame, stream = written_late(whole)

    def shared(**options: Any) -> Any:
        with stream:  # CuPy's exporter lets the consumer's stream wait for its current one
            return frame.__dlpack__(**options)

    told = SimpleNamespace(__dlpack_device__=frame.__dlpack_device__, __dlpack__=shared)
    backend, where = select("cuda"), (np.zeros(1, int), np.array([[400.0, 300]]), np.full((1, 2), 300.0), 64, MEAN)
    found = backend.to_host(backend.crop([backend.frame(told)], *where))
    assert np.abs(found - CpuBackend().crop([whole], *where)).max() <= 1
